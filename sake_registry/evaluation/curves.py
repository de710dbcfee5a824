"""The points of Figures 3 and 5, and projections of activations to two dimensions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from sake_registry import transport
from sake_registry.evaluation.intervals import estimate
from sake_registry.evaluation.methods import OtherMaps, activations
from sake_registry.evaluation.replies import Job
from sake_registry.evaluation.scoring import judge
from sake_registry.routing.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.authoring.records import Axis, Record
    from sake_registry.evaluation.methods import Question, Steering
    from sake_registry.evaluation.replies import Reply, Speaker
    from sake_registry.routing.router import Embed
    from sake_registry.transport import TransportMap

    Tests = Sequence[tuple[Question, Axis, Record]]

STEPS = tuple(round(0.25 * i, 2) for i in range(4, 41))
"""Thresholds of the trade-off, in the embedder's space."""
_CURVES = {"acc": "acc", "gen": "gen", "neighbourhood": "spec"}
SIZES = (2, 5, 10, 20, 30, 40, 50, 60)
"""Numbers of prompts that Figure 5 fits on."""


@dataclass(frozen=True)
class Lab:
    """What measuring points needs."""

    speaker: Speaker
    embed: Embed
    tokenizer: Any


def thresholds(lab: Lab, method: Steering, tests: Tests) -> dict[str, Any]:
    """Accuracy, generality and specificity over one global threshold, all edits loaded.

    First token. One reply a prompt serves every threshold: what a threshold decides is whether
    the nearest edit fires, and if it does, it is that edit's map.
    """
    chosen = [t for t in tests if t[1] in ("acc", "gen", "neighbourhood")]
    # One threshold for all, and not an infinite one: the router compares what share of it is used.
    entries = [replace(e, threshold=STEPS[-1]) for e in method.entries.values()]
    decisions = Router(entries, lab.embed).decide([question.prompt for question, _, _ in chosen])
    jobs = [
        Job(q.prompt, 1, d.edit, d.group) for (q, _, _), d in zip(chosen, decisions, strict=True)
    ]
    bare = {q.prompt: Job(q.prompt, 1) for q, _, _ in chosen}
    lab.speaker.expect(len({*jobs, *bare.values()}))
    replies = lab.speaker.replies([*bare.values(), *(j for j in jobs if j.edit is None)])
    replies |= _steered(lab, method, jobs)
    rows: dict[str, list[tuple[float, bool, bool]]] = {axis: [] for axis in _CURVES}
    for (question, axis, record), decision, job in zip(chosen, decisions, jobs, strict=True):
        unedited = replies[bare[question.prompt]]
        before = _right(lab, axis, record, question, unedited, unedited)
        after = _right(lab, axis, record, question, replies[job], unedited)
        if before is not None and after is not None:
            distance = decision.distance if decision.distance is not None else float("inf")
            rows[axis].append((distance, before, after))
    points = []
    for step in STEPS:
        point: dict[str, Any] = {"threshold": step}
        for kind, name in _CURVES.items():
            marks = [after if d <= step else before for d, before, after in rows[kind]]
            point[name] = round(sum(marks) / len(marks), 6) if marks else None
        points.append(point)
    return {
        "method": method.name,
        "scope": "all-edits",
        "success": "first-token",
        "n": {name: len(rows[axis]) for axis, name in _CURVES.items()},
        "points": points,
    }


def prompts(lab: Lab, method: Steering, tests: Tests) -> dict[str, Any]:
    """Accuracy and generality by the number of prompts a map is fitted on (Figure 5).

    First token, the edit given. The pairs are the first ones of the compiled edit, so no text
    is run again.
    """
    chosen = [t for t in tests if t[1] in ("acc", "gen") and t[0].edit in method.entries]
    solver, reg = method.settings["compile"]["solver"], method.settings["compile"]["reg"]
    lab.speaker.expect(len(SIZES) * len(chosen))
    points = []
    for size in SIZES:
        maps, keys = {}, {}
        for edit in method.entries:
            rows = activations(method.bundle, edit)[0]
            if len(rows["plain"]) < size:
                continue
            forced = rows["forced"].reshape(-1, len(rows["plain"]), rows["plain"].shape[1])
            source = torch.cat((rows["plain"][:size], forced[:, :size].flatten(0, 1)))
            maps[edit] = [transport.fit(source, rows["target"][:size], reg, solver)]
            keys[edit] = f"first {size} of {method.keys[edit]}"
        if not maps:
            break
        mine = [t for t in chosen if t[0].edit in maps]
        jobs = [Job(question.prompt, 1, question.edit, 0) for question, _, _ in mine]
        replies = _steered(lab, method, jobs, maps, keys)
        values: dict[str, dict[str, list[float]]] = {"acc": {}, "gen": {}}
        for (question, axis, record), job in zip(mine, jobs, strict=True):
            mark = _right(lab, axis, record, question, replies[job], replies[job])
            if mark is not None:
                values[axis].setdefault(record.id, []).append(float(mark))
        points.append({"prompts": size, **{a: asdict(estimate(v)) for a, v in values.items()}})
    return {
        "method": method.name, "scope": "given", "success": "first-token", "points": points
    }  # fmt: skip


def _steered(
    lab: Lab,
    method: Steering,
    jobs: Sequence[Job],
    maps: Mapping[str, Sequence[TransportMap]] | None = None,
    keys: Mapping[str, str] | None = None,
) -> dict[Job, Reply]:
    bundle = method.bundle if maps is None else OtherMaps(method.bundle.path, maps)
    loaded = lab.speaker.loaded
    with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
        fired = (job for job in jobs if job.edit is not None)
        return lab.speaker.replies(fired, edited, keys or method.keys)


def _right(
    lab: Lab, axis: Axis, record: Record, question: Question, reply: Reply, unedited: Reply
) -> bool | None:
    if axis == "neighbourhood":
        return reply.tokens[:1] == unedited.tokens[:1]
    old = [record.old] if record.old else []
    return judge(lab.tokenizer, question.prompt, reply, record.new_names, old).first


def projection(method: Steering, edit: str) -> dict[str, Any]:
    """An edit's source, target and mapped activations on two axes (of its fact's map).

    The axes are the first two principal components of sources and targets together; `explained`
    is their share of the variance.
    """
    rows = activations(method.bundle, edit)[0]
    keep_failed = method.settings["compile"]["keep_failed"]
    used = torch.ones_like(rows["worked"]).bool() if keep_failed else rows["worked"].bool()
    source, target = rows["plain"].double(), rows["target"][used].double()
    transport_map = method.bundle.maps(edit, torch.device("cpu"))[0]
    mapped = transport.apply(transport_map, rows["plain"]).double()
    both = torch.cat((source, target))
    centre = both.mean(0)
    _, values, axes = torch.linalg.svd(both - centre, full_matrices=False)
    axes = axes[:2] * axes[:2].sum(1, keepdim=True).sign()  # a direction has no sign of its own
    share = values**2 / (values**2).sum()

    def flat(points: torch.Tensor) -> list[list[float]]:
        found: list[list[float]] = ((points - centre) @ axes.T).round(decimals=3).tolist()
        return found

    return {
        "explained": [round(float(s), 4) for s in share[:2]],
        "source": flat(source),
        "target": flat(target),
        "mapped": flat(mapped),
    }
