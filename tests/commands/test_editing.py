"""`sake edit` and `sake rename`: what was typed is never lost, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.history.reverting import apply, plan_revert
from tests.commands.test_main import on_a_terminal
from tests.conftest import Run
from tests.repositories import GitRegistry, MakeRegistry, _own_configuration, make_registry

__all__ = ["_own_configuration", "make_registry"]

COPY = ".sake/editing/darrieux.yaml"


@pytest.fixture
def made(make_registry: MakeRegistry) -> GitRegistry:
    registry = make_registry()
    registry.write("darrieux")
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Two edits")
    return registry


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose lines are what the editor does, in the language of `sed`."""
    script = tmp_path / "script.sed"
    script.write_text("")
    monkeypatch.setenv("VISUAL", f"sed -i -f '{script}'")
    return script


def test_an_edit_is_checked_before_it_takes_its_place(
    made: GitRegistry, editor: Path, sake: Run
) -> None:
    path, copy = made.path("darrieux"), made.root / COPY
    before = path.read_bytes()
    done = sake("edit", "darrieux", cwd=made.root)
    assert (done.returncode, done.stdout, copy.exists()) == (0, "nothing was changed\n", False)
    editor.write_text("s/new: English/newest: English/")
    done = sake("edit", "darrieux", cwd=made.root)
    assert done.returncode == 1
    assert "SAKE101" in done.stderr
    assert "`sake edit darrieux` opens it again" in done.stderr
    assert path.read_bytes() == before
    assert "newest: English" in copy.read_text()
    editor.write_text("s/newest: English/new: German/")  # the kept copy is opened
    done = sake("edit", "darrieux", cwd=made.root)
    assert done.returncode == 0, done.stderr
    assert "new object: English → German" in done.stdout
    assert "new: German" in path.read_text()
    assert not copy.exists()
    assert made.git("status", "--porcelain") == " M edits/darrieux.yaml"


def test_a_contradiction_with_another_edit_keeps_it_out(
    made: GitRegistry, editor: Path, sake: Run
) -> None:
    editor.write_text("s/Danielle Darrieux/Jean Gabin/; s/new: English/new: German/")
    done = sake("edit", "darrieux", cwd=made.root)
    assert "SAKE202" in done.stderr
    kept = (made.root / COPY).exists()
    assert kept == (done.returncode == 1)


def test_a_change_that_came_meanwhile_is_not_overwritten(
    made: GitRegistry, editor: Path, sake: Run
) -> None:
    path = made.path("darrieux")
    editor.write_text("s/new: English/newest: English/")
    assert sake("edit", "darrieux", cwd=made.root).returncode == 1
    made.write("darrieux", new="Polish")
    editor.write_text("s/newest: English/new: German/")
    done = sake("edit", "darrieux", cwd=made.root)
    assert done.returncode == 5
    assert "has changed since it was opened" in done.stderr
    assert "new: Polish" in path.read_text()
    assert "new: German" in (made.root / COPY).read_text()
    editor.write_text("s/new: Polish/new: German/")
    assert sake("edit", "darrieux", "--anew", cwd=made.root).returncode == 0
    assert "new: German" in path.read_text()


@pytest.mark.parametrize(("visual", "says"), [("false", "ended with 1"), ("/none", "be started")])
def test_an_editor_that_fails_changes_nothing(
    made: GitRegistry, monkeypatch: pytest.MonkeyPatch, sake: Run, visual: str, says: str
) -> None:
    monkeypatch.setenv("VISUAL", visual)
    done = sake("edit", "darrieux", cwd=made.root)
    assert done.returncode == 4
    assert says in done.stderr
    assert not (made.root / COPY).exists()
    assert sake("edit", "nobody", cwd=made.root).returncode == 1


def test_on_a_terminal_it_is_opened_again(made: GitRegistry, tmp_path: Path) -> None:
    """First a key that there is not, then the mend; the plan is not wanted."""
    program = tmp_path / "editor"
    program.write_text(
        "#!/bin/sh\nsed -i 's/newest:/new:/; t; s/new: English/newest: German/' $1\n"
    )
    program.chmod(0o755)
    code, shown = on_a_terminal(made.root, "edit", "darrieux", typed="y\nn\n", VISUAL=str(program))
    assert code == 0, shown
    assert "SAKE101" in shown
    assert "new: German" in made.path("darrieux").read_text()


def test_rename_moves_the_file_in_one_commit_and_comes_back(made: GitRegistry, sake: Run) -> None:
    first = made.head
    (made.root / "overrides.json").write_text('{"disabled": {"darrieux": "see the ticket"}}')
    (made.root / "notes.md").write_text("about darrieux\nand darrieux-two\n")
    made.commit("Switched off, and noted")
    before, data = made.head, made.path("darrieux").read_bytes()
    (made.root / "notes.md").write_text("about darrieux\nand darrieux-two\nnot committed\n")
    plan = sake("rename", "darrieux", "danielle", "--dry-run", cwd=made.root)
    assert (plan.returncode, made.head) == (0, before)
    done = sake("rename", "darrieux", "danielle", cwd=made.root)
    assert done.returncode == 0, done.stderr
    assert "'darrieux' stands in notes.md:1" in done.stderr
    assert "notes.md:2" not in done.stderr
    changed = ["edits/danielle.yaml", "edits/darrieux.yaml", "overrides.json"]
    assert made.changed_paths() == changed
    assert made.git("rev-parse", "HEAD^") == before
    assert made.git("status", "--porcelain") == " M notes.md"
    assert made.path("danielle").read_bytes() == data
    # A bundle in production has the old id: it stays switched off.
    off = json.loads((made.root / "overrides.json").read_text())["disabled"]
    assert off == {"darrieux": "see the ticket", "danielle": "see the ticket"}
    body = made.git("show", "-s", "--format=%B")
    assert body.startswith("Rename edit darrieux to danielle\n")
    assert "Sake-Renamed-From: darrieux" in body
    apply(plan_revert(made.registry, touched_by="HEAD"))
    assert made.path("darrieux").read_bytes() == data
    assert not made.path("danielle").exists()
    assert first != made.head


def test_rename_refuses_what_would_lose_something(made: GitRegistry, sake: Run) -> None:
    for old, new, code, says in (
        ("nobody", "danielle", 1, "no edit 'nobody'"), ("darrieux", "Danielle", 1, "is not an id"),
        ("darrieux", "gabin", 5, "is taken by"),
    ):  # fmt: skip
        done = sake("rename", old, new, cwd=made.root)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    made.write("darrieux", new="German")
    state = made.state()
    done = sake("rename", "darrieux", "danielle", cwd=made.root)
    assert done.returncode == 5
    assert "changed and not committed" in done.stderr
    assert made.state() == state
    made.write("fresh", subject="Michel Simon")
    done = sake("rename", "fresh", "simon", cwd=made.root)
    assert done.returncode == 0, done.stderr
    assert "nothing is committed: the file never was" in done.stderr
    assert made.path("simon").exists()
