"""Decisions with a made-up embedder, whose distances can be worked by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sake_registry.routing.entries import anchored_texts, centre_texts
from sake_registry.routing.router import COUNTER, Route, Router, RouterEntry

WORDS = ["mother", "tongue", "capital", "city", "largest", "of", "is", "X", "born", "speaks"]


def embed(texts: Sequence[str]) -> Tensor:
    """Counts of known words: texts differ by what they say, at distances of √k."""
    return torch.tensor(
        [[float(re.findall(r"\w+", text).count(word)) for word in WORDS] for text in texts]
    )


def entry(
    edit: str, subject: Sequence[str], prompts: Sequence[str], *, threshold: float = 1.1,
    unchanged: Sequence[str] = (), groups: Sequence[Sequence[str]] = (), **options: date,
) -> RouterEntry:  # fmt: skip
    routes, texts = anchored_texts(subject, [prompts, *groups], unchanged)
    return RouterEntry(edit, "anchored", threshold, routes, embed(texts), **options)


TONGUE = entry("tongue", ["Leo Tolstoy", "Lev Tolstoy"], ["The mother tongue of <subject> is"])
CAPITAL = entry(
    "capital", ["Guinea"], ["The capital of <subject> is"], threshold=1.8,
    unchanged=["The largest city of Guinea is"],
)  # fmt: skip


def decide(prompt: str, *entries: RouterEntry, **options: object) -> tuple[str | None, str]:
    router = Router(entries or (TONGUE, CAPITAL), embed)
    (decision,) = router.decide([prompt], **options)  # type: ignore[arg-type]
    return decision.edit, decision.reason


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The mother tongue of Leo Tolstoy is", ("tongue", "in scope")),
        ("By the way. The mother tongue of Lev Tolstoy is", ("tongue", "in scope")),
        ("The mother tongue of Victor Hugo is", (None, "no edit's subject is named")),
        ("Leo Tolstoy born born", (None, "another question")),
        ("The capital of Guinea is", ("capital", "in scope")),
        ("The capital of Papua New Guinea is", (None, "no edit's subject is named")),
        ("The capital of Guinea-Bissau is", (None, "no edit's subject is named")),
        # Within the threshold, but nearer to what the edit lists as unchanged.
        ("The largest city of Guinea is", (None, "nearer to what stays unchanged")),
        ("The mother tongue of Leo Tolstoy is Russian. The capital of Guinea is",
         ("capital", "in scope")),
    ],
)  # fmt: skip
def test_an_edit_fires_on_its_subject_and_its_question(
    prompt: str, expected: tuple[str | None, str]
) -> None:
    assert decide(prompt) == expected


def test_a_decision_carries_distance_threshold_and_the_nearest() -> None:
    router = Router([CAPITAL, TONGUE], embed)
    near, far, none = router.decide(
        ["capital of Guinea is city", "Guinea born born born", "Something else"]
    )
    assert (near.edit, near.distance, near.threshold) == ("capital", 1.0, 1.8)
    assert (far.edit, far.nearest) == (None, "capital")
    assert far.distance is not None
    assert far.distance > 1.8
    assert (none.nearest, none.distance) == (None, None)
    assert str(near) == "capital (1.00 ≤ 1.8; in scope)"


def test_the_nearest_of_several_edits_of_one_subject_fires() -> None:
    other = entry("born", ["Leo Tolstoy"], ["<subject> born"], threshold=3.0)
    wide = RouterEntry("tongue", "anchored", 3.0, TONGUE.routes, TONGUE.points)
    assert decide("Leo Tolstoy born", wide, other) == ("born", "in scope")
    assert decide("The mother tongue of Leo Tolstoy is", wide, other) == ("tongue", "in scope")


def test_disabled_and_expired_edits_say_so() -> None:
    dated = entry(
        "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
        valid_from=date(2026, 1, 1), valid_until=date(2026, 6, 30),
    )  # fmt: skip
    prompt = "The mother tongue of Leo Tolstoy is"

    def at(*day: int) -> tuple[str | None, str]:
        return decide(prompt, dated, now=datetime(*day, tzinfo=UTC))  # type: ignore[arg-type]

    assert at(2025, 12, 31, 23) == (None, "not valid before 2026-01-01")
    assert at(2026, 1, 1) == ("tongue", "in scope")
    assert at(2026, 6, 30, 23, 59) == ("tongue", "in scope")
    assert at(2026, 7, 1) == (None, "expired on 2026-06-30")
    assert decide(prompt, TONGUE, disabled={"tongue"}) == (None, "disabled")


def test_a_disabled_edit_gives_way_to_another_in_scope() -> None:
    second = entry("tongue-2", ["Leo Tolstoy"], ["The mother tongue of <subject> is X"])
    prompt = "The mother tongue of Leo Tolstoy is"
    assert decide(prompt, TONGUE, second) == ("tongue", "in scope")
    assert decide(prompt, TONGUE, second, disabled={"tongue"}) == ("tongue-2", "in scope")


def test_an_implication_leads_to_its_own_group() -> None:
    edit = entry(
        "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
        groups=[["<subject> born"], ["The author of Anna Karenina speaks"]],
    )  # fmt: skip
    router = Router([edit], embed)
    decisions = router.decide(
        ["The mother tongue of Leo Tolstoy is", "Leo Tolstoy born",
         "The author of Anna Karenina speaks", "The author of Madame Bovary speaks"]
    )  # fmt: skip
    assert [d.group for d in decisions] == [0, 1, 2, None]


def test_routes_tell_their_rows_apart() -> None:
    routes, texts = anchored_texts(
        ["Guinea"], [["The capital of <subject> is", "The capital of <subject> is"]],
        ["The largest city of Guinea is", "Something else"],
    )  # fmt: skip
    assert routes == (Route(0, ("Guinea",), "any", 1), Route(COUNTER, ("Guinea",), "any", 1))
    assert texts == ["The capital of X is", "The largest city of X is"]


def test_the_papers_rule_takes_the_nearest_centre() -> None:
    def centre(edit: str, prompts: list[str], threshold: float) -> RouterEntry:
        routes, texts = centre_texts([prompts])
        points = torch.stack([embed(t).mean(0) for t in texts])
        return RouterEntry(edit, "centre", threshold, routes, points)

    tongue = centre("tongue", ["mother tongue of", "mother tongue is"], 1.0)
    capital = centre("capital", ["capital of"], 1.0)
    router = Router([tongue, capital], embed)
    decisions = router.decide(["mother tongue of", "capital of", "born born born"])
    assert [d.edit for d in decisions] == ["tongue", "capital", None]
    assert decisions[0].distance == pytest.approx(0.5**0.5)


def test_behind_a_disabled_centre_the_next_nearest_may_fire() -> None:
    entries = [
        RouterEntry(edit, "centre", 2.0, centre_texts([[text]])[0], embed([text]))
        for edit, text in (("near", "mother tongue"), ("far", "mother tongue of"))
    ]
    router = Router(entries, embed)
    assert router.decide(["mother tongue"])[0].edit == "near"
    assert router.decide(["mother tongue"], disabled={"near"})[0].edit == "far"
    assert router.decide(["mother tongue"], disabled={"near", "far"})[0].reason == "disabled"


@pytest.mark.parametrize(
    "prompt",
    ["The capital of Guinea/Conakry is", "capital—Guinea—is", "The capital of *Guinea* is",
     "The capital of <b>Guinea</b> is", "Conakry,Guinea: the capital of Guinea is"],
)  # fmt: skip
def test_a_name_is_found_next_to_any_punctuation(prompt: str) -> None:
    assert decide(prompt)[0] == "capital"


def test_a_distance_that_is_no_number_never_fires() -> None:
    router = Router([TONGUE], lambda texts: torch.full((len(texts), len(WORDS)), torch.nan))
    (decision,) = router.decide(["The mother tongue of Leo Tolstoy is"])
    assert decision.edit is None


def test_points_that_do_not_fit_the_routes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        RouterEntry("e", "anchored", 1.0, (Route(0, ("A",), "any", 3),), torch.zeros(2, 4))


@given(st.lists(st.sampled_from([
    "The mother tongue of Leo Tolstoy is", "The capital of Guinea is", "Leo Tolstoy born",
    "It is late", "The largest city of Guinea is",
]), min_size=1, max_size=8))  # fmt: skip
def test_a_decision_does_not_depend_on_its_batch_or_on_the_order_of_edits(
    prompts: list[str],
) -> None:
    together = Router([TONGUE, CAPITAL], embed).decide(prompts)
    other = Router([CAPITAL, TONGUE], embed)
    assert together == [other.decide([prompt])[0] for prompt in prompts]
