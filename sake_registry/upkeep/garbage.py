"""Which objects of the store nobody needs any more: git says what edits there are.

Kept is what any branch, remote branch, tag, HEAD (of every working tree) or the working tree
reaches: each version of each edit file, under each version of `sake.toml`, for each model that
the store was compiled for. So a revert, a switch of branches or a rebuilt bundle stays free.
Versions of which no edit can be made are passed over: nothing was built of them. What other
settings built (a flag, a variable) is not kept, unless it is what the settings of the moment say;
activations that differ in the fit alone are.

Only what a compile wrote of edits is looked at; what the router learnt of its embedder, replies and
statistics of the bench stay. Finding writes nothing, and loads no model.
"""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import computed_field, field_serializer

from sake_registry import git
from sake_registry.compiler.plan import key_settings
from sake_registry.diagnostics import CODES, FIXED
from sake_registry.edits.files import parse_edit
from sake_registry.edits.inventory import is_edit_file
from sake_registry.edits.keys import edit_keys, effect
from sake_registry.errors import (
    BundleFormatError,
    LockedError,
    SettingsError,
    SetupError,
    StateError,
)
from sake_registry.history.repository import Repository
from sake_registry.settings import FILE_NAME, load_settings
from sake_registry.store import COMPILED, Store, StoredModel, StoredObject
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sake_registry.diagnostics import Level
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.settings import Settings

log = logging.getLogger(__name__)

# What the checks of another day, or of other settings, let pass may have been built.
_LENIENT: dict[str, Level] = {code: "off" for code in CODES if code not in FIXED}


class Garbage(Value):
    """The objects of a store: those to keep, those of no edit, and those nobody needs.

    `versions` counts the versions of edits that are reached, and `settings` those of the settings,
    as far as they differ in what is compiled.
    """

    models: tuple[StoredModel, ...]
    versions: int
    settings: int
    kept: tuple[StoredObject, ...]
    other: tuple[StoredObject, ...]
    unreached: tuple[StoredObject, ...]

    @computed_field
    @property
    def unreached_bytes(self) -> int:
        return total(self.unreached)

    @field_serializer("kept", "other")
    def _size(self, objects: tuple[StoredObject, ...]) -> dict[str, int]:
        return {"objects": len(objects), "bytes": total(objects)}


def total(objects: Iterable[StoredObject]) -> int:
    """How many bytes objects take."""
    return sum(stored.bytes for stored in objects)


def find_garbage(registry: Registry, objects: Sequence[StoredObject] | None = None) -> Garbage:
    """The objects of a registry's store that no branch, no tag and no working tree reaches.

    Args:
        objects: those that are looked at; all of its store unless given.

    Raises:
        SetupError: the registry is in no git repository.
        StateError: a shallow or partial clone does not know all that is reached, or nothing
            says for which models the store was compiled.
    """
    store = Store(registry.store)
    objects = store.objects() if objects is None else objects
    repository = _repository(registry)
    known = models(registry)
    compiled = [stored for stored in objects if stored.kind in COMPILED]
    if compiled and not known:
        raise StateError(
            f"nothing says for which models {store.folder} was compiled",
            hint="`sake compile`, for each of them, says so; or remove the folder: what it holds "
            "is built again when it is needed",
        )
    edits, stages = reached(registry, repository)
    keys = _keys(known, edits, stages)
    return Garbage(
        models=tuple(known),
        versions=len({effect(edit) for edit in edits}),
        settings=len(stages),
        kept=tuple(stored for stored in compiled if (stored.kind, stored.key) in keys),
        other=tuple(stored for stored in objects if stored.kind not in COMPILED),
        unreached=tuple(stored for stored in compiled if (stored.kind, stored.key) not in keys),
    )


def models(registry: Registry) -> list[StoredModel]:
    """The models that a registry's store was compiled for: those that it remembers, and those of
    the bundles that lie beside it."""
    from sake_registry.bundle.newest import bundle_files
    from sake_registry.bundle.reader import BundleFile

    by_hash = {(model.hash, model.dtype): model for model in Store(registry.store).models()}
    for path in bundle_files(registry.bundles):
        try:
            with BundleFile(path) as bundle:
                model = bundle.manifest.model
        except (BundleFormatError, LockedError) as error:
            log.debug("%s", error.message)  # nothing can be reused of it, either
            continue
        by_hash.setdefault(
            (model.hash, model.dtype),
            StoredModel(name=model.name, hash=model.hash, dtype=model.dtype),
        )
    return list(by_hash.values())


