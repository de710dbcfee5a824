"""`sake bench`: measure methods on a benchmark data set; the paper's tables and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_bench.commands.data import aliases_option, first, read_sound
from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    phases,
    warn,
)
from sake_registry.commands.verbs import in_section
from sake_registry.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_bench.datasets.records import Aliases
    from sake_registry.settings import Settings

STEERED = ("base", "icl", "actadd", "uniform", "sake-paper", "sake")
WEIGHTS = ("rome", "memit", "compmemit")
ALL = ("base", *WEIGHTS, *STEERED[1:])
# What each of the paper's tables and figures is made of: methods, curves, and which kind of data.
PRESETS: dict[str, tuple[Sequence[str], Sequence[str], str]] = {
    "table1": (ALL, (), "rippleedits"),
    "table2": (ALL, (), "counterfact"),
    "table3": (ALL, (), "counterfact"),
    "table4": (("base", "uniform", "sake-paper", "sake"), (), "counterfact"),
    "table5": (ALL, (), "rippleedits"),
    "figure3": (("base", "sake-paper", "sake"), ("threshold",), "counterfact"),
    "figure5": (("base", "sake-paper"), ("prompts",), "counterfact"),
}


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else None


@in_section("Measure")
@click.command("bench")
@click.argument("preset", required=False, type=click.Choice(list(PRESETS)), metavar="[TABLE]")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="CounterFact, RippleEdits, or zsRE/KnowEdit, in the official format.",
)
@click.option("--kind", type=click.Choice(["counterfact", "rippleedits", "knowedit"]),
              help="The data's format, if it is not to be told from the file.")  # fmt: skip
@click.option("--methods", callback=_names, metavar="A,B", help=f"Of {', '.join(ALL)}.")
@click.option("--limit", type=click.IntRange(1), help="Measure on so many records.")
@click.option("--weights-limit", type=click.IntRange(1), metavar="N",
              help="Methods that change weights on so many of them.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Which records, and every other draw.")
@click.option("--prompts", type=click.IntRange(4), help="Prompts an edit is completed to.")
@click.option("--calibrate-on", type=click.Path(path_type=Path),
              help="Other data to set the published router's threshold on.")  # fmt: skip
@click.option("--threshold", type=float, help="The published router's threshold, as given.")
@click.option("--curves", is_flag=True, help="The points of Figures 3 and 5 as well.")
@click.option(
    "--loads", is_flag=True, help="Acc, Gen, Spec with 1, 10, 100, and all edits of the data."
)
@click.option(
    "--questions",
    is_flag=True,
    help="Ask more: the fact as a question and in a chat; the subject's other relations.",
)
@aliases_option
@click.option("--project", "project", multiple=True, metavar="ID",
              help="Draw this edit's activations.")  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Leave malformed records out.")
@click.option("--resources", type=click.Path(path_type=Path),
              help="Folder of templates; the data file's if not given.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path),
              help="Working folder; interrupted runs go on from there.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder for run.json, report.md, report.html, rows.jsonl.")  # fmt: skip
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    preset: str | None,
    data: Path,
    kind: str | None,
    methods: tuple[str, ...] | None,
    limit: int | None,
    weights_limit: int | None,
    seed: int,
    prompts: int | None,
    calibrate_on: Path | None,
    threshold: float | None,
    curves: bool,
    loads: bool,
    questions: bool,
    aliases: Aliases,
    project: tuple[str, ...],
    skip_bad: bool,
    resources: Path | None,
    work: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure editing methods on records of a benchmark, and print the paper's tables.

    TABLE is one of table1 … table5, figure3, figure5: it chooses methods and layout. Without it
    everything is measured that --methods, --curves, --loads and --questions ask for. Records
    become ordinary edit files first; no compiled prompt occurs in a test. Interrupted, the next
    run goes on.

    \b
    sake bench table3 --data counterfact.json --limit 100 --methods base,sake,sake-paper
    sake bench --data counterfact.json --limit 10 --curves --out report/
    sake bench --data counterfact.json --methods base,sake --questions --loads
    sake bench table1 --data popular.json --threshold 4.6 --aliases half
    """
    wanted, drawn, of_kind = PRESETS.get(preset or "", (STEERED, (), ""))
    settings = _settings(state, options | {"compile.prompts": prompts})
    found = read_sound(data, kind, resources, skip_bad=skip_bad)
    if of_kind and found.name != of_kind:
        raise InputError(f"{preset} is measured on {of_kind}; {data} is {found.name}")
    others = None
    if calibrate_on is not None:
        others = read_sound(calibrate_on, None, resources, skip_bad=skip_bad)

    from sake_bench import run as bench
    from sake_bench.reports import html, markdown
    from sake_registry.files import storage_errors, write_text
    from sake_registry.history.provenance import provenance
    from sake_registry.models.sources import cache_folder

    request = bench.Request(
        data=found,
        file=data,
        methods=methods or tuple(wanted),
        work=work or cache_folder() / "bench",
        limit=limit,
        weights_limit=weights_limit,
        seed=seed,
        calibrate_on=others,
        threshold=threshold,
        curves=(*(("threshold", "prompts") if curves else drawn), *(("loads",) if loads else ())),
        questions=questions,
        aliases=aliases,
        project=project,
    )
    rows: list[dict[str, Any]] = []
    with phases(quiet=as_json) as progress:
        run = bench.run(
            request,
            settings,
            provenance=provenance(Path(bench.__file__).parent, ["."]),
            progress=bench.Progress(*progress),
            rows=rows.append,
        )
    if out is not None:
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            for name, text in (
                ("run.json", json.dumps(run, indent=1, ensure_ascii=False) + "\n"),
                ("report.md", markdown.tables(run)),
                ("report.html", html.page(run)),
                ("rows.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)),
            ):
                write_text(out / name, text)
    if as_json:
        emit_json("bench/1", {key: value for key, value in run.items() if key != "schema"})
        return
    if preset is None:
        click.echo(markdown.tables(run))
    elif preset.startswith("table"):
        click.echo(markdown.paper_table(run, preset))
    else:
        click.echo(markdown.paper_figure(run, preset))
    for line in run["data"]["left_out"]:
        warn(f"not measured: {line}")
    for problem in first((*run["data"]["conflicts"], *run["data"]["problems"])):
        warn(f"left out: {problem}")
    for method in run["methods"]:
        for edit, reason in method["failed"].items():
            warn(f"{method['name']}: {edit}: {reason}")
    if out is not None:
        click.echo(f"wrote {out / 'report.html'}, report.md, run.json, rows.jsonl", err=True)


def _settings(state: State, options: dict[str, Any]) -> Settings:
    """The settings of the registry at hand; the defaults where there is none."""
    from sake_registry.settings import find_root, load_settings

    return load_settings(find_root(state.folder), options)
