"""A bundle made from a compiled one: with fewer edits, or of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sake_registry.bundle.format import Manifest
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle


def narrowed(source: Path, target: Path, *without: str, **changes: Any) -> Manifest:
    """Write a bundle with the edits of `source` but these, and with something else in it."""
    with BundleFile(source) as file:
        said = file.manifest
        projection, background = file.metric
        whole: dict[str, Any] = {
            "key": said.key,
            "partial": said.partial,
            "model": said.model,
            "embedder": said.embedder,
            "metric": MetricPayload(said.metric, projection.copy(), background.copy()),
            "probe_texts": said.probe_texts,
            "probe": file.probe.copy(),
            "settings": said.settings,
            "versions": said.versions,
            "provenance": said.provenance,
        }
        edits = [
            EditPayload(
                info,
                [
                    GroupPayload(maps, activations)
                    for maps, activations in zip(
                        file.maps(info.id), file.activations(info.id), strict=True
                    )
                ],
                file.points(info.id).copy(),
            )
            for info in said.edits
            if info.id not in without
        ]
        return write_bundle(target, edits, **(whole | changes))
