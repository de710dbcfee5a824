"""`sake pointers`: what is loaded under which name, and what was."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, table, warn
from sake_registry.commands.publish import place_of_bundles, place_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.remote.pointer import Pointer


@click.command("pointers")
@click.argument("name", required=False)
@click.option(
    "--delete", is_flag=True, help="Delete NAME, and the bundles to which no other one ever led."
)
@click.option("-y", "--yes", is_flag=True, help="With --delete: do not ask.")
@place_option
@json_option
@click.pass_obj
def command(
    state: State, name: str | None, delete: bool, yes: bool, to: str | None, as_json: bool
) -> None:
    """List the pointers, or what the pointer NAME led to with each change, the newest first.

    \b
    sake pointers --to s3://bucket/edits
    sake pointers production
    sake pointers pr-12 --delete
    """
    if name is None and delete:
        raise click.UsageError("--delete needs NAME")
    if delete:
        _delete(place_of_bundles(state, to, writing=True), str(name), yes=yes, as_json=as_json)
        return
    from sake_registry.places import shown
    from sake_registry.remote.publishing import history, pointers

    place = place_of_bundles(state, to)
    if name is not None:
        entries = history(place, name)
        if as_json:
            found = [entry.model_dump(mode="json") for entry in entries]
            emit_json("pointers/1", {"place": shown(place), "name": name, "history": found})
        else:
            _table(entries)
        return
    states = pointers(place)
    if as_json:
        found = [{**one.model_dump(mode="json"), "behind": one.behind} for one in states]
        emit_json("pointers/1", {"place": shown(place), "pointers": found})
        return
    _table([one.pointer for one in states])
    if not states:
        say(f"no pointers in {shown(place)}: `sake promote` makes one", err=True)
    for one in states:
        if one.behind:
            warn(
                f"{one.name} was to become number {one.newest}, which was interrupted: "
                f"sake promote {one.name} {one.name}"
            )


def _delete(place: str, name: str, *, yes: bool, as_json: bool) -> None:
    from sake_registry.errors import StateError
    from sake_registry.remote.publishing import delete, plan_deletion
    from sake_registry.wording import count

    deletion = plan_deletion(place, name)
    what = f"{name}, {deletion.number}, and {count(len(deletion.bundles), 'bundle')}"
    if not yes and not (sys.stdin.isatty() and click.confirm(f"delete {what}?", err=True)):
        raise StateError("nothing was deleted: nobody said yes", hint="--yes deletes it")
    delete(deletion)
    if as_json:
        emit_json("pointers/1", {"deleted": deletion.model_dump(mode="json")})
    else:
        say(f"deleted {what}")


def _table(entries: Sequence[Pointer]) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)

    def expiry(entry: Pointer) -> str:
        if entry.expires is None:
            return ""
        return f"{'expired' if entry.expires <= now else 'until'} {entry.expires:%Y-%m-%d %H:%M}"

    rows = [
        (
            entry.name or "",
            str(entry.number or ""),
            (entry.content or "")[:12],
            f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else "",
            expiry(entry),
            "yes" if entry.signature else "no",
            entry.note,
        )
        for entry in entries
    ]
    if rows:
        columns = ("name", "number", "content", "since", "expires", "signature", "note")
        table(columns, rows)
