"""Points of curves against the rows of the run that they are of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from sake_bench import curves
from sake_bench.replies import Job, ReplyCache
from tests.bench.made_up import (
    FACTS,
    Done,
    Runs,
    key,
    plain,
    values,
)


def test_threshold_curves_rise_and_begin_with_nothing_changed(done: Done) -> None:
    drawn = {curve["method"]: curve for curve in done.result["threshold_curves"]}
    assert set(drawn) == {"sake", "sake-paper"}
    for curve in drawn.values():
        steps = [point["threshold"] for point in curve["points"]]
        assert steps == sorted(set(steps))
        assert curve["points"][0]["spec"] == 1
        assert set(curve["n"]) == {"acc", "gen", "spec"}
    by_name = {m["name"]: m for m in done.result["methods"]}
    for name, curve in drawn.items():
        assert curve["chosen"] == by_name[name]["threshold"]


def test_a_point_of_the_curve_is_the_score_at_that_threshold(done: Done) -> None:
    at = curves.STEPS[18]
    result = done.runs(done.work, methods=("sake-paper",), threshold=at, curves=())
    (curve,) = (c for c in done.result["threshold_curves"] if c["method"] == "sake-paper")
    (point,) = (p for p in curve["points"] if p["threshold"] == at)
    for metric in ("acc", "gen", "spec"):
        (score,) = (
            s for s in result["scores"]
            if key(s) == ("sake-paper", "all-edits", metric, "first-token", None)
        )  # fmt: skip
        assert score["value"] == point[metric]
        assert score["n"] == curve["n"][metric]
    assert result["methods"][0]["calibrated"] == "as given"


def test_at_its_own_threshold_the_curve_is_what_the_method_scores(done: Done) -> None:
    """Whatever its metric's unit, and though its bound is not the threshold alone."""
    (curve,) = (c for c in done.result["threshold_curves"] if c["method"] == "sake")
    assert done.runs.settings.router.metric == "contrast"
    (point,) = (p for p in curve["points"] if p["threshold"] == curve["chosen"])
    for metric in ("acc", "gen", "spec"):
        score = done.score("sake", "all-edits", metric, "first-token")
        assert (score["value"], score["n"]) == (point[metric], curve["n"][metric])
    assert curve["points"][0] != curve["points"][-1]


