"""A change in the registry's words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.edits.changes import differences
from sake_registry.edits.keys import effect
from sake_registry.edits.parts import PARTS
from sake_registry.edits.schema import Edit
from tests.edits.strategies import edits, fields

PLAIN: dict[str, Any] = {
    "schema": 1,
    "id": "darrieux",
    "fact": {
        "subject": "Danielle Darrieux", "relation": {"text": "mother tongue", "id": "P103"},
        "old": "French", "new": "English",
    },
    "prompts": ["The mother tongue of <subject> is", "<subject> is a native speaker of"],
}  # fmt: skip


def plain(**changes: Any) -> Edit:
    return Edit.model_validate({**PLAIN, **changes})


def fact(**changes: Any) -> dict[str, Any]:
    return {"fact": {**PLAIN["fact"], **changes}}


@pytest.mark.parametrize(
    ("before", "after", "part", "text"),
    [
        ({}, fact(new="German"), "fact", "new object: English → German"),
        ({}, fact(old=None), "fact", "old object: French → (nothing)"),
        ({}, fact(relation={"text": "language", "id": "P103"}), "fact",
         "relation: mother tongue → language"),
        ({}, fact(new={"text": "English", "aliases": ["Anglo", "British"]}), "fact",
         "2 aliases of the new object added"),
        ({}, fact(relation="mother tongue"), "metadata", "relation id: P103 → (nothing)"),
        ({}, {"prompts": ["The mother tongue of <subject> is"]}, "prompts", "1 prompt removed"),
        ({}, {"prompts": PLAIN["prompts"][::-1]}, "prompts", "prompts reordered"),
        ({}, {"prompts": [*PLAIN["prompts"], "a <subject>", "b <subject>", "c <subject>"]},
         "prompts", "3 prompts added"),
        ({}, {"holdout": ["<subject> spoke"]}, "prompts", "1 holdout prompt added"),
        ({}, {"implications": [{"prompt": "p", "new": "n"}]}, "prompts", "1 implication added"),
        ({}, {"unchanged": ["q"]}, "scope", "1 unchanged prompt added"),
        ({}, {"scope": {"threshold": 4.5}}, "scope", "threshold: (nothing) → 4.5"),
        ({}, {"scope": {"router": "centre"}}, "scope", "router: (nothing) → centre"),
        ({}, {"lifecycle": {"status": "withdrawn"}}, "scope", "status: active → withdrawn"),
        ({}, {"lifecycle": {"valid_until": "2026-12-31"}}, "scope",
         "valid until: (nothing) → 2026-12-31"),
        ({}, {"lifecycle": {"review_by": "2026-12-31"}}, "metadata",
         "review by: (nothing) → 2026-12-31"),
        ({}, {"provenance": {"sources": ["https://example.org"]}}, "metadata", "1 source added"),
        ({"tags": ["a"]}, {"tags": ["b"]}, "metadata", "1 tag added"),
        ({}, {"prompts": [{"text": PLAIN["prompts"][0], "by": "hand"}, PLAIN["prompts"][1]]},
         "metadata", "the origin of texts changed"),
        ({"unchanged": ["q"]}, {"unchanged": [{"prompt": "q", "answer": "a"}]}, "metadata",
         "the answers of unchanged prompts changed"),
    ],
)  # fmt: skip
def test_each_change_in_words(before: Any, after: Any, part: str, text: str) -> None:
    first, *more = differences(plain(**before), plain(**after))
    assert (first.part, first.text) == (part, text)
    assert {other.part for other in more} <= {part}


def test_the_texts_that_went_and_came_are_there() -> None:
    added = differences(plain(), plain(prompts=[*PLAIN["prompts"], "As a child <subject> spoke"]))
    assert [(d.removed, d.added) for d in added] == [((), ("As a child <subject> spoke",))]
    assert added[0].model_dump() == {
        "part": "prompts", "text": "1 prompt added", "removed": (),
        "added": ("As a child <subject> spoke",),
    }  # fmt: skip


@given(edits())
def test_an_edit_does_not_differ_from_itself(edit: Edit) -> None:
    assert differences(edit, edit.model_copy(deep=True)) == ()


def _with(edit: Edit, **parts: Any) -> Edit:
    """The edit with other values of single fields: `fact__new=…`."""
    content = edit.model_dump(by_alias=True)
    for name, value in parts.items():
        outer, _, inner = name.partition("__")
        if inner:
            content[outer][inner] = value
        else:
            content[outer] = value
    return Edit.model_validate(content)


@given(edits(), st.data())
def test_a_change_of_one_field_is_told_in_its_part(edit: Edit, data: st.DataObject) -> None:
    given = {p.text for p in (*edit.prompts, *edit.holdout)} | {u.prompt for u in edit.unchanged}
    other = data.draw(fields.filter(lambda text: text not in given))
    name, part, value = data.draw(
        st.sampled_from(
            [
                ("fact__new", "fact", {"text": other, "aliases": edit.fact.new.aliases}),
                ("fact__subject", "fact", {"text": other, "aliases": edit.fact.subject.aliases}),
                ("prompts", "prompts", [*edit.prompts, {"text": other}]),
                ("holdout", "prompts", [*edit.holdout, {"text": other}]),
                ("unchanged", "scope", [*edit.unchanged, {"prompt": other}]),
                ("scope__threshold", "scope", 0.125),
                ("lifecycle__valid_until", "scope", date(2150, 1, 1)),
                ("lifecycle__review_by", "metadata", date(2150, 1, 1)),
                ("provenance__reason", "metadata", other),
                ("tags", "metadata", [*edit.tags, other]),
            ]
        )
    )
    changed = _with(edit, **{name: value})
    found = differences(edit, changed)
    if changed != edit:
        assert {difference.part for difference in found} == {part}
    else:
        assert found == ()
    # What is told as metadata alone never changes an answer.
    if {difference.part for difference in found} <= {"metadata"}:
        assert effect(edit) == effect(changed)


def test_parts_come_in_their_order() -> None:
    after = plain(**fact(new="German"), holdout=["<subject> spoke"], tags=["a"], unchanged=["q"])
    assert [difference.part for difference in differences(plain(), after)] == list(PARTS)
