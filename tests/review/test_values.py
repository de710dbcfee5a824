"""Reading a review: strict, and the worst first."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sake_registry.errors import InputError
from sake_registry.pages.text import address, visible
from sake_registry.review.gates import what_to_do
from sake_registry.review.report import Review, read_review
from sake_registry.review.words import answered_by
from tests.review.example_review import (
    CURRENCY,
    MONA_LISA,
    TELEPHONE,
    TOLSTOY,
    claims_review,
    example_review,
    passed_review,
)


def test_the_example_is_read_whole_and_survives_json() -> None:
    review = read_review(json.loads(json.dumps(example_review())))
    assert review == read_review(example_review())
    assert [len(edit.rows) for edit in review.edits] == [6, 17, 4, 2]
    assert review.shares["holdout"].passed == 5
    assert review.model is not None
    assert review.others.judged == 48


def test_the_worst_edit_comes_first() -> None:
    value = example_review()
    assert [edit.id for edit in read_review(value).worst_first] == [
        TOLSTOY,
        CURRENCY,
        MONA_LISA,
        TELEPHONE,
    ]
    value["edits"][0]["build"] = {"outcome": "failed", "error": "only 2 pairs worked"}
    review = read_review(value)
    assert review.worst_first[0].id == MONA_LISA
    assert review.state(review.worst_first[0]) == "the build failed"
    value["conflicts"][0]["id"] = TELEPHONE
    review = read_review(value)
    assert {edit.id for edit in review.worst_first[:2]} == {MONA_LISA, TELEPHONE}
    assert review.trouble(review.edits[3]) == "unusable"


def test_the_order_of_the_edits_given_makes_no_difference() -> None:
    value = example_review()
    other = example_review()
    other["edits"].reverse()
    assert read_review(value).worst_first == read_review(other).worst_first


def test_an_edit_that_reaches_too_far_is_no_good_edit() -> None:
    review = read_review(example_review())
    tolstoy = review.edits[1]
    assert review.reach(tolstoy) == 2
    assert "answers 2 prompts that it should not" in review.state(tolstoy)
    value = example_review()
    for row in value["interference"]:
        row["by"] = MONA_LISA
    review = read_review(value)
    assert review.trouble(review.edits[0]) == "failed"


@pytest.mark.parametrize(
    ("review", "headline"),
    [
        (example_review(), "2 edits added, 1 changed, 1 removed: 2 gates failed"),
        (claims_review(), "2 edits added, 1 changed, 1 removed: passed"),
        (passed_review(), "1 edit added: passed"),
        (passed_review() | {"edits": []}, "no edit changed: passed"),
        (
            claims_review() | {"passed": False, "conflicts": example_review()["conflicts"]},
            "2 edits added, 1 changed, 1 removed: 1 conflict",
        ),
    ],
)
def test_the_headline(review: dict[str, Any], headline: str) -> None:
    assert read_review(review).headline() == headline


def test_what_a_decision_says() -> None:
    edits = {edit.id: edit for edit in read_review(example_review()).edits}
    told = [answered_by(row).replace("\u00a0", " ") for row in edits[TOLSTOY].rows]
    assert told[6] == "this edit (1.80 ≤ 5.30)"
    assert told[10] == "no edit (5.90 > 5.30)"
    assert told[13] == "no edit's subject is named"
    # Of an edit that is gone, the distance is that of before.
    assert answered_by(edits[TELEPHONE].rows[0]) == "no edit"


def _with(path: str, value: Any) -> dict[str, Any]:
    review = copy.deepcopy(example_review())
    *inside, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = review
    for part in inside:
        at = at[part]
    at[last] = value
    return review


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("schema", "bench/1", "bench/1"),
        ("passed", "yes", "passed"),
        ("passed", None, "passed"),
        ("edits", {}, "edits"),
        ("edits.0", [], "edits[0]"),
        ("edits.0.action", "renamed", "edits[0].action"),
        ("edits.0.id", 3, "edits[0].id"),
        ("edits.0.sources", ["x", 1], "edits[0].sources[1]"),
        ("edits.0.rows.2.kind", "prompt", "edits[0].rows[2].kind"),
        ("edits.0.rows.2.ok", 1, "edits[0].rows[2].ok"),
        ("edits.0.rows.2.distance", float("nan"), "edits[0].rows[2].distance"),
        ("edits.0.rows.2.distance", True, "edits[0].rows[2].distance"),
        ("edits.0.build.outcome", "fine", "edits[0].build.outcome"),
        ("edits.0.build.worked", -1, "edits[0].build.worked"),
        ("edits.1.findings.0.line", "12", "edits[1].findings[0].line"),
        ("shares.prompts", {"passed": 3, "n": 2}, "shares.prompts"),
        ("range", None, "range"),
        ("gates.0.limit", "much", "gates[0].limit"),
        ("unrelated.n", 1.5, "unrelated.n"),
    ],
)
def test_what_is_no_review_is_an_error_that_names_its_place(
    path: str, value: Any, place: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_review(_with(path, value))
    assert place in caught.value.message


def test_something_else_is_no_review() -> None:
    for value in ([], None, "x", {}):
        with pytest.raises(InputError):
            read_review(value)  # type: ignore[arg-type]


def test_lists_may_be_absent_and_values_null() -> None:
    least = {
        "schema": "review/1",
        "range": {"text": "a...b", "base": "1", "merge_base": "2", "head": "3"},
        "model": None,
        "unrelated": None,
        "others": None,
        "shares": None,
        "edits": [{"id": "x", "action": "moved", "claim": "A → B", "build": None}],
        "passed": True,
    }
    review = read_review(least)
    assert isinstance(review, Review)
    assert review.headline() == "1 edit moved: passed"
    assert review.state(review.edits[0]) == "nothing found"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://example.org/a?b=1&c=(2)#d", "https://example.org/a?b=1&c=%282%29#d"),
        ("HTTP://example.org", "HTTP://example.org"),
        ("https://example.org/é|<>\"'`\\", "https://example.org/%C3%A9%7C%3C%3E%22'%60%5C"),
        ("https://github.com@evil.example/", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("https://", None),
        ("https://[::1", None),
        ("https://a b.example", None),
        ("https://\u202egro.elpmaxe", None),
        ("ftp://example.org", None),
        ("a book", None),
        ("", None),
    ],
)
def test_only_a_plain_web_address_is_a_link(text: str, link: str | None) -> None:
    assert address(text) == link


def test_what_hides_in_a_text_is_shown() -> None:
    assert visible("a\u202eb\u200bc\U000e0041\x00") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+E0041⟩\ufffd"
    assert visible("क\u094d\u200dष 👩\u200d🔬") == "क\u094d\u200dष 👩\u200d🔬"


@pytest.mark.parametrize(
    "gate",
    "errors conflicts contradictions builds min_prompts min_holdout min_implications min_unchanged "
    "max_interference max_collateral".split(),
)
def test_every_gate_has_its_advice(gate: str) -> None:
    assert what_to_do(gate) != what_to_do("some other gate")
