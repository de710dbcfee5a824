"""Small bundles of random numbers, written by the real writer; and ways to forge them.

`forge` changes what a bundle says and seals it again, so that the seal does not hide the check
that a test is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    Group,
    IdentityInfo,
    Manifest,
    MetricInfo,
    ModelInfo,
    Route,
    Step,
    content_hash,
    part_digest,
    seal,
)
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle

if TYPE_CHECKING:
    from sake_registry.bundle.format import Array

WIDTH, EMBEDDER, SPACE = 6, 5, 3
Arrays = dict[str, "Array"]
ManifestJson = dict[str, Any]
Change = Callable[[Arrays, ManifestJson], None]


def hash_of(letter: str) -> str:
    return letter * 64


def group(
    rng: np.random.Generator, ranks: Sequence[int | None], pairs: int, forced: bool
) -> GroupPayload:
    """The numbers of a group: a map for each rank, and a plain row for each pair and token."""

    def numbers(*shape: int) -> Array:
        return rng.standard_normal(shape).astype("<f4")

    rows = pairs * len(ranks)
    return GroupPayload(
        maps=[
            {
                "source_mean": numbers(WIDTH),
                "target_mean": numbers(WIDTH),
                "basis": numbers(rank, WIDTH),
                "scale": rng.random(rank).astype("<f4"),
            }
            for rank in ranks
            if rank is not None
        ],
        activations={
            "plain": numbers(rows, WIDTH),
            "forced": numbers(pairs if forced else 0, WIDTH),
            "target": numbers(rows, WIDTH),
            "worked": rng.integers(0, 2, rows).astype("|u1"),
            "context": rng.integers(-1, 4, rows).astype("<i2"),
        },
    )


def described(
    number: int, ranks: Sequence[int | None], pairs: int, forced: bool, groups: int
) -> Group:
    """What the manifest says of a group."""
    return Group(
        kind="implication" if number else "fact",
        old="old" if forced else None,
        new="new",
        tokens=tuple(100 * groups + 10 * number + t for t in range(len(ranks))),
        closing=None,
        written=2,
        added=pairs - 2,
        worked=pairs,
        contexts=(pairs, 0),
        goes_on=tuple(1.0 if rank is None else 0.25 for rank in ranks[1:]),
        steps=tuple(
            Step(
                position=position,
                worked=pairs,
                used=pairs,
                sources="plain+forced" if forced else "plain",
                reg=1.0,
                share=None if position else "10%",
                complement=0.75 if position else 1.0,
                solver="lowrank",
                score=None if position else 0.9,
                margin=None if position else -1.5,
                rank=rank,
                scale_min=0.5,
                scale_max=1.5,
                residual=1e-10,
            )
            for position, rank in enumerate(ranks)
            if rank is not None
        ),
    )


def edit(
    name: str,
    seed: int,
    groups: Sequence[tuple[int | tuple[int | None, ...], int, bool]],
    **changes: Any,
) -> EditPayload:
    """An edit with a group for each (rank, pairs, with forced rows); one route a group and one
    against the edit.

    Where the object has several tokens, a rank stands for each; None where there is no map.
    """
    rng = np.random.default_rng(seed)
    shapes = [((r,) if isinstance(r, int) else r, pairs, forced) for r, pairs, forced in groups]
    payloads = [group(rng, *shape) for shape in shapes]
    rows = [*range(1, len(groups) + 1), 2]
    routes = tuple(
        Route(
            group=g if g < len(groups) else -1,
            names=(name.title(),),
            need="any",
            rows=n,
            ends=("in", *[""] * (n - 1)) if g < len(groups) else (),
            links=("mother",) if 0 < g < len(groups) else (),
        )
        for g, n in enumerate(rows)
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
            "groups": tuple(described(g, *s, len(groups)) for g, s in enumerate(shapes)),
            **changes,
        }
    )
    points = rng.standard_normal((sum(rows), EMBEDDER)).astype("<f4")
    return EditPayload(info, payloads, points)


def metric(kind: str = "contrast", **topics: int) -> MetricPayload:
    """A metric with so many background rows for each topic; without a projection by its kind."""
    rng, rows = np.random.default_rng(9), sum(topics.values())
    projected = kind in ("contrast", "mahalanobis")
    shape = (EMBEDDER, SPACE) if projected else (0, EMBEDDER if topics else 0)
    return MetricPayload(
        MetricInfo.model_validate({"kind": kind, "topics": tuple(topics.items())}),
        rng.standard_normal(shape).astype("<f4"),
        rng.standard_normal((rows, shape[1])).astype("<f4"),
    )


EDITS = (
    edit(
        "ada-3",
        1,
        [((3, None, 1), 4, True), (0, 5, True)],
        implied=3.5,
        topics=("birth",),
        valid_until="2030-01-01",
    ),
    edit("bob", 2, [(0, 3, False)], old=None, warnings=("a warning",)),
    edit("cyd", 3, [(4, 6, True), ((2, 0), 3, False), (1, 7, True)], valid_from="2026-11-22"),
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
        "metric": metric(birth=3, death=1),
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
            "metric": [exact(array) for array in bundle.metric],
        }
        for info in bundle.manifest.edits:
            found[info.id] = values_of(bundle, info.id)
        return found


def values_of(bundle: BundleFile, name: str) -> dict[str, Any]:
    """Everything that can be read of one edit."""
    return {
        "info": bundle.info(name),
        "points": exact(bundle.points(name)),
        "maps": exact_maps(bundle.maps(name)),
        "activations": [{n: exact(a) for n, a in m.items()} for m in bundle.activations(name)],
    }


def exact_maps(groups: Iterable[Sequence[Mapping[str, Array]]]) -> list[list[dict[str, Any]]]:
    return [[{n: exact(a) for n, a in step.items()} for step in steps] for steps in groups]


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
    groups, steps, basis, points = (
        arrays[f"index/{name}"] for name in ("groups", "steps", "basis", "points")
    )
    for i, info in enumerate(manifest["edits"][: len(digests)]):
        routes = info["routes"]
        words = [
            info["kind"],
            *([r[n] for r in routes] for n in ("names", "ends", "links", "texts")),
            info["asks"],
            info["topics"],
        ]
        numbers = [[r["group"], r["rows"], int(r["need"] == "all")] for r in routes]
        bounds = [info["threshold"], info["implied"] or info["threshold"]]
        router = {
            "points": arrays["router/points"][points[i] : points[i + 1]],
            "threshold": np.array(bounds, "<f8"),
            "routes": np.array(numbers, "<i8").reshape(-1, 3),
            "names": _json(words),
        }
        maps: Arrays = {}
        owned = range(groups[i], groups[i + 1])
        for k, (g, said) in enumerate(zip(owned, info["groups"], strict=False)):
            maps[f"{k}/objects"] = _json([said["old"], said["new"]])
            closing = -1 if said["closing"] is None else said["closing"]
            maps[f"{k}/tokens"] = np.array([*said["tokens"], closing], "<i8")
            of_group = range(steps[g], steps[g + 1])
            for s, (m, step) in enumerate(zip(of_group, said["steps"], strict=False)):
                rows = slice(basis[m], basis[m + 1])
                maps |= {
                    f"{k}/{s}/source_mean": arrays["maps/source_mean"][m],
                    f"{k}/{s}/target_mean": arrays["maps/target_mean"][m],
                    f"{k}/{s}/basis": arrays["maps/basis"][rows],
                    f"{k}/{s}/scale": arrays["maps/scale"][rows],
                    f"{k}/{s}/step": np.array([step["position"], step["complement"]], "<f8"),
                }
        for part, found in (("router", router), ("maps", maps)):
            digests[i, PARTS.index(part)] = np.frombuffer(part_digest(part, found), np.uint8)
    arrays["digests"] = digests
    named = [(info["id"], info["key"]) for info in manifest["edits"]]
    manifest["content_hash"] = content_hash(
        (name, key, digests[i].tobytes()) for i, (name, key) in enumerate(named[: len(digests)])
    )


def _json(value: Any) -> Array:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(text.encode(), np.uint8)
