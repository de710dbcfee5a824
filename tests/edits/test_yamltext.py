"""Reading YAML as text: what is written comes back, and nothing is lost or raised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sake_registry.edits import yamltext
from tests.edits.strategies import edit_files, texts, tricky_text, words

PATH = Path("x.yaml")


@given(texts)
@example("")
@example("\x85")
@example("a\u2028b")
@example("\ufeff")
@example("\x7f")
@example("\uffff")
@example("NO")
@example("1:30")
@example("0o17")
@example("a #b")
@example("a:")
def test_a_written_text_is_read_back_here_and_by_other_tools(text: str) -> None:
    for written in (yamltext.scalar(text), yamltext.quoted(text)):
        for file, loc in ((f"- {written}\n", (0,)), (f"k:\n  t: {written}\n", ("k", "t"))):
            document = yamltext.read(file.encode(), PATH)
            other = yaml.safe_load(file)
            assert document.findings == []
            value = document.value
            for part in loc:
                value, other = value[part], other[part]
            assert value == text
            assert type(other) is str
            assert other == text


@given((words | tricky_text).map(lambda text: " ".join(text.splitlines())))
@example("The #1 hit")
@example("x # y")
@example("#1")
@example(" #")
def test_of_an_unquoted_text_only_a_comment_set_off_as_one_can_go_unseen(text: str) -> None:
    document = yamltext.read(f"- {text}\n".encode(), PATH)
    if document.findings or document.scalars.keys() != {(0,)} or text.lstrip()[:1] in "\"'|>":
        return  # said, or another structure, or quoted
    kept = re.sub(r"[ \t]{2,}#([ #].*)?$", "", f"- {text}").removeprefix("-")
    assert "".join((document.value[0] or "").split()) == "".join(kept.split())


lines = st.lists(st.one_of(texts, st.builds("{}: {}".format, words, texts))).map("\n".join)


@given(st.one_of(st.binary(), texts.map(str.encode), lines.map(str.encode)))
@example(b"? [a]\n: b")
@example(b"{a, b: c}")
@example("a: \x85*b".encode())
@example(b"a: \r*b")
def test_reading_never_raises_and_gives_a_value_or_findings(data: bytes) -> None:
    document = yamltext.read(data, PATH)
    assert document.findings or document.value is not None or document.scalars.keys() == {()}
    for finding in document.findings:
        assert finding.path == PATH
        assert 0 <= finding.line <= len(data.decode("utf-8", "replace").splitlines()) + 1
        assert finding.message in str(finding)


@given(st.one_of(edit_files().map(str.encode), lines.map(str.encode)))
@example("0\u2028".encode())
def test_the_value_is_the_same_with_positions_and_without(data: bytes) -> None:
    document = yamltext.read(data, PATH)
    if document.events:
        walk = yamltext._Walk(document, PATH)
        assert walk.value == document.value
        # What is not text is seen before anything is parsed.
        assert walk.findings == [f for f in document.findings if f.code != "SAKE123"]
        if not walk.findings:
            under = {next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
                     for loc in document.retyped()}  # fmt: skip
            assert document.look_alikes >= under  # it may name a text over two lines
            assert document.empties == (None in leaves(document.value))


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_an_unquoted_text_that_only_looks_like_a_number_stays_unquoted() -> None:
    for text in ("E10", "e5", "_", "__1", "+", "a1", "1a", "1:60x", "1.2.3"):
        assert yamltext.scalar(text) == text
    for text in ("1_0", "1,000", ".5", "1.", "1e3", "-.5e-3", "0b1", ".", "2026-1-2"):
        assert yamltext.scalar(text) == f'"{text}"'


def test_a_position_is_that_of_the_key_or_of_the_value_or_of_what_is_around() -> None:
    document = yamltext.read(b"a:\n  - b: c\n    '\xc3\xa9': [d]\n", PATH)
    assert document.value == {"a": [{"b": "c", "é": ["d"]}]}
    assert document.position(("a", 0, "é"), key=True) == (3, 5)
    assert document.position(("a", 0, "é", 0)) == (3, 11)
    assert document.position(("a", 0, "é", 0, "nothing")) == (3, 11)
    assert document.position(("a", 7)) == (2, 3)
    assert document.position(("z",)) == (1, 1)
    assert yamltext.dotted(("a", 0, "é", 0)) == "a[0].é[0]"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  - The #1 hit", '- "The #1 hit"'),
        ("  - Q: Who?", '- "Q: Who?"'),
        ("    new: a: b", 'new: "a: b"'),
        ("  - text: a: b", '- text: "a: b"'),
        ('old: say "x"', 'old: "say \\"x\\""'),
        ("just text", '"just text"'),
    ],
)
def test_a_line_is_shown_with_its_text_in_quotes(line: str, shown: str) -> None:
    assert yamltext.quote_line(line) == shown


# -- what a merge leaves -------------------------------------------------------------------------

OURS, BASE, MIDDLE, THEIRS = "<" * 7 + " HEAD", "|" * 7 + " 1a2b3c4", "=" * 7, ">" * 7 + " topic"
HEAD = ["schema: 1", "fact:", "  subject: X"]
ENGLISH, GERMAN, DUTCH = "  new: English", "  new: German", "  new: Dutch"


@pytest.mark.parametrize(
    ("lines", "says", "line"),
    [
        ([*HEAD, OURS, ENGLISH, MIDDLE, GERMAN, THEIRS, "  old: French"], "lines 4 to 8", 4),
        ([*HEAD, OURS, ENGLISH, BASE, DUTCH, MIDDLE, GERMAN, THEIRS], "lines 4 to 10", 4),
        (
            [OURS, "schema: 1", MIDDLE, THEIRS, "fact:", OURS, ENGLISH, MIDDLE, GERMAN, THEIRS],
            "lines 1 to 4 and 6 to 10", 1,
        ),
        # Half taken out.
        ([*HEAD, ENGLISH, THEIRS], "line 5", 5),
        ([*HEAD, ENGLISH, MIDDLE, GERMAN], "line 5", 5),
        ([*HEAD, OURS, ENGLISH, MIDDLE], "lines 4 to 6", 4),
        ([*HEAD, MIDDLE, GERMAN, THEIRS], "lines 4 and 6", 4),
        # What is sound YAML with the markers in it.
        (["tags: [a,", OURS, "b,", MIDDLE, "c,", THEIRS, "d]"], "lines 2 to 6", 2),
        (['new: "a', OURS, "b", MIDDLE, "c", THEIRS, 'd"'], "lines 2 to 6", 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_conflict_markers_are_one_finding(
    lines: list[str], says: str, line: int, newline: str
) -> None:
    document = yamltext.read((newline.join(lines) + newline).encode(), PATH)
    (finding,) = document.findings
    assert finding.code == "SAKE002"
    assert finding.message == f"conflict markers of a merge in {says}"
    assert (finding.line, finding.column) == (line, 1)
    assert "keep one side" in finding.hint
    assert document.value is None


@pytest.mark.parametrize(
    "text",
    [
        f"a: |\n  {OURS}\n  x\n  {MIDDLE}\n  {THEIRS}\n",
        f"# {OURS}\na: b\n",
        f'a: "{OURS} and {THEIRS}"\n',
        f'a: "x\n{OURS}\ny"\n',
        "a: <<<<<<<\nb: =======\n",
    ],
)
def test_text_like_conflict_markers_is_text(text: str) -> None:
    document = yamltext.read(text.encode(), PATH)
    assert document.findings == []
    assert document.value is not None
