"""`sake rename`: another id for an edit."""

from __future__ import annotations

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option, say, warn
from sake_registry.commands.revert import writing_options

_SHOWN = 10


@click.command("rename")
@click.argument("old", shell_complete=complete_ids)
@click.argument("new")
@writing_options
@json_option
@click.pass_obj
def command(
    state: State, old: str, new: str, no_commit: bool, dry_run: bool, as_json: bool
) -> None:
    """Call the edit OLD by the id NEW, in one commit.

    Its file is moved, and what `overrides.json` switches off stays off under both ids. Where else
    OLD stands in files of the repository is said. What was built is built: no forward pass is made.

    \b
    sake rename darrieux-tongue danielle-darrieux-mother-tongue
    sake rename darrieux-tongue darrieux --dry-run
    """
    from sake_registry.upkeep.bundles import after_change
    from sake_registry.upkeep.renaming import plan_rename, rename

    registry = state.registry()
    plan = plan_rename(registry, old, new)
    commit = None if dry_run else rename(plan, commit=not no_commit)
    bundles = [] if dry_run else after_change(registry, [old, new])
    if as_json:
        outcome = {"commit": commit, "dry_run": dry_run, "bundles": bundles}
        emit_json("rename/1", {**plan.model_dump(mode="json"), **outcome})
        return
    say(f"{'would rename' if dry_run else 'renamed'} {old} to {new}  ({plan.path} → {plan.to})")
    if plan.overrides:
        say(f"  {plan.overrides.name} switches off both ids: take {old} out when no bundle has it")
    for place in plan.mentions[:_SHOWN]:
        warn(f"'{old}' stands in {place}")
    if len(plan.mentions) > _SHOWN:
        warn(f"… and in {len(plan.mentions) - _SHOWN} more lines")
    if commit:
        say(f"commit {commit[:10]}: {plan.message.partition(chr(10))[0]}")
        say(f"what was before it: `sake log {old}`", err=True)
    elif not dry_run:
        say("nothing is committed" + ("" if plan.committed else ": the file never was"), err=True)
    for line in bundles:
        say(line)
