"""The two sides of a review: the registry that is merged into, and what merging makes of it.

Everything is read from git's blobs (only a review of the working tree reads files); nothing is
checked out. An edit that both sides changed is merged line by line, as git would do it.

A change is not trusted: it is judged by the gates and the severities of the base, it cannot have
anything written outside the base's store, and it cannot have a model's code run.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sake_registry import git
from sake_registry.diagnostics import UNSEEN, Diagnostic, graded
from sake_registry.edits.checks import check_together
from sake_registry.edits.conflicts import Conflict, find_conflicts
from sake_registry.edits.ignoring import without_ignored
from sake_registry.edits.registry import Registry
from sake_registry.errors import InputError, SettingsError
from sake_registry.history.repository import Repository
from sake_registry.history.snapshots import (
    EditChange,
    File,
    Parsed,
    Snapshot,
    at_commit,
    compare,
    in_working_tree,
)
from sake_registry.review.report import MergeConflict, Range
from sake_registry.settings import FILE_NAME, Settings, differing, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sake_registry.diagnostics import Level
    from sake_registry.edits.schema import Edit

_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


@dataclass(frozen=True)
class Sides:
    """Both registries, and what the head changed.

    `gates` are the settings of the base: a change cannot lower the gates that it is judged by.
    `findings` are those that merging would bring, and what cannot be seen, and `edit_conflicts`
    what a changed edit says otherwise than another one, findings apart. `uncommitted` are edits
    whose files differ from the head that is checked out: what is there is not reviewed.
    """

    reviewed: Range
    before: Registry
    after: Registry
    changes: tuple[EditChange, ...]
    conflicts: tuple[MergeConflict, ...]
    findings: tuple[Diagnostic, ...]
    edit_conflicts: tuple[Conflict, ...]
    settings: tuple[str, ...]
    gates: Settings
    uncommitted: tuple[str, ...] = ()

    @property
    def provenance(self) -> dict[str, Any]:
        """What a bundle of what merging makes was made from: the head, and more than that where
        the base has gone on."""
        what = self.reviewed
        return {"commit": what.head, "dirty": what.base != what.merge_base if what.head else None}


def reviewed(repository: Repository, text: str | None, base: str = "") -> Range:
    """What a range means to a review: always from the merge base.

    `A...B`; `A..B` takes A itself for the merge base; `A` alone reviews the working tree. Without
    a range: the branch that is merged into, against HEAD.

    Raises:
        InputError: an end is no commit, or no base can be known.
    """
    if text is None:
        text = f"{_base_branch(repository, base)}...HEAD"
    if ".." not in text:
        tip = repository.resolve(text)
        merge_base = repository.merge_base(tip, repository.resolve("HEAD"))
        return Range(text=text, base=tip, merge_base=merge_base)
    chosen = repository.range(text)
    first = text.partition("..")[0]
    base = repository.resolve(first or "HEAD")
    return Range(text=text, base=base, merge_base=chosen.base, head=chosen.head)


def _base_branch(repository: Repository, base: str) -> str:
    for name in (f"origin/{base}", base) if base else _BRANCHES:
        try:
            repository.resolve(name)
        except InputError:
            continue
        return name
    raise InputError(
        f"there is no branch '{base}'" if base else "no branch to compare with was found",
        hint="name it: `sake review BASE...HEAD`, or `[review] base = …` in sake.toml",
    )


def sides(repository: Repository, what: Range, overrides: Mapping[str, Any] | None = None) -> Sides:
    """Read both sides.

    Args:
        overrides: flags, which beat the settings of both.

    Raises:
        SettingsError: a side's `sake.toml` is wrong.
        StateError: a partial clone lacks what is needed.
    """
    root = repository.root
    commits = (what.merge_base, what.base, what.head)
    tomls = [repository.content(commit, FILE_NAME) for commit in commits]
    toml, clean = _merge_data(*_as_committed(*tomls, from_disk=what.head is None))
    before_settings = load_settings(root, overrides, data=tomls[1] or b"")
    after_settings = load_settings(root, overrides, data=toml or b"")
    levels = before_settings.checks
    # A side's files lie where its own settings say.
    folders = [_folder(root, data, before_settings.edits) for data in tomls]
    places = {folder: Repository(root, folder, levels) for folder in dict.fromkeys(folders)}
    old, base, head = (
        at_commit(places[folder], commit) if commit else in_working_tree(places[folder])
        for folder, commit in zip(folders, commits, strict=True)
    )
    changes = compare(old, head)
    contents, conflicts = _merge(old, base, head, [change.id for change in changes])
    here = base.parse(base.files)
    merged = [file for file in ({**here, **contents}).values() if file is not None]
    if not clean:
        text = "both sides changed it: merge the base in before the review counts"
        conflicts.append(MergeConflict(id="", path=FILE_NAME, text=text))
    # Where things are written is the base's to say.
    kept = {name: getattr(before_settings, name) for name in ("store", "bundles", "overrides")}
    judged = after_settings.model_copy(update=kept)
    # One model answers for both sides.
    models = ("model", "device", "dtype", "aliases", "trust_remote_code")
    same_model = {name: getattr(judged, name) for name in models}
    before = _registry(
        root, here.values(), before_settings.model_copy(update=same_model), levels, _unread(base)
    )
    after = _registry(root, merged, judged, levels, _unread(head))
    known = {_gist(finding) for finding in before.findings}
    return Sides(
        reviewed=what,
        before=before,
        after=after,
        changes=changes,
        conflicts=tuple(conflicts),
        findings=tuple(f for f in after.findings if f.code == UNSEEN or _gist(f) not in known),
        edit_conflicts=_edit_conflicts(before, here.values(), after, merged, changes),
        settings=tuple(_settings_lines(before_settings, after_settings)),
        gates=before_settings,
        uncommitted=_uncommitted(repository, what, head),
    )


def _folder(root: Path, toml: bytes | None, otherwise: str) -> str:
    """The folder of edits that a version of `sake.toml` names.

    One that is wrong says nothing; whether it may be wrong is not decided here.
    """
    with suppress(SettingsError):
        return PurePosixPath(load_settings(root, data=toml or b"").edits).as_posix()
    return PurePosixPath(otherwise).as_posix()


def _unread(snapshot: Snapshot) -> list[Diagnostic]:
    """Findings about files of a side that are not reviewed, and that a compile would read, or
    trip over: a second file of an id, and what the inventory cannot see."""
    findings = []
    for path in snapshot.passed_over:
        stem = PurePosixPath(path).stem
        message = f"the id '{stem}' is taken by {snapshot.files[stem].path}"
        hint = "an id is unique over all folders: rename one of the two"
        findings.append(Diagnostic("SAKE201", message, Path(path), hint=hint))
    return [*findings, *(part.finding() for part in sorted(snapshot.unseen))]


def _as_committed(
    old: bytes | None, ours: bytes | None, theirs: bytes | None, *, from_disk: bool
) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Three versions to merge, the last without the line ends that git has put into the working
    tree."""
    others = (old or b"") + (ours or b"")
    if from_disk and theirs is not None and b"\r\n" not in others:
        theirs = theirs.replace(b"\r\n", b"\n")
    return old, ours, theirs


