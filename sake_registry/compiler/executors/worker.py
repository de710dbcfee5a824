"""What a worker does: it builds one edit after the other, with a model that it loads once."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sake_registry.compiler.build import Outcome, build
from sake_registry.compiler.context import RunContext
from sake_registry.compiler.plan import keys_of
from sake_registry.edits.keys import EditKeys
from sake_registry.edits.schema import Edit
from sake_registry.errors import BuildError, SakeError, SetupError
from sake_registry.models.loading import LocatedModel, relocate
from sake_registry.progress import SILENT
from sake_registry.settings import Settings
from sake_registry.store import Store

if TYPE_CHECKING:
    from sake_registry.progress import Progress


@dataclass(frozen=True)
class Task:
    """An edit to be built, and the keys that it is kept under."""

    edit: Edit
    keys: EditKeys


@dataclass(frozen=True)
class Built:
    """What became of a task: either an outcome, or why there is none.

    `texts` were read for it, where at most `announced` had to be; `machine` built it.
    """

    id: str
    outcome: Outcome | None = None
    error: SakeError | None = None
    texts: int = 0
    announced: int = 0
    machine: str = ""


@dataclass(frozen=True)
class Job:
    """What a worker in another process is told: the driver's settings, model, store, threads."""

    settings: Settings
    located: LocatedModel
    store: Store
    threads: int

    @classmethod
    def of(cls, run: RunContext) -> Job:
        """The job of a driver's compile; each worker has as many threads as the driver."""
        import torch

        return cls(run.settings, run.located, run.store, torch.get_num_threads())


class Worker:
    """Builds edits in a compile's context."""

    def __init__(self, run: RunContext) -> None:
        self._run = run

    def build(self, task: Task, progress: Progress = SILENT) -> Built:
        """Build one edit into the store. What is wrong with it alone is in what is returned.

        Raises:
            SetupError: no edit can be built here.
        """
        run, counted = self._run, _Counted(progress, task.edit.id)
        outcome, error = None, None
        try:
            outcome = build(task.edit, task.keys, run, counted)
        except BuildError as failure:
            error = failure
        announced = run.contexts.most_texts(task.edit, run.settings) if counted.steps else 0
        if announced > counted.steps:  # what turned out needless is done as well
            progress.advance(announced - counted.steps, task.edit.id)
        return Built(task.edit.id, outcome, error, counted.steps, announced, run.machine)


class RemoteWorker:
    """A worker in a process of its own. Errors are returned, not raised: they reach the driver as
    they are, whatever carries them."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def start(self) -> SakeError | None:
        """Load the model, and see to it that the store has what a bundle needs of it."""
        try:
            self._run.load()
            self._run.probe()
        except SakeError as error:
            return error
        return None

    def build(self, task: Task) -> Built:
        """Build one edit, if its keys are the same here."""
        try:
            keys = keys_of([task.edit], self._run.located, self._run.settings)[task.edit.id]
            if keys != task.keys:
                raise SetupError(
                    f"a worker on {platform.node()} makes other keys: its sake_registry or its "
                    f"{self._run.located.source.name} is another version",
                    hint="install the same version, and the same revision of the model, everywhere",
                )
            return Worker(self._run).build(task)
        except SakeError as error:
            return Built(task.edit.id, error=error)

    @cached_property
    def _run(self) -> RunContext:
        import torch

        torch.set_num_threads(self._job.threads)
        return RunContext(self._job.settings, relocate(self._job.located), self._job.store)


class _Counted:
    """Progress of one edit's texts: each step is labelled with the edit, and counted."""

    def __init__(self, progress: Progress, edit: str) -> None:
        self._progress, self._edit, self.steps = progress, edit, 0

    def begin(self, phase: str, total: int) -> None:
        self._progress.begin(phase, total)

    def advance(self, steps: int = 1, label: str = "") -> None:
        self.steps += steps
        self._progress.advance(steps, label or self._edit)
