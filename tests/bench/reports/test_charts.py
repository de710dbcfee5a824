"""Pictures: what is drawn is what was measured, and it can be read without colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from sake_bench.reports import charts
from sake_bench.results import Estimate, Projection, ThresholdCurve, ThresholdPoint
from tests.bench.reports.example_run import HOSTILE, example_run, read

RUN = read(example_run())


def parse(svg: str | None) -> ET.Element:
    """The picture, without the namespace in every name."""
    assert svg is not None
    root = ET.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def curve(*points: tuple[float, ...] | None, chosen: float | None) -> ThresholdCurve:
    """A curve of (threshold, acc, gen, spec)."""
    made = [
        ThresholdPoint.model_validate(
            dict(zip(("threshold", "acc", "gen", "spec"), p, strict=True))
        )
        for p in points
    ]
    return ThresholdCurve(method="m", n={}, points=tuple(made), chosen=chosen, calibrated=None)


def places(group: ET.Element) -> list[tuple[float, float]]:
    """Where the marks of a line or a cloud stand in the picture."""
    return [(float(u.get("x", "")), float(u.get("y", ""))) for u in group.iter("use")]


def assert_drawn(places: list[tuple[float, float]], points: Sequence[tuple[float, float]]) -> None:
    """Each point has its mark: places are the points, moved and stretched along either axis."""
    assert len(places) == len(points)
    for axis in (0, 1):
        drawn, measured = [p[axis] for p in places], [p[axis] for p in points]
        low, high = measured.index(min(measured)), measured.index(max(measured))
        scale = (drawn[high] - drawn[low]) / (measured[high] - measured[low])
        for a, b in zip(drawn, measured, strict=True):
            assert a == pytest.approx(drawn[low] + scale * (b - measured[low]), abs=0.01)


def height(bar: ET.Element) -> float:
    (path,) = bar.iter("path")
    ys = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path.get("d", ""))]
    return max(ys) - min(ys)


def marks(svg: ET.Element, kind: str) -> list[ET.Element]:
    return [e for e in svg.iter() if kind in e.get("class", "").split()]


def texts(svg: ET.Element) -> list[str]:
    return ["".join(e.itertext()) for e in svg.iter("text")]


def test_bars_have_their_value_name_and_whisker() -> None:
    svg = parse(charts.method_bars(RUN, ("acc", "gen", "spec"), "all-edits", "first-token"))
    bars, whiskers = marks(svg, "bar"), marks(svg, "whisker")
    assert len(bars) == len(whiskers) == 3 * 7  # icl and rome have nothing in this scope
    sake = next(
        b for b in bars if (b.get("data-series"), b.get("data-group")) == ("sake", "Accuracy")
    )
    assert sake.get("data-value") == "0.93"
    assert sake.get("data-n") == "100"
    heights = {b.get("data-value"): height(b) for b in bars}
    assert heights["0.93"] == pytest.approx(0.93 / 0.84 * heights["0.84"], rel=0.01)
    assert texts(svg).count("memit") == 3
    assert texts(svg).count("compmemit*") == 3  # it made fewer edits: the caption says so
    assert "Accuracy" in texts(svg)
    whisker = next(w for w in whiskers if w.get("data-series") == "sake")
    assert float(whisker.get("data-low", "")) < 0.93 < float(whisker.get("data-high", ""))


def test_a_bar_that_was_not_measured_is_a_dash_and_no_zero() -> None:
    zero = Estimate(value=0.0, low=0.0, high=0.1, n=5)
    nothing = Estimate(value=None, low=None, high=None, n=0)
    group = charts.BarGroup("Accuracy", (charts.Bar("a", zero), charts.Bar("b", nothing)))
    svg = parse(charts.grouped_bars([group], "x", "x"))
    assert [bar.get("data-series") for bar in marks(svg, "bar")] == ["a"]
    assert [dash.get("data-series") for dash in marks(svg, "missing")] == ["b"]
    assert "b not measured" in "".join(svg.itertext())


def test_the_trade_off_marks_the_chosen_threshold() -> None:
    curves = [c for c in RUN.threshold_curves if c.success == "first-token"]
    svg = parse(charts.trade_off(curves, "x"))
    assert len(marks(svg, "line")) == 2
    assert [len(places(line)) for line in marks(svg, "line")] == [13, 13]
    rings = {r.get("data-series"): r for r in marks(svg, "chosen")}
    paper = next(c for c in curves if c.method == "sake-paper")
    point = next(p for p in paper.points if p.threshold == paper.chosen)
    assert rings["sake-paper"].get("data-threshold") == "4.6"
    assert float(rings["sake-paper"].get("data-y", "")) == point.gen
    assert any(text.startswith("sake-paper: 4.6 chosen") for text in texts(svg))


def test_a_threshold_between_measured_points_lies_on_the_line_between_them() -> None:
    points = ((3, 0.1, 0.2, 0.9), (5, 0.3, 0.6, 0.7))
    svg = parse(charts.trade_off([curve(*points, chosen=4)], "x"))
    (ring,) = marks(svg, "chosen")
    assert (ring.get("data-x"), ring.get("data-y")) == ("0.8", "0.4")
    for chosen in (9, None):
        other = curve(*points, chosen=chosen)
        assert marks(parse(charts.trade_off([other], "x")), "chosen") == []
        assert parse(charts.over_threshold(other, "x")) is not None


def test_nothing_to_draw_draws_nothing() -> None:
    empty = curve((3, None, None, None), chosen=3)
    assert charts.trade_off([empty], "x") is None
    assert charts.over_threshold(empty, "x") is None
    assert charts.relation_bars([], "x", "x") is None
    assert charts.method_bars(RUN, ("lg",), "given", "first-token") is None


def test_one_point_is_a_picture() -> None:
    one = curve((3, 1.0, 1.0, 1.0), chosen=3)
    for svg, lines in ((charts.over_threshold(one, "x"), 3), (charts.trade_off([one], "x"), 1)):
        assert [len(places(line)) for line in marks(parse(svg), "line")] == [1] * lines


def test_over_the_threshold_are_three_curves_and_the_chosen_one() -> None:
    svg = parse(charts.over_threshold(RUN.threshold_curves[0], "x"))
    assert [line.get("data-series") for line in marks(svg, "line")] == ["acc", "gen", "spec"]
    paths = [next(line.iter("path")).get("style", "") for line in marks(svg, "line")]
    assert len({re.sub(r"stroke: \S+;", "", path) for path in paths}) == 3  # told by the dash
    (chosen,) = marks(svg, "chosen")
    assert chosen.get("data-threshold") == "5.3"


def test_prompts_have_bands_and_the_published_points() -> None:
    svg = parse(charts.over_prompts(RUN.prompt_curve[0], "x"))
    assert [band.get("data-series") for band in marks(svg, "band")] == ["acc", "gen"]
    for line, name in zip(marks(svg, "line"), ("acc", "gen"), strict=True):
        points = RUN.prompt_curve[0].points
        assert_drawn(places(line), [(p.prompts, getattr(p, name).value) for p in points])
    assert [(r.get("data-x"), r.get("data-y")) for r in marks(svg, "reference")] == [
        ("50", "0.92"),
        ("50", "0.84"),
    ]
    assert "another model (GPT2-XL)" in "".join(texts(svg))


def test_relations_have_a_bar_for_each_method_the_weakest_first() -> None:
    scores = [r for r in RUN.relations if r.metric == "gen"]
    svg = parse(charts.relation_bars(scores, "x", "x"))
    assert len(marks(svg, "bar")) == len(scores) == 31
    assert [(m.get("data-series"), m.get("data-group")) for m in marks(svg, "missing")] == [
        ("uniform", "P36")
    ]
    values = [
        float(b.get("data-value", "")) for b in marks(svg, "bar") if b.get("data-series") == "sake"
    ]
    assert values == sorted(values)


def test_a_projection_draws_every_activation_with_its_own_mark() -> None:
    one = RUN.projections[0]
    svg = parse(charts.projection(one, "x"))
    clouds = marks(svg, "dots")
    assert [cloud.get("data-series") for cloud in clouds] == ["source", "target", "mapped"]
    assert_drawn(
        [place for cloud in clouds for place in places(cloud)],
        [point for name in ("source", "target", "mapped") for point in getattr(one, name)],
    )
    assert len({next(cloud.iter("path")).get("d") for cloud in clouds}) == 3
    assert any("41 % of the variance" in text for text in texts(svg))
    for cloud in ((), ((1.0, 1.0),)):
        flat = Projection(
            edit="e", claim="c", method="m", explained=(), source=cloud, target=cloud, mapped=cloud
        )
        parse(charts.projection(flat, "x"))


def test_every_picture_has_a_title_and_a_description() -> None:
    pictures = [
        charts.method_bars(RUN, ("acc",), "given", "first-token"),
        charts.trade_off(RUN.threshold_curves, "a"),
        charts.over_threshold(RUN.threshold_curves[0], "b"),
        charts.over_prompts(RUN.prompt_curve[0], "c"),
        charts.relation_bars(RUN.relations, "d", HOSTILE),
        charts.projection(RUN.projections[1], "e"),
    ]
    for picture in pictures:
        svg = parse(picture)
        assert svg.get("role") == "img"
        ids = {e.get("id"): e.text for e in svg.iter() if e.get("id")}
        named = svg.get("aria-labelledby", "").split()
        assert len(named) == 2
        assert all(ids[name] for name in named)
        assert "nan" not in (picture or "").lower().replace("script>window", "")


def test_a_picture_can_be_a_file_of_its_own() -> None:
    svg = charts.method_bars(RUN, ("acc",), "given", "first-token")
    root = ET.fromstring(svg or "")
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [e for e in root.iter() if "var(" in e.get("style", "")]  # it needs no page's style
