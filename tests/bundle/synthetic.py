"""Small bundles of random numbers, written by the real writer; and ways to forge them.

`forge` changes what a bundle says and seals it again, so that the seal does not hide the check
that a test is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sake_registry.bundle.format import (
    BY_PATH,
    PARTS,
    PROBES,
    EditInfo,
    EmbedderInfo,
    GroupInfo,
    IdentityInfo,
    Manifest,
    ModelInfo,
    RouteInfo,
    content_hash,
    digest,
    seal,
)
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, write_bundle

if TYPE_CHECKING:
    from sake_registry.bundle.format import Array

WIDTH, EMBEDDER = 6, 5
Arrays = dict[str, "Array"]
ManifestJson = dict[str, Any]
Change = Callable[[Arrays, ManifestJson], None]


def hash_of(letter: str) -> str:
    return letter * 64


def group(rng: np.random.Generator, rank: int, pairs: int, forced: bool) -> GroupPayload:
    def numbers(*shape: int) -> Array:
        return rng.standard_normal(shape).astype("<f4")

    return GroupPayload(
        maps={
            "source_mean": numbers(WIDTH),
            "target_mean": numbers(WIDTH),
            "basis": numbers(rank, WIDTH),
            "scale": rng.random(rank).astype("<f4"),
        },
        activations={
            "plain": numbers(pairs, WIDTH),
            "forced": numbers(pairs if forced else 0, WIDTH),
            "target": numbers(pairs, WIDTH),
            "worked": rng.integers(0, 2, pairs).astype("|u1"),
            "context": rng.integers(-1, 4, pairs).astype("<i2"),
        },
    )


def edit(
    name: str,
    seed: int,
    groups: Sequence[tuple[int, int, bool]],
    **changes: Any,
) -> EditPayload:
    """An edit with a group for each (rank, pairs, with forced rows); one route a group and one
    against the edit."""
    rng = np.random.default_rng(seed)
    payloads = [group(rng, *shape) for shape in groups]
    rows = [*range(1, len(groups) + 1), 2]
    routes = tuple(
        RouteInfo(group=g if g < len(groups) else -1, names=(name.title(),), need="any", rows=n)
        for g, n in enumerate(rows)
    )
    infos = tuple(
        GroupInfo(
            kind="implication" if g else "fact",
            old="old" if forced else None,
            new="new",
            written=2,
            added=pairs - 2,
            worked=pairs,
            used=pairs,
            contexts=(pairs, 0),
            rank=rank,
            scale_min=0.5,
            scale_max=1.5,
            residual=1e-10,
            reg=1.0,
            solver="lowrank",
        )
        for g, (rank, pairs, forced) in enumerate(groups)
    )
    info = EditInfo(
        **{
            "id": name,
            "key": f"{seed:064x}",
            "subject": (name.title(), "Šubject"),
            "relation": "mother tongue",
            "old": "old",
            "new": ("new", "newer"),
            "kind": "anchored",
            "threshold": 4.25,
            "routes": routes,
            "groups": infos,
            **changes,
        }
    )
    points = rng.standard_normal((sum(rows), EMBEDDER)).astype("<f4")
    return EditPayload(info, payloads, points)


EDITS = (
    edit("ada-3", 1, [(3, 4, True), (0, 5, True)], valid_until="2030-01-01"),
    edit("bob", 2, [(0, 3, False)], old=None, warnings=("a warning",)),
    edit("cyd", 3, [(4, 6, True), (2, 3, False), (1, 7, True)], valid_from="2026-11-22"),
)


def write(path: Path, edits: Sequence[EditPayload] = EDITS, **changes: Any) -> Manifest:
    """A bundle of these edits; `changes` are arguments of `write_bundle`."""
    embedder = EmbedderInfo(name="minilm", width=EMBEDDER)
    identity = {"checkpoint": "1", "config": "2", "tokenizer": "3", "embedder": "4"}
    model = ModelInfo(
        name="tiny",
        architecture="TinyForCausalLM",
        hash=hash_of("a"),
        identity=IdentityInfo(**{name: hash_of(letter) for name, letter in identity.items()}),
        dtype="float32",
        site="lm_head.input",
        width=WIDTH,
    )
    values: dict[str, Any] = {
        "key": hash_of("b"),
        "partial": False,
        "model": model,
        "embedder": embedder,
        "probe_texts": [f"probe {i}" for i in range(PROBES)],
        "probe": np.random.default_rng(0).standard_normal((PROBES, WIDTH)).astype("<f4"),
        "settings": {"compile": {"reg": 1.0, "sources": ["plain"]}},
        "versions": {"torch": "2.13.0"},
        "provenance": {"commit": "c" * 40, "dirty": False, "tag": None},
    }
    return write_bundle(path, edits, **{**values, **changes})


def values(path: Path) -> dict[str, Any]:
    """Everything that can be read of a bundle, as plain values that compare exactly."""
    with BundleFile(path) as bundle:
        bundle.verify()
        found: dict[str, Any] = {
            "manifest": bundle.manifest,
            "digests": bundle.digests,
            "slim": not bundle.has_activations,
            "probe": exact(bundle.probe),
        }
        for info in bundle.manifest.edits:
            found[info.id] = values_of(bundle, info.id)
        return found


def values_of(bundle: BundleFile, name: str) -> dict[str, Any]:
    """Everything that can be read of one edit."""
    return {
        "info": bundle.info(name),
        "points": exact(bundle.points(name)),
        "maps": [{n: exact(a) for n, a in m.items()} for m in bundle.maps(name)],
        "activations": [{n: exact(a) for n, a in m.items()} for m in bundle.activations(name)],
    }


def exact(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def forge(
    good: Path,
    path: Path,
    change: Change | None = None,
    later: Change | None = None,
    meta: bytes | None = None,
) -> Path:
    """A copy of the bundle `good`, changed and sealed again.

    Args:
        change: changes the arrays by path, and the manifest; digests and content hash follow.
        later: the same, but only the seal follows.
        meta: stands in the manifest's place, whatever it is.
    """
    with h5py.File(good, "r") as file:
        arrays = {name: file[name][()] for name in BY_PATH if name in file}
    manifest = json.loads(arrays["meta"].tobytes())
    if change is not None:
        change(arrays, manifest)
        _digest_again(arrays, manifest)
    if later is not None:
        later(arrays, manifest)
    text = json.dumps(manifest, ensure_ascii=False).encode() if meta is None else meta
    arrays["meta"] = np.frombuffer(text, np.uint8)
    arrays["seal"] = np.frombuffer(seal(arrays), np.uint8)
    with h5py.File(path, "w", libver="latest") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
    return path


def _digest_again(arrays: Arrays, manifest: ManifestJson) -> None:
    digests = arrays["digests"].copy()
    groups, basis, points = (arrays[f"index/{name}"] for name in ("groups", "basis", "points"))
    for i, info in enumerate(manifest["edits"][: len(digests)]):
        routes = [[r["group"], r["rows"], int(r["need"] == "all")] for r in info["routes"]]
        names = json.dumps(
            [info["kind"], [route["names"] for route in info["routes"]]],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        router = {
            "points": arrays["router/points"][points[i] : points[i + 1]],
            "threshold": np.array([info["threshold"]], "<f8"),
            "routes": np.array(routes, "<i8").reshape(-1, 3),
            "names": np.frombuffer(names.encode(), np.uint8),
        }
        maps: Arrays = {}
        for number, g in enumerate(range(groups[i], groups[i + 1])):
            rows = slice(basis[g], basis[g + 1])
            maps |= {
                f"{number}/source_mean": arrays["maps/source_mean"][g],
                f"{number}/target_mean": arrays["maps/target_mean"][g],
                f"{number}/basis": arrays["maps/basis"][rows],
                f"{number}/scale": arrays["maps/scale"][rows],
            }
        for part, found in (("router", router), ("maps", maps)):
            digests[i, PARTS.index(part)] = np.frombuffer(digest(part, found), np.uint8)
    arrays["digests"] = digests
    named = [(info["id"], info["key"]) for info in manifest["edits"]]
    manifest["content_hash"] = content_hash(
        (name, key, digests[i].tobytes()) for i, (name, key) in enumerate(named[: len(digests)])
    )
