"""`sake calibrate`: the router's thresholds, from prompts whose scope is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, table, warn, watching

if TYPE_CHECKING:
    from pathlib import Path

    from sake_registry.asking.calibrating import Bound, Calibration
    from sake_registry.settings import Settings


@click.command("calibrate")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.02,
    show_default=True,
    help="The largest share of out-of-scope prompts at which an edit may fire.",
)
@click.option("--write", is_flag=True, help="Write the thresholds into sake.toml.")
@json_option
@click.pass_obj
def command(state: State, rate: float, write: bool, as_json: bool) -> None:
    """Set the router's thresholds to a false-fire rate, and say what that costs.

    In scope are the edits' holdout prompts, and their own prompts, each left out in turn; out of
    scope are other questions about their subjects, their prompts about other subjects, other
    edits' prompts and ordinary text. Only the prompt embedder is asked, or the model where its own
    states are compared. The curve is kept in the store.

    \b
    sake calibrate
    sake calibrate --rate 0.005 --write
    """
    registry = state.registry().sound()  # before torch is imported

    from sake_registry.asking.calibrating import calibrate
    from sake_registry.asking.unrelated import ORDINARY, unrelated

    elsewhere = [text for text in unrelated(registry.active, ()) if text not in ORDINARY]
    with watching(quiet=as_json) as progress:
        result = calibrate(registry, rate, ORDINARY, elsewhere, progress)
    if as_json:
        emit_json("calibrate/1", result.model_dump(mode="json"))
    else:
        _show(result)
    if write:
        _write(state, registry.root, result, quiet=as_json)


def _show(result: Calibration) -> None:
    _show_bound("threshold", "prompts", result.threshold)
    if result.implied_threshold is not None:
        _show_bound("implied_threshold", "implications", result.implied_threshold)
    else:
        say("implied_threshold: no implication has a second wording to set it on")
        say("")
    if result.left_out:
        ids = ", ".join(result.left_out)
        warn(f"with a router or a threshold of their own, not looked at: {ids}")
    say(f"curve: {result.stored}")


def _show_bound(name: str, what: str, bound: Bound) -> None:
    say(f"{name}: {bound.present:g} now, {bound.chosen:g} calibrated")
    costs = [("served", m) for m in bound.in_scope] + [("fires", m) for m in bound.out_of_scope]
    if bound.unchanged.n:
        costs.append(("apart", bound.unchanged))
    rows = [
        (cost, of.label, str(of.n), f"{of.present:.1%}", f"{of.chosen:.1%}") for cost, of in costs
    ]
    table(("", f"{what}", "n", f"at {bound.present:g}", f"at {bound.chosen:g}"), rows)
    (served, served_then), (fires, fires_then) = bound.served, bound.false_fires
    say(
        f"in scope and served: {served:.1%} now, {served_then:.1%} calibrated; false fires, the "
        f"mean of their kinds: {fires:.1%} now, {fires_then:.1%} calibrated\n"
    )


def _write(state: State, root: Path, result: Calibration, *, quiet: bool) -> None:
    from sake_registry.settings import FILE_NAME
    from sake_registry.tomltext import set_in_table

    path = root / FILE_NAME
    set_in_table(path, "router", result.thresholds)
    if not quiet:
        say(f"wrote {path}; `sake compile` takes it up, without running the model", err=True)
    _warn_if_overridden(state.registry().settings, result)


def _warn_if_overridden(settings: Settings, result: Calibration) -> None:
    for name, value in result.thresholds.items():
        if getattr(settings.router, name) != value:
            warn(f"SAKE_ROUTER_{name.upper()} is set and beats what was written: unset it")
