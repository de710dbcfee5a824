"""The folder of edits: what opening it finds, and choosing edits by id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sake_registry.edits.registry import open_registry
from sake_registry.errors import EditFileError, InputError, SettingsError
from tests.conftest import EDIT

Write = Callable[[str, str], Path]


def test_an_empty_registry_is_a_finding(registry: Path) -> None:
    (registry / "edits" / "darrieux.yaml").unlink()
    for _ in range(2):
        opened = open_registry(registry)
        assert [(f.code, f.severity) for f in opened.findings] == [("SAKE204", "warning")]
        assert "sake new" in opened.findings[0].hint
        assert opened.sound().active == ()
        assert opened.files == 0
        if (registry / "edits").exists():
            (registry / "edits").rmdir()  # a folder that is not there is as empty


def test_without_a_sake_toml_the_message_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sake\.toml") as raised:
        open_registry(tmp_path)
    assert "sake init" in str(raised.value.hint)


def test_a_folder_that_is_not_there_is_not_taken_for_the_one_above_it(registry: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        open_registry(registry / "edit")


def test_a_registry_is_found_from_below_and_paths_are_shown_as_typed(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_registry(registry / "edits").root == registry.resolve()
    monkeypatch.chdir(registry)
    (edit,) = open_registry().edits
    assert edit.path == Path("edits/darrieux.yaml")


def test_the_edits_folder_is_the_one_that_is_set(registry: Path) -> None:
    (registry / "edits").rename(registry / "facts")
    (registry / "sake.toml").write_text('edits = "facts"')
    assert [edit.id for edit in open_registry(registry).edits] == ["darrieux"]
    with pytest.raises(SettingsError):
        open_registry(registry, {"compile.reg": 0})


def test_an_edit_with_errors_is_left_out_and_the_others_are_there(
    registry: Path, write: Write
) -> None:
    write("broken.yaml", "schema: 1\nfact: @\n")
    write("second/gabin.yml", EDIT.replace("Danielle Darrieux", "Jean Gabin"))
    write("second/.hidden.yaml", "not: an edit")
    write(".git/hooks.yaml", "not: an edit")
    write("notes.md", "not an edit")
    opened = open_registry(registry)
    assert [edit.id for edit in opened.edits] == ["darrieux", "gabin"]
    assert opened.files == 3
    assert {f.path.name for f in opened.findings} == {"broken.yaml"}
    with pytest.raises(EditFileError, match="1 error in 1 file") as raised:
        opened.sound()
    assert raised.value.diagnostics == opened.errors
    assert str(opened.errors[0]) in str(raised.value)


def test_a_file_with_a_repeated_id_does_not_replace_the_first(registry: Path, write: Write) -> None:
    write("later/darrieux.yaml", EDIT.replace("English", "German"))
    opened = open_registry(registry)
    assert [edit.new for edit in opened.edits] == ["English"]
    (finding,) = opened.errors
    assert finding.code == "SAKE201"
    assert "later/darrieux-2.yaml" in finding.hint


def test_edits_are_selected_by_id_once_each_and_a_wrong_one_has_its_nearest_offered(
    registry: Path, write: Write
) -> None:
    write("gabin.yaml", EDIT.replace("Danielle Darrieux", "Jean Gabin"))
    write("draft.yaml", EDIT.replace("Danielle D", "D") + "lifecycle: {status: draft}\n")
    write("broken.yaml", EDIT + "tag: [x]\n")
    opened = open_registry(registry)
    assert [e.id for e in opened.select([])] == ["darrieux", "gabin"]
    assert [e.id for e in opened.select(["gabin", "draft", "gabin"])] == ["gabin", "draft"]
    with pytest.raises(InputError, match="no edit 'darieux'") as raised:
        opened.select(["gabin", "darieux"])
    assert raised.value.hint == "did you mean 'darrieux'?"
    with pytest.raises(InputError) as raised:
        opened.select(["zzz"])
    assert "sake list" in str(raised.value.hint)
    with pytest.raises(EditFileError, match="'broken' has 1 error") as broken:
        opened.select(["broken"])
    assert [f.code for f in broken.value.diagnostics] == ["SAKE101"]


def test_findings_come_in_one_order_whatever_the_hash_seed(registry: Path, write: Write) -> None:
    names = ["Alpha", "Beta", "Gamma", "Delta"]
    for number, name in enumerate(names):
        aliases = ", ".join(n for n in names if n != name)
        subject = f"{{text: {name}, aliases: [{aliases}]}}"
        write(f"e{number}.yaml", EDIT.replace("Danielle Darrieux", subject)
              .replace("English", f"Object{number}"))  # fmt: skip
    found = [(f.path.stem, f.message.split()[-1]) for f in open_registry(registry).findings]
    assert len(found) == 6
    assert [stem for stem, _ in found] == ["e1", "e2", "e3", "e2", "e3", "e3"]
