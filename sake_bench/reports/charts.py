"""Pictures as SVG text: pure functions from plain values, no script, no file, no library.

Every picture has a title and a description for those who do not see it, is told apart by places,
labels and shapes and not by colour alone, and carries what it draws in `data-…` attributes:

| class | one per | data |
|---|---|---|
| `bar` | figure | `series`, `group`, `value`, `n` |
| `whisker` | interval | `series`, `group`, `low`, `high` |
| `missing` | figure that was not measured | `series`, `group` |
| `line`, `band` | curve | `series` |
| `point` | point of a curve | `series`, `x`, `y`, where known `low`, `high`, `n` |
| `chosen` | point or threshold that was chosen | `series`, `threshold` |
| `reference` | published point | `series`, `x`, `y` |
| `dot` | activation | `series`, `x`, `y` |

Shares are drawn in percent; `data-…` holds them as they are in the run.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sake_bench.reports import published
from sake_bench.reports.markup import Markup, join, tag
from sake_bench.reports.scores import METRICS, SCOPE_NAMES, edits_remark, number, percent
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sake_bench.reports.scores import (
        Projection,
        PromptCurve,
        RelationScore,
        Run,
        ThresholdCurve,
        ThresholdPoint,
        Value,
    )

WIDTH = 960
METHODS = (
    "base",
    "sake",
    "sake-paper",
    "uniform",
    "actadd",
    "icl",
    "rome",
    "memit",
    "compmemit",
)
"""Each has its colour in every picture; another method has the last one."""

# Okabe and Ito's colours, which stay apart for every kind of colour vision, and their like;
# the dark ones are lighter, so that each keeps 3:1 against its ground.
LIGHT = "#7b8490 #0b63a5 #3f9bd6 #00876a #b87700 #b0568f #c04e00 #7d4f24 #5b4da8 #4b5563".split()
DARK = "#9aa4b2 #5cb3f5 #a3d8ff #35c69f #f0b73f #e59ac8 #ff8a47 #cfa27a #b0a4f5 #cbd5e1".split()
_INK = "--ink:#1a2230;--muted:#566072;--grid:#dfe4ea;--ground:#ffffff"
_DARK_INK = "--ink:#e8edf4;--muted:#a7b1c0;--grid:#333d4b;--ground:#151b24"


def _colours(colours: Sequence[str]) -> str:
    return ";".join(f"--s{i}:{colour}" for i, colour in enumerate(colours))


VARIABLES = (
    f":root{{color-scheme:light dark;{_INK};{_colours(LIGHT)}}}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK_INK};{_colours(DARK)}}}}}\n"
)
"""Colours for light and dark grounds; printed pages are light."""

STYLE = (
    VARIABLES
    + """\
svg.chart{display:block;width:100%;height:auto;font-family:inherit}
.chart text{fill:var(--ink);font-size:12px}
.chart .small{font-size:11px}
.chart .muted{fill:var(--muted)}
.chart .strong{font-weight:600}
.chart .halo{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
.chart .grid{stroke:var(--grid);stroke-width:1}
.chart .leader{stroke:var(--muted);stroke-width:1}
.chart .axis{stroke:var(--muted);stroke-width:1}
.chart .bar{fill:var(--c)}
.chart .whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.chart .line{stroke:var(--c);stroke-width:2.2;fill:none;stroke-linejoin:round}
.chart .band{fill:var(--c);opacity:.16}
.chart .point{fill:var(--c);stroke:var(--ground);stroke-width:1}
.chart .chosen{fill:none;stroke:var(--ink);stroke-width:2}
.chart .reference{fill:var(--ground);stroke:var(--c);stroke-width:1.8}
.chart .dot{fill:var(--c);fill-opacity:.5;stroke:var(--c);stroke-width:1}
.chart .hollow{fill:none;stroke-width:1.6}
.chart .track{fill:var(--grid);opacity:.55}
.chart .arrow{stroke:var(--ink);stroke-width:1.6;fill:none}
.chart .head{fill:var(--ink)}
"""
    + "\n".join(f".chart .s{i}{{--c:var(--s{i})}}" for i in range(len(LIGHT)))
    + "\n"
)


def standalone(svg: str) -> str:
    """The picture as a file of its own, with its style."""
    start = svg.index(">") + 1
    style = tag("style", Markup(STYLE + "svg{font-family:system-ui,sans-serif}"))
    head = svg[:start].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{style}{svg[start:]}\n'


@dataclass(frozen=True)
class Bar:
    """A figure of a series; None was not measured. A star sends the reader to the caption."""

    series: str
    value: Value | None
    starred: bool = False


@dataclass(frozen=True)
class BarGroup:
    """Bars that stand together under a label."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class _Area:
    """Where data lie in the picture, and how they get there."""

    left: float
    right: float
    top: float
    bottom: float
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0)
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return round(self.bottom - share * (self.bottom - self.top), 1)


