"""`sake cache`: how large the store is, whether it is sound, and what of it nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import State, emit_json, json_option, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sake_registry.edits.registry import Registry
    from sake_registry.store import SharedStore, Store, StoredObject

# What a user loses with an object of each kind.
_COSTS = {
    "activations": "forward passes",
    "maps": "a fit",
    "routes": "embeddings",
    "probe": "a load of the model",
    "metric": "an embedding of the library of questions",
    "covariance": "a benchmark's statistics",
    "replies": "a benchmark's answers",
    "calibration": "a benchmark's thresholds",
}


@click.command("cache")
@click.argument("action", type=click.Choice(["size", "verify", "gc"]), default="size")
@click.option("--delete", is_flag=True, help="With verify or gc: remove what was found.")
@click.option("--remote", is_flag=True, help="Of what is shared with others (remote.store).")
@json_option
@click.pass_obj
def command(state: State, action: str, delete: bool, remote: bool, as_json: bool) -> None:
    """Show the size of the store, verify it, or collect garbage.

    verify reads every object and exits 1 if one is damaged or in another's place; such a one
    counts as missing, and is built again. It also hashes again the model files whose hashes are
    remembered, and forgets what is not so. gc lists what no branch, no tag and no working tree
    reaches, and removes it with --delete. It needs the whole history. What several registries
    share, gc of one would take from the others: give each a folder of its own.

    \b
    sake cache
    sake cache verify --remote
    sake cache gc && sake cache gc --delete
    """
    if action == "size" and delete:
        raise click.UsageError("--delete goes with verify or gc")

    from sake_registry.store import SharedStore

    registry = state.registry()
    here = registry.open_store()
    store = SharedStore(here) if remote else here
    if action == "size":
        _size(store, here, as_json)
    elif action == "verify":
        _verify(store, delete, as_json)
    else:
        _collect(registry, store, delete, as_json)


def _size(store: Store | SharedStore, here: Store, as_json: bool) -> None:
    from sake_registry.store import KINDS

    objects, models, shared = store.objects(), here.models(), here.shared
    kinds = [(kind, [found for found in objects if found.kind == kind]) for kind in KINDS]
    if as_json:
        emit_json(
            "cache/1",
            {
                "action": "size",
                "store": str(store.folder),
                **_sum(objects),
                "kinds": {kind: _sum(found) for kind, found in kinds},
                "models": [model.model_dump() for model in models],
                "shared": str(shared) if shared else None,
            },
        )
        return
    table(
        ("kind", "objects", "size", "saves"),
        [
            (kind, str(len(found)), _bytes(_sum(found)["bytes"]), _COSTS[kind])
            for kind, found in kinds
            if found
        ],
    )
    say(f"{store.folder}: {_said(objects)}")
    if shared is not None:
        does = "read and written" if shared.writable else "read"
        say(f"  shared with {shared}, which is {does}")
    for model in models:
        say(f"  compiled for {model.name} ({model.hash[:8]}, {model.dtype})")


def _verify(store: Store | SharedStore, delete: bool, as_json: bool) -> None:
    from sake_registry.models.fingerprint import verify_memory
    from sake_registry.store import Store
    from sake_registry.wording import count

    with _held(store, delete):
        objects = store.objects()
        damaged = store.damages(objects)
        if delete:
            store.remove(damaged)
    files = verify_memory() if isinstance(store, Store) else {}
    changed = [file for file, same in files.items() if not same]
    if as_json:
        listed = [
            {**found.model_dump(mode="json"), "wrong": wrong} for found, wrong in damaged.items()
        ]
        emit_json(
            "cache/1",
            {
                "action": "verify",
                "objects": len(objects),
                "damaged": listed,
                "deleted": delete,
                "model_files": len(files),
                "changed": [str(file) for file in changed],
            },
        )
    else:
        for found, wrong in damaged.items():
            say(f"{store.place(found)}: {wrong}")
        for file in changed:
            say(f"{file}: the remembered hash is not its own: forgotten")
        if isinstance(store, Store):
            say(f"{count(len(files), 'model file')} hashed again", err=True)
        say(f"{count(len(objects), 'object')}, {len(damaged)} damaged")
        if damaged:
            say("removed" if delete else "--delete removes them", err=True)
    if damaged or changed:
        raise click.exceptions.Exit(1)


def _held(store: Store | SharedStore, delete: bool) -> AbstractContextManager[None]:
    """The store's lock, where something is removed; what is shared has none."""
    from contextlib import nullcontext

    from sake_registry.store import Store

    return store.lock() if delete and isinstance(store, Store) else nullcontext()


def _collect(registry: Registry, store: Store | SharedStore, delete: bool, as_json: bool) -> None:
    from sake_registry.upkeep.garbage import find_garbage
    from sake_registry.wording import count

    with _held(store, delete):
        garbage = find_garbage(registry, store.objects())
        if delete:
            store.remove(garbage.unreached)
    if as_json:
        emit_json("cache/1", {"action": "gc", **garbage.model_dump(mode="json"), "deleted": delete})
        return
    for found in garbage.unreached:
        say(f"{found.kind} {found.key[:12]} {_bytes(found.bytes)}")
    done = "removed" if delete else "not reached"
    say(f"{done}: {_said(garbage.unreached)}")
    say(
        f"kept: {_said(garbage.kept)}, of {count(garbage.versions, 'version')} of edits × "
        f"{count(garbage.settings, 'version')} of the settings × "
        f"{count(len(garbage.models), 'model')}"
    )
    if garbage.other:
        say(f"kept: {_said(garbage.other)}, of no edit")
    if garbage.unreached and not delete:
        say("nothing was removed: `sake cache gc --delete` does it", err=True)


def _sum(objects: Sequence[StoredObject]) -> dict[str, Any]:
    return {"objects": len(objects), "bytes": sum(found.bytes for found in objects)}


def _said(objects: Sequence[StoredObject]) -> str:
    from sake_registry.wording import count

    return f"{count(len(objects), 'object')}, {_bytes(_sum(objects)['bytes'])}"


def _bytes(n: int) -> str:
    """A number of bytes, in the unit that suits it."""
    size = float(n)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
