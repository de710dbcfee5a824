"""Edits built by jobs of Slurm, which share a folder with the driver and with one another.

The folder holds the queue: each edit that waits is a file, and a worker takes it by a rename,
which one of them wins. A result is a file as well. So a job builds one edit after the other, and
the driver needs to hear of a job only whether it has ended.
"""

from __future__ import annotations

import pickle
import random
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.compiler.executors.queue import Queue
from sake_registry.compiler.executors.worker import Built, Job, RemoteWorker, Task
from sake_registry.errors import MissingExtraError, SetupError
from sake_registry.files import TEMPORARY, below, make_folder, remove, storage_errors, write_bytes
from sake_registry.progress import SILENT
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence

    from sake_registry.compiler.context import RunContext
    from sake_registry.progress import Progress

DEFAULT_WORKERS = 4
_MINUTES = 24 * 60
"""A job's limit, where SBATCH_TIMELIMIT sets no other."""
_POLL_SECONDS = 0.5
_END_SECONDS = 10.0
_TASKS, _WAITING, _TAKEN, _DONE = "tasks.pickle", "waiting", "taken", "done"


class SlurmExecutor:
    """A job for each worker, submitted by submitit: sbatch's variables (SBATCH_PARTITION,
    SBATCH_ACCOUNT, SBATCH_TIMELIMIT …) say where and for how long.

    Args:
        cluster: `slurm`, or submitit's `local`, whose jobs are processes of this machine.
    """

    def __init__(self, workers: int | None = None, cluster: str = "slurm") -> None:
        self._workers, self._cluster = workers or DEFAULT_WORKERS, cluster

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        """As `Executor.build`; an edit's texts are counted when it is done."""
        root = below(run.store.folder, run.store.folder / "jobs")
        # Under the store's lock: what is there belongs to a driver that was killed, and its jobs
        # end when they find no folder.
        shutil.rmtree(root, ignore_errors=True)
        make_folder(root, run.store.folder)
        with storage_errors(root):
            folder = Path(tempfile.mkdtemp(dir=root)).absolute()
        try:
            yield from self._build(folder, Job.of(run), tasks, progress)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _build(
        self, folder: Path, job: Job, tasks: Sequence[Task], progress: Progress
    ) -> Generator[Built]:
        queue = Queue(tasks, self._workers, progress)
        submit = self._submitter(folder / "log", job)
        for name in (_WAITING, _TAKEN, _DONE):
            make_folder(folder / name, folder)
        write_bytes(folder / _TASKS, pickle.dumps({task.edit.id: task for task in tasks}))
        jobs: dict[int, Any] = {}
        begun = 0
        try:
            while queue:
                while task := queue.take():
                    (folder / _WAITING / task.edit.id).touch()
                if len(jobs) < self._workers:
                    waiting = len([*(folder / _WAITING).iterdir()])
                    while len(jobs) < min(self._workers, waiting):
                        jobs[begun] = submit(begun)
                        begun += 1
                # Before the results are looked at: what has ended has written all of its own.
                ended = [number for number, submitted in jobs.items() if submitted.done()]
                for result in _results(folder):
                    if queue.done(result):
                        yield result
                for number in ended:
                    given_up = _ended(folder, number, jobs.pop(number), queue)
                    if given_up:
                        yield given_up
                time.sleep(_POLL_SECONDS)
        finally:
            _end(jobs.values())

    def _submitter(self, log: Path, job: Job) -> Any:
        """What submits a job."""
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"--on slurm needs {error.name}", "slurm") from error

        try:
            executor = submitit.AutoExecutor(log, cluster=self._cluster)
        except RuntimeError as error:
            raise SetupError(
                f"Slurm cannot be used here: {shorten(str(error), 200)}",
                hint="run it where `srun` and `sbatch` are, such as a login node",
            ) from error
        executor.update_parameters(
            name="sake",
            timeout_min=_MINUTES,
            cpus_per_task=job.threads,
            gpus_per_node=int(job.located.device.startswith("cuda")),
            slurm_setup=[f"export OMP_NUM_THREADS={job.threads}"],
        )

        def submit(number: int) -> Any:
            try:
                return executor.submit(_work, log.parent, job, number)
            except submitit.core.utils.FailedSubmissionError as error:
                raise SetupError(
                    f"Slurm takes no job: {shorten(str(error), 300)}",
                    hint="SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT set what it asks for",
                ) from error

        return submit


def _end(jobs: Collection[Any]) -> None:
    """Tell jobs to end, and give them time to: their folder goes next."""
    for job in jobs:
        job.cancel(check=False)
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until and not all(job.done() for job in jobs):
        time.sleep(_POLL_SECONDS)


def _work(folder: Path, job: Job, number: int) -> None:
    """What a job does: it takes edits until none waits."""
    worker = RemoteWorker(job)
    if error := worker.start():
        _write(folder, f"worker {number}", Built("", error=error))
        return
    tasks: dict[str, Task] = pickle.loads((folder / _TASKS).read_bytes())
    while name := _take(folder, number):
        _write(folder, name, worker.build(tasks[name]))
        remove(folder / _TAKEN / f"{number}.{name}", folder)


def _take(folder: Path, number: int) -> str | None:
    """The name of an edit that waited, and is now this worker's; None if none waits."""
    with suppress(FileNotFoundError):  # the driver has gone, and its folder with it
        while waiting := [*(folder / _WAITING).iterdir()]:
            random.shuffle(waiting)  # so that two seldom reach for the same one
            for path in waiting:
                with suppress(FileNotFoundError):  # another was first
                    path.rename(folder / _TAKEN / f"{number}.{path.name}")
                    return path.name
    return None


def _write(folder: Path, name: str, built: Built) -> None:
    write_bytes(folder / _DONE / name, pickle.dumps(built))


def _results(folder: Path) -> Iterator[Built]:
    """What workers have written since the last time."""
    for path in (folder / _DONE).iterdir():
        if not path.name.startswith(TEMPORARY):
            yield pickle.loads(path.read_bytes())
            remove(path, folder)


def _ended(folder: Path, number: int, job: Any, queue: Queue) -> Built | None:
    """A job has ended: by itself, or it was lost with the edit that it was at."""
    if job.paths.result_pickle.exists():
        if error := job.exception():
            raise error  # a bug
        return None
    reason = f"job {job.job_id} ended as {job.state}"
    at = next((folder / _TAKEN).glob(f"{number}.*"), None)
    return queue.lost(at.name.partition(".")[2] if at else None, reason)
