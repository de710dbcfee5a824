from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sake_registry.runtime.steering import ObjectMaps
from sake_registry.transport import TransportMap
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


def to_state(state: Tensor) -> TransportMap:
    """A map that leads everything to one state."""
    return TransportMap(
        torch.zeros_like(state), state, torch.empty(0, len(state)), torch.empty(0), 1.0, 0.0
    )


@pytest.fixture
def planted(
    llama: workshop.Compiled, monkeypatch: pytest.MonkeyPatch
) -> Iterator[workshop.Compiled]:
    """A random model never says an object: the maps are put so that it says it more often than
    anything else, but not always."""
    weight = llama.model.get_output_embeddings().weight.detach()
    for info in llama.bundle.manifest.edits:
        found = []
        for group in info.groups:
            states = [4.0 * weight[t] / weight[t].norm() for t in group.tokens]
            maps = {i: to_state(state) for i, state in enumerate(states)}
            found.append(ObjectMaps(group.tokens, maps))
        first = found[0]
        for place, token in enumerate(first.tokens):
            assert int((weight @ first.maps[place].target_mean).argmax()) == token
        monkeypatch.setitem(llama.bundle._maps, (info.id, "cpu"), found)
    yield llama
