"""Scores of a run against the rows that they are of."""

from __future__ import annotations

import json
from statistics import mean

import pytest

from tests.bench.made_up import (
    METHODS,
    ROUTED,
    Done,
    close,
    key,
    relapsed,
    values,
)


def test_every_method_is_measured_under_its_scopes(done: Done) -> None:
    found = {(s["method"], s["scope"]) for s in done.result["scores"]}
    assert found == {("base", "none")} | {(m, s) for m in METHODS[1:] for s in ROUTED}
    metrics = {s["metric"] for s in done.result["scores"]}
    assert metrics == {
        "acc", "gen", "di", "dii", "spec", "unchanged", "relapse", "collateral", "fluency",
        "acc-contained", "acc-exact", "gen-contained", "gen-exact",
    }  # fmt: skip
    assert [m["name"] for m in done.result["methods"]] == list(METHODS)
    assert all(m["failed"] == {} for m in done.result["methods"])
    assert done.result["schema"] == "bench/1"


def test_a_score_has_its_n_its_edits_and_an_interval_around_it(done: Done) -> None:
    assert len({key(s) for s in done.result["scores"]}) == len(done.result["scores"])
    for score in done.result["scores"]:
        if score["n"] == 0:
            assert score["value"] is score["low"] is score["high"] is None
            continue
        assert score["low"] <= score["value"] <= score["high"]
        assert 0 < score["edits"] <= 6
        assert score["edits"] <= score["n"]
        assert score["success"] in ("first-token", "full-object", None)


def test_base_is_untouched_in_every_way(done: Done) -> None:
    assert done.score("base", "none", "spec", "first-token")["value"] == 1
    assert done.score("base", "none", "unchanged")["value"] == 1
    assert done.score("base", "none", "collateral")["value"] == 0
    assert all(row["before"] == row["after"] for row in done.rows if row["method"] == "base")


def test_scores_are_the_means_of_the_rows(done: Done) -> None:
    for method in METHODS:
        for scope in ("none",) if method == "base" else ROUTED:
            for metric in ("acc", "gen", "di", "dii"):
                rows = done.of(method, scope, metric)
                score = done.score(method, scope, metric, "first-token")
                assert close(score, values(rows, lambda row: row["first"]))
                score = done.score(method, scope, metric, "full-object")
                assert close(score, values(rows, lambda row: row["full"]))
            rows = done.of(method, scope, "neighbourhood")
            score = done.score(method, scope, "spec", "first-token")
            assert close(score, values(rows, lambda row: row["first"]))
            score = done.score(method, scope, "unchanged")
            assert close(score, values(rows, lambda row: row["fired"] is None))
            rows = done.of(method, scope, "unrelated")
            if scope != "given":  # where nothing unrelated is edited, nothing is measured
                score = done.score(method, scope, "collateral")
                assert close(score, values(rows, lambda row: not row["full"]))
            rows = done.of(method, scope, "acc", "gen")
            score = done.score(method, scope, "relapse")
            assert close(score, values(rows, relapsed))


def test_what_no_edit_touches_is_answered_as_before(done: Done) -> None:
    untouched = [row for row in done.rows if row["fired"] is None and row["method"] != "base"]
    assert untouched
    assert all(row["before"] == row["after"] for row in untouched)
    given = [r for r in done.rows if r["scope"] == "given" and r["axis"] != "unrelated"]
    assert all(row["fired"] == row["edit"] for row in given)
    # The edits do something: else nothing above is a test.
    assert any(row["before"] != row["after"] for row in given)


def test_a_record_that_is_in_the_run_counts_once_a_test(done: Done) -> None:
    """6 records, each with one own prompt, two paraphrases, two doubts, three neighbours."""
    counts = {"acc": 6, "gen": 12, "di": 6, "dii": 6, "neighbourhood": 18}
    for name, n in counts.items():
        assert len(done.of("sake", "all-edits", name)) == n
    assert done.result["data"]["records"] == 6
    assert done.result["data"]["held_in"] == 0


def test_unrelated_prompts_are_of_no_loaded_record(done: Done) -> None:
    loaded = [r for r in done.runs.request.data.records if r.id in {x["edit"] for x in done.rows}]
    assert len(loaded) == 6
    prompts = [row["prompt"] for row in done.of("sake", "all-edits", "unrelated")]
    foreign = {
        test.query.prompt
        for record in done.runs.request.data.records if record not in loaded
        for test in record.of("neighbourhood")
    }  # fmt: skip
    own = {test.query.prompt for record in loaded for test in record.tests}
    assert len(prompts) == len(set(prompts))
    assert len(prompts) >= 2 * len(loaded)
    assert set(prompts) <= foreign - own
    named = [p for p in foreign if any(record.subject in p for record in loaded)]
    assert named  # the data have such, and they are left out
    assert not set(named) & set(prompts)


def test_the_report_says_what_was_measured(done: Done) -> None:
    data, result = done.result["data"], done.result
    assert (data["name"], data["limit"], data["seed"]) == ("counterfact", 6, 0)
    assert len(data["sha256"]) == 64
    assert 0 < data["prompts"]["min"] <= data["prompts"]["median"] <= data["prompts"]["max"]
    by_name = {m["name"]: m for m in result["methods"]}
    threshold = by_name["sake-paper"]["threshold"]
    for name in ("icl", "actadd", "uniform", "sake-paper"):
        assert by_name[name]["threshold"] == threshold
        assert "12 other records" in by_name[name]["calibrated"]
    assert by_name["sake"]["threshold"] == done.runs.settings.router.bound
    assert by_name["sake"]["calibrated"] is by_name["base"]["calibrated"] is None
    assert by_name["sake-paper"]["settings"]["compile"] | {} == {
        "prompts": 12, "sources": ["plain", "forced"], "targets": ["repeat"], "keep_failed": True,
        "min_pairs": 4, "reg": 0.01, "solver": "lowrank", "batch_size": 16, "complement": 1.0,
        "whole": False, "min_score": 0.8,
    }  # fmt: skip
    assert by_name["uniform"]["settings"]["compile"]["solver"] == "uniform"
    json.dumps(result, allow_nan=False)


def test_relations_are_shares_of_their_edits(done: Done) -> None:
    for one in done.result["relations"]:
        relation = {
            r.id for r in done.runs.request.data.records if r.relation == one["relation"]
        }  # fmt: skip
        mark = "first" if one["success"] == "first-token" else "full"
        marks = [
            row[mark] for row in done.of(one["method"], one["scope"], one["metric"])
            if row["edit"] in relation and row[mark] is not None
        ]  # fmt: skip
        assert (one["n"], one["value"]) == (len(marks), pytest.approx(mean(marks), abs=1e-6))
        assert one["label"] in ("native language", "country of citizenship")
