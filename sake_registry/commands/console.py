"""What the commands share: options, output, progress, and how an error is shown.

Guarantees:
- Results go to stdout, everything else to stderr. Colour and bars appear only on a terminal.
- All that is printed, by this program or by a library, goes through a `Door`: what a terminal
  would obey is shown by its number. Only this module's own colours and bars go past that.
- JSON is UTF-8 in every locale.
- A stream that is closed, or whose reader has gone, takes nothing and changes no exit code. One
  that fails otherwise (a full disk) ends the command with a `StorageError`.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sake_registry.errors import StorageError
from sake_registry.progress import SILENT
from sake_registry.wording import HIDDEN, printable, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from sake_registry.diagnostics import Diagnostic
    from sake_registry.edits.registry import Registry
    from sake_registry.errors import SakeError
    from sake_registry.progress import Progress
    from sake_registry.values import Value

WIDE = 160
"""Columns of a table that does not go to a terminal."""


class State:
    """What the group's options say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def registry(self, options: dict[str, Any] | None = None) -> Registry:
        """The registry at hand, with the command's flags as settings."""
        from sake_registry.edits.registry import open_registry

        return open_registry(self.folder, options)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        function
    )


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--model`, `--device`, `--dtype`, `--trust-remote-code`; they beat `sake.toml`."""
    for option in reversed(
        [
            click.option(
                "--model", metavar="NAME", help="Alias, hub id[@revision], folder, .gguf."
            ),
            click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps."),
            click.option(
                "--dtype",
                type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                help="auto takes bfloat16 where it is faster.",
            ),
            click.option(
                "--trust-remote-code",
                is_flag=True,
                default=None,
                help="Run code that comes with the model.",
            ),
        ]
    ):
        function = option(function)
    return function


def fit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--reg`, `--solver`: another fit, which costs no forward pass."""
    solvers = click.Choice(["lowrank", "pot", "uniform"])
    solver = click.option("--solver", type=solvers, help="How maps are fitted.")
    reg = click.option("--reg", metavar="N|N%|auto", help="Regularisation of the fit.")
    return reg(solver(function))


def fit_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Flags as dotted settings."""
    dotted = {"reg": "compile.reg", "solver": "compile.solver"}
    return {dotted.get(name, name): value for name, value in options.items()}


class Door(io.TextIOBase):
    """A standard stream that gives a terminal no orders, and whose end is no error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._shown: Callable[[str], str] = visible
        self._faults: list[StorageError] = []

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    @property
    def buffer(self) -> _Bytes:
        return _Bytes(self)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def write(self, text: str) -> int:
        shown = self._shown(text)
        self._attempt(lambda: self._stream.write(shown))
        return len(text)

    def write_utf8(self, text: str) -> None:
        """Write text in UTF-8, whatever the encoding of the stream."""

        def write() -> None:
            self._stream.flush()
            self._stream.buffer.write(text.encode())
            self._stream.buffer.flush()

        self._attempt(write)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def unescaped(self) -> Door:
        """The same stream for text that this module has made: escapes of colours and bars pass."""
        door = Door(self._stream)
        door._shown, door._faults = str, self._faults
        return door

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and self.fileno() == 1:
                message = f"the output cannot be written: {error.strerror}"
                hint = "free space on its disk, or send it elsewhere"
                self._faults.append(StorageError(message, hint=hint))
            # What is still in the buffer is for nobody, too, and must not fail at the exit.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        # Again each time: click drops what is raised while it looks at a stream.
        if self._faults:
            raise self._faults[0]


class _Bytes(io.RawIOBase):
    """What a door has in place of the stream's buffer: click writes some text as bytes."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._door.write(bytes(data).decode(errors="backslashreplace"))
        self._door.flush()
        return len(data)


def _door(stream: Any) -> Door:
    return stream if isinstance(stream, Door) else Door(stream)


