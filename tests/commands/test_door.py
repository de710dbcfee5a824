"""All that is printed goes through one door: no orders to a terminal, UTF-8 for programs, and a
stream that is closed, left or full ends no command in a bug."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sake_registry.commands import console
from sake_registry.commands.console import doors, say, show_markdown, table, warn, watching
from sake_registry.wording import HIDDEN, printable, visible
from tests.bundle.synthetic import edit as edit_payload
from tests.bundle.synthetic import write as write_bundle
from tests.commands.test_main import on_a_terminal
from tests.conftest import EDIT, ROOT, Run

SAKE = f"{sys.executable} {ROOT / 'cli.py'}"
ORDERS = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202eevil\u2066\u200b\u2028\r\ud800"
BLACK = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""A locale of ASCII, from which Python does not save itself."""


def shell(folder: Path, command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("sake", SAKE, 1)],
        cwd=folder, capture_output=True, check=False, timeout=60, env={**os.environ, **environ},
    )  # fmt: skip


@pytest.fixture
def many(registry: Path) -> Path:
    """A registry whose lists do not fit into the buffer of a pipe; one of its edits is wrong."""
    for number in range(400):
        text = EDIT.replace("Danielle Darrieux", f"Person {'x' * 100} number {number}")
        (registry / "edits" / f"person-{number}.yaml").write_text(text)
    (registry / "edits" / "wrong.yaml").write_text("schema: 1\n")
    return registry


def test_the_door_is_the_only_way() -> None:
    """A command prints with `say`; what opens another way to a terminal is in the console alone."""
    ways = {"echo", "secho", "print", "__stdout__", "__stderr__", "unescaped", "Console"}
    for path in sorted((ROOT / "sake_registry").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if path != Path(console.__file__):
            assert not used & ways, (path, used & ways)


def test_whatever_prints_is_shown_by_its_numbers(capfd: pytest.CaptureFixture[str]) -> None:
    shown = "⟨U+001B⟩[31m⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+009B⟩2J⟨U+202E⟩evil⟨U+2066⟩⟨U+200B⟩⟨U+2028⟩"
    text = f"{ORDERS}\tשלום נَص ไทย 👩\u200d👩"
    with doors():
        sys.stdout.write(text)
        sys.stdout.buffer.write(text.encode(errors="surrogatepass"))
        sys.stderr.write(text)
        say(text + "\nnext")
        warn(text + "\nnext")
        table([""], [[text]], title=text)
        show_markdown(text)
        with watching(quiet=False) as progress:
            progress.begin(text, 2)
            progress.advance(label=text + "\nnext")
    said = capfd.readouterr()
    assert (said.out.count(shown), said.err.count(shown)) == (6, 4)
    assert "⟨U+000A⟩next" in said.out
    assert said.err.count("⟨U+000A⟩next") == 2
    assert said.out.count("ไทย 👩\u200d👩") == 6
    assert not HIDDEN.search(said.out + said.err)


PROGRAM = """\
import logging, sys
from sake_registry.commands.console import *

bad = "[red]\\x1b[35m\\x1b]0;owned\\x07\\u202e[/x]"
configure_logging(False)
with doors():
    with watching(quiet=False) as progress:
        progress.begin(bad, 2)
        for label in (bad, "second"):
            progress.advance(label=label)
            warn(bad)
            logging.getLogger("sake_registry").info(bad)
            sys.stderr.write(bad + "\\n")
    say(bad, styled(bad, bold=True))
    table([""], [[bad]], title=bad)
    show_markdown(f"# {bad}\\n[{bad}](http://{bad}.com) `{bad}`\\n")
"""


def test_a_terminal_gets_only_the_orders_of_this_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    program = str(tmp_path / "program.py")
    code, shown = on_a_terminal(tmp_path, program=program, PYTHONPATH=str(ROOT), COLUMNS="300")
    assert code == 0, shown
    assert shown.count("⟨U+001B⟩[35m⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+202E⟩") >= 11
    assert "\x1b[33mwarning:\x1b[0m" in shown  # its own colour, above the bar, too
    for bad in ("\x1b[35m", "\x1b]0", "\x07", "\u202e"):
        assert bad not in shown


def test_what_is_text_stays(capfd: pytest.CaptureFixture[str]) -> None:
    text = "Zoë\tdeux\u00a0mots \u3000نَص\u200cی ü — “€” 👩\u200d👩"
    assert visible(text) == printable(text) == text
    with doors():
        say("two\nlines", lines=True)
    assert capfd.readouterr().out == "two\nlines\n"


def test_a_bundle_gives_a_terminal_no_orders(tmp_path: Path, sake: Run) -> None:
    bad = ORDERS.replace("\ud800", "") + "\nevery digest verified"
    edits = [edit_payload("ann", 1, [(1, 2, False)], old=bad, warnings=(bad,))]
    path = tmp_path / "evil.h5"
    write_bundle(path, edits, versions={"torch": bad, "sake-registry": bad},
                 provenance={"commit": bad, "dirty": False, "tag": bad})  # fmt: skip
    done = sake("inspect", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not HIDDEN.search(done.stdout + done.stderr)
    assert [line for line in done.stdout.splitlines() if line == "every digest verified"] == []
    code, shown = on_a_terminal(tmp_path, "inspect", str(path))
    assert code == 0
    assert "\x1b[31m" not in shown.replace("\x1b[33mwarning", "")
    assert "\x1b]" not in shown
    assert "\u202e" not in shown
    done = sake("inspect", str(path), "--json", cwd=tmp_path)
    assert not HIDDEN.search(done.stdout)
    assert json.loads(done.stdout)["versions"]["torch"] == bad


@pytest.mark.parametrize("environ", [BLACK, {"PYTHONIOENCODING": "cp1252"},
                                     {"PYTHONIOENCODING": "utf-16"}])  # fmt: skip
@pytest.mark.parametrize("verb", ["list", "check", "show darrieux"])
def test_json_is_utf_8_in_every_locale(registry: Path, verb: str, environ: dict[str, str]) -> None:
    (registry / "edits" / "darrieux.yaml").write_text(
        EDIT.replace("English", "中文 “Zoë”"), "utf-8"
    )
    done = shell(registry, f"sake {verb} --json", **environ)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.decode("utf-8"))
    assert value["schema"].endswith("/1")
    if verb != "check":
        assert "中文 “Zoë”" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    ("command", "code"),
    [("sake list | head -1", 1), ("sake list --json | head -1", 1), ("sake check | head -1", 1),
     ("sake check --json | head -1", 1), ("sake check --format github | head -c 1", 1),
     ("sake fmt --check | head -c 1", 1), ("sake --help | head -c 1", 0),
     ("sake explain --json | head -c 1", 0), ("sake check 2>&1 | head -c 1", 1)],
)  # fmt: skip
def test_a_reader_that_leaves_changes_no_exit_code(many: Path, command: str, code: int) -> None:
    """Nor does a gate pass because nobody reads why it failed."""
    done = shell(many, command)
    assert done.returncode == code, done.stderr
    assert b"bug:" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if code:
        (many / "edits" / "wrong.yaml").unlink()
        assert shell(many, command).returncode == 0


