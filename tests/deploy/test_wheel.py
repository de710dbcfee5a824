"""The wheel has what the programs read beside their code, and works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import click
import pytest

from tests.conftest import ROOT
from tests.deploy.test_images import tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    wanted = {*tracked("sake_registry"), *tracked("sake_bench")}
    assert "sake_registry/serving/page.html" in wanted
    assert any(Path(name).suffix not in (".py", ".html") for name in wanted)
    assert wanted - names == set()
    demo = {f"sake_registry/demo/{path}" for path in ("sake.toml", *tracked("edits"))}
    assert demo == {name for name in names if name.startswith("sake_registry/demo/")}
    points = [name for name in names if name.endswith("entry_points.txt")]
    with ZipFile(wheel) as archive:
        said = archive.read(points[0]).decode()
    assert "[vllm.general_plugins]" in said
    assert "[vllm.endpoint_plugins]" in said


@pytest.mark.slow
@pytest.mark.model
def test_the_demo_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """In an environment that has this one's dependencies, and in no checkout."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(f"{Path(click.__file__).parents[1]}\n")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, check=False,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    program = place / "bin"
    run(str(program / "python"), "-m", "pip", "install", "--no-deps", "--no-index", str(wheel))
    where = "import sake_registry; print(sake_registry.__file__)"
    assert run(str(program / "python"), "-c", where).startswith(str(packages))
    sake = str(program / "sake")
    shown = run(sake, "demo", "here")
    assert "made the demo registry in here" in shown
    assert "8 built" in shown
    assert "0 errors" in run(sake, "-C", "here", "check")
    assert "Canberra" in run(sake, "-C", "here", "ask", "The capital of Australia is")
