"""A model's own states as embeddings: those that transformers itself reports, read bare."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.embedder import MAX_TOKENS
from sake_registry.models.loading import locate
from sake_registry.models.site import Site
from sake_registry.models.states import Middle, States, space_of
from sake_registry.settings import Representation, Settings
from tests import tiny_models

OWN: tuple[Representation, ...] = ("hidden", "middle")
TEXTS = ("The capital of X is", "X", "In which of the two languages did X write her letters?")


def reported(model: Any, text: str, own: Representation) -> Tensor:
    """The state at a text's last position, as the model's own output says."""
    seen: list[Tensor] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    ids = tiny_models.tokenizer()(text, return_tensors="pt").input_ids
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
    handle.remove()
    return seen[0][0, -1] if own == "hidden" else states[model.config.num_hidden_layers // 2][0, -1]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_each_text_has_the_state_at_its_last_position(kind: str, own: Representation) -> None:
    model = tiny_models.make(kind)
    site = Site(model)
    found = States(site, tiny_models.tokenizer(), own).embed(TEXTS)
    site.remove()
    assert found.dtype == torch.float32
    expected = torch.stack([reported(model, text, own) for text in TEXTS])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found[0] - found[1]).norm() > 0.1


def test_three_layers_have_one_before_their_middle() -> None:
    site = Site(deeper(3))
    found = States(site, tiny_models.tokenizer(), "middle").embed(TEXTS[:1])[0]
    torch.testing.assert_close(
        found, reported(site.model, TEXTS[0], "middle"), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("own", OWN)
def test_of_a_long_text_the_first_token_and_the_last_ones_are_read(own: Representation) -> None:
    tokenizer = tiny_models.tokenizer()
    states = States(Site(tiny_models.make("llama")), tokenizer, own)
    long = "The capital of X is " + "and so on " * MAX_TOKENS + "in the city of"
    ids = tokenizer(long).input_ids
    short = tokenizer.decode([ids[0], *ids[1 - MAX_TOKENS :]])
    assert len(tokenizer(short).input_ids) == MAX_TOKENS < len(ids)
    assert torch.equal(states.embed([long])[0], states.embed([short])[0])
    assert torch.isfinite(states.embed([""])).all()


@pytest.mark.parametrize("own", OWN)
def test_one_by_one_no_text_moves_another(own: Representation) -> None:
    site = Site(tiny_models.make("qwen2").to(torch.bfloat16))
    states = States(site, tiny_models.tokenizer(), own, batch_size=1)
    alone = torch.cat([states.embed([text]) for text in TEXTS])
    assert torch.equal(states.embed(TEXTS), alone)


@pytest.mark.parametrize("own", OWN)
def test_within_an_acting_call_it_is_read_bare_and_the_call_goes_on(own: Representation) -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    site = Site(model)
    states = States(site, tokenizer, own)
    ids = tokenizer(TEXTS[0], return_tensors="pt").input_ids
    before, inside = states.embed(TEXTS), []

    def negate(hidden: Tensor) -> Tensor:
        inside.append(states.embed(TEXTS))
        return -hidden

    with torch.no_grad():
        bare = model(ids).logits
        with site.acting(negate) as call:
            steered = model(ids).logits
    assert call.firings == len(inside) == 1
    assert torch.equal(inside[0], before)
    assert torch.equal(steered, -bare)  # the head of this model is linear


def test_reading_in_one_thread_leaves_the_others_calls_bare() -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    site = Site(model)
    middle = Middle(site)
    ids = tokenizer(TEXTS[0], return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model(ids).logits
    found: list[Tensor] = []

    def bare() -> None:
        with torch.no_grad():
            found.append(model(ids).logits)

    reading = threading.get_ident()

    def meanwhile(*_: Any) -> None:
        if threading.get_ident() == reading:
            other = threading.Thread(target=bare)
            other.start()
            other.join()

    handle = model.model.layers[0].register_forward_pre_hook(meanwhile)
    read = middle.read(ids, torch.ones_like(ids))
    handle.remove()
    assert read.shape == (1, ids.shape[1], 32)
    assert len(found) == 1
    assert torch.equal(found[0], expected)


def test_its_hook_goes_with_the_sites() -> None:
    model = tiny_models.make("llama")
    site = Site(model)
    States(site, tiny_models.tokenizer(), "middle")
    assert sum(len(module._forward_pre_hooks) for module in model.modules()) == 2
    site.remove()
    assert not any(module._forward_pre_hooks for module in model.modules())


def deeper(layers: int) -> Any:
    config = tiny_models.make("llama").config
    config.num_hidden_layers, config.layer_types = layers, None
    torch.manual_seed(0)
    return type(tiny_models.make("llama"))(config).eval()


def test_a_model_whose_layers_cannot_be_told_is_refused_with_another_choice() -> None:
    model = tiny_models.make("llama")
    model.another = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    with pytest.raises(UnsupportedModelError, match="2 of its parts are a list of 2") as caught:
        Middle(Site(model))
    assert 'representation = "hidden"' in str(caught.value.hint)


def test_a_space_is_the_embedders_or_of_one_model_and_dtype(tmp_path: Any) -> None:
    folder = tiny_models.save("llama", tmp_path / "tiny")
    single, half = (
        locate(Settings(model=str(folder), dtype=dtype, device="cpu"))
        for dtype in ("float32", "bfloat16")
    )
    assert space_of("embedder", single) == space_of("embedder", half) == single.identity.embedder
    spaces = {space_of(own, model) for own in OWN for model in (single, half)}
    assert len(spaces) == 4
