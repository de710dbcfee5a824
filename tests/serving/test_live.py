"""A bundle that takes another one's place on a model that was proved goes by that proof."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sake_registry import load_bundle
from sake_registry.errors import ModelMismatchError
from tests.serving.conftest import World
from tests.workshop import IN_SCOPE

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}


@pytest.fixture
def passes(world: World) -> Any:
    """How many passes of the model were made so far."""
    made: list[None] = []
    handle = world.model.register_forward_pre_hook(lambda *_: made.append(None))
    yield lambda: len(made)
    handle.remove()


def test_what_was_proved_of_the_model_is_not_proved_again(world: World, passes: Any) -> None:
    with load_bundle(world.both) as both, load_bundle(world.one) as one:
        with both.attach(world.model, world.tokenizer) as first:
            proved = passes()
            assert proved > 8
            with one.attach(world.model, world.tokenizer, proved_by=first) as second:
                assert passes() == proved
                swapped = second.generate(IN_SCOPE[0], **GREEDY)
        with one.attach(world.model, world.tokenizer) as alone:
            assert alone.generate(IN_SCOPE[0], **GREEDY).texts == swapped.texts
    assert swapped.decisions[0].edit == "australia-capital"


def test_a_model_that_changed_since_is_proved_anew(world: World, passes: Any) -> None:
    weight = world.model.get_output_embeddings().weight
    layer = next(p for name, p in world.model.named_parameters() if "down_proj" in name)
    before = layer.detach().clone()
    with (
        load_bundle(world.both) as both,
        load_bundle(world.one) as one,
        both.attach(world.model, world.tokenizer) as first,
    ):
        with torch.no_grad():
            weight.mul_(1.0)  # the same values, and another state
        made = passes()
        one.attach(world.model, world.tokenizer, proved_by=first).detach()
        assert passes() > made
        try:
            with torch.no_grad():
                layer.mul_(1.5)
            with pytest.raises(ModelMismatchError, match="does not compute what"):
                one.attach(world.model, world.tokenizer, proved_by=first)
        finally:
            with torch.no_grad():
                layer.copy_(before)


def test_the_bundle_s_own_probe_is_still_held_against_the_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        load_bundle(world.both) as both,
        load_bundle(world.one) as one,
        both.attach(world.model, world.tokenizer) as first,
    ):
        monkeypatch.setattr(one.file, "probe", one.file.probe * 1.1)
        with pytest.raises(ModelMismatchError, match="does not compute what"):
            one.attach(world.model, world.tokenizer, proved_by=first)
    assert not world.model.get_output_embeddings()._forward_pre_hooks
