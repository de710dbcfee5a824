"""The router's thresholds, from prompts whose scope is known: what `sake calibrate` does.

Each prompt is decided once, at bounds that stop nothing; what the decision tells of the distance
is the threshold that the prompt needs. In scope are prompts that a router has not seen: holdout,
and an edit's own prompts, each asked of the edit without it. All other prompts come from what the
registry, the library of common questions and ordinary text have to offer.
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sake_registry.asking.routers import routers_of
from sake_registry.data.lead_ins import LEAD_INS
from sake_registry.data.questions import TOPICS
from sake_registry.digests import digest
from sake_registry.edits.conflicts import alike
from sake_registry.edits.schema import Scope
from sake_registry.errors import InputError
from sake_registry.routing.calibration import Scores, share
from sake_registry.routing.representation import MASK
from sake_registry.routing.router import COUNTER
from sake_registry.settings import METHOD_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sake_registry.asking.routers import Routers
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.routing.metric import Metric
    from sake_registry.routing.router import Decision, RouterEntry

    Phase = Callable[[str, int], None]
    Advance = Callable[[int], None]

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
LABELS = INSIDE | OUTSIDE
UNBOUND = 1024.0
"""A threshold that stops nothing, and at which float32 still tells ten-thousandths apart."""
BUDGET = 4000
"""Prompts of one kind, about; each edit has its share of them, `LEAST` to `MOST`."""
LEAST, MOST = 2, 30
POINTS = 101


class Measure(NamedTuple):
    """Of prompts of one kind: how many, and the share that counts at both thresholds."""

    label: str
    n: int
    present: float
    chosen: float


@dataclass(frozen=True)
class Bound:
    """A threshold as it is, as it would be, and what prompts need."""

    present: float
    chosen: float
    scores: Scores
    kept: Sequence[float]
    """What unchanged prompts need to be answered."""

    def _measure(self, label: str, needs: Sequence[float]) -> Measure:
        return Measure(label, len(needs), share(needs, self.present), share(needs, self.chosen))

    @property
    def inside(self) -> list[Measure]:
        return [self._measure(LABELS[k], v) for k, v in self.scores.inside.items() if v]

    @property
    def outside(self) -> list[Measure]:
        return [self._measure(LABELS[k], v) for k, v in self.scores.outside.items() if v]

    @property
    def unchanged(self) -> Measure:
        return self._measure("unchanged prompts", self.kept)

    @property
    def served(self) -> tuple[float, float]:
        """Shares of prompts in scope that are served, now and calibrated."""
        return self.scores.served(self.present), self.scores.served(self.chosen)

    @property
    def false_fires(self) -> tuple[float, float]:
        """Shares of prompts out of scope that are answered, now and calibrated."""
        return self.scores.false_fires(self.present), self.scores.false_fires(self.chosen)

    def curve(self) -> dict[str, list[float]]:
        """Shares over thresholds, from 0 to where nothing changes any more."""
        every = [*self.scores.inside.values(), *self.scores.outside.values()]
        finite = [need for needs in every for need in needs if need < UNBOUND]
        most = max([self.present, self.chosen, *finite])
        thresholds = [most * i / (POINTS - 1) for i in range(POINTS)]
        return {
            "threshold": thresholds,
            "served": [self.scores.served(t) for t in thresholds],
            "false_fires": [self.scores.false_fires(t) for t in thresholds],
        }

    def as_json(self) -> dict[str, Any]:
        def told(measures: Iterable[Measure]) -> list[dict[str, Any]]:
            return [measure._asdict() for measure in measures]

        return {
            "present": self.present,
            "chosen": self.chosen,
            "served": self.served,
            "false_fires": self.false_fires,
            "in_scope": told(self.inside),
            "out_of_scope": told(self.outside),
            "unchanged": self.unchanged._asdict(),
            "curve": self.curve(),
        }


@dataclass(frozen=True)
class Calibration:
    """What calibrating found.

    `implied` is None where no implication has a second wording. `left_out` are edits with a
    router or a threshold of their own; `path` is where the curve is stored.
    """

    root: Path
    rate: float
    facts: Bound
    implied: Bound | None
    left_out: tuple[str, ...]
    path: Path

    @property
    def thresholds(self) -> dict[str, float]:
        """Settings under `[router]`."""
        found = {"threshold": self.facts.chosen}
        return found | ({"implied_threshold": self.implied.chosen} if self.implied else {})

    def as_json(self) -> dict[str, Any]:
        return {
            "rate": self.rate,
            "threshold": self.facts.as_json(),
            "implied_threshold": self.implied.as_json() if self.implied else None,
            "left_out": list(self.left_out),
            "stored": str(self.path),
        }


def calibrate(
    registry: Registry,
    rate: float,
    ordinary: Sequence[str] = (),
    elsewhere: Sequence[str] = (),
    *,
    phase: Phase = lambda what, total: None,
    advance: Advance = lambda n: None,
) -> Calibration:
    """The largest thresholds at which false fires are at most `rate`, each bound by itself.

    Args:
        ordinary: texts that are about nothing.
        elsewhere: prompts of the edits about subjects of no edit.
        phase: told what is done next and how much of it there is; `advance`: how much is done.

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
    phase("embedding the edits' prompts and the common questions", 0)
    shared = routers_of(registry)
    prompts = _Prompts(usual, shared)
    outside = prompts.outside([*LEAD_INS, *ordinary], elsewhere)
    facts = _set(prompts.of_facts(outside), router.bound, rate, "threshold", phase, advance)
    implied = None
    if (questions := prompts.of_implications(outside)) is not None:
        present = router.implied_threshold or router.bound
        implied = _set(questions, present, rate, "implied_threshold", phase, advance)
    bounds = {"threshold": facts} | ({"implied_threshold": implied} if implied else {})
    key = digest([
        "calibrate", METHOD_VERSION, shared.space, rate, router.model_dump(), TOPICS,
        registry.settings.compile.prompts if router.kind == "centre" else 0,
        [e.model_dump(mode="json", exclude={"path", "provenance", "tags"}) for e in usual],
        list(ordinary), list(elsewhere),
    ])  # fmt: skip
    tensors = {
        f"{name}.{column}": torch.tensor(values)
        for name, bound in bounds.items()
        for column, values in bound.curve().items()
    }
    with shared.store.lock():
        shared.store.put(
            "calibration", key, tensors, {"rate": rate, **{n: b.chosen for n, b in bounds.items()}}
        )
    known = {edit.id for edit in usual}
    left_out = tuple(edit.id for edit in registry.active if edit.id not in known)
    path = shared.store.path("calibration", key)
    return Calibration(registry.root, rate, facts, implied, left_out, path)


