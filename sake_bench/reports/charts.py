"""Pictures of a run as SVG, drawn by matplotlib: equal figures give equal pictures.

Every picture has a title and a description for readers who do not see it, is told apart by
places, labels and shapes and not by colour alone, and carries what it draws in `data-…`
attributes of groups with a class:

| class | one per | data |
|---|---|---|
| `bar` | figure | `series`, `group`, `value`, `n` |
| `whisker` | interval | `series`, `group`, `low`, `high` |
| `missing` | figure that was not measured | `series`, `group` |
| `line`, `band` | curve | `series` |
| `chosen` | point or threshold that was chosen | `series`, `threshold`, of a point `x`, `y` |
| `reference` | published point | `series`, `x`, `y` |
| `dots` | cloud of activations | `series` |

Shares are drawn in percent; `data-…` holds them as they are in the run. Text is text, so that it
can be searched and takes the page's font.

Raises:
    MissingExtraError: on import, without matplotlib.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup

from sake_bench.protocol import METHODS, METRICS, SCOPES
from sake_bench.reports import published
from sake_bench.reports.tables import edits_remark
from sake_registry.errors import MissingExtraError
from sake_registry.pages.text import number, percent, visible
from sake_registry.wording import shorten

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "the pictures of a report need matplotlib, which is not installed", extra="bench"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

    from sake_bench.protocol import Scope, Success
    from sake_bench.results import (
        Estimate,
        Projection,
        PromptCurve,
        RelationScore,
        Run,
        Score,
        ThresholdCurve,
    )

WIDTH = 960
INK, MUTED, GRID = "#1a2230", "#566072", "#dfe4ea"
# Okabe and Ito's colours, which stay apart for every kind of colour vision, and their like.
_PALETTE = """
#7b8490 #0b63a5 #999933 #3f9bd6 #00876a #b87700 #b0568f #c04e00 #7d4f24 #5b4da8
#5f7a12 #a3476a #2f7d8c #8a8a1e
""".split()
COLOURS = dict(zip(METHODS, _PALETTE, strict=True))
OTHER = "#4b5563"
"""The colour of a method that is none of these."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "legend.frameon": False,
}
_SVG = "http://www.w3.org/2000/svg"
_METRICS = {
    "acc": ("#0b63a5", "o", "-"),
    "gen": ("#b87700", "s", "--"),
    "spec": ("#00876a", "^", ":"),
}
"""Colour, mark and dash of a curve's metric."""


@dataclass(frozen=True)
class Bar:
    """A figure of a series; None was not measured. A star sends the reader to the caption."""

    series: str
    value: Score | Estimate | None
    starred: bool = False


Point = tuple[float, float, "Estimate | None"]
"""A point of a curve: x, the share, and the share's interval."""


@dataclass(frozen=True)
class BarGroup:
    """Bars that stand together under a label."""

    label: str
    bars: tuple[Bar, ...]


def colour(series: str) -> str:
    return COLOURS.get(series, OTHER)


# -- bars ----------------------------------------------------------------------------------------


def method_bars(
    run: Run, metrics: Sequence[str], scope: Scope, success: Success | None
) -> Markup | None:
    """Methods side by side under one protocol (Figure 1); None if nothing was measured."""
    groups = []
    for metric in metrics:
        of_metric = run.success_of(metric, success)
        scores = [(m, run.score(m.name, scope, metric, of_metric)) for m in run.methods]
        bars = tuple(Bar(m.name, s, bool(edits_remark(run, m))) for m, s in scores)
        if any(_measured(bar) for bar in bars):
            label = METRICS[metric].name
            if METRICS[metric].better == "lower":
                label += " (lower is better)"
            if of_metric != success:
                label += f" ({of_metric})"
            groups.append(BarGroup(label, bars))
    # A method without any figure here has no place; one without some of them has a dash.
    known = {bar.series for group in groups for bar in group.bars if _measured(bar)}
    groups = [BarGroup(g.label, tuple(b for b in g.bars if b.series in known)) for g in groups]
    if not groups:
        return None
    names = ", ".join(METRICS[metric].name.lower() for metric in metrics)
    protocol = " · ".join(filter(None, (SCOPES[scope].name, success)))
    return grouped_bars(
        groups, f"bars-{scope}-{success}-{'-'.join(metrics)}", f"{names}: {protocol}"
    )


