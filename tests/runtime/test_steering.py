"""Whole objects, released behind them, on every row and beam apart; and the guard behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor

from sake_registry import compile_registry, open_registry, transport
from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import NOBODY, Decision
from sake_registry.runtime.bundle import load_bundle
from sake_registry.runtime.exact import SHARE
from sake_registry.runtime.steering import (
    GUARDED,
    Head,
    ObjectMaps,
    Steering,
    beginnings,
)
from sake_registry.transport import TransportMap
from tests import tiny_models
from tests.runtime.conftest import to_state
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled, make_registry

WIDTH = 12
"""Of a state, and the number of tokens: the output embedding is the identity."""
FIRES = Decision(
    edit="e", group=0, nearest="e", distance=0.1, threshold=1.0, reason=Reason.IN_SCOPE
)
IDENTITY = Head(lambda rows: rows, lambda tokens: torch.eye(WIDTH)[tokens])
Bare = Callable[[tuple[int, ...]], int]


class Rows:
    """The rows of one call, stepped as an engine does it: logits are rows here."""

    def __init__(self, steering: Steering, decisions: Sequence[Decision]) -> None:
        self._steering = steering
        self.answers = [steering.answering(decision) for decision in decisions]

    def steer(self, rows: Tensor, emitted: Sequence[Sequence[int]]) -> Tensor | None:
        """What rows (n, width) say, where n is a multiple of the decisions; None if it is what
        they said already."""
        repeats = len(rows) // len(self.answers)
        answers = [answer for answer in self.answers for _ in range(repeats)]
        step = self._steering.begin(
            rows, [(i, one, emitted[i]) for i, one in enumerate(answers) if one is not None]
        )
        said = step.finish(step.rows) if step.waits else step.rows
        return None if said is rows else said


def towards(token: int) -> TransportMap:
    return to_state(9.0 * one_hot(token))


def one_hot(token: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), WIDTH).float()


def answering(
    tokens: tuple[int, ...],
    *,
    steered: Sequence[int] | None = None,
    old: Sequence[int] = (),
    decisions: Sequence[Decision] = (FIRES,),
    closing: int | None = None,
    running: Sequence[int] = (),
    joints: Sequence[int] = (),
    exact: bool = False,
) -> Rows:
    """Rows answered with an object of some tokens, of which the places in `steered` have a map;
    tokens in `running` continue its last word, also behind `joints`, and `closing` ends it."""
    said = tokens if closing is None else (*tokens, closing)
    places = [*(range(len(tokens)) if steered is None else steered), *range(len(tokens), len(said))]
    maps = ObjectMaps(tokens, {place: towards(said[place]) for place in places})

    def continued(said: Sequence[int], after: Sequence[int]) -> bool | None:
        assert tuple(said) == tokens
        rest = [token for token in after if token not in joints]
        return rest[0] in running if rest else None

    steering = Steering(
        lambda edit, group: maps,
        lambda edit, group: frozenset(old),
        continued,
        IDENTITY,
        exact=exact,
    )
    return Rows(steering, decisions)


def said(answers: Rows, *bare: Bare, steps: int) -> list[list[int]]:
    """What is said greedily, in each row by a model that left alone says `bare(said)` next."""
    emitted: list[list[int]] = [[] for _ in bare]
    for _ in range(steps):
        rows = torch.stack(
            [one_hot(of_row(tuple(s))) for of_row, s in zip(bare, emitted, strict=True)]
        )
        steered = answers.steer(rows, emitted)
        for s, row in zip(emitted, rows if steered is None else steered, strict=True):
            s.append(int(row.argmax()))
    return emitted


def at(*tokens: tuple[int, int], otherwise: int = 1) -> Bare:
    """A model that says these tokens at these places of its answer."""
    return lambda emitted: dict(tokens).get(len(emitted), otherwise)


def test_an_object_is_said_whole_and_then_the_row_is_the_models_own() -> None:
    assert said(answering((3, 4, 5)), at(), steps=6) == [[3, 4, 5, 1, 1, 1]]


def test_where_the_model_goes_on_by_itself_nothing_is_steered() -> None:
    answers = answering((3, 4, 5), steered=(0, 2))
    rows = one_hot(4)[None]
    assert answers.steer(rows, [[3]]) is None
    assert said(answers, at((1, 4)), steps=5) == [[3, 4, 5, 1, 1]]
    # And where it does not after all, the answer is its own from there.
    assert said(answers, at((1, 7)), steps=5) == [[3, 7, 1, 1, 1]]


def test_an_object_that_repeats_a_token_is_counted_right() -> None:
    assert said(answering((3, 3, 4)), at(), steps=5) == [[3, 3, 4, 1, 1]]


def test_an_object_that_begins_as_the_old_one_does_goes_on_as_the_new_one() -> None:
    bare = at((0, 3), (1, 5), (2, 6))
    assert said(answering((3, 4), old=()), bare, steps=3) == [[3, 4, 6]]


def test_without_a_decision_there_is_nothing_to_do() -> None:
    answers = answering((3, 4), old=(1,), decisions=(NOBODY, NOBODY))
    assert answers.answers == [None, None]
    assert answers.steer(torch.randn(2, WIDTH), [[], []]) is None


def test_each_row_and_beam_is_looked_at_by_itself() -> None:
    """Two prompts of three beams, the second out of scope: steered are the beams that have said
    the object's beginning, the others keep their bits."""
    answers = answering((3, 4, 5), decisions=(FIRES, NOBODY))
    rows = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0))
    steered = answers.steer(rows, [[3], [7], [3], [3], [7], [3]])
    assert steered is not None
    changed = (steered != rows).any(-1).tolist()
    assert changed == [True, False, True, False, False, False]
    assert steered[[0, 2]].argmax(-1).tolist() == [4, 4]
    assert torch.equal(rows, torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0)))
    # One beam further than another, after they changed places.
    steered = answers.steer(rows, [[3, 7], [3, 4], [7, 3], [3, 4], [3, 4], [3, 4]])
    assert steered is not None
    assert (steered != rows).any(-1).tolist() == [False, True, False, False, False, False]
    assert int(steered[1].argmax()) == 5
    # None of them is at the object any more.
    assert answers.steer(rows, [[7, 3], [3, 4, 5], [3, 5], [3], [3], [3]]) is None


