"""`sake rollback`: let a pointer lead to what it led to before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, json_option
from sake_registry.commands.promote import change, changing_options
from sake_registry.commands.publish import place_of_bundles
from sake_registry.commands.sign import Signing

if TYPE_CHECKING:
    from datetime import timedelta


@click.command("rollback")
@click.argument("name")
@click.option("--number", type=click.IntRange(1), help="The change whose bundle is meant.")
@changing_options
@json_option
@click.pass_obj
def command(
    state: State,
    name: str,
    number: int | None,
    to: str | None,
    expires: timedelta | None,
    note: str,
    signing: Signing,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let the pointer NAME lead to the bundle that it led to before.

    It gets a new number, so that whoever follows it goes back as well. Rolled back twice, it leads
    to the one before that.

    \b
    sake rollback production --yes
    sake rollback production --number 12 --note "ticket 13"
    """
    from sake_registry.remote.publishing import plan_rollback

    place = place_of_bundles(state, to, writing=True)
    promotion = plan_rollback(place, name, number, lasts=expires, note=note)
    signer = signing.signer(state)
    change(state, promotion, "rollback", signer, yes=yes, dry_run=dry_run, as_json=as_json)
