"""Migrating: earlier schemas are brought to this one by splicing, all files or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.edits.files import parse_edit
from sake_registry.edits.migrating import STEPS, Migration, Step, plan_migration, write_migration
from sake_registry.edits.splicing import Splice, rename_key
from sake_registry.edits.yamltext import Document
from sake_registry.errors import EditFileError, StorageError
from tests.conftest import EDIT
from tests.edits.strategies import edit_files

OLD = EDIT.removeprefix("schema: 1\n")


def _rename(document: Document) -> list[Splice]:
    """A made-up schema 2, in which `holdout` is called `tested`."""
    return [rename_key(document, ("holdout",), "tested")] if "holdout" in document.value else []


TWO: dict[int, Step] = {**STEPS, 1: _rename}


def migrated(folder: Path, text: str, steps: dict[int, Step] = STEPS) -> Migration:
    path = folder / "x.yaml"
    path.write_bytes(text.encode())
    (migration,) = plan_migration([path], steps)
    assert path.read_bytes() == text.encode()
    write_migration([migration])
    (again,) = plan_migration([path], steps)
    assert not again.changes
    assert again.data == migration.data == path.read_bytes()
    return migration


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "bom"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OLD, "schema: 1\n" + OLD),
        ("# the file\n# of mine\n" + OLD, "# the file\n# of mine\nschema: 1\n" + OLD),
        ("# file\n\n# the fact\n" + OLD, "# file\nschema: 1\n\n# the fact\n" + OLD),
        ("\n# the fact\n" + OLD, "schema: 1\n\n# the fact\n" + OLD),
        ("# file\n---\n# fact\n" + OLD, "# file\n---\n# fact\nschema: 1\n" + OLD),
        ("schema:\n" + OLD, "schema: 1\n" + OLD),
        ("schema:  # which\n" + OLD, "schema: 1  # which\n" + OLD),
        ("schema: 0  # old\n" + OLD.rstrip(), "schema: 1  # old\n" + OLD.rstrip()),
        (
            "{fact: {subject: A, relation: b, new: c}, prompts: [<subject> is]}\n",
            "{schema: 1, fact: {subject: A, relation: b, new: c}, prompts: [<subject> is]}\n",
        ),
    ],
)
def test_a_file_without_a_number_gets_one_and_keeps_every_other_byte(
    tmp_path: Path, before: str, after: str, newline: str, bom: str
) -> None:
    before, after = (bom + text.replace("\n", newline) for text in (before, after))
    done = migrated(tmp_path, before)
    assert (done.before, done.after, done.data.decode()) == (0, 1, after)
    edit, findings = parse_edit(done.data, done.path)
    assert edit is not None, findings


@given(edit_files(), st.booleans())
def test_migrating_any_file_adds_one_line_only(
    tmp_path_factory: pytest.TempPathFactory, text: str, bom: bool
) -> None:
    text = "\ufeff" * bom + text
    path = tmp_path_factory.mktemp("files") / "x.yaml"
    lines = text.splitlines(keepends=True)
    (number,) = (i for i, line in enumerate(lines) if line.lstrip("\ufeff").startswith("schema: 1"))
    path.write_bytes(("\ufeff" * (bom and not number) + "".join(
        lines[:number] + lines[number + 1 :])).encode())  # fmt: skip
    without = path.read_bytes().decode().removeprefix("\ufeff").splitlines()
    (migration,) = plan_migration([path])
    after = migration.data.decode().removeprefix("\ufeff").splitlines()
    added = after.index("schema: 1")
    assert after[:added] + after[added + 1 :] == without
    edit, findings = parse_edit(migration.data, path)
    assert edit is not None, findings


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_later_step_renames_a_key_and_keeps_comments_and_layout(
    tmp_path: Path, newline: str
) -> None:
    tail = "# tested only\nholdout :   # here\n    - '<subject> spoke'  # so\n\n# the end"
    before = (EDIT + tail).replace("\n", newline)
    done = migrated(tmp_path, before, TWO)
    assert (done.before, done.after) == (1, 2)
    after = before.replace("schema: 1", "schema: 2").replace("holdout :", "tested :")
    assert done.data.decode() == after
    from_the_first = migrated(tmp_path, before.replace(f"schema: 1{newline}", ""), TWO)
    assert (from_the_first.before, from_the_first.after) == (0, 2)
    assert from_the_first.data.decode() == after


def test_one_file_that_cannot_be_migrated_keeps_all_from_being_written(tmp_path: Path) -> None:
    texts = {
        "a.yaml": OLD,
        "b.yaml": EDIT.replace("schema: 1", "schema: 7"),
        "c.yaml": OLD + "tags: [a\n",
        "d.yaml": EDIT.replace("schema: 1", "schema: one"),
        "e.yaml": EDIT.replace("schema: 1", "schema: [1]"),
        "f.yaml": "- a\n",
        "g.yaml": "? fact\n: {subject: A, relation: b, new: c}\nprompts: [<subject> is]\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(EditFileError, match="5 files cannot be migrated") as raised:
        plan_migration(sorted(tmp_path.iterdir()))
    found = {f.path.name: f for f in raised.value.diagnostics}
    assert list(found) == ["b.yaml", "c.yaml", "d.yaml", "e.yaml", "f.yaml"]
    assert (found["b.yaml"].line, found["b.yaml"].column) == (1, 9)
    assert "update sake" in found["b.yaml"].hint
    assert found["c.yaml"].code == "SAKE002"
    assert "schema: 1" in found["d.yaml"].hint
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == texts


def test_a_step_whose_result_is_no_sound_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(EDIT)
    wrong: list[Step] = [
        lambda document: [Splice(0, 0, "[")],
        lambda document: [Splice(0, 0, "# ")],  # takes the number out
        lambda document: [rename_key(document, ("nothing",), "x")],
    ]
    for step in wrong:
        with pytest.raises(EditFileError) as raised:
            plan_migration([path], {**STEPS, 1: step})
        assert "schema: 2" in raised.value.diagnostics[0].message
    assert path.read_text() == EDIT


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(StorageError):
        plan_migration([tmp_path / "x.yaml"])