def colour(series: str) -> str:
    """The class that gives a series its colour."""
    return f"s{METHODS.index(series) if series in METHODS else len(METHODS)}"


def method_bars(run: Run, metrics: Sequence[str], scope: str, success: str | None) -> str | None:
    """Methods side by side under one protocol (Figure 1); None if nothing was measured."""
    groups = []
    starred = {method.name for method in run.methods if edits_remark(run, method)}
    for metric in metrics:
        own = run.success_of(metric, success)
        scores = [(m.name, run.score(m.name, scope, metric, own)) for m in run.methods]
        bars = tuple(Bar(name, s.figure if s else None, name in starred) for name, s in scores)
        if any(bar.value and bar.value.value is not None for bar in bars):
            label = _metric_label(metric)
            groups.append(BarGroup(label if own == success else f"{label} ({own})", bars))
    # A method without any figure here has no place; one without some of them has a dash.
    known = {b.series for g in groups for b in g.bars if b.value and b.value.value is not None}
    groups = [BarGroup(g.label, tuple(b for b in g.bars if b.series in known)) for g in groups]
    if not groups:
        return None
    names = ", ".join(METRICS[metric].name.lower() for metric in metrics)
    protocol = " · ".join(filter(None, (SCOPE_NAMES.get(scope, scope), success)))
    return grouped_bars(
        groups, f"bars-{scope}-{success}-{'-'.join(metrics)}", f"{names}: {protocol}"
    )


def _metric_label(metric: str) -> str:
    one = METRICS[metric]
    return f"{one.name} (lower is better)" if one.better == "lower" else one.name


def grouped_bars(groups: Sequence[BarGroup], ident: str, title: str) -> str:
    """Upright bars in percent with interval whiskers; every bar bears its name and value."""
    longest = max((len(bar.series) for group in groups for bar in group.bars), default=0)
    area = _Area(44, WIDTH - 8, 40, 300, 0, 1, 0, 1)
    height = area.bottom + 16 + 6.8 * min(longest + 1, 17)
    slots = sum(len(group.bars) for group in groups) + 1.2 * (len(groups) - 1)
    slot = min(64.0, (area.right - area.left) / max(slots, 1))
    gap = min(1.2 * slot, 60)
    used = slot * sum(len(group.bars) for group in groups) + gap * (len(groups) - 1)
    left = area.left + (area.right - area.left - used) / 2
    parts = [*_percent_grid(area)]
    for group in groups:
        middle = left + slot * len(group.bars) / 2
        parts.append(svg_text(middle, 16, group.label, "strong", anchor="middle"))
        for bar in group.bars:
            parts.append(_upright(bar, group.label, left, slot, area))
            left += slot
        left += gap
    return drawing(parts, height, ident, title, _bars_in_words(groups))


