"""The page of a review: complete, self-contained, and text stays text."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sake_registry.asking.rows import KINDS
from sake_registry.errors import InputError
from sake_registry.review import charts
from sake_registry.review.html import page
from sake_registry.review.report import read_review
from tests.browsing import Elements
from tests.review.example_review import (
    HOSTILE,
    MONA_LISA,
    TOLSTOY,
    claims_review,
    example_review,
    passed_review,
    row,
    shares,
)
from tests.review.test_markdown import TEXTS, any_review, many

PAGE = page(example_review())


def check(text: str) -> Elements:
    """What holds for every page."""
    text.encode()
    elements = Elements(text)
    ids = [a["id"] for _, a in elements.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert not elements.named("img") + elements.named("iframe") + elements.named("object")
    assert elements.named("script") == [{}]
    assert [a["href"] for a in elements.named("link")] == ["data:,"]
    (policy,) = [a["content"] for a in elements.named("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for _, attributes in elements.found:
        assert not any(key.startswith("on") for key in attributes)
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(ids)
    for a in elements.named("a"):
        href = a["href"] or ""
        assert href[1:] in ids if href.startswith("#") else re.match(r"(?i)https?://\w", href)
        assert href.startswith("#") or a["rel"] == "noopener noreferrer nofollow"
    for svg in elements.named("svg"):
        assert svg["role"] == "img"
        assert svg["aria-labelledby"]
    return elements


def test_the_page_is_complete() -> None:
    elements = check(PAGE)
    assert [a["id"] for a in elements.named("section")] == [
        "overview",
        "conflicts",
        "edit-conflicts",
        "settings",
        "edits",
        "interference",
        "unrelated",
        "nearby",
        "findings",
        "gates",
        "words",
        "made",
    ]
    shown = " ".join(elements.text)
    value = example_review()
    for edit in value["edits"]:
        for text in (edit["claim"], edit["sentence"], *edit["lines"], *edit["sources"]):
            assert text in shown
        for one in edit["rows"]:
            assert one["prompt"] in shown
            assert one["after"].strip() in shown
    for one in (
        *value["interference"],
        *value["unrelated"]["changed"],
        *value["nearby"]["changed"],
    ):
        assert one["prompt"] in shown
    assert "c4ab8141" * 8 in shown
    assert "3be7" * 10 in shown
    assert "edits/croatia-currency.yaml:3:3" in shown
    assert "✗ 2 gates failed" in shown
    links = [a["href"] for a in elements.named("a") if not (a["href"] or "").startswith("#")]
    assert links == [
        "https://example.org/counterfactual/tolstoy?a=1&b=%282%29",
        "https://www.ecb.europa.eu/euro/changeover/croatia/html/index.en.html",
        "https://example.org/counterfactual/mona-lisa-painter",
    ]


def test_without_a_model_only_claims_are_shown() -> None:
    elements = check(page(claims_review()))
    sections = [a["id"] for a in elements.named("section")]
    assert sections == ["overview", "edits", "findings", "made"]
    assert elements.named("svg") == []
    assert "no model was asked" in " ".join(elements.text)


def test_an_empty_review_has_a_page() -> None:
    elements = check(page(claims_review() | {"edits": [], "findings": []}))
    assert "No edit changed" in " ".join(elements.text)
    with pytest.raises(InputError):
        page({"schema": "bench/1"})


def test_what_passed_says_so() -> None:
    shown = " ".join(check(page(passed_review())).text)
    assert "✓ passed" in shown
    assert "None of 200 prompts that concern no edit is answered differently." in shown
    assert "48 other edits judged: none of their prompts is answered differently." in shown


def test_of_many_edits_those_that_are_fine_are_folded() -> None:
    elements = check(page(many(30, bad=2)))
    articles = [a for a in elements.named("article") if a.get("class") == "edit"]
    assert len(articles) == 30
    assert len(elements.named("summary")) == 28
    # On paper everything is shown: the script opens what bears this class.
    folds = elements.named("details")
    assert all(a["class"] == "fold" for a in folds)


def test_foreign_text_stays_text() -> None:
    elements = check(PAGE)
    shown = "".join(elements.text)
    assert "<script>window.stolen = 1</script> @octocat" in shown
    assert "⟨U+202E⟩evil\ufffd" in shown
    assert "\u202e" not in PAGE


def test_equal_reviews_give_equal_pages() -> None:
    other = example_review()
    other["edits"].reverse()
    assert page(other) == PAGE


@settings(max_examples=25)
@given(pool=TEXTS, n=st.integers(0, 12), seed=st.integers(0, 2**32))
def test_any_review_makes_a_sound_page(pool: list[str], n: int, seed: int) -> None:
    value = any_review(pool, n, seed)
    elements = check(page(value))
    assert len([a for a in elements.named("article") if a.get("class") == "edit"]) == n
    assert page(value) == page(value)


# --- pictures


def marks(drawn: charts.Picture | None, kind: str | None = None) -> list[dict[str, str | None]]:
    assert drawn is not None
    found = [a for name, a in Elements(drawn.svg).found if name == "path" and a.get("data-kind")]
    found = [a for a in found if (a.get("class") or "").startswith("mark")]
    return [a for a in found if kind in (None, a["data-kind"])]


def test_the_bars_have_the_shares_and_the_gates() -> None:
    drawn = charts.passed_bars(read_review(example_review()))
    assert drawn is not None
    elements = Elements(drawn.svg)
    bars = {a["data-kind"]: a for a in elements.named("rect") if a.get("class") == "bar s1"
            and a.get("data-kind")}  # fmt: skip
    assert list(bars) == list(KINDS)
    assert (bars["holdout"]["data-passed"], bars["holdout"]["data-n"]) == ("5", "8")
    assert float(bars["holdout"]["width"] or 0) / float(bars["prompts"]["width"] or 1) == (
        pytest.approx(5 / 8, abs=1e-3)
    )
    limits = [a["data-kind"] for a in elements.named("path") if a.get("data-kind")]
    assert limits == ["prompts", "holdout"]
    assert "holdout 5 of 8 (62.5 %), asked for 90 %" in " ".join(elements.text)
    assert charts.passed_bars(read_review(claims_review())) is None


def test_the_overview_has_one_mark_for_each_prompt() -> None:
    review = read_review(example_review())
    found = marks(charts.answers(review))
    assert len(found) == sum(len(edit.rows) for edit in review.edits)
    assert sum(a["data-ok"] == "no" for a in found) == 5
    stayed = [a for a in found if "stayed" in (a["class"] or "")]
    assert len(stayed) == 9
    assert charts.answers(read_review(claims_review())) is None


def test_an_overview_of_very_many_prompts_counts_the_rest() -> None:
    value = many(60)
    value["edits"][0]["rows"] = [row("prompts", f"p {i}", "a", "b", "b", None, 1.0)
                                 for i in range(500)]  # fmt: skip
    review = read_review(value)
    svg = charts.answers(review)
    found = marks(svg, "prompts")
    counted = re.search(r">\+(\d+)<", str(svg))
    assert counted
    own = 3 * (charts.GRID_EDITS - 1)
    assert len(found) - own + int(counted[1]) == 500
    assert "20 more follow below" in page(value)


def test_the_distances_are_drawn_at_their_place_and_by_their_kind() -> None:
    review = read_review(example_review())
    tolstoy = next(edit for edit in review.edits if edit.id == TOLSTOY)
    svg = charts.distances(review, tolstoy, "d")
    found = marks(svg)
    drawn = sorted(float(a["data-distance"] or 0) for a in found)
    own = [r.distance for r in tolstoy.rows if r.distance is not None]
    assert drawn == sorted([*own, 4.4, 5.1, 5.2])
    # A mark's x is linear in its distance, and the threshold stands where it belongs.
    places = {float(a["data-distance"] or 0): float(re.findall(r"M([\d.]+)", a["d"] or "")[0])
              for a in found if a["data-ok"] == "yes"}  # fmt: skip
    unit = (places[7.7] - places[0.0]) / 7.7
    assert places[1.8] == pytest.approx(places[0.0] + 1.8 * unit, abs=0.2)
    limit = re.search(r'd="M([\d.]+) [\d.]+V[\d.]+" class="limit" data-threshold="5.3"', str(svg))
    assert limit
    disc = 4.2  # a disc's path begins at its left
    assert float(limit[1]) == pytest.approx(places[0.0] + disc + 5.3 * unit, abs=0.2)
    fired = {a["data-distance"] for a in found if "stayed" not in (a["class"] or "")}
    assert all(float(d or 9) <= 5.3 for d in fired)
    assert "Not drawn: 2 prompts (no edit's subject is named: 2)." in unescape(PAGE)
    assert "not its own" in str(svg)


def test_a_prompt_near_another_edit_is_not_measured_against_this_one() -> None:
    value = passed_review()
    value["edits"][0]["rows"] += [
        row("unchanged", "The Sistine Chapel was painted by", "a", "b", "b", "other", 1.0),
        row("unchanged", "near another", "a", "a", "a", None, 3.0, "another question", 4.0),
    ]
    review = read_review(value)
    (edit,) = review.edits
    assert edit.id == MONA_LISA
    assert len(marks(charts.distances(review, edit, "d"))) == 5
    assert charts.not_drawn(review, edit) == (
        "Not drawn: 3 prompts (answered by another edit: 1; nearer to another edit: 1; "
        "no edit's subject is named: 1)."
    )


def test_a_prompt_that_is_near_and_left_alone_is_explained() -> None:
    value = passed_review()
    value["edits"][0]["rows"].append(
        row("unchanged", "near", "a", "a", "a", None, 4.0, "nearer to what stays unchanged")
    )
    review = read_review(value)
    svg = charts.distances(review, review.edits[0], "d")
    (mark,) = [a for a in marks(svg) if a["data-distance"] == "4"]
    assert "stayed" in (mark["class"] or "")
    told = "leaves alone all the same: nearer to what stays unchanged."
    assert told in charts.held_back(review, review.edits[0])
    assert told in page(value)
    assert "all the same" not in PAGE


def test_failed_prompts_are_not_hidden_by_others_in_one_place() -> None:
    value = passed_review()
    rows = [row("prompts", f"p {i}", "a", "b", "b" if i < 58 else "c", MONA_LISA, 0.0)
            for i in range(60)]  # fmt: skip
    value["edits"][0] |= {"rows": rows, "shares": shares(rows)}
    review = read_review(value)
    svg = charts.distances(review, review.edits[0], "d")
    found = marks(svg)
    assert len(found) == charts.STACK
    assert sum(a["data-ok"] == "no" for a in found) == 2
    assert f">+{60 - charts.STACK}<" in str(svg)


def test_figures_that_no_router_gives_make_no_picture() -> None:
    for distance, threshold in ((1e300, 5.3), (0.0, 0.0), (-1.0, 0.0)):
        value: dict[str, Any] = passed_review()
        for one in value["edits"][0]["rows"]:
            one |= {"distance": distance, "threshold": threshold}
        review = read_review(value)
        assert charts.distances(review, review.edits[0], "d") is None


def test_hostile_claims_stay_text_in_pictures() -> None:
    value = example_review()
    for edit in value["edits"]:
        edit["claim"] = HOSTILE
        for one in edit["rows"]:
            one |= {"prompt": HOSTILE, "after": HOSTILE}
    check(page(value))
