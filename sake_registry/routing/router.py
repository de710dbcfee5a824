"""The router: from a prompt to a decision, for all edits at once.

`anchored` (default): an edit is a candidate if its subject or an alias stands in the prompt as
a whole name; the distance is that of the masked question to the nearest of the edit's own. An
implication that does not name the subject is a candidate if the names it does use are there; one
that shares no word with the fact it follows from is further away.
What the edit lists as unchanged and names the subject holds its ground: a question nearer to
that than to every prompt of the edit is out of scope. Under the metric `contrast` the bound is
the wider, the further the question is from all that the edit does not ask.
`centre`: the paper's rule (3.2.3): the distance of the whole prompt to the nearest centre.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import ConfigDict, Field, field_serializer

from sake_registry import names
from sake_registry.routing.metric import (
    CONTRAST,
    ENDING,
    ENDINGS,
    Metric,
    asked,
    asking,
    ending,
    telling,
)
from sake_registry.routing.reasons import Reason
from sake_registry.routing.representation import clauses
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import date

    from torch import Tensor

    from sake_registry.bundle.format import Need, Route, RouterKind, Routing
    from sake_registry.models.embedder import Embed

COUNTER = -1
"""The group of rows that hold their ground against an edit."""
_WORD = re.compile(r"\w+")
_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_INITIAL = 2  # letters: words so short may be written as one ("J. R. R.", "JRR")
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

    def __post_init__(self) -> None:
        if self.points.dim() != 2 or len(self.points) != sum(r.rows for r in self.routes):
            raise ValueError(
                f"{self.edit}: {tuple(self.points.shape)} points do not fit its routes"
            )
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
            valid_from, valid_until, routing.topics, routing.implied,
        )  # fmt: skip

    def threshold_of(self, group: int) -> float:
        """The threshold of one of its groups."""
        return self.implied if group > 0 and self.implied is not None else self.threshold


class Decision(Value):
    """Which edit a prompt is in scope of, and why.

    `edit` and `group` are None out of scope; `nearest` is the candidate that came nearest all
    the same, at `distance` in the metric's space, where `threshold` is the bound that applied.
    `detail` belongs to the reason: the question that is nearer, a date.
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

    @property
    def why(self) -> str:
        """The reason in words, with its detail."""
        return self.reason.said(self.detail)

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
        if self.distance is None:
            return self.why
        bound = self.threshold or 0
        sign = "≤" if self.edit else ">" if self.distance > bound else "·"
        return f"{self.edit or 'none'} ({self.distance:.2f} {sign} {bound:.3g}; {self.why})"


NOBODY = Decision(reason=Reason.NOT_NAMED)


class _Way(NamedTuple):
    """A route as it is searched: with the other names it goes by, its points in the metric's
    space (rows, p), the numbers of its endings (rows,), 0 for none, how its topics ask, and its
    links."""

    entry: RouterEntry
    group: int
    names: tuple[str, ...]
    need: Need
    points: Tensor
    ends: Tensor
    asked: frozenset[str]
    links: frozenset[str]


