"""`sake conflicts`: edits that get in each other's way."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    say,
    show_findings,
    styled,
    warn,
    watching,
)
from sake_registry.errors import ModelNotFoundError, installing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sake_registry.edits.conflicts import Conflict
    from sake_registry.edits.registry import Registry

SHOWN = 3
"""Most prompts that are shown of one kind and one pair of edits."""
COLOURS = {"error": "red", "warning": "yellow", "information": None}


@click.command("conflicts")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@json_option
@click.pass_obj
def command(state: State, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Find edits that conflict; exit 1 if two contradict each other.

    What their files say is compared, and the router is asked which edit would answer each prompt:
    that takes the prompt embedder, but no language model unless its own states are compared, and
    nothing need be compiled. With ids, only what these edits take part in. A file that cannot be
    seen, like one behind a link, makes it exit 1 as well.

    \b
    sake conflicts
    sake conflicts tolstoy-mother-tongue --json
    """
    registry = state.registry()
    registry.select(ids)
    unread = len({finding.path for finding in registry.errors if _unreadable(finding.code)})
    conflicts, source = _find(registry, quiet=as_json)
    if ids:
        conflicts = [conflict for conflict in conflicts if not set(ids).isdisjoint(conflict.ids)]
    errors = sum(conflict.severity == "error" for conflict in conflicts)
    if as_json:
        emit_json(
            "conflicts/1",
            {
                "edits": len(registry.active),
                "unread": unread,
                "router": source,
                "errors": errors,
                "conflicts": [conflict.model_dump(mode="json") for conflict in conflicts],
            },
        )
    else:
        _show(conflicts)
        say(_summary(len(registry.active), conflicts))
    if unread:
        warn(f"{unread} of {registry.files} files have errors and were not looked at: `sake check`")
    show_findings(registry.unseen)
    if errors or registry.unseen:
        raise click.exceptions.Exit(1)


def _unreadable(code: str) -> bool:
    """Whether a finding is of one file: those about several say what is found here."""
    return code < "SAKE200" or code == "SAKE201"


def _find(registry: Registry, *, quiet: bool) -> tuple[list[Conflict], str | None]:
    """The conflicts, and what the router was made of; None where there is no embedder."""
    try:
        from sake_registry.asking.caught import all_conflicts
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sake_registry"):
            raise
        return _of_texts(registry, f"{error.name} is not installed", installing()), None
    try:
        with watching(quiet=quiet) as progress:
            conflicts, bundle = all_conflicts(registry, progress)
    except ModelNotFoundError as error:
        return _of_texts(registry, error.message, error.hint or "see [router] embedder"), None
    return conflicts, str(bundle) if bundle else "edit files"


def _of_texts(registry: Registry, why: str, hint: str) -> list[Conflict]:
    """The conflicts that the texts alone show."""
    from sake_registry.edits.conflicts import find_conflicts

    warn(f"{why}, so only the texts were compared; to ask the router as well: {hint}")
    return find_conflicts(registry.edits, levels=registry.settings.checks)


def _show(conflicts: Sequence[Conflict]) -> None:
    from sake_registry.edits.conflicts import HEADINGS
    from sake_registry.wording import count

    for (kind, severity), group in groupby(conflicts, key=lambda c: (c.kind, c.severity)):
        of_kind = list(group)
        title = f"{severity}: {HEADINGS[kind]} ({len(of_kind)})"
        say(styled(title, fg=COLOURS[severity], bold=True))
        for _, of_pair in groupby(of_kind, key=lambda conflict: conflict.ids):
            pair = list(of_pair)
            for conflict in pair[:SHOWN]:
                for line in _lines(conflict):
                    say(line)
            if len(pair) > SHOWN:
                say(f"  … and {count(len(pair) - SHOWN, 'more prompt')} of these two")
        say("")


def _lines(conflict: Conflict) -> Iterable[str]:
    yield f"  {conflict.prompt}"
    for side in conflict.sides:
        yield f"    {side.where}: {side.says}"
    message = conflict.message
    if conflict.distance is not None and conflict.threshold is not None:
        message += f" ({conflict.distance:.2f} ≤ {conflict.threshold:.2f})"
    yield f"    {message}"
    yield f"    {conflict.hint}"


def _summary(edits: int, conflicts: Sequence[Conflict]) -> str:
    from sake_registry.wording import count

    numbers = {s: sum(c.severity == s for c in conflicts) for s in COLOURS}
    parts = [count(numbers["error"], "error"), count(numbers["warning"], "warning")]
    if numbers["information"]:
        parts.append(f"{numbers['information']} for information")
    return f"{count(edits, 'active edit')}: {', '.join(parts)}"
