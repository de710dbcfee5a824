"""What a registry holds: its edit files, and what of it cannot be seen.

There is one inventory for all verbs. It follows no link and enters no other repository: git keeps
neither what is behind a link nor what is in a submodule, so a compile would use what no review
sees. What it passes over it names, and no gate passes on it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".yaml", ".yml")


class Unseen(NamedTuple):
    """A part of a registry that cannot be seen: its path, why, and what mends that."""

    path: str
    why: str
    hint: str

    def finding(self, path: Path | None = None) -> Diagnostic:
        """This as a finding; about `path`, if it is to be shown in another way."""
        return Diagnostic("SAKE001", self.why, path or Path(self.path), hint=self.hint)


@dataclass(frozen=True)
class Inventory:
    """The edit files of one state of a registry, in order, and what of it cannot be seen.

    All paths are relative to the registry's root, with `/` between their parts.
    """

    files: tuple[str, ...]
    unseen: tuple[Unseen, ...]


def link(path: str) -> Unseen:
    return Unseen(
        path, "a link: git keeps where it leads to, and not what is there",
        "put the files themselves here",
    )  # fmt: skip


def foreign(path: str) -> Unseen:
    return Unseen(
        path, "a submodule or another repository: this one does not keep what is in it",
        "put the files themselves here, without their `.git`",
    )  # fmt: skip


def is_edit_file(path: str, edits: str) -> bool:
    """Whether a path of the registry is that of an edit file; a hidden file is not."""
    folder = "" if edits in ("", ".") else f"{edits}/"
    hidden = "/." in f"/{path.removeprefix(folder)}"
    return path.startswith(folder) and path.lower().endswith(SUFFIXES) and not hidden


def on_disk(root: Path, edits: str) -> Inventory:
    """The inventory of the working tree, as far as the disk alone tells."""
    files: list[str] = []
    unseen: list[Unseen] = []
    edits = PurePosixPath(edits).as_posix()
    part = PurePosixPath()
    for name in PurePosixPath(edits).parts:
        part /= name
        if (root / part).is_symlink():
            return Inventory((), (link(str(part)),))
    prefix = "" if edits == "." else f"{edits}/"
    folder = os.path.join(root, edits) if prefix else os.fspath(root)  # noqa: PTH118 - for speed
    for path, wrong in _walk(folder, prefix, top=not prefix):
        files.append(path) if wrong is None else unseen.append(wrong)
    return Inventory(tuple(files), tuple(unseen))


def find_files(folder: Path, *, whole: bool = False) -> list[Path]:
    """Every edit file under a folder, hidden ones and links apart, in a fixed order.

    Args:
        whole: links as well, and what lies in other repositories: what no inventory holds.
    """
    walked = _walk(os.fspath(folder), "", top=True, whole=whole)
    return [folder / path for path, wrong in walked if not wrong]


def _walk(
    folder: str, prefix: str, *, top: bool, whole: bool = False
) -> Iterator[tuple[str, Unseen | None]]:
    """The edit files below a folder, and what cannot be seen of it, by their paths from `prefix`.

    Args:
        top: the folder may be that of a repository.
    """
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        path = prefix.removesuffix("/") or "."
        yield path, Unseen(path, f"cannot be read: {error.strerror}", f"ls -ld '{folder}'")
        return
    if not (top or whole) and any(
        entry.name == ".git" and _is_repository(entry) for entry in ordered
    ):
        path = prefix.removesuffix("/")
        yield path, foreign(path)
        return
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        path = prefix + entry.name
        is_edit = entry.name.lower().endswith(SUFFIXES)
        if entry.is_symlink():
            if is_edit or entry.is_dir():
                yield path, None if whole and is_edit else link(path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{path}/", top=False, whole=whole)
        elif is_edit:
            regular = entry.is_file(follow_symlinks=False)
            yield path, None if regular else Unseen(path, "not a plain file", "put a file here")


def _is_repository(entry: os.DirEntry[str]) -> bool:
    """Whether a `.git` is that of a repository or, a file, that of a submodule or a worktree."""
    return entry.is_file() or os.path.exists(f"{entry.path}/HEAD")  # noqa: PTH110 - for speed
