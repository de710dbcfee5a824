"""The points of Figures 3 and 5, what more edits loaded do, and projections of activations to
two dimensions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sake_bench.intervals import estimate
from sake_bench.methods import OtherMaps, activations
from sake_bench.replies import Job, Reply
from sake_bench.results import (
    LoadCurve,
    LoadPoint,
    Points,
    Projection,
    PromptCurve,
    PromptPoint,
    ThresholdCurve,
    ThresholdPoint,
)
from sake_bench.scoring import judge
from sake_registry import transport
from sake_registry.bundle.format import Routing
from sake_registry.compiler.build import route
from sake_registry.compiler.plan import keys_of
from sake_registry.digests import digest
from sake_registry.extraction.texts import groups
from sake_registry.routing.router import RouterEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_bench.datasets.records import Axis, Record
    from sake_bench.methods import Question, Steering
    from sake_bench.replies import ReplyCache
    from sake_registry.compiler.plan import ModelIdentity
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embed
    from sake_registry.routing.metric import Metric
    from sake_registry.routing.router import Decision
    from sake_registry.settings import Settings
    from sake_registry.store import Store
    from sake_registry.transport import TransportMap

    Tests = Sequence[tuple[Question, Axis, Record]]

STEPS = tuple(round(0.25 * i, 2) for i in range(4, 41))
"""Thresholds of the trade-off, in the embedder's space."""
_CURVES = {"acc": "acc", "gen": "gen", "neighbourhood": "spec"}
LOADS = (1, 10, 100)
"""Numbers of edits loaded at once, beside all there are."""
NO_REPLY = Reply((), "", "")
"""What counts as the reply where the right edit does not fire: right in nothing."""
SIZES = (2, 5, 10, 20, 30, 40, 50, 60)
"""Numbers of prompts that Figure 5 fits on."""


def thresholds(
    cache: ReplyCache, method: Steering, tests: Tests, calibrated: str | None
) -> ThresholdCurve:
    """Accuracy, generality and specificity over one global threshold, all edits loaded.

    First token. One reply a prompt serves every threshold: what a threshold decides is whether
    the nearest edit fires, and if it does, it is that edit's map.
    """
    chosen = [t for t in tests if t[1] in ("acc", "gen", "neighbourhood")]
    steps = _steps(method)
    # One threshold for all, and not an infinite one: the router compares what share of it is used.
    entries = [replace(e, threshold=steps[-1], implied=None) for e in method.entries.values()]
    router = method.router(entries)
    decisions = router.decide([question.prompt for question, _, _ in chosen])
    jobs = [
        Job(q.prompt, 1, d.edit, d.group) for (q, _, _), d in zip(chosen, decisions, strict=True)
    ]
    bare = {q.prompt: Job(q.prompt, 1) for q, _, _ in chosen}
    cache.expect(len({*jobs, *bare.values()}))
    replies = cache.replies([*bare.values(), *(j for j in jobs if j.edit is None)])
    replies |= _steered(cache, method, jobs)
    rows: dict[str, list[tuple[float, bool, bool]]] = {axis: [] for axis in _CURVES}
    for (question, axis, record), decision, job in zip(chosen, decisions, jobs, strict=True):
        unedited = replies[bare[question.prompt]]
        before = _right(cache, axis, record, question, unedited, unedited)
        after = _right(cache, axis, record, question, replies[job], unedited)
        if before is not None and after is not None:
            rows[axis].append((decision.required_threshold(steps[-1]), before, after))
    points = []
    for step in steps:
        shares: dict[str, float | None] = {}
        for of_axis, name in _CURVES.items():
            marks = [after if d <= step else before for d, before, after in rows[of_axis]]
            shares[name] = round(sum(marks) / len(marks), 6) if marks else None
        points.append(ThresholdPoint(threshold=step, **shares))
    return ThresholdCurve(
        method=method.name,
        n={name: len(rows[axis]) for axis, name in _CURVES.items()},
        points=tuple(points),
        chosen=method.settings["router"]["threshold"],
        calibrated=calibrated or "the project's default",
    )


def _steps(method: Steering) -> tuple[float, ...]:
    """Thresholds of the trade-off: in the embedder's space, or about the method's own."""
    router = method.settings["router"]
    if router["kind"] == "detector":  # probabilities
        return tuple(sorted({*(round(0.02 * i, 2) for i in range(1, 50)), router["threshold"]}))
    if router["kind"] == "centre" or router["metric"] == "euclidean":
        return STEPS
    return tuple(round(0.05 * i * router["threshold"], 4) for i in range(2, 61))


def prompts(cache: ReplyCache, method: Steering, tests: Tests) -> PromptCurve:
    """Accuracy and generality by the number of prompts a map is fitted on (Figure 5).

    First token, the edit given. The pairs are the first ones of the compiled edit, so no text
    is run again.
    """
    chosen = [t for t in tests if t[1] in ("acc", "gen") and t[0].edit in method.entries]
    solver, reg = method.settings["compile"]["solver"], method.settings["compile"]["reg"]
    cache.expect(len(SIZES) * len(chosen))
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
        replies = _steered(cache, method, jobs, maps, keys)
        values: dict[str, dict[str, list[float]]] = {"acc": {}, "gen": {}}
        for (question, axis, record), job in zip(mine, jobs, strict=True):
            mark = _right(cache, axis, record, question, replies[job], replies[job])
            if mark is not None:
                values[axis].setdefault(record.id, []).append(float(mark))
        estimates = {axis: estimate(marks) for axis, marks in values.items()}
        points.append(PromptPoint(prompts=size, **estimates))
    return PromptCurve(method=method.name, points=tuple(points))


