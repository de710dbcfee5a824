"""`sake diff`: what changed, in the registry's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.errors import InputError
    from sake_registry.history.repository import Range, Repository
    from sake_registry.history.snapshots import EditChange

FEW = 5
"""So many texts that came or went are shown without --full."""
_SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}


@click.command("diff")
@click.argument("what", nargs=-1, metavar="[RANGE] [IDS]...")
@click.option("--full", is_flag=True, help="Every text that came or went, however many.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text",
    help="markdown is for a pull request's comment.",
)  # fmt: skip
@json_option
@click.pass_obj
def command(state: State, what: tuple[str, ...], full: bool, form: str, as_json: bool) -> None:
    """Say what changed of each edit, not of which line of a file.

    RANGE is `A..B`, `A...B` (since B left A), or one revision, which is compared with the working
    tree; HEAD if none is given. With IDS, only these edits.

    \b
    sake diff
    sake diff main...HEAD --format markdown
    """
    from sake_registry.errors import InputError
    from sake_registry.history.repository import open_repository
    from sake_registry.history.snapshots import changed_in, settings_changed_in

    repository = open_repository(state.folder)
    chosen, ids = _understood(repository, what)
    try:
        changes = changed_in(repository, chosen, ids or None)
    except InputError as error:
        raise _two_revisions(repository, what) or error from None
    settings = [] if ids else settings_changed_in(repository, chosen)
    if as_json or form == "json":
        emit_json(
            "diff/1",
            {
                "range": chosen.text,
                "base": chosen.base,
                "head": chosen.head,
                "edits": [change.model_dump(mode="json") for change in changes],
                "settings": settings,
            },
        )
        return
    lines = _markdown if form == "markdown" else _text
    for line in lines(chosen, changes, settings, full):
        say(line)


def _understood(repository: Repository, what: Sequence[str]) -> tuple[Range, tuple[str, ...]]:
    """The range and the ids of an argument list; the range may be left out.

    Raises:
        InputError: the first is neither, or both.
        StateError: nothing is committed yet.
    """
    from sake_registry.errors import InputError
    from sake_registry.history.versions import nothing_committed
    from sake_registry.wording import nearest

    if repository.head is None:
        raise nothing_committed(repository)
    if not what:
        return repository.range("HEAD"), ()
    first, *rest = what
    if ".." in first:
        return repository.range(first), tuple(rest)
    try:
        chosen = repository.range(first)
    except InputError as error:
        known = _ids(repository)
        if first in known:
            return repository.range("HEAD"), tuple(what)
        near = nearest(first, known)
        hint = f"did you mean '{near}'?" if near else error.hint
        message = f"'{first}' is no commit in {repository.root}, and no edit"
        raise InputError(message, hint=hint) from error
    if first in _ids(repository):
        raise InputError(
            f"'{first}' is a revision and an edit",
            hint=f"`sake diff HEAD {first}` for the edit, `sake diff {chosen.base[:10]}` for the "
            "revision",
        )
    return chosen, tuple(rest)


def _two_revisions(repository: Repository, what: Sequence[str]) -> InputError | None:
    """What to say of `A B` where both are commits and no ids; None of anything else."""
    from sake_registry.errors import InputError

    if len(what) != 2 or ".." in what[0]:
        return None
    first, second = what
    try:
        repository.range(f"{first}..{second}")
    except InputError:
        return None
    return InputError(f"'{second}' is a revision, and no edit", hint=f"write {first}..{second}")


def _ids(repository: Repository) -> set[str]:
    """The ids that a user may mean: of the working tree, and of HEAD."""
    from pathlib import PurePosixPath

    from sake_registry.edits.inventory import working_tree

    here = working_tree(repository.root, repository.edits).files
    held = repository.edit_files(repository.head) if repository.head else {}
    return {PurePosixPath(path).stem for path in (*here, *held)}


def _sides(chosen: Range) -> str:
    return f"{chosen.base[:10]} → {chosen.head[:10] if chosen.head else 'the working tree'}"


def _text(
    chosen: Range, changes: Sequence[EditChange], settings: Sequence[str], full: bool
) -> Iterator[str]:
    from sake_registry.wording import count

    number = count(len(changes), "edit") if changes else "no edit"
    yield f"{number} changed, {_sides(chosen)}"
    for change in changes:
        yield f"{_SIGNS[change.action]} {change.id}  {change.claim}"
        for line, texts in _details(change, full):
            yield f"    {line}"
            for sign, text in texts:
                yield f"      {sign} {text}"
    if settings:
        yield f"sake.toml: {'; '.join(settings)}"


def _markdown(
    chosen: Range, changes: Sequence[EditChange], settings: Sequence[str], full: bool
) -> Iterator[str]:
    from sake_registry.pages.text import plain
    from sake_registry.wording import count

    number = count(len(changes), "edit") if changes else "No edit"
    yield f"**{number} changed**, {_sides(chosen)}"
    yield ""
    for change in changes:
        yield f"- {change.action} **{plain(change.id)}**: {plain(change.claim)}"
        for line, texts in _details(change, full):
            yield f"  - {plain(line)}"
            for sign, text in texts:
                yield f"    - {'added' if sign == '+' else 'removed'}: {plain(text)}"
    if settings:
        yield f"- **sake.toml**: {plain('; '.join(settings))}"


def _details(change: EditChange, full: bool) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each line of a change, with the texts that came or went where it only counts them."""
    texts = {}
    for difference in change.differences:
        if bool(difference.added) != bool(difference.removed):
            signed = [("-", text) for text in difference.removed]
            signed += [("+", text) for text in difference.added]
            texts[difference.text] = signed if full or len(signed) <= FEW else []
    for line in change.lines:
        yield line, texts.get(line, [])
