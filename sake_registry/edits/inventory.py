"""What a registry holds: its edit files, and what of it cannot be seen.

There is one inventory for all verbs, of the working tree and of a tree of git. It follows no link
and enters no other repository: git keeps neither what is behind a link nor what is in a submodule,
so a compile would use what no review sees. It knows what git hides (a sparse checkout, marks of
the index) and what git changes on the way (filters). What it passes over it names, and no gate
passes on it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.diagnostics import UNSEEN, Diagnostic
from sake_registry.errors import SetupError
from sake_registry.settings import FILE_NAME
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIXES = (".yaml", ".yml")


class Unseen(NamedTuple):
    """A part of a registry that cannot be seen: its path, why, and what mends that."""

    path: str
    why: str
    hint: str

    def finding(self, path: Path | None = None) -> Diagnostic:
        """This as a finding; about `path`, if it is to be shown in another way."""
        return Diagnostic(UNSEEN, self.why, path or Path(self.path), hint=self.hint)


@dataclass(frozen=True)
class Inventory:
    """The edit files of one state of a registry, in order, and what of it cannot be seen.

    `hidden` are the paths of which nothing can be said, nor of what lies below them. All paths are
    relative to the registry's root, with `/` between their parts.
    """

    files: tuple[str, ...]
    unseen: tuple[Unseen, ...]
    hidden: frozenset[str] = frozenset()

    def hides(self, path: str) -> bool:
        """Whether nothing can be said of a path."""
        return not self.hidden.isdisjoint((path, *map(str, PurePosixPath(path).parents)))


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


def filtered(attributes: Mapping[str, str]) -> list[Unseen]:
    """Files of which git keeps something else, by the attribute that says so."""
    return [
        Unseen(
            path, f"git keeps something else than this file, by its attribute {attribute}",
            f"put `{path} -{attribute.partition('=')[0]}` into .gitattributes",
        )
        for path, attribute in attributes.items()
    ]  # fmt: skip


def is_edit_file(path: str, edits: str) -> bool:
    """Whether a path of the registry is that of an edit file; a hidden file is not."""
    folder = "" if edits in ("", ".") else f"{edits}/"
    hidden = "/." in f"/{path.removeprefix(folder)}"
    return path.startswith(folder) and path.lower().endswith(SUFFIXES) and not hidden


def working_tree(root: Path, edits: str) -> Inventory:
    """The inventory of the working tree.

    Outside of a repository, or without a git that can read it, the disk alone says what it is.
    """
    edits = PurePosixPath(edits).as_posix()
    there = _on_disk(root, edits)
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return there
    from sake_registry import git

    try:
        entries = [e for e in git.index(root, edits) if e.mode == "160000" or e.mark]
        attributes = git.transformed(root, (*there.files, FILE_NAME))
    except SetupError:
        return there
    modules = [foreign(e.path) for e in entries if e.mode == "160000"]
    hidden = there.hidden | attributes.keys() | {part.path for part in modules}
    seen = Inventory(there.files, (), hidden)
    lacking = {
        e.path: e.mark
        for e in entries
        if e.regular and is_edit_file(e.path, edits)
        and not (seen.hides(e.path) or os.path.lexists(root / e.path))
    }  # fmt: skip
    unseen = (*there.unseen, *modules, *filtered(attributes), *_lacking(lacking))
    files = tuple(path for path in there.files if not seen.hides(path))
    return Inventory(files, tuple(dict.fromkeys(unseen)), hidden | lacking.keys())


def _lacking(marks: Mapping[str, str]) -> Iterator[Unseen]:
    """Edit files that git holds and that are not on the disk, by their marks, summed up by
    folder."""
    groups: dict[tuple[str, str], list[str]] = {}
    for path, mark in sorted(marks.items()):
        groups.setdefault((str(PurePosixPath(path).parent), mark), []).append(path)
    for (folder, mark), paths in groups.items():
        names = [PurePosixPath(path).name for path in paths]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        why = f"{count(len(names), 'edit file')} not checked out: {', '.join(names[:5])}{more}"
        listed = shlex.join(paths)
        mend = {
            "skip-worktree": "git sparse-checkout disable",
            "assume-unchanged": f"git update-index --no-assume-unchanged {listed} && "
            f"git restore {listed}",
        }
        yield Unseen(folder, f"{why} ({mark} is set)", mend[mark])


def find_files(folder: Path, *, whole: bool = False) -> list[Path]:
    """Every edit file under a folder, hidden ones and links apart, in a fixed order.

    Args:
        whole: links as well, and what lies in other repositories: what no inventory holds.
    """
    walked = _walk(os.fspath(folder), "", top=True, whole=whole)
    return [folder / path for path, wrong in walked if not wrong]


def _on_disk(root: Path, edits: str) -> Inventory:
    files: list[str] = []
    unseen: list[Unseen] = []
    part = PurePosixPath()
    for name in PurePosixPath(edits).parts:
        part /= name
        if (root / part).is_symlink():
            return Inventory((), (link(str(part)),), frozenset({str(part)}))
    prefix = "" if edits == "." else f"{edits}/"
    folder = os.path.join(root, edits) if prefix else os.fspath(root)  # noqa: PTH118 - for speed
    for path, wrong in _walk(folder, prefix, top=not prefix):
        if wrong is None:
            files.append(path)
        else:
            unseen.append(wrong)
    return Inventory(tuple(files), tuple(unseen), frozenset(part.path for part in unseen))


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
    if not (top or whole) and any(e.name == ".git" and _is_repository(e) for e in ordered):
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
