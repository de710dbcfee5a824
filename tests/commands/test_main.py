"""The program around the commands: colour, terminals, bugs, interruptions."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest

from sake_registry import commands
from sake_registry.edits import registry as registries
from tests.conftest import EDIT, ROOT, Run


def on_a_terminal(
    folder: Path, *arguments: str, typed: str = "", program: str = "cli.py", **environ: str
) -> tuple[int, str]:
    """Run the command line with all its streams on a terminal; its code and what it shows."""
    ours, its = pty.openpty()
    usual = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / program), *arguments],
        cwd=folder, stdin=its, stdout=its, stderr=its, env={**usual, "TERM": "xterm", **environ},
    )  # fmt: skip
    os.close(its)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_colour_is_only_for_a_terminal_that_wants_it(sake_process: Run, registry: Path) -> None:
    (registry / "edits" / "wrong.yaml").write_text("schema: 1\n")
    for arguments in (["check"], ["list"]):
        code, shown = on_a_terminal(registry, *arguments)
        assert code == 1
        assert "\x1b[31m" in shown
        code, plain = on_a_terminal(registry, *arguments, NO_COLOR="1")
        assert code == 1
        assert "SAKE102" in plain
        assert "\x1b[3" not in plain
    code, shown = on_a_terminal(registry, "check", "--json")
    assert "\x1b" not in shown
    piped = sake_process(
        "list", cwd=registry, env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    )
    assert "\x1b" not in piped.stdout + piped.stderr


def test_new_asks_on_a_terminal_for_what_it_was_not_told(registry: Path) -> None:
    code, shown = on_a_terminal(
        registry, "new", "gabin", "--subject", "Jean Gabin", typed="mother tongue\nEnglish\n"
    )
    assert code == 0
    assert "relation" in shown
    text = (registry / "edits" / "gabin.yaml").read_text()
    assert "  relation: mother tongue\n  new: English\n" in text


def test_help_shows_every_command_with_two_examples(sake: Run) -> None:
    shown = sake("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for name, command in sorted(commands.cli.commands.items()):
        assert f"  {name} " in shown.stdout
        help_ = command.help or ""
        examples = [line for line in help_.splitlines() if line.strip().startswith("sake ")]
        assert len(examples) >= 2, name
    assert sake("--version").stdout.startswith("sake, version ")


def raising(error: BaseException) -> object:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


def test_a_bug_exits_3_and_leaves_a_log_with_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for error in (RuntimeError("gone wrong"), ModuleNotFoundError("no x", name="x.y")):
        monkeypatch.setattr(registries, "open_registry", raising(error))
        with pytest.raises(SystemExit) as raised:
            commands.main(["check"])
        assert raised.value.code == 3
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"bug: {type(error).__name__}: {error}" in shown.err
        (log,) = tmp_path.glob("sake-*.log")
        assert str(log) in shown.err
        text = log.read_text()
        assert "Traceback (most recent call last)" in text
        assert f"{type(error).__name__}: {error}" in text
        assert "pydantic " in text
        log.unlink()


def test_an_interruption_exits_130_and_a_missing_extra_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    for error, code, says in (
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (torch, 4, "pip install -c constraints.txt '.[models]'"),
    ):
        monkeypatch.setattr(registries, "open_registry", raising(error))
        with pytest.raises(SystemExit) as raised:
            commands.main(["check"])
        assert raised.value.code == code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert says in shown.err


def test_only_an_interrupted_compile_says_that_what_was_built_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registries, "open_registry", raising(KeyboardInterrupt()))
    kept = "interrupted: what was built is kept, the next run goes on from there\n"
    for command, says in (("check", "interrupted\n"), ("compile", kept)):
        with pytest.raises(SystemExit):
            commands.main([command])
        assert capsys.readouterr().err.lstrip() == says


def test_fmt_says_which_file_it_cannot_read(
    registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = registry / "edits" / "darrieux.yaml"
    denied = raising(PermissionError(13, "Permission denied"))
    monkeypatch.setattr("sake_registry.edits.files.read_bounded", denied)
    with pytest.raises(SystemExit) as raised:
        commands.main(["fmt", str(path)])
    assert raised.value.code == 1
    shown = capsys.readouterr().err
    assert "error[SAKE001]" in shown
    assert "cannot be read: Permission denied" in shown


@pytest.mark.parametrize("command", ["plan", "compile"])
def test_only_needs_ids(registry: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        commands.main(["-C", str(registry), command, "--only"])
    assert raised.value.code == 2
    assert "--only needs edit ids" in capsys.readouterr().err


def test_the_reader_of_a_pipe_may_leave(registry: Path) -> None:
    for number in range(400):
        text = EDIT.replace("Danielle Darrieux", f"Person {'x' * 100} number {number}")
        (registry / "edits" / f"person-{number}.yaml").write_text(text)
    command = f"{sys.executable} {ROOT / 'cli.py'} list | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=registry, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