def _upright(bar: Bar, group: str, left: float, slot: float, area: _Area) -> Markup:
    middle = round(left + slot / 2, 1)
    name = tag(
        "text",
        shorten(bar.series, 16) + ("*" if bar.starred else ""),
        class_="small",
        text_anchor="end",
        transform=f"translate({round(middle + 4, 1)} {area.bottom + 10}) rotate(-60)",
    )
    data = {"data_series": bar.series, "data_group": group}
    if bar.value is None or bar.value.value is None:
        dash = tag(
            "text",
            "–",
            class_="missing muted",
            x=middle,
            y=area.bottom - 6,
            text_anchor="middle",
            **data,
        )
        return join(dash, name)
    value, low, high = bar.value.value, bar.value.low, bar.value.high
    wide = min(slot * 0.74, 40)
    told = f"{bar.series}, {group}: {in_words(bar.value)}"
    drawn = tag(
        "rect",
        tag("title", told),
        class_=f"bar {colour(bar.series)}",
        x=round(middle - wide / 2, 1),
        y=min(area.y(value), area.bottom - 1),
        width=round(wide, 1),
        height=max(round(area.bottom - area.y(value), 1), 1),
        rx=2,
        data_value=value,
        data_n=bar.value.n,
        **data,
    )
    parts, top = [drawn], area.y(value)
    if low is not None and high is not None:
        parts.append(_whisker(middle, area.y(low), area.y(high), wide, low, high, data))
        top = min(top, area.y(high))
    shown = svg_text(middle, top - 5, percent(value, 0), "small strong", anchor="middle")
    return join(*parts, shown, name)


def _whisker(
    x: float,
    low: float,
    high: float,
    wide: float,
    low_data: float,
    high_data: float,
    data: dict[str, str],
) -> Markup:
    end = min(wide / 4, 5)
    a, b = round(x - end, 1), round(x + end, 1)
    path = f"M{a} {high}H{b}M{x} {high}V{low}M{a} {low}H{b}"
    return tag("path", d=path, class_="whisker", data_low=low_data, data_high=high_data, **data)


def trade_off(curves: Sequence[ThresholdCurve], ident: str) -> str | None:
    """Specificity against generality over the threshold (Figure 3), chosen points marked."""
    drawn = [(curve, _both(curve)) for curve in curves]
    points = [point for _, found in drawn for point in found]
    if not points:
        return None
    x0, x1 = _range([spec for _, spec, _ in points])
    y0, y1 = _range([gen for _, _, gen in points])
    area = _Area(60, WIDTH - 210, 24, 380, x0, x1, y0, y1)
    parts = [*_axes(area, "Specificity, %", "Generality, %", _shares(x0, x1), _shares(y0, y1))]
    parts.append(svg_text(area.right - 8, area.top - 8, "better ↗", "small muted", anchor="end"))
    words, labels, taken = [], [], _Taken()
    for curve, found in drawn:
        if not found:
            continue
        places = [(area.x(spec), area.y(gen)) for _, spec, gen in found]
        dash = None if curve.method == "sake" else "7 4"
        parts.append(_polyline(places, curve.method, "line", colour(curve.method), dash))
        spec, gen = _at(curve, "spec"), _at(curve, "gen")
        ring = None
        if curve.chosen is not None and spec is not None and gen is not None:
            ring = (area.x(spec), area.y(gen))
            taken.add(*ring)
            parts.append(
                tag(
                    "circle",
                    cx=ring[0],
                    cy=ring[1],
                    r=9,
                    class_="chosen",
                    data_series=curve.method,
                    data_threshold=curve.chosen,
                    data_x=spec,
                    data_y=gen,
                )
            )
            words.append(
                f"{curve.method}: chosen threshold {number(curve.chosen)} with specificity "
                f"{percent(spec)} % and generality {percent(gen)} %"
            )
            told = (
                f"{number(curve.chosen)} chosen",
                f"Spec {percent(spec)} · Gen {percent(gen)}",
            )
        else:
            told = ("no threshold chosen", "")
        labels.append((curve.method, told, ring or places[-1]))
        parts += _threshold_points(curve, found, places, taken, area.bottom)
    parts += _side_labels(labels, area)
    success = ", ".join(dict.fromkeys(curve.success for curve in curves))
    return drawing(
        parts,
        area.bottom + 46,
        ident,
        f"Specificity against generality over the router's threshold: {success}",
        f"{len(points)} measured points. " + "; ".join(words),
    )


def _both(curve: ThresholdCurve) -> list[tuple[float, float, float]]:
    """(threshold, specificity, generality) where both were measured."""
    return [
        (p.threshold, p.spec, p.gen)
        for p in curve.points
        if p.spec is not None and p.gen is not None
    ]