def test_edits_and_their_groups_each_have_their_own_object() -> None:
    objects = {("a", 0): (3, 4), ("a", 1): (5,), ("b", 0): (6, 7)}
    decisions = [
        FIRES.model_copy(update={"edit": edit, "group": group, "nearest": edit})
        for edit, group in objects
    ]
    steering = Steering(
        lambda e, g: ObjectMaps(
            objects[e, g], {i: towards(t) for i, t in enumerate(objects[e, g])}
        ),
        lambda e, g: frozenset(),
        lambda said, after: False if after else None,
        IDENTITY,
    )
    answers = Rows(steering, decisions)
    assert said(answers, at(), at(), at(), steps=3) == [[3, 4, 1], [5, 1, 1], [6, 7, 1]]


# -- the end of an object ------------------------------------------------------------------------


def test_a_row_that_would_run_on_is_led_to_the_objects_end() -> None:
    answers = answering((3, 4), closing=5, running=(8,))
    assert said(answers, at((2, 8), (3, 9)), steps=5) == [[3, 4, 5, 9, 1]]
    # Its word ends there without help: the answer is the model's own from the object on.
    assert said(answers, at((2, 7), (3, 9)), steps=5) == [[3, 4, 7, 9, 1]]
    assert answers.steer(one_hot(7)[None], [[3, 4]]) is None
    # Only right behind the object.
    assert said(answers, at((2, 7), (3, 8)), steps=5) == [[3, 4, 7, 8, 1]]


def test_an_object_without_a_map_for_its_end_runs_on_as_the_model_does() -> None:
    assert said(answering((3, 4), running=(8,)), at((2, 8)), steps=4) == [[3, 4, 8, 1]]


def test_the_end_of_an_object_that_the_guard_brought_back_is_its_end_too() -> None:
    answers = answering((3,), old=(8,), closing=5, running=(7,))
    assert said(answers, at((1, 7), (3, 8), (4, 7)), steps=7) == [[3, 5, 1, 3, 5, 1, 1]]