class _Question(NamedTuple):
    """A clause of a prompt in the metric's space: its point (p,), how it ends and asks, its telling
    words, and the topics it is nearest to with their distances."""

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
    """

    def __init__(
        self,
        entries: Iterable[RouterEntry],
        embed: Embed,
        metric: Metric | None = None,
        *,
        last_names: bool = True,
    ) -> None:
        self.entries = {entry.edit: entry for entry in sorted(entries, key=lambda e: e.edit)}
        self._embed = embed
        self._metric = metric or _EUCLIDEAN
        anchored = [entry for entry in self.entries.values() if entry.kind == "anchored"]
        # An edit's own topics are passed over, however near: the next one is its rival.
        self._rivals = 1 + max((len(entry.topics) for entry in anchored), default=0)
        known = _other_names(anchored) if last_names else {}
        self._ways = {entry.edit: list(self._ways_of(entry, known)) for entry in anchored}
        self._by_word, self._wordless = _index(self._ways)
        centres = [entry for entry in self.entries.values() if entry.kind == "centre"]
        self._centres = torch.cat([entry.points for entry in centres]) if centres else None
        self._owners = [(entry.edit, route.group) for entry in centres for route in entry.routes]

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
        prompts = [prompts] if isinstance(prompts, str) else prompts
        now = now or datetime.now(UTC)
        named = {prompt: list(self._asked(prompt)) for prompt in dict.fromkeys(prompts)}
        compared = dict.fromkeys(t for ways in named.values() for _, found in ways for t in found)
        whole = [p for p in named if p not in compared] if self._centres is not None else []
        texts = list(compared)
        if not texts and not whole:
            return [NOBODY] * len(prompts)
        points = self._embed(texts + whole)
        questions = dict(zip(texts, self._questions(texts, points[: len(texts)]), strict=True))
        place = dict(zip(texts + whole, points, strict=True))
        decided = {}
        for prompt, ways in named.items():
            candidates = self._measure(ways, questions)
            if self._centres is not None:
                candidates += self._measure_centres(place[prompt], self._centres, disabled, now)
            decided[prompt] = self._choose(candidates, disabled, now)
        return [decided[prompt] for prompt in prompts]

    def _ways_of(
        self, entry: RouterEntry, known: dict[tuple[str, ...], tuple[str, ...]]
    ) -> Iterator[_Way]:
        # Entry by entry: what a router measures of an edit does not depend on the others in it.
        points, start = self._metric.points(entry.points), 0
        how = asked(entry.topics)
        for route in entry.routes:
            rows = points[start : start + route.rows]
            start += route.rows
            also = known.get(route.names, ()) if route.need == "any" else ()
            ends = [_number(end) for end in route.ends or [""] * route.rows]
            marks = torch.tensor(ends)
            links = frozenset(route.links)
            yield _Way(entry, route.group, route.names + also, route.need, rows, marks, how, links)

    def _asked(self, prompt: str) -> Iterator[tuple[_Way, list[str]]]:
        """Every route whose names stand in the prompt, with the texts to compare."""
        folded = _folded(prompt)
        words = dict.fromkeys(_WORD.findall(folded) + _words(folded))
        edits = dict.fromkeys(
            [edit for word in words for edit in self._by_word.get(word, ())] + self._wordless
        )
        found: dict[tuple[tuple[str, ...], Need], list[str]] = {}
        for edit in edits:
            for way in self._ways[edit]:
                key = way.names, way.need
                if key not in found:
                    found[key] = _texts(prompt, *key)
                if found[key]:
                    yield way, found[key]

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
            yield _Question(point, _number(ending(text)), asking(text), telling(text), others)

    def _measure(
        self, ways: Iterable[tuple[_Way, list[str]]], questions: dict[str, _Question]
    ) -> list[_Candidate]:
        """The best that each edit makes of a prompt's clauses."""
        best: dict[str, _Candidate] = {}
        counter: dict[str, float] = {}
        for way, texts in ways:
            entry = way.entry
            for text in texts:
                question = questions[text]
                distance = self._distance(way, question)
                if way.group == COUNTER:
                    counter[entry.edit] = min(distance, counter.get(entry.edit, distance))
                    continue
                rival = next((r for r in question.rivals if r[0] not in entry.topics), None)
                bound = entry.threshold_of(way.group)
                if rival:
                    bound += CONTRAST * rival[1]
                found = _Candidate(
                    entry, way.group, distance, bound,
                    rival[0] if rival and rival[1] < distance else "",
                )  # fmt: skip
                if entry.edit not in best or found.rank < best[entry.edit].rank:
                    best[entry.edit] = found
        return [
            found._replace(blocked=counter.get(edit, found.distance) < found.distance)
            for edit, found in best.items()
        ]

    def _distance(self, way: _Way, question: _Question) -> float:
        """From a question to the nearest of a route's own."""
        distances = (way.points - question.point).norm(dim=1)
        if self._metric.kind != "contrast":
            return float(distances.min())
        if question.end:
            distances = distances + ENDING * ((way.ends > 0) & (way.ends != question.end))
        otherwise = question.asks and way.asked and question.asks not in way.asked
        apart = way.links and not way.links & question.words
        return float(distances.min()) + ENDING * (bool(otherwise) + bool(apart))

    def _measure_centres(
        self, point: Tensor, centres: Tensor, disabled: Collection[str], now: datetime
    ) -> list[_Candidate]:
        """The nearest centre, and behind one that may not fire the next that may."""
        found = []
        distances = torch.cdist(point[None], centres)[0]
        for nearest in distances.argsort().tolist():
            edit, group = self._owners[nearest]
            entry = self.entries[edit]
            found.append(_Candidate(entry, group, float(distances[nearest]), entry.threshold))
            if self._judged(found[-1], disabled, now)[0] in (
                Reason.IN_SCOPE,
                Reason.ANOTHER_QUESTION,
            ):
                break
        return found

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
        )

    @staticmethod
    def _judged(
        candidate: _Candidate, disabled: Collection[str], now: datetime
    ) -> tuple[Reason, str]:
        """Whether a candidate fires, or why it does not, with the reason's detail."""
        entry, today = candidate.entry, now.astimezone(UTC).date()
        if not candidate.distance <= candidate.bound:  # nor if it is no number
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


