"""Running the command line in this process, as a user would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sake_registry.commands import revert, withdraw
from sake_registry.commands.console import State
from sake_registry.errors import SakeError


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
    commands: dict[str, click.Command] = {"revert": revert.command, "withdraw": withdraw.command}
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
