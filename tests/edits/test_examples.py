"""Acceptance cases as files: adding a case is adding a file to `tests/example_edits`.

A file in `valid/` must give an edit without findings, but for SAKE119: that unquoted text is read
as it stands, whatever other tools make of it, is what many of them are for. A `.json` of the same
name beside it says (in part) what is read. A file in `invalid/` begins with the findings that it
must give, in order:

    # expect: SAKE003 7:3     code, line, column; `0:0` is the whole file; `warning` may follow
    # says: …                 a part of the message (optional)
    # hint: …                 a part of the hint (optional)

A folder in either is a registry: every file in it carries its own expectations.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sake_registry.diagnostics import Diagnostic
from sake_registry.edits.files import parse_edit, read_edit
from sake_registry.edits.registry import open_registry
from sake_registry.errors import EditFileError

EXAMPLES = Path(__file__).parent.parent / "example_edits"
TODAY = date(2026, 1, 1)


@dataclass
class Expected:
    code: str
    line: int
    column: int
    severity: str
    says: str = ""
    hint: str = ""

    def agrees(self, finding: Diagnostic) -> bool:
        return (
            (self.code, self.line, self.column, self.severity)
            == (finding.code, finding.line, finding.column, finding.severity)
            and self.says in finding.message
            and self.hint in finding.hint
        )


def expectations(path: Path) -> list[Expected]:
    expected: list[Expected] = []
    for line in path.read_bytes().splitlines():
        match = re.match(r"# (expect|says|hint): (.*)", line.decode("utf-8", "replace"))
        if match is None:
            break
        if match[1] == "expect":
            code, position, *severity = match[2].split()
            row, column = position.split(":")
            expected.append(Expected(code, int(row), int(column), (severity or ["error"])[0]))
        else:
            setattr(expected[-1], match[1], match[2])
    return expected


def assert_agree(findings: list[Diagnostic], expected: list[Expected]) -> None:
    shown = "\n".join(map(str, findings)) or "(nothing found)"
    assert len(findings) == len(expected), shown
    for finding, wanted in zip(findings, expected, strict=True):
        assert wanted.agrees(finding), f"wanted {wanted}\nfound:\n{shown}"


def files(kind: str) -> list[Any]:
    found = sorted((EXAMPLES / kind).glob("*.y*ml"))
    return [pytest.param(path, id=path.stem) for path in found]


def registries(kind: str) -> list[Any]:
    found = sorted(path.parent for path in (EXAMPLES / kind).glob("*/sake.toml"))
    return [pytest.param(path, id=path.name) for path in found]


def contains(value: Any, part: Any) -> bool:
    """Whether `value` has everything that `part` says; lists are compared item by item."""
    if isinstance(part, dict):
        return all(key in value and contains(value[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(value) == len(part) and all(map(contains, value, part))
    return bool(value == part)


@pytest.mark.parametrize("path", files("valid"))
def test_a_valid_file_is_read_without_findings_and_as_the_text_it_says(path: Path) -> None:
    edit, findings = parse_edit(path.read_bytes(), path, today=TODAY)
    assert_agree([f for f in findings if f.code != "SAKE119"], [])
    assert edit is not None
    assert (edit.id, edit.path) == (path.stem, path)
    said = path.with_suffix(".json")
    if said.exists():
        value = edit.model_dump(mode="json", by_alias=True)
        assert contains(value, json.loads(said.read_text(encoding="utf-8"))), value


@pytest.mark.parametrize("path", files("invalid"))
def test_an_invalid_file_gives_its_findings_at_their_positions(path: Path) -> None:
    expected = expectations(path)
    assert expected, f"{path} says nothing of what is expected"
    edit, findings = parse_edit(path.read_bytes(), path, today=TODAY)
    assert_agree(findings, expected)
    assert (edit is None) == any(e.severity == "error" for e in expected)
    if edit is None:
        with pytest.raises(EditFileError) as raised:
            read_edit(path)
        assert list(raised.value.diagnostics) == [f for f in findings if f.severity == "error"]


@pytest.mark.parametrize("root", [*registries("valid"), *registries("invalid")])
def test_a_registry_gives_the_findings_of_all_its_files(root: Path) -> None:
    registry = open_registry(root, today=TODAY)
    seen = 0
    for path in sorted((root / "edits").rglob("*.y*ml")):
        found = [f for f in registry.findings if f.path.resolve() == path]
        assert_agree(found, expectations(path))
        seen += len(found)
    assert seen == len(registry.findings)
    assert bool(seen) == (root.parent.name == "invalid")


def test_every_companion_belongs_to_an_example() -> None:
    companions = sorted((EXAMPLES / "valid").glob("*.json"))
    assert companions
    assert [path for path in companions if not path.with_suffix(".yaml").exists()] == []


def test_a_huge_file_an_empty_one_and_another_encoding_are_refused() -> None:
    path = Path("x.yaml")
    for data, code, says in (
        (b"# " + b"x" * (1 << 20), "SAKE001", "larger than"),
        (b"", "SAKE102", "empty"),
        ("schema: 1\n".encode("utf-16"), "SAKE001", "not UTF-8"),
        (b"[" * 100_000, "SAKE004", "deep"),
        (b"{a: " * 100_000, "SAKE004", "deep"),
        (b"- " * 100_000, "SAKE004", "deep"),
    ):
        edit, findings = parse_edit(data, path)
        assert edit is None
        assert [f.code for f in findings] == [code]
        assert says in findings[0].message
