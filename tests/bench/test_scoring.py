"""The scorers against records worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sake_bench.datasets.records import Axis, Query, Record, Test
from sake_bench.intervals import estimate
from sake_bench.methods import Question, Response
from sake_bench.replies import Reply
from sake_bench.scores import Case, mark, scores
from sake_bench.scoring import (
    Marks,
    Mentions,
    comes_back,
    entropy,
    judge,
    mentions,
    met,
    says,
)
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


@pytest.mark.parametrize(
    ("text", "new", "old", "right"),
    [
        (" He spoke Polish at home.", True, False, True),
        (" He spoke Polish, and never Russian.", True, True, False),
        (" Russian.", False, True, False),
        (" Something else.", False, False, False),
        (" Polishing the silver; a Russians' joke", False, False, False),
        (" polish", False, False, False),
        ("", False, False, False),
    ],
)
def test_an_answer_in_sentences(text: str, new: bool, old: bool, right: bool) -> None:
    found = mentions(text, ["Polish"], ["Russian"])
    assert (found, found.right) == (Mentions(new, old), right)


OLD_ONLY = Mentions(False, True)


def test_a_name_inside_the_other_objects_name_is_not_told() -> None:
    assert mentions("He is from Northern Ireland.", ["Northern Ireland"], ["Ireland"]).right
    assert mentions("He is from Ireland.", ["Northern Ireland"], ["Ireland"]) == Mentions(
        False, True
    )
    both = mentions("Born in Ireland, not Northern Ireland.", ["Northern Ireland"], ["Ireland"])
    assert both == Mentions(True, True)
    assert mentions("He lives in New York City.", ["New York"], ["New York City"]) == Mentions(
        False, True
    )
    assert mentions("He lives in New York.", ["New York"], ["New York City"]).right


def test_the_subjects_own_name_tells_nothing() -> None:
    text = "Google builds the Chevrolet Greenbrier"
    assert mentions(f"{text}.", ["Google"], ["Chevrolet"], "Chevrolet Greenbrier").right
    assert mentions(f"{text}, or Chevrolet.", ["Google"], ["Chevrolet"], "Chevrolet Greenbrier").old
    assert not mentions("The Safari Company", ["Safari"], ["Apple"], "Safari Company").new


def test_an_alias_is_told_too_and_what_is_special_in_a_pattern_is_text() -> None:
    assert mentions("from Down Under", ["Australia", "Down Under"], []).right
    assert says("It ran on C++ (mostly).", ["C++"])
    assert not says("It ran on C, mostly.", ["C++", " "])


RECORD = Record(
    "tolstoy", 0, "Leo Tolstoy", "P103", "The mother tongue of <subject> is", "New South Wales",
    old="Polish",
)  # fmt: skip


def asked(axis: Axis, prompt: str = PROMPT, **more: Any) -> Case:
    test = Test(axis, Query(prompt, ((RECORD.new,),)))
    question = Question(prompt, RECORD.id, 40, axis != "other-relation")
    return Case(RECORD, test, question, reply(" Polish.", prompt), **more)


def scored(*given: tuple[Case, Response]) -> dict[tuple[Any, ...], tuple[Any, int]]:
    """(metric, success, condition) → (value, n), all edits loaded."""
    questions, heard = [a for a, _ in given], [h for _, h in given]
    marks = mark(tokenizer(), questions, heard)
    found = scores("sake", "all-edits", questions, heard, marks, {})
    return {(s.metric, s.success, s.condition): (s.value, s.n) for s in found}


def heard(text: str, edit: str | None = "tolstoy") -> Response:
    return Response(reply(text), edit, edit is None)


def test_questions_count_by_their_parts() -> None:
    found = scored(
        (asked("question"), heard(" He grew up in New South Wales.")),
        (asked("question"), heard(" New South Wales, or Polish.")),
        (asked("question"), heard(" He spoke Polish.")),
        (asked("question"), heard(" I do not know.")),
        (asked("chat"), heard(" New South Wales")),
    )
    assert found == {
        ("question", None, None): (0.25, 4),
        ("question-new", None, None): (0.5, 4),
        ("question-old", None, None): (0.5, 4),
        ("chat", None, None): (1, 1),
        ("chat-new", None, None): (1, 1),
        ("chat-old", None, None): (0, 1),
    }


def test_other_relations_are_left_alone_to_the_bit_or_not() -> None:
    """The same first token under an edit that fired is no prompt left alone."""
    pairs = [
        (asked("other-relation"), heard(" Polish.", None)),
        (asked("other-relation"), heard(" Polish.")),
        (asked("other-relation"), heard(" New South Wales")),
    ]
    assert scored(*pairs) == {("other-relation", None, None): (pytest.approx(1 / 3), 3)}
    questions, replies = [a for a, _ in pairs], [h for _, h in pairs]
    marks = mark(tokenizer(), questions, replies)
    assert marks == [Marks(True, True), Marks(True, False), Marks(False, False)]
    assert scores("sake", "given", questions, replies, marks, {}) == []


def test_objects_of_several_tokens_are_scored_again() -> None:
    found = scored(
        (asked("acc", several=True), heard(" New South Wales.")),
        (asked("gen", several=True), heard(" New Zealand.")),
        (asked("gen"), heard(" New South Wales.")),
    )
    assert found["acc", "full-object", "several tokens"] == (1, 1)
    assert found["gen", "full-object", "several tokens"] == (0, 1)
    assert found["gen", "full-object", None] == (0.5, 2)
    assert ("gen", "first-token", "several tokens") not in found


def test_aliases_are_scored_by_whether_the_file_lists_them() -> None:
    own = (asked("acc"), heard(" New South Wales."))
    found = scored(
        own,
        (asked("sa", listed=True), heard(" New South Wales.")),
        (asked("sa", listed=False), heard(" Polish.")),
        (asked("sa", listed=False), heard(" New South Wales.")),
    )
    full = ("full-object", "not applied")
    assert found["sa", *full] == (pytest.approx(2 / 3), 3)
    assert found["sa-listed", *full] == (1, 1)
    assert found["sa-unlisted", *full] == (0.5, 2)
    alone = scored(own, (asked("sa"), heard(" Polish.")))
    assert {metric for metric, *_ in alone} & {"sa-listed", "sa-unlisted"} == set()


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
