"""How the registry's bundles stand to its edits, without a model.

A key needs no more of a model than its hash and dtype, and a bundle's manifest holds both: so
what is stale is known in a moment, on a machine without the model, and without torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sake_registry.bundle.newest import newest_bundles
from sake_registry.errors import SakeError, SettingsError, StateError, installing
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.settings import Settings


class BundleState(Value):
    """The newest bundle of a model, and where it is not what the registry says now: ids.

    `commit` is the commit it was made from, if that was recorded; `dirty` says that it was made
    from more than that, `current` that compiling would give it again. `missing` are active and
    not in it; `gone` are in it and no longer active; `changed` are in it in another version.
    `settings_changed` says that every key would be another one now, whatever the edits say.
    """

    path: Path
    model: str
    model_hash: str
    dtype: str
    key: str
    commit: str | None
    dirty: bool
    current: bool
    missing: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    settings_changed: bool
    manifest: Any = Field(exclude=True, repr=False)
    """Its `Manifest`, whose type is in the extra."""


def bundle_states(
    registry: Registry,
    held: Sequence[tuple[Path, Manifest]] | None = None,
    untouched: Collection[str] = (),
) -> list[BundleState]:
    """How the newest whole bundle of each model stands to the registry.

    Args:
        held: the bundles, where `newest_bundles` was asked already.
        untouched: ids that are known to be what every bundle was made from; they need not be
            among the registry's edits.

    Raises:
        ModuleNotFoundError: bundles are HDF5 files, and the extra that reads them is missing.
        SettingsError: a context that is in no table.
    """
    edits = {edit.id: edit for edit in registry.edits}
    # Of a file with errors nothing is known, so nothing is said of its edit.
    unread = {finding.path.stem for finding in registry.errors} - edits.keys()
    bundles = newest_bundles(registry.bundles) if held is None else held
    return [
        state_of(path, manifest, edits, registry.settings, {*untouched, *unread})
        for path, manifest in sorted(bundles, key=lambda pair: pair[0].name)
    ]


def state_of(
    path: Path,
    manifest: Manifest,
    edits: Mapping[str, Edit],
    settings: Settings,
    untouched: Collection[str] = (),
) -> BundleState:
    """How one bundle stands to edits and settings.

    Args:
        edits: by id, whatever their status.
        untouched: ids that are known to be what the bundle was made from; they need not be
            among `edits`.

    Raises:
        SettingsError: a context that is in no table.
    """
    from sake_registry.compiler.plan import key_settings, keys_of

    held = {info.id: info for info in manifest.edits}
    active = {id_: edit for id_, edit in edits.items() if edit.active}
    both = [edit for id_, edit in sorted(active.items()) if id_ in held]
    best: tuple[int, Settings | None, dict[str, str]] = (-1, None, {})
    for then in _settings_then(manifest, settings):
        try:
            keys = {id_: k.edit for id_, k in keys_of(both, manifest.model, then).items()}
        except SettingsError:
            continue
        matches = sum(held[id_].key == key for id_, key in keys.items())
        if matches > best[0]:
            best = matches, then, keys
    _, used, keys = best
    changed = []
    for edit in both:
        info, life = held[edit.id], edit.lifecycle
        dates = (life.valid_from, life.valid_until) == (info.valid_from, info.valid_until)
        if keys.get(edit.id) != info.key or not dates:
            changed.append(edit.id)
    missing = tuple(sorted(active.keys() - held.keys()))
    gone = tuple(sorted(held.keys() - active.keys() - set(untouched)))
    settings_changed = used is None or key_settings(used) != key_settings(settings)
    commit = manifest.provenance.get("commit")
    return BundleState(
        path=path,
        model=manifest.model.name,
        model_hash=manifest.model.hash,
        dtype=manifest.model.dtype,
        key=manifest.key,
        commit=commit if isinstance(commit, str) else None,
        dirty=manifest.provenance.get("dirty") is not False,
        current=not (missing or gone or changed or settings_changed),
        missing=missing,
        gone=gone,
        changed=tuple(changed),
        settings_changed=settings_changed,
        manifest=manifest,
    )


def _settings_then(manifest: Manifest, settings: Settings) -> Iterator[Settings]:
    """The settings that a bundle may have been made under: it does not record the templates of
    the registry's own contexts, so they are today's, or none."""
    from pydantic import ValidationError

    from sake_registry.settings import (
        AnswerSettings,
        CompileSettings,
        ContextSettings,
        RouterSettings,
    )

    try:
        recorded = {
            "compile": CompileSettings.model_validate(manifest.settings.get("compile", {})),
            "router": RouterSettings.model_validate(manifest.settings.get("router", {})),
            "answer": AnswerSettings.model_validate(manifest.settings.get("answer", {})),
        }
    except ValidationError:
        return  # of a later or an earlier sake
    yield settings.model_copy(update=recorded)
    if settings.contexts != ContextSettings():
        yield settings.model_copy(update={**recorded, "contexts": ContextSettings()})


def after_change(registry: Registry | Path | str, ids: Sequence[str]) -> list[str]:
    """What a change of these edits means for the bundles, in lines to be shown.

    The registry is read again: its files have changed. What cannot be known (nothing compiled yet,
    a file with errors, the extra for bundles missing) is left out, or is one line.

    Raises:
        InputError: there is no registry any more.
    """
    from sake_registry.edits.registry import Registry, open_registry

    root = registry.root if isinstance(registry, Registry) else Path(registry)
    now = open_registry(root)
    try:
        states = bundle_states(now)
        return [line for state in states for line in _about(state, now, ids)]
    except (ModuleNotFoundError, SettingsError, StateError) as error:
        return [not_looked_at(error)]


def not_looked_at(error: ModuleNotFoundError | SakeError) -> str:
    """That nothing is said of bundles, and why: what `bundle_states` raises."""
    why = (
        error.message
        if isinstance(error, SakeError)
        else f"{error.name} is not installed ({installing()})"
    )
    return f"bundles were not looked at: {why}"


def _about(state: BundleState, registry: Registry, ids: Sequence[str]) -> Iterator[str]:
    """One bundle after a change of some edits."""
    from sake_registry.compiler.plan import keys_of
    from sake_registry.edits.keys import bundle_key
    from sake_registry.store import Store

    name = _shown(state.path, registry.root)
    command = f"`{compile_command(state, registry.settings)}`"
    stale = [i for i in ids if i in {*state.missing, *state.gone, *state.changed}]
    if not stale and not state.settings_changed:
        yield f"bundle {name} is up to date"
        return
    if not stale:
        yield f"bundle {name} was made under other settings: {command}"
        return
    yield f"bundle {name} is stale for {', '.join(stale)}"
    if registry.errors:
        errors = count(len(registry.errors), "error")
        yield f"  {errors} to mend before it can be compiled: `sake check`"
        return
    store = Store(registry.store)
    keys = keys_of(registry.active, state.manifest.model, registry.settings)
    new = [id_ for id_, key in keys.items() if not store.has("activations", key.activations)]
    unfit = [
        id_
        for id_, key in keys.items()
        if not (store.has("maps", key.maps) and store.has("routes", key.edit))
    ]
    key = bundle_key((id_, k.edit) for id_, k in keys.items())[:12]
    if new:
        yield f"  {command} runs the model for {', '.join(new[:5])}" + (
            f" and {len(new) - 5} more" if len(new) > 5 else ""
        )
    elif unfit:
        yield f"  the activations are in the store: {command} costs no forward pass"
    else:
        what = "the earlier build is still in the store" if keys else "nothing is left to build"
        yield f"  {what}: {command} costs no forward pass and gives key {key}"


def compile_command(state: BundleState, settings: Settings) -> str:
    """The command that brings a bundle up to date, of the registry's own model or another."""
    model = "" if state.model == settings.model else f" --model '{state.model}'"
    return f"sake compile{model}"


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
