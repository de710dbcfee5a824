"""How bad findings are: by sake.toml, and by comments in the files that ignore them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from sake_registry.diagnostics import CODES, FIXED, Diagnostic, Level
from sake_registry.edits.files import parse_edit
from sake_registry.edits.registry import open_registry
from sake_registry.errors import SettingsError
from sake_registry.settings import load_settings
from tests.conftest import EDIT

Write = Callable[[str, str], Path]
PATH = Path("x.yaml")
TODAY = date(2026, 11, 22)
SAME = EDIT.replace("old: French", "old: English")


def found(text: str, **severities: Level) -> list[tuple[str, str, int]]:
    _, findings = parse_edit(text.encode(), PATH, severities=severities, today=TODAY)
    return [(f.code, f.severity, f.line) for f in findings]


# -- sake.toml -----------------------------------------------------------------------------------


def test_a_lowered_error_leaves_the_edit_there_and_a_raised_warning_takes_it() -> None:
    edit, findings = parse_edit(SAME.encode(), PATH)
    assert edit is None
    assert [f.severity for f in findings] == ["error"]
    edit, findings = parse_edit(SAME.encode(), PATH, severities={"SAKE104": "warning"})
    assert edit is not None
    assert [(f.code, f.severity) for f in findings] == [("SAKE104", "warning")]
    edit, findings = parse_edit(SAME.encode(), PATH, severities={"SAKE104": "off"})
    assert edit is not None
    assert findings == []
    question = EDIT + "  - Which language does <subject> speak?\n"
    assert found(question) == [("SAKE116", "warning", 10)]
    edit, findings = parse_edit(question.encode(), PATH, severities={"SAKE116": "error"})
    assert edit is None
    assert [f.severity for f in findings] == ["error"]


def test_a_registry_grades_by_its_sake_toml_also_what_is_about_several_edits(
    registry: Path, write: Write
) -> None:
    write("same.yaml", SAME.replace("Danielle Darrieux", "Jean Gabin"))
    write("second.yaml", EDIT.replace("new: English", "new: German"))
    assert {f.code for f in open_registry(registry).errors} == {"SAKE104", "SAKE202"}
    (registry / "sake.toml").write_text('[checks]\nSAKE104 = "warning"\nSAKE202 = "off"\n')
    opened = open_registry(registry)
    assert [(f.code, f.severity) for f in opened.findings] == [("SAKE104", "warning")]
    assert [edit.id for edit in opened.sound().edits] == ["darrieux", "same", "second"]
    for path in (registry / "edits").iterdir():
        path.unlink()
    (registry / "sake.toml").write_text('[checks]\nSAKE204 = "error"\n')
    assert [f.severity for f in open_registry(registry).errors] == ["error"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('SAKE1111 = "off"', "checks: unknown code 'SAKE1111'; did you mean 'SAKE111'?"),
        ('nothing = "off"', "unknown code 'nothing'; `sake explain` lists the codes"),
        ('SAKE111 = "loud"', "checks.SAKE111: Input should be 'error', 'warning' or 'off'"),
        ('SAKE101 = "off"', "SAKE101 (an unknown key) is always an error"),
        ('SAKE201 = "warning"', "SAKE201 (two edits have the same id) is always an error"),
        ("SAKE111 = 1", "checks.SAKE111: Input should be"),
    ],
)
def test_a_wrong_level_is_refused_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "sake.toml").write_text(f"[checks]\n{line}\n")
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path, environ={})
    assert raised.value.message.startswith(f"{tmp_path / 'sake.toml'}: checks")
    assert says in raised.value.message


def test_every_code_can_be_set_but_those_that_leave_no_edit(tmp_path: Path) -> None:
    lines = [f'{code} = "{"error" if code in FIXED else "off"}"' for code in CODES]
    (tmp_path / "sake.toml").write_text("\n".join(["[checks]", *lines]))
    assert load_settings(tmp_path, environ={}).checks.keys() == CODES.keys()
    (tmp_path / "sake.toml").write_text('checks = "off"\n')
    with pytest.raises(SettingsError, match="checks: Input should be a valid dictionary"):
        load_settings(tmp_path, environ={})


# -- comments ------------------------------------------------------------------------------------

QUESTION = "  - Which language does <subject> speak?"


@pytest.mark.parametrize(
    "lines",
    [
        f"{QUESTION}  # sake: ignore[SAKE116] meant so\n",
        f"{QUESTION} # sake: ignore[SAKE116] meant so\n",
        f"{QUESTION}  #sake: ignore[SAKE116] meant so\n",
        f"{QUESTION}  # sake:ignore[SAKE116] meant so\n",
        f"{QUESTION} #sake:ignore[SAKE116] meant so\n",
        f"  # Sake: Ignore[SAKE116] meant so\n{QUESTION}\n",
        f"  # SAKE:  IGNORE[SAKE116] meant so\n{QUESTION}\n",
        f"  # sake: ignore[SAKE116] meant so\n{QUESTION}\n",
        f"# sake: ignore[SAKE116]: meant so\n\n  # another comment\n{QUESTION}\n",
        f"  # sake: ignore[ SAKE116 , SAKE107] both\n{QUESTION[:-1]} <here>?\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_a_comment_hides_what_is_found_in_its_line_or_the_next(lines: str, newline: str) -> None:
    assert found((EDIT + lines).replace("\n", newline)) == []


def test_a_comment_hides_nothing_in_another_line_and_no_other_code() -> None:
    before = EDIT + "  # sake: ignore[SAKE116] why\n  - <subject> speaks\n" + QUESTION + "\n"
    assert found(before) == [("SAKE121", "warning", 10), ("SAKE116", "warning", 12)]
    other = EDIT + QUESTION + "  # sake: ignore[SAKE112, SAKE111] why\n"
    assert found(other) == [
        ("SAKE116", "warning", 10), ("SAKE121", "warning", 10), ("SAKE121", "warning", 10),
    ]  # fmt: skip
    at_the_end = EDIT + "# sake: ignore[SAKE116] why\n# the end\n"
    assert found(at_the_end) == [("SAKE121", "warning", 10)]


@pytest.mark.parametrize(
    ("comment", "code", "says"),
    [
        ("ignore[SAKE116]", "SAKE120", "no reason"),
        ("ignore[SAKE116] - ", "SAKE120", "no reason"),
        ("ignore[sake116] why", "SAKE122", "no code 'sake116'"),
        ("ignore[SAKE103] why", "SAKE122", "SAKE103 cannot be ignored"),
        ("ignore[SAKE120] why", "SAKE122", "SAKE120 cannot be ignored"),
        ("ignore SAKE116 why", "SAKE122", "without a code in brackets"),
        ("ignore[] why", "SAKE122", "without a code in brackets"),
        ("ignore", "SAKE122", "without a code in brackets"),
    ],
)
def test_a_comment_that_is_wrong_is_a_finding_itself(comment: str, code: str, says: str) -> None:
    text = EDIT + f"{QUESTION}  # sake: {comment}\n"
    edit, findings = parse_edit(text.encode(), PATH)
    assert edit is not None
    (about,) = [f for f in findings if f.code != "SAKE116"]
    assert (about.code, about.line, about.column) == (code, 10, 43)
    assert says in about.message
    assert about.hint
    assert ("SAKE116" in {f.code for f in findings}) == (code == "SAKE122")


def test_a_nearly_right_code_in_a_comment_is_offered() -> None:
    _, findings = parse_edit((EDIT + "# sake: ignore[sake116] why\n").encode(), PATH)
    assert findings[0].hint == "did you mean 'SAKE116'?"


def test_a_text_that_speaks_of_such_a_comment_is_text() -> None:
    for reason in (
        '"see # sake: ignore[SAKE116]"',
        "'see  # sake: ignore[SAKE116]'",
        "|\n    see\n    # sake: ignore[SAKE116]",
        "see#sake:ignore[SAKE116] or sake&#58; ignore[SAKE116]",
    ):
        text = EDIT + f"provenance:\n  reason: {reason}\n"
        edit, findings = parse_edit(text.encode(), PATH)
        assert findings == [], reason
        assert edit is not None
        assert "ignore[SAKE116]" in str(edit.provenance.reason)


def test_a_comment_in_a_file_that_is_no_yaml_changes_nothing() -> None:
    text = EDIT + "tags: [a  # sake: ignore[SAKE002] why\n"
    assert found(text) == [("SAKE002", "error", 11)]


def test_an_ignored_unknown_key_is_left_out_and_others_stay_errors() -> None:
    text = EDIT + "owner: me  # sake: ignore[SAKE101] read by our own scripts\n"
    edit, findings = parse_edit(text.encode(), PATH)
    assert findings == []
    assert edit is not None
    plain, _ = parse_edit(EDIT.encode(), PATH)
    assert edit == plain
    # What else is wrong is still found, also what only the checks see.
    assert found(text + "lifecycle: {statuss: draft}\n") == [("SAKE101", "error", 11)]
    assert found(text.replace("new: English", "new: French")) == [("SAKE104", "error", 6)]
    nested = EDIT.replace("  new: English\n", "  new: {text: English, lang: en}  "
                          "# sake: ignore[SAKE101] for the web page\n")  # fmt: skip
    edit, findings = parse_edit(nested.encode(), PATH)
    assert findings == []
    assert edit is not None
    assert edit.new == "English"
    known = EDIT + "id: x  # sake: ignore[SAKE101] from an export\n"
    assert found(known) == []


def test_an_ignored_key_is_told_from_the_field_that_its_name_spells() -> None:
    text = EDIT + "fact.new: x  # sake: ignore[SAKE101] from an export\n"
    edit, findings = parse_edit(text.encode(), PATH)
    assert findings == []
    assert edit is not None
    assert edit.new == "English"
    assert found(text.replace("  new: English\n", "")) == [("SAKE102", "error", 3)]


def test_what_leaves_no_edit_cannot_be_hidden() -> None:
    text = EDIT + "lifecycle:\n  status: gone  # sake: ignore[SAKE103] why\n"
    assert found(text) == [("SAKE103", "error", 11), ("SAKE122", "warning", 11)]


def test_with_errors_a_comment_is_not_called_useless() -> None:
    text = EDIT + QUESTION + "  # sake: ignore[SAKE116] why\nnothing: 1\n"
    assert found(text) == [("SAKE101", "error", 11)]


def test_a_finding_about_several_edits_is_hidden_by_its_line(registry: Path, write: Write) -> None:
    other = EDIT.replace("new: English", "new: German  # sake: ignore[SAKE202] told apart by date")
    write("second.yaml", other)
    assert open_registry(registry).findings == ()
    write("second.yaml", other.replace("German", "English").replace("SAKE202", "SAKE203,SAKE202"))
    opened = open_registry(registry)
    assert [(f.code, f.line) for f in opened.findings] == [("SAKE121", 6)]
    assert "SAKE202" in opened.findings[0].message
    (registry / "sake.toml").write_text('[checks]\nSAKE121 = "error"\n')
    assert [f.severity for f in open_registry(registry).findings] == ["error"]


# -- the day -------------------------------------------------------------------------------------


def codes(text: str, today: date | None) -> list[str]:
    _, findings = parse_edit(text.encode(), PATH, today=today)
    return [f.code for f in findings]


def test_dates_are_looked_at_on_the_day_that_is_given() -> None:
    text = EDIT + "lifecycle: {valid_until: 2026-06-30, review_by: 2026-03-31}\n"
    assert codes(text, date(2026, 3, 31)) == []
    assert codes(text, date(2026, 4, 1)) == ["SAKE118"]
    assert codes(text, date(2026, 6, 30)) == ["SAKE118"]
    assert codes(text, date(2026, 7, 1)) == ["SAKE117", "SAKE118"]
    assert codes(text.replace("{", "{status: draft, "), date(2026, 7, 1)) == ["SAKE118"]
    assert codes(text.replace("{", "{status: withdrawn, "), date(2026, 7, 1)) == []
    past = EDIT + "lifecycle: {valid_until: 2020-06-30}\n"
    assert codes(past, None) == ["SAKE117"]


def test_a_registry_is_looked_at_on_the_day_that_is_given(registry: Path, write: Write) -> None:
    write("darrieux.yaml", EDIT + "lifecycle: {valid_until: 2026-06-30}\n")
    (late,) = open_registry(registry, today=date(2026, 7, 1)).findings
    assert isinstance(late, Diagnostic)
    assert (late.code, late.severity, late.field) == ("SAKE117", "warning", "lifecycle.valid_until")
    assert "sake withdraw darrieux" in late.hint
    assert open_registry(registry, today=date(2026, 6, 30)).findings == ()


def test_only_text_is_said_to_be_retyped() -> None:
    text = EDIT + (
        "tags: [2026, a]\nscope: {threshold: 5.3}\nlifecycle:\n  valid_from: 2026-01-01\n"
        "unchanged:\n  - prompt: The year is\n    answer: 1984\n"
    )
    assert found(text) == [("SAKE119", "warning", 10), ("SAKE119", "warning", 16)]