def reached(
    registry: Registry, repository: Repository
) -> tuple[list[Edit], list[dict[str, dict[str, Any]]]]:
    """Every version of an edit that git or the working tree reaches, and every version of what
    the settings say of compiling.

    Raises:
        StateError: a shallow or partial clone lacks some of them.
    """
    if repository.shallow:
        raise StateError(
            f"{registry.root} is a shallow clone: it does not know what branches and tags reach",
            hint="`git fetch --unshallow` gets the rest",
        )
    all_settings = [registry.settings, *_settings(registry, repository)]
    stages: list[dict[str, dict[str, Any]]] = []
    for settings in all_settings:
        try:
            stage = key_settings(settings)
        except SettingsError:
            continue
        if stage not in stages:
            stages.append(stage)
    edits = list(registry.edits)
    for folder in dict.fromkeys(settings.edits for settings in all_settings):
        edits += _versions(repository, PurePosixPath(folder).as_posix())
    return edits, stages


def _repository(registry: Registry) -> Repository:
    if not any((folder / ".git").exists() for folder in (registry.root, *registry.root.parents)):
        raise SetupError(
            f"{registry.root} is not in a git repository, which would say what is still needed",
            hint=f"`rm -r '{registry.store}'` removes everything; it is built again when needed",
        )
    return Repository(registry.root, registry.settings.edits, registry.settings.checks)


def _settings(registry: Registry, repository: Repository) -> list[Settings]:
    """The versions of `sake.toml`, without the variables of the moment."""
    versions = []
    for data in repository.read(blob for _, blob in _blobs(repository, FILE_NAME)).values():
        try:
            versions.append(load_settings(registry.root, environ={}, data=data))
        except SettingsError:
            continue
    return versions


def _versions(repository: Repository, folder: str) -> list[Edit]:
    """The versions of the edits in a folder, staged ones too; each is called after its blob."""
    blobs = {blob for path, blob in _blobs(repository, folder) if is_edit_file(path, folder)}
    staged = repository.index(folder).items()
    blobs |= {entry.blob for path, entry in staged if entry.regular and is_edit_file(path, folder)}
    edits = []
    for blob, data in repository.read(sorted(blobs)).items():
        edit, _ = parse_edit(data, Path(f"{blob}.yaml"), severities=_LENIENT)
        if edit is not None:
            edits.append(edit)
    return edits


def _blobs(repository: Repository, path: str) -> set[tuple[str, str]]:
    """(path, blob) of every regular file at or below a path, in any commit that is reached.

    Merges are compared with each of their parents: what only a resolved conflict wrote counts.
    """
    root = repository.root
    commits = git.read(root, "rev-list", "--all", "--full-history", "--", path)
    out = git.read(
        root, "diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "--no-renames", "--no-abbrev",
        "--no-commit-id", "--relative", "-z", "--", path, stdin=commits,
    )  # fmt: skip
    blobs = set()
    fields = iter(out.decode("utf-8", errors="surrogateescape").split("\0"))
    for meta in fields:
        if not meta:
            continue
        _, mode, _, blob, _ = meta.split(" ")
        name = next(fields)
        if mode.startswith("100"):
            blobs.add((name, blob))
    return blobs


def _keys(
    known: Iterable[StoredModel],
    edits: Iterable[Edit],
    stages: Iterable[dict[str, dict[str, Any]]],
) -> set[tuple[str, str]]:
    """(kind, key) of every object that these edits have, for these models and settings."""
    from sake_registry.compiler.context import probe_key  # imports torch

    keys: set[tuple[str, str]] = set()
    edits, stages = list(edits), list(stages)
    for model in known:
        keys.add(("probe", probe_key(model)))
        for stage in stages:
            for edit in edits:
                of_edit = edit_keys(edit, model_hash=model.hash, dtype=model.dtype, **stage)
                keys.update(of_edit.objects)
    return keys