def entry_of(
    edit: Edit, settings: Settings, embed: Embed, metric: Metric, model: ModelIdentity, store: Store
) -> RouterEntry:
    """The router entry of an edit that is loaded and not compiled: no model is run.

    Args:
        settings: those of the method that it is loaded for; `metric` is theirs, as learnt.
        store: where its points are kept under the edit's key.
    """
    # Beside the routes of a compile, not in their place: they are of the groups that worked.
    key = digest(["loaded", keys_of([edit], model, settings)[edit.id].edit])
    stored = store.get("routes", key)
    if stored is None:
        parts = groups(edit, settings.compile.prompts)
        every = list(range(len(parts)))
        points, routing = route(edit, parts, every, settings, embed, metric)
        stored = {"points": points}, routing.model_dump(mode="json")
        store.put("routes", key, *stored)
    tensors, note = stored
    return RouterEntry.of(edit.id, Routing.model_validate(note), tensors["points"])


def loads(
    cache: ReplyCache,
    method: Steering,
    tests: Tests,
    scored: Sequence[str],
    others: Mapping[str, RouterEntry],
) -> LoadCurve:
    """Accuracy, generality and specificity by the number of edits loaded at once.

    First token. A prompt counts if the right edit fires and what it then says is right; any other
    edit that fires is wrong, and changes what must stay. With fewer edits loaded than there are
    to score, they are loaded in disjoint groups, each asked its own tests.

    Args:
        scored: the ids of the edits that tests are of.
        others: entries of edits that are loaded beside them, in the order of loading.
    """
    chosen = [t for t in tests if t[1] in _CURVES]
    total = len(scored) + len(others)
    decided: dict[int, list[tuple[Question, Axis, Record, Decision]]] = {}
    for size in sorted({min(size, total) for size in (*LOADS, total)}):
        decided[size] = []
        for start in range(0, len(scored), size):
            group = scored[start : start + size]
            fill = [id_ for id_ in (*scored, *others) if id_ not in set(group)]
            loaded = {*group, *fill[: size - len(group)]}
            entries = [e for id_, e in (method.entries | dict(others)).items() if id_ in loaded]
            of_group = [t for t in chosen if t[0].edit in set(group)]
            router = method.router(entries)
            decisions = router.decide([question.prompt for question, _, _ in of_group])
            decided[size] += [(*test, d) for test, d in zip(of_group, decisions, strict=True)]
    fired = {
        Job(q.prompt, 1, d.edit, d.group): Job(q.prompt, 1)
        for of_size in decided.values()
        for q, _, _, d in of_size
        if d.edit == q.edit
    }
    cache.expect(len(fired) + len(set(fired.values())))
    replies = cache.replies(fired.values()) | _steered(cache, method, list(fired))
    points = []
    for size, of_size in decided.items():
        values: dict[str, dict[str, list[float]]] = {name: {} for name in _CURVES.values()}
        for question, axis, record, decision in of_size:
            job = Job(question.prompt, 1, decision.edit, decision.group)
            mark: bool | None = axis == "neighbourhood" and decision.edit is None
            if decision.edit == question.edit:
                mark = _right(cache, axis, record, question, replies[job], replies[fired[job]])
            elif axis != "neighbourhood":
                mark = _right(cache, axis, record, question, NO_REPLY, NO_REPLY)
            if mark is not None:
                values[_CURVES[axis]].setdefault(record.id, []).append(float(mark))
        estimates = {name: estimate(marks) for name, marks in values.items()}
        points.append(LoadPoint(loaded=size, **estimates))
    return LoadCurve(method=method.name, points=tuple(points))


def _steered(
    cache: ReplyCache,
    method: Steering,
    jobs: Sequence[Job],
    maps: Mapping[str, Sequence[TransportMap]] | None = None,
    keys: Mapping[str, str] | None = None,
) -> dict[Job, Reply]:
    bundle = method.bundle if maps is None else OtherMaps(method.bundle.path, maps)
    loaded = cache.loaded
    with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
        fired = (job for job in jobs if job.edit is not None)
        return cache.replies(fired, edited, keys or method.keys)


def _right(
    cache: ReplyCache, axis: Axis, record: Record, question: Question, reply: Reply, unedited: Reply
) -> bool | None:
    if axis == "neighbourhood":
        return reply.tokens[:1] == unedited.tokens[:1]
    old = [record.old] if record.old else []
    return judge(cache.loaded.tokenizer, question.prompt, reply, record.new_names, old).first


def projection(method: Steering, edit: str, claim: str) -> Projection:
    """An edit's source, target and mapped activations on two axes (of its fact's first map).

    The axes are the first two principal components of sources and targets together; `explained`
    is their share of the variance.
    """
    rows = activations(method.bundle, edit)[0]
    keep_failed = method.settings["compile"]["keep_failed"]
    used = torch.ones_like(rows["worked"]).bool() if keep_failed else rows["worked"].bool()
    source, target = rows["plain"].double(), rows["target"][used].double()
    transport_map = method.bundle.maps(edit, torch.device("cpu"))[0].maps[0]
    mapped = transport.apply(transport_map, rows["plain"]).double()
    both = torch.cat((source, target))
    centre = both.mean(0)
    _, values, axes = torch.linalg.svd(both - centre, full_matrices=False)
    axes = axes[:2] * axes[:2].sum(1, keepdim=True).sign()  # a direction has no sign of its own
    share = values**2 / (values**2).sum()

    def flat(points: torch.Tensor) -> Points:
        return tuple((x, y) for x, y in ((points - centre) @ axes.T).round(decimals=3).tolist())

    return Projection(
        edit=edit,
        claim=claim,
        method=method.name,
        explained=tuple(round(float(s), 4) for s in share[:2]),
        source=flat(source),
        target=flat(target),
        mapped=flat(mapped),
    )