def _threshold_points(
    curve: ThresholdCurve,
    found: Sequence[tuple[float, float, float]],
    places: Sequence[tuple[float, float]],
    taken: _Taken,
    floor: float,
) -> list[Markup]:
    """The measured points, and the thresholds of those beside which there is room."""
    parts = []
    for (threshold, spec, gen), (x, y) in zip(found, places, strict=True):
        told = (
            f"{curve.method} at threshold {number(threshold)}: "
            f"specificity {percent(spec)} %, generality {percent(gen)} %"
        )
        parts.append(
            tag(
                "path",
                tag("title", told),
                d=_mark(curve.method, x, y, 4),
                class_=f"point {colour(curve.method)}",
                data_series=curve.method,
                data_threshold=threshold,
                data_x=spec,
                data_y=gen,
            )
        )
        if y + 16 < floor and taken.free(x - 16, y + 12):
            taken.add(x - 16, y + 12)
            label = number(threshold)
            parts.append(svg_text(x - 7, y + 16, label, "small muted halo", anchor="end"))
    return parts


class _Taken:
    """Where labels stand already."""

    def __init__(self) -> None:
        self.places: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        self.places.append((x, y))

    def free(self, x: float, y: float) -> bool:
        return all(abs(x - a) > 32 or abs(y - b) > 17 for a, b in self.places)


def _side_labels(
    labels: Sequence[tuple[str, tuple[str, str], tuple[float, float]]], area: _Area
) -> list[Markup]:
    """Names right of the picture, each with a line to what it names."""
    parts = []
    for (series, told, (x, y)), at in zip(
        labels, _spread([y for *_, (_, y) in labels], 46), strict=True
    ):
        left = area.right + 24
        parts.append(tag("path", d=f"M{x + 10} {y}L{left - 8} {at - 4}", class_="leader"))
        mark = f"key {colour(series)}"
        parts.append(
            tag("path", d=_mark(series, left + 4, at - 4, 5), class_=mark, fill="var(--c)")
        )
        parts.append(svg_text(left + 15, at, f"{series}: {told[0]}", "strong"))
        parts.append(svg_text(left + 15, at + 16, told[1], "small muted"))
    return parts


def _at(curve: ThresholdCurve, name: str) -> float | None:
    """A share at the chosen threshold; on the straight line between measured neighbours."""
    chosen = curve.chosen
    if chosen is None:
        return None
    share: Callable[[ThresholdPoint], float | None] = lambda point: getattr(point, name)  # noqa: E731
    below = [p for p in curve.points if p.threshold <= chosen and share(p) is not None]
    above = [p for p in curve.points if p.threshold >= chosen and share(p) is not None]
    if not below or not above:
        return None
    a, b = below[-1], above[0]
    low, high = share(a), share(b)
    if low is None or high is None or a.threshold == b.threshold:
        return low
    return low + (high - low) * (chosen - a.threshold) / (b.threshold - a.threshold)


@dataclass(frozen=True)
class _LinePoint:
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class _Line:
    """A curve: `key` names it in data, `number` gives colour, dash and mark."""

    key: str
    label: str
    number: int
    points: tuple[_LinePoint, ...]


LINE_COLOURS = {"acc": "s1", "gen": "s4", "spec": "s3"}
DASHES = {"acc": None, "gen": "9 4", "spec": "2 4"}


def over_threshold(curve: ThresholdCurve, ident: str) -> str | None:
    """Accuracy, generality and specificity over a router's threshold."""
    lines = []
    for i, name in enumerate(("acc", "gen", "spec")):
        points = tuple(
            _LinePoint(p.threshold, share)
            for p in curve.points
            if (share := getattr(p, name)) is not None
        )
        if points:
            lines.append(_Line(name, METRICS[name].name, i, points))
    if not lines:
        return None
    return _lines(
        lines,
        ident,
        f"Accuracy, generality and specificity over the threshold: {curve.method}, {curve.success}",
        "Threshold of the router: larger is more willing to edit",
        chosen=(curve.method, curve.chosen) if curve.chosen is not None else None,
    )


