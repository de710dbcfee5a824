"""Running the command line in this process, as a user would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sake_registry.commands import revert as revert_command
from sake_registry.commands import withdraw as withdraw_command
from sake_registry.commands.console import State
from sake_registry.errors import SakeError
from tests.repositories import GitRegistry


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code, what it showed, and the error behind it."""

    code: int
    out: str
    err: str
    hint: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def sake(root: Path, verb: str, *arguments: str, typed: str | None = None) -> Done:
    """Run `sake VERB …` in the registry at `root`; an error is its message, hint and exit code."""
    commands: dict[str, click.Command] = {
        "revert": revert_command.command,
        "withdraw": withdraw_command.command,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(
            commands[verb],
            list(arguments),
            obj=State(Path()),
            input=typed,
            prog_name=f"sake {verb}",
        )
    error = done.exception
    if isinstance(error, SakeError):
        return Done(error.exit_code, done.stdout, done.stderr + str(error), error.hint or "")
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Done(done.exit_code, done.stdout, done.stderr)


def revert(made: GitRegistry, *arguments: str) -> Done:
    return sake(made.root, "revert", *arguments)


def done(made: GitRegistry, *arguments: str) -> Done:
    """A revert that must work."""
    found = revert(made, *arguments)
    assert found.code == 0, found.err
    return found


def refused(made: GitRegistry, *arguments: str, code: int = 5, verb: str = "revert") -> Done:
    """A command that must be refused, and must leave everything as it was."""
    before = made.state()
    found = sake(made.root, verb, *arguments)
    assert (found.code, found.out) == (code, ""), found.err
    assert made.state() == before
    return found


def trailers(made: GitRegistry, commit: str = "HEAD") -> list[tuple[str, str]]:
    """A commit's trailers, as git itself reads them."""
    message = made.git("show", "-s", "--format=%B", commit)
    out = made.git("interpret-trailers", "--parse", stdin=message)
    return [(key, value) for key, _, value in (line.partition(": ") for line in out.splitlines())]


def new_object(made: GitRegistry, name: str) -> str:
    lines = made.path(name).read_text().splitlines()
    return next(line.removeprefix("  new: ") for line in lines if line.startswith("  new: "))


def hook(made: GitRegistry, name: str, text: str) -> None:
    path = made.top / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def conflict(made: GitRegistry) -> None:
    """Two branches that cannot be merged, in a file that is no edit."""
    (made.root / "notes.md").write_text("base\n")
    made.commit("Base")
    made.git("switch", "--quiet", "-c", "branch")
    (made.root / "notes.md").write_text("branch\n")
    made.commit("Branch")
    made.git("switch", "--quiet", "main")
    (made.root / "notes.md").write_text("main\n")
    made.commit("Main")
