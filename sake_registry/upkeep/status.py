"""How a registry stands: what is not committed, not compiled, out of date, or switched off.

Everything is compared here, by content: `git status` is not asked, so that nothing is written
and no foreign program runs. No model is looked for. Where something cannot be looked at (no git
repository, no extra for bundles), a note says so, and the rest is told all the same.
"""

from __future__ import annotations

import os
import re
import shlex
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from sake_registry import git
from sake_registry.bundle.newest import newest_bundles
from sake_registry.diagnostics import UNSEEN
from sake_registry.edits.checks import plainly
from sake_registry.edits.inventory import is_edit_file
from sake_registry.edits.registry import open_registry, root_of
from sake_registry.errors import InputError, SettingsError, SetupError, StateError
from sake_registry.history.repository import Repository
from sake_registry.history.settled import git_command
from sake_registry.history.snapshots import Parsed, working_files
from sake_registry.runtime.overrides import MAX_BYTES, parse_overrides, read_overrides
from sake_registry.settings import FILE_NAME, differing, load_settings
from sake_registry.upkeep.bundles import (
    BundleState,
    bundle_states,
    compile_command,
    not_looked_at,
)
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.git import Entry
    from sake_registry.history.snapshots import File

# A key without a day right behind it may have one all the same, so its file is read.
_DUE = re.compile(rb"(?:valid_until|review_by)(?:: *(\d{4}-\d\d-\d\d))?")

Kind = Literal[
    "errors", "expired", "review", "disabled", "uncommitted", "changed", "stale", "missing", "gone"
]
TITLES: dict[Kind, str] = {
    "errors": "files with errors",
    "expired": "expired",
    "review": "review is due",
    "disabled": "disabled in production",
    "uncommitted": "not committed",
    "changed": "changed since the bundle",
    "stale": "compiled under other settings",
    "missing": "missing in the bundle",
    "gone": "in the bundle, no longer active",
}
"""What a status is told in, in this order: what somebody has to decide on comes first."""
MECHANICAL: frozenset[Kind] = frozenset({"changed", "stale", "missing", "gone"})
"""What a compile mends, and nobody need decide on."""


class Item(Value):
    """One thing to know: the edit it is about (None: no single one), what, and what mends it."""

    kind: Kind
    id: str | None = None
    what: str
    command: str


class UnderWay(Value):
    """A merge, rebase, … that is not finished, and the commands that finish it and give it up."""

    what: str
    finish: str
    give_up: str


class GitState(Value):
    """Where the repository stands; `commit` is None where nothing is committed yet."""

    branch: str | None
    commit: str | None
    under_way: UnderWay | None
    shallow: bool


class Production(Value):
    """What a pointer that production follows says; `here` is the newest bundle of a model in this
    registry, if that is the one."""

    pointer: str
    bundle: str
    content: str | None
    note: str
    here: Path | None


class Status(Value):
    """How a registry stands. `git` is None outside a repository; `notes` say what could not be
    looked at. `edits` and `active` are counts. `production` is None where no pointer was named."""

    root: Path
    clean: bool
    edits: int
    active: int
    git: GitState | None
    production: Production | None
    bundles: tuple[BundleState, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...]

    def of(self, kind: Kind) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.kind == kind)


