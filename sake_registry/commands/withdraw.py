"""`sake withdraw`: take edits out of force and keep their files."""

from __future__ import annotations

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, json_option
from sake_registry.commands.revert import carry_out, writing_options


@click.command("withdraw")
@click.argument("ids", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the commit's message.")
@writing_options
@json_option
@click.pass_obj
def command(
    state: State,
    ids: tuple[str, ...],
    reason: str,
    no_commit: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take the edits IDS out of force, in one commit.

    Their files stay, with `status: withdrawn`; no other line of them is touched. `sake revert ID`
    puts an edit into force again.

    \b
    sake withdraw darrieux-tongue --reason "the source was withdrawn"
    sake withdraw uk-pm fr-pm --reason "after the elections" --dry-run
    """
    from sake_registry.history.reverting import plan_withdraw

    plan = plan_withdraw(state.registry(), ids, reason)
    carry_out(plan, "withdraw", no_commit=no_commit, dry_run=dry_run, as_json=as_json)