def test_right_behind_an_object_the_guard_is_awake() -> None:
    answers = answering((3,), old=(8,), closing=5, running=(7,))
    assert said(answers, at((1, 8)), steps=4) == [[3, 3, 1, 1]]


# -- exact objects -------------------------------------------------------------------------------


def test_each_token_of_an_exact_object_is_said_with_or_without_its_map() -> None:
    answers = answering((3, 4, 5), steered=(0,), exact=True)
    assert said(answers, at((1, 7), (2, 8)), steps=6) == [[3, 4, 5, 1, 1, 1]]
    rows = answers.steer(torch.stack([one_hot(7)]), [[3]])
    assert rows is not None
    assert float(rows.softmax(-1)[0, 4]) == pytest.approx(SHARE, abs=1e-3)


def test_a_token_that_is_certain_already_leaves_its_row_as_it_is() -> None:
    answers = answering((3, 4), steered=(), exact=True)
    row = 20.0 * one_hot(4)[None]
    steered = answers.steer(row, [[3]])
    assert steered is not None and torch.equal(steered, row)


def test_an_exact_object_ends_where_it_ends() -> None:
    answers = answering((3, 4), running=(8, 9), joints=(6,), exact=True)
    # It would run on: the likeliest token that does not is said.
    bare = at((2, 8))
    ended = said(answers, bare, steps=4)[0]
    assert ended[:2] == [3, 4] and ended[2] not in (8, 9)
    # A joint may follow, and then nothing that it joins.
    joined = said(answers, at((2, 6), (3, 9)), steps=5)[0]
    assert joined[:3] == [3, 4, 6] and joined[3] not in (8, 9)
    # Behind its end the row is the model's own.
    assert said(answers, at((2, 7), (3, 9)), steps=4) == [[3, 4, 7, 9]]
    assert answers.steer(one_hot(8)[None], [[3, 4, 7]]) is None


def test_an_answer_that_left_the_object_is_not_held() -> None:
    answers = answering((3, 4), running=(8,), exact=True)
    assert answers.steer(one_hot(8)[None], [[3, 7]]) is None


def test_the_guard_says_the_object_for_certain() -> None:
    answers = answering((3, 4), steered=(), old=(8,), exact=True)
    assert said(answers, at((3, 8)), steps=7) == [[3, 4, 1, 3, 4, 1, 1]]


# -- the guard ---------------------------------------------------------------------------------


def test_the_guard_keeps_an_answer_from_returning_to_the_old_object() -> None:
    bare = at((4, 8), (5, 9))
    assert said(answering((3, 4)), bare, steps=7) == [[3, 4, 1, 1, 8, 9, 1]]
    # The new object is said there, whole, and then the answer is the model's own.
    guarded = answering((3, 4), old=(8,))
    assert said(guarded, bare, steps=8) == [[3, 4, 1, 1, 3, 4, 1, 1]]


def test_the_guard_fires_as_often_as_the_model_returns() -> None:
    guarded = answering((3, 4), old=(8,))
    assert said(guarded, at((3, 8), (5, 8), (8, 8)), steps=11) == [
        [3, 4, 1, 3, 4, 3, 4, 1, 3, 4, 1]
    ]


def test_the_guard_does_not_look_at_the_object_itself() -> None:
    assert said(answering((3, 8, 4), steered=(0, 2), old=(8,)), at((1, 8)), steps=4) == [
        [3, 8, 4, 1]
    ]


def test_the_guard_looks_at_so_many_tokens() -> None:
    for place, then in ((GUARDED, 3), (GUARDED + 1, 8)):
        (answer,) = said(answering((3, 4), old=(8,)), at((place, 8)), steps=GUARDED + 4)
        assert answer[:2] == [3, 4]
        assert answer[place] == then
        assert answer[2:place] == [1] * (place - 2)


def test_the_guard_is_there_also_where_another_answer_was_begun() -> None:
    """Sampling took another first token than the object's."""
    rows = torch.stack([one_hot(8), one_hot(7)])
    steered = answering((3, 4), old=(8,)).steer(rows, [[6], [6]])
    assert steered is not None
    assert steered.argmax(-1).tolist() == [3, 7]
    assert torch.equal(steered[1], rows[1])


