"""The router: from a prompt to a decision, for all edits at once.

`detector` (default): an edit is a candidate if its subject or an alias stands in the prompt as a
whole name; what a prompt does, held against the edit's own prompts, says the scope detector
(`routing.detector`), and beside it how near its question lies to theirs (`routing.nearness`).
The distance is the probability that it does not ask for the fact.
`anchored`: candidates are named as well, by no name that may be part of a longer one; the distance
is that of the masked question to the nearest of the edit's own. An implication that does not name
the subject is a candidate if the names it does use are there; one that shares no word with the
fact it follows from is further away. Under the metric `contrast` the bound is the wider, the
further the question is from all that the edit does not ask.
Under both, what an edit lists as unchanged and names the subject holds its ground: a question that
is nearer to that than to every prompt of the edit is out of scope.
`centre`: the paper's rule (3.2.3): the distance of the whole prompt to the nearest centre.

Only the end of a long prompt is looked at (`representation.LOOKED_AT`), and where it names many
subjects, only those named nearest to its end (`MOST_TEXTS`): time grows with the text.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import ConfigDict, Field, field_serializer

from sake_registry.names import NameIndex, Naming
from sake_registry.routing.detector import KINDS, TASK, Fact
from sake_registry.routing.detector import load as load_detector
from sake_registry.routing.metric import (
    BACKGROUND_WEIGHT,
    MISMATCH,
    PREPOSITIONS,
    VOTES,
    Metric,
    content_stems,
    final_preposition,
    question_word,
    question_words,
)
from sake_registry.routing.nearness import Nearness, with_evidence
from sake_registry.routing.reasons import Reason, decision_words
from sake_registry.routing.representation import NAMED, clauses, looked_at, said, view
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from torch import Tensor

    from sake_registry.bundle.format import Route, RouterKind, Routing
    from sake_registry.models.embedder import Embed
    from sake_registry.names import Spans
    from sake_registry.routing.detector import Detector, Judgement

COUNTER = -1
"""The group of rows that hold their ground against an edit."""
NARROW = 0.15
"""Of a probability: so near to its bound, a decision of the detector is said to be narrow."""
LEAD = 0.1
"""Of a probability: so much more surely than for the fact itself must the detector see a prompt ask
for one of its implications, or for what is unchanged, to take it for that; none where the prompt
is one of theirs. Where it may ask for the fact, whose subject it names, it is never taken for an
implication that names none."""
MOST_TEXTS = 32
"""Texts of a prompt that are embedded, if it names many subjects."""
BESIDE = 3
"""Clauses that are measured beside the first where the detector reads, those nearest to the end."""
_EUCLIDEAN = Metric("euclidean", torch.empty(0, 0), torch.empty(0, 0))


@dataclass(frozen=True)
class RouterEntry:
    """What the router knows of one edit: its `Routing`, with `points`, the embeddings (sum of the
    routes' rows, embedder's width), and when the edit is in force."""

    edit: str
    kind: RouterKind
    threshold: float
    routes: tuple[Route, ...]
    points: Tensor
    valid_from: date | None = None
    valid_until: date | None = None
    topics: tuple[str, ...] = ()
    implied: float | None = None
    asks: str = ""

    def __post_init__(self) -> None:
        if self.points.dim() != 2 or len(self.points) != sum(r.rows for r in self.routes):
            raise ValueError(
                f"{self.edit}: {tuple(self.points.shape)} points do not fit its routes"
            )
        if self.kind == "detector" and any(len(r.texts) != r.rows for r in self.routes):
            raise ValueError(f"{self.edit}: the texts of a route do not fit its rows")
        if any(len(route.ends) not in (0, route.rows) for route in self.routes):
            raise ValueError(f"{self.edit}: the last words of a route do not fit its rows")

    @classmethod
    def of(
        cls,
        edit: str,
        routing: Routing,
        points: Tensor,
        valid_from: date | None = None,
        valid_until: date | None = None,
    ) -> RouterEntry:
        """The entry of an edit that is routed so."""
        return cls(
            edit, routing.kind, routing.threshold, routing.routes, points,
            valid_from, valid_until, routing.topics, routing.implied, routing.asks,
        )  # fmt: skip

    def threshold_of(self, group: int) -> float:
        """The threshold of one of its groups."""
        return self.implied if group > 0 and self.implied is not None else self.threshold


class Decision(Value):
    """Which edit a prompt is in scope of, and why.

    `edit` and `group` are None out of scope; `nearest` is the candidate that came nearest all
    the same, at `distance` in the metric's space, where `threshold` is the bound that applied.
    `detail` belongs to the reason: the question that is nearer, a date. `narrow` is said of the
    detector where a little more or less would have decided otherwise.
    """

    # A broken embedder gives distances that are not numbers; they fire nothing.
    model_config = ConfigDict(allow_inf_nan=True)

    edit: str | None = None
    group: int | None = None
    nearest: str | None = None
    distance: float | None = None
    threshold: float | None = None
    reason: Reason
    detail: str = Field("", exclude=True)
    narrow: bool = Field(False, exclude=True)

    @property
    def why(self) -> str:
        """The reason in words, with its detail."""
        return self.reason.said(self.detail) + (", narrowly" if self.narrow else "")

    @field_serializer("reason")
    def _reason_in_words(self, reason: Reason) -> str:
        return self.why

    def required_threshold(self, at: float) -> float:
        """The least threshold at which the edit that came nearest fires, where this was decided
        with the threshold `at`: the bound may be that and something beside it."""
        if self.distance is None or self.threshold is None:
            return float("inf")
        return self.distance - (self.threshold - at)

    def __str__(self) -> str:
        return decision_words(self.edit, self.distance, self.threshold, self.why)


NOBODY = Decision(reason=Reason.NOT_NAMED)


class _Way(NamedTuple):
    """A route as it is compared: its points in the metric's space (rows, p), the numbers of its
    endings (rows,), 0 for none, how its topics ask, and its links. What the detector reads has its
    texts, their embeddings (rows, e), and the topics that are nearest to them. A nameless one, of
    an implication, names no subject."""

    entry: RouterEntry
    group: int
    points: Tensor
    ends: Tensor
    asks: frozenset[str]
    links: frozenset[str]
    texts: tuple[str, ...]
    read: Tensor
    topics: frozenset[str]
    nameless: bool


class _Question(NamedTuple):
    """A clause of a prompt in the metric's space: its point (p,), how it ends and asks, its content
    stems, and the topics it is nearest to with their distances."""

    point: Tensor
    end: int
    asks: str
    words: frozenset[str]
    rivals: tuple[tuple[str, float], ...]


class _Candidate(NamedTuple):
    entry: RouterEntry
    group: int
    distance: float
    bound: float
    rival: str = ""
    blocked: bool = False
    otherwise: str = ""
    nameless: bool = False

    @property
    def rank(self) -> tuple[float, float]:
        """What is smallest for the best candidate: how much of its bound its distance takes.

        Bounds differ between edits, groups and clauses, and `centre` has another unit: a share
        compares them all, and says of each whether it fires. Without bounds (infinite ones)
        the distance decides.
        """
        return self.distance / self.bound, self.distance


class Router:
    """Decides for a set of edits. Which of them are enabled is said with each question.

    Args:
        entries: of the edits, all with points of the same embedder.
        embed: the embedder.
        metric: the space in which questions are compared; Euclidean distances if None.
        last_names: whether a subject may be named by its last name alone, or by another form
            of its name (`names.forms`), where no other subject among the edits may.
        tasks: whether a task that holds an edit's wording is answered as a question.
        learned: what the package's detector has learned of these edits' registry.
        detector: another one than the package's.
    """

    def __init__(
        self,
        entries: Iterable[RouterEntry],
        embed: Embed,
        metric: Metric | None = None,
        *,
        last_names: bool = True,
        tasks: bool = False,
        learned: str = "",
        detector: Detector | None = None,
    ) -> None:
        self.entries = {entry.edit: entry for entry in sorted(entries, key=lambda e: e.edit)}
        self._embed = embed
        self._metric = metric or _EUCLIDEAN
        anchored = [entry for entry in self.entries.values() if entry.kind != "centre"]
        if detector is None and any(entry.kind == "detector" for entry in anchored):
            detector = load_detector(learned)
        self._detector, self._tasks = detector, tasks
        # An edit's own topics are passed over, however near: the next one is its rival.
        self._rivals = 1 + max((_most_topics(entry) for entry in anchored), default=0)
        self._ways: dict[str, list[_Way]] = {}
        namings = {
            e.edit: [Naming(r.names, r.need, judged=e.kind == "detector") for r in e.routes]
            for e in anchored
        }
        self._index = NameIndex(namings, derived=last_names)
        centres = [entry for entry in self.entries.values() if entry.kind == "centre"]
        self._centres = torch.cat([entry.points for entry in centres]) if centres else None
        self._owners = [(entry.edit, route.group) for entry in centres for route in entry.routes]
        self._centred = frozenset(entry.edit for entry in centres)

    def bounded(self, threshold: float) -> Router:
        """The same router with another threshold for every edit, its implications too."""
        entries = {
            edit: replace(entry, threshold=threshold, implied=None)
            for edit, entry in self.entries.items()
        }
        other = copy(self)
        other.entries = entries
        other._ways = {}
        return other

    def candidates(self, prompt: str) -> frozenset[str]:
        """The edits that a prompt may be given to: those it names, and all that go by a centre."""
        return self._centred | self._index.owners(looked_at(prompt))

    def decide(
        self,
        prompts: str | Sequence[str],
        disabled: Collection[str] = (),
        now: datetime | None = None,
    ) -> list[Decision]:
        """A decision for each prompt; one string is one prompt.

        Args:
            disabled: ids of edits that do not fire.
            now: when validity is judged (UTC); the present moment if None.
        """
        prompts = [looked_at(p) for p in ([prompts] if isinstance(prompts, str) else prompts)]
        now = now or datetime.now(UTC)
        named = {prompt: list(self._named(prompt)) for prompt in dict.fromkeys(prompts)}
        read = {prompt: [w for w in ways if w[0].texts] for prompt, ways in named.items()}
        named = {prompt: [w for w in ways if not w[0].texts] for prompt, ways in named.items()}
        judged = self._judge(read)
        compared = dict.fromkeys(t for ways in named.values() for _, found in ways for t in found)
        whole = [p for p in named if p not in compared] if self._centres is not None else []
        texts = list(compared)
        points = self._embed(texts + whole) if texts or whole else torch.empty(0, 0)
        measured = self._questions(texts, points[: len(texts)]) if texts else ()
        questions = dict(zip(texts, measured, strict=True))
        place = dict(zip(texts + whole, points, strict=True))
        decided = {}
        for prompt, ways in named.items():
            candidates = _best_of_each([*self._measure(ways, questions), *judged[prompt]])
            if self._centres is not None:
                candidates += self._measure_centres(place[prompt], self._centres, disabled, now)
            decided[prompt] = self._choose(candidates, disabled, now)
        return [decided[prompt] for prompt in prompts]

    def held_against(self, prompt: str) -> Iterator[tuple[str, Fact, str, float]]:
        """The edits whose facts the detector holds a prompt against: the edit's id, its fact, the
        prompt as it is read, and what distances add to the logarithm of the odds that it asks."""
        ways = [(w, texts) for w, texts in self._named(looked_at(prompt)) if w.texts]
        for (way, texts), (_, evidence) in zip(ways, self._reading(ways), strict=True):
            if way.group == 0:
                yield way.entry.edit, _fact(way), texts[0], evidence

    def _ways_of(self, edit: str) -> list[_Way]:
        """The routes of an edit that prompts may name, in their order; made when one first does."""
        if edit not in self._ways:
            self._ways[edit] = list(self._made_of(self.entries[edit]))
        return self._ways[edit]

    def _made_of(self, entry: RouterEntry) -> Iterator[_Way]:
        # Entry by entry: what a router measures of an edit does not depend on the others in it.
        how = question_words(entry.topics)
        of_routes = torch.split(entry.points, [route.rows for route in entry.routes])
        for route, rows in zip(entry.routes, of_routes, strict=True):
            points = self._metric.points(rows)
            ends = torch.tensor([_number(end) for end in _ends(route)])
            topics = self._metric.voted(points) if route.texts else frozenset[str]()
            yield _Way(
                entry, route.group, points, ends, how, frozenset(route.links), route.texts, rows,
                topics, nameless=route.need == "all",
            )  # fmt: skip

    def _named(self, prompt: str) -> Iterator[tuple[_Way, list[str]]]:
        """Every route whose names stand in the prompt, with the texts to compare; before those,
        where the detector reads, the whole as it reads it."""
        ways = [
            (way, spans)
            for edit, located in self._index.locate(prompt)
            for way, spans in zip(self._ways_of(edit), located, strict=True)
            if spans is not None
        ]
        room = MOST_TEXTS
        read = {spans for way, spans in ways if way.texts}
        whole = said(prompt) if () in read else prompt  # a route may need no names
        texts: dict[Spans, list[str]] = {(): [whole]}
        views: dict[Spans, str] = {(): whole}
        for spans in sorted({s for _, s in ways if s}, key=lambda s: (s[-1], s), reverse=True):
            if room <= 0:
                break
            if spans in read:
                views[spans] = view(prompt, spans)
            texts[spans] = clauses(prompt, spans)
            room -= max(1, len(texts[spans]))
        for way, spans in ways:
            if way.texts and spans in views:
                first, last = texts[spans][:1], texts[spans][1:][-BESIDE:]
                yield way, [views[spans], *(text[-NAMED:] for text in first + last)]
            elif not way.texts and texts.get(spans):
                yield way, texts[spans]

    def _questions(self, texts: Sequence[str], rows: Tensor) -> Iterator[_Question]:
        """What is measured of each text, given their embeddings."""
        points = self._metric.points(rows)
        topics = self._metric.topic_names
        rivals: list[tuple[tuple[str, float], ...]] = [()] * len(texts)
        if topics and texts:
            distances = self._metric.topic_distances(points)
            near = distances.topk(min(self._rivals, len(topics)), largest=False)
            rivals = [
                tuple((topics[i], distance) for i, distance in zip(*row, strict=True))
                for row in zip(near.indices.tolist(), near.values.tolist(), strict=True)
            ]
        for text, point, others in zip(texts, points, rivals, strict=True):
            end = _number(final_preposition(text))
            yield _Question(point, end, question_word(text), content_stems(text), others)

    def _measure(
        self, ways: Iterable[tuple[_Way, list[str]]], questions: dict[str, _Question]
    ) -> Iterator[_Candidate]:
        """What each edit makes of each of a prompt's clauses."""
        for way, texts in ways:
            entry = way.entry
            for text in texts:
                question = questions[text]
                distance = self._distance(way, question)
                rival = next((r for r in question.rivals if r[0] not in entry.topics), None)
                bound = entry.threshold_of(way.group)
                if rival:
                    bound += BACKGROUND_WEIGHT * rival[1]
                yield _Candidate(
                    entry, way.group, distance, bound,
                    rival[0] if rival and rival[1] < distance else "",
                )  # fmt: skip

    def _judge(
        self, read: Mapping[str, Sequence[tuple[_Way, list[str]]]]
    ) -> dict[str, list[_Candidate]]:
        """What the detector makes of each prompt, held against the edits that it names, and
        distances beside it."""
        judged: dict[str, list[_Candidate]] = {prompt: [] for prompt in read}
        ways = [(prompt, *way) for prompt, some in read.items() for way in some]
        readings = self._reading([(way, texts) for _, way, texts in ways])
        for (prompt, way, _), (judgement, evidence) in zip(ways, readings, strict=True):
            answered = judgement.asks + (judgement.task if self._tasks else 0)
            if answered < 1:  # or it is one of the edit's own prompts
                answered = with_evidence(answered, evidence)
            judged[prompt].append(
                _Candidate(
                    way.entry, way.group, 1 - answered, way.entry.threshold_of(way.group),
                    otherwise=judgement.kind, nameless=way.nameless,
                )
            )  # fmt: skip
        return judged

    def _reading(self, ways: Sequence[tuple[_Way, list[str]]]) -> Iterator[tuple[Judgement, float]]:
        """What the detector sees in each text, and what distances add to the logarithm of its
        odds: nothing where the metric is another than the one they were weighed in."""
        if not ways or self._detector is None:
            return
        pairs = [(_fact(way), texts[0]) for way, texts in ways]
        if self._metric.kind != "contrast":
            yield from ((judgement, 0.0) for judgement in self._detector.judge(pairs))
            return
        # All that is compared is read in one pass of the encoder, and those texts remembered.
        compared = list(dict.fromkeys(text for _, texts in ways for text in texts))
        read = self._detector.pieces(compared)
        points = torch.stack([read[text].vectors[0] for text in compared])
        questions = dict(zip(compared, self._questions(compared, points), strict=True))
        judgements = self._detector.judge(pairs)
        for (way, texts), judgement in zip(ways, judgements, strict=True):
            whole, *clauses = [questions[text] for text in texts]
            nearness = self._nearness(way, whole, clauses or [whole])
            yield judgement, nearness.evidence(around=judgement.kind != KINDS[TASK])

    def _nearness(self, way: _Way, whole: _Question, clauses: Sequence[_Question]) -> Nearness:
        """How near a prompt's question lies to a route's own, which the detector reads."""
        asked = torch.stack([question.point for question in (whole, *clauses)])
        distances = torch.cdist(asked, way.points).amin(1).tolist()
        distance, number = min((d, i) for i, d in enumerate(distances[1:]))
        nearest = clauses[number]
        rival = next((d for topic, d in nearest.rivals if topic not in way.topics), distance)
        otherwise = nearest.end > 0 and not bool((way.ends == nearest.end).any())
        return Nearness(distance, distances[0], rival, otherwise)

    def _distance(self, way: _Way, question: _Question) -> float:
        """From a question to the nearest of a route's own."""
        distances = (way.points - question.point).norm(dim=1)
        if self._metric.kind != "contrast":
            return float(distances.min())
        if question.end:
            distances = distances + MISMATCH * ((way.ends > 0) & (way.ends != question.end))
        otherwise = question.asks and way.asks and question.asks not in way.asks
        apart = way.links and not way.links & question.words
        return float(distances.min()) + MISMATCH * (bool(otherwise) + bool(apart))

    def _measure_centres(
        self, point: Tensor, centres: Tensor, disabled: Collection[str], now: datetime
    ) -> list[_Candidate]:
        """The nearest centre, and behind one that may not fire the next that may."""
        candidates = []
        distances = torch.cdist(point[None], centres)[0]
        for nearest in distances.argsort().tolist():
            edit, group = self._owners[nearest]
            entry = self.entries[edit]
            candidates.append(_Candidate(entry, group, float(distances[nearest]), entry.threshold))
            if self._judged(candidates[-1], disabled, now)[0] in (
                Reason.IN_SCOPE,
                Reason.ANOTHER_QUESTION,
            ):
                break
        return candidates

    def _choose(
        self, candidates: Sequence[_Candidate], disabled: Collection[str], now: datetime
    ) -> Decision:
        if not candidates:
            return NOBODY
        judged = [(one, *self._judged(one, disabled, now)) for one in candidates]
        chosen, reason, detail = min(
            judged,
            key=lambda row: (row[1] != Reason.IN_SCOPE, row[0].rank, row[0].entry.edit),
        )
        fires = reason == Reason.IN_SCOPE
        return Decision(
            edit=chosen.entry.edit if fires else None,
            group=chosen.group if fires else None,
            nearest=chosen.entry.edit,
            distance=chosen.distance,
            threshold=chosen.bound,
            reason=reason,
            detail=detail,
            narrow=bool(chosen.otherwise) and abs(chosen.distance - chosen.bound) < NARROW,
        )

    @staticmethod
    def _judged(
        candidate: _Candidate, disabled: Collection[str], now: datetime
    ) -> tuple[Reason, str]:
        """Whether a candidate fires, or why it does not, with the reason's detail."""
        entry, today = candidate.entry, now.astimezone(UTC).date()
        if not candidate.distance <= candidate.bound and candidate.otherwise:
            return Reason.ASKS_OTHERWISE, candidate.otherwise
        if not candidate.distance <= candidate.bound:  # nor if it is not a number
            return Reason.ANOTHER_QUESTION, candidate.rival
        if candidate.blocked:
            return Reason.UNCHANGED, ""
        if entry.edit in disabled:
            return Reason.DISABLED, ""
        if entry.valid_from and today < entry.valid_from:
            return Reason.NOT_YET_VALID, str(entry.valid_from)
        if entry.valid_until and today > entry.valid_until:
            return Reason.EXPIRED, str(entry.valid_until)
        return Reason.IN_SCOPE, ""


