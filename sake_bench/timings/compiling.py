"""What compiling an edit costs, by part, and what its maps lead to, beside another checkout.

    python -m sake_bench.timings.compiling --data counterfact.json [--limit 12] [--seed 1]
        [--model NAME] [--prompts 20] [--batch-size 16] [--against CHECKOUT]

A process for each checkout loads the model, builds one edit to warm up, and then the edits in turn
with the other's, each into a store of its own that is empty. With more than one thread, CPU
seconds count threads that wait for each other: `OMP_NUM_THREADS=1` measures the work.

Quality is that of the maps alone, whatever a router would decide: on the paraphrases and doubts of
a record, which are no prompts of its edit, the margin of each token of the object is taken with the
edit's maps and the tokens before it given. A prompt says the object if its smallest margin is above
0.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve()
PARTS = {
    ("models/site.py", "read"): "forward passes",
    ("models/site.py", "logits"): "head products",
    ("compiler/build.py", "_fit_step"): "maps",
    ("models/tokens.py", "object_tokens"): "tokens",
    ("compiler/build.py", "route"): "routes",
    ("sake_registry/store.py", "put"): "store",
}
"""Functions, each with all that it calls: head products of maps are in both."""
HELD_OUT = ("gen", "di", "dii")
"""The axes of the tests that quality is measured on."""


def worker() -> None:
    """Builds the edits that stdin names, with the `sake_registry` of the path; says for each what
    it took, and the smallest margin of the object after each prompt that was held out."""
    from sake_registry.compiler.build import stored_fit
    from sake_registry.compiler.context import RunContext
    from sake_registry.compiler.executors.worker import Task, Worker
    from sake_registry.compiler.plan import keys_of
    from sake_registry.edits.files import read_edit
    from sake_registry.models.loading import locate
    from sake_registry.settings import Settings
    from sake_registry.store import Store

    settings = Settings.model_validate(json.loads(sys.stdin.readline()))
    located = locate(settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunContext(settings, located, Store(Path(folder)))
        for number, line in enumerate(sys.stdin):
            given = json.loads(line)
            edit = read_edit(Path(given["edit"]))
            run.store = Store(Path(folder) / str(number))
            task = Task(edit, keys_of([edit], located, settings)[edit.id])
            profile = cProfile.Profile(time.process_time)
            built = profile.runcall(Worker(run).build, task)
            found: dict[str, Any] = {"texts": built.texts, "failed": built.outcome is None}
            if stored := stored_fit(run.store, task.keys):
                found["margins"] = smallest_margins(run, stored, given["held out"])
            found["CPU seconds"] = (stats := pstats.Stats(profile)).total_tt  # type: ignore[attr-defined]
            for (file, _, name), (_, calls, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
                for (path, function), part in PARTS.items():
                    if name == function and file.endswith(path):
                        found[part], found[f"{part}: calls"] = seconds, calls
            print(json.dumps(found), flush=True)


def smallest_margins(run: Any, stored: Any, prompts: list[str]) -> list[float]:
    """The smallest margin of the fact's object after each prompt, with the maps of its group."""
    from sake_registry.compiler.build import FACTORS, map_name
    from sake_registry.extraction.extract import margins
    from sake_registry.models.reading import read_tails
    from sake_registry.models.tokens import object_tokens
    from sake_registry.transport import TransportMap, apply

    (loaded, site), (factors, fit, *_) = run.load(), stored
    group = fit.groups[0]
    tokens = group.tokens[: 1 + len(group.goes_on)]
    rows = [
        [*object_tokens(loaded.tokenizer, prompt, group.new)[0], *tokens[:-1]] for prompt in prompts
    ]
    batch = run.settings.compile.batch_size
    states = torch.stack(read_tails(site, loaded.tokenizer, rows, [len(tokens)] * len(rows), batch))
    for number, step in enumerate(group.steps):
        if step.position < len(tokens):  # the last may be of what ends the object
            parts = {name: factors[map_name(0, number, name)] for name in FACTORS}
            map_ = TransportMap(**parts, residual=step.residual, complement=step.complement)
            before = states[:, step.position]
            states[:, step.position] = apply(map_, before.float()).to(before.dtype)
    found = [margins(site, states[:, i], token) for i, token in enumerate(tokens)]
    smallest: list[float] = torch.stack(found).amin(0).tolist()
    return smallest


def start(checkout: Path, settings: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, HERE, "--worker"], cwd=checkout, text=True, bufsize=1,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(settings) + "\n")
    return process


def build(process: subprocess.Popen[str], edit: Path, held_out: Sequence[str]) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"edit": str(edit), "held out": held_out}) + "\n")
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


QUALITY: dict[str, Callable[[list[float]], float]] = {
    "prompts": len,
    "say the object": lambda margins: sum(margin > 0 for margin in margins),
    "smallest margin, mean (logits)": statistics.fmean,
    "which 95 % reach": lambda margins: statistics.quantiles(margins, n=20)[0],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--against", type=Path, help="another checkout, before")
    given = parser.parse_args()
    if given.worker:
        worker()
        return
    if given.data is None:
        parser.error("--data names a file of records")

    from sake_bench.datasets.importing import import_into, sample
    from sake_bench.datasets.reading import read_data

    settings: dict[str, Any] = {"compile": {"prompts": given.prompts}}
    settings |= {"model": given.model} if given.model else {}
    if given.batch_size:
        settings["compile"]["batch_size"] = given.batch_size
    checkouts = {"now": HERE.parents[2]}
    if given.against:
        checkouts = {"before": given.against.resolve(), **checkouts}
    with tempfile.TemporaryDirectory() as folder:
        data = read_data(given.data)
        records = sample(data.records, given.limit + 1, given.seed)
        edits = import_into(Path(folder), data, records).written
        workers = {name: start(path, settings) for name, path in checkouts.items()}
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        tests = {
            record.id: [t.query.prompt for t in record.tests if t.axis in HELD_OUT]
            for record in records
        }
        for number, edit in enumerate(edits):
            for name, process in workers.items():
                found = build(process, edit, tests[edit.stem])
                if number:
                    rows[name].append(found)
                print(
                    f"{edit.stem}, {name}: {found['CPU seconds']:.2f}", file=sys.stderr, flush=True
                )
        for process in workers.values():
            process.communicate()
    print(f"{len(edits) - 1} edits of {given.data.name}, seed {given.seed}; means of an edit")
    print(f"{'':36}" + "".join(f"{name:>10}" for name in rows))
    held_out = {name: [m for r in of for m in r.pop("margins", [])] for name, of in rows.items()}
    columns = {key for found in rows.values() for row in found for key in row}
    for key in sorted(columns):
        cells = (statistics.fmean(row.get(key, 0) for row in found) for found in rows.values())
        print(f"{key:36}" + "".join(f"{cell:10.2f}" for cell in cells))
    print("after prompts held out:")
    for label, figure in QUALITY.items():
        print(f"{label:36}" + "".join(f"{figure(of):10.2f}" for of in held_out.values()))
    if given.against:
        ratios = sorted(
            a["CPU seconds"] / b["CPU seconds"]
            for a, b in zip(rows["before"], rows["now"], strict=True)
        )
        low, high = ratios[0], ratios[-1]
        print(f"before / now: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
