"""`sake log`: the versions of a fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option, say, warn
from sake_registry.edits.parts import PARTS

if TYPE_CHECKING:
    from sake_registry.history.repository import Repository
    from sake_registry.history.snapshots import EditChange
    from sake_registry.history.versions import CommitChanges, EditLog, Version

EACH = 20
"""So many edits of one commit are shown where no ID is given."""


@click.command("log")
@click.argument("id", required=False, shell_complete=complete_ids)
@click.option("-n", "limit", type=click.IntRange(1), help="Only the newest N.", metavar="N")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    help="Only versions that changed this; may be given several times.",
)
@json_option
@click.pass_obj
def command(
    state: State, id: str | None, limit: int | None, parts: tuple[str, ...], as_json: bool
) -> None:
    """Show the versions of the edit ID, newest first.

    Each with what changed, its authors, its date and its reason. A merge counts once, with the
    authors of what it brought. Without an ID, show the newest commits that changed edits (20, or
    as many as -n says).

    \b
    sake log tolstoy-mother-tongue
    sake log tolstoy-mother-tongue --part fact --json
    """
    from sake_registry.history.repository import open_repository
    from sake_registry.history.versions import log_of, recent

    if id is None and parts:
        raise click.UsageError("--part needs an ID")
    repository = open_repository(state.folder)
    if id is None:
        commits = recent(repository, limit or 20, EACH)
        if as_json:
            listed = [commit.model_dump(mode="json") for commit in commits]
            emit_json("log/1", {"id": None, "commits": listed})
            return
        for commit in commits:
            say(_heading(commit))
            for change in commit.edits:
                say(_brief(change, known=commit.known))
            if commit.more:
                say(f"  … and {commit.more} more")
        return
    (log,) = log_of(repository, [id])
    chosen = [v for v in log.versions if not parts or set(parts) & set(v.parts)]
    shown = chosen[:limit]
    pending = _pending(repository, log)
    if as_json:
        emit_json(
            "log/1",
            {
                "id": id,
                "complete": log.complete,
                "uncommitted": pending.model_dump(mode="json") if pending else None,
                "versions": [version.model_dump(mode="json") for version in shown],
            },
        )
        return
    if pending:
        say(f"not committed  {pending.action}")
        _say(pending.lines)
    for version in shown:
        _show(version)
    if len(shown) < len(chosen):
        say(f"… and {len(chosen) - len(shown)} earlier", err=True)
    if not log.complete:
        warn("this shallow clone hides what was before: `git fetch --unshallow` gets it")


def _show(version: Version) -> None:
    action: str = version.action
    if not version.weighty:
        action += " (metadata only)" if version.parts else " (no change of the fact)"
    claim = f": {version.claim}" if len(version.parts) == len(PARTS) else ""
    say(_heading(version))
    say(f"  {action}{claim}")
    _say(version.lines)
    if version.reason:
        _say([f"why: {version.reason}"])


def _heading(commit: Version | CommitChanges) -> str:
    text = f"{', '.join(commit.authors)}: {commit.subject}"
    return f"{commit.date:%Y-%m-%d}  {commit.short}  {text}"


def _brief(change: EditChange, *, known: bool) -> str:
    action = change.action if known else "unknown"
    what = "; ".join(change.lines) or change.claim
    return f"  {change.id}  {action}: {what}"


def _say(lines: list[str]) -> None:
    for line in lines:
        say(f"    {line}")


def _pending(repository: Repository, log: EditLog) -> EditChange | None:
    """What the working tree's file of an edit has that HEAD has not."""
    from sake_registry.history.snapshots import File, Snapshot, compare, in_working_tree

    newest = log.versions[0].parsed
    files = [File(newest.path, repository.blob_ids(newest.data), newest.data)] if newest else []
    changes = compare(Snapshot(repository, files, None), in_working_tree(repository, [log.id]))
    return changes[0] if changes else None
