"""Splicing: one place of a file changes, every other byte stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.edits import splicing, yamltext
from sake_registry.edits.files import parse_edit
from sake_registry.edits.splicing import LayoutError, Splice, set_status
from sake_registry.errors import EditFileError, InputError
from tests.conftest import EDIT
from tests.edits.strategies import edit_files
from tests.edits.test_examples import EXAMPLES

PATH = Path("x.yaml")


def withdrawn(text: str) -> str:
    return set_status(text, PATH, "withdrawn")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lifecycle:\n  status: active  # why\n", "lifecycle:\n  status: withdrawn  # why\n"),
        ('lifecycle:\n  status: "active" \n', "lifecycle:\n  status: withdrawn \n"),
        ("lifecycle:\n  status:\n", "lifecycle:\n  status: withdrawn\n"),
        ("lifecycle:\n  status:  # todo\n", "lifecycle:\n  status: withdrawn  # todo\n"),
        ("lifecycle:\n  status: |\n    active\n\n", "lifecycle:\n  status: withdrawn\n\n"),
        ("lifecycle: {status: draft}\n", "lifecycle: {status: withdrawn}\n"),
        ("lifecycle: {status}\n", "lifecycle: {status: withdrawn}\n"),
        (
            "lifecycle:\n   # from when on\n   valid_from: 2026-01-01\n",
            "lifecycle:\n   # from when on\n   status: withdrawn\n   valid_from: 2026-01-01\n",
        ),
        (
            "lifecycle: {valid_from: 2026-01-01}\n",
            "lifecycle: {status: withdrawn, valid_from: 2026-01-01}\n",
        ),
        (
            "lifecycle: { # dates\n  valid_from: 2026-01-01 }\n",
            "lifecycle: { # dates\n  status: withdrawn, valid_from: 2026-01-01 }\n",
        ),
        ("lifecycle: {}\n", "lifecycle: {status: withdrawn}\n"),
        ("lifecycle: { }  # none\n", "lifecycle: {status: withdrawn }  # none\n"),
        ("lifecycle:\n", "lifecycle:\n  status: withdrawn\n"),
        ("lifecycle:", "lifecycle:\n  status: withdrawn"),
        (
            "lifecycle:  # dates\n  # status: draft\ntags: [a]\n",
            "lifecycle:  # dates\n  status: withdrawn\n  # status: draft\ntags: [a]\n",
        ),
        ("", "lifecycle:\n  status: withdrawn\n"),
        ("# the end\n\n", "# the end\n\nlifecycle:\n  status: withdrawn\n"),
        ("...\n# over\n", "lifecycle:\n  status: withdrawn\n...\n# over\n"),
        ("# the end", "# the end\nlifecycle:\n  status: withdrawn"),
        (
            "provenance:\n  reason: |\n    Why.",
            "provenance:\n  reason: |\n    Why.\nlifecycle:\n  status: withdrawn",
        ),
        ("tags: [a]\n", "lifecycle:\n  status: withdrawn\ntags: [a]\n"),
        (
            "# unchanged: none\n\n# of the demo\n#\ntags: [a]\nscope: {threshold: 3}\n",
            "# unchanged: none\n\nlifecycle:\n  status: withdrawn\n# of the demo\n#\n"
            "tags: [a]\nscope: {threshold: 3}\n",
        ),
        ("scope:\n  threshold: 3\n", "lifecycle:\n  status: withdrawn\nscope:\n  threshold: 3\n"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "bom"])
def test_the_status_is_set_and_nothing_else_moves(
    before: str, after: str, newline: str, bom: str
) -> None:
    before, after = (bom + (EDIT + text).replace("\n", newline) for text in (before, after))
    assert withdrawn(before) == after
    assert withdrawn(after) == after
    edit, findings = parse_edit(after.encode(), PATH)
    assert edit is not None, findings
    assert edit.lifecycle.status == "withdrawn"


def test_a_file_in_one_pair_of_braces_keeps_them() -> None:
    flow = "{schema: 1, fact: {subject: A, relation: b, new: c}, prompts: [<subject> is]}\n"
    assert withdrawn(flow) == "{lifecycle: {status: withdrawn}, " + flow[1:]
    flow = "{schema: 1, lifecycle: , fact: {subject: A, relation: b, new: c}}\n"
    assert withdrawn(flow) == flow.replace("lifecycle: ,", "lifecycle: {status: withdrawn} ,")


def test_the_status_of_every_valid_example_can_be_set() -> None:
    examples = sorted((EXAMPLES / "valid").glob("*.yaml"))
    assert examples
    for path in examples:
        before = path.read_bytes()
        edit, _ = parse_edit(before, path)
        try:
            after = set_status(before.decode(), path, "withdrawn").encode()
        except InputError:
            assert path.stem == "explicit-keys"  # `? lifecycle` has no line of its own
            continue
        read, findings = parse_edit(after, path)
        assert edit is not None
        assert read is not None
        assert {f.severity for f in findings} <= {"warning"}
        life = edit.lifecycle.model_copy(update={"status": "withdrawn"})
        assert read.model_dump() == edit.model_copy(update={"lifecycle": life}).model_dump()


@pytest.mark.parametrize(
    "text",
    [
        EDIT + "lifecycle: active\n",
        EDIT + "lifecycle: [active]\n",
        EDIT + "lifecycle:\n  status: [active]\n",
        "- a\n",
        "text\n",
    ],
)
def test_what_cannot_be_spliced_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InputError, match=r"^x\.yaml: the status cannot be put") as raised:
        withdrawn(text)
    assert "`status: withdrawn` under `lifecycle:`" in str(raised.value.hint)


def test_a_file_that_is_no_sound_yaml_is_refused_with_its_findings() -> None:
    with pytest.raises(EditFileError) as raised:
        withdrawn(EDIT + "tags: [a\n")
    assert [f.code for f in raised.value.diagnostics] == ["SAKE002"]


def lines_of(text: str) -> list[str]:
    return re.split(r"(?<=\n)", text)


@given(edit_files(), st.sampled_from(["draft", "active", "withdrawn"]), st.booleans())
def test_every_other_line_of_a_file_stays_byte_for_byte(text: str, status: str, bom: bool) -> None:
    text = "\ufeff" * bom + text
    edit, _ = parse_edit(text.encode(), PATH)
    assert edit is not None
    after = set_status(text, PATH, status)
    read, _ = parse_edit(after.encode(), PATH)
    assert read is not None
    assert read.lifecycle.status == status
    assert read.lifecycle.valid_from == edit.lifecycle.valid_from
    # What is left when the longest common beginning and end are taken away is one place.
    assert after.startswith("\ufeff") == bom
    old, new = lines_of(text.removeprefix("\ufeff")), lines_of(after.removeprefix("\ufeff"))
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    assert len(old) <= 1
    assert len(new) <= 3  # the last line may gain its line end
    assert all("lifecycle" in line or "status" in line for line in new[-2:])
    assert "".join(new).startswith("".join(old).rstrip("\r\n")) or "lifecycle: {" in new[0]


def test_splices_are_made_in_any_order_and_must_not_overlap() -> None:
    splices = [Splice(4, 4, "x"), Splice(0, 2, "AB"), Splice(4, 4, "y"), Splice(5, 6, "")]
    assert splicing.apply("abcdef", splices) == "ABcdxye"
    for wrong in ([Splice(0, 3, ""), Splice(2, 4, "")], [Splice(3, 9, "")], [Splice(2, 1, "")]):
        with pytest.raises(ValueError, match="overlaps"):
            splicing.apply("abcdef", wrong)


def test_a_key_is_renamed_and_a_value_set_where_they_stand() -> None:
    document = yamltext.read(b"a:\n  - {b: c, d: 'e'}  # f\n  - >-\n    g\n    h\n  - i\n", PATH)
    splices = [
        splicing.rename_key(document, ("a", 0, "b"), "1984"),
        splicing.set_value(document, ("a", 0, "d"), "E"),
        splicing.set_value(document, ("a", 1), "G"),
    ]
    after = 'a:\n  - {"1984": c, d: E}  # f\n  - G\n  - i\n'
    assert splicing.apply(document.text, splices) == after
    with pytest.raises(LayoutError, match=r"a\[0\] is not text"):
        splicing.set_value(document, ("a", 0), "x")
    with pytest.raises(LayoutError, match=r"no key a\[0\]\.z"):
        splicing.rename_key(document, ("a", 0, "z"), "x")