def _measured(bar: Bar) -> bool:
    return bar.value is not None and bar.value.value is not None


def grouped_bars(groups: Sequence[BarGroup], ident: str, title: str) -> Markup:
    """Upright bars in percent with interval whiskers; every bar bears its name and value."""
    with _pictures(ident):
        figure, axes = _figure(320, None)
        figure.subplots_adjust(0.04, 0.28, 0.995, 0.93)
        places, names, x = [], [], 0.0
        for group in groups:
            middle = x + (len(group.bars) - 1) / 2
            axes.text(middle, 114, group.label, ha="center", weight="bold")
            for bar in group.bars:
                _upright(axes, x, bar, group.label)
                places.append(x)
                names.append(shorten(visible(bar.series), 16) + ("*" if bar.starred else ""))
                x += 1
            x += 0.8
        axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)
        # Few bars stay as narrow as many.
        spare = max(0.0, 12 - x) / 2
        axes.set_xlim(-0.7 - spare, x - 1.1 + spare)
        _percent_axis(axes, 0, 100)
        axes.set_ylim(0, 112)
        words = ". ".join(
            f"{group.label}: " + "; ".join(f"{bar.series} {_in_words(bar)}" for bar in group.bars)
            for group in groups
        )
        return _svg(figure, ident, title, words)


def _upright(axes: Axes, x: float, bar: Bar, group: str) -> None:
    data = {"series": bar.series, "group": group}
    value = bar.value.value if bar.value else None
    if bar.value is None or value is None:
        dash = axes.text(x, 2, "–", ha="center", color=MUTED)
        dash.set_gid(_mark("missing", **data))
        return
    (drawn,) = axes.bar(x, 100 * value, 0.74, color=colour(bar.series))
    drawn.set_gid(_mark("bar", **data, value=value, n=bar.value.n))
    low, high, top = bar.value.low, bar.value.high, value
    if low is not None and high is not None:
        ends = [100 * low, 100 * high]
        (whisker,) = axes.plot([x, x], ends, marker="_", color=INK, linewidth=1.2)
        whisker.set_gid(_mark("whisker", **data, low=low, high=high))
        top = max(top, high)
    axes.text(x, 100 * top + 2, percent(value, 0), ha="center", weight="bold", size=10)


def _in_words(bar: Bar) -> str:
    """`91.0 % (86–95), n 200`"""
    if bar.value is None or bar.value.value is None:
        return "not measured"
    low, high = bar.value.low, bar.value.high
    ends = "" if low is None or high is None else f" ({percent(low, 0)}–{percent(high, 0)})"
    return f"{percent(bar.value.value)} %{ends}, n {bar.value.n}"


def relation_bars(scores: Sequence[RelationScore], ident: str, title: str) -> Markup | None:
    """Lying bars: a row for each relation, a column for each method, each with value and n."""
    if not scores:
        return None
    order = list(METHODS)
    methods = sorted(
        dict.fromkeys(s.method for s in scores),
        key=lambda m: order.index(m) if m in METHODS else len(order),
    )
    lead = "sake" if "sake" in methods else methods[0]
    of_lead = {s.relation: s.value for s in scores if s.method == lead}
    labels = {s.relation: s.label for s in scores}
    # The weakest first: that is what a reader looks for.
    relations = sorted(labels, key=lambda r: (of_lead.get(r, 2.0), labels[r], r))
    by_place = {(s.relation, s.method): s for s in scores}
    with _pictures(ident):
        figure = Figure(figsize=(WIDTH / 72, (44 + 26 * len(relations)) / 72), layout="constrained")
        columns = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(columns, methods, strict=True):
            axes.set_title(shorten(visible(method), 16), loc="left", weight="bold", size=11)
            axes.axis("off")
            axes.set_xlim(0, 100)
            for y, relation in enumerate(relations):
                one, data = by_place.get((relation, method)), {"series": method, "group": relation}
                if one is None:
                    dash = axes.text(0, y - 0.12, "–", color=MUTED)
                    dash.set_gid(_mark("missing", **data))
                    continue
                axes.text(0, y - 0.12, f"{percent(one.value, 0)} · n {one.n}", size=10)
                axes.barh(y + 0.22, 100, 0.28, color=GRID, alpha=0.6)
                (drawn,) = axes.barh(y + 0.22, 100 * one.value, 0.28, color=colour(method))
                drawn.set_gid(_mark("bar", **data, value=one.value, n=one.n))
        for y, relation in enumerate(relations):
            name = shorten(visible(labels[relation]), 32)
            columns[0].text(-6, y + 0.1, name, ha="right", va="center")
        columns[0].set_ylim(len(relations) - 0.4, -0.6)
        words = f"{len(relations)} relations, the weakest of {lead} first"
        known = [r for r in relations if r in of_lead]
        if known:
            first, last = known[0], known[-1]
            words += (
                f": from {labels[first]} with {percent(of_lead[first])} % "
                f"to {labels[last]} with {percent(of_lead[last])} %"
            )
        return _svg(figure, ident, title, words)


