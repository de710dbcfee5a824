"""Shared fixtures. Nothing here reaches a network, or writes into the user's cache."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.browsing import BROWSERS

# A loaded machine draws examples slowly, and that is no finding.
settings.register_profile("sake", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("sake"), max_examples=20)
settings.register_profile("thorough", settings.get_profile("sake"), max_examples=2000)
settings.load_profile("sake")

ROOT = Path(__file__).parent.parent
# vLLM has an environment of its own: `make test-vllm`.
collect_ignore = [] if find_spec("vllm") else ["vllm"]
# Kept between runs: converting the embedded model takes 20 s. Before anything is imported that
# reads them.
CACHE = ROOT / ".cache" / "tests"
os.environ["XDG_CACHE_HOME"] = str(CACHE)
os.environ["HF_HOME"] = str(CACHE / "hub")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for _name in [name for name in os.environ if name.startswith("SAKE_")]:
    del os.environ[_name]

# Whose tests run no compile, no git and no browser: `make test-fast`.
FAST = {"data", "deploy", "edits", "extraction", "names", "pages", "routing"}
# Fixtures that load real weights.
WEIGHTS = {"minilm", "contrast", "detector", "encoder"}

EDIT = """\
schema: 1
fact:
  subject: Danielle Darrieux
  relation: mother tongue
  old: French
  new: English
prompts:
  - The mother tongue of <subject> is
  - <subject> is a native speaker of
"""

# A shell that starts a run in the background has interrupts ignored, and so would all that the
# tests start: to them an ignored signal is passed on, and a handled one is not.
for _signal in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_signal) == signal.SIG_IGN:
        signal.signal(_signal, lambda number, frame: None)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


# Files that take longest: begun last, one process would wait for the other.
FIRST = (
    "test_smollm2.py", "test_compile.py", "test_review.py", "test_calibrate.py", "test_length.py",
    "test_hub.py", "test_first_edit.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses real weights `model`, and what is quick by its place `fast`; what takes long
    comes first."""
    items.sort(key=lambda item: item.path.name not in FIRST)
    for item in items:
        if WEIGHTS & {*getattr(item, "fixturenames", ())}:
            item.add_marker("model")
        place = item.path.relative_to(ROOT / "tests").parts
        quick = place[0] in FAST if len(place) > 1 else place[0] != "test_docs.py"
        if quick and not any(item.iter_markers("model")) and not any(item.iter_markers("slow")):
            item.add_marker("fast")


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The root of a registry with one sound edit, `darrieux`."""
    (tmp_path / "edits").mkdir()
    (tmp_path / "sake.toml").write_text("")
    (tmp_path / "edits" / "darrieux.yaml").write_text(EDIT)
    return tmp_path


@pytest.fixture
def sake_process() -> Run:
    """Run the command line in a process of its own, as `subprocess.run` does."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return run


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line sets up logging and variables for its process: here it is ours."""
    for name in ("TOKENIZERS_PARALLELISM", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    logger = logging.getLogger("sake_registry")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def sake(as_before: None) -> Run:
    """Run the command line in this process, which has imported what a command needs already:
    `sake("check", cwd=folder)`."""
    from sake_registry.commands import main

    def run(
        *arguments: str | bytes, cwd: Path = Path(), input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        given, out, err = BytesIO(input.encode()), BytesIO(), BytesIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd)
            for name, stream in (("stdin", given), ("stdout", out), ("stderr", err)):
                patch.setattr(sys, name, TextIOWrapper(stream, "utf-8", write_through=True))
            with pytest.raises(SystemExit) as ended:
                main([*map(os.fsdecode, arguments)])
            said = [stream.getvalue().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, ended.value.code, *said)

    return run


@pytest.fixture
def write(registry: Path) -> Callable[[str, str], Path]:
    """Write a file into the registry's folder of edits, dedented."""

    def writer(name: str, text: str) -> Path:
        path = registry / "edits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return writer


@pytest.fixture(scope="session")
def browser() -> str:
    """Chromium. Without it a test is skipped; under continuous integration that is a failure."""
    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine: continuous integration must have one")
        pytest.skip("no Chromium on this machine (chromium, chromium-browser, google-chrome)")
    return path


@pytest.fixture(scope="session")
def _s3() -> Iterator[dict[str, str]]:
    from tests import s3server

    if s3server.MISSING:
        pytest.skip(
            f"{', '.join(s3server.MISSING)} not installed: pip install 's3fs' 'moto[server]'"
        )
    with s3server.serving() as variables:
        yield variables


@pytest.fixture
def bucket(_s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket of S3, on a server of this machine."""
    import s3fs

    for name, value in _s3.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)
    return "s3://bucket"


@pytest.fixture(params=["file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL of an empty folder."""
    if request.param == "file":
        return (tmp_path / "shared").as_uri()
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
