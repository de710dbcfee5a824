"""The router's thresholds, from prompts whose scope is known: what `sake calibrate` does.

Each prompt is decided once, at bounds that stop nothing; the distance of the decision gives the
threshold that the prompt requires. In scope are prompts that a router has not seen: holdout,
and an edit's own prompts, each asked of the edit without it. All other prompts come from what the
registry, the library of common questions and ordinary text have to offer.
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sake_registry.asking.routers import routers_of
from sake_registry.data import lead_ins, questions
from sake_registry.digests import digest
from sake_registry.edits.conflicts import alike
from sake_registry.edits.schema import Scope
from sake_registry.errors import InputError
from sake_registry.progress import SILENT
from sake_registry.routing.calibration import Scores, share
from sake_registry.routing.representation import MASK
from sake_registry.routing.router import COUNTER
from sake_registry.settings import METHOD_VERSION
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sake_registry.asking.routers import Routers
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress
    from sake_registry.routing.metric import Metric
    from sake_registry.routing.router import Decision, RouterEntry


INSIDE = {
    "holdout": "holdout prompts",
    "prompts": "own prompts, each left out in turn",
    "implications": "implications, each left out in turn",
}
OUTSIDE = {
    "topics": "common questions about the edits' subjects",
    "relations": "other edits' questions about the edits' subjects",
    "subjects": "the edits' questions about other subjects",
    "edits": "other edits' prompts",
    "text": "ordinary text",
}
UNBOUND = 1024.0
"""A threshold that stops nothing, and at which float32 still tells ten-thousandths apart."""
BUDGET = 4000
"""Prompts of one kind, about; each edit has its share of them, `LEAST` to `MOST`."""
LEAST, MOST = 2, 30
POINTS = 101


class Measure(Value):
    """Of prompts of one kind: how many, and the share that counts at both thresholds."""

    label: str
    n: int
    present: float
    chosen: float


class Curve(Value):
    """Shares over thresholds, from 0 to where nothing changes any more."""

    threshold: tuple[float, ...]
    served: tuple[float, ...]
    false_fires: tuple[float, ...]


class Bound(Value):
    """A threshold as it is and calibrated, and what either costs.

    Attributes:
        served: shares of prompts in scope that are served, now and calibrated.
        false_fires: shares of prompts out of scope that are answered, now and calibrated.
        unchanged: of the prompts that the edits list as unchanged, those that are answered.
    """

    present: float
    chosen: float
    served: tuple[float, float]
    false_fires: tuple[float, float]
    in_scope: tuple[Measure, ...]
    out_of_scope: tuple[Measure, ...]
    unchanged: Measure
    curve: Curve


class Calibration(Value):
    """The calibrated thresholds of a registry.

    Attributes:
        rate: the largest share of false fires.
        implied_threshold: None where no implication has a second wording.
        left_out: edits with a router or a threshold of their own.
        stored: where the curve is stored.
    """

    rate: float
    threshold: Bound
    implied_threshold: Bound | None
    left_out: tuple[str, ...]
    stored: Path

    @property
    def bounds(self) -> dict[str, Bound]:
        """The bounds by their settings under `[router]`."""
        bounds = {"threshold": self.threshold, "implied_threshold": self.implied_threshold}
        return {name: bound for name, bound in bounds.items() if bound}

    @property
    def thresholds(self) -> dict[str, float]:
        """Settings under `[router]`."""
        return {name: bound.chosen for name, bound in self.bounds.items()}


def calibrate(
    registry: Registry,
    rate: float,
    ordinary: Sequence[str] = (),
    elsewhere: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Calibration:
    """The largest thresholds at which false fires are at most `rate`, each bound by itself.

    Args:
        ordinary: texts that are about nothing.
        elsewhere: prompts of the edits about subjects of no edit.

    Raises:
        InputError: there is nothing to calibrate on, or no threshold keeps the rate.
        ModelNotFoundError: the prompt embedder is not on this machine and cannot be fetched.
        StorageError, LockedError: the store cannot be written.
    """
    router = registry.settings.router
    usual = [e for e in registry.active if (e.scope.router or router.kind) == router.kind]
    usual = [e for e in usual if e.scope.threshold is None]
    if not usual:
        raise InputError(
            f"no active edit in {registry.root / registry.settings.edits} uses [router] threshold",
            hint="`sake new ID` writes an edit; a threshold under `scope` in its file is its own",
        )
    progress.begin("embedding the edits' prompts and the common questions", 0)
    shared = routers_of(registry)
    known = _KnownPrompts(usual, shared)
    outside = known.outside([*lead_ins(), *ordinary], elsewhere)
    facts = known.of_facts(outside)
    threshold = _bound("threshold", facts, router.bound, rate, progress)
    implied = None
    if (implications := known.of_implications(outside)) is not None:
        present = router.implied_threshold or router.bound
        implied = _bound("implied_threshold", implications, present, rate, progress)
    key = digest([
        "calibrate", METHOD_VERSION, shared.space, rate, router.model_dump(), questions(),
        registry.settings.compile.prompts if router.kind == "centre" else 0,
        [e.model_dump(mode="json", exclude={"path", "provenance", "tags"}) for e in usual],
        list(ordinary), list(elsewhere),
    ])  # fmt: skip
    calibration = Calibration(
        rate=rate,
        threshold=threshold,
        implied_threshold=implied,
        left_out=tuple(edit.id for edit in registry.active if edit.id not in known.entries),
        stored=shared.store.path("calibration", key),
    )
    tensors = {
        f"{name}.{column}": torch.tensor(values)
        for name, bound in calibration.bounds.items()
        for column, values in bound.curve
    }
    with shared.store.lock():
        shared.store.put("calibration", key, tensors, {"rate": rate, **calibration.thresholds})
    return calibration


class _Prompt(NamedTuple):
    """A prompt whose scope is known.

    `edit` is the one that should answer, None for none; `owners` are edits that may answer all
    the same. `alone` is the right edit's entry where it is asked as if it had not the prompt.
    """

    kind: str
    text: str
    edit: str | None = None
    owners: frozenset[str] = frozenset()
    alone: RouterEntry | None = None


@dataclass(frozen=True)
class _Set:
    """The entries of one bound, and the prompts that it is set on."""

    shared: Routers
    entries: Sequence[RouterEntry]
    prompts: Sequence[_Prompt]

    def required(self, at: float, progress: Progress) -> list[float]:
        """The threshold that each prompt requires, seen from the threshold `at`: of a prompt's
        clauses a router reports one, which is the right one where the prompt is at its bound."""
        router = self.shared.router(_bounded(entry, at) for entry in self.entries)
        held_out = router  # for the library's prompts: one that has not seen their wordings
        if metric := _half(self.shared.metric):
            held_out = self.shared.router((_bounded(entry, at) for entry in self.entries), metric)
        together: dict[tuple[bool, frozenset[str]], list[int]] = defaultdict(list)
        required = [math.inf] * len(self.prompts)
        for i, prompt in enumerate(self.prompts):
            if prompt.alone is None:
                together[prompt.kind == "topics", prompt.owners].append(i)
                continue
            (decision,) = self.shared.router([_bounded(prompt.alone, at)]).decide([prompt.text])
            (other,) = router.decide([prompt.text], disabled=prompt.owners)
            by_itself = _required(decision, at)
            required[i] = by_itself if by_itself <= _required(other, at) else math.inf
            progress.advance()
        for (library, owners), chosen in together.items():
            texts = [self.prompts[i].text for i in chosen]
            decisions = (held_out if library else router).decide(texts, disabled=owners)
            for i, decision in zip(chosen, decisions, strict=True):
                if self.prompts[i].edit in (None, decision.edit):
                    required[i] = _required(decision, at)
            progress.advance(len(chosen))
        return required


def _bound(name: str, chosen_on: _Set, present: float, rate: float, progress: Progress) -> Bound:
    """The bound that keeps the rate.

    Required thresholds are measured from a threshold that stops nothing and from the present one,
    then from the one that is chosen, until that changes nothing any more.
    """
    required = [math.inf] * len(chosen_on.prompts)
    thresholds = [UNBOUND, present]
    while thresholds:
        at = thresholds.pop(0)
        phase = f"deciding at {name} {at:g}" if at < UNBOUND else "deciding"
        progress.begin(phase, len(required))
        measured = chosen_on.required(at, progress)
        least = [min(pair) for pair in zip(required, measured, strict=True)]
        settled, required = least == required, least
        if not thresholds:
            by_kind: dict[str, list[float]] = defaultdict(list)
            for prompt, value in zip(chosen_on.prompts, required, strict=True):
                by_kind[prompt.kind].append(value)
            scores = Scores(
                {kind: by_kind[kind] for kind in INSIDE if kind in by_kind},
                {kind: by_kind[kind] for kind in OUTSIDE if kind in by_kind},
            )
            chosen = _chosen(scores, rate, name)
            thresholds = [] if settled else [chosen]
    return _measured(scores, by_kind["unchanged"], present, chosen)


def _chosen(scores: Scores, rate: float, name: str) -> float:
    try:
        return scores.within(rate)
    except ValueError as error:
        raise InputError(
            f"no {name} can be set: {error}",
            hint="a larger --rate, or more holdout prompts in the edits' files",
        ) from error


def _measured(scores: Scores, unchanged: Sequence[float], present: float, chosen: float) -> Bound:
    """What the present threshold and the chosen one cost."""

    def measure(label: str, required: Sequence[float]) -> Measure:
        shares = {"present": share(required, present), "chosen": share(required, chosen)}
        return Measure(label=label, n=len(required), **shares)

    every = [*scores.inside.values(), *scores.outside.values()]
    finite = [value for required in every for value in required if value < UNBOUND]
    most = max([present, chosen, *finite])
    thresholds = tuple(most * i / (POINTS - 1) for i in range(POINTS))
    return Bound(
        present=present,
        chosen=chosen,
        served=(scores.served(present), scores.served(chosen)),
        false_fires=(scores.false_fires(present), scores.false_fires(chosen)),
        in_scope=tuple(measure(INSIDE[kind], some) for kind, some in scores.inside.items()),
        out_of_scope=tuple(measure(OUTSIDE[kind], some) for kind, some in scores.outside.items()),
        unchanged=measure("unchanged prompts", unchanged),
        curve=Curve(
            threshold=thresholds,
            served=tuple(map(scores.served, thresholds)),
            false_fires=tuple(map(scores.false_fires, thresholds)),
        ),
    )


class _KnownPrompts:
    """Prompts whose scope is known, from what a registry states."""

    def __init__(self, edits: Sequence[Edit], shared: Routers) -> None:
        self.edits, self.shared = edits, shared
        self.entries = {edit.id: shared.entry(edit)[0] for edit in edits}
        self._by_name: dict[str, list[Edit]] = defaultdict(list)
        self._by_relation: dict[str, list[Edit]] = defaultdict(list)
        for edit in edits:
            for name in {alike(name) for name in edit.fact.subject.all}:
                self._by_name[name].append(edit)
            for key in _relation_keys(edit):
                self._by_relation[key].append(edit)

    def of_facts(self, outside: Sequence[_Prompt]) -> _Set:
        """What is asked of the edits' own prompts."""
        entries = [_only(entry, facts=True) for entry in self.entries.values()]
        prompts = [
            _Prompt("holdout", edit.fill(prompt.text), edit.id)
            for edit in self.edits
            for prompt in edit.holdout
        ]
        for edit in self.edits:
            for i, prompt in enumerate(edit.prompts if len(edit.prompts) > 1 else ()):
                rest = edit.prompts[:i] + edit.prompts[i + 1 :]
                without, _ = self.shared.entry(edit.model_copy(update={"prompts": rest}))
                alone = _only(without, facts=True)
                text = edit.fill(prompt.text)
                prompts.append(_Prompt("prompts", text, edit.id, frozenset({edit.id}), alone))
        return _Set(self.shared, entries, [*prompts, *outside])

    def of_implications(self, outside: Sequence[_Prompt]) -> _Set | None:
        """What is asked of the edits' implications: each whose answer another one shares, as if
        it were not there. None if there is none."""
        entries = [_only(entry, facts=False) for entry in self.entries.values()]
        prompts = []
        for edit in self.edits:
            for i, implied in enumerate(edit.implications):
                rest = edit.implications[:i] + edit.implications[i + 1 :]
                # A map leads to one answer: only its other prompts may stand in for this one.
                same = tuple(other for other in rest if other.new.text == implied.new.text)
                if same:
                    without, _ = self.shared.entry(edit.model_copy(update={"implications": same}))
                    alone = _only(without, facts=False)
                    text, mine = edit.fill(implied.prompt), frozenset({edit.id})
                    prompts.append(_Prompt("implications", text, edit.id, mine, alone))
        return _Set(self.shared, entries, [*prompts, *outside]) if prompts else None

    def outside(self, ordinary: Iterable[str], elsewhere: Iterable[str]) -> list[_Prompt]:
        """Prompts that no edit should answer, and those that are to stay unchanged."""
        return [
            *self._about_subjects(),
            *self._of_edits(),
            *(_Prompt("subjects", text) for text in elsewhere),
            *(_Prompt("text", text) for text in ordinary),
            *(_Prompt("unchanged", e.fill(u.prompt)) for e in self.edits for u in e.unchanged),
        ]

    def _same_subject(self, edit: Edit) -> list[Edit]:
        names = {alike(name) for name in edit.fact.subject.all}
        same = {other.id: other for name in sorted(names) for other in self._by_name[name]}
        return list(same.values())

    def _same_relation(self, edit: Edit) -> list[Edit]:
        same = {e.id: e for key in _relation_keys(edit) for e in self._by_relation[key]}
        return list(same.values())

    def _draw(self, edit: Edit, kind: str, pool: Sequence[Any]) -> list[Any]:
        """The edit's share of the prompts of a kind, the same for the same edit and pool."""
        n = max(LEAST, min(MOST, BUDGET // len(self.edits)))
        return random.Random(f"{kind} {edit.id}").sample(pool, min(n, len(pool)))

    def _about_subjects(self) -> Iterator[_Prompt]:
        """Other questions about each edit's subject, of the library and of the other edits."""
        topics = self._topics()
        for edit in self.edits:
            same = self._same_subject(edit)
            same_topics = set().union(*(topics[e.id] for e in same))
            relations = {key for e in same for key in _relation_keys(e)}
            # The half of the wordings that `_half` takes out of the background.
            library = [
                text
                for topic, wordings in questions().items()
                if topic not in same_topics
                for text in wordings[1::2]
            ]
            for text in self._draw(edit, "topics", library):
                yield _Prompt("topics", re.sub(rf"\b{MASK}\b", edit.subject, text))
            for other in self._draw(edit, "relations", self.edits):
                if topics[other.id] & same_topics or relations & set(_relation_keys(other)):
                    continue
                prompts = [*other.prompts, *other.holdout]
                for prompt in prompts if len(self.edits) <= MOST else prompts[:1]:
                    yield _Prompt("relations", edit.fill(prompt.text))

    def _of_edits(self) -> Iterator[_Prompt]:
        """Each edit's prompts, which no other edit should answer, and those of its relation's
        other edits about its subject."""
        for edit in self.edits:
            alike_ = {other.id for other in self._same_relation(edit)}
            owners = frozenset(e.id for e in self._same_subject(edit) if e.id in alike_)
            for prompt in (*edit.prompts, *edit.holdout):
                yield _Prompt("edits", edit.fill(prompt.text), owners=owners)
            about = [e for e in self._same_relation(edit) if e.id not in owners]
            texts = {prompt.text for other in about for prompt in other.prompts}
            for text in self._draw(edit, "subjects", sorted(texts)):
                yield _Prompt("subjects", edit.fill(text), owners=owners)

    def _topics(self) -> dict[str, set[str]]:
        """The library's topics that ask what an edit asks, its holdout among it."""
        shared = self.shared.measuring("contrast")
        topics = {}
        for edit in self.edits:
            prompts = (*edit.prompts, *edit.holdout)
            wide = {"prompts": prompts, "scope": Scope(router="anchored")}
            topics[edit.id] = set(shared.entry(edit.model_copy(update=wide))[0].topics)
        return topics


def _relation_keys(edit: Edit) -> list[str]:
    """What identifies a relation: another edit with one of these has the same."""
    relation = edit.fact.relation
    return [alike(relation.text), *([f"id {relation.id}"] if relation.id else [])]


def _only(entry: RouterEntry, *, facts: bool) -> RouterEntry:
    """An entry with the routes to its fact, or to its implications; what stays unchanged stays.

    A router without implications is not the same as one of an edit that has none: the topics
    that an edit asks are those of all its prompts.
    """
    routes, rows, start = [], [], 0
    for route in entry.routes:
        if route.group == COUNTER or (route.group == 0) == facts:
            routes.append(route)
            rows.append(entry.points[start : start + route.rows])
        start += route.rows
    points = torch.cat(rows) if rows else entry.points[:0]
    return replace(entry, routes=tuple(routes), points=points)


def _bounded(entry: RouterEntry, at: float) -> RouterEntry:
    return replace(entry, threshold=at, implied=at)


def _required(decision: Decision, at: float) -> float:
    """The threshold at which a prompt that fired at `at` would just have fired."""
    return math.inf if decision.edit is None else decision.required_threshold(at)


def _half(metric: Metric) -> Metric | None:
    """The metric with half of its library's wordings, so that the others are new to it; None if
    it has no library."""
    if not metric.topics:
        return None
    kept = [i for i, topic in enumerate(metric.topics) if (i - metric.topics.index(topic)) % 2 == 0]
    topics = tuple(metric.topics[i] for i in kept)
    return replace(metric, background=metric.background[kept], topics=topics)
