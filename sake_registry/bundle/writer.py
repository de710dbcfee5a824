"""Writing a bundle, whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sake_registry.bundle.format import (
    BY_PATH,
    DIGEST,
    FORMAT,
    PARTS,
    STRUCTURE,
    VERSION,
    EditInfo,
    EmbedderInfo,
    Manifest,
    MetricInfo,
    ModelInfo,
    content_hash,
    manifest_limits,
    manifest_size,
    map_arrays,
    part_digest,
    router_arrays,
    seal,
)
from sake_registry.errors import BuildError
from sake_registry.files import replacing
from sake_registry.settings import METHOD_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sake_registry.bundle.format import Array


# The newest file format has checksums on its own structures; what is in the datasets is covered by
# the digests.
_LIBVER = "latest"


@dataclass(frozen=True)
class GroupPayload:
    """The numbers of one group: each map's factors, its pairs' activations, by dataset name."""

    maps: Sequence[Mapping[str, Array]]
    activations: Mapping[str, Array]


@dataclass(frozen=True)
class MetricPayload:
    """How the router compares questions: its description, and its numbers.

    `projection` is (e, p), or empty for none; `background` (rows, p).
    """

    info: MetricInfo
    projection: Array
    background: Array


@dataclass(frozen=True)
class EditPayload:
    """One edit as it goes into a bundle."""

    info: EditInfo
    groups: Sequence[GroupPayload]
    points: Array


def edit_digests(payload: EditPayload) -> bytes:
    """The three digests of an edit, one after the other: maps, router, activations."""

    def stored(part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {n: np.asarray(a, BY_PATH[f"{part}/{n}"].dtype) for n, a in arrays.items()}

    maps = [[stored("maps", step) for step in group.maps] for group in payload.groups]
    points = np.asarray(payload.points, BY_PATH["router/points"].dtype)
    parts = {
        "maps": map_arrays(payload.info.groups, maps),
        "router": router_arrays(payload.info, points),
        "activations": {
            f"{g}/{name}": array
            for g, group in enumerate(payload.groups)
            for name, array in stored("activations", group.activations).items()
        },
    }
    return b"".join(part_digest(part, parts[part]) for part in PARTS)


def write_bundle(
    path: Path,
    edits: Sequence[EditPayload],
    *,
    key: str,
    partial: bool,
    model: ModelInfo,
    embedder: EmbedderInfo,
    metric: MetricPayload,
    probe_texts: Sequence[str],
    probe: Array,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    provenance: Mapping[str, Any],
    activations: bool = True,
) -> Manifest:
    """Write the bundle of these edits to `path`; returns its manifest.

    Args:
        probe: (8, width) float32 site activations of `probe_texts`.
        activations: False leaves the activations out (a slim bundle); the content hash is that
            of the full one, since an edit's activation digest stays.

    Raises:
        BuildError: its manifest is longer than a reader accepts.
        StorageError: the disk is full, read-only, or not ours to write.
    """
    edits = sorted(edits, key=lambda edit: edit.info.id)
    digests = [edit_digests(edit) for edit in edits]
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        method=METHOD_VERSION,
        key=key,
        content_hash=content_hash(
            (e.info.id, e.info.key, d) for e, d in zip(edits, digests, strict=True)
        ),
        partial=partial,
        model=model,
        embedder=embedder,
        metric=metric.info,
        probe_texts=tuple(probe_texts),
        edits=tuple(edit.info for edit in edits),
        settings=dict(settings),
        versions=dict(versions),
        provenance=dict(provenance),
    )
    meta = manifest.model_dump_json().encode()
    groups = [group for edit in manifest.edits for group in edit.groups]
    limits = manifest_limits(len(edits), len(groups), sum(len(group.steps) for group in groups))
    if any(size > limit for size, limit in zip(manifest_size(meta), limits, strict=True)):
        raise BuildError(
            f"{path}: its manifest takes {len(meta):,} bytes, more than a bundle of "
            f"{len(edits)} edits may have",
            hint="an edit with thousands of names is too long: give it fewer",
        )
    arrays = _stack(edits, model.width, embedder.width, activations)
    arrays["meta"] = np.frombuffer(meta, np.uint8)
    arrays["digests"] = np.frombuffer(b"".join(digests), np.uint8).reshape(
        len(edits), len(PARTS), DIGEST
    )
    arrays["probe/activations"] = probe
    arrays["router/projection"] = metric.projection
    arrays["router/background"] = metric.background
    arrays["seal"] = np.frombuffer(seal(_typed(arrays)), np.uint8)
    typed = _typed(arrays)
    with replacing(path) as temporary:
        _reserve(temporary, sum(array.nbytes for array in typed.values()))
        with h5py.File(temporary, "r+", libver=_LIBVER) as file:
            for name, array in typed.items():
                file.create_dataset(name, data=array, track_times=False)
    return manifest


def _reserve(path: Path, size: int) -> None:
    """An empty HDF5 file at `path` that has its room on the disk for `size` bytes of data.

    The system's refusal meets us here and not HDF5, which crashes on closing a file that its disk
    is too full for (2.0, measured). On closing, HDF5 gives back what it did not need.
    """
    with h5py.File("empty", "w", libver=_LIBVER, driver="core", backing_store=False) as file:
        file.flush()
        empty = file.id.get_file_image()
    with path.open("wb") as out:
        out.write(empty)
        out.flush()
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(out.fileno(), 0, size + STRUCTURE)


def _typed(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: np.ascontiguousarray(array, dtype=BY_PATH[name].dtype)
        for name, array in arrays.items()
    }


def _stack(
    edits: Sequence[EditPayload], width: int, embedder_width: int, activations: bool
) -> dict[str, Array]:
    groups = [group for edit in edits for group in edit.groups]
    steps = [step for group in groups for step in group.maps]

    def rows(name: str, parts: Sequence[Mapping[str, Array]], columns: tuple[int, ...]) -> Array:
        arrays = [part[name] for part in parts]
        return np.concatenate(arrays) if arrays else np.empty((0, *columns))

    def means(name: str) -> Array:
        return np.stack([step[name] for step in steps]) if steps else np.empty((0, width))

    def offsets(lengths: Sequence[int]) -> Array:
        return np.cumsum([0, *lengths])

    pairs = [group.activations for group in groups]
    stacked = {
        "index/groups": offsets([len(edit.groups) for edit in edits]),
        "index/steps": offsets([len(group.maps) for group in groups]),
        "index/basis": offsets([len(step["scale"]) for step in steps]),
        "index/points": offsets([len(edit.points) for edit in edits]),
        "index/activations": np.stack(
            [offsets([len(group[name]) for group in pairs]) for name in ("plain", "forced")], axis=1
        ),
        "maps/source_mean": means("source_mean"),
        "maps/target_mean": means("target_mean"),
        "maps/basis": rows("basis", steps, (width,)),
        "maps/scale": rows("scale", steps, ()),
        "router/points": np.concatenate([edit.points for edit in edits])
        if edits
        else np.empty((0, embedder_width)),
    }
    if activations:
        stacked |= {
            f"activations/{n}": rows(n, pairs, (width,)) for n in ("plain", "forced", "target")
        }
        stacked |= {f"activations/{n}": rows(n, pairs, ()) for n in ("worked", "context")}
    return stacked