# -- curves --------------------------------------------------------------------------------------


def trade_off(curves: Sequence[ThresholdCurve], ident: str) -> Markup | None:
    """Specificity against generality over the threshold (Figure 3), chosen points marked."""
    drawn = [
        (curve, [(p.threshold, p.spec, p.gen) for p in curve.points
                 if p.spec is not None and p.gen is not None])
        for curve in curves
    ]  # fmt: skip
    drawn = [(curve, points) for curve, points in drawn if points]
    if not drawn:
        return None
    words = [f"{sum(len(points) for _, points in drawn)} measured points"]
    with _pictures(ident):
        figure, axes = _figure(420)
        taken: list[tuple[float, float]] = []
        for curve, points in drawn:
            name, marker = visible(curve.method), "o" if curve.method == "sake" else "s"
            label = f"{name}: no threshold chosen"
            spec, gen = _at(curve, "spec"), _at(curve, "gen")
            if curve.chosen is not None and spec is not None and gen is not None:
                label = (
                    f"{name}: {number(curve.chosen)} chosen\n"
                    f"Spec {percent(spec)} · Gen {percent(gen)}"
                )
                words.append(
                    f"{curve.method}: chosen threshold {number(curve.chosen)} with specificity "
                    f"{percent(spec)} % and generality {percent(gen)} %"
                )
                (ring,) = axes.plot(
                    100 * spec, 100 * gen, "o", markersize=15, fillstyle="none", color=INK
                )
                taken.append((spec, gen))
                ring.set_gid(
                    _mark("chosen", series=curve.method, threshold=curve.chosen, x=spec, y=gen)
                )
            (line,) = axes.plot(
                [100 * p[1] for p in points], [100 * p[2] for p in points],
                "-" if curve.method == "sake" else "--",
                color=colour(curve.method), marker=marker, markersize=5, label=label,
            )  # fmt: skip
            line.set_gid(_mark("line", series=curve.method))
            _name_thresholds(axes, points, taken)
        everything = [point for _, points in drawn for point in points]
        axes.set_xlim(*_range([spec for _, spec, _ in everything]))
        _percent_axis(axes, *_range([gen for *_, gen in everything]))
        axes.grid(True, axis="x")
        axes.set_xlabel("Specificity, %")
        axes.set_ylabel("Generality, %")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), labelspacing=1.2)
        success = ", ".join(dict.fromkeys(curve.success for curve, _ in drawn))
        title = f"Specificity against generality over the router's threshold: {success}"
        return _svg(figure, ident, title, ". ".join(words))


def _name_thresholds(
    axes: Axes, points: Sequence[tuple[float, float, float]], taken: list[tuple[float, float]]
) -> None:
    """The thresholds of those points beside which no other one stands."""
    for threshold, spec, gen in points:
        if all(abs(spec - x) > 0.02 or abs(gen - y) > 0.05 for x, y in taken):
            taken.append((spec, gen))
            axes.annotate(
                number(threshold), (100 * spec, 100 * gen), (-7, -12),
                textcoords="offset points", ha="right", size=9, color=MUTED,
            )  # fmt: skip


def _at(curve: ThresholdCurve, name: str) -> float | None:
    """A share at the chosen threshold; on the straight line between measured neighbours."""
    points = [(p.threshold, getattr(p, name)) for p in curve.points]
    points = [(threshold, share) for threshold, share in points if share is not None]
    chosen = curve.chosen
    if chosen is None or not points or not points[0][0] <= chosen <= points[-1][0]:
        return None
    (a, low) = [point for point in points if point[0] <= chosen][-1]
    (b, high) = next(point for point in points if point[0] >= chosen)
    share: float = low if a == b else low + (high - low) * (chosen - a) / (b - a)
    return share


