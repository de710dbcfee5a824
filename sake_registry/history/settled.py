"""Whether the state of a repository allows that files of edits are written and committed.

Nothing that is not committed may be lost, and nothing committed in the middle of a merge or
rebase. Each refusal names the commands that end the state it refuses.
"""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sake_registry.edits.inventory import find_files
from sake_registry.errors import StateError
from sake_registry.history.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sake_registry.edits.registry import Registry
    from sake_registry.git import Entry


def open_settled(registry: Registry) -> tuple[Repository, str]:
    """The repository and the commit that is checked out, if edits can be committed to it.

    Raises:
        StateError: it is bare, or has no commit yet, or an operation is under way.
        SetupError: there is no git, or no repository.
    """
    repository = Repository(registry.root, registry.settings.edits, registry.settings.checks)
    head = repository.head
    if head is None:
        raise StateError(
            f"there is no commit yet on {repository.branch() or 'this branch'}",
            hint=f"{git_command(repository)} add --all && {git_command(repository)} commit",
        )
    if under_way := repository.under_way():
        name, finish, give_up = under_way
        raise StateError(
            f"a {name} is under way here",
            hint=f"finish it (`{finish}`) or give it up (`{give_up}`)",
        )
    return repository, head


def check_settled(repository: Repository, head: str, paths: Mapping[str, str | None]) -> None:
    """Make sure that the files of edits are as they were committed: none changed, staged, new, a
    link, or of a submodule. `paths` is where each edit lies or lay last, by id.

    Raises:
        StateError: one is not.
    """
    held = _by_id(repository.edit_files(head), paths)
    index = repository.index()
    staged = _by_id(index, paths)
    present: dict[str, set[str]] = {id_: set() for id_ in paths}
    for file in find_files(repository.root / repository.edits, whole=True):
        if file.stem in present:
            present[file.stem].add(file.relative_to(repository.root).as_posix())
    submodules = [path for path, entry in index.items() if entry.mode == "160000"]
    for id_, last in paths.items():
        for path in sorted({*held[id_], *present[id_], *([last] if last else [])}):
            _check_plain(repository, path, submodules)
        if len(held[id_]) > 1:
            first, second, *_ = sorted(held[id_])
            message = f"the id '{id_}' is taken by two files: {first} and {second}"
            raise StateError(message, hint="an id is unique over all folders: rename one of them")
        differing = {p for p in held[id_] if held[id_][p] != staged[id_].get(p)}
        differing |= staged[id_].keys() - held[id_].keys()
        if differing:
            raise _unsettled(repository, "staged and not committed", differing)
        if not held[id_] and last is None and present[id_]:
            raise _never_committed(repository, sorted(present[id_]))
        if new := present[id_] - held[id_].keys():
            raise _never_committed(repository, sorted(new))
        for path, entry in held[id_].items():
            if path not in present[id_] or not repository.unchanged(entry):
                raise _unsettled(repository, "changed and not committed", [path])


def _by_id(files: Mapping[str, Entry], ids: Iterable[str]) -> dict[str, dict[str, Entry]]:
    entries: dict[str, dict[str, Entry]] = {id_: {} for id_ in ids}
    for path, entry in files.items():
        stem = PurePosixPath(path).stem
        if stem in entries and entry.mode != "160000":
            entries[stem][path] = entry
    return entries


def _check_plain(repository: Repository, path: str, submodules: Sequence[str]) -> None:
    """Make sure that a path is a file of this repository, and not reached through a link."""
    for submodule in submodules:
        if path.startswith(f"{submodule}/"):
            raise StateError(
                f"{path} belongs to the submodule {submodule}",
                hint=f"commit there: cd {quoted(repository.root / submodule)}",
            )
    for part in (PurePosixPath(path), *PurePosixPath(path).parents):
        if (repository.root / part).is_symlink() and part != PurePosixPath("."):
            raise StateError(
                f"{path}: {part} is a link, and git keeps the link, not what is behind it",
                hint=f"work where it leads to: {(repository.root / part).resolve()}",
            )


def _unsettled(repository: Repository, what: str, paths: Iterable[str]) -> StateError:
    given = " ".join(quoted(path) for path in sorted(paths))
    git = git_command(repository)
    return StateError(
        f"{', '.join(sorted(paths))}: {what}",
        hint=f"commit it first: `{git} commit -- {given}`; or throw the change away: "
        f"`{git} restore --staged --worktree -- {given}`",
    )


def _never_committed(repository: Repository, paths: Sequence[str]) -> StateError:
    given = " ".join(quoted(path) for path in paths)
    git = git_command(repository)
    return StateError(
        f"{', '.join(paths)}: never committed, so there is nothing to go back to",
        hint=f"remove it: `rm {given}`; or commit it: `{git} add {given} && {git} commit`",
    )


def git_command(repository: Repository) -> str:
    """How git is called from where the user is: paths are relative to the registry's root."""
    return "git" if Path.cwd() == repository.root else f"git -C {quoted(repository.root)}"


def quoted(path: Path | str) -> str:
    return shlex.quote(str(path))
