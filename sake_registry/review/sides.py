"""The two sides of a review: the registry that is merged into, and what merging makes of it.

Everything is read from git's blobs (only a review of the working tree reads files); nothing is
checked out. An edit that both sides changed is merged line by line, as git would do it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.edits.checks import check_together
from sake_registry.edits.registry import Registry
from sake_registry.errors import InputError
from sake_registry.history import git
from sake_registry.history.snapshots import (
    EditChange,
    File,
    Parsed,
    Snapshot,
    at_commit,
    compare,
    in_working_tree,
    parsed,
)
from sake_registry.settings import FILE_NAME, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sake_registry.edits.diagnostics import Diagnostic
    from sake_registry.edits.schema import Edit
    from sake_registry.history.repository import Repository

_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


@dataclass(frozen=True)
class Reviewed:
    """What is reviewed: full commit ids; `head` None is the working tree.

    `base` is the tip that is merged into, `merge_base` where the head left it.
    """

    text: str
    base: str
    merge_base: str
    head: str | None

    def as_json(self) -> dict[str, Any]:
        return {"text": self.text, "base": self.base, "merge_base": self.merge_base,
                "head": self.head}  # fmt: skip


@dataclass(frozen=True)
class Conflict:
    """A file that both sides changed and git cannot merge; the head's version is reviewed."""

    id: str
    path: str
    text: str


@dataclass(frozen=True)
class Sides:
    """Both registries, and what the head changed.

    `gates` are the settings of the base: a change cannot lower the gates that it is judged by.
    `findings` are those about several edits together that merging would bring.
    """

    reviewed: Reviewed
    before: Registry
    after: Registry
    changes: tuple[EditChange, ...]
    conflicts: tuple[Conflict, ...]
    findings: tuple[Diagnostic, ...]
    settings: tuple[str, ...]
    gates: Settings


def reviewed(repository: Repository, text: str | None, base: str = "") -> Reviewed:
    """What a range means to a review: always from the merge base.

    `A...B`; `A..B` takes A itself for the merge base; `A` alone reviews the working tree. Without
    a range: the branch that is merged into, against HEAD.

    Raises:
        InputError: an end is no commit, or no base can be told.
    """
    if text is None:
        text = f"{_base_branch(repository, base)}...HEAD"
    if ".." not in text:
        tip = repository.resolve(text)
        return Reviewed(text, tip, repository.merge_base(tip, repository.resolve("HEAD")), None)
    chosen = repository.range(text)
    first = text.partition("..")[0]
    return Reviewed(text, repository.resolve(first or "HEAD"), chosen.base, chosen.head)


def _base_branch(repository: Repository, base: str) -> str:
    for name in (f"origin/{base}", base) if base else _BRANCHES:
        try:
            repository.resolve(name)
        except InputError:
            continue
        return name
    raise InputError(
        f"there is no branch '{base}'" if base else "no branch to compare with was found",
        hint="say it: `sake review BASE...HEAD`, or `[review] base = …` in sake.toml",
    )


def sides(
    repository: Repository, what: Reviewed, overrides: Mapping[str, Any] | None = None
) -> Sides:
    """Read both sides.

    Args:
        overrides: flags, which beat the settings of both.

    Raises:
        SettingsError: a side's `sake.toml` is wrong.
        StateError: a partial clone lacks what is needed.
    """
    old, base = at_commit(repository, what.merge_base), at_commit(repository, what.base)
    head = at_commit(repository, what.head) if what.head else in_working_tree(repository)
    changes = compare(old, head)
    contents, conflicts = _merge(repository, old, base, head, [change.id for change in changes])
    here = base.parse(base.files)
    merged = [file for file in ({**here, **contents}).values() if file is not None]
    tomls = [_toml(repository, commit) for commit in (what.merge_base, what.base, what.head)]
    toml, clean = _merge_data(*tomls)
    if not clean:
        text = "both sides changed it: merge the base in before the review counts"
        conflicts.append(Conflict("", FILE_NAME, text))
    before_settings = load_settings(repository.root, overrides, data=tomls[1] or b"")
    after_settings = load_settings(repository.root, overrides, data=toml or b"")
    # Code that comes with a model runs only if the base, or a flag, says so; and one model answers.
    after_settings = after_settings.model_copy(
        update={"trust_remote_code": before_settings.trust_remote_code}
    )
    same_model = {name: getattr(after_settings, name) for name in ("model", "device", "dtype")}
    before = _registry(repository, here.values(), before_settings.model_copy(update=same_model))
    after = _registry(repository, merged, after_settings)
    known = {_gist(finding) for finding in before.findings}
    return Sides(
        reviewed=what,
        before=before,
        after=after,
        changes=changes,
        conflicts=tuple(conflicts),
        findings=tuple(f for f in after.findings if _gist(f) not in known),
        settings=tuple(_settings_lines(before_settings, after_settings)),
        gates=before_settings,
    )


