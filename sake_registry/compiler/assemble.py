"""One bundle of what the store holds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from sake_registry.bundle.format import (
    EditInfo,
    EmbedderInfo,
    IdentityInfo,
    Manifest,
    MetricInfo,
    ModelInfo,
)
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle
from sake_registry.compiler.build import stored_activations, stored_fit, stored_routes
from sake_registry.compiler.machine import machine, versions
from sake_registry.models.reading import PROBE_TEXTS
from sake_registry.models.site import SITE_NAME
from sake_registry.models.states import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sake_registry.compiler.plan import Plan
    from sake_registry.edits.keys import EditKeys
    from sake_registry.edits.schema import Edit
    from sake_registry.extraction.extract import GroupActivations
    from sake_registry.routing.metric import Metric
    from sake_registry.settings import Settings
    from sake_registry.store import Store


@dataclass(frozen=True)
class Part:
    """One edit as it goes into a bundle, and the machines that built it, where they are known."""

    payload: EditPayload
    machines: frozenset[str]


def assemble(
    plan: Plan,
    parts: Sequence[Part],
    settings: Settings,
    probe: Tensor,
    architecture: str,
    metric: Metric,
    provenance: Mapping[str, Any],
) -> Manifest:
    """Write the plan's bundle.

    Args:
        parts: of the plan's edits.
        probe: (8, width) float32 site activations of `PROBE_TEXTS`.
        architecture: the model's class.
        metric: how the router compares questions.
        provenance: what is recorded beside the keys: git commit, whether the tree was clean, who
            reviewed; added to it is which edits were built on another machine than this.

    Raises:
        StorageError: the bundle cannot be written.
    """
    located = plan.located
    model = ModelInfo(
        name=located.source.name,
        architecture=architecture,
        hash=located.hash,
        identity=IdentityInfo(**vars(located.identity)),
        dtype=located.dtype,
        site=SITE_NAME,
        width=probe.shape[1],
    )
    representation = settings.router.representation
    embedder = located.embedder_name
    if representation != "embedder":
        embedder = f"{NAMES[representation]} of {located.source.name}"
    payloads = [part.payload for part in parts]
    others = elsewhere(parts, machine(located.device))
    # Without an edit there is no point to tell it by; the metric may.
    embedder_width = payloads[0].points.shape[1] if payloads else len(metric.projection) or 1
    return write_bundle(
        plan.path,
        payloads,
        key=plan.key,
        partial=plan.partial,
        model=model,
        embedder=EmbedderInfo(name=embedder, width=embedder_width),
        metric=MetricPayload(
            MetricInfo(
                kind=metric.kind,
                topics=tuple((topic, len(list(run))) for topic, run in groupby(metric.topics)),
            ),
            _float(metric.projection),
            _float(metric.background),
        ),
        probe_texts=PROBE_TEXTS,
        probe=probe.numpy(),
        settings=settings.model_dump(include={"compile", "router", "answer"}, mode="json"),
        versions=versions(located.device),
        provenance={**provenance, "machines": others} if others else provenance,
        activations=not plan.slim,
    )


def elsewhere(parts: Sequence[Part], here: str) -> dict[str, tuple[str, ...]]:
    """The ids of the edits of which something was built on another machine, by that machine."""
    others: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for other in sorted(part.machines - {here}):
            others[other] = (*others.get(other, ()), part.payload.info.id)
    return others


def part_of(edit: Edit, keys: EditKeys, store: Store) -> Part | None:
    """One edit of the store as it goes into a bundle; None if a part of it is missing there."""
    collected, fitted = stored_activations(store, keys), stored_fit(store, keys)
    routes = stored_routes(store, keys)
    if collected is None or fitted is None or routes is None:
        return None
    (activations, *_), (maps, fit, _), (points, routing, _) = collected, fitted, routes
    info = EditInfo(
        id=edit.id,
        key=keys.edit,
        subject=edit.fact.subject.all,
        relation=edit.fact.relation.text,
        old=edit.old,
        new=edit.fact.new.all,
        **dict(routing),
        groups=fit.groups,
        warnings=fit.warnings,
        valid_from=edit.lifecycle.valid_from,
        valid_until=edit.lifecycle.valid_until,
    )
    payloads = [
        GroupPayload(
            maps=[{factor: _float(maps[n]) for factor, n in step.items()} for step in steps],
            activations=_rows(activations[number]),
        )
        for number, steps in zip(fit.kept, fit.factors, strict=True)
    ]
    machines = frozenset(stored[-1] for stored in (collected, fitted, routes)) - {""}
    return Part(EditPayload(info, payloads, _float(points)), machines)


def _rows(group: GroupActivations) -> dict[str, Any]:
    """A group's activations as a bundle stacks them: a row for each pair and step."""
    steps = group.plain.shape[1]
    return {
        "plain": _float(group.plain.flatten(0, 1)),
        "target": _float(group.target.flatten(0, 1)),
        "forced": _float(group.forced),
        "worked": group.worked.flatten().numpy().astype("|u1"),
        "context": group.context.repeat_interleave(steps).numpy().astype("<i2"),
    }


def _float(tensor: Tensor) -> Any:
    return np.ascontiguousarray(tensor.numpy(), dtype="<f4")
