"""Who reviewed the edits, as git's commits say it.

Guarantees:
- A reviewer is named by a trailer (`Reviewed-by:`, `Acked-by:`, `Approved-by:`) of the commit that
  last changed the edit's file, or of a merge that brought that commit here; nothing is guessed.
- Nobody is said to have reviewed what the working tree alone has, or what lies behind the end of a
  shallow clone.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sake_registry import git
from sake_registry.errors import SakeError
from sake_registry.history.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

TRAILERS = ("Reviewed-by", "Acked-by", "Approved-by")
MOST, LONGEST = 8, 100
"""Reviewers of an edit that are told, and characters of a name: a message may have any number."""


def reviewers(root: Path, edits: str, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The names of those who reviewed these edits; those whom no commit names are left out.

    Addresses are left out as well: what serves the edits shows the names to its clients. Empty
    outside a repository or without git: this is a note, and never keeps a bundle from being made.

    Args:
        root: the registry's folder.
        edits: its folder of edits, as the settings name it.
    """
    try:
        repository = Repository(root, edits)
        return _reviewers(repository, ids) if repository.head else {}
    except SakeError:
        return {}


def _reviewers(repository: Repository, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    assert repository.head is not None
    files = repository.edit_files(repository.head)
    paths = [path for path in files if PurePosixPath(path).stem in ids]
    commits = origins(repository, repository.head, paths)
    said = _trailers(repository, {commit for found in commits.values() for commit in found})
    named = {}
    for path in paths:
        names = dict.fromkeys(n for commit in reversed(commits[path]) for n in said[commit])
        if names and repository.unchanged(files[path]):
            named[PurePosixPath(path).stem] = tuple(names)[:MOST]
    return named


def origins(repository: Repository, head: str, paths: Iterable[str]) -> Mapping[str, list[str]]:
    """Of each file of a commit, the merges that brought its content there, newest first, and the
    commit that made it, where it is known.

    As `git log --show-pulls` tells it of one file: of a merge's parents, the first that has the
    file as the merge has it is followed.
    """
    out = git.read(
        repository.root, "rev-list", "--topo-order", "--full-history", "--parents", head,
        "--", repository.edits,
    )  # fmt: skip
    line = [row.split(" ") for row in out.decode().splitlines()]
    changed: list[dict[str, set[str]]] = []
    """By the number of a parent: the files that a commit has otherwise than it."""
    for number in range(1, max(map(len, line), default=1)):
        pairs = [f"{row[0]} {row[number]}" for row in line if len(row) > number]
        changed.append({})
        for step in repository.steps(pairs):
            changed[-1].setdefault(step.commit, set()).add(step.path)
    found: dict[str, list[str]] = {path: [] for path in paths}
    hidden = repository.boundary()
    waiting = {line[0][0]: set(found)} if line else {}
    for commit, *parents in line:  # children before their parents
        here = waiting.pop(commit, set())
        for number, parent in enumerate(parents):
            other = here & changed[number].get(commit, set())
            here -= other
            if number:
                for path in here:
                    found[path].append(commit)
            if here:
                waiting[parent] = here | waiting[parent] if parent in waiting else here
            here = other
        if commit not in hidden:
            for path in here:
                found[path].append(commit)
    return found


def _trailers(repository: Repository, commits: Collection[str]) -> dict[str, list[str]]:
    """The names in the trailers of commits."""
    if not commits:
        return {}
    keys = ",".join(f"key={name}" for name in TRAILERS)
    out = git.read(
        repository.root, "log", "--no-walk=unsorted", "--stdin", "-z", "--encoding=UTF-8",
        f"--format=%H%x00%(trailers:{keys},valueonly,unfold,separator=%x0A)",
        stdin="".join(f"{commit}\n" for commit in commits).encode(),
    )  # fmt: skip
    fields = out.decode(errors="replace").split("\0")
    said = zip(fields[::2], fields[1::2], strict=False)
    return {commit: [*filter(None, map(_name, values.split("\n")))] for commit, values in said}


def _name(value: str) -> str:
    """The name in `Name <address>`; the address where there is no name."""
    name, _, address = " ".join(value.split()).partition("<")
    return (name.strip() or address.partition(">")[0])[:LONGEST]
