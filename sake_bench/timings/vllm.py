"""What the plugin costs while vLLM answers, in the environment of `make test-vllm`.

    python -m sake_bench.timings.vllm [--edits 1000] [--tokens 64] [--rounds 7] [--dtype float32]

Greedy answers of the embedded model, on the older runner, with and without the plugin in turn
within one process: alone and eight together, with no edit in scope and with one that fires in each.
Deciding is part of it, once for each answer. The bundle is made of the newest of the registry at
hand (`sake_bench.filling`).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sake_bench.engines import begin_with, of_many

PROMPT = "The weather in the mountains changes within the hour, and so"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--prompt", default="The capital of Australia is", help="of an edit")
    given = parser.parse_args()
    with of_many(given.edits) as (_, bundle, model):
        measure(bundle, model, given)


def measure(bundle: Path, model: Path, given: argparse.Namespace) -> None:
    """Print what answers take with the plugin, against without it."""
    from vllm import LLM, SamplingParams

    from sake_bench.timings.measure import interleaved

    decided: list[Any] = []
    begin_with(bundle, decided)
    llm = LLM(str(model), dtype=given.dtype, enforce_eager=True, max_model_len=512, max_num_seqs=8)
    core: Any = llm.llm_engine.engine_core
    worker = core.engine_core.model_executor.driver_worker.worker
    plugged = {name: vars(worker)[name] for name in ("execute_model", "sample_tokens")}
    options = SamplingParams(temperature=0, max_tokens=given.tokens, ignore_eos=True)

    def answering(prompt: str, rows: int, *, bare: bool) -> Callable[[], object]:
        def run() -> None:
            for name, method in plugged.items():
                if bare:
                    vars(worker).pop(name, None)  # the worker's own
                else:
                    setattr(worker, name, method)
            llm.generate([prompt] * rows, options, use_tqdm=False)

        return run

    print(f"{given.tokens} tokens, {given.edits} edits loaded, {given.dtype}, older runner")
    for label, prompt in (("no edit in scope", PROMPT), ("an edit fires", given.prompt)):
        for rows in (1, 8):
            times = interleaved(
                given.rounds,
                bare=answering(prompt, rows, bare=True),
                plugged=answering(prompt, rows, bare=False),
            )
            shares = sorted(
                100 * (a / b - 1) for a, b in zip(times["plugged"], times["bare"], strict=True)
            )
            print(
                f"  {label}, {rows} together: {statistics.median(shares):.1f} % more "
                f"({shares[0]:.1f} to {shares[-1]:.1f}), "
                f"bare {statistics.median(times['bare']):.2f} s"
            )
            fired = {one.decision.edit for one in decided}
            assert (fired != {None}) == (prompt == given.prompt), fired
            decided.clear()


if __name__ == "__main__":
    main()
