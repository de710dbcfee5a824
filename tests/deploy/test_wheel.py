"""The wheel has what the programs read beside their code: data, schemas, pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from tests.conftest import ROOT
from tests.deploy.test_images import tracked


def test_the_wheel_has_every_file_of_the_packages(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    wanted = {*tracked("sake_registry"), *tracked("sake_bench")}
    assert "sake_registry/serving/page.html" in wanted
    assert any(Path(name).suffix not in (".py", ".html") for name in wanted)
    assert wanted - names == set()
    points = [name for name in names if name.endswith("entry_points.txt")]
    with ZipFile(wheel) as archive:
        said = archive.read(points[0]).decode()
    assert "[vllm.general_plugins]" in said
    assert "[vllm.endpoint_plugins]" in said
