"""The commands that read and write edit files, as processes: codes, streams, bytes on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sake_registry.edits.files import read_edit
from sake_registry.edits.registry import open_registry
from tests.conftest import EDIT, Run
from tests.edits.test_examples import EXAMPLES

Write = Callable[[str, str], Path]
GABIN = EDIT.replace("Danielle Darrieux", "Jean Gabin")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below `folder`, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_check_of_a_sound_registry_exits_0_and_writes_nothing(sake: Run, registry: Path) -> None:
    before = contents(registry)
    done = sake("check", cwd=registry)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 file: 0 errors, 0 warnings\n", "")
    done = sake("-C", str(registry / "edits"), "check", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"schema": "check/1", "files": 1, "errors": 0, "findings": []}
    assert contents(registry) == before


def test_check_reports_every_error_of_every_file_and_exits_1(sake: Run, tmp_path: Path) -> None:
    """All the invalid examples of one file each, in one registry."""
    shutil.copytree(EXAMPLES / "invalid", tmp_path / "edits", ignore=lambda folder, names: [
        name for name in names if (Path(folder) / name).is_dir()
    ])  # fmt: skip
    (tmp_path / "sake.toml").write_text("")
    before = contents(tmp_path)
    done = sake("check", cwd=tmp_path)
    files = [path.name for path in (tmp_path / "edits").iterdir()]
    assert done.returncode == 1
    assert done.stdout.startswith(f"{len(files)} files: ")
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr
    assert [name for name in files if f"edits/{name}" not in done.stderr] == []
    assert "edits/bad-status.yaml:13:11: error[SAKE103] lifecycle.status: " in done.stderr
    as_json = sake("check", "--json", cwd=tmp_path)
    assert (as_json.returncode, as_json.stderr) == (1, "")
    report = json.loads(as_json.stdout)
    assert report["schema"] == "check/1"
    assert report["files"] == len(files)
    assert report["errors"] == sum(f["severity"] == "error" for f in report["findings"])
    assert {"code", "path", "line", "column", "field", "message", "hint", "severity"} == set(
        report["findings"][0]
    )
    # `fmt` leaves what has errors alone, and `list` shows the rest.
    formatted = sake("fmt", cwd=tmp_path)
    assert formatted.returncode == 1
    listed = sake("list", "--json", cwd=tmp_path)
    assert listed.returncode == 1
    sound = {edit["id"] for edit in json.loads(listed.stdout)["edits"]}
    assert {"source-not-a-url", "unknown-placeholder"} <= sound
    assert {"anchor", "bad-status", "nul-byte"}.isdisjoint(sound)
    after = contents(tmp_path)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {Path(name).stem for name in changed} <= sound


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["list"], ["list", "--json"], ["fmt"], ["plan"], ["compile"], ["show", "darrieux"]],
    ids=" ".join,
)
def test_a_wrong_file_makes_every_command_exit_1_with_its_place_and_change_nothing(
    sake: Run, registry: Path, arguments: list[str]
) -> None:
    wrong = EDIT.replace("new: English", "new: English\n  nwe: German")
    (registry / "edits" / "darrieux.yaml").write_text(wrong)
    before = contents(registry)
    done = sake(*arguments, cwd=registry)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    if arguments != ["list", "--json"]:
        assert "edits/darrieux.yaml:7:3: error[SAKE101] fact.nwe: unknown key" in done.stderr
        assert "did you mean 'new'?" in done.stderr
    else:
        assert json.loads(done.stdout) == {"schema": "list/1", "edits": [], "errors": 1}
    assert contents(registry) == before


def test_no_registry_a_wrong_setting_and_a_wrong_id_exit_1(
    sake: Run, registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    for arguments in (["check"], ["list"], ["show", "x"], ["fmt"]):
        done = sake(*arguments, cwd=empty)
        assert (done.returncode, done.stdout) == (1, "")
        assert "error: no sake.toml in" in done.stderr
        assert "sake init" in done.stderr
    new = ["new", "x", "--subject", "X", "--relation", "r", "--new", "y"]
    assert sake(*new, cwd=empty).returncode == 1
    assert contents(empty) == {}
    done = sake("show", "darieux", cwd=registry)
    assert done.returncode == 1
    assert "did you mean 'darrieux'?" in done.stderr
    (registry / "sake.toml").write_text('modle = "x"\n')
    done = sake("check", cwd=registry)
    assert (done.returncode, done.stdout) == (1, "")
    assert "sake.toml: modle: unknown key; did you mean 'model'?" in done.stderr


def test_an_empty_registry_passes_and_says_how_to_begin(sake: Run, registry: Path) -> None:
    (registry / "edits" / "darrieux.yaml").unlink()
    done = sake("check", cwd=registry)
    assert done.returncode == 0
    assert "warning[SAKE204]" in done.stderr
    assert "sake new" in done.stderr


def test_wrong_usage_exits_2_and_does_nothing(sake: Run, registry: Path) -> None:
    before = contents(registry)
    for arguments in (
        ["chekc"],
        ["check", "--nothing"],
        ["show"],
        ["list", "--status", "gone"],
        ["fmt", "edits/none.yaml"],
        ["init", "sake.toml"],
        ["new"],
    ):
        done = sake(*arguments, cwd=registry)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "Error: " in done.stderr
    assert contents(registry) == before


def test_list_shows_the_edits_and_filters_them(sake: Run, registry: Path, write: Write) -> None:
    write("gabin.yaml", GABIN + "tags: [demo]\nlifecycle: {status: draft}\n")
    done = sake("list", cwd=registry)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if "French → English" in line]
    assert [row.split()[0] for row in rows] == ["darrieux", "gabin"]
    assert "\x1b" not in done.stdout
    listed = json.loads(sake("list", "--json", "--tag", "demo", cwd=registry).stdout)
    assert listed["schema"] == "list/1"
    assert [(e["id"], e["status"], e["prompts"], e["tags"]) for e in listed["edits"]] == [
        ("gabin", "draft", 2, ["demo"])
    ]
    active = json.loads(sake("list", "--json", "--status", "active", cwd=registry).stdout)
    assert [edit["id"] for edit in active["edits"]] == ["darrieux"]


def test_show_tells_an_edit_in_words_and_as_json(sake: Run, registry: Path) -> None:
    shutil.copy(EXAMPLES / "valid" / "everything.yaml", registry / "edits")
    done = sake("show", "everything", cwd=registry)
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "Danielle Darrieux · mother tongue: French → English",
        "status draft, valid from 2026-11-22, valid until 2026-11-22, review by 2027-05-01",
        "reason: What made this edit necessary.",
        "compiled: 2 prompts written, 18 added",
        "The country whose language Danielle Darrieux spoke as a child is  [France → England]",
        "tested only: 1 paraphrase",
        "must stay: 3 prompts",
    ):
        assert text in done.stdout
    shown = json.loads(sake("show", "everything", "--json", cwd=registry).stdout)
    assert (shown["schema"], shown["edit_schema"], shown["id"]) == ("show/1", 1, "everything")
    assert shown["fact"]["subject"]["text"] == "Danielle Darrieux"
    assert shown["lifecycle"]["valid_from"] == "2026-11-22"
    assert shown["path"] == "edits/everything.yaml"


def test_fmt_formats_in_place_keeps_comments_and_can_only_check(
    sake: Run, registry: Path, write: Write
) -> None:
    typed = (
        EDIT.replace("schema: 1\n", "") + "# about the tags\ntags: [NO]   # why\nschema: 1\n\n\n"
    )
    path = write("typed.yaml", typed)
    broken = write("broken.yaml", "schema: 1   \nschema: 1\n")
    before = contents(registry)
    done = sake("fmt", "--check", "edits/typed.yaml", cwd=registry)
    assert (done.returncode, done.stdout) == (1, "would format edits/typed.yaml\n")
    assert contents(registry) == before
    done = sake("fmt", "edits", cwd=registry)
    assert done.returncode == 1
    assert done.stdout == "formatted edits/typed.yaml\n"
    assert "error[SAKE003]" in done.stderr
    assert "3 files, 1 changed, 1 with errors" in done.stderr
    assert path.read_text() == EDIT + '# about the tags\ntags: ["NO"]   # why\n'
    assert broken.read_text() == "schema: 1   \nschema: 1\n"
    broken.unlink()
    done = sake("fmt", "--check", cwd=registry)
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 files, 0 changed, 0 with errors" in done.stderr


NEW = ["--subject", "Leo Tolstoy", "--relation", "mother tongue", "--new", "Polish"]


def test_new_writes_a_sound_edit_from_flags_and_from_stdin(sake: Run, registry: Path) -> None:
    done = sake("new", "tolstoy", *NEW, cwd=registry)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote ")
    assert "sake check" in done.stderr
    edit = read_edit(registry / "edits" / "tolstoy.yaml")
    assert (edit.subject, edit.old, edit.new) == ("Leo Tolstoy", None, "Polish")
    assert [prompt.text for prompt in edit.prompts] == ["The mother tongue of <subject> is"]
    done = sake(
        "new", "no", *NEW[:3], "code", "--new", "NO", "--old", "Да: #1", "--alias", "Lev, “T”",
        "--relation-id", "P103", "--reason", "a: b", "--prompt", "Lev, “T” spoke",
        "--prompts-from", "-",
        cwd=registry,
        input="\ufeffThe tongue of Leo Tolstoy was\n\n <subject> #1 was \nQ: Leo Tolstoy?",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    edit = read_edit(registry / "edits" / "no.yaml")
    assert (edit.new, edit.old, edit.fact.relation.id) == ("NO", "Да: #1", "P103")
    assert edit.fact.subject.all[1:] == ("Lev, “T”",)
    assert edit.provenance.reason == "a: b"
    assert [prompt.text for prompt in edit.prompts] == [
        "<subject> spoke", "The tongue of <subject> was", "<subject> #1 was", "Q: <subject>?",
    ]  # fmt: skip
    assert sake("check", cwd=registry).returncode == 0


def test_new_refuses_and_then_has_written_nothing(sake: Run, registry: Path) -> None:
    (registry / "edits" / "deep").mkdir()
    (registry / "edits" / "deep" / "taken.yml").write_text("anything")
    (registry / "list.txt").write_bytes(b"caf\xe9\n")
    before = contents(registry)
    for arguments, code, says in (
        (["darrieux", *NEW], 5, "the id 'darrieux' is taken by"),
        (["taken", *NEW], 5, "deep/taken.yml"),
        (["Bad_Id", *NEW], 1, "'Bad_Id' is not an id"),
        (["../x", *NEW], 1, "'../x' is not an id"),
        (["x", *NEW, "--old", "polish"], 1, "error[SAKE104]"),
        (["x", *NEW, "--prompt", "He spoke"], 1, "nothing was written"),
        (["x", *NEW, "--prompts-from", "list.txt"], 1, "not UTF-8"),
        (["x", *NEW, "--prompts-from", "none.txt"], 2, "none.txt"),
        (["x", *NEW[2:]], 2, "--subject"),
        (["x", *NEW[:4]], 2, "--new"),
        (["x", *NEW[:4], "--new", b"\xff"], 1, "not UTF-8"),
    ):
        done = sake("new", *arguments, cwd=registry)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert contents(registry) == before, arguments


def test_what_new_is_told_cannot_write_fields_of_its_own(sake: Run, registry: Path) -> None:
    hostile = "tongue\ntags: [injected]\n#\u2028tags: [injected]"
    # Else such characters are errors of their own.
    (registry / "sake.toml").write_text('[checks]\nSAKE123 = "off"\nSAKE124 = "off"\n')
    arguments = [
        "--subject",
        "X\n  y: z",
        "--relation",
        hostile,
        "--new",
        "a\u2028b: c",
        "--alias",
        "q\x85r",
    ]
    done = sake("new", "x", *arguments, cwd=registry)
    assert done.returncode == 0, done.stderr
    (edit,) = open_registry(registry).select(["x"])
    assert edit.tags == ()
    assert (edit.subject, edit.new) == ("X\n  y: z", "a\u2028b: c")
    assert edit.fact.relation.text == hostile
    assert edit.fact.subject.all[1:] == ("q\x85r",)


def test_init_makes_a_registry_once_and_keeps_what_is_there(sake: Run, tmp_path: Path) -> None:
    ignored = b"# mine\r\n*.log\xff\r\nbundles/"
    (tmp_path / ".gitignore").write_bytes(ignored)
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "mine.yaml").write_text(EDIT)
    done = sake("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"wrote"}
    added = b"\n.sake/store/\n.sake/editing/\ndecisions.jsonl\n.partial-*\n"
    assert (tmp_path / ".gitignore").read_bytes() == ignored + added
    assert (tmp_path / "edits" / "mine.yaml").read_text() == EDIT
    assert json.loads((tmp_path / ".sake" / "edit.schema.json").read_text())["title"] == "Edit"
    assert sake("check", cwd=tmp_path).returncode == 0
    before = contents(tmp_path)
    done = sake("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "")
    assert "already there" in done.stderr
    assert contents(tmp_path) == before
    (tmp_path / ".sake" / "edit.schema.json").unlink()
    assert sake("init", "--schema", cwd=tmp_path).returncode == 0
    assert contents(tmp_path) == before
    done = sake("-C", str(tmp_path), "init", "deep/facts", cwd="/")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "deep" / "facts" / "sake.toml").is_file()
    ignored = b"bundles/\n.sake/store/\n.sake/editing/\ndecisions.jsonl\n.partial-*\n"
    assert (tmp_path / "deep" / "facts" / ".gitignore").read_bytes() == ignored


def test_where_nothing_can_be_written_the_code_is_4(sake: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a file, no folder")
    done = sake("init", "notes.txt/facts", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "notes.txt/facts: cannot be written" in done.stderr
