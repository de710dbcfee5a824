"""Files that are too deep or too large, files that are named, and help as a verb."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EDIT, Run

DEEP = "a = " + "[" * 100_000
Write = Callable[[str, str], Path]


def sparse(path: Path, size: int = 8 << 30) -> None:
    """A file of a size that is on no disk."""
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("text", "says"),
    [(DEEP, "nested too deep"), ("a = " + "{b = " * 100_000, "nested too deep"),
     ("a = " + "1" * 10_000, "not valid TOML"), ("a = [" * 2000 + "1" + "]" * 2000, "not valid")],
)  # fmt: skip
def test_a_sake_toml_that_cannot_be_read_is_no_bug(
    registry: Path, sake: Run, text: str, says: str
) -> None:
    (registry / "sake.toml").write_text(text)
    for verb in ("check", "list", "status", "fmt", "compile"):
        done = sake(verb, cwd=registry)
        assert done.returncode == 1, (verb, done.stderr)
        assert f"sake.toml: {says}" in done.stderr or says in done.stderr


def test_files_of_gigabytes_are_not_read(registry: Path, sake: Run) -> None:
    sparse(registry / "edits" / "large.yaml")
    for verb in ("check", "list", "fmt"):
        done = sake(verb, cwd=registry)
        assert done.returncode == 1, (verb, done.stderr)
        assert "error[SAKE001]: larger than 1048576 bytes" in done.stderr
    sparse(registry / "sake.toml")
    for verb in ("check", "list", "compile", "fmt"):
        done = sake(verb, cwd=registry)
        assert done.returncode == 1, (verb, done.stderr)
        assert "sake.toml: larger than 1048576 bytes" in done.stderr


def test_check_of_named_files_speaks_of_these_alone(
    registry: Path, write: Write, sake: Run
) -> None:
    write("film/wrong.yaml", "schema: 1\n")
    write("other.yaml", EDIT.replace("English", "German"))
    cases: list[tuple[int, int, set[str], list[str]]] = [
        (1, 3, {"SAKE102", "SAKE202"}, []), (1, 3, {"SAKE102", "SAKE202"}, ["edits"]),
        (1, 3, {"SAKE102", "SAKE202"}, ["."]), (0, 1, set(), ["edits/darrieux.yaml"]),
        (1, 1, {"SAKE102"}, ["edits/film"]), (1, 1, {"SAKE202"}, ["edits/other.yaml"]),
        (1, 2, {"SAKE102"}, ["edits/darrieux.yaml", "edits/film/wrong.yaml"]),
    ]  # fmt: skip
    for code, files, codes, paths in cases:
        done = sake("check", "--json", *paths, cwd=registry)
        value = json.loads(done.stdout)
        assert (done.returncode, value["files"]) == (code, files), paths
        assert {finding["code"] for finding in value["findings"]} == codes
    assert sake("check", "../wrong.yaml", cwd=registry / "edits" / "film").returncode == 2
    assert sake("check", "wrong.yaml", cwd=registry / "edits" / "film").returncode == 1


def test_check_passes_on_no_file_that_it_does_not_see(registry: Path, sake: Run) -> None:
    (registry / "edits" / "wrong.txt").write_text("")
    (registry / "edits" / ".hidden.yaml").write_text("")
    for path in ("sake.toml", "edits/wrong.txt", "edits/.hidden.yaml", "/"):
        done = sake("check", path, cwd=registry)
        assert done.returncode == (0 if path == "/" else 1), done.stderr
        assert path == "/" or "is not an edit file of the registry" in done.stderr
    assert sake("check", "edits/none.yaml", cwd=registry).returncode == 2
    (registry / "edits" / "darrieux.yaml").unlink()
    done = sake("check", "edits", cwd=registry)
    assert (done.returncode, done.stdout) == (0, "0 files: 0 errors, 1 warning\n")


def test_help_is_a_verb(registry: Path, sake: Run) -> None:
    for verbs in ((), ("check",), ("help",)):
        shown = sake("help", *verbs, cwd=registry)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout == sake(*verbs, "--help", cwd=registry).stdout
    for verbs, says in ((("chekc",), "No such command 'chekc'"),
                        (("check", "this"), "'check' has no verbs")):  # fmt: skip
        wrong = sake("help", *verbs, cwd=registry)
        assert wrong.returncode == 2
        assert says in wrong.stderr
