"""`sake calibrate`: the router's thresholds, from prompts whose scope is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, table, warn, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_registry.asking.calibrating import Bound, Calibration
    from sake_registry.asking.learning import Learned
    from sake_registry.edits.registry import Registry
    from sake_registry.settings import Settings


@click.command("calibrate")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.02,
    show_default=True,
    help="The largest share of out-of-scope prompts at which an edit may fire.",
)
@click.option("--write", is_flag=True, help="Write what is found into sake.toml.")
@click.option(
    "--learn",
    is_flag=True,
    help="In place of thresholds: have the detector learn from prompts.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    help="With --learn: prompts, and which edit should have answered each, as JSON lines.",
)
@json_option
@click.pass_obj
def command(
    state: State, rate: float, write: bool, learn: bool, log: Path | None, as_json: bool
) -> None:
    """Set the router's thresholds to a false-fire rate, and say what that costs.

    In scope are the edits' holdout prompts, and their own prompts, each left out in turn; out of
    scope are other questions about their subjects, their prompts about other subjects, other
    edits' prompts and ordinary text. Only the prompt embedder is asked, or the model where its own
    states are compared. The curve is kept in the store.

    With --learn the scope detector learns from holdout and unchanged prompts, and from a log in
    which somebody has said what is right: {"prompt": "…", "edit": "an-id"}, or null for no edit.
    What it makes of edits that it did not learn from is shown, beside what the package's detector
    does; what does no better is not written. Holdout prompts are no test of what learned from them.

    \b
    sake calibrate
    sake calibrate --rate 0.005 --write
    sake calibrate --learn --log mistakes.jsonl --write
    """
    if log and not learn:
        raise click.UsageError("--log is for --learn")
    registry = state.registry().sound()  # before torch is imported
    if learn:
        written = _learn(registry, log, write=write, as_json=as_json)
        _warn_if_overridden(state.registry().settings, written)
        return

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
        # A threshold is of one kind of router: both stand together.
        kind = registry.settings.router.kind
        _write(registry, {"kind": kind, **result.thresholds}, quiet=as_json)
        _warn_if_overridden(state.registry().settings, result.thresholds)


def _learn(registry: Registry, log: Path | None, *, write: bool, as_json: bool) -> dict[str, str]:
    """What of `sake.toml` was written."""
    from sake_registry.asking.learning import learn, read_log

    logged = read_log(log, [edit.id for edit in registry.active]) if log else []
    with watching(quiet=as_json) as progress:
        result = learn(registry, logged, progress)
    if as_json:
        emit_json("learned/1", result.model_dump(mode="json"))
    else:
        _show_learned(registry, result)
    if not write or result.text is None:
        return {}
    written = {"learned": result.text}
    _write(registry, written, quiet=as_json)
    if registry.settings.router.threshold is not None:
        warn("the threshold was set for other probabilities: run `sake calibrate` once more")
    return written


def _show_learned(registry: Registry, result: Learned) -> None:
    say(
        f"learned from {result.edits} edits: {result.asking} pairs of an edit and a prompt that "
        f"asks for its fact, {result.others} of one that does not",
        lines=True,
    )
    rows = [
        (label, *(form.format(value) for value in values))
        for label, form, values in (
            ("asks, and is served", "{:.1%}", result.served),
            ("does not ask, and fires", "{:.1%}", result.fires),
            ("log loss", "{:.3f}", result.loss),
        )
    ]
    table(("on edits not learned from, at 0.5", "package", "learned"), rows)
    if result.text is None and registry.settings.router.learned:
        say(
            "nothing is learned: edits that were not learned from are judged no better; what was "
            "learned before stays until `learned` is taken out of sake.toml",
            lines=True,
        )
    elif result.text is None:
        say(
            "nothing is learned: edits that were not learned from are judged no better; log "
            "prompts that are decided wrongly, and give the log with --log",
            lines=True,
        )


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
        f"mean of their kinds: {fires:.1%} now, {fires_then:.1%} calibrated\n",
        lines=True,
    )


def _write(registry: Registry, values: Mapping[str, float | str], *, quiet: bool) -> None:
    from sake_registry.settings import FILE_NAME
    from sake_registry.tomltext import set_in_table

    path = registry.root / FILE_NAME
    set_in_table(path, "router", values)
    if not quiet:
        say(f"wrote {path}; `sake compile` takes it up, without running the model", err=True)


def _warn_if_overridden(settings: Settings, values: Mapping[str, float | str]) -> None:
    for name, value in values.items():
        if getattr(settings.router, name) != value:
            warn(f"SAKE_ROUTER_{name.upper()} is set and beats what was written: unset it")