def _merge(
    repository: Repository, old: Snapshot, base: Snapshot, head: Snapshot, ids: Iterable[str]
) -> tuple[dict[str, Parsed | None], list[Conflict]]:
    """What merging makes of the edits that the head changed (None: removed), and what cannot be
    merged."""

    def same(a: File | None, b: File | None) -> bool:
        return a is b or (a is not None and b is not None and a.same(b) and a.path == b.path)

    contents: dict[str, Parsed | None] = {}
    conflicts = []
    ids = list(ids)
    bytes_of = [snapshot.parse(ids) for snapshot in (old, base, head)]
    for id_ in ids:
        first, ours, theirs = (snapshot.files.get(id_) for snapshot in (old, base, head))
        before, here, there = (found.get(id_) for found in bytes_of)
        if same(first, ours) or same(ours, theirs):
            contents[id_] = there
            continue
        data, clean = _merge_data(*(side.data if side else None for side in (before, here, there)))
        path = (there or here or before).path  # type: ignore[union-attr]
        if clean:
            contents[id_] = parsed(data, path) if data is not None else None
            continue
        contents[id_] = there
        conflicts.append(
            Conflict(id_, path, "both sides changed it: merge the base in, then review again")
        )
    return contents, conflicts


def _merge_data(
    old: bytes | None, ours: bytes | None, theirs: bytes | None
) -> tuple[bytes | None, bool]:
    """A three-way merge of a file; (theirs, False) where it is not clean."""
    if ours in (old, theirs):
        return theirs, True
    if theirs == old:
        return ours, True
    if ours is None or theirs is None:
        return theirs, False
    with tempfile.TemporaryDirectory(prefix="sake-merge-") as name:
        folder = Path(name)
        for side, data in (("ours", ours), ("old", old or b""), ("theirs", theirs)):
            (folder / side).write_bytes(data)
        try:
            return git.read(folder, "merge-file", "-p", "-q", "ours", "old", "theirs"), True
        except git.GitError:
            return theirs, False


def _toml(repository: Repository, commit: str | None) -> bytes | None:
    """A side's `sake.toml`, or None."""
    if commit is None:
        return (repository.root / FILE_NAME).read_bytes()
    entry = repository.file(commit, FILE_NAME)
    return repository.read([entry.blob])[entry.blob] if entry else None


def _registry(repository: Repository, files: Iterable[Parsed], settings: Settings) -> Registry:
    found = list(files)
    edits = sorted((file.edit for file in found if file.edit), key=lambda edit: edit.id)
    data = {file.path: file.data for file in found}
    together = check_together(edits, content=lambda path: data[path.as_posix()])
    findings = [finding for file in found for finding in file.findings]
    return Registry(repository.root, settings, tuple(edits), (*findings, *together), len(found))


def _gist(finding: Diagnostic) -> tuple[str, str, str]:
    return finding.code, str(finding.path), finding.message


def _settings_lines(before: Settings, after: Settings) -> Iterable[str]:
    first, second = (dict(_flat(s.model_dump(mode="json"))) for s in (before, after))
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            yield f"{name}: {first.get(name, '(nothing)')} → {second.get(name, '(nothing)')}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def restricted(registry: Registry, edits: Iterable[Edit], **settings: Any) -> Registry:
    """A registry of some edits, whose findings are known to be told elsewhere."""
    chosen = tuple(sorted(edits, key=lambda edit: edit.id))
    changed = registry.settings.model_copy(update=settings)
    return replace(registry, edits=chosen, findings=(), settings=changed, files=len(chosen))