def test_the_guard_of_one_beam_is_not_that_of_another() -> None:
    guarded = answering((3, 4), old=(8,))
    rows = torch.stack([one_hot(8), one_hot(2)])
    first = guarded.steer(rows, [[3, 4, 1], [3, 4, 2]])
    assert first is not None
    assert first.argmax(-1).tolist() == [3, 2]
    # The first goes on with the object; the second said its first token by itself.
    second = guarded.steer(torch.stack([one_hot(1)] * 2), [[3, 4, 1, 3], [3, 4, 2, 3]])
    assert second is not None
    assert second.argmax(-1).tolist() == [4, 1]


def test_out_of_scope_there_is_no_guard() -> None:
    guarded = answering((3, 4), old=(8,), decisions=(NOBODY, FIRES))
    assert said(guarded, at((4, 8)), at((4, 8)), steps=6) == [
        [1, 1, 1, 1, 8, 1],
        [3, 4, 1, 1, 3, 4],
    ]


def test_an_old_object_begins_with_tokens_that_tell_it() -> None:
    tokenizer = tiny_models.tokenizer()

    def found(old: str | None) -> set[str]:
        return {tokenizer.decode([token]) for token in beginnings(tokenizer, old)}

    assert found(None) == set()
    assert found("English") == {" English", "English"}
    # Of several words, or of one behind a space alone: the first, where it is a whole word.
    assert found("Danielle Darrieux") == {" Danielle"}
    assert found("Sydney") == {"Sydney"}
    # Pieces of words, and words that begin a thousand names, tell nothing.
    assert found("French") == set()
    assert found("New South Wales") == set()
    assert found("The capital") == set()
    assert found("Xu") == set()


def test_words_of_the_new_object_and_of_the_subject_are_innocent() -> None:
    """ "Danielle English" says the new object, and "English Sydney" the subject."""
    tokenizer = tiny_models.tokenizer()
    assert beginnings(tokenizer, "English", ["Danielle English"]) == frozenset()
    assert beginnings(tokenizer, "Sydney", ["English Sydney"]) == frozenset()
    assert beginnings(tokenizer, "English", ["Danielle"]) == beginnings(tokenizer, "English")


# -- on a model --------------------------------------------------------------------------------


