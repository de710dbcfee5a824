"""The plan: for every edit, whether it is built, refitted, reused or removed, and why.

A plan is a value. Making one loads no model: keys need only the model's identity.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field, computed_field

from sake_registry.bundle.newest import file_name, model_name, newest_bundles
from sake_registry.bundle.reader import BundleFile
from sake_registry.edits.keys import EditKeys, bundle_key, edit_keys
from sake_registry.edits.schema import Edit
from sake_registry.errors import BundleFormatError, InputError, LockedError
from sake_registry.extraction import contexts
from sake_registry.files import below
from sake_registry.store import Store
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.models.loading import LocatedModel
    from sake_registry.settings import Settings

log = logging.getLogger(__name__)

Action = Literal["build", "refit", "reuse", "remove"]


class ModelIdentity(Protocol):
    """All of a model that is in a key: a located model has it, and so has a bundle's manifest."""

    @property
    def hash(self) -> str: ...
    @property
    def dtype(self) -> str: ...


class PlannedEdit(Value):
    """What would be done with one edit. `edit` and `keys` are None for one that is removed."""

    id: str
    action: Action
    reason: str
    edit: Edit | None = Field(None, exclude=True)
    keys: EditKeys | None = Field(None, exclude=True)

    @computed_field
    @property
    def key(self) -> str | None:
        """The key of the whole edit."""
        return self.keys.edit if self.keys else None


class PlanReport(Value):
    """What a plan is shown as."""

    model: str
    model_hash: str
    dtype: str
    key: str
    bundle: Path | None
    current: bool
    edits: tuple[PlannedEdit, ...]


@dataclass(frozen=True)
class Plan:
    """What compiling would do, for one model.

    `chosen` are the ids whose building was asked for; `current` says that the bundle at `path`
    is already what compiling would write.
    """

    located: LocatedModel
    edits: tuple[PlannedEdit, ...]
    key: str
    path: Path
    chosen: tuple[str, ...]
    partial: bool
    slim: bool
    current: bool
    previous: Path | None

    def without(self, ids: Collection[str]) -> Plan:
        """The same plan for a bundle that leaves these edits out."""
        edits = tuple(planned for planned in self.edits if planned.id not in ids)
        key = bundle_key((p.id, p.keys.edit) for p in edits if p.keys)
        path = self.path.parent / file_name(_model_name(self.located), key, slim=self.slim)
        members = [p.edit for p in edits if p.edit]
        current = _is_current(path, key, members, partial=self.partial)
        return replace(self, edits=edits, key=key, path=path, current=current)

    def texts(self, settings: Settings) -> int:
        """How many texts building will run through the model at most."""
        chosen = contexts.choose(settings)
        return sum(
            chosen.most_texts(planned.edit, settings)
            for planned in self.edits
            if planned.edit and planned.action == "build" and planned.id in self.chosen
        )

    @property
    def report(self) -> PlanReport:
        return PlanReport(
            model=self.located.source.name,
            model_hash=self.located.hash,
            dtype=self.located.dtype,
            key=self.key,
            bundle=self.path,
            current=self.current,
            edits=self.edits,
        )


def make_plan(
    registry: Registry,
    located: LocatedModel,
    ids: Sequence[str] = (),
    *,
    only: bool = False,
    slim: bool = False,
) -> Plan:
    """What compiling `registry` for a model would do.

    Args:
        ids: build only these edits; all active ones if empty.
        only: the bundle holds only `ids` (a partial bundle).
        slim: the bundle leaves the activations out.

    Raises:
        EditFileError: an edit file has errors.
        InputError: an id that is not in the registry, or not of an active edit.
        SettingsError: a context that is in no table.
    """
    registry.sound()
    chosen = registry.select(ids)
    for edit in chosen:
        if not edit.active:
            raise InputError(
                f"'{edit.id}' is {edit.lifecycle.status}: it belongs in no bundle",
                hint=f"set `status: active` in {edit.path}",
            )
    members = chosen if only and ids else registry.active
    store = registry.open_store()
    keys = keys_of(members, located, registry.settings)
    name = _model_name(located)
    newest = newest_bundles(registry.bundles, model=name)
    known = {edit.id for edit in newest[0][1].edits} if newest else set()
    planned = [_planned(edit, keys[edit.id], store, edit.id in known) for edit in members]
    if not only:
        planned += [_removed(id_, registry) for id_ in known - keys.keys()]
    key = bundle_key((id_, k.edit) for id_, k in keys.items())
    path = below(registry.bundles, registry.bundles / file_name(name, key, slim=slim))
    partial = only and bool(ids)
    return Plan(
        located=located,
        edits=tuple(sorted(planned, key=lambda p: p.id)),
        key=key,
        path=path,
        chosen=tuple(edit.id for edit in chosen),
        partial=partial,
        slim=slim,
        current=_is_current(path, key, members, partial=partial),
        previous=newest[0][0] if newest else None,
    )