def over_prompts(curve: PromptCurve, ident: str) -> str | None:
    """Accuracy and generality over the number of prompts an edit (Figure 5), with intervals."""
    lines = []
    for i, name in enumerate(("acc", "gen", "spec")):
        found = [(p.prompts, p.values.get(name)) for p in curve.points]
        points = tuple(
            _LinePoint(prompts, v.value, v.low, v.high, v.n)
            for prompts, v in found
            if v is not None and v.value is not None
        )
        if points:
            lines.append(_Line(name, METRICS[name].name, i, points))
    if not lines:
        return None
    references = [
        (line, published.PROMPTS, published.PROMPTS_PERCENT[line.key] / 100)
        for line in lines
        if line.key in published.PROMPTS_PERCENT
    ]
    return _lines(
        lines,
        ident,
        f"Accuracy and generality over the number of prompts an edit: {curve.method}, "
        f"{SCOPE_NAMES.get(curve.scope, curve.scope).lower()}, {curve.success}",
        "Prompts an edit; bands are 95 % intervals, hollow marks are published figures "
        f"of another model ({published.MODEL})",
        references=references,
    )


def _lines(
    lines: Sequence[_Line],
    ident: str,
    title: str,
    x_label: str,
    chosen: tuple[str, float] | None = None,
    references: Sequence[tuple[_Line, float, float]] = (),
) -> str:
    """Curves in percent with their names at their ends."""
    points = [point for line in lines for point in line.points]
    xs = [p.x for p in points] + [x for _, x, _ in references]
    ys = [y for p in points for y in (p.y, p.low, p.high) if y is not None]
    y0, y1 = _range([*ys, *(y for _, _, y in references)])
    x0, x1 = min(xs), max(xs)
    pad = (x1 - x0) * 0.03 or 0.5
    area = _Area(60, WIDTH - 150, 24, 330, x0 - pad, x1 + pad, y0, y1)
    own = sorted({p.x for p in points})
    ticks = own[:: max(1, math.ceil(len(own) / 12))]
    parts = [*_axes(area, x_label, "%", [(x, number(x)) for x in ticks], _shares(y0, y1))]
    if chosen and x0 <= chosen[1] <= x1:
        x = area.x(chosen[1])
        parts.append(
            tag(
                "path",
                d=f"M{x} {area.top}V{area.bottom}",
                class_="chosen",
                stroke_dasharray="3 3",
                data_series=chosen[0],
                data_threshold=chosen[1],
            )
        )
        right = x > (area.left + area.right) / 2
        parts.append(
            svg_text(
                x - 6 if right else x + 6,
                area.bottom - 10,
                f"chosen: {number(chosen[1])}",
                "strong halo",
                anchor="end" if right else "start",
            )
        )
    for line in lines:
        parts += _one_line(line, area)
    for line, x, y in references:
        told = f"published, {published.MODEL}: {line.label.lower()} {percent(y, 0)} %"
        parts.append(
            tag(
                "path",
                tag("title", told),
                d=shape_path(line.number, area.x(x), area.y(y), 6),
                class_=f"reference {LINE_COLOURS[line.key]}",
                data_series=line.key,
                data_x=x,
                data_y=y,
            )
        )
    ends = [area.y(line.points[-1].y) for line in lines]
    for line, y in zip(lines, _spread(ends, 17), strict=True):
        end = line.points[-1]
        at = area.right + 10
        parts.append(
            tag(
                "path",
                d=shape_path(line.number, at, y - 4, 4.5),
                class_=f"key {LINE_COLOURS[line.key]}",
                fill="var(--c)",
            )
        )
        parts.append(svg_text(at + 9, y, f"{line.label} {percent(end.y)}", "strong"))
    words = "; ".join(
        f"{line.label} from {percent(line.points[0].y)} % at {number(line.points[0].x)} "
        f"to {percent(line.points[-1].y)} % at {number(line.points[-1].x)}"
        for line in lines
    )
    if chosen:
        words += f"; chosen threshold {number(chosen[1])}"
    return drawing(parts, area.bottom + 46, ident, title, words)