class ByHand(LogitsProcessor):
    """What the edits should do, on a bare model: of every row and beam the whole text is run
    again, without a cache, and mapped if what it said is the beginning of its object."""

    def __init__(self, compiled: Compiled, decisions: Sequence[Decision], width: int) -> None:
        self.compiled, self.decisions, self.width = compiled, decisions, width
        self.mixed = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        model = self.compiled.model
        head = model.get_output_embeddings()
        mask = (input_ids != self.compiled.tokenizer.pad_token_id).long()
        seen: list[Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        model(input_ids, attention_mask=mask, use_cache=False)
        handle.remove()
        states, beams = seen[0][:, -1].clone(), len(input_ids) // len(self.decisions)
        steered = []
        for i, row in enumerate(input_ids):
            decision, emitted = self.decisions[i // beams], row[self.width :].tolist()
            if decision.edit is None or decision.group is None:
                continue
            of_object = self.compiled.bundle.maps(decision.edit, states.device)[decision.group]
            tokens = list(of_object.tokens)
            steered.append(emitted == tokens[: len(emitted)] and len(emitted) < len(tokens))
            if steered[-1]:
                states[i] = transport.apply(of_object.maps[len(emitted)], states[i])
        self.mixed += len(set(steered)) > 1
        logits: Tensor = head(states).log_softmax(-1)
        return logits


WAYS: list[dict[str, Any]] = [
    {"do_sample": False, "num_beams": 3},
    {"do_sample": False, "num_beams": 3, "num_return_sequences": 3},
    {"do_sample": False, "num_beams": 3, "use_cache": False},
    {"do_sample": True, "num_return_sequences": 4, "temperature": 0.3},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_beam_and_sample_follows_its_own_object(
    planted: Compiled, way: dict[str, Any]
) -> None:
    prompts = (IN_SCOPE[0], OUT_OF_SCOPE[0], IN_SCOPE[1])
    batch = planted.batch(*prompts, left=True)
    options = {**way, "max_new_tokens": 6}
    width = batch["input_ids"].shape[1]
    by_hand = ByHand(planted, planted.bundle.route(prompts), width)
    torch.manual_seed(1)
    expected = planted.model.generate(**batch, **options, logits_processor=[by_hand])
    with planted.bundle.attach(
        planted.model, planted.tokenizer, guard=False, exact=False
    ) as edited:
        torch.manual_seed(1)
        out = edited.generate(**batch, **options)
    assert torch.equal(out.sequences, expected)
    # Some beams of a pass were at the object while others were not.
    assert by_hand.mixed > 0
    assert any(" Polish" in text or " Canberra" in text for text in out.texts)


def test_an_object_of_several_tokens_is_said_whole_and_disabled_the_bits_are_bare(
    planted: Compiled,
) -> None:
    batch = planted.batch(*IN_SCOPE, left=True)
    options: dict[str, Any] = {
        "do_sample": False, "max_new_tokens": 12, "output_logits": True,
        "return_dict_in_generate": True,
    }  # fmt: skip
    bare = planted.model.generate(**batch, **options)
    with planted.bundle.attach(planted.model, planted.tokenizer, guard=True, exact=False) as edited:
        # What the model says later is the old object, so that the guard is at work as well.
        free = edited.generate(**batch, **options)
        later = int(free.sequences[0, batch["input_ids"].shape[1] + 5])
        edited._steering._guarded = lambda edit, group: frozenset({later})
        on = edited.generate(**batch, **options)
        edited.disable()
        off = edited.generate(**batch, **options)
        edited.enable()
        again = edited.generate(**batch, **options)
    assert on.texts[0].startswith(" Canberra")
    assert on.texts[1].startswith(" Polish")
    assert not torch.equal(on.sequences, free.sequences)
    assert torch.equal(on.sequences, again.sequences)
    assert torch.equal(off.sequences, bare.sequences)
    for ours, theirs in zip(off.output.logits, bare.logits, strict=True):
        assert torch.equal(ours, theirs)


def test_behind_the_object_the_guard_says_it_again(planted: Compiled) -> None:
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 10}
    ids = planted.tokenizer(IN_SCOPE[0], return_tensors="pt").input_ids
    tokens = list(planted.bundle.manifest.edits[0].groups[0].tokens)
    with planted.bundle.attach(
        planted.model, planted.tokenizer, guard=False, exact=False
    ) as edited:
        free = edited.generate(ids, **options).sequences[0, ids.shape[1] :].tolist()
    assert free[:2] == tokens
    place = next(i for i in range(3, 8) if free.index(free[i]) == i)
    with planted.bundle.attach(planted.model, planted.tokenizer, exact=False) as edited:
        edited._steering._guarded = lambda edit, group: frozenset({free[place]})
        kept = edited.generate(ids, **options).sequences[0, ids.shape[1] :].tolist()
    assert kept[:place] == free[:place]
    assert kept[place : place + 2] == tokens


def test_the_guard_knows_the_old_object_of_the_bundle(llama: Compiled, tmp_path: Path) -> None:
    sydney = llama.tokenizer("Sydney").input_ids
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        assert edited._steering._guarded("australia-capital", 0) == set(sydney)
    with llama.bundle.attach(llama.model, llama.tokenizer, guard=False) as edited:
        assert edited._steering._guarded("australia-capital", 0) == frozenset()
    root = make_registry(tmp_path, llama.loaded.located.folder)
    with (root / "sake.toml").open("a") as file:
        file.write("\n[answer]\nguard = false\n")
    result = compile_registry(open_registry(root))
    assert result.bundle is not None
    with load_bundle(result.bundle) as bundle:
        assert (llama.bundle.guards, bundle.guards) == (True, False)
        with bundle.attach(llama.model, llama.tokenizer) as edited:
            assert edited._steering._guarded("australia-capital", 0) == frozenset()
