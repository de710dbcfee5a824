"""Bundles of many edits from one of a few: copies of real edits, each of a subject of its own.

The maps and the router's points are the copied ones', so that what they cost and how they decide is
real; that nobody asks for the copies' subjects is what makes them harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sake_registry.bundle.format import EditInfo, Manifest
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle


def widened(source: Path, target: Path, edits: int) -> Manifest:
    """Write a bundle with the edits of `source`, and copies of them up to `edits`."""
    with BundleFile(source) as file:
        said, real = file.manifest, file.manifest.edits
        payloads = [payload(file, info, info) for info in real]
        for i in range(edits - len(real)):
            info = real[i % len(real)]
            payloads.append(payload(file, info, copy(info, i)))
        projection, background = file.metric
        return write_bundle(
            target,
            payloads,
            key=said.key,
            partial=said.partial,
            model=said.model,
            embedder=said.embedder,
            metric=MetricPayload(said.metric, projection.copy(), background.copy()),
            probe_texts=said.probe_texts,
            probe=file.probe.copy(),
            settings=said.settings,
            versions=said.versions,
            provenance=said.provenance,
        )


def narrowed(source: Path, target: Path, *without: str) -> Manifest:
    """Write a bundle with the edits of `source` but these."""
    with BundleFile(source) as file:
        said = file.manifest
        projection, background = file.metric
        return write_bundle(
            target,
            [payload(file, info, info) for info in said.edits if info.id not in without],
            key="0" * 64,
            partial=True,
            model=said.model,
            embedder=said.embedder,
            metric=MetricPayload(said.metric, projection.copy(), background.copy()),
            probe_texts=said.probe_texts,
            probe=file.probe.copy(),
            settings=said.settings,
            versions=said.versions,
            provenance=said.provenance,
        )


def payload(file: BundleFile, info: EditInfo, renamed: EditInfo) -> EditPayload:
    """An edit of a bundle, as it goes into another one under another name."""
    groups = zip(file.maps(info.id), file.activations(info.id), strict=True)
    return EditPayload(
        renamed,
        [GroupPayload(maps, activations) for maps, activations in groups],
        file.points(info.id).copy(),
    )


def copy(info: EditInfo, number: int) -> EditInfo:
    """An edit of a subject that no other has."""
    name = f"Quorvath {''.join(syllables(number))}"
    routes = tuple(route.model_copy(update={"names": (name,)}) for route in info.routes)
    return info.model_copy(
        update={"id": f"copy-{number:05}", "subject": (name,), "routes": routes}
    )


def syllables(number: int) -> Iterator[str]:
    """A number as a name: one that no other number has."""
    yield "M"
    for digit in f"{number:05}":
        yield ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu")[int(digit)]
