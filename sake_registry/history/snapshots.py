"""The edits as they were in a commit, or are in the working tree, and what changed between two.

Files are compared by their blobs; only those that differ are parsed.
"""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, InstanceOf, ValidationError, computed_field

from sake_registry.edits import yamltext
from sake_registry.edits.changes import Difference, differences
from sake_registry.edits.files import parse
from sake_registry.edits.inventory import is_edit_file
from sake_registry.edits.schema import Edit
from sake_registry.errors import InputError, StorageError
from sake_registry.settings import FILE_NAME, differing
from sake_registry.values import Value
from sake_registry.wording import count, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sake_registry.diagnostics import Diagnostic, Level
    from sake_registry.edits.files import Reading
    from sake_registry.edits.ignoring import Ignore
    from sake_registry.edits.inventory import Unseen
    from sake_registry.history.repository import Range, Repository


Action = Literal["added", "changed", "moved", "removed", "unknown"]
"""What happened to an edit; `unknown` lies behind the end of a shallow clone."""


@dataclass(frozen=True)
class File:
    """One edit file: where it lies, and the ids under which git may know its bytes."""

    path: str
    blobs: tuple[str, ...]
    data: bytes | None = None

    def same(self, other: File) -> bool:
        return bool(set(self.blobs) & set(other.blobs))


@dataclass(frozen=True)
class Parsed:
    """The content of an edit file, which is parsed when its edit is first needed.

    The stem of `path` is the edit's id.
    """

    path: str
    data: bytes
    severities: Mapping[str, Level] = field(default_factory=dict, compare=False, repr=False)

    @property
    def edit(self) -> Edit | None:
        """The edit; None where the file has errors."""
        return self._read.edit

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        return tuple(self._read.findings)

    @property
    def ignores(self) -> Sequence[Ignore]:
        """The comments of the file that hide findings."""
        return self._read.ignores

    @cached_property
    def _read(self) -> Reading:
        return parse(self.data, Path(self.path), severities=self.severities)

    @cached_property
    def lenient(self) -> Edit | None:
        """The edit, if the file has the form of one, whatever the checks find in it: enough for
        putting a change in words, in less time than `edit`."""
        path = Path(self.path)
        document = yamltext.read(self.data, path)
        content = document.value
        if isinstance(content, dict) and not document.findings and not document.empties:
            with suppress(ValidationError, TypeError):  # TypeError: it says `id` or `path`
                return Edit.model_validate(dict(**content, id=path.stem, path=path))
        return self.edit


class Snapshot:
    """The edit files of one state of the registry, by id; of two with one id the first counts."""

    def __init__(self, repository: Repository, files: Iterable[File], commit: str | None) -> None:
        self.repository, self.commit = repository, commit
        self.files: dict[str, File] = {}
        self.passed_over: list[str] = []
        """The paths of files whose id another one has."""
        for file in sorted(files, key=lambda f: f.path):
            if self.files.setdefault(PurePosixPath(file.path).stem, file) is not file:
                self.passed_over.append(file.path)

    @cached_property
    def unseen(self) -> tuple[Unseen, ...]:
        """What of this state cannot be seen."""
        return self.repository.inventory(self.commit).unseen

    @property
    def name(self) -> str:
        return self.commit[:10] if self.commit else "the working tree"

    def parse(self, ids: Iterable[str]) -> dict[str, Parsed]:
        """Edits by id; ids that are not here are left out.

        Raises:
            StateError: a partial clone lacks their content.
        """
        chosen = {id_: self.files[id_] for id_ in ids if id_ in self.files}
        lacking = {file.blobs[0] for file in chosen.values() if file.data is None}
        content = self.repository.read(lacking)
        parsed = {}
        for id_, file in chosen.items():
            data = content[file.blobs[0]] if file.data is None else file.data
            parsed[id_] = Parsed(file.path, data, self.repository.severities)
        return parsed


def at_commit(repository: Repository, commit: str) -> Snapshot:
    """The edits of a commit, by its full id."""
    entries = repository.edit_files(commit).values()
    return Snapshot(repository, (File(e.path, (e.blob,)) for e in entries), commit)


def in_working_tree(repository: Repository, only: Collection[str] | None = None) -> Snapshot:
    """The edits as their files stand now; of these ids alone, if any are given.

    Raises:
        StorageError: a file cannot be read.
    """
    files = working_files(repository, only)
    for file in files:
        if not file.blobs:
            raise StorageError(
                f"{repository.root / file.path}: cannot be read",
                hint=f"ls -l '{repository.root / file.path}' shows whose it is",
            )
    return Snapshot(repository, files, None)


