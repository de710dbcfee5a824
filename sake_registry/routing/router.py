"""The router: from a prompt to a decision, for all edits at once.

`anchored` (default): an edit is a candidate if its subject or an alias stands in the prompt as
a whole name; the distance is that of the masked question to the nearest of the edit's own. An
implication that does not name the subject is a candidate if the names it does use are there.
What the edit lists as unchanged and names the subject holds its ground: a question nearer to
that than to every prompt of the edit is out of scope.
`centre`: the paper's rule (3.2.3): the distance of the whole prompt to the nearest centre.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import torch

from sake_registry import names
from sake_registry.routing.representation import masked_clause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import date

    from torch import Tensor

    Embed = Callable[[Sequence[str]], Tensor]

Kind = Literal["anchored", "centre"]
Need = Literal["any", "all"]
COUNTER = -1
"""The group of rows that hold their ground against an edit."""
ANOTHER = "another question"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Route:
    """One way into an edit: to `group` (or against it, `COUNTER`), by `rows` of its points.

    A prompt must name `names`: one of them (`any`), or each (`all`); none are needed if empty.
    """

    group: int
    names: tuple[str, ...]
    need: Need
    rows: int


@dataclass(frozen=True)
class RouterEntry:
    """What the router knows of one edit; `points` are (sum of rows, embedder's width)."""

    edit: str
    kind: Kind
    threshold: float
    routes: tuple[Route, ...]
    points: Tensor
    valid_from: date | None = None
    valid_until: date | None = None

    def __post_init__(self) -> None:
        if self.points.dim() != 2 or len(self.points) != sum(r.rows for r in self.routes):
            raise ValueError(
                f"{self.edit}: {tuple(self.points.shape)} points do not fit its routes"
            )


@dataclass(frozen=True)
class Decision:
    """Which edit a prompt is in scope of, and why.

    `edit` and `group` are None out of scope; `nearest` is the candidate that came nearest all
    the same, at `distance` in the embedder's space, where `threshold` is the bound.
    """

    edit: str | None
    group: int | None
    nearest: str | None
    distance: float | None
    threshold: float | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.distance is None:
            return self.reason
        sign = "≤" if self.edit else ">" if self.distance > (self.threshold or 0) else "·"
        return (
            f"{self.edit or 'none'} ({self.distance:.2f} {sign} {self.threshold:g}; {self.reason})"
        )


NOBODY = Decision(None, None, None, None, None, "no edit's subject is named")


@dataclass(frozen=True)
class _Candidate:
    entry: RouterEntry
    group: int
    distance: float
    blocked: bool


class Router:
    """Decides for a set of edits. Which of them are enabled is said with each question."""

    def __init__(self, entries: Iterable[RouterEntry], embed: Embed) -> None:
        self.entries = {entry.edit: entry for entry in sorted(entries, key=lambda e: e.edit)}
        self._embed = embed
        self._by_word: dict[str, list[str]] = {}
        self._wordless: list[str] = []
        centres, owners = [], []
        for entry in self.entries.values():
            if entry.kind == "centre":
                centres.append(entry.points)
                owners += [(entry.edit, route.group) for route in entry.routes]
                continue
            for route in entry.routes:
                # One word of each name leads to the edit; `names.find` has the last word.
                words = [_WORD.search(name) for name in route.names]
                for word in {found[0] for found in words if found}:
                    self._by_word.setdefault(word, []).append(entry.edit)
                if not words or not all(words):
                    self._wordless.append(entry.edit)
        self._centres, self._owners = (torch.cat(centres) if centres else None), owners

    def decide(
        self,
        prompts: Sequence[str],
        disabled: Collection[str] = (),
        now: datetime | None = None,
    ) -> list[Decision]:
        """A decision for each prompt; `now` (UTC) is when validity is judged."""
        now = now or datetime.now(UTC)
        wanted: list[list[tuple[RouterEntry, Route, slice, str]]] = []
        for prompt in prompts:
            wanted.append(list(self._named(prompt)))
        texts = list(dict.fromkeys(text for routes in wanted for *_, text in routes))
        if self._centres is not None:
            texts += [prompt for prompt in dict.fromkeys(prompts) if prompt not in set(texts)]
        if not texts:
            return [NOBODY] * len(prompts)
        point = dict(zip(texts, self._embed(texts), strict=True))
        return [
            self._choose(self._measure(prompt, routes, point, disabled, now), disabled, now)
            for prompt, routes in zip(prompts, wanted, strict=True)
        ]

    def _named(self, prompt: str) -> Iterable[tuple[RouterEntry, Route, slice, str]]:
        """Every route whose names stand in the prompt, with its rows and the text to compare."""
        words = dict.fromkeys(_WORD.findall(prompt))
        edits = dict.fromkeys(
            [edit for word in words for edit in self._by_word.get(word, ())] + self._wordless
        )
        for edit in edits:
            entry, start = self.entries[edit], 0
            for route in entry.routes:
                rows = slice(start, start + route.rows)
                start += route.rows
                spans = names.find(prompt, route.names)
                named = {prompt[a:b] for a, b in spans}
                if not route.names:
                    yield entry, route, rows, prompt
                elif spans and (route.need == "any" or len(named) == len(route.names)):
                    text = masked_clause(prompt, spans)
                    if text is not None:
                        yield entry, route, rows, text

    def _measure(
        self,
        prompt: str,
        routes: Sequence[tuple[RouterEntry, Route, slice, str]],
        point: dict[str, Tensor],
        disabled: Collection[str],
        now: datetime,
    ) -> list[_Candidate]:
        best: dict[str, tuple[float, int]] = {}
        counter: dict[str, float] = {}
        for entry, route, rows, text in routes:
            distance = float(torch.cdist(point[text][None], entry.points[rows]).min())
            if route.group == COUNTER:
                counter[entry.edit] = min(distance, counter.get(entry.edit, distance))
            elif entry.edit not in best or distance < best[entry.edit][0]:
                best[entry.edit] = (distance, route.group)
        found = [
            _Candidate(self.entries[edit], group, distance, counter.get(edit, distance) < distance)
            for edit, (distance, group) in best.items()
        ]
        if self._centres is not None:
            distances = torch.cdist(point[prompt][None], self._centres)[0]
            # The nearest centre, and behind one that may not fire the next that may.
            for nearest in distances.argsort().tolist():
                edit, group = self._owners[nearest]
                candidate = _Candidate(self.entries[edit], group, float(distances[nearest]), False)
                found.append(candidate)
                if self._why_not(candidate, disabled, now) in ("", ANOTHER):
                    break
        return found

    def _choose(
        self, candidates: Sequence[_Candidate], disabled: Collection[str], now: datetime
    ) -> Decision:
        if not candidates:
            return NOBODY
        judged = []
        for candidate in candidates:
            entry = candidate.entry
            why_not = self._why_not(candidate, disabled, now)
            ratio = candidate.distance / entry.threshold
            judged.append((why_not != "", ratio, entry.edit, candidate, why_not))
        _, _, _, chosen, why_not = min(judged, key=lambda row: row[:3])
        entry = chosen.entry
        return Decision(
            edit=None if why_not else entry.edit,
            group=None if why_not else chosen.group,
            nearest=entry.edit,
            distance=chosen.distance,
            threshold=entry.threshold,
            reason=why_not or "in scope",
        )

    @staticmethod
    def _why_not(candidate: _Candidate, disabled: Collection[str], now: datetime) -> str:
        """Why a candidate does not fire, or nothing if it does."""
        entry, today = candidate.entry, now.astimezone(UTC).date()
        if not candidate.distance <= entry.threshold:  # nor if it is no number
            return ANOTHER
        if candidate.blocked:
            return "nearer to what stays unchanged"
        if entry.edit in disabled:
            return "disabled"
        if entry.valid_from and today < entry.valid_from:
            return f"not valid before {entry.valid_from}"
        if entry.valid_until and today > entry.valid_until:
            return f"expired on {entry.valid_until}"
        return ""
