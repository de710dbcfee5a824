"""Reading a run strictly, and finding the right score for a side-by-side table."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from sake_bench.reports.tables import figure
from sake_bench.results import Estimate, Run
from sake_registry.errors import InputError
from sake_registry.pages.text import percent
from tests.bench.reports.example_run import asked_run, example_run, read, ripple_run


def test_a_weight_editing_method_stands_in_the_scope_that_it_corresponds_to() -> None:
    run = read(example_run())
    places = {
        scope: run.score("memit", scope, "acc", "first-token")
        for scope in ("given", "own-centre", "all-edits")
    }
    assert {scope: score and score.scope for scope, score in places.items()} == {
        "given": "alone",
        "own-centre": "alone",
        "all-edits": "together",
    }
    assert run.score("rome", "all-edits", "acc", "first-token") is None
    assert {
        score.scope for scope in places if (score := run.score("base", scope, "gen", "full-object"))
    } == {"none"}


def test_the_scopes_of_a_run_are_those_measured() -> None:
    assert read(example_run()).scopes() == ("given", "own-centre", "all-edits")
    assert read(ripple_run()).scopes() == ("all-edits",)
    run = example_run()
    run["scores"] = [s for s in run["scores"] if s["scope"] in ("alone", "none")]
    assert read(run).scopes() == ("given",)
    run["scores"] = [s for s in run["scores"] if s["scope"] == "none"]
    assert read(run).scopes() == ("given",)
    run["scores"] = []
    assert read(run).scopes() == ()


def test_conditions_are_told_apart_and_a_metric_without_any_is_found() -> None:
    run = read(ripple_run())
    applied = run.score("sake", "all-edits", "ci", "first-token")
    free = run.score("sake", "all-edits", "ci", "first-token", "not applied")
    assert applied is not None
    assert free is not None
    assert (applied.condition, free.condition) == ("applied", "not applied")
    assert read(example_run()).score("sake", "given", "collateral", "full-object")


def test_relations_of_the_unedited_model_stand_beside_the_others() -> None:
    groups = read(example_run()).relation_groups()
    assert [(scope, metric) for scope, _, metric, _ in groups] == [
        ("all-edits", "gen"),
        ("all-edits", "acc"),
    ]
    assert {r.method for r in groups[0][3]} == {"base", "sake", "sake-paper", "uniform"}
    run = example_run()
    run["relations"] += [r | {"scope": "together", "method": "memit"} for r in run["relations"]]
    run["relations"] += [r | {"scope": "alone", "method": "memit"} for r in run["relations"]]
    both = read(run).relation_groups()
    assert [scope for scope, *_ in both] == ["all-edits", "all-edits", "given", "given"]
    for _, _, _, found in both:
        assert len({(r.method, r.relation) for r in found}) == len(
            {(r.method, r.relation, r.scope) for r in found}
        )


def test_a_metric_that_one_protocol_knows_is_found_under_the_other() -> None:
    run = read(example_run())
    assert run.success_of("spec", "full-object") == "first-token"
    assert run.success_of("gen", "full-object") == "full-object"
    assert run.success_of("relapse", "full-object") == "full-object"
    assert run.score("sake", "given", "relapse", "full-object")


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(0.91, 1, "91.0"), (0.865, 0, "87"), (0.5, 0, "50"), (0.0005, 1, "0.1"), (1.0, 1, "100.0")],
)
def test_percent(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text


def test_a_figure_has_its_interval_and_what_is_missing_is_a_dash() -> None:
    assert figure(Estimate(value=0.91, low=0.86, high=0.95, n=200)) == "91.0 (86–95)"
    assert figure(Estimate(value=0.0, low=0.0, high=0.03, n=200)) == "0.0 (0–3)"
    assert figure(Estimate(value=0.91, low=None, high=None, n=1)) == "91.0"
    assert figure(Estimate(value=5.314, low=5.2, high=5.42, n=9), "bits") == "5.31 (5.20–5.42)"
    assert figure(Estimate(value=0.1, low=0.0, high=0.2, n=9), "bits") == "0.10 (0.00–0.20)"
    assert figure(Estimate(value=None, low=None, high=None, n=0)) == figure(None) == "–"


def _changed(path: list[Any], value: object) -> dict[str, Any]:
    run = copy.deepcopy(example_run())
    place: Any = run
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return run


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["schema"], "bench/2", "bench/2"),
        (["scores"], {}, "scores"),
        (["scores", 0, "value"], "0.9", "scores[0].value"),
        (["scores", 0, "value"], float("nan"), "scores[0].value"),
        (["scores", 0, "metric"], "accuracy", "scores[0].metric"),
        (["scores", 3, "n"], -1, "scores[3].n"),
        (["scores", 3, "n"], True, "scores[3].n"),
        (["methods", 1, "name"], None, "methods[1].name"),
        (["threshold_curves", 0, "points", 2, "gen"], [], "threshold_curves[0].points[2].gen"),
        (["prompt_curve", 0, "points", 0, "acc"], 1, "prompt_curve[0].points[0].acc"),
        (["projections", 1, "source", 5], [1.0], "projections[1].source[5]"),
        (["relations", 0, "metric"], "x", "relations[0].metric"),
        (["protocol", "given"], 3, "protocol.given"),
        (["data"], None, "data"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_that_names_its_place(
    path: list[Any], value: object, where: str
) -> None:
    with pytest.raises(InputError) as error:
        read(_changed(path, value))
    assert where in str(error.value)


def test_a_part_of_the_objects_never_stands_for_all_of_them_nor_all_for_a_part() -> None:
    run = read(asked_run())
    every = run.score("sake", "all-edits", "acc", "full-object")
    part = run.score("sake", "all-edits", "acc", "full-object", "several tokens")
    assert every is not None
    assert part is not None
    assert (every.n, part.n) == (100, 31)
    assert run.score("uniform", "all-edits", "acc", "full-object") is not None
    assert run.score("uniform", "all-edits", "acc", "full-object", "several tokens") is None


def test_a_run_is_written_as_it_was_read_and_its_schema_is_of_the_same_class() -> None:
    for made in (example_run(), ripple_run(), asked_run()):
        run = read(made)
        written = json.loads(json.dumps(run.model_dump(mode="json")))
        assert next(iter(written)) == "schema"
        for name in ("model", "protocol", "methods", "scores", "relations", "projections"):
            assert written[name] == made[name]
        assert Run.read(json.dumps(written)) == run
        jsonschema.validate(written, Run.model_json_schema())


def test_an_unknown_name_is_no_run() -> None:
    with pytest.raises(InputError, match=r"scores\[0\].more"):
        read(_changed(["scores", 0, "more"], 1))
    with pytest.raises(InputError, match="the run: JSON"):
        Run.read("{")
