"""Pictures of a review as SVG text: what passed, what changed, how near the prompts lie.

Pure functions: here it is decided what stands where, the templates draw it. Each picture has a
title and a description, tells its marks apart by places, shapes and words and not by colour
alone, and holds what is drawn in `data-…` attributes:

| class | one per | data |
|---|---|---|
| `bar` | kind of prompt | `kind`, `passed`, `n` |
| `limit` | gate or threshold | `kind` or `threshold` |
| `mark` | prompt | `kind`, `ok`, where drawn by distance `distance`, `by` |

Legends are drawn by the page, so that they break where a picture cannot; they
explain what is drawn and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from sake_registry.asking.rows import KINDS
from sake_registry.pages.environment import environment
from sake_registry.pages.text import number, percent, visible
from sake_registry.review.words import FILTERS, share_words
from sake_registry.routing.reasons import Reason
from sake_registry.wording import count, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Environment

    from sake_registry.asking.rows import Row
    from sake_registry.review.report import EditReview, Review

WIDTH = 480
"""Narrow, so that words can be read on a telephone, too."""

GRID_EDITS = 40
"""The overview draws this many edits, the worst first."""

STACK = 8
"""Marks that stand on one another; more in one place are counted."""


class Picture(NamedTuple):
    """A picture, and what its marks mean: (sign, class, words)."""

    svg: Markup
    legend: tuple[tuple[str, str, str], ...]


class Mark(NamedTuple):
    """A prompt in a picture: a disc that is as expected, a rhomb that is not; hollow or filled."""

    row: Row
    x: float
    y: float
    filled: bool
    title: str

    @property
    def path(self) -> str:
        x, y = self.x, self.y
        if self.row.ok:
            return f"M{x - 4.2:.1f} {y:.1f}a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0Z"
        return f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5Z"


class Note(NamedTuple):
    """Words in a picture."""

    x: float
    y: float
    text: str


@cache
def templates() -> Environment:
    made = environment("sake_registry.review")
    made.filters |= FILTERS
    return made


def _drawn(name: str, **values: Any) -> Markup:
    return Markup(templates().get_template(f"{name}.svg.j2").render(width=WIDTH, **values))


def _legend(marks: Iterable[Mark], words: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """The four kinds of marks, as far as they are drawn: (ok, filled), (ok, hollow), …"""
    drawn = {(mark.row.ok, mark.filled) for mark in marks}
    kinds = ((True, True, "●"), (True, False, "○"), (False, True, "◆"), (False, False, "◇"))
    return tuple(
        (sign, "good" if ok else "bad", text)
        for (ok, filled, sign), text in zip(kinds, words, strict=True)
        if (ok, filled) in drawn
    )


# -- how many passed -----------------------------------------------------------------------------


class Bar(NamedTuple):
    kind: str
    passed: int
    n: int
    y: float
    wide: float
    rest: float
    words: str
    limit: float | None


def passed_bars(review: Review) -> Picture | None:
    """A lying bar for each kind of prompt, with the gate; None if nothing was asked."""
    if not review.measured:
        return None
    left, wide = 98, 196
    floors = {gate.name: gate.limit for gate in review.gates}
    bars, parts = [], []
    for i, (kind, share) in enumerate(review.measured.items()):
        floor = floors.get(f"min_{kind}")
        passed = round(wide * share.value, 1)
        failed = floor is not None and share.value < floor
        words = share_words(share)
        limit = round(left + wide * floor, 1) if floor else None
        mark = "✗ " if failed else ""
        bars.append(
            Bar(kind, share.passed, share.n, 6 + 38 * i, passed, round(wide - passed, 1),
                f"{mark}{words}", limit)
        )  # fmt: skip
        parts.append(f"{kind} {words}" + (f", asked for {percent(floor, 0)} %" if floor else ""))
    svg = _drawn("passed", bars=bars, left=left, wide=wide, desc="; ".join(parts))
    legend = [("■", "good", "as expected")]
    legend += [("□", "bad", "not as expected")] if any(bar.rest for bar in bars) else []
    legend += [("┆", "", "what the gate asks for")] if any(bar.limit for bar in bars) else []
    return Picture(svg, tuple(legend))


# -- what changed --------------------------------------------------------------------------------


class Line(NamedTuple):
    """An edit in the overview."""

    y: float
    name: str
    short: str
    action: str


def answers(review: Review) -> Picture | None:
    """Every prompt of every edit as one mark: changed, stayed, not as expected."""
    edits = [edit for edit in review.worst_first if edit.rows]
    if not edits:
        return None
    drawn = edits[:GRID_EDITS]
    kinds = [kind for kind in KINDS if any(row.kind == kind for e in drawn for row in e.rows)]
    gap, step = 14.0, 11.5
    wide = WIDTH / len(kinds)
    across = int((wide - gap) // step)
    heads = [Note(wide * i, 14, kind) for i, kind in enumerate(kinds)]
    lines: list[Line] = []
    marks: list[Mark] = []
    rests: list[Note] = []
    y = 24.0
    for edit in drawn:
        name = visible(edit.name)
        lines.append(Line(round(y, 1), name, shorten(name, 38), edit.action))
        high = 1
        for i, kind in enumerate(kinds):
            rows = [row for row in edit.failed_first if row.kind == kind]
            most = 6 * across - (4 if len(rows) > 6 * across else 0)
            for j, row in enumerate(rows[:most]):
                x = round(wide * i + 5 + step * (j % across), 1)
                high = max(high, 1 + j // across)
                place = round(y + 31 + step * (j // across), 1)
                marks.append(Mark(row, x, place, row.differs, _title(row)))
            if len(rows) > most:
                x = round(wide * i + 5 + step * (most % across), 1)
                rests.append(Note(x, round(y + 35 + step * 5, 1), f"+{len(rows) - most}"))
        y += 34 + step * high
    rows = [row for edit in drawn for row in edit.rows]
    desc = (
        f"{count(len(drawn), 'edit')}, {count(len(rows), 'prompt')}: "
        f"{sum(row.differs for row in rows)} answers changed, "
        f"{sum(not row.ok for row in rows)} are not as expected."
    )
    svg = _drawn(
        "answers",
        heads=heads,
        lines=lines,
        marks=marks,
        rests=rests,
        height=math.ceil(y),
        desc=desc,
    )
    words = ("changed, as expected", "stayed, as expected",
             "changed, not as expected", "stayed, not as expected")  # fmt: skip
    return Picture(svg, _legend(marks, words))


def _title(row: Row) -> str:
    before, after = (shorten(visible(text), 50) or "–" for text in (row.before, row.after))
    how = "" if row.ok else f" (expected: {shorten(visible(row.expected), 40)})"
    return f"{shorten(visible(row.prompt), 90)}: {before} → {after}{how}"


# -- how near the prompts lie --------------------------------------------------------------------

OTHERS = "not its own"


class Near(NamedTuple):
    """Prompts that were measured against an edit, each with its lane and its place.

    A row's place is its distance. Where its bound is not the edit's usual one, `threshold`, it
    lies as far from that as its distance lies from its own bound.
    """

    threshold: float
    rows: list[tuple[str, Row, float]]

    @property
    def shifted(self) -> bool:
        return any(row.threshold != self.threshold for _, row, _ in self.rows)


def near(review: Review, edit: EditReview) -> Near | None:
    """Left out is what has no distance, and what lies near another edit; None if that is all."""
    lanes: list[tuple[str, Row]] = [
        (row.kind, row) for row in edit.rows if row.by in (None, edit.id)
    ]
    strangers = (*review.interference, *review.unrelated.changed, *review.nearby.changed)
    lanes += [(OTHERS, row) for row in strangers if row.by == edit.id]
    measured = [
        (lane, row)
        for lane, row in lanes
        if row.distance is not None and row.threshold is not None
        and (row.by == edit.id or row.nearest in (None, edit.id))
    ]  # fmt: skip
    # What this edit answered is certain to be measured against its own threshold.
    certain = [row for _, row in measured if row.by == edit.id or row.reason == Reason.IN_SCOPE]
    bounds = Counter(row.threshold or 0.0 for row in certain or [row for _, row in measured])
    if not bounds:
        return None
    threshold = max(bounds, key=lambda bound: (bounds[bound], -bound))
    placed = [
        (lane, row, threshold + (row.distance or 0.0) - (row.threshold or 0.0))
        for lane, row in measured
        if fires(row) or row.nearest == edit.id or row.threshold == threshold
    ]
    return Near(threshold, placed)


def distances(review: Review, edit: EditReview, ident: str) -> Picture | None:
    """How far the edit's prompts lie from it, and up to where it answers; None if unknown."""
    neighbours = near(review, edit)
    if neighbours is None:
        return None
    threshold = neighbours.threshold
    left, right = 100.0, WIDTH - 26.0
    end = 1.06 * max([threshold, *(place for _, _, place in neighbours.rows)])
    if not 1e-6 < end < 1e9:
        return None  # no figures that a router gives
    scale = (right - left) / end

    def x(place: float) -> float:
        return round(left + scale * max(place, 0.0), 1)

    lanes: list[Note] = []
    marks: list[Mark] = []
    rests: list[Note] = []
    top = y = 34.0
    for lane in (*KINDS, OTHERS):
        # The failed ones lie at the bottom of a pile, so that none of them is hidden.
        rows = sorted(
            ((row, place) for name, row, place in neighbours.rows if name == lane),
            key=lambda pair: (pair[0].ok, pair[1], pair[0].prompt),
        )
        if not rows:
            continue
        piles: Counter[int] = Counter()
        levels = []
        for row, place in rows:
            pile = round(x(place) / 9)
            levels.append((row, x(place), piles[pile]))
            piles[pile] += 1
        base = y + 9 + 10 * min(max(piles.values()), STACK)
        for row, at, level in levels:
            if level < STACK:
                title = f"{_title(row)} · distance {row.distance:.2f}"
                marks.append(Mark(row, at, base - 6 - 10 * level, fires(row), title))
        for pile, n in piles.items():
            if n > STACK:
                rests.append(Note(9 * pile + 8, base - 10 * STACK + 8, f"+{n - STACK}"))
        y = base + 4
        lanes.append(Note(left, y, lane))
    claim = visible(edit.name)
    prompts = [row for _, row, _ in neighbours.rows]
    desc = (
        f"{count(len(prompts), 'prompt')}; {sum(map(fires, prompts))} of them within the "
        f"threshold of {number(threshold)} and answered by the edit; "
        f"{sum(not row.ok for row in prompts)} not as expected."
    )
    svg = _drawn(
        "distances", ident=ident, claim=claim, desc=desc, left=left, right=right, top=top, y=y,
        limit=x(threshold), threshold=threshold, lanes=lanes, marks=marks, rests=rests,
        ticks=[(x(value), number(value)) for value in _ticks(end)],
    )  # fmt: skip
    words = ("answered by the edit", "left to the model", "answered, not as expected",
             "left to the model, not as expected")  # fmt: skip
    legend = _legend(marks, words)
    return Picture(svg, (*legend, ("┆", "", f"threshold {number(threshold)}")))


