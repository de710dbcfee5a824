"""What the commands share: options, output, progress, and how an error is shown.

Results go to stdout, everything else to stderr. Colour and bars appear only on a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sake_registry.progress import SILENT
from sake_registry.wording import printable

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


def emit_json(schema: str, value: Value | Mapping[str, Any]) -> None:
    """One object on stdout; the name and version of its schema come first."""
    if not isinstance(value, Mapping):
        value = value.model_dump(mode="json")
    click.echo(json.dumps({"schema": schema, **value}, ensure_ascii=False, indent=2, default=str))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout; text from files and models is shown as it is, not as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=WIDE, force_terminal=False)
    drawn = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell.replace("\n", " ")) for cell in row))
    console.print(drawn)


def show_findings(findings: Sequence[Diagnostic]) -> None:
    """Findings, one after the other, on stderr."""
    for finding in findings:
        colour = "red" if finding.severity == "error" else "yellow"
        # It may quote a file, whose text a terminal is not to obey.
        text = "\n".join(printable(line) for line in str(finding).split("\n"))
        click.secho(text, fg=colour if _colourful(sys.stderr) else None, err=True)


def report_error(error: SakeError) -> None:
    """An error as a user sees it: every diagnostic, the message, what to do."""
    show_findings(getattr(error, "diagnostics", ()))
    label = click.style("error:", fg="red", bold=True) if _colourful(sys.stderr) else "error:"
    click.echo(f"{label} {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def warn(text: str) -> None:
    label = click.style("warning:", fg="yellow") if _colourful(sys.stderr) else "warning:"
    click.echo(f"{label} {text}", err=True)


def _colourful(stream: Any) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ


class _Stderr(logging.Handler):
    """The library's log, as lines of this program."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        warn(text) if record.levelno >= logging.WARNING else click.echo(text, err=True)


def configure_logging(verbose: bool) -> None:
    logger = logging.getLogger("sake_registry")
    logger.handlers = [_Stderr()]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    # Before anything of Hugging Face is imported: its bars and advice are not this program's.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class _Lines:
    """Progress without a terminal: each new label is a line."""

    def __init__(self) -> None:
        self._phase, self._labels = "", set[str]()

    def begin(self, phase: str, total: int) -> None:
        self._phase, self._labels = phase, set()

    def advance(self, steps: int = 1, label: str = "") -> None:
        if label and label not in self._labels:
            self._labels.add(label)
            click.echo(f"{self._phase} {label}", err=True)


class _Bar:
    """Progress on a terminal: one bar a phase, with count, rate and time left."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._phase = bar, ""
        self._task: TaskID | None = None

    def begin(self, phase: str, total: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._phase = phase
        self._task = self._bar.add_task(phase, total=total, rate="")

    def advance(self, steps: int = 1, label: str = "") -> None:
        if self._task is None:
            return
        speed = self._bar.tasks[0].speed
        rate = f"{speed:.0f}/s" if speed else ""
        what = f"{self._phase} {label}".rstrip()
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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
