"""Pictures: what is drawn is what was measured, and it can be read without colour."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sake_bench.reports import charts
from sake_bench.reports.scores import (
    Projection,
    ThresholdCurve,
    ThresholdPoint,
    Value,
    read_run,
)
from tests.bench.reports.example_run import HOSTILE, example_run

RUN = read_run(example_run())


def parse(svg: str | None) -> ET.Element:
    assert svg is not None
    return ET.fromstring(svg)


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
    heights = {b.get("data-value"): float(b.get("height", "0")) for b in bars}
    assert heights["0.93"] == pytest.approx(0.93 / 0.84 * heights["0.84"], rel=0.01)
    assert texts(svg).count("memit") == 3
    assert texts(svg).count("compmemit*") == 3  # it made fewer edits: the caption says so
    assert "Accuracy" in texts(svg)
    whisker = next(w for w in whiskers if w.get("data-series") == "sake")
    assert float(whisker.get("data-low", "")) < 0.93 < float(whisker.get("data-high", ""))


def test_a_bar_that_was_not_measured_is_a_dash_and_no_zero() -> None:
    group = charts.BarGroup(
        "Accuracy",
        (charts.Bar("a", Value(0.0, 0.0, 0.1, 5)), charts.Bar("b", Value(None, None, None, 0))),
    )
    svg = parse(charts.grouped_bars([group], "x", "x"))
    assert [bar.get("data-series") for bar in marks(svg, "bar")] == ["a"]
    assert [dash.get("data-series") for dash in marks(svg, "missing")] == ["b"]
    assert "b not measured" in "".join(svg.itertext())


def test_the_trade_off_marks_the_chosen_threshold() -> None:
    curves = [c for c in RUN.threshold_curves if c.success == "first-token"]
    svg = parse(charts.trade_off(curves, "x"))
    assert len(marks(svg, "line")) == 2
    assert len(marks(svg, "point")) == 26
    rings = {r.get("data-series"): r for r in marks(svg, "chosen")}
    paper = next(c for c in curves if c.method == "sake-paper")
    point = next(p for p in paper.points if p.threshold == paper.chosen)
    assert rings["sake-paper"].get("data-threshold") == "4.6"
    assert float(rings["sake-paper"].get("data-y", "")) == point.gen
    assert any(text.startswith("sake-paper: 4.6 chosen") for text in texts(svg))


def test_a_threshold_between_measured_points_lies_on_the_line_between_them() -> None:
    points = (ThresholdPoint(3, 0.1, 0.2, 0.9), ThresholdPoint(5, 0.3, 0.6, 0.7))
    svg = parse(charts.trade_off([ThresholdCurve("m", "first-token", points, 4, None)], "x"))
    (ring,) = marks(svg, "chosen")
    assert (ring.get("data-x"), ring.get("data-y")) == ("0.8", "0.4")
    for chosen in (9, None):
        curve = ThresholdCurve("m", "first-token", points, chosen, None)
        assert marks(parse(charts.trade_off([curve], "x")), "chosen") == []
        assert parse(charts.over_threshold(curve, "x")) is not None


def test_nothing_to_draw_draws_nothing() -> None:
    empty = ThresholdCurve("m", "first-token", (ThresholdPoint(3, None, None, None),), 3, None)
    assert charts.trade_off([empty], "x") is None
    assert charts.over_threshold(empty, "x") is None
    assert charts.relation_bars([], "x", "x") is None
    assert charts.method_bars(RUN, ("lg",), "given", "first-token") is None


def test_one_point_is_a_picture() -> None:
    one = ThresholdCurve("m", "first-token", (ThresholdPoint(3, 1.0, 1.0, 1.0),), 3, None)
    assert len(marks(parse(charts.over_threshold(one, "x")), "point")) == 3
    assert len(marks(parse(charts.trade_off([one], "x")), "point")) == 1


def test_over_the_threshold_are_three_curves_and_the_chosen_one() -> None:
    svg = parse(charts.over_threshold(RUN.threshold_curves[0], "x"))
    assert [line.get("data-series") for line in marks(svg, "line")] == ["acc", "gen", "spec"]
    assert len({line.get("stroke-dasharray") for line in marks(svg, "line")}) == 3
    (chosen,) = marks(svg, "chosen")
    assert chosen.get("data-threshold") == "5.3"


def test_prompts_have_bands_and_the_published_points() -> None:
    svg = parse(charts.over_prompts(RUN.prompt_curves[0], "x"))
    assert [band.get("data-series") for band in marks(svg, "band")] == ["acc", "gen"]
    points = marks(svg, "point")
    assert len(points) == 14
    assert [p.get("data-x") for p in points[:3]] == ["5", "10", "20"]
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
    dots = marks(svg, "dot")
    assert len(dots) == 180
    assert [d.get("data-series") for d in dots[::60]] == ["source", "target", "mapped"]
    assert (dots[0].get("data-x"), dots[0].get("data-y")) == tuple(
        f"{v:.6g}" for v in one.source[0]
    )
    assert len({d.get("d", "").count("h") + 10 * d.get("d", "").count("a") for d in dots}) == 3
    assert any("41 % of the variance" in text for text in texts(svg))
    for cloud in ((), ((1.0, 1.0),)):
        parse(charts.projection(Projection("e", "c", "m", (), cloud, cloud, cloud), "x"))


def test_every_picture_has_a_title_and_a_description() -> None:
    pictures = [
        charts.method_bars(RUN, ("acc",), "given", "first-token"),
        charts.trade_off(RUN.threshold_curves, "a"),
        charts.over_threshold(RUN.threshold_curves[0], "b"),
        charts.over_prompts(RUN.prompt_curves[0], "c"),
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
    root = ET.fromstring(charts.standalone(svg or "").encode())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert ".chart .bar" in "".join(root.itertext())
