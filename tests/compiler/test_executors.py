"""Edits built elsewhere: the bundle is that of a local compile, whoever builds what how often."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from socket import socket

import psutil
import pytest
import torch

from sake_bench.timings.cluster import Killer, executor_here
from sake_registry import Compiled, compile_registry, make_plan, open_registry
from sake_registry.compiler.context import RunContext
from sake_registry.compiler.executors import LOCAL, Executor, executor_of
from sake_registry.compiler.executors.queue import MOST_LOSSES, Queue
from sake_registry.compiler.executors.worker import Built, Job, RemoteWorker, Task
from sake_registry.errors import BuildError, SakeError, SetupError
from sake_registry.models.loading import locate
from sake_registry.progress import SILENT, Progress
from sake_registry.store import Store
from tests import tiny_models
from tests.conftest import ROOT
from tests.test_docs import blocks
from tests.test_life import Shell
from tests.workshop import TONGUE, make_registry

NAMES = ("Ada", "Bea", "Cleo", "Dora", "Elsa", "Fay", "Gwen", "Hedda")
BROKEN = "zoe-tongue"
"""It asks for a router that reads texts with another embedder than the registry's."""
Make = Callable[[str], Path]


def where(on: str, package: str) -> object:
    """A parameter of a test that runs `make test-cluster`, which has the package."""
    missing = pytest.mark.skipif(not find_spec(package), reason=f"needs {package}")
    return pytest.param(on, marks=[missing, pytest.mark.cluster])


ON_RAY, ON_SLURM = where("ray", "ray"), where("slurm", "submitit")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A new registry of eight edits that can be built, and one that cannot."""
    model = tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")

    def make(name: str) -> Path:
        root = make_registry(tmp_path_factory.mktemp(name), model)
        for path in (root / "edits").iterdir():
            path.unlink()
        for who in NAMES:
            text = TONGUE.replace("Leo Tolstoy", f"{who} Smith")
            (root / "edits" / f"{who.lower()}-tongue.yaml").write_text(text)
        broken = TONGUE.replace("Leo Tolstoy", "Zoe Smith") + "scope:\n  router: detector\n"
        (root / "edits" / f"{BROKEN}.yaml").write_text(broken)
        return root

    return make


def compile_(root: Path, executor: Executor = LOCAL, progress: Progress = SILENT) -> Compiled:
    registry = open_registry(root)
    return compile_registry(registry, keep_going=True, executor=executor, progress=progress)


@pytest.fixture(scope="module")
def local(make: Make) -> Compiled:
    done = compile_(make("local"))
    assert [*done.failures] == [BROKEN]
    assert done.built == [f"{who.lower()}-tongue" for who in NAMES]
    return done


def assert_same(done: Compiled, local: Compiled) -> None:
    """Key and content are a local compile's, and nothing was built by another machine."""
    assert done.manifest is not None
    assert local.manifest is not None
    assert done.plan.key == local.plan.key
    assert done.manifest.content_hash == local.manifest.content_hash
    assert "machines" not in done.manifest.provenance
    assert done.manifest.versions == local.manifest.versions


@pytest.fixture(scope="module", autouse=True)
def ray_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray reports nothing, and keeps its token out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for the module: a program's own is used, and not ended."""
    if not find_spec("ray"):
        yield
        return
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=80 << 20)
    yield
    ray.shutdown()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("on", [ON_RAY, ON_SLURM])
def test_equal_bundles(on: str, workers: int, ray_here: None, make: Make, local: Compiled) -> None:
    done = compile_(make(f"{on}-{workers}"), executor_here(on, workers))
    assert_same(done, local)
    assert done.outcomes == local.outcomes
    assert done.texts_run == local.texts_run
    assert str(done.failures[BROKEN]) == str(local.failures[BROKEN])


@pytest.mark.parametrize("on", [ON_RAY, ON_SLURM])
def test_killed_workers_change_nothing(
    on: str, ray_here: None, make: Make, local: Compiled
) -> None:
    root = make(f"killed-{on}")
    killer = Killer(on, len(NAMES), 4)
    done = compile_(root, executor_here(on, 2), killer)
    assert killer.killed
    assert_same(done, local)
    assert [*done.failures] == [BROKEN]
    assert not (open_registry(root).store / "jobs").exists()


