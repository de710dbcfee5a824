"""One bundle of what the store holds."""

from __future__ import annotations

import platform
from importlib import metadata
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
    Routing,
)
from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle
from sake_registry.compiler.build import FACTORS, Fit, map_name
from sake_registry.models.reading import PROBE_TEXTS
from sake_registry.models.site import SITE_NAME
from sake_registry.models.states import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sake_registry.compiler.plan import Plan, PlannedEdit
    from sake_registry.routing.metric import Metric
    from sake_registry.settings import Settings
    from sake_registry.store import Store


def assemble(
    plan: Plan,
    store: Store,
    settings: Settings,
    probe: Tensor,
    architecture: str,
    metric: Metric,
    provenance: Mapping[str, str | bool | None],
) -> Manifest:
    """Write the plan's bundle from the store.

    Args:
        probe: (8, width) float32 site activations of `PROBE_TEXTS`.
        architecture: the model's class.
        metric: how the router compares questions.
        provenance: what is recorded beside the keys: git commit, whether the tree was clean.

    Raises:
        KeyError: an edit of the plan is not in the store.
        StorageError: the bundle cannot be written.
    """
    members = [planned for planned in plan.edits if planned.edit is not None]
    payloads = [payload(planned, store) for planned in members]
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
        versions=versions(),
        provenance=provenance,
        activations=not plan.slim,
    )


def payload(planned: PlannedEdit, store: Store) -> EditPayload:
    """One edit of the store as it goes into a bundle."""
    edit, keys = planned.edit, planned.keys
    assert edit is not None
    assert keys is not None
    parts = {
        "activations": store.get("activations", keys.activations),
        "maps": store.get("maps", keys.maps),
        "routes": store.get("routes", keys.edit),
    }
    missing = [kind for kind, part in parts.items() if part is None]
    if missing:
        raise KeyError(f"{edit.id}: {', '.join(missing)}")
    (rows, _), (maps, fit_note), (routes, routing_note) = (part for part in parts.values() if part)
    fit, routing = Fit.model_validate(fit_note), Routing.model_validate(routing_note)
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
            maps=[
                {factor: _float(maps[map_name(g, s, factor)]) for factor in FACTORS}
                for s in range(len(group.steps))
            ],
            activations=_activations(rows, number),
        )
        for g, (number, group) in enumerate(zip(fit.kept, fit.groups, strict=True))
    ]
    return EditPayload(info, payloads, _float(routes["points"]))


def _activations(rows: dict[str, Tensor], group: int) -> dict[str, Any]:
    """A group's activations as a bundle stacks them: a row for each pair and step."""
    steps = rows[f"{group}.plain"].shape[1]
    return {
        **{n: _float(rows[f"{group}.{n}"].flatten(0, 1)) for n in ("plain", "target")},
        "forced": _float(rows[f"{group}.forced"]),
        "worked": (rows[f"{group}.margin"] > 0).flatten().numpy().astype("|u1"),
        "context": rows[f"{group}.context"].repeat_interleave(steps).numpy().astype("<i2"),
    }


def _float(tensor: Tensor) -> Any:
    return np.ascontiguousarray(tensor.numpy(), dtype="<f4")


def versions() -> dict[str, str]:
    """What equal bytes depend on, besides the key: versions, machine, threads."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    names: Sequence[str] = ("sake-registry", "torch", "transformers", "numpy", "h5py")
    return {
        **{name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()} {capability}",
        "threads": str(torch.get_num_threads()),
    }