def test_where_two_subjects_are_named_the_curve_follows_the_nearer(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = runs.request.data.records[:4]
    records = [first]
    for record in others:
        (gen, *_) = record.of("gen")
        prompt = f"{first.subject} nods. {record.filled} now"
        both = replace(gen, query=replace(gen.query, prompt=prompt))
        records.append(replace(record, tests=(*record.tests, both)))
    at = 10.0
    router = runs.settings.router.model_copy(update={"threshold": at})
    mine = Runs(runs.request, runs.settings.model_copy(update={"router": router}))
    data = replace(runs.request.data, records=tuple(records))
    asked: list[Job] = []
    replies = ReplyCache.replies

    def listen(self: ReplyCache, jobs: Iterable[Job], *rest: Any, **options: Any) -> Any:
        asked.extend(jobs := list(jobs))
        return replies(self, jobs, *rest, **options)

    monkeypatch.setattr(ReplyCache, "replies", listen)
    result = mine(tmp_path, data=data, limit=None, methods=("sake",), curves=("threshold",))
    routed = {
        row["prompt"]: row["fired"] for row in mine.rows
        if row["scope"] == "all-edits" and row["axis"] in ("acc", "gen", "neighbourhood")
    }  # fmt: skip
    two = [prompt for prompt in routed if " nods. " in prompt]
    assert len(two) == 3
    assert {routed[prompt] for prompt in two} - {first.id, None}
    # Of the curve: one token each, where an edit comes near enough for the largest threshold.
    curved = {job.text: job.edit for job in asked if job.tokens == 1 and job.edit}
    assert curved == {prompt: edit for prompt, edit in routed.items() if edit}
    (curve,) = result["threshold_curves"]
    (point,) = (p for p in curve["points"] if p["threshold"] == at)
    for metric in ("acc", "gen", "spec"):
        (score,) = (
            s for s in result["scores"]
            if key(s) == ("sake", "all-edits", metric, "first-token", None)
        )  # fmt: skip
        assert score["value"] == point[metric]


def test_the_prompt_curve_is_of_the_given_edit(done: Done) -> None:
    (curve,) = done.result["prompt_curve"]
    assert (curve["method"], curve["scope"]) == ("sake-paper", "given")
    assert [point["prompts"] for point in curve["points"]] == [2, 5, 10]
    for point in curve["points"]:
        for name in ("acc", "gen"):
            assert point[name]["low"] <= point[name]["value"] <= point[name]["high"]
            assert point[name]["n"] == done.score("base", "none", name, "first-token")["n"]


def test_projections_are_points_of_two_coordinates(done: Done) -> None:
    found = done.result["projections"]
    assert {(p["edit"], p["method"]) for p in found} == {
        (found[0]["edit"], "sake"), (found[0]["edit"], "sake-paper")
    }  # fmt: skip
    for one in found:
        assert len(one["source"]) == len(one["target"]) == len(one["mapped"]) == 12
        assert all(len(p) == 2 for kind in ("source", "target", "mapped") for p in one[kind])
        first, second = one["explained"]
        assert 0 <= second <= first <= first + second <= 1
        # A map brings what it is applied to near the targets' mean.
        middle = {
            kind: [mean(p[axis_] for p in one[kind]) for axis_ in (0, 1)]
            for kind in ("source", "target", "mapped")
        }
        if one["method"] == "sake":
            before = math.dist(middle["source"], middle["target"])
            assert math.dist(middle["mapped"], middle["target"]) < 0.2 * before


def fires_right(row: dict[str, Any]) -> bool | None:
    if row["axis"] == "neighbourhood":
        return bool(row["fired"] is None or (row["fired"] == row["edit"] and row["first"]))
    return None if row["first"] is None else bool(row["fired"] == row["edit"] and row["first"])


@pytest.mark.parametrize("method", ["sake", "sake-paper"])
def test_loads_are_own_centres_with_one_edit_and_all_edits_with_all(
    questioned: Done, method: str
) -> None:
    (curve,) = (c for c in questioned.result["load_curves"] if c["method"] == method)
    points = {point["loaded"]: point for point in curve["points"]}
    assert list(points) == [1, 10, len(FACTS)]
    for size, scope in ((1, "own-centre"), (len(FACTS), "all-edits")):
        for axis_, name in (("acc", "acc"), ("gen", "gen"), ("neighbourhood", "spec")):
            rows = questioned.of(method, scope, axis_)
            assert points[size][name] == values(rows, fires_right)
    for name in ("acc", "gen", "spec"):  # in groups of ten, and eight, every test is asked once
        assert points[10][name]["n"] == points[1][name]["n"]


@pytest.mark.parametrize("method", ["sake", "sake-paper"])
def test_edits_that_are_not_scored_are_loaded_with_the_routes_they_would_be_compiled_to(
    questioned: Done, runs: Runs, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen: dict[str, Any] = {}
    loads = curves.loads

    def listen(cache: Any, steering: Any, tests: Any, *more: Any) -> Any:
        _, others = more
        seen.update(others or steering.entries)
        return loads(cache, steering, tests, *more)

    monkeypatch.setattr(curves, "loads", listen)
    more: dict[str, Any] = {"methods": (method,), "curves": ("loads",), "threshold": 5.0}
    result = Runs(runs.request, runs.settings)(questioned.work, limit=4, **more)
    others = dict(seen)
    assert len(others) == len(FACTS) - 4
    seen.clear()
    Runs(runs.request, runs.settings)(questioned.work, limit=None, **more)
    for id_, entry in others.items():
        compiled = seen[id_]
        assert (entry.kind, entry.threshold) == (compiled.kind, compiled.threshold)
        assert entry.routes == compiled.routes
        assert torch.allclose(entry.points, compiled.points, atol=1e-4)
    (curve,) = result["load_curves"]
    assert [point["loaded"] for point in curve["points"]] == [1, 10, len(FACTS)]
    assert {point["acc"]["edits"] for point in curve["points"]} == {4}


def test_loads_of_a_second_run_are_the_same_and_run_no_text(
    questioned: Done, no_text_is_run: None
) -> None:
    again = questioned.runs(
        questioned.work, limit=None, threshold=5.0, methods=("base", "sake", "sake-paper"),
        curves=("loads",), questions=True,
    )  # fmt: skip
    assert plain(again) == plain(questioned.result)
