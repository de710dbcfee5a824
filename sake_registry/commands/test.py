"""`sake test`: does the edited model say what the edit files claim?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    say,
    table,
    warn,
    watching,
)

if TYPE_CHECKING:
    from sake_registry.asking.rows import Row
    from sake_registry.asking.testing import TestReport
    from sake_registry.edits.registry import Registry


@click.command("test")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@click.option("--bundle", type=click.Path(path_type=Path), help="Another bundle than the newest.")
@click.option("--rows", "all_rows", is_flag=True, help="Show every prompt, not one for each edit.")
@click.option(
    "--probe",
    is_flag=True,
    help="Ask the router alone: the prompts in other wordings, and look-alikes of them.",
)
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    ids: tuple[str, ...],
    bundle: Path | None,
    all_rows: bool,
    probe: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask what the edit files state; exit 1 below a floor.

    Both the bare and the edited model are asked. Floors are under [test] in sake.toml.

    With --probe no model is asked, and nothing need be compiled: each edit's prompts are put in
    other words and among look-alikes, and the router says which of them an edit would answer. An
    estimate before production; there is no floor.

    \b
    sake test
    sake test tolstoy-mother-tongue --rows
    sake test --probe
    """
    registry = state.registry(options).sound()  # before torch is imported
    if probe:
        _probe(registry, ids, all_rows=all_rows, as_json=as_json)
        return

    from sake_registry.asking.testing import test_registry

    with watching(quiet=as_json) as progress:
        report = test_registry(registry, ids, bundle=bundle, progress=progress)
    if as_json:
        emit_json("test/1", report.model_dump(mode="json"))
    else:
        _show(report, all_rows)
    if report.missed:
        raise click.exceptions.Exit(1)


def _probe(registry: Registry, ids: tuple[str, ...], *, all_rows: bool, as_json: bool) -> None:
    from sake_registry.asking.probing import ALIKE, ASKING
    from sake_registry.asking.probing import probe as ask

    with watching(quiet=as_json) as progress:
        report = ask(registry, ids, progress)
    if as_json:
        emit_json("probe/1", report.model_dump(mode="json"))
        return
    shown = [p for p in report.probes if all_rows or not p.ok]
    table(
        ("", "edit", "prompt", "decision"),
        [("ok" if p.ok else "WRONG", p.edit, p.prompt, p.decision_text) for p in shown],
    )
    rows = []
    for expected, words, sections in (
        (True, "asked for: answered", ASKING), (False, "not asked for: answered", ALIKE),
    ):  # fmt: skip
        rows += [
            ("  " + label, _share(*report.share(expected=expected, section=section)))
            for section, label in sections.items()
        ]
        rows.append((words, _share(*report.share(expected=expected))))
    table(("the fact is", "answered/asked"), rows)


def _show(report: TestReport, all_rows: bool) -> None:
    from sake_registry.asking.rows import KINDS

    seen = set()
    chosen = []
    for row in report.rows:
        first = row.edit not in seen
        seen.add(row.edit)
        if all_rows or first or not row.ok:
            chosen.append(row)
    table(("", "prompt", "before", "after", "decision"), [_cells(row) for row in chosen])
    edits = dict.fromkeys(str(row.edit) for row in report.rows)
    table(
        ("edit", *KINDS),
        [
            (edit, *(_share(*report.counts(kind, edit)) for kind in KINDS))
            for edit in edits
        ]
        + [("all", *(_share(*report.counts(kind)) for kind in KINDS))],
    )  # fmt: skip
    say(
        "passed of asked; a prompt passes if the greedy text begins with the whole new object, "
        "with all edits loaded;\nan unchanged one if its tokens are the same",
        lines=True,
    )
    for finding in report.findings:
        warn(finding)
    for missed in report.missed:
        say(f"below the floor: {missed}", err=True)


def _cells(row: Row) -> tuple[str, ...]:
    from sake_registry.wording import shorten

    mark = "ok" if row.ok else "FAILED"
    before, after = shorten(row.before, 26), shorten(row.after, 26)
    return (mark, row.prompt, before, after, row.decision_text)


def _share(passed: int, total: int) -> str:
    return f"{passed}/{total}" if total else "–"