def working_files(repository: Repository, only: Collection[str] | None = None) -> list[File]:
    """The edit files of the working tree, with their content; those that git hides there, as the
    index has them. A file that cannot be read has neither content nor blobs."""
    inventory = repository.inventory(None)
    files = [
        File(path, (entry.blob,))
        for path, entry in (repository.index() if inventory.hidden else {}).items()
        if entry.regular and is_edit_file(path, repository.edits) and inventory.hides(path)
        and (only is None or PurePosixPath(path).stem in only)
    ]  # fmt: skip
    for inner in inventory.files:
        if only is not None and PurePosixPath(inner).stem not in only:
            continue
        try:
            data = (repository.root / inner).read_bytes()
        except OSError:
            files.append(File(inner, ()))
        else:
            files.append(File(inner, repository.blob_ids(data), data))
    return files


class EditChange(Value):
    """What became of one edit between two snapshots; `before` or `after` is None where it is not
    there."""

    id: str
    before: InstanceOf[Parsed] | None = Field(exclude=True)
    after: InstanceOf[Parsed] | None = Field(exclude=True)

    @computed_field
    @cached_property
    def action(self) -> Action:
        """`added`, `removed`, `changed` or `moved` (another folder, the same edit)."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        # The line ends of a working tree are the user's, and no change.
        first, second = (side.data.replace(b"\r\n", b"\n") for side in (self.before, self.after))
        return "moved" if first == second else "changed"

    @computed_field
    @cached_property
    def claim(self) -> str:
        """The claim of the edit now, or when it was last there."""
        for side in (self.after, self.before):
            if side is not None and side.lenient is not None:
                return side.lenient.claim
        return "(the file has errors)"

    @computed_field
    @cached_property
    def path(self) -> str:
        """Where the file lies now, or lay when it was last there."""
        side = self.after or self.before
        assert side is not None
        return side.path

    @computed_field
    @cached_property
    def lines(self) -> list[str]:
        """The change in words, one thing a line."""
        lines = [difference.text for difference in self.differences]
        for word, side in (("before", self.before), ("now", self.after)):
            if side is not None and side.lenient is None:
                errors = sum(f.severity == "error" for f in side.findings)
                lines.append(f"the file has {count(errors, 'error')} {word}")
        if self.before and self.after and self.before.path != self.after.path:
            lines.append(f"moved: {self.before.path} → {self.after.path}")
        if self.action == "changed" and not lines:
            lines.append("comments or layout only")
        return lines

    @computed_field
    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """What changed of the fact; empty for an edit that came or went, or cannot be read."""
        if not (self.before and self.after and self.before.lenient and self.after.lenient):
            return ()
        return differences(self.before.lenient, self.after.lenient)


def compare(
    before: Snapshot, after: Snapshot, only: Collection[str] | None = None
) -> tuple[EditChange, ...]:
    """What changed, by id; edits whose file is the same are left out.

    Args:
        only: look at these ids alone.
    """
    ids = []
    for id_ in sorted({*before.files, *after.files} if only is None else only):
        first, second = before.files.get(id_), after.files.get(id_)
        if first is second is None or (
            first and second and first.same(second) and first.path == second.path
        ):
            continue
        ids.append(id_)
    old, new = before.parse(ids), after.parse(ids)
    return tuple(EditChange(id=i, before=old.get(i), after=new.get(i)) for i in ids)


def changed_in(
    repository: Repository, chosen: Range, only: Collection[str] | None = None
) -> tuple[EditChange, ...]:
    """What changed in a range; of these ids alone, if any are given.

    Raises:
        InputError: an id that is on neither side.
        StateError: a partial clone lacks a version.
    """
    before = at_commit(repository, chosen.base)
    after = at_commit(repository, chosen.head) if chosen.head else in_working_tree(repository)
    for id_ in only or ():
        if id_ not in before.files and id_ not in after.files:
            near = nearest(id_, {*before.files, *after.files})
            raise InputError(
                f"no edit '{id_}' in {before.name} or {after.name}",
                hint=f"did you mean '{near}'?" if near else "`sake list` shows all ids",
            )
    return compare(before, after, only)


def settings_changed_in(repository: Repository, chosen: Range) -> list[str]:
    """What changed of `sake.toml` in a range, a line for each setting."""
    before, after = (
        repository.content(commit, FILE_NAME) or b"" for commit in (chosen.base, chosen.head)
    )
    if before.replace(b"\r\n", b"\n") == after.replace(b"\r\n", b"\n"):
        return []
    try:
        old, new = (tomllib.loads(side.decode()) for side in (before, after))
        lines = [f"{n}: {_written(a)} → {_written(b)}" for n, a, b in differing(old, new)]
    except (ValueError, RecursionError):  # not UTF-8, or not TOML
        return ["it cannot be read on one side"]
    return lines or ["comments or layout only"]


def _written(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False, default=str)