@contextmanager
def doors() -> Iterator[None]:
    """Let stdout and stderr be doors. A standard stream that is closed is one to nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Under its own number, which the next file that is opened would have otherwise.
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text, nor a terminal know every letter; stderr is so already.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _door(sys.stdout), _door(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class Styled(NamedTuple):
    """Text that is coloured, or set in bold, on a terminal."""

    text: str
    style: dict[str, Any]


def styled(text: str, **style: Any) -> Styled:
    """Text in a style of `click.style`, for `say`."""
    return Styled(text, style)


def say(*parts: str | Styled, err: bool = False, lines: bool = False, end: str = "\n") -> None:
    """A line of text, some of it in a style.

    Args:
        end: what ends it, where something is typed behind it.
        lines: the text has line ends of its own; else one is shown by its number, as it would
            pass for the next line.
    """
    stream = _door(sys.stderr if err else sys.stdout)
    colourful = stream.isatty() and "NO_COLOR" not in os.environ
    shown = ""
    for part in parts:
        text, style = part if isinstance(part, Styled) else (part, {})
        text = visible(text) if lines else printable(text)
        shown += click.style(text, **style) if style and colourful else text
    plain: Any = stream.unescaped()
    click.echo(shown + end, file=plain, nl=False)


def json_text(value: Mapping[str, Any], *, line: bool = False) -> str:
    """A value as JSON to be read, or on one line: what would be obeyed or would hide in it is
    escaped."""
    written = json.dumps(value, ensure_ascii=False, indent=None if line else 2, default=str)
    return HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], written) + "\n"


def emit_json(schema: str, value: Value | Mapping[str, Any], *, line: bool = False) -> None:
    """One object on stdout, or on one line of it; the name and version of its schema come
    first."""
    if not isinstance(value, Mapping):
        value = value.model_dump(mode="json")
    _door(sys.stdout).write_utf8(json_text({"schema": schema, **value}, line=line))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; text from files and models is shown as it is, not as markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=None if title is None else Text(printable(title)),
        box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False,
    )  # fmt: skip
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell.replace("\n", " "))) for cell in row))
    _draw(drawn)


def show_markdown(text: str) -> None:
    """Markdown: drawn on a terminal, as it is where a program reads it."""
    if not sys.stdout.isatty():
        say(text, lines=True)
        return
    from rich.markdown import Markdown

    _draw(Markdown(visible(text)))


def _draw(drawing: Any) -> None:
    """What rich makes of visible text, on stdout."""
    from rich.console import Console

    stream: Any = _door(sys.stdout).unescaped()
    options: Any = {} if stream.isatty() else {"width": WIDE, "force_terminal": False}
    Console(file=stream, **options).print(drawing)


def show_findings(findings: Sequence[Diagnostic]) -> None:
    """Findings, one after the other, on stderr."""
    for finding in findings:
        colour = "red" if finding.severity == "error" else "yellow"
        say(styled(str(finding), fg=colour), err=True, lines=True)


def report_error(error: SakeError) -> None:
    """An error as a user sees it: every diagnostic, the message, what to do."""
    show_findings(getattr(error, "diagnostics", ()))
    say(styled("error:", fg="red", bold=True), f" {error.message}", err=True, lines=True)
    if error.hint:
        say(f"  {error.hint}", err=True, lines=True)


def warn(text: str) -> None:
    say(styled("warning:", fg="yellow"), f" {text}", err=True)


class _Stderr(logging.Handler):
    """The library's log, as lines of this program."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        warn(text) if record.levelno >= logging.WARNING else say(text, err=True)
        if record.exc_info:  # of a server, which goes on
            say(logging.Formatter().formatException(record.exc_info), err=True, lines=True)


def configure_logging(verbose: bool) -> None:
    logger = logging.getLogger("sake_registry")
    logger.handlers = [_Stderr()]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    # Before anything of Hugging Face is imported: its bars and advice are not this program's.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class _Lines:
    """Progress without a terminal: each phase, and each new label of it, is a line."""

    def __init__(self) -> None:
        self._phase, self._labels = "", set[str]()

    def begin(self, phase: str, total: int) -> None:
        self._phase, self._labels = phase, set()

    def advance(self, steps: int = 1, label: str = "") -> None:
        if label not in self._labels and (label or not self._labels):
            self._labels.add(label)
            say(f"{self._phase} {label}".rstrip(), err=True)


class _Bar:
    """Progress on a terminal: one bar a phase, with count, rate and time left."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._phase = bar, ""
        self._task: TaskID | None = None

    def begin(self, phase: str, total: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._phase = phase
        self._task = self._bar.add_task(printable(phase), total=total, rate="")

    def advance(self, steps: int = 1, label: str = "") -> None:
        if self._task is None:
            return
        speed = self._bar.tasks[0].speed
        rate = f"{speed:.0f}/s" if speed else ""
        what = printable(f"{self._phase} {label}".rstrip())
        self._bar.update(self._task, advance=steps, description=what, rate=rate)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Progress]:
    """How far long work is, on stderr: bars on a terminal, else lines; nothing where `quiet`."""
    if quiet:
        yield SILENT
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    stream: Any = _door(sys.stderr).unescaped()
    # Inside, rich takes the streams for what is printed beside the bar: it obeys escapes.
    with Bar(*columns, console=Console(file=stream), transient=True) as bar, doors():
        yield _Bar(bar)
