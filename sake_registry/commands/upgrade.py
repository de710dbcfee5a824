"""`sake upgrade`: what the edits are on another model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    say,
    table,
    watching,
)

if TYPE_CHECKING:
    from sake_registry.review.upgrade import Upgrade


@click.command("upgrade")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the verdicts here, one page.",
)
@model_options
@json_option
@click.pass_obj
def command(state: State, /, html: Path | None, as_json: bool, **options: Any) -> None:
    """Judge every edit on another model; exit 1 if one needs work.

    The active edits are compiled for the model and tested on it. An edit is no longer needed if the
    model says its new object by itself; of the others, one holds that passes the floors of
    `sake test`, and the rest need work. The bundle that was compiled is kept.

    \b
    sake upgrade --model gpt2-xl
    sake upgrade --model ./new-model --html upgrade.html
    """
    if not options["model"]:
        raise click.UsageError("--model NEW says what to move to")
    registry = state.registry(options).sound()  # before torch is imported

    from sake_registry.commands.compile_ import origin
    from sake_registry.files import seen_from, write_text
    from sake_registry.review.upgrade import page, upgrade

    with watching(quiet=as_json) as progress:
        value = upgrade(registry, provenance=origin(registry), progress=progress)
    if html is not None:
        write_text(html, page(value), registry.root if seen_from(registry.root, html) else None)
    if as_json:
        emit_json("upgrade/1", value.model_dump(mode="json"))
    else:
        _show(value)
    if html is not None:
        say(f"wrote {html}", err=True)
    if value.counts["needs work"]:
        raise click.exceptions.Exit(1)


def _show(value: Upgrade) -> None:
    from sake_registry.asking.rows import KINDS
    from sake_registry.wording import count

    say(f"{value.model}: {count(len(value.edits), 'edit')}: {value.headline}")
    rows = [
        (
            edit.verdict,
            edit.id,
            edit.says,
            *(f"{edit.passed[k].passed}/{edit.passed[k].n}" if k in edit.passed else "–"
              for k in KINDS),
            "; ".join(edit.why),
        )
        for edit in value.edits
    ]  # fmt: skip
    table(("", "edit", "by itself", *KINDS, "why"), rows)
    if value.bundle:
        say(f"bundle: {value.bundle}", err=True)
