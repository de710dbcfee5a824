"""Writing edits and bringing files into form: nothing that they say changes, no comment is lost."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from sake_registry.edits.files import parse_edit
from sake_registry.edits.schema import Edit
from sake_registry.edits.writing import format_text, write_edit
from tests.edits.strategies import edit_files, edits
from tests.edits.test_examples import EXAMPLES, TODAY

PATH = Path("x.yaml")


def comments(text: str) -> Counter[str]:
    """The comments of a file whose quoted and block texts hold no ` #`, but for `# and`."""
    found = re.findall(r"(?m)(?:^|\s)(#.*)$", text)
    return Counter(comment.rstrip() for comment in found if comment.rstrip() != "# and")


@given(edits())
def test_an_edit_that_is_written_is_read_back_as_the_same_edit(edit: Edit) -> None:
    text = write_edit(edit, "../.sake/edit.schema.json")
    read, findings = parse_edit(text.encode(), PATH)
    assert [f for f in findings if f.severity == "error"] == []
    assert read == edit
    assert format_text(text, PATH) == text
    other = yaml.safe_load(text)["fact"]["new"]
    assert edit.new == (other["text"] if isinstance(other, dict) else other)


@given(edit_files())
def test_formatting_keeps_the_value_and_every_comment_and_is_stable(text: str) -> None:
    before, findings = parse_edit(text.encode(), PATH)
    assert {f.code for f in findings} <= {"SAKE119"}  # which formatting mends
    formatted = format_text(text, PATH)
    after, findings = parse_edit(formatted.encode(), PATH)
    assert findings == []
    assert after == before
    assert comments(formatted) == comments(text)
    assert format_text(formatted, PATH) == formatted
    windows = text.partition("\n")[0].endswith("\r")
    assert formatted.count("\r\n") == (formatted.count("\n") if windows else 0)
    lines = formatted.replace("\r\n", "\n") if windows else formatted
    assert re.search(r"[ \t\r]$|\n\n\n|\A\n|\n\n\Z", lines, re.MULTILINE) is None


@pytest.mark.parametrize("path", sorted((EXAMPLES / "valid").glob("*.yaml")), ids=lambda p: p.stem)
def test_formatting_an_example_keeps_what_it_says_and_is_stable(path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig")
    before, _ = parse_edit(text.encode(), path)
    formatted = format_text(text, path)
    after, findings = parse_edit(formatted.encode(), path, today=TODAY)
    assert before is not None
    assert findings == []
    assert after == before
    assert format_text(formatted, path) == formatted
    assert len(re.findall("#.*", formatted)) == len(re.findall("#.*", text))


TYPED = """\
# yaml-language-server: $schema=x


# about the prompts
prompts:   # all of them
  - 1984
  - 3.10   # a number
# about the tags
tags: [NO, demo, ~]



fact:
      subject: X
      relation: 12:30:45
      new: Yes  # indeed
      # the end of the fact
lifecycle: {valid_from: 2026-11-22}
schema: 1
"""
IN_FORM = """\
# yaml-language-server: $schema=x

schema: 1
fact:
      subject: X
      relation: "12:30:45"
      new: "Yes"  # indeed
      # the end of the fact
# about the prompts
prompts:   # all of them
  - "1984"
  - "3.10"   # a number
lifecycle: {valid_from: 2026-11-22}
# about the tags
tags: ["NO", demo, "~"]
"""


def test_formatting_orders_the_fields_and_quotes_what_other_tools_retype() -> None:
    assert format_text(TYPED, PATH) == IN_FORM


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_formatting_keeps_the_line_ends_of_the_file(end: str) -> None:
    in_form = IN_FORM.replace("\n", end)
    assert format_text(TYPED.replace("\n", end), PATH) == in_form
    assert format_text(in_form, PATH) == in_form
    assert format_text(in_form.rstrip(), PATH) == in_form
    other = "\n" if end == "\r\n" else "\r\n"
    mixed = in_form.rstrip() + other
    assert format_text(mixed, PATH) == in_form


def test_a_comment_that_begins_a_file_stays_there_and_a_blank_line_in_a_text_stays() -> None:
    text = "# modeline\nprompts: [a]\nschema: 1\nprovenance:\n  reason: |\n    a\n\n\n\n    b\n"
    in_order = "# modeline\nschema: 1\nprompts: [a]\n"
    assert format_text(text.partition("prov")[0], PATH) == in_order
    # Uniform blank lines would change the reason: the file stays as it is.
    assert format_text(text, PATH) == text


def test_formatting_leaves_a_file_with_findings_alone() -> None:
    for text in ("a: 1\na: 2   \n", "- x   \n", "a: b #c\n", "", "{}  ", "a: &x b\n", "{", "~\n\n"):
        assert format_text(text, PATH) == text


def test_an_edit_is_written_in_its_shortest_form() -> None:
    path = EXAMPLES / "valid" / "reordered.yaml"
    edit, _ = parse_edit(path.read_bytes(), path)
    assert edit is not None
    assert (
        write_edit(edit)
        == """\
schema: 1
fact:
  subject: X
  relation: r
  old: "YES"
  new: "NO"
prompts:
  - The answer to <subject> is
lifecycle:
  review_by: 2026-01-01
tags: [a]
"""
    )