def _one_line(line: _Line, area: _Area) -> list[Markup]:
    paint = LINE_COLOURS[line.key]
    parts = []
    band = [p for p in line.points if p.low is not None and p.high is not None]
    if len(band) > 1:
        upper = [f"{area.x(p.x)} {area.y(p.high or 0.0)}" for p in band]
        lower = [f"{area.x(p.x)} {area.y(p.low or 0.0)}" for p in reversed(band)]
        path = f"M{'L'.join([*upper, *lower])}Z"
        parts.append(tag("path", d=path, class_=f"band {paint}", data_series=line.key))
    places = [(area.x(p.x), area.y(p.y)) for p in line.points]
    parts.append(_polyline(places, line.key, "line", paint, DASHES[line.key]))
    for p, (x, y) in zip(line.points, places, strict=True):
        interval = (
            f" ({percent(p.low, 0)}–{percent(p.high, 0)})"
            if p.low is not None and p.high is not None
            else ""
        )
        count = f", n {p.n}" if p.n is not None else ""
        parts.append(
            tag(
                "path",
                tag("title", f"{line.label} at {number(p.x)}: {percent(p.y)}{interval} %{count}"),
                d=shape_path(line.number, x, y, 4.5),
                class_=f"point {paint}",
                data_series=line.key,
                data_x=p.x,
                data_y=p.y,
                data_low=p.low,
                data_high=p.high,
                data_n=p.n,
            )
        )
    return parts


def relation_bars(scores: Sequence[RelationScore], ident: str, title: str) -> str | None:
    """Lying bars: a row for each relation, a column for each method, each with value and n."""
    methods = sorted(
        dict.fromkeys(s.method for s in scores),
        key=lambda m: METHODS.index(m) if m in METHODS else len(METHODS),
    )
    if not methods:
        return None
    lead = "sake" if "sake" in methods else methods[0]
    of_lead = {s.relation: s.value for s in scores if s.method == lead}
    labels = {s.relation: s.label for s in scores}
    # The weakest first: that is what a reader looks for.
    relations = sorted(labels, key=lambda r: (of_lead.get(r, 2.0), labels[r], r))
    found = {(s.relation, s.method): s for s in scores}
    names = 210.0
    step = (WIDTH - names - 8) / len(methods)
    wide = min(step - 14, 420.0)
    row, top = 28.0, 30.0
    parts = [
        svg_text(names + step * i, 16, shorten(method, max(6, int(step / 7))), "strong")
        for i, method in enumerate(methods)
    ]
    for j, relation in enumerate(relations):
        y = top + row * j
        label = labels[relation]
        parts.append(
            tag(
                "text",
                tag("title", f"{label} ({relation})"),
                shorten(label, 32),
                x=names - 12,
                y=round(y + 17, 1),
                text_anchor="end",
            )
        )
        for i, method in enumerate(methods):
            x = round(names + step * i, 1)
            one = found.get((relation, method))
            data = {"data_series": method, "data_group": relation}
            if one is None:
                parts.append(tag("text", "–", class_="missing small muted", x=x, y=y + 11, **data))
                continue
            parts.append(svg_text(x, y + 11, f"{percent(one.value, 0)} · n {one.n}", "small"))
            parts.append(
                tag("rect", class_="track", x=x, y=y + 15, width=round(wide, 1), height=7, rx=2)
            )
            parts.append(
                tag(
                    "rect",
                    tag("title", f"{method}, {label}: {percent(one.value)} %, n {one.n}"),
                    class_=f"bar {colour(method)}",
                    x=x,
                    y=y + 15,
                    width=max(round(wide * one.value, 1), 1),
                    height=7,
                    rx=2,
                    data_value=one.value,
                    data_n=one.n,
                    **data,
                )
            )
    ends = [r for r in relations if r in of_lead]
    words = f"{len(relations)} relations, the weakest of {lead} first"
    if ends:
        words += (
            f": from {labels[ends[0]]} with {percent(of_lead[ends[0]])} % "
            f"to {labels[ends[-1]]} with {percent(of_lead[ends[-1]])} %"
        )
    return drawing(parts, top + row * len(relations) + 6, ident, title, words)


CLOUDS = (
    ("source", "source: before the fact changed", "s0", 0),
    ("target", "target: after it changed", "s4", 1),
    ("mapped", "mapped: source after the edit", "s1", 2),
)