@pytest.mark.parametrize("on", [ON_RAY])
def test_interrupted_the_next_run_goes_on(on: str, make: Make, local: Compiled) -> None:
    root = make("interrupted")
    store = open_registry(root).store
    command = [sys.executable, str(ROOT / "cli.py"), "-C", str(root), "compile", "--keep-going"]
    process = subprocess.Popen([*command, "--on", on, "--workers", "1"], start_new_session=True)
    while process.poll() is None and not list(store.glob("activations/*/*")):
        time.sleep(0.01)
    ours = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert psutil.wait_procs(ours, timeout=60)[1] == []
    done = compile_(root)
    assert_same(done, local)
    assert len(done.built) <= len(NAMES)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A Ray cluster of its own, only here: its address, and that of its port for clients."""
    with socket() as one, socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        gcs, client = (str(free.getsockname()[1]) for free in (one, other))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    options = ["--node-ip-address", "127.0.0.1", "--port", gcs, "--ray-client-server-port", client,
               "--num-cpus", "2", "--include-dashboard=false"]  # fmt: skip
    with (tmp_path / "head.log").open("w") as log:
        environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environment)
    try:
        while process.poll() is None and "runtime started" not in Path(log.name).read_text():
            time.sleep(0.1)
        yield f"127.0.0.1:{gcs}", f"127.0.0.1:{client}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("on", [ON_RAY])
def test_every_command_of_the_page(
    on: str, head: tuple[str, str], make: Make, tmp_path: Path, local: Compiled
) -> None:
    page = ROOT / "docs" / "cluster.md"
    here, cluster, slurm = (text for text in blocks(page, "sh") if not text.startswith("pip "))
    shell = Shell(tmp_path)
    shell.environment |= {"RAY_AUTH_MODE": "disabled", "SAKE_COMPILE_PROMPTS": "12"}
    address, client = head
    named = cluster.replace("head.example:6379", address).replace("head.example:10001", client)
    assert local.manifest is not None
    for text in (here, *named.splitlines()):
        shell.folder = make("page")
        (shell.folder / "edits" / f"{BROKEN}.yaml").unlink()
        assert local.manifest.content_hash[:12] in shell.run(text)
    shell.folder = make("page")
    if not shutil.which("sbatch"):
        shell.run(slurm, code=4)


def tasks_of(root: Path) -> list[Task]:
    registry = open_registry(root)
    plan = make_plan(registry, locate(registry.settings))
    return [Task(p.edit, p.keys) for p in plan.edits if p.edit and p.keys]


def test_a_worker_of_another_model_or_version_builds_nothing(make: Make) -> None:
    root = make("other")
    registry = open_registry(root)
    task = tasks_of(root)[0]
    settings = registry.settings.model_copy(
        update={"compile": registry.settings.compile.model_copy(update={"prompts": 16})}
    )
    store = Store(registry.store)
    job = Job(settings, locate(settings), store, torch.get_num_threads())
    error = RemoteWorker(job).build(task).error
    assert isinstance(error, SetupError)
    assert "makes other keys" in error.message
    assert store.objects() == []
    # And that ends the compile: it is no fault of the edit.
    with pytest.raises(SetupError, match="makes other keys"):
        Queue([task], 1, SILENT).done(Built(task.edit.id, error=error))


def test_what_another_machine_built_is_recorded_and_said(
    make: Make, local: Compiled, caplog: pytest.LogCaptureFixture
) -> None:
    root = make("mixed")
    registry = open_registry(root)
    threads = torch.get_num_threads()
    first, second = tasks_of(root)[:2]
    job = Job(registry.settings, locate(registry.settings), Store(registry.store), threads + 1)
    try:
        for task in (first, second):
            assert RemoteWorker(job).build(task).outcome == "built"
    finally:
        torch.set_num_threads(threads)
    done = compile_(root)
    assert done.manifest is not None
    recorded = done.manifest.provenance["machines"]
    assert isinstance(recorded, dict)
    ((machine, ids),) = recorded.items()
    assert ids == (first.edit.id, second.edit.id)
    assert f"threads {threads + 1}" in machine
    assert "2 edits built elsewhere" in caplog.text
    assert done.plan.key == local.plan.key


class Elsewhere:
    """Workers that see another folder than the driver."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def build(
        self, run: RunContext, tasks: Sequence[Task], progress: Progress = SILENT
    ) -> Generator[Built]:
        job = Job(run.settings, run.located, self._store, torch.get_num_threads())
        worker = RemoteWorker(pickle.loads(pickle.dumps(job)))
        assert worker.start() is None
        for task in tasks:
            yield worker.build(task)


def test_workers_share_a_folder_or_what_they_build(
    make: Make, local: Compiled, tmp_path: Path
) -> None:
    root = make("apart")
    with pytest.raises(SetupError, match="as this machine sees it"):
        compile_(root, Elsewhere(Store(tmp_path / "theirs")))
    options = {"remote.store": str(tmp_path / "shared")}
    theirs = Store(tmp_path / "theirs-too", open_registry(root, options).open_store().shared)
    registry = open_registry(root, options)
    done = compile_registry(registry, keep_going=True, executor=Elsewhere(theirs))
    assert_same(done, local)
    assert done.built == local.built


def test_an_edit_that_costs_one_worker_after_the_other_is_named(make: Make) -> None:
    good, bad = tasks_of(make("queue"))[:2]
    queue = Queue([bad, good], 1, SILENT)
    assert queue.take() == bad
    for _ in range(MOST_LOSSES - 1):
        assert queue.lost(bad.edit.id, "killed") is None
    # Others go first: what is lost again and again keeps nobody waiting.
    assert [queue.take(), queue.take()] == [good, bad]
    assert queue.done(Built(good.edit.id, "built"))
    assert not queue.done(Built(good.edit.id, "reused"))
    given_up = queue.lost(bad.edit.id, "killed")
    assert given_up is not None
    assert isinstance(given_up.error, BuildError)
    assert bad.edit.id in given_up.error.message
    assert len(queue) == 0


def test_workers_that_are_lost_before_they_do_anything_end_the_compile(make: Make) -> None:
    queue = Queue(tasks_of(make("lost")), 2, SILENT)
    with pytest.raises(SetupError, match="workers were lost, one after the other"):
        for _ in range(100):
            assert queue.lost(None, "killed") is None


def test_a_place_that_there_is_not_is_refused() -> None:
    for on, workers in (("ray:x", None), ("moon", None), ("local", 2)):
        with pytest.raises(SakeError) as error:
            executor_of(on, workers)
        assert error.value.hint
