"""`sake check`, `explain`, `migrate`, and `fmt` under [checks]: what they say, where, and exit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sake_registry.commands import check, explain, fmt, migrate
from sake_registry.commands.check import annotation
from sake_registry.commands.console import State
from sake_registry.diagnostics import CODES, Diagnostic
from sake_registry.edits.explanations import explanations
from sake_registry.errors import EditFileError, InputError, SettingsError
from tests.conftest import EDIT, ROOT

Write = Callable[[str, str], Path]
QUESTION = EDIT + "  - Which language does <subject> speak?\n"
SAME = EDIT.replace("old: French", "old: English")


def run(command: click.Command, *arguments: str, folder: Path | str = ".") -> Result:
    return CliRunner().invoke(command, arguments, obj=State(Path(folder)))


@pytest.fixture
def here(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(registry)
    return registry


# -- check ---------------------------------------------------------------------------------------


def test_with_findings_it_offers_what_explains_the_worst(here: Path, write: Write) -> None:
    assert run(check.command).stderr == ""
    write("darrieux.yaml", QUESTION)
    done = run(check.command)
    assert (done.exit_code, done.stdout) == (0, "1 file: 0 errors, 1 warning\n")
    assert done.stderr.splitlines()[0].startswith("edits/darrieux.yaml:10:5: warning[SAKE116]")
    assert done.stderr.splitlines()[-1].startswith("`sake explain SAKE116` tells more")
    write("same.yaml", SAME.replace("Danielle Darrieux", "Jean Gabin"))
    done = run(check.command)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("`sake explain SAKE104` tells more")


def test_a_registry_without_edits_passes_with_a_warning(here: Path) -> None:
    (here / "edits" / "darrieux.yaml").unlink()
    done = run(check.command)
    assert (done.exit_code, done.stdout) == (0, "0 files: 0 errors, 1 warning\n")
    assert "edits: warning[SAKE204]: no edit files here" in done.stderr
    assert "sake new" in done.stderr
    (here / "sake.toml").write_text('[checks]\nSAKE204 = "error"\n')
    assert run(check.command).exit_code == 1


def test_the_json_is_that_of_the_flag(here: Path, write: Write) -> None:
    write("darrieux.yaml", QUESTION)
    done, flag = run(check.command, "--format", "json"), run(check.command, "--json")
    assert done.stdout == flag.stdout
    assert (done.stderr, flag.stderr) == ("", "")
    report = json.loads(done.stdout)
    assert (report["schema"], report["errors"]) == ("check/1", 0)
    assert [f["code"] for f in report["findings"]] == ["SAKE116"]


def test_for_github_each_finding_is_an_annotation_of_its_line(here: Path, write: Write) -> None:
    write("a,b: c%/same.yaml", SAME)
    write("darrieux.yaml", QUESTION)
    write("Bad_Id.yaml", EDIT.replace("Danielle Darrieux", "Jean Gabin"))
    done = run(check.command, "--format", "github")
    assert done.exit_code == 1
    assert done.stderr == "3 files: 2 errors, 1 warning\n"
    assert len(done.stdout.splitlines()) == 3
    assert (
        "::error file=edits/a%2Cb%3A c%25/same.yaml,line=6,col=8,title=SAKE104::"
        "fact.new: the new object is the old one: 'English'%0A"
    ) in done.stdout
    assert "::warning file=edits/darrieux.yaml,line=10,col=5,title=SAKE116::" in done.stdout
    assert "::error file=edits/Bad_Id.yaml,title=SAKE006::'Bad_Id' is not an id" in done.stdout


def test_an_annotation_is_one_line_whatever_it_says(here: Path) -> None:
    finding = Diagnostic(
        "SAKE112", "100 %, see: a\r\nb", here / "edits" / "x\n.yaml", 2, 7, "tags[0]", "::error::",
        "warning",
    )  # fmt: skip
    assert annotation(finding) == (
        "::warning file=edits/x%0A.yaml,line=2,col=7,title=SAKE112::"
        "tags[0]: 100 %25, see: a%0D%0Ab%0A::error::"
    )


def test_paths_in_annotations_are_relative_to_the_working_folder(
    registry: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("darrieux.yaml", QUESTION)
    monkeypatch.chdir(registry.parent)
    done = run(check.command, "--format", "github", folder=registry)
    assert f"file={registry.name}/edits/darrieux.yaml," in done.stdout
    monkeypatch.chdir(registry / "edits")
    assert "file=darrieux.yaml," in run(check.command, "--format", "github").stdout


def test_sake_toml_decides_what_fails(here: Path, write: Write) -> None:
    write("darrieux.yaml", QUESTION)
    (here / "sake.toml").write_text('[checks]\nSAKE116 = "error"\n')
    assert run(check.command).exit_code == 1
    (here / "sake.toml").write_text('[checks]\nSAKE116 = "off"\n')
    done = run(check.command)
    assert (done.exit_code, done.stderr) == (0, "")
    (here / "sake.toml").write_text('[checks]\nSAKE161 = "off"\n')
    assert isinstance(run(check.command).exception, SettingsError)


def test_a_large_registry_is_checked_without_torch(registry: Path) -> None:
    for number in range(300):
        text = EDIT.replace("Danielle Darrieux", f"Person Number{number}")
        (registry / "edits" / f"edit-{number}.yaml").write_text(text)
    code = (
        "import sys; from sake_registry.commands import main\n"
        "try: main(['check'])\n"
        "finally: print(sorted({'torch', 'numpy', 'git', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=registry, env={"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "301 files: 0 errors, 0 warnings\n[]\n", done.stderr


# -- fmt -----------------------------------------------------------------------------------------


def test_fmt_takes_a_file_whose_errors_are_lowered(here: Path, write: Write) -> None:
    path = write("same.yaml", SAME.replace("Danielle Darrieux", "Jean Gabin").replace(
        "relation:", "relation:  "))  # fmt: skip
    path.write_text(path.read_text() + "\n\n")
    assert run(fmt.command, "edits/same.yaml").exit_code == 1
    (here / "sake.toml").write_text('[checks]\nSAKE104 = "warning"\n')
    done = run(fmt.command, "edits/same.yaml")
    assert (done.exit_code, done.stdout) == (0, "formatted edits/same.yaml\n")
    assert run(fmt.command).exit_code == 0


# -- explain -------------------------------------------------------------------------------------


def test_explain_tells_of_one_code_and_lists_all() -> None:
    done = run(explain.command, "SAKE106")
    assert (done.exit_code, done.stderr) == (0, "")
    for part in (
        "SAKE106 (error): a prompt writes the subject's name instead of <subject>",
        "wrong:\n    prompts:\n      - The mother tongue of Danielle Darrieux is",
        "mended:\n    prompts:\n      - The mother tongue of <subject> is",
        '[checks] SAKE106 = "warning", or "off"',
        "# sake: ignore[SAKE106]",
    ):
        assert part in done.stdout
    fixed = run(explain.command, "sake102").stdout
    assert "always an error" in fixed
    assert "ignore[" not in fixed
    assert "# edits/people/darrieux.yaml" in run(explain.command, "SAKE201").stdout
    lines = run(explain.command).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CODES)
    for code in CODES:
        assert max(map(len, run(explain.command, code).stdout.splitlines())) <= 100


def test_explain_gives_json() -> None:
    report = json.loads(run(explain.command, "--json").stdout)
    assert report["schema"] == "explain/1"
    assert [one["code"] for one in report["codes"]] == list(explanations())
    (one,) = json.loads(run(explain.command, "SAKE101", "--json").stdout)["codes"]
    assert (one["severity"], one["settable"], one["ignorable"]) == ("error", False, True)
    assert "valid_form" in one["wrong"]["darrieux-tongue.yaml"]


def test_explain_of_no_code_offers_the_nearest() -> None:
    error = run(explain.command, "SAKE1164").exception
    assert isinstance(error, InputError)
    assert error.hint == "did you mean 'SAKE116'?"


# -- migrate -------------------------------------------------------------------------------------


def test_migrate_splices_each_old_file_and_says_so(here: Path, write: Write) -> None:
    sound = (here / "edits" / "darrieux.yaml").stat()
    path = write("old/gabin.yaml", "")
    old = "# old\r\n" + EDIT.removeprefix("schema: 1\n").replace("\n", "\r\n")
    path.write_bytes(old.encode())
    done = run(migrate.command, "--check")
    assert done.exit_code == 1
    assert done.stdout == "would migrate edits/old/gabin.yaml: schema 0 → 1\n"
    assert path.read_bytes() == old.encode()
    done = run(migrate.command, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "schema": "migrate/1", "files": 2, "written": True,
        "migrated": [{"path": "edits/old/gabin.yaml", "from": 0, "to": 1}],
    }  # fmt: skip
    assert path.read_bytes().decode() == old.replace("# old\r\n", "# old\r\nschema: 1\r\n")
    after = (here / "edits" / "darrieux.yaml").stat()
    assert (after.st_mtime_ns, after.st_ino) == (sound.st_mtime_ns, sound.st_ino)
    done = run(migrate.command)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "2 files, 0 migrated\n")
    assert run(migrate.command, "--check").exit_code == 0


def test_migrate_writes_nothing_if_one_file_is_of_a_later_schema(here: Path, write: Write) -> None:
    old = EDIT.removeprefix("schema: 1\n")
    path = write("a-first.yaml", old)
    write("later.yaml", EDIT.replace("schema: 1", "schema: 2"))
    error = run(migrate.command).exception
    assert isinstance(error, EditFileError)
    (finding,) = error.diagnostics
    assert str(finding.path) == "edits/later.yaml"
    assert "update sake" in finding.hint
    assert path.read_text() == old
