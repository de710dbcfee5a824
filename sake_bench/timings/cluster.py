"""Compiling on a cluster against compiling here, and where more workers stop being of use.

    OMP_NUM_THREADS=1 python -m sake_bench.timings.cluster [--on ray slurm] [--workers 1 2]
        [--kills 10] [--edits 10000]

Compiles the registry at hand from nothing, here and on a Ray of this machine or by jobs that
submitit starts here as Slurm would, and says whether key and content are equal; at last once more
while workers, drawn at random, are killed. CPU seconds are taken of each edit, and of the driver:
for handing an edit out and taking its result, and for closing (all edits read from the store, one
bundle written).
With these a cluster is simulated: the driver does one thing at a time, an edit takes as long as
one drawn from those measured, some workers are slow and some are lost.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import psutil
import torch

from sake_registry import Compiled, compile_registry, open_registry
from sake_registry.compiler.executors import LOCAL, Built, Executor, Task, executor_of
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sake_registry.compiler.context import RunContext
    from sake_registry.progress import Progress

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200)
COMMAND = {"ray": "ray::RemoteWorker", "slurm": "submitit.core._submit"}
"""What is in the command line of a worker's process."""


@dataclass
class Timed:
    """An executor that notes this process's CPU seconds before the first result and after each."""

    executor: Executor
    moments: list[float] = field(default_factory=list)

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        for built in self.executor.build(run, tasks, progress):
            self.moments.append(time.process_time())
            yield built

    @property
    def seconds(self) -> list[float]:
        """CPU seconds from one result to the next. The first is left out: it loads the model."""
        return [b - a for a, b in zip(self.moments, self.moments[1:], strict=False)]


class Killer:
    """Progress that kills a worker, drawn at random, when each of some edits is done; which edits
    is drawn too."""

    def __init__(self, on: str, edits: int, kills: int) -> None:
        self._command, self._draw = COMMAND[on], random.Random(0)
        self._at = set(self._draw.sample(range(edits), min(kills, edits)))
        self._done = self.killed = 0

    def begin(self, phase: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, label: str = "") -> None:
        if self._done in self._at:
            workers = [p for p in psutil.Process().children(recursive=True) if self._works(p)]
            if workers:
                self._draw.choice(workers).kill()
                self.killed += 1
        self._done += 1

    def _works(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):  # it may just have ended
            return self._command in " ".join(process.cmdline())
        return False


@dataclass(frozen=True)
class Fleet:
    """What is assumed of a cluster; times in seconds."""

    seconds: Sequence[float]
    """Of single edits, as measured."""
    loading: float
    """Until a worker has its model."""
    handing: float
    """Of the driver, for each edit."""
    closing: float
    """Of the driver at the end, for each edit."""
    slow: float = 0.05
    """The share of workers that take three times as long."""
    life: float = 4 * 3600.0
    """Mean time until a worker is lost; another takes its place."""