def over_threshold(curve: ThresholdCurve, ident: str) -> Markup | None:
    """Accuracy, generality and specificity over a router's threshold."""
    lines: dict[str, list[Point]] = {
        name: [(p.threshold, getattr(p, name), None) for p in curve.points
               if getattr(p, name) is not None]
        for name in _METRICS
    }  # fmt: skip
    return _lines(
        lines,
        ident,
        f"Accuracy, generality and specificity over the threshold: {curve.method}, {curve.success}",
        "Threshold of the router: larger is more willing to edit",
        chosen=(curve.method, curve.chosen),
    )


def over_prompts(curve: PromptCurve, ident: str) -> Markup | None:
    """Accuracy and generality over the number of prompts an edit (Figure 5), with intervals."""
    lines: dict[str, list[Point]] = {
        name: [(p.prompts, e.value, e) for p in curve.points
               if (e := getattr(p, name)).value is not None]
        for name in published.PROMPTS_PERCENT
    }  # fmt: skip
    return _lines(
        lines,
        ident,
        f"Accuracy and generality over the number of prompts an edit: {curve.method}, "
        f"{SCOPES[curve.scope].name.lower()}, {curve.success}",
        "Prompts an edit; bands are 95 % intervals, hollow marks are published figures "
        f"of another model ({published.MODEL})",
        references={n: (published.PROMPTS, p / 100) for n, p in published.PROMPTS_PERCENT.items()},
    )


def _lines(
    lines: dict[str, list[Point]],
    ident: str,
    title: str,
    x_label: str,
    chosen: tuple[str, float | None] = ("", None),
    references: dict[str, tuple[float, float]] | None = None,
) -> Markup | None:
    """Curves in percent by metric, each with its last value in the legend."""
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None
    words, shares = [], []
    with _pictures(ident):
        figure, axes = _figure(370)
        for name, points in lines.items():
            paint, marker, dash = _METRICS[name]
            label = f"{METRICS[name].name} {percent(points[-1][1])}"
            xs, ys = [x for x, *_ in points], [100 * y for _, y, _ in points]
            shares += [y for _, y, _ in points]
            (line,) = axes.plot(
                xs, ys, dash, color=paint, marker=marker, markersize=5, linewidth=2, label=label
            )
            line.set_gid(_mark("line", series=name))
            band = [(x, e.low, e.high) for x, _, e in points
                    if e and e.low is not None and e.high is not None]  # fmt: skip
            if len(band) > 1:
                lows, highs = [low for _, low, _ in band], [high for *_, high in band]
                area = axes.fill_between(
                    [x for x, *_ in band], [100 * low for low in lows],
                    [100 * high for high in highs], color=paint, alpha=0.16, linewidth=0,
                )  # fmt: skip
                area.set_gid(_mark("band", series=name))
                shares += [*lows, *highs]
            if references and name in references:
                x, y = references[name]
                (mark,) = axes.plot(
                    x,
                    100 * y,
                    marker,
                    color=paint,
                    fillstyle="none",
                    markersize=9,
                    linestyle="none",
                )
                mark.set_gid(_mark("reference", series=name, x=x, y=y))
                shares.append(y)
            words.append(
                f"{METRICS[name].name} from {percent(points[0][1])} % at {number(points[0][0])} "
                f"to {percent(points[-1][1])} % at {number(points[-1][0])}"
            )
        low, high = axes.get_xlim()
        series, threshold = chosen
        if threshold is not None and low <= threshold <= high:
            at = axes.axvline(threshold, color=INK, linestyle=(0, (3, 3)), linewidth=1.6)
            at.set_gid(_mark("chosen", series=series, threshold=threshold))
            at.set_label(f"chosen: {number(threshold)}")
            words.append(f"chosen threshold {number(threshold)}")
        _percent_axis(axes, *_range(shares))
        axes.set_xlabel(x_label)
        axes.set_ylabel("%")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
        return _svg(figure, ident, title, "; ".join(words))


# -- activations ---------------------------------------------------------------------------------

