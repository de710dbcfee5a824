"""The queue of a driver: which edits wait, and which ones have cost too many workers."""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from sake_registry.compiler.executors.worker import Built, Task
from sake_registry.errors import BuildError, SakeError, SetupError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.progress import Progress

log = logging.getLogger(__name__)

MOST_LOSSES = 5
"""An edit at which so many workers were lost fails."""


class Queue:
    """Tasks of a compile, by the edit's id; each is done once, whoever does it how often."""

    def __init__(self, tasks: Sequence[Task], workers: int, progress: Progress) -> None:
        self._tasks = {task.edit.id: task for task in tasks}
        self._waiting = deque(self._tasks)
        self._open = set(self._tasks)
        self._losses = Counter[str]()
        self._patience = MOST_LOSSES * (workers + 1)
        self._in_a_row = 0
        self._progress = progress

    def __len__(self) -> int:
        """How many tasks are still to be done, those that somebody is at among them."""
        return len(self._open)

    def take(self) -> Task | None:
        """The next task that waits."""
        while self._waiting:
            id_ = self._waiting.popleft()
            if id_ in self._open:
                return self._tasks[id_]
        return None

    def done(self, built: Built) -> bool:
        """Whether this is the first result of a task.

        Raises:
            SakeError: that of the worker, which can build no edit.
        """
        if built.error is not None and not isinstance(built.error, BuildError):
            raise built.error
        self._in_a_row = 0
        first = built.id in self._open
        self._open.discard(built.id)
        if first and built.texts:
            self._progress.advance(built.announced, built.id)
        return first

    def lost(self, id_: str | None, reason: str) -> Built | None:
        """A worker was lost: what it was at is queued again, or is given up.

        Args:
            id_: the edit; None if the worker was lost before it had one.

        Raises:
            SetupError: workers are lost one after the other, and none does anything.
        """
        self._in_a_row += 1
        if self._in_a_row > self._patience:
            raise SetupError(
                f"{self._in_a_row} workers were lost, one after the other: {reason}",
                hint="see what ends them: memory is the usual one; what is built is in the store",
            )
        if id_ is None or id_ not in self._open:
            return None
        self._losses[id_] += 1
        if self._losses[id_] >= MOST_LOSSES:
            self._open.discard(id_)
            error: SakeError = BuildError(
                f"{id_}: {count(MOST_LOSSES, 'worker')} were lost while they built it: {reason}",
                hint=f"see what it does to a process here: sake compile --only {id_}",
            )
            return Built(id_, error=error)
        log.warning("a worker was lost at %s, which is queued again: %s", id_, reason)
        self._waiting.append(id_)
        return None
