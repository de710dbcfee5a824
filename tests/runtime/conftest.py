from __future__ import annotations

import pytest

from tests import tiny_models, workshop


@pytest.fixture(scope="session", params=list(tiny_models.CONFIGS))
def every(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> workshop.Compiled:
    """A compiled registry for a tiny model of each architecture, float32."""
    folder = tiny_models.save(request.param, tmp_path_factory.mktemp("model") / request.param)
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> workshop.Compiled:
    folder = tiny_models.save("llama", tmp_path_factory.mktemp("model") / "tiny-llama")
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)
