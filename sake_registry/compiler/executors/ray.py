"""Edits built by actors of a Ray cluster; without one, by a cluster on this machine alone."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sake_registry.compiler.executors.queue import Queue
from sake_registry.compiler.executors.worker import Built, Job, RemoteWorker, Task
from sake_registry.errors import MissingExtraError, SetupError
from sake_registry.progress import SILENT
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from sake_registry.compiler.context import RunContext
    from sake_registry.progress import Progress

_OBJECT_STORE = 100 << 20
"""Bytes for the objects of a cluster that is begun here: results are small, and go past it."""


class RayExecutor:
    """An actor for each worker: it loads the model once, and is handed one edit at a time.

    A worker takes as many CPUs as it has threads, those of the driver, and a GPU where the driver
    has one.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self._address, self._workers = address, workers

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        """As `Executor.build`; an edit's texts are counted when it is done."""
        job = Job.of(run)
        needs = {"num_cpus": job.threads, "num_gpus": int(job.located.device.startswith("cuda"))}
        with _cluster(self._address, job.threads) as ray:
            room = _room(ray, needs)
            if not room:
                wanted = ", ".join(f"{n} {name[4:]}" for name, n in needs.items() if n)
                raise SetupError(
                    f"no machine of the Ray cluster has {wanted} for a worker",
                    hint="OMP_NUM_THREADS=N sets how many threads, and CPUs, a worker has",
                )
            workers = min(self._workers or room, len(tasks))
            queue = Queue(tasks, workers, progress)
            actor = ray.remote(max_restarts=0, **needs)(RemoteWorker)
            yield from _Actors(ray, lambda: actor.remote(job), queue, workers).run()


class _Actors:
    """The workers of one compile, and what each is at."""

    def __init__(self, ray: Any, make: Any, queue: Queue, workers: int) -> None:
        self._ray, self._make, self._queue, self._workers = ray, make, queue, workers
        self._idle: list[Any] = []
        # What is waited for: an actor's start, without a task, or its work at one.
        self._busy: dict[Any, tuple[Any, Task | None]] = {}

    def run(self) -> Generator[Built]:
        try:
            while self._queue:
                self._hand_out()
                ready, _ = self._ray.wait([*self._busy], num_returns=1)
                for reference in ready:
                    yield from self._ended(reference)
        finally:
            for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
                self._ray.kill(actor)

    def _hand_out(self) -> None:
        while self._idle and (task := self._queue.take()):
            actor = self._idle.pop()
            self._busy[actor.build.remote(task)] = actor, task
        # Only an actor that has started is handed an edit: one without a place may wait for long.
        while len(self._busy) + len(self._idle) < min(self._workers, len(self._queue)):
            actor = self._make()
            self._busy[actor.start.remote()] = actor, None

    def _ended(self, reference: Any) -> Iterator[Built]:
        from ray.exceptions import RayError, RayTaskError

        actor, task = self._busy.pop(reference)
        try:
            result = self._ray.get(reference)
        except RayTaskError:
            raise  # the worker lives, and has a bug
        except RayError as error:
            reason = shorten(str(error), 200)
            given_up = self._queue.lost(task.edit.id if task else None, reason)
            if given_up:
                yield given_up
            return
        self._idle.append(actor)
        if task is None:
            if result is not None:
                raise result
        elif self._queue.done(result):
            yield result


@contextmanager
def _cluster(address: str | None, threads: int) -> Iterator[Any]:
    """Ray, connected to a cluster; what is begun here ends here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"--on ray needs {error.name}", "ray") from error

    if ray.is_initialized():  # a program's own
        yield ray
        return
    options: dict[str, Any] = {"address": address}
    if address is None:
        cpus = max(os.cpu_count() or 1, threads)
        # By "local" it is none that runs here already, which would be found else.
        options = {"address": "local", "num_cpus": cpus, "object_store_memory": _OBJECT_STORE}
        options["include_dashboard"] = False
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = address or "a cluster on this machine"
        raise SetupError(
            f"Ray: {where} cannot be used: {shorten(str(error), 200)}",
            hint="--on ray://HOST:10001, or RAY_ADDRESS=HOST:6379 on a machine of the cluster",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _room(ray: Any, needs: dict[str, int]) -> int:
    """How many workers have room in the cluster, as its machines are now."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    return sum(
        min(int(node["Resources"].get(names[what], 0) // n) for what, n in needs.items() if n)
        for node in ray.nodes()
        if node["Alive"]
    )
