"""`sake revert` and `sake withdraw` as programs: the terminal, exit codes, streams."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.commands.test_main import on_a_terminal
from tests.conftest import EDIT, Run


@pytest.fixture
def versions(registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A registry in git whose edit was English, then German, then Italian."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann Author")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
    git(registry, "init", "--quiet")
    for new in ("English", "German", "Italian"):
        (registry / "edits" / "darrieux.yaml").write_text(EDIT.replace("English", new))
        git(registry, "add", "--all")
        git(registry, "commit", "--quiet", "-m", f"Make it {new}")
    return registry


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def content(folder: Path) -> str:
    return (folder / "edits" / "darrieux.yaml").read_text()


def test_a_terminal_is_asked_which_version_is_meant(versions: Path) -> None:
    code, shown = on_a_terminal(versions, "revert", "darrieux", typed="3\n2\n")
    assert code == 0, shown
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "darrieux has 2 earlier versions:" in shown
    assert re.search(r"1  [0-9a-f]{10} \(.*Ann Author: Make it German\): .*Italian → German", shown)
    assert re.search(
        r"2  [0-9a-f]{10} \(.*Ann Author: Make it English\): .*Italian → English", shown
    )
    assert "which one shall come back? [1]" in shown
    assert "is not in the range" in shown  # there is no third
    assert content(versions) == EDIT
    code, shown = on_a_terminal(versions, "revert", "darrieux", typed="\n")
    assert code == 0, shown
    assert "new: Italian" in content(versions)  # the default is the previous one


def test_a_terminal_is_asked_before_a_revert_is_reverted(versions: Path) -> None:
    assert on_a_terminal(versions, "revert", "darrieux", typed="1\n")[0] == 0
    code, shown = on_a_terminal(versions, "revert", "darrieux", typed="\n1\n")
    assert code == 0, shown
    assert "was taken back already" in shown
    assert shown.count("which one shall come back?") > 1  # Enter alone is no answer
    assert "new: Italian" in content(versions)


def test_a_question_without_an_answer_changes_nothing(versions: Path) -> None:
    before = git(versions, "rev-parse", "HEAD")
    code, _ = on_a_terminal(versions, "revert", "darrieux", typed="\x04")
    assert code == 130
    assert git(versions, "rev-parse", "HEAD") == before
    assert git(versions, "status", "--porcelain") == ""


def test_without_a_terminal_nothing_is_asked(sake: Run, versions: Path) -> None:
    shown = sake("revert", "darrieux", cwd=versions)
    assert (shown.returncode, shown.stdout) == (5, "")
    commands = re.findall(r"sake (revert darrieux --to [0-9a-f]{10})", shown.stderr)
    assert len(commands) == 2
    done = sake(*commands[1].split(), "--json", cwd=versions)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["schema"] == "revert/1"
    assert found["commit"] == git(versions, "rev-parse", "HEAD").strip()
    assert content(versions) == EDIT


def test_the_exit_codes(sake: Run, versions: Path) -> None:
    def run(*arguments: str, code: int) -> str:
        shown = sake(*arguments, cwd=versions)
        assert (shown.returncode, shown.stdout) == (code, ""), shown.stderr
        return shown.stderr

    assert "give the ids of edits" in run("revert", code=2)
    assert "Missing option '--reason'" in run("withdraw", "darrieux", code=2)
    assert "no commit knows an edit 'nobody'" in run("revert", "nobody", code=1)
    (versions / "edits" / "darrieux.yaml").write_text("dirty")
    assert "git restore --staged --worktree" in run("revert", "darrieux", code=5)
    git(versions, "restore", "edits")
    git(versions, "config", "user.useConfigOnly", "true")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
            patch.delenv(name)
        assert "git config user.name" in run("revert", "darrieux", "--remove", code=4)
    assert git(versions, "status", "--porcelain") == ""


def test_withdraw_and_back(sake: Run, versions: Path) -> None:
    shown = sake("withdraw", "darrieux", "--reason", "wrong", cwd=versions)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("withdrawn darrieux  (edits/darrieux.yaml)\n")
    shown = sake("revert", "darrieux", "--yes", cwd=versions)
    assert shown.returncode == 0
    assert "status: withdrawn → active" in shown.stdout
    assert "Revert edit darrieux: status: withdrawn → active" in shown.stdout
