"""Tab completion, by the protocol between a shell and the program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EDIT, ROOT, Run

# The program, with ids completed in the arguments of two commands, whether or not they do it.
PROGRAM = """\
import json, sys
from sake_registry.commands import cli, main
from sake_registry.commands.completion import complete_ids
for name in ("show", "compile"):
    cli.commands[name].params[0]._custom_shell_complete = complete_ids
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
HEAVY = {"torch", "numpy", "pydantic", "yaml", "rich", "git", "h5py"}

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(registry: Path) -> Complete:
    """What a shell is offered for the last word of a line: `complete("sake", "show", "da")`."""

    def run(*words: str, cwd: Path = registry, shell: str = "bash", **extra: str) -> list[str]:
        environ = {
            **os.environ,
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_SAKE_COMPLETE": f"{shell}_complete",
            **extra,
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        *said, modules = done.stderr.splitlines()
        assert said == []
        assert {name.partition(".")[0] for name in json.loads(modules)} & HEAVY == set()
        return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]

    return run


def test_commands_and_options_complete(complete: Complete) -> None:
    assert {"check", "compile", "completion", "cache"} <= set(complete("sake", "c"))
    assert complete("sake", "completion", "") == ["bash", "zsh", "fish"]
    assert complete("sake", "cache", "v") == ["verify"]
    assert "--json" in complete("sake", "check", "--")


def test_ids_complete_from_the_names_of_files(
    complete: Complete, registry: Path, write: Callable[[str, str], Path]
) -> None:
    for name in ("people/danton.yaml", "people/Zola.YML", "wrong.yaml", "people/notes.txt"):
        write(name, "this: [is no edit" if name == "wrong.yaml" else EDIT)
    write(".hidden/dali.yaml", EDIT)
    write(".dali.yaml", EDIT)
    assert complete("sake", "show", "") == ["Zola", "danton", "darrieux", "wrong"]
    assert complete("sake", "show", "da") == ["danton", "darrieux"]
    assert complete("sake", "show", "x") == []
    # Several ids: none is offered twice.
    assert complete("sake", "compile", "darrieux", "") == ["Zola", "danton", "wrong"]
    assert complete("sake", "show", "", cwd=registry / "edits" / "people") != []


def test_the_registry_is_the_one_of_the_line_and_of_its_settings(
    complete: Complete, registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    assert complete("sake", "show", "", cwd=away) == []
    assert complete("sake", "-C", str(registry), "show", "", cwd=away) == ["darrieux"]
    (registry / "edits").rename(registry / "facts")
    assert complete("sake", "show", "") == []
    assert complete("sake", "show", "", SAKE_EDITS="facts") == ["darrieux"]
    (registry / "sake.toml").write_text('edits = "facts"\n')
    assert complete("sake", "show", "") == ["darrieux"]


@pytest.mark.parametrize("text", ["not toml", "edits = 5\n", b"\xff", 'edits = "/nowhere"\n'])
def test_a_wrong_registry_offers_nothing_and_says_nothing(
    complete: Complete, registry: Path, text: str | bytes
) -> None:
    (registry / "sake.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert complete("sake", "show", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_goes_to_stdout_and_nothing_else_is_said(sake: Run, shell: str) -> None:
    done = sake("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_SAKE_COMPLETE={shell}_complete" in done.stdout
    assert sake("completion", "tcsh").returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal here")
def test_on_a_terminal_it_says_what_to_do_with_the_script() -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), "completion", "fish"],
            stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert b"_SAKE_COMPLETE=fish_complete" in os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stderr == "sake completion fish > ~/.config/fish/completions/sake.fish\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_takes_the_script_and_completes_with_it(
    sake: Run, registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    (programs / "program.py").write_text(PROGRAM)
    program = programs / "sake"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{programs}/program.py' 2>/dev/null\n")
    program.chmod(0o755)
    script = sake("completion", "bash").stdout + (
        'COMP_WORDS=(sake show da); COMP_CWORD=2; _sake_completion sake; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=registry, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["darrieux"]
