"""What names and texts of a foreign repository do to a terminal: nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.repositories import (
    GitRegistry,
    MakeRegistry,
    _own_configuration,
    edit_text,
    make_registry,
    registry,
)

__all__ = ["_own_configuration", "make_registry", "registry"]


def test_a_name_that_is_no_text_ends_no_command(
    registry: GitRegistry, sake: Run, tmp_path: Path
) -> None:
    """A file's name is bytes, and each command that meets this one is to end as it would."""
    name = os.fsencode(registry.root) + b"/edits/caf\xe9.yaml"
    descriptor = os.open(name, os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, edit_text().encode())
    os.close(descriptor)
    registry.commit("A name in Latin-1")
    json_file = tmp_path / "review.json"
    for code, *arguments in (
        (1, "check"), (1, "check", "--json"), (1, "check", "--format", "github"), (0, "status"),
        (0, "status", "--json"), (0, "diff", "HEAD^..HEAD", "--json"), (0, "log", "--json"),
        (1, "review", "HEAD^..HEAD", "--no-model", "--json-file", str(json_file)),
    ):  # fmt: skip
        done = sake(*map(str, arguments), cwd=registry.root)
        assert done.returncode == code, (arguments, done.stderr)
        if "--json" in arguments:
            assert "\\udce9" in done.stdout
            json.loads(done.stdout)
    (edit,) = json.loads(json_file.read_text())["edits"]
    assert edit["path"] == "edits/caf\udce9.yaml"


@pytest.mark.parametrize(
    "arguments",
    [("log",), ("log", "darrieux"), ("diff", "HEAD^..HEAD"), ("status",), ("check",),
     ("revert", "darrieux", "--to", "HEAD^", "--dry-run")],
)  # fmt: skip
def test_what_was_written_gives_a_terminal_no_orders(
    make_registry: MakeRegistry, sake: Run, arguments: tuple[str, ...]
) -> None:
    made = make_registry()
    # Else such an edit is an error, whose messages are shown in the same way.
    (made.root / "sake.toml").write_text('[checks]\nSAKE123 = "off"\n')
    bad = '"\\e]0;owned\\a\\e[2J\\u202e"'
    made.write("darrieux", edit_text(new="German"))
    made.commit("\x1b[2Jcleared")
    text = edit_text(new=bad) + f"provenance: {{sources: [{bad}]}}\n"
    made.write("darrieux", text)
    made.commit("\x1b[2Jcleared", "--author=\x1b[2JAnn <ann@example.org>")
    made.write("darrieux", text + "lifecycle: {valid_until: 2026-01-01}\n")
    if arguments[0] == "revert":
        made.commit("Expired")
    done = sake(*arguments, cwd=made.root)
    assert done.returncode == 0, done.stderr
    for hidden in "\x1b\x07\u202e":
        assert hidden not in done.stdout + done.stderr
