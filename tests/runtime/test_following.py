"""Following a generation leaves no trace: on the model, in other threads, in other handles."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
import torch

from sake_registry.runtime.following import Following
from tests import tiny_models
from tests.workshop import IN_SCOPE, Compiled

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}


@pytest.fixture
def model() -> Any:
    return tiny_models.make("llama")


def ids_of(*prompts: str) -> torch.Tensor:
    rows = tiny_models.tokenizer()(list(prompts), return_tensors="pt").input_ids
    assert isinstance(rows, torch.Tensor)
    return rows


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_to_go_leaves_the_model_as_it_was(model: Any, first_out: int) -> None:
    before = dict(vars(model))
    bare = model.generate(ids_of(IN_SCOPE[0]), **GREEDY)
    followers = [Following(model), Following(model)]
    assert vars(model) != before
    followers.pop(first_out).remove()
    (left,) = followers
    with left.call():
        assert torch.equal(model.generate(ids_of(IN_SCOPE[0]), **GREEDY), bare)
        # The one that is still there hears the last pass: all but the token that came of it.
        heard = left.rows()
    assert heard is not None
    assert torch.equal(heard, bare[:, :-1])
    left.remove()
    left.remove()  # a second time does no harm
    assert vars(model) == before
    assert left.rows() is None
    assert torch.equal(model.generate(ids_of(IN_SCOPE[0]), **GREEDY), bare)


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_handles_on_one_model_are_detached_in_either_order(
    llama: Compiled, first_out: int
) -> None:
    before = dict(vars(llama.model))
    batch = llama.batch(*IN_SCOPE, left=True)
    bare = llama.model.generate(**batch, **GREEDY)
    handles = [llama.bundle.attach(llama.model, llama.tokenizer) for _ in range(2)]
    steered = handles[0].generate(**batch, **GREEDY).sequences
    assert not torch.equal(steered, bare)
    handles.pop(first_out).detach()
    (left,) = handles
    assert torch.equal(left.generate(**batch, **GREEDY).sequences, steered)
    left.detach()
    assert vars(llama.model) == before
    assert not llama.model.get_output_embeddings()._forward_pre_hooks
    assert torch.equal(llama.model.generate(**batch, **GREEDY), bare)


def test_what_an_instance_had_of_its_own_is_put_back(model: Any) -> None:
    calls = []
    usual = model.prepare_inputs_for_generation

    def own(input_ids: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(len(input_ids))
        return usual(input_ids, *arguments, **options)

    model.prepare_inputs_for_generation = own
    following = Following(model)
    model.generate(ids_of(IN_SCOPE[0]), **GREEDY)
    assert calls
    following.remove()
    assert model.prepare_inputs_for_generation is own


def test_each_thread_hears_its_own_generation(model: Any) -> None:
    following = Following(model)
    model.generate(ids_of(IN_SCOPE[0]), **GREEDY)
    mine = following.rows()
    assert mine is not None
    theirs: list[Any] = []

    def other() -> None:
        theirs.append(following.rows())
        model.generate(ids_of(IN_SCOPE[1], IN_SCOPE[1]), **GREEDY)
        theirs.append(following.rows())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert theirs[0] is None
    assert len(theirs[1]) == 2
    assert following.rows() is mine
    with following.call():
        assert following.rows() is None
    following.remove()


def test_in_beam_search_rows_are_those_of_the_pass(model: Any) -> None:
    """Each pass continues what was heard before it: the sequences that were returned are heard."""
    following = Following(model)
    heard: list[torch.Tensor] = []

    def hook(*_: Any) -> None:
        rows = following.rows()
        assert rows is not None
        heard.append(rows.clone())

    handle = model.get_output_embeddings().register_forward_pre_hook(hook)
    ids = ids_of(*IN_SCOPE[:1])
    out = model.generate(ids, num_beams=3, num_return_sequences=3, **GREEDY)
    handle.remove()
    following.remove()
    assert [rows.shape[1] for rows in heard] == [ids.shape[1] + i for i in range(len(heard))]
    last = {tuple(row.tolist()) for row in heard[-1]}
    full = [row for row in out.tolist() if len(row) == heard[-1].shape[1] + 1]
    assert full
    assert any(tuple(row[:-1]) in last for row in full)


def test_a_model_is_copied_and_pickled_before_and_after(llama: Compiled) -> None:
    model = copy.deepcopy(llama.model)
    ids = ids_of(IN_SCOPE[0])
    bare = model.generate(ids, **GREEDY)
    size = len(pickle.dumps(model))
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        edited.generate(ids, **GREEDY)
    assert len(pickle.dumps(model)) == size
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other.generate(ids, **GREEDY), bare)