def status(
    start: Path | str = ".",
    *,
    today: date | None = None,
    pointer: str | None = None,
    registry: Registry | None = None,
) -> Status:
    """How the registry at or above `start` stands.

    Args:
        today: the day on which dates are looked at; that of UTC unless given.
        pointer: what production follows, a path or a URL: it is shown, and the overrides beside it
            are looked at in place of the registry's own.
        registry: that registry, where all of it was read already.

    Raises:
        InputError: there is no registry, or the pointer or the file of overrides is wrong.
        SetupError: the pointer or its overrides cannot be reached.
        SettingsError: `sake.toml` or a variable is wrong.
    """
    today = today or datetime.now(UTC).date()
    root = root_of(start)
    settings = load_settings(root)
    notes: list[str] = []
    held: list[tuple[Path, Manifest]] = []
    try:
        held = newest_bundles(settings.place("bundles", root))
        looked = True
    except (ModuleNotFoundError, StateError) as error:
        looked = False
        notes.append(not_looked_at(error))
    items: list[Item] = []
    git: GitState | None = None
    known: frozenset[str] = frozenset()
    hidden: set[str] = set()
    try:
        repository = Repository(root, settings.edits, settings.checks)
        git = _git(repository)
        files = {file.path: file for file in working_files(repository)}
        hidden = {PurePosixPath(path).stem for path, file in files.items() if file.data is None}
        items += _uncommitted(repository, files)
        if registry is None:
            known = _known(repository, files, [manifest for _, manifest in held], today)
    except (SetupError, StateError) as error:
        notes.append(f"git was not looked at: {error.message}")
    registry = registry or open_registry(start, today=today, skip=known)
    items += _errors(registry)
    states: list[BundleState] = []
    try:
        states = bundle_states(registry, held, known | hidden)
        items += _compiled(registry, states) if looked else ()
    except SettingsError as error:
        notes.append(not_looked_at(error))
    items += _dates(registry, today)
    items += _disabled(registry, known, pointer)
    order = list(TITLES)
    items.sort(key=lambda item: order.index(item.kind))
    return Status(
        root=registry.root,
        clean=not items,
        edits=len(registry.edits) + len(known),
        active=len(registry.active) + len(known),
        git=git,
        production=_production(pointer, held) if pointer else None,
        bundles=tuple(states),
        items=tuple(items),
        notes=tuple(notes),
    )


def _errors(registry: Registry) -> Iterator[Item]:
    errors: dict[str, int] = {}
    for finding in registry.errors:
        if finding.code == UNSEEN:
            what = f"{finding.path}: {finding.message}"
            mend = finding.hint if finding.hint.startswith("git ") else "sake check"
            yield Item(kind="errors", what=what, command=mend)
        else:
            errors[finding.path.stem] = errors.get(finding.path.stem, 0) + 1
    for id_, number in sorted(errors.items()):
        yield Item(kind="errors", id=id_, what=count(number, "error"), command="sake check")


# -- git ---------------------------------------------------------------------------------------


def _git(repository: Repository) -> GitState:
    going = repository.under_way()
    return GitState(
        branch=repository.branch(),
        commit=repository.head,
        under_way=UnderWay(what=going[0], finish=going[1], give_up=going[2]) if going else None,
        shallow=repository.shallow,
    )


def _known(
    repository: Repository, files: Mapping[str, File], bundles: Sequence[Manifest], today: date
) -> frozenset[str]:
    """The ids of edits that need not be read: what they say stands in every bundle.

    A bundle is made of sound files alone. One that was made from a commit, and nothing else,
    tells of each file that is as it was there: it has no error, its edit is active, and its key
    is the one in the bundle. What could have become wrong since is read all the same: an edit
    whose dates may have passed, and one whose subject an edit that is not known speaks of.
    """
    stems = {path: PurePosixPath(path).stem for path in files}
    if not bundles or len(set(stems.values())) < len(stems):
        return frozenset()
    settings = repository.blob_ids((repository.root / FILE_NAME).read_bytes())
    known = {
        stems[path]
        for path, file in files.items()
        if file.data is not None and not _may_be_due(file.data, today)
    }
    for manifest in bundles:
        commit = manifest.provenance.get("commit")
        if (
            not isinstance(commit, str)
            or manifest.provenance.get("dirty") is not False
            or manifest.versions.get("sake-registry") != version("sake-registry")
        ):
            return frozenset()
        try:
            commit = repository.resolve(commit)
        except InputError:
            return frozenset()  # it is not in this clone
        entry = repository.file(commit, FILE_NAME)
        if entry is None or entry.blob not in settings:
            return frozenset()
        entries = repository.edit_files(commit)
        held = {info.id for info in manifest.edits}
        known &= {
            stems[path]
            for path, file in files.items()
            if stems[path] in held and path in entries and entries[path].blob in file.blobs
        }
    others = [file for path, file in files.items() if stems[path] not in known]
    if len(others) > len(known):
        return frozenset()  # reading all at once is as quick
    subjects = {
        plainly(name)
        for file in others
        if (edit := Parsed(file.path, file.data or b"").lenient)
        for name in edit.fact.subject.all
    }
    spoken_of = {
        info.id
        for info in bundles[0].edits
        if not subjects.isdisjoint(plainly(name) for name in info.subject)
    }
    return frozenset(known - spoken_of)