def projection(one: Projection, ident: str) -> str:
    """Source, target and mapped activations of an edit in the plane; both axes have one scale."""
    points = [p for name, *_ in CLOUDS for p in getattr(one, name)] or [(0.0, 0.0)]
    area = _square(points, left=60.0, top=44.0, width=WIDTH - 80.0, height=400.0)
    share = [f" ({percent(s, 0)} % of the variance)" for s in one.explained]
    share += [""] * (2 - len(share))
    parts = [
        *_axes(area, f"1st direction{share[0]}", f"2nd direction{share[1]}", [], []),
    ]
    at = 60.0
    for name, label, paint, shape in CLOUDS:
        cloud = getattr(one, name)
        parts.append(
            tag(
                "path", d=shape_path(shape, at + 6, 16, 5.5), class_=f"key {paint}", **_hollow(name)
            )
        )
        text = f"{label} ({len(cloud)})"
        parts.append(svg_text(at + 18, 20, text, "strong"))
        at += 44 + 7.0 * len(text)
        for x, y in cloud:
            parts.append(
                tag(
                    "path",
                    d=shape_path(shape, area.x(x), area.y(y), 4.5),
                    class_=f"dot {paint}" + (" hollow" if name == "target" else ""),
                    data_series=name,
                    data_x=x,
                    data_y=y,
                )
            )
    parts += _arrow(one, area)
    counts = ", ".join(f"{len(getattr(one, name))} {name}" for name, *_ in CLOUDS)
    return drawing(
        parts,
        area.bottom + 40,
        ident,
        f"Activations of {one.edit}: {one.claim} ({one.method})",
        f"{counts} activations. The arrow goes from the middle of the source to the middle of the "
        "mapped ones; a good edit lands among the targets.",
    )


def _hollow(name: str) -> dict[str, str]:
    if name == "target":
        return {"fill": "none", "stroke": "var(--c)", "stroke_width": "1.6"}
    return {"fill": "var(--c)"}


def _arrow(one: Projection, area: _Area) -> list[Markup]:
    """From the middle of the source to the middle of the mapped activations."""
    if not one.source or not one.mapped:
        return []
    (ax, ay), (bx, by) = _mean(one.source), _mean(one.mapped)
    x0, y0, x1, y1 = area.x(ax), area.y(ay), area.x(bx), area.y(by)
    length = math.hypot(x1 - x0, y1 - y0)
    if length < 12:
        return []
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    bx, by = x1 - 9 * ux, y1 - 9 * uy
    head = f"M{x1} {y1}L{bx - 5 * uy:.1f} {by + 5 * ux:.1f}L{bx + 5 * uy:.1f} {by - 5 * ux:.1f}Z"
    return [
        tag("path", d=f"M{x0} {y0}L{bx:.1f} {by:.1f}", class_="arrow"),
        tag("path", d=head, class_="head"),
    ]


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _square(
    points: Sequence[tuple[float, float]], *, left: float, top: float, width: float, height: float
) -> _Area:
    """An area in which one unit is as long upwards as sideways and every point has room."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    spread_x, spread_y = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    unit = min(width / (1.1 * spread_x), height / (1.1 * spread_y))
    half_x, half_y = width / unit / 2, height / unit / 2
    x, y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return _Area(
        left, left + width, top, top + height, x - half_x, x + half_x, y - half_y, y + half_y
    )


def in_words(value: Value) -> str:
    """`91.0 % (86–95), n 200`"""
    text = f"{percent(value.value or 0.0)} %"
    if value.low is not None and value.high is not None:
        text += f" ({percent(value.low, 0)}–{percent(value.high, 0)})"
    return f"{text}, n {value.n}"


def _bars_in_words(groups: Iterable[BarGroup]) -> str:
    return ". ".join(
        f"{group.label}: "
        + "; ".join(
            f"{bar.series} {in_words(bar.value)}"
            if bar.value and bar.value.value is not None
            else f"{bar.series} not measured"
            for bar in group.bars
        )
        for group in groups
    )


def drawing(
    parts: Iterable[str], height: float, ident: str, title: str, desc: str, width: int = WIDTH
) -> str:
    """The picture, with its title and its description."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in ident)
    return tag(
        "svg",
        tag("title", title, id=f"{safe}-title"),
        tag("desc", desc, id=f"{safe}-desc"),
        *parts,
        viewBox=f"0 0 {width} {math.ceil(height)}",
        class_="chart",
        role="img",
        aria_labelledby=f"{safe}-title {safe}-desc",
        id=safe,
    )


