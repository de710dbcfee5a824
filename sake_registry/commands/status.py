"""`sake status`: how the registry stands, and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_registry.upkeep.status import Item, Status

SHOWN = 5
"""So many lines of one kind are shown without `--all`; JSON has them all."""


@click.command("status")
@click.option(
    "--pointer", metavar="PATH|URL", help="What production follows; the overrides beside it count."
)
@click.option("--all", "whole", is_flag=True, help=f"Every line, not {SHOWN} of each kind.")
@json_option
@click.pass_obj
def command(state: State, pointer: str | None, whole: bool, as_json: bool) -> None:
    """Sum up the registry: what needs somebody, what to compile.

    Each with the command that mends it: errors, dates and what is disabled, then what is not
    committed or not compiled. Needs neither a model nor a bundle.

    \b
    sake status
    sake status --json | jq '.items[] | select(.kind == "changed").id'
    sake status --pointer https://models.example.com/production.json
    """
    from sake_registry.upkeep.status import TITLES, status

    result = status(state.folder, pointer=pointer)
    if as_json:
        emit_json("status/1", result.model_dump(mode="json"))
        return
    for line in [*_head(result), *_production(result), *_sums(result)]:
        say(line)
    for kind, title in TITLES.items():
        if items := result.of(kind):
            _section(title, items, len(items) if whole else SHOWN)
    if result.clean:
        say(_clean(result))
    for note in result.notes:
        warn(note)


def _head(result: Status) -> list[str]:
    from sake_registry.wording import count

    git = result.git
    if git is None:
        return []
    where = git.branch or "no branch (detached)"
    stands = f"{where} at {git.commit[:10]}" if git.commit else f"nothing committed on {where} yet"
    lines = [f"{stands}, {count(result.edits, 'edit')}, {result.active} active"]
    if git.under_way:
        going = git.under_way
        lines.append(f"a {going.what} is under way: `{going.finish}`, or `{going.give_up}`")
    if git.shallow:
        lines.append("a shallow clone, which hides older commits: `git fetch --unshallow`")
    return lines


def _production(result: Status) -> list[str]:
    production = result.production
    if production is None:
        return []
    content = f" (content {production.content[:12]})" if production.content else ""
    here = f", which is {production.here.name} here" if production.here else ", which is not here"
    note = f": {production.note}" if production.note else ""
    return [f"production is told to serve {production.bundle}{content}{here}{note}"]


def _sums(result: Status) -> Iterator[str]:
    """How many things somebody has to look at, and how many a compile mends."""
    from sake_registry.upkeep.status import MECHANICAL, TITLES

    for what, mechanical in (("needs somebody", False), ("to compile", True)):
        of_kind = []
        for kind, title in TITLES.items():
            items = result.of(kind)
            if items and (kind in MECHANICAL) is mechanical:
                whole = mechanical and any(item.id is None for item in items)
                of_kind.append(f"{title} ({'all' if whole else len(items)})")
        if of_kind:
            yield f"{what}: {', '.join(of_kind)}"


def _section(title: str, items: tuple[Item, ...], most: int) -> None:
    """A kind of thing; a command that mends all of it stands once, at its head."""
    commands = {item.command for item in items}
    one = commands.pop() if len(commands) == 1 else None
    say("")
    say(title + (f": `{one}`" if one else ""))
    width = max(len(item.id or "") for item in items[:most])
    for item in items[:most]:
        named = f"{item.id or '':{width}}  " if width else ""
        what = f"{named}{item.what}"
        say(f"  {what}" + ("" if one else f": `{item.command}`"))
    if len(items) > most:
        say(f"  … and {len(items) - most} more: `sake status --all`")


def _clean(result: Status) -> str:
    from sake_registry.wording import count

    names = [state.path.name for state in result.bundles]
    current = {0: "", 1: f", bundle {names[0]} is current" if names else ""}.get(
        len(names), f", bundles {', '.join(names)} are current"
    )
    return f"clean: {count(result.edits, 'edit')}{current}"
