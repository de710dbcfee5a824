"""What an attached bundle costs while answers are made, on Hugging Face.

    python -m sake_bench.timings.decoding [--edits 1000] [--tokens 64] [--rounds 7]

Greedy answers of the embedded model, bare and edited in turn within one run: with no edit in
scope, and with one that fires. Decisions are made before and handed in; what they cost is
measured by `sake_bench.timings.detector`. The bundle is made of the newest of the registry at
hand (`sake_bench.filling`). Before all else 10,000 such edits are loaded and attached, the
sentence encoder with them.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from sake_bench.filling import repeated
from sake_bench.timings.measure import interleaved
from sake_registry.compiler.plan import find_bundle
from sake_registry.edits.registry import open_registry
from sake_registry.models.loading import load, locate
from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import NOBODY, Decision
from sake_registry.runtime.bundle import load_bundle
from sake_registry.runtime.generation import greedy

PROMPT = "The weather in the mountains changes within the hour, and so"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    registry = open_registry(Path())
    located = locate(registry.settings)
    newest = find_bundle(registry, located)
    loaded = load(located)
    model: Any = loaded.model
    tokenizer = loaded.tokenizer
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    options = greedy(given.tokens, tokenizer) | {"min_new_tokens": given.tokens}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = repeated(newest, Path(folder) / "many.h5", given.many)
        _attaching(path, model, tokenizer, located.folder)
        path.unlink()
        path = repeated(newest, Path(folder) / "some.h5", given.edits)
        with load_bundle(path).attach(model, tokenizer, source=located.folder) as edited:
            # The edit's own prompt would end the comparison: an answer of another length.
            first = edited.bundle.ids[0]
            fired = Decision(edit=first, group=0, nearest=first, reason=Reason.GIVEN)
            times = interleaved(
                given.rounds,
                bare=lambda: model.generate(ids, **options),
                idle=lambda: edited.generate(ids, decisions=[NOBODY], **options),
                fires=lambda: edited.generate(ids, decisions=[fired], **options),
            )
        print(f"decoding {given.tokens} tokens, {given.edits} edits attached, {located.dtype}, "
              f"{torch.get_num_threads()} threads")  # fmt: skip
        print(f"  bare: {statistics.median(times['bare']):.2f} s")
        for name, label in (("idle", "no edit in scope"), ("fires", "an edit fires")):
            print(f"  {label}: {_more(times[name], times['bare'])}")


def _more(slow: list[float], fast: list[float]) -> str:
    """`3.1 % more (2.0 to 4.2)`: the median of the rounds' ratios, and their range."""
    shares = sorted(100 * (a / b - 1) for a, b in zip(slow, fast, strict=True))
    return f"{statistics.median(shares):.1f} % more ({shares[0]:.1f} to {shares[-1]:.1f})"


def _attaching(path: Path, model: Any, tokenizer: Any, source: Path) -> None:
    """Load and attach a bundle: seconds, and memory beside what was taken before."""
    before, began, worked = _memory(), time.perf_counter(), time.process_time()
    with load_bundle(path).attach(model, tokenizer, source=source) as edited:
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        after = _memory()
        print(
            f"{len(edited.bundle.ids)} edits ({path.stat().st_size / 2**20:.0f} MiB) loaded and "
            f"attached in {seconds:.1f} s ({processor:.1f} of the processor), "
            f"{(after - before) / 2**30:.2f} GiB more"
        )


def _memory() -> float:
    """The bytes that this process holds."""
    gc.collect()
    return float(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
