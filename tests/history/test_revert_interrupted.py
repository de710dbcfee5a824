"""Ctrl-C at every stage of the commit: all of the revert or none of it, decided from HEAD."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.history.running import done, hook, new_object
from tests.repositories import GitRegistry

_PROGRAM = "from sake_registry.commands import main; main()"
_BEFORE = ("pre-commit", "prepare-commit-msg", "commit-msg", "reference-transaction prepared")
_AFTER = ("reference-transaction committed", "post-commit")


def stopped_in(
    made: GitRegistry, stage: str, *arguments: str, group: bool, signals: tuple[int, ...]
) -> tuple[int, str]:
    """Run `sake` in a process of its own, and send it signals while the hook sleeps."""
    name, _, state = stage.partition(" ")
    reached = made.top / ".git" / "reached"
    when = f'[ "$1" = "{state}" ] || exit 0\ngrep -q refs/heads/ || exit 0\n' if state else ""
    hook(made, name, f"{when}echo $$ > {reached}\nexec sleep 30")
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], cwd=made.root, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        end = time.monotonic() + 30
        while not (reached.exists() and reached.read_text().strip()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)
        for number in signals:
            (os.killpg if group else os.kill)(process.pid, number)
            time.sleep(0.05)
        # A hook that was not in the group's way sleeps on, and holds the pipes.
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.kill(int(reached.read_text()), signal.SIGKILL)
        _, err = process.communicate()
    Path(made.top / ".git" / "hooks" / name).unlink()
    reached.unlink()
    return process.returncode, err


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("stage", _BEFORE)
def test_before_the_commit_nothing_is_done(
    registry: GitRegistry, stage: str, *, group: bool
) -> None:
    before = registry.state()
    code, err = stopped_in(
        registry, stage, "revert", "darrieux", group=group, signals=(signal.SIGINT,)
    )
    assert (code, "interrupted" in err) == (130, True), err
    assert registry.state() == before
    done(registry, "darrieux")  # no lock is left


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("stage", _AFTER)
@pytest.mark.parametrize("verb", ["revert", "withdraw", "remove", "restore"])
def test_after_the_commit_all_is_done(
    registry: GitRegistry, stage: str, verb: str, *, group: bool
) -> None:
    if verb == "restore":
        done(registry, "darrieux", "--remove")
    head = registry.head
    arguments = {
        "revert": ["revert", "darrieux"],
        "withdraw": ["withdraw", "darrieux", "--reason", "wrong"],
        "remove": ["revert", "darrieux", "--remove"],
        "restore": ["revert", "darrieux"],
    }[verb]
    code, err = stopped_in(registry, stage, *arguments, group=group, signals=(signal.SIGINT,))
    assert code == 130, err
    assert registry.git("rev-parse", "HEAD^") == head
    assert f"commit {registry.head[:10]} was made" in err
    assert registry.git("status", "--porcelain") == ""
    registry.git("commit", "--quiet", "-a", "-m", "What comes next", "--allow-empty")
    assert registry.git("diff", "--name-only", "HEAD^") == ""


@pytest.mark.parametrize("stage", ["pre-commit", "post-commit"])
@pytest.mark.parametrize(
    ("signals", "code"),
    [((signal.SIGINT,) * 4, 130), ((signal.SIGTERM,), 143), ((signal.SIGHUP, signal.SIGINT), 129)],
)
def test_an_impatient_user_and_other_signals(
    registry: GitRegistry, stage: str, signals: tuple[int, ...], code: int
) -> None:
    before, head = registry.state(), registry.head
    ended, err = stopped_in(registry, stage, "revert", "darrieux", group=True, signals=signals)
    # A signal that comes while the interpreter ends by itself ends it at once: `$?` is 130.
    assert ended == code or (len(signals) > 1 and ended in (130, -signal.SIGINT)), err
    if stage == "pre-commit":
        assert registry.state() == before
    else:
        assert registry.git("rev-parse", "HEAD^") == head
        assert new_object(registry, "darrieux") == "English"
        assert registry.git("status", "--porcelain") == ""


def test_whoever_is_impatient_tears_nothing_that_puts_things_right(
    registry: GitRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further interrupts come while a slow git is asked what was done."""
    slow, head = tmp_path / "slow" / "git", registry.head
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\n[ -e {registry.top}/.git/reached ] && sleep 0.1\n'
                    f'exec {shutil.which("git")} "$@"\n')  # fmt: skip
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    _, err = stopped_in(
        registry, "post-commit", "revert", "darrieux", group=True, signals=(signal.SIGINT,) * 6
    )
    assert f"commit {registry.head[:10]} was made" in err
    assert registry.git("rev-parse", "HEAD^") == head
    assert new_object(registry, "darrieux") == "English"
    assert registry.git("status", "--porcelain") == ""


def test_another_commit_that_a_hook_made_is_not_taken_for_it(registry: GitRegistry) -> None:
    """HEAD has moved, and not by the revert: the file goes back to what it was."""
    held = registry.path("darrieux").read_bytes()
    hook(
        registry, "pre-commit",
        "unset GIT_INDEX_FILE\n"
        'git update-ref HEAD $(git commit-tree -p HEAD -m other "HEAD^{tree}")\nexit 1',
    )  # fmt: skip
    from tests.history.running import revert

    found = revert(registry, "darrieux")
    assert found.code == 5
    assert "nothing was committed" in found.err
    assert registry.path("darrieux").read_bytes() == held
    assert registry.git("status", "--porcelain") == ""
