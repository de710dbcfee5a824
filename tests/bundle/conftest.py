"""A good bundle to read, to damage, and to forge from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundle.synthetic import write


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle of three edits. Not to be written to."""
    path = tmp_path_factory.mktemp("good") / "good.h5"
    write(path)
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """A copy of the sound bundle, to be harmed."""
    path = tmp_path / "copy.h5"
    path.write_bytes(good.read_bytes())
    return path