ENDS = {"check": 0, "list --json": 0, "list": 0, "--help": 0, "show nobody": 1, "nothing": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "closed"),
    [*((arguments, code, "<&- >&- 2>&-") for arguments, code in ENDS.items()),
     *((arguments, code, ">&-") for arguments, code in ENDS.items()),
     ("new a", 2, "<&-"), ("show nobody", 1, "2>&-"), ("completion bash", 0, ">&-")],
)  # fmt: skip
def test_a_closed_stream_takes_nothing(
    registry: Path, arguments: str, code: int, closed: str
) -> None:
    done = shell(registry, f"sake {arguments} {closed}")
    assert done.returncode == code, done.stderr
    assert b"bug:" not in done.stderr
    assert b"Exception" not in done.stderr


def test_what_is_printed_goes_into_no_file_that_is_opened_later(registry: Path) -> None:
    text = (registry / "edits" / "darrieux.yaml").read_text()
    (registry / "edits" / "darrieux.yaml").write_text(text.replace("  old", "  old ").rstrip())
    assert shell(registry, "sake fmt <&- >&- 2>&-").returncode == 0
    assert "formatted" not in (registry / "edits" / "darrieux.yaml").read_text()


@pytest.mark.parametrize(
    "arguments", ["check", "check --json", "list", "--help", "completion bash"],
)  # fmt: skip
def test_a_full_disk_is_said(registry: Path, arguments: str) -> None:
    done = shell(registry, f"sake {arguments} >/dev/full")
    assert done.returncode == 4, done.stderr
    assert b"error: the output cannot be written: No space left on device" in done.stderr
    assert b"Exception" not in done.stderr


def test_messages_that_cannot_be_written_leave_the_exit_code(many: Path) -> None:
    assert shell(many, "sake check 2>/dev/full").returncode == 1
    assert shell(many, "sake nothing 2>/dev/full").returncode == 2
    assert shell(many, "sake check >/dev/full 2>&1").returncode in (1, 4)


@pytest.mark.parametrize("environ", [BLACK, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}])
def test_an_argument_that_is_no_text_is_refused(registry: Path, environ: dict[str, str]) -> None:
    before = sorted(registry.rglob("*"))
    for argument in ("--new $'Zo\\xeb'", "--new $'Zo\\xef\\xbf\\xbd'", "--new=$'Zo\\xeb'",
                     "--reason $'Zo\\xeb'"):  # fmt: skip
        given = f"sake new zoe --subject Zoe --relation name --new Zoe {argument}"
        done = shell(registry, given, **environ)
        assert done.returncode == 1, (argument, done.stderr)
        assert b"not UTF-8" in done.stderr
        assert not HIDDEN.search(done.stderr.decode(errors="replace"))
    assert sorted(registry.rglob("*")) == before


def test_control_characters_come_into_no_edit(registry: Path) -> None:
    before = sorted(registry.rglob("*"))
    for option, text in (("new", "\\e[31m"), ("reason", "\\xc2\\x9b2J"), ("alias", "a\\u2028b"),
                         ("prompt", "<subject> \\u202eis")):  # fmt: skip
        given = "sake new zoe --subject Zoe --relation name --new Zoe"
        done = shell(registry, f"{given} --{option} $'{text}'", LC_ALL="C.UTF-8")
        assert done.returncode == 1, (option, done.stderr)
        assert b"error[SAKE123]" in done.stderr
    assert sorted(registry.rglob("*")) == before


def test_a_file_whose_name_is_no_text_can_be_named(registry: Path) -> None:
    name = os.fsencode(registry / "edits") + b"/caf\xe9.yaml"
    (registry / "edits" / "darrieux.yaml").rename(Path(os.fsdecode(name)))
    done = shell(registry, "sake fmt edits/caf$'\\xe9'.yaml")
    assert done.returncode == 1  # its name is not an id
    assert b"SAKE006" in done.stderr


def test_wrong_usage_gives_no_orders(registry: Path) -> None:
    done = shell(registry, "sake $'\\u202e'nothing", LC_ALL="C.UTF-8")
    assert done.returncode == 2
    assert "No such command '\\u202enothing'" in done.stderr.decode()