class _Asked(NamedTuple):
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
class _Questions:
    """The entries of one bound, and the prompts that it is set on."""

    shared: Routers
    entries: Sequence[RouterEntry]
    asked: Sequence[_Asked]

    def needs(self, at: float, advance: Advance) -> list[float]:
        """The threshold that each prompt needs, seen from the threshold `at`: of a prompt's
        clauses a router tells of one, which is the right one where the prompt is at its bound."""
        router = self.shared.router(_bounded(entry, at) for entry in self.entries)
        blind = router
        if metric := _half(self.shared.metric):
            blind = self.shared.router((_bounded(entry, at) for entry in self.entries), metric)
        together: dict[tuple[bool, frozenset[str]], list[int]] = defaultdict(list)
        found = [math.inf] * len(self.asked)
        for i, one in enumerate(self.asked):
            if one.alone is None:
                together[one.kind == "topics", one.owners].append(i)
                continue
            (decision,) = self.shared.router([_bounded(one.alone, at)]).decide([one.text])
            (other,) = router.decide([one.text], disabled=one.owners)
            own = _need(decision, at)
            found[i] = own if own <= _need(other, at) else math.inf
            advance(1)
        for (library, owners), chosen in together.items():
            asking = blind if library else router
            decisions = asking.decide([self.asked[i].text for i in chosen], disabled=owners)
            for i, decision in zip(chosen, decisions, strict=True):
                right = self.asked[i].edit
                if right is None or decision.edit == right:
                    found[i] = _need(decision, at)
            advance(len(chosen))
        return found


def _set(
    questions: _Questions, present: float, rate: float, name: str, phase: Phase, advance: Advance
) -> Bound:
    """The bound that keeps the rate.

    Needs are found from a threshold that stops nothing and from the present one, then from the
    one that is chosen, until that changes nothing any more.
    """
    needs = [math.inf] * len(questions.asked)
    thresholds = [UNBOUND, present]
    while thresholds:
        at = thresholds.pop(0)
        phase(f"deciding at {name} {at:g}" if at < UNBOUND else "deciding", len(needs))
        found = [min(pair) for pair in zip(needs, questions.needs(at, advance), strict=True)]
        settled, needs = found == needs, found
        if not thresholds:
            bound = _bound(questions.asked, needs, present, rate, name)
            thresholds = [] if settled else [bound.chosen]
    return bound


def _bound(
    asked: Sequence[_Asked], needs: Sequence[float], present: float, rate: float, name: str
) -> Bound:
    of: dict[str, list[float]] = defaultdict(list)
    for one, value in zip(asked, needs, strict=True):
        of[one.kind].append(value)
    inside = {kind: of[kind] for kind in INSIDE if kind in of}
    scores = Scores(inside, {kind: of[kind] for kind in OUTSIDE if kind in of})
    try:
        chosen = scores.within(rate)
    except ValueError as error:
        raise InputError(
            f"no {name} can be set: {error}",
            hint="a larger --rate, or more holdout prompts in the edits' files",
        ) from error
    return Bound(present, chosen, scores, of["unchanged"])


