"""Pictures of a review as SVG text: what passed, what changed, how near the prompts lie.

As in `charts`: pure functions, a title and a description each, told apart by places, shapes and
words and not by colour alone, and with what is drawn in `data-…` attributes:

| class | one per | data |
|---|---|---|
| `bar` | kind of prompt | `kind`, `passed`, `n` |
| `limit` | gate or threshold | `kind` or `threshold` |
| `mark` | prompt | `kind`, `ok`, where drawn by distance `distance`, `by` |
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from sake_bench.reports.charts import drawing, shape_path, svg_text
from sake_bench.reports.markup import Markup, tag
from sake_bench.reports.scores import number, percent
from sake_registry.review.values import KINDS, share_words, visible
from sake_registry.routing.reasons import Reason
from sake_registry.wording import count, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.review.values import EditReview, Review, Row

WIDTH = 720
STYLE = """\
.chart .mark{fill:var(--c);stroke:var(--c);stroke-width:1.5}
.chart .mark.stayed{fill:var(--ground)}
.chart .limit{stroke:var(--ink);stroke-width:1.6;stroke-dasharray:5 3;fill:none}
.chart .under{stroke:var(--ground);stroke-width:5;fill:none}
.chart .scope{fill:var(--s1);opacity:.1}
.chart .lost{fill:none;stroke:var(--s6);stroke-width:1.4}
.chart .rule{stroke:var(--grid);stroke-width:1}
"""
GOOD, BAD = "s1", "s6"
DISC, RHOMB = 0, 3
GRID_EDITS = 40
"""The overview draws this many edits, the worst first."""

STACK = 8
"""Marks that stand on one another; more in one place are counted."""


def passed_bars(review: Review) -> str | None:
    """A lying bar for each kind of prompt, with the gate; None if nothing was asked."""
    if not review.shares:
        return None
    left, right, row, top = 120.0, 530.0, 38.0, 12.0
    wide = right - left
    floors = {gate.name: gate.limit for gate in review.gates}
    parts, told = [], []
    for i, (kind, share) in enumerate(review.shares.items()):
        y = top + row * i
        floor = floors.get(f"min_{kind}")
        passed = round(wide * share.value, 1)
        parts.append(svg_text(left - 12, y + 17, kind, "strong", anchor="end"))
        shape = {"x": left, "y": y + 4, "height": 18, "rx": 2}
        parts.append(tag("rect", class_="track", width=wide, **shape))
        parts.append(
            tag(
                "rect",
                tag("title", f"{kind}: {share_words(share)} as expected"),
                class_=f"bar {GOOD}",
                width=max(passed, 1),
                data_kind=kind,
                data_passed=share.passed,
                data_n=share.n,
                **shape,
            )
        )
        if share.passed < share.n:
            rest = {"x": left + passed, "width": round(wide - passed, 1), "height": 18}
            parts.append(tag("rect", class_="lost", y=y + 4, rx=2, **rest))
        words = f"{kind} {share_words(share)}"
        if floor:
            x = round(left + wide * floor, 1)
            parts.append(tag("path", d=f"M{x} {y}V{y + 26}", class_="under"))
            parts.append(tag("path", d=f"M{x} {y}V{y + 26}", class_="limit", data_kind=kind))
            words += f", asked for {percent(floor, 0)} %"
        failed = floor is not None and share.value < floor
        parts.append(
            svg_text(right + 14, y + 17, f"{'✗ ' if failed else ''}{share_words(share)}", "strong")
        )
        told.append(words)
    bottom = top + row * len(review.shares)
    parts += _legend(
        bottom + 16,
        [
            (
                tag("rect", class_=f"bar {GOOD}", x=0, y=-9, width=18, height=10, rx=2),
                "as expected",
            ),
            (tag("rect", class_="lost", x=0, y=-9, width=18, height=10, rx=2), "not as expected"),
            (tag("path", d="M9 -12V4", class_="limit"), "what the gate asks for"),
        ],
        120,
    )
    title = "Answers that are as expected, by kind of prompt"
    return drawing(parts, bottom + 28, "passed", title, "; ".join(told), WIDTH)


def _legend(y: float, items: Sequence[tuple[Markup, str]], left: float = 0) -> list[Markup]:
    parts, x = [], left
    for mark, text in items:
        parts.append(tag("g", mark, transform=f"translate({x:.0f} {y:.0f})"))
        parts.append(svg_text(x + 24, y, text, "small"))
        x += 24 + 6.3 * len(text) + 22
    return parts


def _sign(row: Row, x: float, y: float, *, filled: bool, told: str, **data: str | float) -> Markup:
    """A prompt: a disc that is as expected, a rhomb that is not."""
    kind = "mark" if filled else "mark stayed"
    return tag(
        "path",
        tag("title", told),
        d=shape_path(DISC if row.ok else RHOMB, x, y, 4.2),
        class_=f"{kind} {GOOD if row.ok else BAD}",
        data_kind=row.kind,
        data_ok="yes" if row.ok else "no",
        **data,
    )


def _key(row_ok: bool, filled: bool) -> Markup:
    return tag(
        "path",
        d=shape_path(DISC if row_ok else RHOMB, 9, -4, 4.6),
        class_=f"{'mark' if filled else 'mark stayed'} {GOOD if row_ok else BAD} key",
    )


def answers(review: Review) -> str | None:
    """Every prompt of every edit as one mark: changed, stayed, not as expected."""
    edits = [edit for edit in review.worst_first if edit.rows]
    if not edits:
        return None
    drawn = edits[:GRID_EDITS]
    kinds = [kind for kind in KINDS if any(row.kind == kind for e in drawn for row in e.rows)]
    names, gap, step = 250.0, 14.0, 11.5
    wide = (WIDTH - names) / len(kinds)
    across = max(1, int((wide - gap) // step))
    parts: list[Markup] = []
    for i, kind in enumerate(kinds):
        parts.append(svg_text(names + wide * i, 14, kind, "strong"))
    y = 24.0
    for edit in drawn:
        parts.append(tag("path", d=f"M0 {y:.1f}H{WIDTH}", class_="rule"))
        lines = 1
        name = visible(edit.claim) or edit.id
        parts.append(tag("text", tag("title", name), shorten(name, 35), x=0, y=round(y + 18, 1)))
        parts.append(svg_text(0, y + 33, edit.action, "small muted"))
        for i, kind in enumerate(kinds):
            rows = [row for row in edit.failed_first if row.kind == kind]
            most = 6 * across - (4 if len(rows) > 6 * across else 0)
            for j, row in enumerate(rows[:most]):
                x = names + wide * i + 5 + step * (j % across)
                lines = max(lines, 1 + j // across)
                parts.append(
                    _sign(
                        row,
                        round(x, 1),
                        round(y + 15 + step * (j // across), 1),
                        filled=_moved(row),
                        told=_said(row),
                    )
                )
            if len(rows) > most:
                at = names + wide * i + 5 + step * (most % across)
                parts.append(svg_text(at, y + 19 + step * 5, f"+{len(rows) - most}", "small muted"))
        y += max(44.0, 22 + step * lines)
    parts += _legend(
        y + 18,
        [
            (_key(True, True), "changed, as expected"),
            (_key(True, False), "stayed, as expected"),
            (_key(False, True), "changed, not as expected"),
            (_key(False, False), "stayed, not as expected"),
        ],
    )
    total = [row for edit in drawn for row in edit.rows]
    missed = sum(not row.ok for row in total)
    desc = (
        f"{count(len(drawn), 'edit')}, {count(len(total), 'prompt')}: "
        f"{sum(_moved(row) for row in total)} answers changed, {missed} are not as expected."
    )
    return drawing(parts, y + 30, "answers", "What changes: one mark for each prompt", desc, WIDTH)


def _moved(row: Row) -> bool:
    return row.before.strip() != row.after.strip()


def _said(row: Row) -> str:
    before, after = (shorten(visible(text), 50) or "–" for text in (row.before, row.after))
    how = "" if row.ok else f" (expected: {shorten(visible(row.expected), 40)})"
    return f"{shorten(visible(row.prompt), 90)}: {before} → {after}{how}"


OTHERS = "not its own"


def near(review: Review, edit: EditReview) -> tuple[float | None, list[tuple[str, Row]]]:
    """The edit's threshold and the prompts that were measured against it, each with its lane.

    Left out is what has no distance, and what lies near another edit.
    """
    found = [(row.kind, row) for row in edit.rows if row.by in (None, edit.id)]
    strangers = (*review.interference, *review.unrelated.changed, *review.nearby.changed)
    found += [(OTHERS, row) for row in strangers if row.by == edit.id]
    measured = [
        (lane, row) for lane, row in found if row.distance is not None and row.threshold is not None
    ]
    # What this edit answered is certain to be measured against its own threshold.
    certain = [row for _, row in measured if row.by == edit.id or row.reason == Reason.IN_SCOPE]
    bounds = Counter(row.threshold for row in certain or [row for _, row in measured])
    if not bounds:
        return None, []
    threshold = max(bounds, key=lambda bound: (bounds[bound], -(bound or 0)))
    return threshold, [(lane, row) for lane, row in measured if row.threshold == threshold]


def distances(review: Review, edit: EditReview, ident: str) -> str | None:
    """How far the edit's prompts lie from it, and up to where it answers; None if unknown."""
    threshold, found = near(review, edit)
    if threshold is None:
        return None
    left, right = 120.0, WIDTH - 20.0
    end = 1.06 * max([threshold, *(row.distance or 0.0 for _, row in found)])
    if not 1e-6 < end < 1e9:
        return None  # no figures that a router gives
    scale = (right - left) / end

    def x(distance: float) -> float:
        return round(left + scale * max(distance, 0.0), 1)

    lanes = [lane for lane in (*KINDS, OTHERS) if any(name == lane for name, _ in found)]
    marks: list[Markup] = []
    rules: list[Markup] = []
    top = y = 34.0
    for lane in lanes:
        # The failed ones lie at the bottom of a pile, so that none of them is hidden.
        rows = sorted(
            (row for name, row in found if name == lane),
            key=lambda row: (row.ok, row.distance or 0.0, row.prompt),
        )
        piles: Counter[int] = Counter()
        places = []
        for row in rows:
            at = x(row.distance or 0.0)
            places.append((row, at, piles[round(at / 9)]))
            piles[round(at / 9)] += 1
        high = min(max(piles.values()), STACK)
        base = y + 9 + 10 * high
        for row, at, level in places:
            if level >= STACK:
                continue
            marks.append(
                _sign(
                    row,
                    at,
                    base - 6 - 10 * level,
                    filled=fires(row),
                    told=f"{_said(row)} · distance {row.distance:.2f}",
                    data_distance=round(row.distance or 0.0, 4),
                    data_by=row.by or "",
                )
            )
        for place, n in piles.items():
            if n > STACK:
                marks.append(
                    svg_text(9 * place + 8, base - 10 * STACK + 8, f"+{n - STACK}", "small muted")
                )
        rules.append(svg_text(left - 12, base - 2, lane, "strong", anchor="end"))
        rules.append(tag("path", d=f"M{left} {base + 4:.1f}H{right}", class_="rule"))
        y = base + 4
    at = x(threshold)
    scope = tag(
        "rect", class_="scope", x=left, y=top - 6, width=round(at - left, 1), height=y - top + 6
    )
    limit = tag("path", d=f"M{at} {top - 6}V{y}", class_="limit", data_threshold=threshold)
    beside = f"threshold {number(threshold)}"
    inside = svg_text((left + at) / 2, top - 14, "the edit answers", "small muted", anchor="middle")
    parts = [
        scope,
        *rules,
        limit,
        *([inside] if at - left > 200 else []),
        svg_text(at, top - 14, beside, "small strong halo", anchor="middle"),
        *marks,
    ]
    for value in _ticks(end):
        parts.append(tag("path", d=f"M{x(value)} {y}v4", class_="axis"))
        parts.append(svg_text(x(value), y + 17, number(value), "small muted", anchor="middle"))
    parts.append(tag("path", d=f"M{left} {y}H{right}", class_="axis"))
    parts.append(svg_text(left, y + 34, "← worded like the edit's own prompts", "small muted"))
    parts.append(svg_text(right, y + 34, "worded differently →", "small muted", anchor="end"))
    parts += _legend(
        y + 58,
        [
            (_key(True, True), "answered by the edit"),
            (_key(True, False), "left to the model"),
            (_key(False, True), "answered, not as expected"),
            (_key(False, False), "left, not as expected"),
        ],
    )
    claim = visible(edit.claim) or edit.id
    desc = (
        f"{count(len(found), 'prompt')}; {sum(fires(row) for _, row in found)} of them within the "
        f"threshold of {number(threshold)} and answered by the edit; "
        f"{sum(not row.ok for _, row in found)} not as expected."
    )
    return drawing(parts, y + 70, ident, f"Distances of prompts from: {claim}", desc, WIDTH)


def fires(row: Row) -> bool:
    """Whether an edit answers; where it is gone, whether it did."""
    return row.by is not None or row.reason == Reason.IN_SCOPE


def _ticks(end: float) -> list[float]:
    rough = end / 8
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough)
    return [round(step * i, 10) for i in range(int(end / step) + 1)]


def held_back(review: Review, edit: EditReview) -> str:
    """Why the edit leaves prompts alone that are near enough, in a sentence; empty if none is."""
    threshold, found = near(review, edit)
    reasons = {
        row.reason
        for _, row in found
        if not fires(row) and threshold is not None and (row.distance or 0.0) <= threshold
    }
    if not reasons:
        return ""
    listed = "; ".join(sorted(visible(reason) or "no reason given" for reason in reasons))
    return f"Hollow left of the line are prompts that it leaves alone all the same: {listed}."


def not_drawn(review: Review, edit: EditReview) -> str:
    """What the picture of distances leaves out, and why, in a sentence; empty if nothing."""
    _, found = near(review, edit)
    drawn = Counter(id(row) for _, row in found)
    left = [row for row in edit.rows if not drawn[id(row)]]
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
