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


@click.command("test")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@click.option("--bundle", type=click.Path(path_type=Path), help="Another bundle than the newest.")
@click.option("--rows", "all_rows", is_flag=True, help="Show every prompt, not one for each edit.")
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    ids: tuple[str, ...],
    bundle: Path | None,
    all_rows: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask what the edit files state; exit 1 below a floor.

    Both the bare and the edited model are asked. Floors are under [test] in sake.toml.

    \b
    sake test
    sake test tolstoy-mother-tongue --rows
    """
    registry = state.registry(options).sound()  # before torch is imported

    from sake_registry.asking.testing import test_registry

    with watching(quiet=as_json) as progress:
        report = test_registry(registry, ids, bundle=bundle, progress=progress)
    if as_json:
        emit_json("test/1", report.model_dump(mode="json"))
    else:
        _show(report, all_rows)
    if report.missed:
        raise click.exceptions.Exit(1)


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
        "with all edits loaded;\nan unchanged one if its 10 tokens are the same",
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
