"""The versions of an edit: what changed of the fact, who changed it, when, why, in which commit.

A version is one first-parent commit that changed the edit's file: a merge counts once, as what it
brought, with the authors of what was merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.edits.changes import PARTS
from sake_registry.edits.keys import effect
from sake_registry.errors import InputError, StateError
from sake_registry.history import git
from sake_registry.history.snapshots import EditChange, Parsed
from sake_registry.settings import FILE_NAME
from sake_registry.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sake_registry.edits.changes import Part
    from sake_registry.edits.schema import Edit
    from sake_registry.history.repository import Commit, Repository, Touch

REMOVED = "removed"


@dataclass(frozen=True)
class Version:
    """One version of an edit, and the one before it.

    `authors` are those who wrote what a merge brought; of any other commit, its own author.
    `known` is False where a shallow clone hides what was before: what then looks as if it were
    added may be older.
    """

    commit: Commit
    change: EditChange
    authors: tuple[str, ...]
    known: bool = True

    @property
    def parsed(self) -> Parsed | None:
        """The file in this version; None where the commit removed it."""
        return self.change.after

    @property
    def edit(self) -> Edit | None:
        return self.change.after.edit if self.change.after else None

    @property
    def effect(self) -> str | None:
        """What of it can change an answer, as a hash; `removed`; None where it has errors."""
        if self.parsed is None:
            return REMOVED
        return effect(self.parsed.edit) if self.parsed.edit else None

    @property
    def action(self) -> str:
        """`added`, `removed`, `changed`, `moved`, or `unknown` behind a shallow clone's end."""
        return self.change.action if self.known else "unknown"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What changed, in the order of `PARTS`; all of it where the edit came or went; nothing
        where only comments, layout or the place of the file did."""
        if self.action in ("added", "removed", "unknown"):
            return PARTS
        found = {difference.part for difference in self.change.differences}
        return tuple(part for part in PARTS if part in found)

    @property
    def weighty(self) -> bool:
        """Whether more than metadata, comments or layout changed. A file with errors may hide
        anything."""
        sides = (self.change.before, self.change.after)
        unread = any(side is not None and side.said is None for side in sides)
        return unread or bool(set(self.parts) - {"metadata"})

    def as_json(self) -> dict[str, Any]:
        return {
            **self.commit.as_json(),
            "authors": list(self.authors),
            "parts": list(self.parts),
            **{k: v for k, v in self.change.as_json().items() if k != "id"},
            "action": self.action,
        }


@dataclass(frozen=True)
class EditLog:
    """The versions of one edit, newest first.

    `complete` is False where a shallow clone hides what was before the last of them.
    """

    id: str
    versions: tuple[Version, ...]
    complete: bool


@dataclass(frozen=True)
class CommitChanges:
    """What one first-parent commit did to the registry.

    `changes` are its first edits by id, `more` counts the others. `known` is False where a
    shallow clone hides what was before: then everything looks as if it were added.
    """

    commit: Commit
    authors: tuple[str, ...]
    changes: tuple[EditChange, ...]
    more: int
    known: bool

    def as_json(self) -> dict[str, Any]:
        return {
            **self.commit.as_json(),
            "authors": list(self.authors),
            "known": self.known,
            "edits": [change.as_json() for change in self.changes],
            "more": self.more,
        }


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
    found = repository.recent(limit, repository.head)
    shown = {id_: dict(list(touched.items())[:each]) for id_, touched in found}
    sides = [side for touched in shown.values() for side in _flat(touched)]
    blobs = repository.read(blob for _, blob in filter(None, sides))
    commits = repository.commits(list(shown))
    boundary = repository.boundary() if repository.shallow else set()
    merged = {
        id_: _merged(repository, commits[id_], *{path for path, _ in filter(None, _flat(touched))})
        for id_, touched in shown.items()
        if len(commits[id_].parents) > 1
    }
    commits |= repository.commits(list({id_ for ids in merged.values() for id_ in ids}))
    done = []
    for id_, touched in found:
        changes = []
        for edit, touch in shown[id_].items():
            before, after = (
                Parsed(s[0], blobs[s[1]], repository.severities) if s else None for s in touch
            )
            changes.append(EditChange(edit, before, after))
        authors = _names([commits[i] for i in merged.get(id_, ())] or [commits[id_]])
        more = len(touched) - len(changes)
        done.append(CommitChanges(commits[id_], authors, tuple(changes), more, id_ not in boundary))
    return done


def nothing_committed(repository: Repository) -> StateError:
    """Why there is no history to look at on a branch that has no commit."""
    return StateError(
        f"nothing is committed in {repository.root} yet",
        hint=f"git add {FILE_NAME} '{repository.edits}' && git commit",
    )


def _flat(touched: Mapping[str, Touch]) -> Iterator[tuple[str, str] | None]:
    for touch in touched.values():
        yield from touch


def _names(wrote: Iterable[Commit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(commit.author for commit in wrote))


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
    changes = [change for found in histories.values() for change in found.changes]
    commits = repository.commits(list({change.commit for change in changes}))
    blobs = repository.read(change.blob for change in changes if change.blob)
    merged = {
        (change.commit, change.path): _merged(repository, commits[change.commit], change.path)
        for change in changes
        if len(commits[change.commit].parents) > 1
    }
    commits |= repository.commits(list({id_ for ids_ in merged.values() for id_ in ids_}))
    logs = []
    for id_ in ids:
        found = histories[id_]
        versions: list[Version] = []
        before: Parsed | None = None
        for number, change in enumerate(reversed(found.changes)):
            after = (
                Parsed(change.path, blobs[change.blob], repository.severities)
                if change.blob
                else None
            )
            commit = commits[change.commit]
            wrote = [commits[i] for i in merged.get((change.commit, change.path), ())] or [commit]
            versions.append(
                Version(
                    commit,
                    EditChange(id_, before, after),
                    _names(wrote),
                    known=found.complete or number > 0,
                )
            )
            before = after
        logs.append(EditLog(id_, tuple(reversed(versions)), found.complete))
    return logs


def _merged(repository: Repository, merge: Commit, *paths: str) -> list[str]:
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