def _may_be_due(data: bytes, today: date) -> bool:
    """Whether a file may hold a day before today on which it expires or is to be reviewed."""
    day = today.isoformat().encode()
    # An escape could spell the key in another way.
    return b"\\" in data or any(due[1] is None or due[1] < day for due in _DUE.finditer(data))


def _uncommitted(repository: Repository, files: Mapping[str, File]) -> Iterator[Item]:
    """Where HEAD, the index and the files differ: the edits by id, then `sake.toml`."""
    head, command = repository.head, git_command(repository)
    first = head is None
    held = repository.edit_files(head) if head else {}
    index = {
        path: entry
        for path, entry in repository.index().items()
        if entry.regular and is_edit_file(path, repository.edits)
    }
    by_id: dict[str, list[tuple[str, str]]] = {}
    ignored = _ignored(repository) if files.keys() - index.keys() else set()
    for path in sorted({*held, *index, *files}):
        file = files.get(path)
        if file is not None and file.data is None:
            continue  # it cannot be read, or git hides it: that is said elsewhere
        entry = index.get(path)
        what = _differs(file.blobs if file else (), held.get(path), entry)
        if what and path in ignored:
            what += ", ignored by git"
        elif what and entry is not None and entry.mark:
            what += f", {entry.mark}"
        if what:
            by_id.setdefault(PurePosixPath(path).stem, []).append((path, what))
    for id_, changes in sorted(by_id.items()):
        yield _uncommitted_item(id_, changes, command, first=first)
    entry = repository.file(head, FILE_NAME) if head else None
    here = repository.blob_ids((repository.root / FILE_NAME).read_bytes())
    what = _differs(here, entry, repository.index(FILE_NAME).get(FILE_NAME))
    if what:
        mend = _commit_command([FILE_NAME], what, command, first=first)
        yield Item(kind="uncommitted", what=f"{FILE_NAME}: {what}", command=mend)


def _ignored(repository: Repository) -> set[str]:
    """The paths of edit files that git is told to ignore."""
    out = git.read(
        repository.root, "ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--",
        repository.edits,
    )  # fmt: skip
    return set(git.records(out))


def _differs(here: Sequence[str], held: Entry | None, staged: Entry | None) -> str | None:
    """How a file stands between HEAD, the index and the disk, in words; None: it is the same.

    `here` are the ids that the file on disk may have; none if it is not there.
    """
    if staged is not None and staged.stage:
        return "in conflict"
    if not here:
        if held is None and staged is None:
            return None
        return "deleted" if staged is not None else "deleted, staged"
    if staged is None:
        return "new" if held is None else "deleted in the index, still here"
    changed = staged.blob not in here
    if held is None:
        return "new, staged" + (", changed since" if changed else "")
    if staged.blob == held.blob:
        return "changed" if changed else None
    return "changed, staged" + (", changed since" if changed else "")


def _uncommitted_item(id_: str, changes: list[tuple[str, str]], git: str, *, first: bool) -> Item:
    words = {what.split(",")[0] for _, what in changes}
    if len(changes) == 2 and words == {"deleted", "new"}:
        old, new = (path for path, _ in sorted(changes, key=lambda change: change[1]))
        command = _commit_command([old, new], "new", git)
        what = f"moved: {old} → {new}"
        return Item(kind="uncommitted", id=id_, what=what, command=command)
    what = "; ".join(f"{path} {how}" if len(changes) > 1 else how for path, how in changes)
    command = _commit_command([path for path, _ in changes], what, git, first=first)
    return Item(kind="uncommitted", id=id_, what=what, command=command)


def _commit_command(paths: Iterable[str], what: str, git: str, *, first: bool = False) -> str:
    """What commits these paths and nothing else that is staged; the first commit of a repository
    takes in all that belongs to a registry."""
    named = " ".join(shlex.quote(path) for path in paths)
    if marks := [mark for mark in ("skip-worktree", "assume-unchanged") if mark in what]:
        off = " ".join(f"--no-{mark}" for mark in marks)
        git = f"{git} update-index {off} {named} && {git}"
    if "in conflict" in what:
        return f"mend the file, then {git} add {named} && {git} commit"
    if first and "ignored" not in what:
        return f"{git} add . && {git} commit"
    if "new" in what and "staged" not in what:
        force = " --force" if "ignored" in what else ""
        return f"{git} add{force} {named} && {git} commit -- {named}"
    return f"{git} commit -- {named}"


