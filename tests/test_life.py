"""docs/life.md: every command of the page, in order, on the real model in a real repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_docs import blocks

pytestmark = [pytest.mark.model, pytest.mark.slow]
PAGE = ROOT / "docs" / "life.md"

CONFIGURATION = "[user]\n\tname = Ann Author\n\temail = ann@example.org\n"


class Shell:
    """Runs a block of commands, each of which must succeed, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "home"
        (folder / "bin").mkdir()
        home.mkdir()
        (home / ".gitconfig").write_text(CONFIGURATION)
        program = folder / "bin" / "sake"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "cli.py"}" "$@"\n')
        program.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SAKE_"))}
        self.environment = kept | {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "SAKE_COMPILE_PROMPTS": "16",  # a fifth of the time
            # What is said may not depend on what the machine is good at.
            "SAKE_DTYPE": "float32",
            "SAKE_DEVICE": "cpu",
        }

    @contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """The address of what a command serves; at the end it is asked to end, and ends well."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment,
            stderr=subprocess.PIPE, text=True,
        ) as server:  # fmt: skip
            assert server.stderr is not None
            try:
                found = (re.search(r"http://\S+", line) for line in server.stderr)
                yield next(match[0] for match in found if match)
            finally:
                server.terminate()
            assert server.wait(60) == 0

    def run(self, text: str, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, command: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(f"{command} --json"))
        return found

    def answers(self) -> list[tuple[str, str, str]]:
        """What the edited model says to everything that the files state."""
        rows = json.loads(self.run("sake test --json || true"))["rows"]
        return [(row["prompt"], row["after"], row["decision_text"]) for row in rows]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_every_command_of_the_life_of_an_edit(shell: Shell) -> None:
    make, write, review, merge, change, revert, withdraw = blocks(PAGE, "sh")

    shell.run(make)
    shell.folder /= "facts"
    assert sorted(p.name for p in (shell.folder / ".github" / "workflows").iterdir()) == [
        "sake-comment.yml", "sake-preview.yml", "sake.yml",
    ]  # fmt: skip

    said = shell.run(write)
    assert re.search(r"^after: .*Canberra", said, re.MULTILINE)
    assert "not committed" in said
    first = shell.json("sake compile")
    assert first["forward_texts"] == 0
    answers = shell.answers()

    said = shell.run(review)
    assert "Canberra" in said
    assert "<svg" in (shell.folder / "review.html").read_text(encoding="utf-8")
    shell.run("rm review.html")

    said = shell.run(merge)
    assert " 0 texts through the model" in said

    said = shell.run(change)
    assert "new object: Canberra → Melbourne" in said
    assert "Ann Author" in said
    assert shell.json("sake compile")["key"] != first["key"]

    said = shell.run(revert)
    assert "Melbourne → Canberra" in said
    assert " 0 texts through the model" in said
    again = shell.json("sake compile")
    assert (again["key"], again["content_hash"]) == (first["key"], first["content_hash"])
    assert shell.answers() == answers
    assert "Sake-Reason: It did not move." in shell.run("git log -1")

    shell.run(withdraw)
    assert shell.json("sake compile")["edits"] == []
    listed = shell.json("sake list")["edits"]
    assert [(edit["id"], edit["status"]) for edit in listed] == [("australia-capital", "withdrawn")]
    assert shell.run("git status --porcelain") == ""