def _most_topics(entry: RouterEntry) -> int:
    """How many topics may be an edit's own; those of one that is read are voted for."""
    return int(1 / VOTES) if entry.kind == "detector" else len(entry.topics)


def _ends(route: Route) -> Sequence[str]:
    """The last words of a route's questions, as far as they are known."""
    return route.ends or [final_preposition(text) for text in route.texts] or [""] * route.rows


def _fact(way: _Way) -> Fact:
    return Fact(way.texts, way.entry.asks, way.read)


def _best_of_each(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Of each edit the candidate that comes nearest, blocked where what holds its ground against
    the edit comes nearer."""
    best: dict[str, _Candidate] = {}
    counter: dict[str, float] = {}
    for candidate in candidates:
        edit = candidate.entry.edit
        if candidate.group == COUNTER:
            held = candidate.distance + _lead(candidate)
            counter[edit] = min(held, counter.get(edit, held))
        elif edit not in best or _order(candidate) < _order(best[edit]):
            best[edit] = candidate
    return [
        candidate._replace(blocked=counter.get(edit, candidate.distance) < candidate.distance)
        for edit, candidate in best.items()
    ]


def _order(candidate: _Candidate) -> tuple[bool, float, float]:
    """What is smallest for the best of an edit's candidates: one that may fire, of these the one
    that leads."""
    leading = (candidate.distance + _lead(candidate)) / candidate.bound
    return not candidate.distance <= candidate.bound, leading, candidate.distance


def _lead(candidate: _Candidate) -> float:
    """By how much a candidate of the detector stands behind one for the fact itself."""
    if not candidate.otherwise or candidate.group == 0 or candidate.distance <= 0:
        return 0.0
    return inf if candidate.nameless else LEAD


def _number(end: str) -> int:
    """An ending as a number, 0 for none."""
    return PREPOSITIONS.index(end) + 1 if end in PREPOSITIONS else 0
