"""CPU seconds of compiling an edit, by part, and against another checkout of this project.

    python -m sake_bench.timings.compiling --data counterfact.json [--limit 12] [--seed 1]
        [--model NAME] [--prompts 20] [--against CHECKOUT]

A process for each checkout loads the model, builds one edit to warm up, and then the edits in turn
with the other's, each into a store of its own that is empty. With more than one thread, CPU
seconds count threads that wait for each other: `OMP_NUM_THREADS=1` measures the work.
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
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
PARTS = {
    "forward passes": ("models/site.py", "read"),
    "head products": ("extraction/extract.py", "margins"),
    "maps": ("compiler/build.py", "_fit_step"),
    "tokens": ("models/tokens.py", "object_tokens"),
    "routes": ("compiler/build.py", "route"),
    "store": ("sake_registry/store.py", "put"),
}
"""Functions, each with all that it calls: head products of maps are in both."""


def worker() -> None:
    """Builds the edits whose files are named on stdin, with the `sake_registry` of the path; says
    for each what it took."""
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
            edit = read_edit(Path(line.strip()))
            run.store = Store(Path(folder) / str(number))
            profile = cProfile.Profile(time.process_time)
            built = profile.runcall(
                Worker(run).build, Task(edit, keys_of([edit], located, settings)[edit.id])
            )
            found: dict[str, Any] = {"texts": built.texts, "failed": built.outcome is None}
            found["CPU seconds"] = (stats := pstats.Stats(profile)).total_tt  # type: ignore[attr-defined]
            for (file, _, name), (_, calls, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
                for part, (path, function) in PARTS.items():
                    if name == function and file.endswith(path):
                        found[part], found[f"{part}: calls"] = seconds, calls
            print(json.dumps(found), flush=True)


def start(checkout: Path, settings: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, HERE, "--worker"], cwd=checkout, text=True, bufsize=1,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(settings) + "\n")
    return process


def build(process: subprocess.Popen[str], edit: Path) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{edit}\n")
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model")
    parser.add_argument("--prompts", type=int, default=20)
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
    checkouts = {"now": HERE.parents[2]}
    if given.against:
        checkouts = {"before": given.against.resolve(), **checkouts}
    with tempfile.TemporaryDirectory() as folder:
        data = read_data(given.data)
        records = sample(data.records, given.limit + 1, given.seed)
        edits = import_into(Path(folder), data, records).written
        workers = {name: start(path, settings) for name, path in checkouts.items()}
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for number, edit in enumerate(edits):
            for name, process in workers.items():
                found = build(process, edit)
                if number:
                    rows[name].append(found)
                print(f"{edit.stem}, {name}: {found['CPU seconds']:.2f}", file=sys.stderr)
        for process in workers.values():
            process.communicate()
    print(f"{len(edits) - 1} edits of {given.data.name}, seed {given.seed}; means of an edit")
    print(f"{'':36}" + "".join(f"{name:>10}" for name in rows))
    columns = {key for found in rows.values() for row in found for key in row}
    for key in sorted(columns):
        cells = (statistics.fmean(row.get(key, 0) for row in found) for found in rows.values())
        print(f"{key:36}" + "".join(f"{cell:10.2f}" for cell in cells))
    if given.against:
        ratios = sorted(
            a["CPU seconds"] / b["CPU seconds"]
            for a, b in zip(rows["before"], rows["now"], strict=True)
        )
        low, high = ratios[0], ratios[-1]
        print(f"before / now: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
