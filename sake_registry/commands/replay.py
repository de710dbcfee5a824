"""`sake replay`: what would fire on a log of prompts, and by how much."""

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
    warn,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sake_registry.asking.replay import Distances, EditReplay, Example, Replay

SHOWN = 20
"""So many edits are shown; JSON has them all."""


@click.command("replay")
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--bundle", type=click.Path(path_type=Path), help="Another bundle than the newest.")
@click.option("--threshold", type=float, help="Also say what this threshold would change.")
@click.option(
    "--examples",
    default=3,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="How many prompts to show of each kind.",
)
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    log: Path,
    bundle: Path | None,
    threshold: float | None,
    examples: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what would fire on the prompts of LOG, edit by edit.

    A line of LOG is a prompt, or a JSON object with "prompt" or "messages", as of a chat's
    request. Nothing is generated, and no language model is needed: the router of the bundle alone
    decides. Shown are the prompts that were nearest to a bound, on either side of it.

    \b
    sake replay traffic.jsonl
    sake replay traffic.jsonl --threshold 0.6 --json
    zcat traffic.jsonl.gz | sake replay -
    """
    from sake_registry.asking.replay import replay

    if bundle is None:
        from sake_registry.compiler.plan import find_bundle
        from sake_registry.models.loading import locate

        registry = state.registry(options).sound()
        bundle = find_bundle(registry, locate(registry.settings))
    with watching(quiet=as_json) as progress:
        result = replay(
            log, bundle, lambda: state.registry(options),
            threshold=threshold, examples=examples, progress=progress,
        )  # fmt: skip
    if as_json:
        emit_json("replay/1", result)
        return
    _show(result)


def _show(result: Replay) -> None:
    say(
        f"{result.prompts} prompts: an edit would fire for {result.fired} "
        f"({result.share:.2%}), {result.narrow} of them narrowly; "
        f"{result.near - result.fired} others were looked at more closely"
    )
    if result.fired_then is not None:
        say(f"under the threshold {result.threshold:g} for {result.fired_then}")
    say(f"bundle: {result.bundle}", err=True)
    shown = result.edits[:SHOWN]
    if shown:
        table(
            ("edit", "fires", "narrow", "at a distance of", "misses", "narrow", "at a distance of",
             *(("would gain", "would lose") if result.threshold else ())),
            [_cells(edit) for edit in shown],
        )  # fmt: skip
        say("distances: least · 10 % · median · 90 % · greatest")
    for edit in shown:
        _examples(f"{edit.edit} fires, nearest to its bound:", edit.furthest)
        _examples(f"{edit.edit} does not fire, nearest to its bound:", edit.nearest)
        if edit.changed:
            _examples(f"{edit.edit} would change at:", edit.changed.examples)
    if len(result.edits) > SHOWN:
        say(f"… and {len(result.edits) - SHOWN} more edits")
    if result.unusable:
        warn(f"{result.log}: {result.unusable} lines without a prompt that can be used")
        for line in result.first_unusable:
            warn(f"{result.log}:{line.line}: {line.problem}")


def _cells(edit: EditReplay) -> tuple[str, ...]:
    changed = (f"+{edit.changed.gained}", f"−{edit.changed.lost}") if edit.changed else ()
    return (
        edit.edit, str(edit.fires), str(edit.narrow), _quantiles(edit.fires_at),
        str(edit.misses), str(edit.narrow_misses), _quantiles(edit.misses_at), *changed,
    )  # fmt: skip


def _quantiles(at: Distances | None) -> str:
    if at is None:
        return "–"
    return " · ".join(f"{n:.2f}" for n in (at.least, at.low, at.median, at.high, at.greatest))


def _examples(title: str, examples: Iterable[Example]) -> None:
    examples = list(examples)
    if examples:
        say("")
        say(title)
    for example in examples:
        sign = "≤" if example.distance <= example.threshold else ">"
        at = f"{example.distance:.2f} {sign} {example.threshold:.3g}; {example.why}"
        say(f"  line {example.line} ({at}): {' '.join(example.prompt.split())}")
