"""Giving an edit another id: its file another name, and whatever speaks of it by the old one.

Guarantees:
- The file's bytes stay; what was built of the edit stays in the store, as no key holds an id.
- One commit that touches the file and the registry's overrides alone, or nothing.
- What is switched off stays so: a bundle in production has the old id until one with the new id is
  compiled and loaded, so overrides then name both.
- Where else the old id stands is said, and nothing is written there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from pydantic import Field, InstanceOf

from sake_registry import git
from sake_registry.authoring.scaffold import check_free, taken_ids
from sake_registry.edits.registry import Registry
from sake_registry.errors import InputError, StateError
from sake_registry.files import below, write_text
from sake_registry.history.committing import commit as commit_files
from sake_registry.history.repository import Repository
from sake_registry.history.settled import check_settled, open_settled
from sake_registry.history.working import replaced
from sake_registry.runtime.overrides import read_overrides
from sake_registry.values import Value
from sake_registry.wording import did_you_mean


class Rename(Value):
    """What renaming an edit would do.

    `path` and `to` are relative to the root. `overrides` is the file that names the old id, if it
    does; `mentions` is where else the old id stands in files that git keeps, as `path:line`.
    """

    registry: InstanceOf[Registry] = Field(exclude=True)
    head: str = Field(exclude=True)
    committed: bool
    """Whether git knows the file: one that was never committed is renamed without a commit."""
    old: str
    new: str
    path: str
    to: str
    overrides: Path | None
    mentions: tuple[str, ...]

    @property
    def message(self) -> str:
        """The commit's."""
        lines = [
            f"Rename edit {self.old} to {self.new}", "", f"moved: {self.path} → {self.to}", "",
            f"Sake-Edit: {self.new}", "Sake-Action: rename", f"Sake-Renamed-From: {self.old}",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def plan_rename(registry: Registry, old: str, new: str) -> Rename:
    """What renaming an edit would do. Nothing is written.

    Raises:
        InputError: there is no such edit, the new id is none, or the overrides are wrong.
        ConflictError: the new id is taken.
        StateError: the file is changed and not committed, or an operation of git is under way.
        SetupError: there is no git, or no repository.
    """
    root, files = registry.root, taken_ids(registry)
    if old not in files:
        raise InputError(f"no edit '{old}' here", hint=did_you_mean(old, files))
    check_free(new, files)
    repository, head = open_settled(registry)
    path = files[old].relative_to(root).as_posix()
    committed = path in repository.edit_files(head) or path in repository.index()
    if committed:
        check_settled(repository, head, {old: None})
    check_settled(repository, head, {new: None})
    place = registry.settings.place("overrides", root)
    switched_off = place if old in read_overrides(place).disabled else None
    return Rename(
        registry=registry,
        head=head,
        committed=committed,
        old=old,
        new=new,
        path=path,
        to=str(PurePosixPath(path).with_stem(new)),
        overrides=switched_off,
        mentions=_mentions(repository, old, {path, _inner(root, place) or ""}),
    )


def rename(plan: Rename, *, commit: bool = True) -> str | None:
    """Do what was planned; the new commit's full id, or None where nothing was committed.

    Raises:
        StateError: the registry has changed since it was planned, or git or a hook refused.
        SetupError: git does not know whose commit it would be.
        StorageError: a file cannot be written.
    """
    registry, root = plan.registry, plan.registry.root
    repository, head = open_settled(registry)
    if head != plan.head:
        raise StateError(
            f"HEAD has moved to {head[:10]} since this was planned", hint="run the command again"
        )
    data = below(root, root / plan.path).read_bytes()
    contents: dict[str, bytes | None] = {plan.path: None, plan.to: data}
    text = _overrides_text(plan)
    inner = _inner(root, plan.overrides) if plan.overrides else None
    with_commit = inner is not None and _is_settled(repository, head, inner)
    if text and inner and with_commit:
        contents[inner] = text.encode()
    made = None
    if commit and plan.committed:
        made = commit_files(repository, contents, plan.message)
    else:
        with replaced(root, contents):
            pass
    if text and plan.overrides and not with_commit:
        write_text(plan.overrides, text)
    return made


def _overrides_text(plan: Rename) -> str | None:
    """The overrides with the new id beside the old one."""
    if plan.overrides is None:
        return None
    disabled = dict(read_overrides(plan.overrides).disabled)
    if plan.old in disabled:
        disabled.setdefault(plan.new, disabled[plan.old])
    return json.dumps({"disabled": disabled}, ensure_ascii=False, indent=2) + "\n"


def _inner(root: Path, path: Path) -> str | None:
    """A path as the registry's files are named; None outside of its root."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def _is_settled(repository: Repository, head: str, path: str) -> bool:
    """Whether a file is as it was committed, so that a commit of it takes no other change along."""
    entry = repository.file(head, path)
    staged = repository.index(path).get(path)
    return entry is not None and staged == entry and repository.unchanged(entry)


def _mentions(repository: Repository, id_: str, apart: set[str]) -> tuple[str, ...]:
    """Where an id stands in the text files that git keeps below the registry's root."""
    try:
        out = git.read(
            repository.root, "grep", "-I", "-n", "-z", "--fixed-strings", "-e", id_, "--", "."
        )
    except git.GitError as error:
        if error.code == 1:  # nowhere
            return ()
        raise
    word = re.compile(rf"(?<![\w-]){re.escape(id_)}(?![\w-])")
    found = []
    for line in out.decode(errors="replace").splitlines():
        path, _, rest = line.partition("\0")
        number, _, text = rest.partition("\0")
        if path not in apart and word.search(text):
            found.append(f"{path}:{number}")
    return tuple(found)