def svg_text(x: float, y: float, text: str, kind: str = "", *, anchor: str | None = None) -> Markup:
    return tag("text", text, x=round(x, 1), y=round(y, 1), class_=kind or None, text_anchor=anchor)


def _percent_grid(area: _Area) -> list[Markup]:
    parts = []
    for share, text in ((i / 4, str(25 * i)) for i in range(5)):
        y = area.y(share)
        kind = "axis" if share == 0 else "grid"
        parts.append(tag("path", d=f"M{area.left} {y}H{area.right}", class_=kind))
        parts.append(svg_text(area.left - 6, y + 4, text, "small muted", anchor="end"))
    parts.append(svg_text(area.left - 6, area.y(1) - 12, "%", "small muted", anchor="end"))
    return parts


def _axes(
    area: _Area,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
) -> list[Markup]:
    parts = []
    for value, text in y_ticks:
        y = area.y(value)
        parts.append(tag("path", d=f"M{area.left} {y}H{area.right}", class_="grid"))
        parts.append(svg_text(area.left - 7, y + 4, text, "small muted", anchor="end"))
    for value, text in x_ticks:
        x = area.x(value)
        parts.append(tag("path", d=f"M{x} {area.bottom}v4", class_="axis"))
        parts.append(svg_text(x, area.bottom + 17, text, "small muted", anchor="middle"))
    frame = f"M{area.left} {area.top}V{area.bottom}H{area.right}"
    parts.append(tag("path", d=frame, class_="axis", fill="none"))
    below = area.bottom + (36 if x_ticks else 20)
    parts.append(svg_text((area.left + area.right) / 2, below, x_label, "muted", anchor="middle"))
    if y_label == "%":
        parts.append(svg_text(area.left - 7, area.top - 8, y_label, "small muted", anchor="end"))
    else:
        middle = (area.top + area.bottom) / 2
        turned = f"translate(16 {round(middle, 1)}) rotate(-90)"
        parts.append(tag("text", y_label, class_="muted", text_anchor="middle", transform=turned))
    return parts


def _range(shares: Sequence[float]) -> tuple[float, float]:
    """A range of whole tenths around the shares, inside 0 and 1, not less than two tenths."""
    low = max(0, math.floor(min(shares) * 10 - 0.2))
    high = min(10, math.ceil(max(shares) * 10 + 0.2))
    if high - low < 2:
        low, high = (low, low + 2) if low <= 8 else (8, 10)
    return low / 10, high / 10


def _shares(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks in percent."""
    step = 1 if high - low <= 0.55 else 2
    first, last = round(low * 10), round(high * 10)
    return [(i / 10, str(10 * i)) for i in range(first, last + 1) if (i - first) % step == 0]


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """The places moved apart, so that labels `gap` high do not cover one another."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return [round(y + 4, 1) for y in moved]


def _polyline(
    places: Sequence[tuple[float, float]],
    series: str,
    kind: str,
    paint: str,
    dash: str | None = None,
) -> Markup:
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    return tag("path", d=path, class_=f"{kind} {paint}", stroke_dasharray=dash, data_series=series)


def _mark(series: str, x: float, y: float, size: float) -> str:
    return shape_path(METHODS.index(series) if series in METHODS else len(METHODS), x, y, size)


def shape_path(number_: int, x: float, y: float, r: float) -> str:
    """A disc, a square, a triangle or a rhomb as a path."""
    kind = number_ % 4
    if kind == 0:
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    if kind == 1:
        s = r * 0.88
        return f"M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}Z"
    if kind == 2:
        s = r * 1.1
        return f"M{x:.1f} {y - s:.1f}L{x + s:.1f} {y + 0.8 * s:.1f}H{x - s:.1f}Z"
    s = r * 1.2
    return f"M{x:.1f} {y - s:.1f}L{x + s:.1f} {y:.1f}L{x:.1f} {y + s:.1f}L{x - s:.1f} {y:.1f}Z"