def keys_of(edits: Sequence[Edit], model: ModelIdentity, settings: Settings) -> dict[str, EditKeys]:
    """The keys of edits for a model under settings, by id.

    Raises:
        SettingsError: a context that is in no table.
    """
    stages = key_settings(settings)
    return {
        edit.id: edit_keys(edit, model_hash=model.hash, dtype=model.dtype, **stages)
        for edit in edits
    }


def key_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """What of the settings is in keys, by stage: all edits of a registry share it.

    Raises:
        SettingsError: a context that is in no table.
    """
    compile_ = settings.compile
    return {
        "extraction": {
            "prompts": compile_.prompts,
            "batch_size": compile_.batch_size,
            "whole": compile_.whole,
            "contexts": asdict(contexts.choose(settings)),
        },
        "fit": compile_.model_dump(
            include={
                "reg",
                "complement",
                "solver",
                "keep_failed",
                "min_pairs",
                "min_score",
                "sources",
            }
        ),
        "routing": {
            **settings.router.model_dump(exclude={"embedder"}),
            "threshold": settings.router.bound,
            **settings.answer.model_dump(),
        },
    }


def _model_name(located: LocatedModel) -> str:
    return model_name(located.source.short, located.hash)


def _is_current(path: Path, key: str, members: Sequence[Edit], *, partial: bool) -> bool:
    """Whether the bundle is there, and is what its name says. In it but in no key are dates, and
    whether it is partial."""
    if not path.is_file():
        return False
    try:
        with BundleFile(path) as bundle:
            manifest = bundle.manifest
    except (BundleFormatError, LockedError) as error:
        log.warning("%s", error.message)
        return False
    if (manifest.key, manifest.partial) != (key, partial):
        return False
    dates = {edit.id: (edit.valid_from, edit.valid_until) for edit in manifest.edits}
    return dates == {e.id: (e.lifecycle.valid_from, e.lifecycle.valid_until) for e in members}


def _planned(edit: Edit, keys: EditKeys, store: Store, before: bool) -> PlannedEdit:
    action: Action = "refit"
    if not store.has("activations", keys.activations):
        action = "build"
        reason = "its texts, the model or the extraction changed" if before else "new"
    elif not store.has("maps", keys.maps):
        reason = "the fit's settings changed"
    elif not store.has("routes", keys.edit):
        reason = "the router's settings or the edit's unchanged prompts changed"
    else:
        action, reason = "reuse", "unchanged" if before else "already built"
    return PlannedEdit(id=edit.id, action=action, reason=reason, edit=edit, keys=keys)


def _removed(id_: str, registry: Registry) -> PlannedEdit:
    status = next((edit.lifecycle.status for edit in registry.edits if edit.id == id_), None)
    reason = f"status: {status}" if status else "its file is gone"
    return PlannedEdit(id=id_, action="remove", reason=reason)


def find_bundle(registry: Registry, located: LocatedModel) -> Path:
    """The bundle to use for a model: the registry's current one, or the newest there is.

    Raises:
        InputError: nothing is compiled for this model.
    """
    plan = make_plan(registry, located)
    path = plan.path if plan.path.is_file() else plan.previous
    if path is None:
        raise InputError(
            f"no bundle for {located.source.name} ({located.hash[:8]}) in {registry.bundles}",
            hint="`sake compile` makes one",
        )
    return path


def stale(manifest: Manifest, registry: Registry, model: ModelIdentity) -> dict[str, str]:
    """Where a bundle is not what the registry says now: by edit id, in words."""
    held = {edit.id: edit.key for edit in manifest.edits}
    now = keys_of(registry.active, model, registry.settings)
    words = {}
    for id_ in sorted({*held, *now}):
        if id_ not in held:
            words[id_] = "not in the bundle: `sake compile`"
        elif id_ not in now:
            words[id_] = "in the bundle, but no longer active: `sake compile`"
        elif held[id_] != now[id_].edit:
            words[id_] = "the bundle holds another version of it, or other settings: `sake compile`"
    return words
