"""Edits that get in each other's way, as their files tell: what is found, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sake_registry.edits.conflicts import Conflict, find_conflicts
from sake_registry.edits.registry import open_registry
from tests.repositories import edit_text

Write = Callable[[str, str], Path]
TONGUE = "  - The mother tongue of <subject> is\n"


@pytest.fixture
def find(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Conflict]]:
    """Conflicts of the registry, in which `darrieux` says French → English."""
    monkeypatch.chdir(registry)

    def found() -> list[Conflict]:
        opened = open_registry(registry)
        return find_conflicts(opened.edits, levels=opened.settings.checks)

    return found


def told(conflicts: list[Conflict]) -> list[tuple[str, str, tuple[str, str]]]:
    return [(conflict.kind, conflict.severity, conflict.ids) for conflict in conflicts]


def test_edits_of_different_facts_are_in_no_conflict(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("gabin.yaml", edit_text("Jean Gabin"))
    write("birth.yaml", edit_text(relation="place of birth", old="Paris", new="Rome"))
    assert find() == []


def test_two_objects_of_one_fact_contradict_each_other(
    write: Write, registry: Path, find: Callable[[], list[Conflict]]
) -> None:
    write("german.yaml", edit_text(new="German"))
    (conflict,) = find()
    assert told([conflict]) == [("contradiction", "error", ("darrieux", "german"))]
    assert conflict.code == "SAKE202"
    assert [(side.where, side.says) for side in conflict.sides] == [
        ("edits/darrieux.yaml:6:8", "English"), ("edits/german.yaml:6:8", "German"),
    ]  # fmt: skip
    assert "`sake withdraw` the one that is wrong" in conflict.hint
    (finding,) = [f for f in open_registry(registry).errors if f.code == "SAKE202"]
    assert finding.hint == conflict.hint


@pytest.mark.parametrize(
    "name",
    ["DANIELLE DARRIEUX", "Daniëlle Darrieux", "{text: DD, aliases: [danielle darrieux]}"],
)
def test_names_are_compared_without_case_and_accents(
    write: Write, find: Callable[[], list[Conflict]], name: str
) -> None:
    write("german.yaml", edit_text(name, new="German"))
    assert told(find()) == [("contradiction", "error", ("darrieux", "german"))]


def test_one_prompt_with_two_objects_is_a_contradiction_whatever_the_relation_is_called(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("german.yaml", edit_text(relation="first language", new="German") + TONGUE)
    (conflict,) = find()
    assert (conflict.kind, conflict.code) == ("contradiction", "")
    assert conflict.prompt == "The mother tongue of Danielle Darrieux is"
    assert "word the prompt anew" in conflict.hint


def test_the_same_object_twice_is_a_warning(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("again.yaml", edit_text(new="ENGLISH"))
    assert told(find()) == [("twice", "warning", ("again", "darrieux"))]


def test_what_is_not_valid_on_one_day_is_a_chain_or_nothing(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    until = "lifecycle:\n  valid_until: 2026-12-31\n"
    later = "lifecycle:\n  valid_from: 2027-01-01\n"
    write("darrieux.yaml", edit_text(more=until))
    write("german.yaml", edit_text(old="English", new="German", more=later))
    (conflict,) = find()
    assert told([conflict]) == [("chain", "information", ("darrieux", "german"))]
    assert "from 'English' to 'German'" in conflict.message
    write("german.yaml", edit_text(old="Dutch", new="German", more=later))
    assert find() == []


@pytest.mark.parametrize(
    ("begins", "hint"),
    [
        (None, "give 'darrieux' a valid_until and 'german' a later valid_from, or `sake withdraw"),
        ("2026-07-01", "give 'darrieux' a valid_until before 2026-07-01, or `sake withdraw"),
        ("2020-01-01", "ends: `sake withdraw darrieux --reason …`"),
    ],
)
def test_a_chain_of_edits_in_force_at_once_says_which_one_ends(
    write: Write, registry: Path, find: Callable[[], list[Conflict]], begins: str | None, hint: str
) -> None:
    """Never the later one, and no day on which the earlier one has not begun."""
    darrieux = edit_text(more="lifecycle:\n  valid_from: 2026-01-01\n")
    write("darrieux.yaml", darrieux)
    more = f"lifecycle:\n  valid_from: {begins}\n" if begins else ""
    write("german.yaml", edit_text(old="English", new="German", more=more))
    (conflict,) = find()
    assert conflict.kind == "contradiction"
    assert "'german' takes up where 'darrieux' ends" in conflict.hint
    assert hint in conflict.hint
    (finding,) = [f for f in open_registry(registry).errors if f.code == "SAKE202"]
    assert finding.hint == conflict.hint


IMPLIES = """\
implications:
  - prompt: The mother tongue of Danielle Darrieux is
    new: {}
