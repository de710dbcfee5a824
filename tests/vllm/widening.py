"""Bundles made from a compiled one: with many more edits, with fewer, or of another model.

The maps and the router's points of a copy are those of a real edit, so that what they cost and how
they decide is real; that nobody asks for the copies' subjects is what makes them harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sake_registry.bundle.format import EditInfo, Manifest
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle


def widened(source: Path, target: Path, edits: int) -> Manifest:
    """Write a bundle with the edits of `source`, and copies of them up to `edits`."""
    with BundleFile(source) as file:
        real = file.manifest.edits
        copies = [
            payload(file, real[i % len(real)], copy(real[i % len(real)], i))
            for i in range(edits - len(real))
        ]
        return write(target, file, [*(payload(file, info, info) for info in real), *copies])


def narrowed(source: Path, target: Path, *without: str, **changes: Any) -> Manifest:
    """Write a bundle with the edits of `source` but these, something else in it changed."""
    with BundleFile(source) as file:
        kept = [info for info in file.manifest.edits if info.id not in without]
        return write(target, file, [payload(file, info, info) for info in kept], **changes)


def write(target: Path, like: BundleFile, edits: Sequence[EditPayload], **changes: Any) -> Manifest:
    """Write a bundle of these edits that is like another one otherwise."""
    said = like.manifest
    projection, background = like.metric
    whole: dict[str, Any] = {
        "key": said.key,
        "partial": said.partial,
        "model": said.model,
        "embedder": said.embedder,
        "metric": MetricPayload(said.metric, projection.copy(), background.copy()),
        "probe_texts": said.probe_texts,
        "probe": like.probe.copy(),
        "settings": said.settings,
        "versions": said.versions,
        "provenance": said.provenance,
    }
    return write_bundle(target, edits, **(whole | changes))


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
    return info.model_copy(update={"id": f"copy-{number:05}", "subject": (name,), "routes": routes})


def syllables(number: int) -> Iterator[str]:
    """A number as a name: one that no other number has."""
    yield "M"
    for digit in f"{number:05}":
        yield ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu")[int(digit)]