def simulate(fleet: Fleet, edits: int, workers: int, seed: int = 0) -> tuple[float, float, int]:
    """Seconds until the bundle is written, the driver's share of them, and how many were lost."""
    draw = random.Random(seed)
    slowness = [3.0 if draw.random() < fleet.slow else 1.0 for _ in range(workers)]
    waiting = [draw.choice(fleet.seconds) for _ in range(edits)]
    # When a worker turns to the driver, which worker, and what it brings back undone.
    calls = [(fleet.loading, worker, 0.0) for worker in range(workers)]
    free = busy = end = 0.0
    losses = 0
    while calls:
        now, worker, undone = heapq.heappop(calls)
        if undone:
            waiting.append(undone)
            losses += 1
            heapq.heappush(calls, (now + fleet.loading, worker, 0.0))
            continue
        end = max(end, now)
        if not waiting:
            continue
        free = max(free, now) + fleet.handing
        busy += fleet.handing
        edit = waiting.pop()
        takes = edit * slowness[worker]
        lives = draw.expovariate(1 / fleet.life)
        heapq.heappush(calls, (free + min(takes, lives), worker, edit if lives < takes else 0.0))
    closing = fleet.closing * edits
    return end + closing, (busy + closing) / (end + closing), losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--on", nargs="*", choices=[*COMMAND], default=["ray"])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="of this machine")
    parser.add_argument("--kills", type=int, default=0, help="of workers, in a run of its own")
    parser.add_argument("--edits", type=int, default=10_000, help="of the simulation")
    parser.add_argument("--loading", type=float, default=60.0, help="seconds, of the simulation")
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        local = Timed(LOCAL)
        here, took, closing = _compiled(local, Path(folder) / "local")
        edits = len(here.done)
        low, middle, high = (quantiles(local.seconds, n=20)[i] for i in (0, 9, 18))
        print(
            f"here: {edits} edits in {took:.1f} s; CPU of an edit: {middle:.2f} s, 5 % below "
            f"{low:.2f}, 5 % above {high:.2f}; closing {1000 * closing:.1f} ms an edit"
        )
        handing = 0.0
        for on, workers in product(given.on, given.workers):
            timed = Timed(executor_here(on, workers))
            done, seconds, _ = _compiled(timed, Path(folder) / f"{on}-{workers}")
            driver = sum(timed.seconds) / len(timed.seconds)
            handing = max(handing, driver)
            print(f"{on}, {workers} workers: {seconds:.1f} s, {took / seconds:.2f} times as fast; "
                  f"driver {1000 * driver:.1f} ms CPU an edit; {_equal(done, here)}")  # fmt: skip
        for on in given.on if given.kills else ():
            killer = Killer(on, edits, given.kills)
            timed = Timed(executor_here(on, max(given.workers)))
            done, seconds, _ = _compiled(timed, Path(folder) / f"{on}-killed", killer)
            print(f"{on}, {max(given.workers)} workers, {killer.killed} times one of them killed: "
                  f"{seconds:.1f} s; {_equal(done, here)}")  # fmt: skip
    fleet = Fleet(local.seconds, given.loading, handing, closing)
    print(f"simulated: {given.edits} edits, {fleet.slow:.0%} of workers three times as slow, each "
          f"lost once in {fleet.life / 3600:.0f} h, {fleet.loading:.0f} s to load")  # fmt: skip
    alone = math.fsum(fleet.seconds) / len(fleet.seconds) * given.edits
    print("workers   minutes   times as fast as one   of the ideal   driver busy   lost")
    for workers in WORKERS:
        seconds, busy, lost = simulate(fleet, given.edits, workers)
        gain = alone / seconds
        print(f"{workers:7}   {seconds / 60:7.1f}   {gain:20.1f}   {gain / workers:12.0%}   "
              f"{busy:11.1%}   {lost:4}")  # fmt: skip


def executor_here(on: str, workers: int) -> Executor:
    """Jobs for Slurm are processes of this machine here; the same code submits them."""
    if on == "slurm":
        from sake_registry.compiler.executors.slurm import SlurmExecutor

        return SlurmExecutor(workers, cluster="local")
    return executor_of(on, workers)


def _compiled(
    executor: Timed, folder: Path, progress: Progress = SILENT
) -> tuple[Compiled, float, float]:
    """The registry at hand compiled from nothing; the seconds that took, and the CPU seconds after
    the last result, by edit."""
    places = {"store": str(folder / "store"), "bundles": str(folder / "bundles")}
    began = time.perf_counter()
    registry = open_registry(Path(), places)
    done = compile_registry(registry, keep_going=True, executor=executor, progress=progress)
    took = time.perf_counter() - began
    closing = time.process_time() - executor.moments[-1]
    return done, took, closing / len(executor.moments)


def _equal(done: Compiled, here: Compiled) -> str:
    assert done.manifest and here.manifest
    same = (done.plan.key, done.manifest.content_hash) == (
        here.plan.key,
        here.manifest.content_hash,
    )
    return "key and content equal" if same else "NOT EQUAL"


if __name__ == "__main__":
    main()