"""


def test_an_implication_that_another_edit_denies(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("gabin.yaml", edit_text("Jean Gabin", more=IMPLIES.format("Breton")))
    (conflict,) = find()
    assert told([conflict]) == [("implication", "error", ("gabin", "darrieux"))]
    assert [(side.field, side.says) for side in conflict.sides] == [
        ("implications[0].prompt", "Breton"), ("prompts[0]", "English"),
    ]  # fmt: skip
    write("gabin.yaml", edit_text("Jean Gabin", more=IMPLIES.format("English")))
    assert find() == []


def test_two_implications_of_one_prompt(write: Write, find: Callable[[], list[Conflict]]) -> None:
    implied = "implications:\n  - prompt: The tongue of the mayor of Bern is\n    new: {}\n"
    write("gabin.yaml", edit_text("Jean Gabin", more=implied.format("German")))
    write("verne.yaml", edit_text("Jules Verne", more=implied.format("Breton")))
    assert told(find()) == [("implication", "error", ("gabin", "verne"))]


def test_what_one_edit_keeps_and_another_changes(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    kept = "unchanged:\n  - prompt: the mother tongue of Danielle Darrieux is\n    answer: {}\n"
    write("gabin.yaml", edit_text("Jean Gabin", more=kept.format("French")))
    (conflict,) = find()
    assert told([conflict]) == [("unchanged", "warning", ("gabin", "darrieux"))]
    assert conflict.sides[0].says == "as it was: French"
    assert "out of the unchanged prompts of 'gabin'" in conflict.hint
    # What it is kept at is what the other edit says: both can be had.
    write("gabin.yaml", edit_text("Jean Gabin", more=kept.format("English")))
    assert find() == []


def test_an_unchanged_answer_that_another_edit_changes_is_worth_a_look(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    kept = (
        "unchanged:\n  - prompt: At home, Danielle Darrieux spoke\n    answer: French\n"
        "  - prompt: At home, Jean Cocteau spoke\n    answer: French\n"
    )
    write("gabin.yaml", edit_text("Jean Gabin", more=kept))
    (conflict,) = find()
    assert told([conflict]) == [("unchanged", "information", ("gabin", "darrieux"))]
    assert conflict.prompt == "At home, Danielle Darrieux spoke"


def test_prompts_that_many_edits_keep_are_no_conflict(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    for i in range(30):
        more = "unchanged:\n  - The weather on Tuesday was\n"
        write(f"edit-{i}.yaml", edit_text(f"Somebody Number{i}", more=more))
    assert find() == []


def test_drafts_and_withdrawn_edits_take_no_part(
    write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("german.yaml", edit_text(new="German", more="lifecycle:\n  status: draft\n"))
    write("breton.yaml", edit_text(new="Breton", more="lifecycle:\n  status: withdrawn\n"))
    assert find() == []


def test_settings_and_comments_of_checks_hold_here(
    registry: Path, write: Write, find: Callable[[], list[Conflict]]
) -> None:
    write("german.yaml", edit_text(new="German"))
    (registry / "sake.toml").write_text('[checks]\nSAKE202 = "warning"\n')
    assert told(find()) == [("contradiction", "warning", ("darrieux", "german"))]
    (registry / "sake.toml").write_text("")
    ignored = edit_text(new="German  # sake: ignore[SAKE202] the two are compared")
    write("german.yaml", ignored)
    assert find() == []


def test_the_worst_comes_first(write: Write, find: Callable[[], list[Conflict]]) -> None:
    write("again.yaml", edit_text("Jean Gabin"))
    write("gabin.yaml", edit_text("Jean Gabin"))
    write("german.yaml", edit_text(new="German"))
    assert [conflict.kind for conflict in find()] == ["contradiction", "twice"]