class _Prompts:
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

    def of_facts(self, outside: Sequence[_Asked]) -> _Questions:
        """What is asked of the edits' own prompts."""
        entries = [_only(entry, facts=True) for entry in self.entries.values()]
        asked = [
            _Asked("holdout", edit.fill(prompt.text), edit.id)
            for edit in self.edits
            for prompt in edit.holdout
        ]
        for edit in self.edits:
            for i, prompt in enumerate(edit.prompts if len(edit.prompts) > 1 else ()):
                rest = edit.prompts[:i] + edit.prompts[i + 1 :]
                without, _ = self.shared.entry(edit.model_copy(update={"prompts": rest}))
                alone = _only(without, facts=True)
                text = edit.fill(prompt.text)
                asked.append(_Asked("prompts", text, edit.id, frozenset({edit.id}), alone))
        return _Questions(self.shared, entries, [*asked, *outside])

    def of_implications(self, outside: Sequence[_Asked]) -> _Questions | None:
        """What is asked of the edits' implications: each whose answer another one shares, as if
        it were not there. None if there is none."""
        entries = [_only(entry, facts=False) for entry in self.entries.values()]
        asked = []
        for edit in self.edits:
            for i, implied in enumerate(edit.implications):
                rest = edit.implications[:i] + edit.implications[i + 1 :]
                # A map leads to one answer: only its other prompts may stand in for this one.
                same = tuple(other for other in rest if other.new.text == implied.new.text)
                if same:
                    without, _ = self.shared.entry(edit.model_copy(update={"implications": same}))
                    alone = _only(without, facts=False)
                    text, mine = edit.fill(implied.prompt), frozenset({edit.id})
                    asked.append(_Asked("implications", text, edit.id, mine, alone))
        return _Questions(self.shared, entries, [*asked, *outside]) if asked else None

    def outside(self, ordinary: Iterable[str], elsewhere: Iterable[str]) -> list[_Asked]:
        """Prompts that no edit should answer, and those that are to stay unchanged."""
        return [
            *self._about_subjects(),
            *self._of_edits(),
            *(_Asked("subjects", text) for text in elsewhere),
            *(_Asked("text", text) for text in ordinary),
            *(_Asked("unchanged", e.fill(u.prompt)) for e in self.edits for u in e.unchanged),
        ]

    def _same_subject(self, edit: Edit) -> list[Edit]:
        names = {alike(name) for name in edit.fact.subject.all}
        found = {other.id: other for name in sorted(names) for other in self._by_name[name]}
        return list(found.values())

    def _same_relation(self, edit: Edit) -> list[Edit]:
        found = {e.id: e for key in _relation_keys(edit) for e in self._by_relation[key]}
        return list(found.values())

    def _draw(self, edit: Edit, kind: str, pool: Sequence[Any]) -> list[Any]:
        """The edit's share of the prompts of a kind, the same for the same edit and pool."""
        n = max(LEAST, min(MOST, BUDGET // len(self.edits)))
        return random.Random(f"{kind} {edit.id}").sample(pool, min(n, len(pool)))

    def _about_subjects(self) -> Iterator[_Asked]:
        """Other questions about each edit's subject, of the library and of the other edits."""
        topics = self._topics()
        for edit in self.edits:
            same = self._same_subject(edit)
            own = set().union(*(topics[e.id] for e in same))
            asked_of = {key for e in same for key in _relation_keys(e)}
            # The half of the wordings that `_half` takes out of the background.
            library = [w for t, wordings in TOPICS.items() if t not in own for w in wordings[1::2]]
            for text in self._draw(edit, "topics", library):
                yield _Asked("topics", re.sub(rf"\b{MASK}\b", edit.subject, text))
            for other in self._draw(edit, "relations", self.edits):
                if topics[other.id] & own or asked_of & set(_relation_keys(other)):
                    continue
                prompts = [*other.prompts, *other.holdout]
                for prompt in prompts if len(self.edits) <= MOST else prompts[:1]:
                    yield _Asked("relations", edit.fill(prompt.text))

    def _of_edits(self) -> Iterator[_Asked]:
        """Each edit's prompts, which no other edit should answer, and those of its relation's
        other edits about its subject."""
        for edit in self.edits:
            alike_ = {other.id for other in self._same_relation(edit)}
            owners = frozenset(e.id for e in self._same_subject(edit) if e.id in alike_)
            for prompt in (*edit.prompts, *edit.holdout):
                yield _Asked("edits", edit.fill(prompt.text), owners=owners)
            about = [e for e in self._same_relation(edit) if e.id not in owners]
            texts = {prompt.text for other in about for prompt in other.prompts}
            for text in self._draw(edit, "subjects", sorted(texts)):
                yield _Asked("subjects", edit.fill(text), owners=owners)

    def _topics(self) -> dict[str, set[str]]:
        """The library's topics that ask what an edit asks, its holdout among it."""
        shared = self.shared.measuring("contrast")
        found = {}
        for edit in self.edits:
            prompts = (*edit.prompts, *edit.holdout)
            wide = {"prompts": prompts, "scope": Scope(router="anchored")}
            found[edit.id] = set(shared.entry(edit.model_copy(update=wide))[0].topics)
        return found


def _relation_keys(edit: Edit) -> list[str]:
    """What a relation is told by: another edit with one of these has the same."""
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


def _need(decision: Decision, at: float) -> float:
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
