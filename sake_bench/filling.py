"""A bundle of many edits, made of a real one: its edits again and again, under made-up subjects.

Maps, points and texts are those of the edits that are repeated: sizes are real, facts are not.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

from sake_registry.bundle.format import Route
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle
from sake_registry.digests import digest

FIRST = [a + b for a in ("Al", "Ber", "Cor", "Da", "Em") for b in ("bin", "dran", "la", "mo")]
SYLLABLES = ("ba", "cher", "dov", "fen", "gar", "hol", "kin", "lev", "mar", "nor", "pol", "ros")
ENDS = ("berg", "ski", "ton", "ez", "sen", "ova")


def subjects(count: int, drawn: random.Random) -> list[str]:
    """Made-up people, each once; some with a middle name."""
    last = ["".join(s).capitalize() + end for s in itertools.product(SYLLABLES, repeat=3)
            for end in ENDS]  # fmt: skip
    found: dict[str, None] = {}
    while len(found) < count:
        middle = [drawn.choice(FIRST)] if drawn.random() < 0.2 else []
        found[" ".join([drawn.choice(FIRST), *middle, drawn.choice(last)])] = None
    return list(found)


def repeated(path: Path, out: Path, count: int, *, partial: bool = True) -> Path:
    """Write a slim bundle of `count` edits to `out`: those of the bundle at `path` come first, as
    many of them as there is room for.

    Args:
        partial: whether it says that it is a part of a registry, which nothing takes unasked.

    Raises:
        BundleFormatError: there is no bundle at `path`, or one without activations.
    """
    with BundleFile(path) as file:
        manifest = file.manifest
        real = [_payload(file, id_) for id_ in (edit.id for edit in manifest.edits[:count])]
        names = subjects(count - len(real), random.Random(0))
        made = [_renamed(real[i % len(real)], i, name) for i, name in enumerate(names)]
        projection, background = file.metric
        write_bundle(
            out,
            [*real, *made],
            key=digest(f"{manifest.key} {count}"),
            partial=partial,
            model=manifest.model,
            embedder=manifest.embedder,
            metric=MetricPayload(manifest.metric, projection, background),
            probe_texts=manifest.probe_texts,
            probe=file.probe,
            settings=manifest.settings,
            versions=manifest.versions,
            provenance={},
            activations=False,
        )
    return out


def _payload(file: BundleFile, id_: str) -> EditPayload:
    groups = zip(file.maps(id_), file.activations(id_), strict=True)
    return EditPayload(
        file.info(id_), [GroupPayload(maps, rows) for maps, rows in groups], file.points(id_)
    )


def _renamed(payload: EditPayload, number: int, name: str) -> EditPayload:
    def route(one: Route) -> Route:
        return one.model_copy(update={"names": (name,)} if one.names else {})

    info = payload.info.model_copy(
        update={
            "id": f"made-up-{number:05d}",
            "key": digest(f"{payload.info.key} {number}"),
            "subject": (name,),
            "routes": tuple(map(route, payload.info.routes)),
        }
    )
    return replace(payload, info=info)
