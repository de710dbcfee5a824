"""`sake edit`: an edit's file in the user's editor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, report_error, say, show_findings
from sake_registry.errors import EditFileError, SetupError

if TYPE_CHECKING:
    from sake_registry.authoring.editing import Draft
    from sake_registry.edits.registry import Registry


@click.command("edit")
@click.argument("id", shell_complete=complete_ids)
@click.option("--anew", is_flag=True, help="Throw away what was kept of an earlier time.")
@click.pass_obj
def command(state: State, id: str, anew: bool) -> None:
    """Open the file of the edit ID in $VISUAL or $EDITOR; it is checked when it is saved.

    A copy is opened. If it has errors, the file stays as it was, and the copy is kept: to be opened
    again at once, or by the next `sake edit ID`. What compiling would do is shown if you like.

    \b
    sake edit darrieux-tongue
    sake edit darrieux-tongue --anew
    EDITOR="code --wait" sake edit darrieux-tongue
    """
    from sake_registry.authoring.editing import draft_of
    from sake_registry.edits.changes import differences

    draft = draft_of(state.registry(), id, anew=anew)
    if draft.resumed:
        say(f"this is what was kept of an earlier time, in {draft.copy}", err=True)
    registry = _edited(draft)
    if registry is None:
        say("nothing was changed")
        return
    (edit,) = registry.select([id])
    before = next((edit for edit in draft.registry.edits if edit.id == id), None)
    say(f"wrote {draft.file}")
    for difference in differences(before, edit) if before else ():
        say(f"  {difference.text}")
    show_findings([finding for finding in registry.findings if finding.path.stem == id])
    if not sys.stdin.isatty() or registry.errors or not edit.active:
        say("next: `sake plan`, then commit the file", err=True)
    elif click.confirm("show what compiling would do?", default=True, err=True):
        from sake_registry.commands.plan import run

        run(registry)


def _edited(draft: Draft) -> Registry | None:
    """The registry with what was typed in it; None where nothing was."""
    from sake_registry.authoring.editing import open_editor, put_back

    while True:
        try:
            open_editor(draft.copy)
        except SetupError:
            if not draft.changed:
                draft.discard()
            raise
        if not draft.changed:
            draft.discard()
            return None
        try:
            return put_back(draft)
        except EditFileError as error:
            report_error(error)
            again = sys.stdin.isatty() and click.confirm("open it again?", default=True, err=True)
            if not again:
                say(f"it is kept in {draft.copy}; `sake edit {draft.id}` opens it again", err=True)
                raise click.exceptions.Exit(error.exit_code) from error
