"""Every code is explained, and its examples give it, and nothing else."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from sake_registry.diagnostics import CODES, FIXED, NOT_IGNORED
from sake_registry.edits.explanations import Example, explain, explanations, shown
from sake_registry.edits.registry import Registry, open_registry
from sake_registry.errors import InputError

TODAY = date(2026, 11, 22)
ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs" / "checks.md"
CODE = pytest.mark.parametrize("code", CODES)
BASE = {
    "schema": "schema: 1\n",
    "fact": (
        "fact:\n"
        "  subject: Danielle Darrieux\n"
        "  relation: mother tongue\n"
        "  old: French\n"
        "  new: English\n"
    ),
    "prompts": (
        "prompts:\n  - The mother tongue of <subject> is\n  - <subject> is a native speaker of\n"
    ),
}
IGNORED = (
    "prompts:\n"
    "  # sake: ignore[SAKE111] it speaks of the films\n"
    "  - Although most of the films were in English, <subject> spoke\n"
)
"""A part of a file with a finding that a comment hides."""


def complete(part: str) -> str:
    """A whole edit file around the part of one that an example shows."""
    given = set(re.findall(r"^(\w+):", part, re.M))
    return "".join(text for key, text in BASE.items() if key not in given) + part


def render() -> str:
    """All explanations as a page of Markdown."""
    lines = [
        "# What `sake check` finds",
        "",
        "One section for each code, as `sake explain CODE` shows it; a code never changes its",
        "meaning. This page is generated.",
        "",
        "Where a finding is not as bad for your registry, or worse, say so in `sake.toml`:",
        "",
        "```toml",
        "[checks]",
        'SAKE116 = "error"',
        'SAKE118 = "off"',
        "```",
        "",
        "A single finding is ignored by a comment that says why, at the end of its line or on the",
        "line above it. Several codes are separated by commas.",
        "",
        "```yaml",
        IGNORED.rstrip("\n"),
        "```",
        "",
        "| code | what | usually | can be set | can be ignored |",
        "|---|---|---|---|---|",
    ]
    for one in explanations().values():
        can = ("yes" if able else "no" for able in (one.settable, one.ignorable))
        title = one.title.replace("<subject>", "`<subject>`").replace(
            "<placeholder>", "`<placeholder>`"
        )
        cells = (f"[{one.code}](#{one.code.lower()})", title, one.severity, *can)
        lines.append(f"| {' | '.join(cells)} |")
    for one in explanations().values():
        meaning, why = (re.sub(r"(<\w+>)", r"`\1`", text) for text in (one.meaning, one.why))
        lines += ["", f"## {one.code}", "", f"{meaning} {why}"]
        for label, example in (("Wrong", one.wrong), ("Mended", one.mended)):
            if example:
                lines += ["", f"{label}:", "", "```yaml", shown(example).rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"


def checked(root: Path, example: Example, encoding: str = "utf-8") -> Registry:
    (root / "sake.toml").write_text("")
    for name, part in example.items():
        path = root / "edits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(complete(part).encode(encoding))
    return open_registry(root, today=TODAY)


def test_every_code_is_explained_in_order() -> None:
    assert list(explanations()) == list(CODES)
    for one in explanations().values():
        assert one.meaning.endswith(".")
        assert one.why.endswith(".")
        assert one.wrong != one.mended or one.encoding != "utf-8"


@CODE
def test_the_wrong_example_gives_its_code_and_no_other(code: str, tmp_path: Path) -> None:
    one = explain(code)
    found = checked(tmp_path, one.wrong, one.encoding).findings
    assert [(f.code, f.severity) for f in found] == [(code, one.severity)], found
    assert found[0].hint or code == "SAKE001"


@CODE
def test_the_mended_example_gives_nothing(code: str, tmp_path: Path) -> None:
    assert checked(tmp_path, explain(code).mended).findings == ()


def test_the_example_of_a_comment_hides_a_finding_that_is_there(tmp_path: Path) -> None:
    assert checked(tmp_path, {"darrieux.yaml": IGNORED}).findings == ()
    bare = "".join(line for line in IGNORED.splitlines(keepends=True) if "#" not in line)
    (found,) = checked(tmp_path, {"darrieux.yaml": bare}).findings
    assert found.code == "SAKE111"
    for file in (DOCS, ROOT / "docs" / "edits.md"):
        assert f"```yaml\n{IGNORED}```" in file.read_text(encoding="utf-8")


def test_what_can_be_set_and_ignored() -> None:
    assert sorted(FIXED) == [
        "SAKE001", "SAKE002", "SAKE003", "SAKE004", "SAKE005", "SAKE006",
        "SAKE101", "SAKE102", "SAKE103", "SAKE201",
    ]  # fmt: skip
    assert {code for code, one in explanations().items() if not one.settable} == FIXED
    assert {code for code, one in explanations().items() if not one.ignorable} == NOT_IGNORED
    assert explain("sake101").ignorable
    assert not explain("SAKE102").ignorable


def test_an_unknown_code_has_its_nearest_offered() -> None:
    with pytest.raises(InputError, match="no code 'SAKE1111'") as raised:
        explain("SAKE1111")
    assert raised.value.hint == "did you mean 'SAKE111'?"
    with pytest.raises(InputError) as raised:
        explain("zzz")
    assert "`sake explain`" in str(raised.value.hint)


def test_the_page_is_current() -> None:
    assert DOCS.read_text(encoding="utf-8") == render(), "run `python -m tests.test_docs`"
