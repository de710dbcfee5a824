"""Adding texts to a file: what is added is there, and every other byte stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from sake_registry.edits.adding import add_texts
from sake_registry.edits.files import parse_edit
from sake_registry.errors import EditFileError, InputError
from sake_registry.names import SUBJECT
from tests.conftest import EDIT
from tests.edits.strategies import edit_files, fields
from tests.edits.test_examples import EXAMPLES

PATH = Path("x.yaml")
BY = "some/model:free@2026-11-29#1a2b3c4d"
HARD = 'NO: "quotes", [brackets] #1 & more'


def additions(text: str) -> dict[Any, list[Any]]:
    """Something for every list, with texts that YAML could mistake."""
    return {
        ("unchanged",): [{"prompt": f"U {text}", "by": BY}],
        ("prompts",): [{"text": f"{SUBJECT} P {text}", "by": BY}],
        ("holdout",): [{"text": f"Q {text}\nA of {SUBJECT}:", "by": BY}],
        ("implications",): [{"prompt": f"I {text}", "old": "NO", "new": "1984", "by": BY}],
        ("fact", "subject", "aliases"): [{"text": f"S {text}", "by": BY}],
        ("fact", "new", "aliases"): [f"N {text}"],
    }


def added(before: str, text: str) -> str:
    """A file with these additions; whether it says them, and still all that it said, is seen."""
    old, _ = parse_edit(before.encode(), PATH, severities={"SAKE112": "off"})
    after = add_texts(before, PATH, additions(text))
    new, findings = parse_edit(after.encode(), PATH)
    assert old is not None
    assert new is not None, findings
    for kind in ("prompts", "holdout", "implications", "unchanged"):
        assert getattr(new, kind)[:-1] == getattr(old, kind)
        assert getattr(new, kind)[-1].by == BY
    assert new.fact.subject.all == (*old.fact.subject.all, f"S {text}")
    assert new.fact.new.all == (*old.fact.new.all, f"N {text}")
    assert new.prompts[-1].text == f"{SUBJECT} P {text}"
    assert new.holdout[-1].text == f"Q {text}\nA of {SUBJECT}:"
    assert new.lifecycle == old.lifecycle
    # What was there is there still, in its order; a name that gets its first aliases is rewritten.
    lists = {loc: items for loc, items in additions(text).items() if loc[0] != "fact"}
    rest = iter(add_texts(before, PATH, lists))
    assert [letter for letter in before if letter not in rest] == []
    return after


@settings(max_examples=60)
@given(edit_files(), fields)
def test_any_text_can_be_added_to_files_as_people_type_them(before: str, text: str) -> None:
    try:
        added(before, text)
    except InputError as error:
        assert "by hand" in str(error) or "one item a line" in str(error)
        assert re.search(r"^[^\s#].*\[|^\{|^\s*-\s*$|[|>]", before, re.M), before


@pytest.mark.parametrize("path", sorted((EXAMPLES / "valid").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_sound_file_takes_them_or_is_refused_whole(path: Path) -> None:
    before = path.read_bytes().decode()
    if path.stem == "flow-style":  # one mapping in braces
        with pytest.raises(InputError, match="without touching other lines"):
            add_texts(before, path, additions(HARD))
        return
    after = added(before, HARD)
    comments = re.findall(r"#[^\n\r]*", before)
    assert all(after.count(comment) >= comments.count(comment) for comment in comments)


def test_each_list_is_added_to_in_its_own_style() -> None:
    before = EDIT.replace("subject: Danielle Darrieux", "subject: Danielle Darrieux  # who")
    before += "\n  # the end of the prompts\nholdout: [a <subject> is]  # few\nunchanged:  # none\n"
    expected = before.replace(
        "subject: Danielle Darrieux  # who",
        "subject: {text: Danielle Darrieux, aliases: [S x]}  # who",
    )
    expected = expected.replace(
        "native speaker of\n", f"native speaker of\n  - text: <subject> P\n    by: {BY}\n"
    )
    expected = expected.replace("[a <subject> is]", f"[a <subject> is, {{text: b, by: {BY}}}]")
    expected = expected.replace("unchanged:  # none", "unchanged:  # none\n  - U")
    assert add_texts(before, PATH, {
        ("fact", "subject", "aliases"): ["S x"],
        ("prompts",): [{"text": "<subject> P", "by": BY}],
        ("holdout",): [{"text": "b", "by": BY}],
        ("unchanged",): ["U"],
        ("implications",): [],
    }) == expected  # fmt: skip


def test_a_broken_file_is_not_added_to() -> None:
    with pytest.raises(EditFileError):
        add_texts("a: [", PATH, additions("x"))
