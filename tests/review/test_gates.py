"""A gate passes on what it has measured, says so where it has measured nothing, and advises by
cause."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sake_registry.asking.rows import KINDS, Row, shares
from sake_registry.diagnostics import Diagnostic
from sake_registry.errors import InputError
from sake_registry.review import charts
from sake_registry.review.gates import Gate, answer_gates, claim_gates
from sake_registry.review.html import page
from sake_registry.review.markdown import comment
from sake_registry.review.report import Review, read_review
from sake_registry.settings import ReviewSettings
from tests.browsing import Elements
from tests.review.example_review import MONA_LISA, example_review, passed_review, row

NOBODY = "no edit's subject is named"


def gates_of(rows: list[Row], **counts: int) -> dict[str, Gate]:
    usual = {"built": 1, "failed": 0, "judged": 1, "not_built": 0, "interference": 0,
             "unrelated": 9, "collateral": 0}  # fmt: skip
    missed = [row for row in rows if not row.ok]
    made = answer_gates(ReviewSettings(), shares(rows), **usual | counts, missed=missed)
    return {gate.name: gate for gate in made}


def test_a_gate_that_measured_nothing_neither_passes_nor_fails() -> None:
    gates = gates_of([], built=0, judged=0, unrelated=0)
    assert {gate.state for gate in gates.values()} == {"nothing measured"}
    assert {gate.ok for gate in gates.values()} == {False}
    assert all(gate.text and gate.value is None for gate in gates.values())
    written = gates["min_holdout"].model_dump(mode="json")
    assert (written["state"], written["ok"], written["value"]) == ("nothing measured", False, None)
    assert gates_of([], failed=1, built=0)["builds"].state == "failed"


def test_edits_that_could_not_be_judged_are_named() -> None:
    assert gates_of([], not_built=3)["max_interference"].text.endswith(
        "3 other edits could not be judged"
    )
    assert gates_of([], judged=0, not_built=3)["max_interference"].state == "nothing measured"


def test_what_was_not_measured_is_shown_in_grey_and_ticked_nowhere() -> None:
    value = passed_review()
    value["gates"] = [gate.model_dump(mode="json") for gate in gates_of([]).values()]
    html = page(value)
    (table,) = [part for part in html.split("<section") if part.startswith(' id="gates"')]
    assert table.count('class="sign grey"') == len(KINDS)
    assert ">nothing measured</span>" in table
    assert 'class="missed"' not in table
    shown = "".join(Elements(html).text)
    assert "✓ passed" in shown
    lines = [line for line in comment(value).splitlines() if "min\\_" in line]
    assert [line[:5] for line in lines] == ["| – |"] * len(KINDS)


def test_a_contradiction_that_the_checks_find_fails_its_gate() -> None:
    gate = claim_gates(1, 0, 1)[2]
    assert (gate.state, gate.text) == ("failed", "1 new contradiction between edits")
    tolerated = claim_gates(0, 0, 0, 1)[2]
    assert tolerated.state == "passed"
    assert tolerated.text.endswith("beside 1 that [checks] in sake.toml makes a warning")


def missed(by: str | None, reason: str, kind: str = "prompts") -> Row:
    one = row(kind, "p", "a", "b", "c", by, 1.0, reason)
    return Row.model_validate({"edit": "e", **one})


@pytest.mark.parametrize(
    ("rows", "advice"),
    [
        ([missed(None, NOBODY)], "do not name the edit's subject"),
        ([missed(None, "another question")], "raise the edit's scope.threshold"),
        ([missed("other", "in scope")], "Another edit answered"),
        ([missed("e", "in scope")], "spelled as the model would say it"),
        ([missed("e", "in scope"), missed(None, NOBODY), missed(None, NOBODY)], "do not name"),
    ],
)
def test_the_advice_is_that_of_the_cause(rows: list[Row], advice: str) -> None:
    assert advice in gates_of(rows)["min_prompts"].hint


def test_the_advice_of_a_kind_is_by_its_own_rows() -> None:
    rows = [missed("e", "in scope"), *[missed(None, NOBODY, "holdout")] * 3]
    gates = gates_of(rows)
    assert "spelled" in gates["min_prompts"].hint
    assert "do not name" in gates["min_holdout"].hint
    assert gates["min_unchanged"].hint == ""


# --- a bound of its own


def test_a_prompt_that_the_edit_answers_at_another_bound_is_drawn() -> None:
    """An implication, or a prompt near to a background question, has a bound of its own."""
    value = passed_review()
    rows = value["edits"][0]["rows"]
    rows.append(row("implications", "implied", "a", "b", "b", MONA_LISA, 3.0, threshold=4.0))
    rows.append(
        row("unchanged", "kept", "a", "a", "a", None, 3.0, "another question", 2.5)
        | {"nearest": MONA_LISA}
    )
    rows.append(
        row("unchanged", "elsewhere", "a", "a", "a", None, 3.0, "another question")
        | {"nearest": "other"}
    )
    review = read_review(value)
    near = charts.near(review, review.edits[0])
    assert near is not None
    places = {row.prompt: place for _, row, place in near.rows}
    # As far from the line as from its own bound.
    assert places["implied"] == pytest.approx(5.3 - 1.0)
    assert places["kept"] == pytest.approx(5.3 + 0.5)
    assert "elsewhere" not in places
    text = charts.caption(review, review.edits[0])
    assert "nearer to another edit: 1" in text
    assert "Bounds differ by prompt" in text
    assert "all the same" not in text


def test_legends_explain_what_is_drawn_and_nothing_else() -> None:
    review = read_review(passed_review())
    drawn = charts.passed_bars(review), charts.answers(review)
    words = [[text for _, _, text in picture.legend] for picture in drawn if picture]
    assert words == [
        ["as expected", "what the gate asks for"],
        ["changed, as expected", "stayed, as expected"],
    ]


# --- one class for what is built, written and read


def test_a_review_is_read_as_it_is_written() -> None:
    review = read_review(example_review())
    written = review.model_dump(mode="json")
    assert read_review(written) == review
    assert list(written) == [
        "schema", "range", "model", "settings", "conflicts", "edit_conflicts", "edits",
        "interference", "unrelated", "nearby", "findings", "others", "shares", "texts_run",
        "gates", "passed", "seconds",
    ]  # fmt: skip
    assert Review.model_json_schema(by_alias=True)["properties"]["schema"]["const"] == "review/1"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"surprise": 1}, "surprise"),
        ({"findings": [{"code": "SAKE999"}]}, "findings[0].code"),
        ({"edit_conflicts": [{}]}, "edit_conflicts[0].kind"),
    ],
)
def test_what_is_unknown_is_refused_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        read_review(example_review() | change)
    assert place in caught.value.message


def test_a_finding_is_made_by_place_and_read_by_name() -> None:
    value = example_review()["findings"][0]
    read = Diagnostic.model_validate(value)
    assert read.model_dump(mode="json") == value
    assert list(read.model_dump()) == list(value)
    with pytest.raises(ValidationError, match="surprise"):
        Diagnostic.model_validate(value | {"surprise": 1})
    with pytest.raises(ValidationError):
        Diagnostic.model_validate(value | {"line": "3"})
