from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sake_registry import Compiled, compile_registry, open_registry
from tests import tiny_models
from tests.workshop import make_registry

Compile = Callable[..., Compiled]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")


@pytest.fixture
def root(tmp_path: Path, model_folder: Path) -> Path:
    """A registry of two edits for a tiny model, not compiled."""
    return make_registry(tmp_path, model_folder)


@pytest.fixture
def compile_(root: Path) -> Compile:
    """Compile the registry as it is now: `compile_(overrides, ids…, keep_going=True)`."""

    def run(overrides: dict[str, object] | None = None, *ids: str, **options: bool) -> Compiled:
        return compile_registry(open_registry(root, overrides), ids, **options)

    return run
