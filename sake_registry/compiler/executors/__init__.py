"""Where edits are built: in this process, on a Ray cluster, by jobs of Slurm.

Guarantees, the same for each:
- What is built goes to the store under its key, whole or not at all; so an edit may be built by
  any worker, any number of times, and the bundle is that of a local compile.
- A worker computes an edit's keys itself, and builds nothing where they are not the driver's:
  another model, another version of the method.
- A lost worker costs the edit that it was at, which is queued again, `MOST_LOSSES` times at most.
- What an edit was built on is recorded with it (`compiler.machine`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from sake_registry.compiler.executors.worker import Built, Task, Worker
from sake_registry.errors import InputError
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sake_registry.compiler.context import RunContext
    from sake_registry.progress import Progress

__all__ = ["LOCAL", "Built", "Executor", "Task", "executor_of"]


class Executor(Protocol):
    """What builds edits."""

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        """Build edits, and yield each once, in the order in which they are done. Closing the
        iterator stops the work.

        Args:
            run: the driver's; a worker elsewhere makes one of its own of it.
            tasks: none of them twice.
            progress: advanced by the texts that are read, in a phase that the caller began.

        Raises:
            SetupError: workers cannot be had, cannot build, or are lost one after the other.
        """


class LocalExecutor:
    """One after the other, in this process."""

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        worker = Worker(run)
        for task in tasks:
            yield worker.build(task, progress)


LOCAL: Executor = LocalExecutor()


def executor_of(on: str, workers: int | None = None) -> Executor:
    """The executor that `local`, `ray`, `ray://HOST:PORT` or `slurm` means.

    Args:
        workers: how many edits are built at the same time, where more than one can be.

    Raises:
        InputError: it is none of these.
    """
    name, separator, _ = on.partition("://")
    if on == "local" and workers in (None, 1):
        return LOCAL
    if name == "ray":
        from sake_registry.compiler.executors.ray import RayExecutor

        return RayExecutor(on if separator else os.environ.get("RAY_ADDRESS"), workers)
    if on == "slurm":
        from sake_registry.compiler.executors.slurm import SlurmExecutor

        return SlurmExecutor(workers)
    if on == "local":
        raise InputError("--workers: a local compile is one worker", hint="--on ray has several")
    raise InputError(f"--on {on}: no such place", hint="local, ray, ray://HOST:PORT, slurm")
