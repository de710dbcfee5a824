"""What commit something was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_registry import git
from sake_registry.errors import SakeError
from sake_registry.history.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def provenance(root: Path, paths: Sequence[str]) -> dict[str, str | bool | None]:
    """The commit checked out at `root`, and whether `paths` below it differ from it.

    Both are None outside a repository, without a commit, or without git: provenance is a note
    beside the keys, and never keeps a bundle from being made.
    """
    try:
        repository = Repository(root, ".")
        commit = repository.head
        if commit is None:
            return {"commit": None, "dirty": None}
        dirty = any(_differs(repository, commit, path) for path in paths)
    except SakeError:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def _differs(repository: Repository, commit: str, path: str) -> bool:
    held = repository.files(commit, path)
    if repository.index(path).keys() != held.keys():
        return True
    if any(entry.regular and not repository.unchanged(entry) for entry in held.values()):
        return True
    others = git.read(
        repository.root, "ls-files", "--others", "--exclude-standard", "-z", "--", path
    )
    return bool(others)
