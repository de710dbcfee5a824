"""`sake plan`: what `sake compile` would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import (
    State,
    emit_json,
    fit_options,
    fit_settings,
    json_option,
    model_options,
    say,
    show_findings,
    table,
)

if TYPE_CHECKING:
    from sake_registry.edits.registry import Registry


@click.command("plan")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@click.option("--only", is_flag=True, help="Plan a partial bundle of just these edits.")
@fit_options
@model_options
@json_option
@click.pass_obj
def command(
    state: State, /, ids: tuple[str, ...], only: bool, as_json: bool, **options: Any
) -> None:
    """Say what `sake compile` would do, and why.

    Each edit would be built, refitted, reused or removed; nothing is done.

    \b
    sake plan
    sake plan --model gpt2-xl --json
    """
    if only and not ids:
        raise click.UsageError("--only needs edit ids")
    registry = state.registry(fit_settings(options)).sound()  # before torch is imported
    run(registry, ids, only=only, as_json=as_json)


def run(
    registry: Registry, ids: tuple[str, ...] = (), *, only: bool = False, as_json: bool = False
) -> None:
    """Show the plan of a registry."""
    if not registry.edits:
        show_findings(registry.findings)  # a wrong folder of edits would look like this

    from sake_registry.compiler.plan import make_plan
    from sake_registry.models.loading import locate

    plan = make_plan(registry, locate(registry.settings), ids, only=only)
    if as_json:
        emit_json("plan/1", plan.report.model_dump(mode="json"))
        return
    table(("edit", "action", "because"), [(p.id, p.action, p.reason) for p in plan.edits])
    say(f"bundle {plan.path}: {'current' if plan.current else 'to be written'}")
