"""The scorers against records worked by hand."""

from __future__ import annotations

import math

import pytest

from sake_registry.authoring.records import Query
from sake_registry.evaluation.intervals import estimate
from sake_registry.evaluation.replies import Reply
from sake_registry.evaluation.scoring import Marks, comes_back, entropy, judge, met
from tests.tiny_models import tokenizer

PROMPT = "The mother tongue of Leo Tolstoy is"


def reply(text: str, prompt: str = PROMPT) -> Reply:
    """A reply as the model gives it: the tokens behind the prompt's in the joint text."""
    words = tokenizer()
    joint = words(prompt + text).input_ids
    return Reply(tuple(joint[len(words(prompt).input_ids) :]), text, "")


def marks(text: str, accepted: tuple[str, ...], old: tuple[str, ...] = ()) -> tuple[object, object]:
    found = judge(tokenizer(), PROMPT, reply(text), accepted, old)
    return found.first, found.full


@pytest.mark.parametrize(
    ("text", "accepted", "first", "full"),
    [
        (" Polish, and he said", ("Polish",), True, True),
        (" Russian. The", ("Polish",), False, False),
        # The first of several tokens is not the object.
        (" New Zealand is far", ("New South Wales",), True, False),
        (" New South Wales, in", ("New South Wales",), True, True),
        # An alias will do; so will any accepted answer.
        (" Down Under", ("Australia", "Down Under"), True, True),
        # A longer word is another word.
        (" Polishing the", ("Polish",), None, False),
        # White space between words is no part of an object.
        ("\n Polish", ("Polish",), False, True),
        ("", ("Polish",), False, False),
    ],
)
def test_marks(text: str, accepted: tuple[str, ...], first: bool | None, full: bool) -> None:
    found = marks(text, accepted)
    if first is not None:
        assert found[0] is first
    assert found[1] is full


def test_a_tie_is_not_scored_by_its_first_token() -> None:
    """ "New York" → "New Jersey": the first token says the same before and after the edit."""
    tie = marks(" New Jersey", ("New Jersey",), old=("New York",))
    assert tie == (None, True)
    assert marks(" New York", ("New Jersey",), old=("New York",)) == (None, False)
    assert marks(" Polish", ("Polish",), old=("Russian",)) == (True, True)


def test_first_token_is_that_of_the_joint_text() -> None:
    """A number alone begins with another token than after a prompt."""
    words = tokenizer()
    prompt = "The bridge was finished in"
    alone = words("1984").input_ids[0]
    given = reply(" 1984", prompt)
    assert given.tokens[0] != alone
    assert judge(words, prompt, given, ["1984"]).first is True


def test_names_that_are_empty_accept_nothing() -> None:
    assert marks(" Polish", ("", "  ")) == (False, False)


YES, NO, TIE = Marks(True, True), Marks(True, False), Marks(None, True)


def test_conditions() -> None:
    query = Query("The capital of Syria is", (("Damascus",),))
    assert met(None, [], "first-token") is None  # the data do not say
    assert met((), [], "first-token") is True  # nothing is asked
    assert met((query,), [YES], "full-object") is True
    assert met((query,), [NO], "first-token") is True
    assert met((query,), [NO], "full-object") is False
    assert met((query, query), [YES, NO], "full-object") is False  # all of them
    assert met((query,), [TIE], "first-token") is False


def test_the_old_object_comes_back_as_a_word() -> None:
    assert comes_back("He spoke Polish. But French was his", ["French"])
    assert not comes_back("He spoke Polish like a Frenchman", ["French"])
    assert comes_back("the United States of America.", ["United States of America"])
    assert not comes_back("anything", [" "])


def test_entropy_by_hand() -> None:
    """ "a b a b": bigrams ab, ba, ab; trigrams aba, bab."""
    bigrams = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert entropy("a b a b") == pytest.approx((2 / 3 * bigrams + 4 / 3 * 1.0) / 2)
    assert entropy("no no no no no") == 0
    assert entropy("two words") is None


def test_estimate_draws_edits_not_tests() -> None:
    """Ten equal marks of one edit are one draw: the interval is as wide as with one mark."""
    once = estimate({"a": [1.0], "b": [0.0], "c": [1.0]})
    many = estimate({"a": [1.0] * 10, "b": [0.0] * 10, "c": [1.0] * 10})
    assert (once.value, once.low, once.high) == (many.value, many.low, many.high)
    assert (once.n, many.n, many.edits) == (3, 30, 3)
    assert once.low == 0.0
    assert once.high == 1.0


def test_estimate_of_nothing_is_nothing() -> None:
    assert estimate({}).value is None
    assert estimate({"a": []}).n == 0


def test_estimate_is_between_its_bounds_and_repeats() -> None:
    values = {str(i): [float(i % 3 == 0), float(i % 2)] for i in range(40)}
    first, second = estimate(values), estimate(values)
    assert first == second
    assert first.low is not None
    assert first.value is not None
    assert first.high is not None
    assert first.low < first.value < first.high
    assert first.n == 80
