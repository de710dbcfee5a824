"""The versions of an edit: what changed of the fact, who changed it, when, why, in which commit.

A version is one first-parent commit that changed the edit's file: a merge counts once, as what it
brought, with the authors of what was merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field, computed_field

from sake_registry import git
from sake_registry.edits.keys import effect
from sake_registry.edits.parts import PARTS, Part
from sake_registry.errors import InputError, StateError
from sake_registry.history.repository import Commit
from sake_registry.history.snapshots import Action, EditChange, Parsed
from sake_registry.settings import FILE_NAME
from sake_registry.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.schema import Edit
    from sake_registry.history.repository import Repository


class Version(Commit, EditChange):
    """One version of an edit: the commit that made it, and what changed from the one before.

    `authors` are those of the commits that a merge brought; of any other commit, its own.
    `known` is False where a shallow clone hides what was before: what then looks as if it were
    added may be older.
    """

    id: str = Field(exclude=True)
    authors: tuple[str, ...]
    known: bool = Field(exclude=True)

    @property
    def parsed(self) -> Parsed | None:
        """The file in this version; None where the commit removed it."""
        return self.after

    @property
    def edit(self) -> Edit | None:
        return self.after.edit if self.after else None

    @property
    def effect(self) -> str | None:
        """What of it can change an answer, as a hash; `removed`; None where it has errors."""
        if self.parsed is None:
            return "removed"
        return effect(self.parsed.edit) if self.parsed.edit else None

    @computed_field
    @cached_property
    def action(self) -> Action:
        """`added`, `removed`, `changed`, `moved`, or `unknown` behind a shallow clone's end."""
        return super().action if self.known else "unknown"

    @computed_field
    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What changed, in the order of `PARTS`; all of it where the edit came or went; nothing
        where only comments, layout or the place of the file did."""
        if self.action in ("added", "removed", "unknown"):
            return PARTS
        changed = {difference.part for difference in self.differences}
        return tuple(part for part in PARTS if part in changed)

    @property
    def weighty(self) -> bool:
        """Whether more than metadata, comments or layout changed. A file with errors may hide
        anything."""
        sides = (self.before, self.after)
        unread = any(side is not None and side.lenient is None for side in sides)
        return unread or bool(set(self.parts) - {"metadata"})


@dataclass(frozen=True)
class EditLog:
    """The versions of one edit, newest first.

    `complete` is False where a shallow clone hides what was before the last of them.
    """

    id: str
    versions: tuple[Version, ...]
    complete: bool


class CommitChanges(Commit):
    """A first-parent commit, and what it did to the registry.

    `edits` are the changes of its first edits by id, `more` counts the others. `known` is False
    where a shallow clone hides what was before: then everything looks as if it were added.
    """

    authors: tuple[str, ...]
    known: bool
    edits: tuple[EditChange, ...]
    more: int


def recent(repository: Repository, limit: int, each: int) -> list[CommitChanges]:
    """The newest commits that changed edits, from HEAD back.

    Args:
        limit: how many commits.
        each: how many edits of a commit are read.

    Raises:
        StateError: nothing is committed yet, or a partial clone lacks a version.
    """
    if repository.head is None:
        raise nothing_committed(repository)
    touches = repository.recent(limit, repository.head)
    shown = {id_: dict(list(touched.items())[:each]) for id_, touched in touches}
    sides = {
        id_: [side for touch in touched.values() for side in touch if side]
        for id_, touched in shown.items()
    }
    blobs = repository.read(blob for pairs in sides.values() for _, blob in pairs)
    commits = repository.commits(list(shown))
    boundary = repository.boundary()
    made = [(commits[id_], {path for path, _ in pairs}) for id_, pairs in sides.items()]
    result = []
    for (id_, touched), names in zip(touches, _authors(repository, made), strict=True):
        changes = []
        for edit, touch in shown[id_].items():
            before, after = (
                Parsed(s[0], blobs[s[1]], repository.severities) if s else None for s in touch
            )
            changes.append(EditChange(id=edit, before=before, after=after))
        result.append(CommitChanges(
            **dict(commits[id_]), authors=names, known=id_ not in boundary, edits=tuple(changes),
            more=len(touched) - len(changes),
        ))  # fmt: skip
    return result


def nothing_committed(repository: Repository) -> StateError:
    """Why there is no history to look at on a branch that has no commit."""
    return StateError(
        f"nothing is committed in {repository.root} yet",
        hint=f"git add {FILE_NAME} '{repository.edits}' && git commit",
    )


def log_of(repository: Repository, ids: Sequence[str], start: str | None = None) -> list[EditLog]:
    """The logs of edits, from a commit (HEAD) back.

    Raises:
        InputError: an id that no commit knows.
        StateError: a partial clone lacks a version.
    """
    start = start or repository.head
    histories = repository.history(ids, start) if start else {}
    for id_ in ids:
        if id_ not in histories or not histories[id_].changes:
            raise _unknown(repository, id_, start)
    changes = [change for history in histories.values() for change in history.changes]
    commits = repository.commits(list({change.commit for change in changes}))
    blobs = repository.read(change.blob for change in changes if change.blob)
    authors = _authors(repository, [(commits[c.commit], {c.path}) for c in changes])
    names = {(c.commit, c.path): n for c, n in zip(changes, authors, strict=True)}
    logs = []
    for id_ in ids:
        history = histories[id_]
        versions: list[Version] = []
        before: Parsed | None = None
        for number, change in enumerate(reversed(history.changes)):
            after = (
                Parsed(change.path, blobs[change.blob], repository.severities)
                if change.blob
                else None
            )
            version = Version(
                **dict(commits[change.commit]),
                id=id_,
                before=before,
                after=after,
                authors=names[change.commit, change.path],
                known=history.complete or number > 0,
            )
            versions.append(version)
            before = after
        logs.append(EditLog(id_, tuple(reversed(versions)), history.complete))
    return logs


def _authors(
    repository: Repository, made: Sequence[tuple[Commit, set[str]]]
) -> list[tuple[str, ...]]:
    """The authors of what each commit did to some paths: of a merge, those of what it brought."""
    brought = [
        _merged(repository, *commit) if len(commit[0].parents) > 1 else [] for commit in made
    ]
    commits = repository.commits(list({id_ for ids in brought for id_ in ids}))
    return [
        tuple(dict.fromkeys(commits[id_].author for id_ in ids)) or (commit.author,)
        for (commit, _), ids in zip(made, brought, strict=True)
    ]


def _merged(repository: Repository, merge: Commit, paths: set[str]) -> list[str]:
    """The commits that changed files in the branches that a merge brought, oldest first."""
    first, *others = merge.parents
    out = git.read(
        repository.root, "rev-list", "--no-merges", "--reverse", *others, f"^{first}", "--", *paths
    )
    return out.decode().split()


def _unknown(repository: Repository, id_: str, start: str | None) -> InputError:
    from sake_registry.history.snapshots import at_commit, in_working_tree

    if id_ in in_working_tree(repository).files:
        return InputError(
            f"'{id_}' was never committed: it has no history",
            hint=f"git add '{repository.edits}' && git commit",
        )
    known = at_commit(repository, start).files if start else {}
    near = nearest(id_, known)
    hint = f"did you mean '{near}'?" if near else "`sake list` shows all ids"
    if repository.shallow:
        hint += "; this is a shallow clone: `git fetch --unshallow` gets the rest"
    return InputError(f"no commit knows an edit '{id_}'", hint=hint)
