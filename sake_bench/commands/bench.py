"""`sake bench`: measure methods on a benchmark data set; the paper's tables and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    warn,
    watching,
)
from sake_registry.commands.console import table as show_table
from sake_registry.commands.verbs import in_section
from sake_registry.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_bench.results import Run
    from sake_registry.settings import Settings


@in_section("Measure")
@click.group("bench")
def command() -> None:
    """Measure editing methods on the field's data sets, and print the paper's tables and others.

    A run is a file: `list` names those that come with the program, `show` prints one to be
    copied and changed.

    \b
    sake bench run table3 --data counterfact.json --set limit=100
    sake bench show table3 > mine.yaml && sake bench run mine.yaml --data counterfact.json
    """


def _changes(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"'{value}' is not KEY=VALUE")
    return {key.strip(): text for key, _, text in (value.partition("=") for value in values)}


@command.command("run")
@click.argument("config", default="report", metavar="[RUN]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="CounterFact, RippleEdits, zsRE/KnowEdit, QAEdit, MQuAKE or BMIKE-53, in the official "
    "format; or a field set.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_changes,
    help="Another value than the file's: limit=100, methods=base,sake, settings.dtype=float32.",
)
@click.option("--work", type=click.Path(path_type=Path),
              help="Working folder; interrupted runs go on from there.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder for run.json, report.md, report.html, rows.jsonl.")  # fmt: skip
@model_options
@json_option
@click.pass_obj
def run_(
    state: State,
    /,
    config: str,
    data: Path | None,
    changes: Mapping[str, str],
    work: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure what a file says: RUN is a path, or one of `sake bench list`.

    Records become ordinary edit files first; no compiled prompt occurs in a test. Interrupted,
    the next run goes on.

    \b
    sake bench run table3 --data counterfact.json --set limit=100 --set methods=base,sake
    sake bench run report --data counterfact.json --set curves=threshold,prompts --out report/
    sake bench run --data counterfact.json --set questions=true --set curves=loads
    sake bench run table1 --data popular.json --set threshold=4.6 --set aliases=half
    sake bench run retrieval --data counterfact.json --set retrieval.by=bm25 --set retrieval.k=1
    """
    from sake_bench.config import find_config, read_config
    from sake_bench.datasets.reading import first
    from sake_registry.settings import find_root, load_settings

    chosen = read_config(find_config(config), {"data": str(data), **changes} if data else changes)
    # The registry at hand, if there is one; the run's file; flags.
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = uncalibrated(load_settings(find_root(state.folder), chosen.options | given))
    except SettingsError as error:
        if not chosen.options:
            raise
        raise InputError(f"{config}: settings: {error.message}", hint=error.hint) from error

    from sake_bench.reports import html, markdown
    from sake_registry.history.provenance import provenance
    from sake_registry.models.sources import cache_folder

    request = chosen.request(work or cache_folder() / "bench")

    from sake_bench import run as bench

    rows: list[dict[str, Any]] = []
    with watching(quiet=as_json) as progress:
        run = bench.run(
            request,
            settings,
            provenance=provenance(Path(bench.__file__).parent, ["."]),
            progress=progress,
            rows=rows.append,
        )
    if out is not None:
        texts = {"run.json": json.dumps(run.model_dump(mode="json"), indent=1, ensure_ascii=False)}
        texts |= {"report.md": markdown.report(run), "report.html": html.page(run)}
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        _write(out, texts | {"rows.jsonl": "\n".join(lines)})
    if as_json:
        _emit(run)
        return
    click.echo(markdown.printed(run, chosen.layout))
    for line in run.data.left_out:
        warn(f"not measured: {line}")
    for problem in first((*run.data.conflicts, *run.data.problems)):
        warn(f"left out: {problem}")
    for method in run.methods:
        for edit, reason in method.failed.items():
            warn(f"{method.name}: {edit}: {reason}")
    if out is not None:
        click.echo(f"wrote {out / 'report.html'}, report.md, run.json, rows.jsonl", err=True)


def uncalibrated(settings: Settings) -> Settings:
    """Settings without what `sake calibrate` has set for the edits of the registry at hand: it does
    not hold for a data set's. What the run's file, a flag or a variable says stays."""
    router = settings.router
    if router.model_copy(update={"threshold": None}).bound_of(router.kind) is None:
        return settings  # distances of a unit of their own, for which there is no default
    calibrated = {"threshold": None, "implied_threshold": None, "learned": ""}
    own = {name: to for name, to in calibrated.items() if not settings.is_given(f"router.{name}")}
    return settings.model_copy(update={"router": router.model_copy(update=own)})


@command.command("report")
@click.argument("file", metavar="RUN.JSON", type=click.Path(path_type=Path))
@click.option("--layout", default="report", show_default=True,
              help="report, or one of `sake bench list`.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.md, report.html.")
@json_option
def report(file: Path, layout: str, out: Path | None, as_json: bool) -> None:
    """Print a run that was measured before; nothing is measured.

    \b
    sake bench report report/run.json --layout table3
    sake bench report report/run.json --out again/
    """
    from sake_bench.reports import markdown
    from sake_bench.results import Run

    try:
        run = Run.read(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    text = markdown.printed(run, layout)
    if out is not None:
        from sake_bench.reports import html

        _write(out, {"report.md": markdown.report(run), "report.html": html.page(run)})
        click.echo(f"wrote {out / 'report.html'}, report.md", err=True)
    if as_json:
        _emit(run)
    else:
        click.echo(text)


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The runs that come with the program.

    \b
    sake bench list
    sake bench list --json
    """
    from sake_bench.config import built_in, read_config

    runs = {name: read_config(path).description for name, path in built_in().items()}
    if as_json:
        emit_json("bench-list/1", {"runs": runs})
    else:
        show_table(("run", "what it measures"), list(runs.items()))


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print the file of a run, to be copied and changed.

    \b
    sake bench show table3
    sake bench show figure3 > mine.yaml
    """
    from sake_bench.config import find_config

    click.echo(find_config(name).read_text(encoding="utf-8"), nl=False)


def _emit(run: Run) -> None:
    value = run.model_dump(mode="json")
    emit_json(value.pop("schema"), value)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    from sake_registry.files import storage_errors, write_text

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(folder / name, text.rstrip("\n") + "\n")