def _uncommitted(repository: Repository, what: Range, head: Snapshot) -> tuple[str, ...]:
    if what.head is None or what.head != repository.head:
        return ()
    return tuple(change.id for change in compare(head, in_working_tree(repository)))


def _merge(
    old: Snapshot, base: Snapshot, head: Snapshot, ids: Iterable[str]
) -> tuple[dict[str, Parsed | None], list[MergeConflict]]:
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
        before, here, there = (parsed.get(id_) for parsed in bytes_of)
        if same(first, ours) or same(ours, theirs):
            contents[id_] = there
            continue
        data, clean = _merge_data(
            *_as_committed(
                *(side.data if side else None for side in (before, here, there)),
                from_disk=head.commit is None,
            )
        )
        path = (there or here or before).path  # type: ignore[union-attr]
        # Two files that are equal, in two folders, stay two.
        twice = before is None and here and there and here.path != there.path
        if clean and not twice:
            severities = head.repository.severities
            contents[id_] = Parsed(path, data, severities) if data is not None else None
            continue
        contents[id_] = there
        text = "both sides changed it: merge the base in, then review again"
        conflicts.append(MergeConflict(id=id_, path=path, text=text))
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


def _registry(
    root: Path,
    files: Iterable[Parsed],
    settings: Settings,
    levels: Mapping[str, Level],
    unread: Iterable[Diagnostic],
) -> Registry:
    parsed = list(files)
    edits = sorted((file.edit for file in parsed if file.edit), key=lambda edit: edit.id)
    by_path = {Path(file.path): file for file in parsed}
    together = [
        finding
        for shared in check_together(edits, content=lambda path: by_path[path].data)
        for finding in without_ignored([shared], by_path[shared.path].ignores)
    ]
    findings = [finding for file in parsed for finding in file.findings]
    return Registry(
        root, settings, tuple(edits), (*findings, *graded(together, levels), *unread), len(parsed)
    )


def _edit_conflicts(
    before: Registry,
    here: Iterable[Parsed],
    after: Registry,
    merged: Iterable[Parsed],
    changes: Iterable[EditChange],
) -> tuple[Conflict, ...]:
    """What changed edits say otherwise than others, and did not before; findings say the rest."""
    changed = {change.id for change in changes}
    old, new = (
        find_conflicts(registry.edits, {Path(f.path): f.data for f in files}.__getitem__)
        for registry, files in ((before, here), (after, merged))
    )
    known = {conflict.gist for conflict in old}
    return tuple(
        conflict
        for conflict in new
        if not conflict.code
        and conflict.severity != "information"
        and not changed.isdisjoint(conflict.ids)
        and conflict.gist not in known
    )


def _gist(finding: Diagnostic) -> tuple[str, str, str]:
    return finding.code, str(finding.path), finding.message


def _settings_lines(before: Settings, after: Settings) -> Iterable[str]:
    for name, *pair in differing(*(s.model_dump(mode="json") for s in (before, after))):
        if {} not in pair:  # a table that was empty: what came into it has a line of its own
            old, new = ("(nothing)" if value is None else value for value in pair)
            yield f"{name}: {old} → {new}"


def restricted(registry: Registry, edits: Iterable[Edit], **settings: Any) -> Registry:
    """A registry of some edits, whose findings are known to be shown elsewhere."""
    chosen = tuple(sorted(edits, key=lambda edit: edit.id))
    changed = registry.settings.given(**settings)
    return replace(registry, edits=chosen, findings=(), settings=changed, files=len(chosen))