# -- bundles -----------------------------------------------------------------------------------


def _compiled(registry: Registry, states: Iterable[BundleState]) -> Iterator[Item]:
    states = list(states)
    if not states and registry.active:
        what = f"no bundle yet for {count(len(registry.active), 'active edit')}"
        yield Item(kind="missing", what=what, command="sake compile")
    by_id = {edit.id: edit for edit in registry.edits}
    for state in states:
        command = compile_command(state, registry.settings)
        beside = f" ({state.path.name})" if len(states) > 1 else ""
        if state.settings_changed:
            settings = ", ".join(_settings(state, registry)) or "contexts"
            what = f"every edit of {state.path.name}: {settings}"
            yield Item(kind="stale", what=what, command=command)
        for id_ in state.changed:
            yield Item(kind="changed", id=id_, what=f"{by_id[id_].claim}{beside}", command=command)
        for id_ in state.missing:
            yield Item(kind="missing", id=id_, what=f"{by_id[id_].claim}{beside}", command=command)
        for id_ in state.gone:
            edit = by_id.get(id_)
            what = f"status: {edit.lifecycle.status}" if edit else "its file is gone"
            yield Item(kind="gone", id=id_, what=f"{what}{beside}", command=command)


def _settings(state: BundleState, registry: Registry) -> list[str]:
    """Which settings are others than when a bundle was made."""
    now = registry.settings.model_dump(include={"compile", "router", "answer"}, mode="json")
    return [f"{name} {a} → {b}" for name, a, b in differing(state.manifest.settings, now)]


# -- dates and production ----------------------------------------------------------------------


def _dates(registry: Registry, today: date) -> Iterator[Item]:
    for edit in registry.edits:
        life = edit.lifecycle
        if edit.active and life.valid_until and life.valid_until < today:
            reason = shlex.quote(f"expired on {life.valid_until}")
            command = f"sake withdraw {edit.id} --reason {reason}"
            what = f"on {life.valid_until}: {edit.claim}"
            yield Item(kind="expired", id=edit.id, what=what, command=command)
        if life.status != "withdrawn" and life.review_by and life.review_by < today:
            what = f"since {life.review_by}: {edit.claim}"
            yield Item(kind="review", id=edit.id, what=what, command=f"sake show {edit.id}")


def _production(place: str, held: Iterable[tuple[Path, Manifest]]) -> Production:
    from sake_registry.places import shown
    from sake_registry.remote.pointer import read_pointer

    pointer = read_pointer(place)
    bundle = shown(pointer.bundle)
    # The name of a bundle's file is of its key; its content says more, where it is known.
    here = (
        path
        for path, manifest in held
        if pointer.content in (None, manifest.content_hash)
        and (pointer.content or PurePosixPath(bundle).name == path.name)
    )
    return Production(
        pointer=shown(place),
        bundle=bundle,
        content=pointer.content,
        note=pointer.note,
        here=next(here, None),
    )


def _overrides(registry: Registry, pointer: str | None) -> tuple[Mapping[str, str], str]:
    """What is disabled, and where that stands."""
    if pointer is None:
        path = registry.settings.place("overrides", registry.root)
        return read_overrides(path).disabled, os.path.relpath(path)
    from sake_registry.places import beside, read_small, shown
    from sake_registry.remote.following import OVERRIDES

    place = beside(pointer, OVERRIDES)
    try:
        data = read_small(place, MAX_BYTES)
    except FileNotFoundError:
        return {}, shown(place)
    return parse_overrides(data, shown(place)).disabled, shown(place)


def _disabled(registry: Registry, known: Collection[str], pointer: str | None) -> Iterator[Item]:
    active = {*known, *(edit.id for edit in registry.active)}
    disabled, place = _overrides(registry, pointer)
    for id_, reason in sorted(disabled.items()):
        if id_ in active:
            command = f"sake withdraw {id_} --reason {shlex.quote(reason)}"
            yield Item(kind="disabled", id=id_, what=reason, command=command)
        else:
            what = f"{reason} (no active edit)"
            command = f"take it out of {place}"
            yield Item(kind="disabled", id=id_, what=what, command=command)