def _number(end: str) -> int:
    """An ending as a number, 0 for none."""
    return ENDINGS.index(end) + 1 if end in ENDINGS else 0


def _folded(text: str) -> str:
    return names.fold(unicodedata.normalize("NFC", text))


def _words(folded: str) -> list[str]:
    """The words of a folded text; "U.S.S.R." is one."""
    return _WORD.findall(_ABBREVIATION.sub(lambda found: found[0].replace(".", ""), folded))


def _texts(prompt: str, known: tuple[str, ...], need: Need) -> list[str]:
    """What is compared of a prompt that names `known` as is needed; nothing if it does not."""
    if not known:
        return [prompt]
    spans = names.find(prompt, known)
    if need == "all" and not all(names.find(prompt, [name]) for name in known):
        return []
    return clauses(prompt, spans)


def _index(ways: dict[str, list[_Way]]) -> tuple[dict[str, list[str]], list[str]]:
    """From a word to the edits whose names have it, and the edits that every prompt leads to.

    One word of each name leads to the edit, and `names.find` has the last word: the rarest, or
    every prompt with a "John" would lead to thousands of edits.
    """
    words = {
        name: _WORD.findall(_folded(name))
        for own in ways.values()
        for way in own
        for name in way.names
    }
    common = Counter(word for of_name in words.values() for word in set(of_name))
    by_word: dict[str, list[str]] = {}
    wordless = []
    for edit, own in ways.items():
        leading: set[str] = set()
        for name in dict.fromkeys(name for way in own for name in way.names):
            of_name = words[name]
            long = [word for word in of_name if len(word) > _INITIAL]
            if long:
                leading.add(min(long, key=lambda word: (common[word], -len(word), word)))
            else:
                leading.update((*of_name[:1], "".join(of_name)))
        for word in sorted(leading - {""}):
            by_word.setdefault(word, []).append(edit)
        if not all(way.names and all(words[name] for name in way.names) for way in own):
            wordless.append(edit)
    return by_word, wordless


def _other_names(
    entries: Sequence[RouterEntry],
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The last names and other forms that may stand for a subject, by the subject's names.

    One stands for its subject where every name with its words, of any edit, is one of a route to
    that subject, and no other subject has that form: of two Darrieux neither is "Darrieux".
    """
    having: dict[str, set[tuple[str, ...]]] = {}
    for own in dict.fromkeys(route.names for entry in entries for route in entry.routes):
        for word in {word for name in own for word in _words(_folded(name))}:
            having.setdefault(word, set()).add(own)
    derived = {
        own: dict.fromkeys(form for name in own for form in _forms(name) if form not in own)
        for own in dict.fromkeys(r.names for e in entries for r in e.routes if r.need == "any")
    }
    sharing: dict[str, set[tuple[str, ...]]] = {}
    for own, others in derived.items():
        for form in others:
            sharing.setdefault(" ".join(_words(_folded(form))), set()).add(own)

    def is_clear(form: str, same: set[str]) -> bool:
        words = _words(_folded(form))
        owners = set.intersection(*(having.get(word, set()) for word in words))
        owners |= sharing[" ".join(words)]
        return all(same & {_folded(name) for name in owner} for owner in owners)

    return {
        own: tuple(form for form in others if is_clear(form, {_folded(name) for name in own}))
        for own, others in derived.items()
    }


def _forms(name: str) -> Iterator[str]:
    last = names.last_name(name)
    if last:
        yield last
    yield from names.forms(name)