CLOUDS = (
    ("source", "source: before the fact changed", "#7b8490", "o"),
    ("target", "target: after it changed", "#b87700", "s"),
    ("mapped", "mapped: source after the edit", "#0b63a5", "^"),
)


def projection(one: Projection, ident: str) -> Markup:
    """Source, target and mapped activations of an edit in the plane; both axes have one scale."""
    with _pictures(ident):
        figure, axes = _figure(480)
        for name, label, paint, marker in CLOUDS:
            cloud = getattr(one, name)
            dots = axes.scatter(
                [x for x, _ in cloud], [y for _, y in cloud], 26, marker=marker, alpha=0.6,
                edgecolors=paint, facecolors="none" if name == "target" else paint,
                label=f"{label} ({len(cloud)})",
            )  # fmt: skip
            dots.set_gid(_mark("dots", series=name))
        if one.source and one.mapped:
            axes.annotate(
                "", _mean(one.mapped), _mean(one.source), arrowprops={"arrowstyle": "-|>"}
            )
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        share = [f" ({percent(s, 0)} % of the variance)" for s in one.explained]
        share += [""] * (2 - len(share))
        axes.set_xlabel(f"1st direction{share[0]}")
        axes.set_ylabel(f"2nd direction{share[1]}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        counts = ", ".join(f"{len(getattr(one, name))} {name}" for name, *_ in CLOUDS)
        words = (
            f"{counts} activations. The arrow goes from the middle of the source to the middle of "
            "the mapped ones; a good edit lands among the targets."
        )
        title = f"Activations of {one.edit}: {one.claim} ({one.method})"
        return _svg(figure, ident, title, words)


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


# -- drawing -------------------------------------------------------------------------------------


@contextmanager
def _pictures(ident: str) -> Iterator[None]:
    """The style of all pictures; the names inside one hang on its own name alone."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": ident}), warnings.catch_warnings():
        # A browser has the letters that the measuring font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def _figure(
    height: int, layout: Literal["constrained"] | None = "constrained"
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout=layout)
    return figure, figure.subplots()


def _percent_axis(axes: Axes, low: float, high: float) -> None:
    step = 20 if high - low > 60 else 10
    axes.set_yticks([t for t in range(0, 101, step) if low <= t <= high])
    axes.set_ylim(low, high)
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)


def _range(shares: Sequence[float]) -> tuple[float, float]:
    """A range in percent around the shares, inside 0 and 100, with room for marks and labels."""
    low, high = 100 * min(shares), 100 * max(shares)
    room = max(0.06 * (high - low), 2)
    return max(low - room, -2), min(high + room, 104)


def _mark(kind: str, **data: str | float | None) -> str:
    """What a group of the picture is: the id under which matplotlib writes it."""
    return json.dumps({"class": kind} | {f"data-{name}": value for name, value in data.items()})


def _svg(figure: Figure, ident: str, title: str, description: str) -> Markup:
    """The picture as an element of a page, or a file of its own."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    root = ET.fromstring(text.getvalue())
    name = re.sub(r"[^A-Za-z0-9]", "-", ident)
    used = {e.get("{http://www.w3.org/1999/xlink}href", "")[1:] for e in root.iter()}
    for parent in root.iter():
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style", "clipPath"):
                parent.remove(child)
        given = parent.attrib.pop("id", "")
        if given.startswith("{"):
            parent.attrib |= {k: _written(v) for k, v in json.loads(given).items()}
        elif given and given in used:
            parent.set("id", given)
        if link := parent.attrib.pop("{http://www.w3.org/1999/xlink}href", None):
            parent.set("href", link)
        parent.attrib.pop("clip-path", None)
        if style := parent.get("style"):
            parent.set("style", re.sub(r"font-family: [^;]*(; )?", "", style))
    words = []
    for kind, said in (("title", title), ("desc", description)):
        words.append(ET.Element(f"{{{_SVG}}}{kind}", {"id": f"{name}-{kind}"}))
        words[-1].text = visible(said)
    root[:0] = words
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": "chart",
        "role": "img",
        "id": name,
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    ET.register_namespace("", _SVG)
    return Markup(ET.tostring(root, encoding="unicode", short_empty_elements=False))


def _written(value: str | float | None) -> str:
    return visible(value) if isinstance(value, str) else f"{value:.6g}"