def fires(row: Row) -> bool:
    """Whether an edit answers; where it is gone, whether it did."""
    return row.by is not None or row.reason == Reason.IN_SCOPE


def _ticks(end: float) -> list[float]:
    rough = end / 8
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough)
    return [round(step * i, 10) for i in range(int(end / step) + 1)]


def caption(review: Review, edit: EditReview) -> str:
    """What the picture of distances shows, and what it does not."""
    neighbours = near(review, edit)
    text = (
        "Each mark is a prompt, placed by how far its wording is from the edit's own prompts. "
        "Left of the dashed line the edit answers, right of it the model answers as always."
    )
    if edit.action == "removed":
        text = f"Where the prompts lay before the edit was removed. {text}"
    if neighbours is not None and neighbours.shifted:
        text += " Bounds differ by prompt: each lies as far from the line as from its own bound."
    if neighbours is not None and any(lane == OTHERS for lane, _, _ in neighbours.rows):
        text += f" “{OTHERS}”: prompts of other edits, or of none, that this edit answers."
    return " ".join(filter(None, [text, held_back(review, edit), not_drawn(review, edit)]))


def held_back(review: Review, edit: EditReview) -> str:
    """Why the edit leaves prompts alone that are near enough, in a sentence; empty if none is."""
    neighbours = near(review, edit)
    reasons = {
        row.reason
        for _, row, _ in (neighbours.rows if neighbours else ())
        if not fires(row) and (row.distance or 0.0) <= (row.threshold or 0.0)
    }
    if not reasons:
        return ""
    listed = "; ".join(sorted(visible(reason) or "no reason given" for reason in reasons))
    return f"Hollow left of the line are prompts that it leaves alone all the same: {listed}."


def not_drawn(review: Review, edit: EditReview) -> str:
    """What the picture of distances leaves out, and why, in a sentence; empty if nothing."""
    neighbours = near(review, edit)
    drawn = {id(row) for _, row, _ in (neighbours.rows if neighbours else ())}
    left = [row for row in edit.rows if id(row) not in drawn]
    if not left:
        return ""
    why = Counter(
        "answered by another edit"
        if row.by not in (None, edit.id)
        else row.reason or "no distance known"
        if row.distance is None
        else "nearer to another edit"
        for row in left
    )
    listed = "; ".join(f"{visible(reason)}: {n}" for reason, n in sorted(why.items()))
    return f"Not drawn: {count(len(left), 'prompt')} ({listed})."
