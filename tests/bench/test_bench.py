"""Whole benchmark runs on made-up records and a tiny random model that says words."""

from __future__ import annotations

import copy
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from sake_bench import curves, lineup
from sake_bench import run as bench
from sake_bench.datasets.importing import to_edit
from sake_bench.datasets.reading import read_data
from sake_bench.datasets.records import DataSet
from sake_bench.intervals import estimate
from sake_bench.replies import Job, Speaker
from sake_bench.run import Progress, Request
from sake_registry import compile_registry
from sake_registry.asking.answers import greedy
from sake_registry.compiler import build
from sake_registry.errors import InputError
from sake_registry.models.reading import pad, pad_token
from sake_registry.settings import AnswerSettings, CompileSettings, RouterSettings, Settings
from tests import tiny_models
from tests.bench.datasets.entries import OFFICIAL, axis, counterfact, query, write_data

METHODS = ("base", "icl", "actadd", "uniform", "sake-paper", "sake")
ROUTED = ("given", "own-centre", "all-edits")
SAID = ("English", "France", "Australia")
SUBJECTS = [
    f"{first} {last}"
    for last in ("Holm", "Krog", "Lund")
    for first in ("Ada", "Bodil", "Carl", "Dagny", "Egil", "Frida")
]
OTHERS = [
    f"{first} {last}"
    for last in ("Moe", "Pihl", "Rask", "Sand", "Thue", "Vinje")
    for first in ("Gerd", "Harald", "Inger", "Jens", "Karen", "Leif")
]
RELATIONS = {
    "P103": ("The mother tongue of {} is", "At home {} always speaks", "{} was raised to speak"),
    "P27": ("{} has a passport of", "Officials list {} as born in", "The state of {} is"),
}


def fact(number: int) -> dict[str, Any]:
    """A CounterFact record that is made up; two relations, three objects."""
    relation = ("P103", "P27")[number % 2]
    prompt, *paraphrases = RELATIONS[relation]
    subject = SUBJECTS[number]
    old, new = SAID[number % 3], SAID[(number + 1 + number // 9) % 3]
    neighbours = [OTHERS[2 * number], OTHERS[2 * number + 1]]
    return counterfact(
        case_id=number,
        prompt=prompt,
        relation_id=relation,
        target_new={"str": new, "id": "Q1"},
        target_true={"str": old, "id": "Q2"},
        subject=subject,
    ) | {
        "paraphrase_prompts": [text.format(subject) for text in paraphrases],
        # A neighbour of every record is the subject of another one.
        "neighborhood_prompts": [
            *(prompt.format(other) for other in neighbours),
            prompt.format(SUBJECTS[(number + 2) % len(SUBJECTS)]),
        ],
    }


# Like the published ones: they do not end in the prompt.
DOUBTS = {
    "SAKE_D1": "{prompt} {target_new}? No, the answer to '{prompt}' is something else, namely",
    "SAKE_D2": "{prompt} {target_new}? But {prompt} {target_true}. The right answer is",
}
FACTS = [fact(number) for number in range(len(SUBJECTS))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model that says one of a few words next, most of the time."""
    folder = tmp_path_factory.mktemp("model") / "tiny-llama"
    made, words = tiny_models.make("llama"), tiny_models.tokenizer()
    with torch.no_grad():
        made.get_output_embeddings().weight[
            [words(f" {word}").input_ids[0] for word in SAID]
        ] *= 5  # fmt: skip
    made.save_pretrained(folder)
    talking = copy.deepcopy(words)
    talking.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    talking.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random embedder: texts that share words are near each other."""
    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    words = tiny_models.tokenizer()
    config = BertConfig(
        vocab_size=len(words), hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    made = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        made.encoder.layer[-1].output.LayerNorm.weight.mul_(4)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def settings(model: Path, embedder: Path) -> Settings:
    return Settings(
        model=str(model),
        dtype="float32",
        compile=CompileSettings(prompts=12, keep_failed=True, targets=["twice"]),
        router=RouterSettings(embedder=str(embedder)),
    )


@dataclass
class Runs:
    """Runs of one request, each with its rows."""

    request: Request
    settings: Settings
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, work: Path, progress: Progress | None = None, **changes: Any) -> Any:
        """A run in a working folder."""
        self.rows = []
        request = replace(self.request, work=work, **changes)
        return bench.run(request, self.settings, progress=progress, rows=self.rows.append)


@dataclass(frozen=True)
class Done:
    """A run, its rows, and what it was of."""

    runs: Runs
    work: Path
    result: dict[str, Any]
    rows: list[dict[str, Any]]

    def score(self, method: str, scope: str, metric: str, *rest: str | None) -> dict[str, Any]:
        success, condition = (*rest, None, None)[:2]
        wanted = (method, scope, metric, success, condition)
        (found,) = (s for s in self.result["scores"] if key(s) == wanted)
        return dict(found)

    def of(self, method: str, scope: str, *axes: str) -> list[dict[str, Any]]:
        return [
            row for row in self.rows
            if (row["method"], row["scope"]) == (method, scope) and row["axis"] in axes
        ]  # fmt: skip


def key(score: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(score[name] for name in ("method", "scope", "metric", "success", "condition"))


def values(rows: list[dict[str, Any]], of: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """An estimate over rows, as a score has it."""
    by_edit: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if of(row) is not None:
            by_edit[row["edit"]].append(float(of(row)))
    return vars(estimate(by_edit))


OLD = {f"cf-{n}-{SUBJECTS[n].lower().replace(' ', '-')}": SAID[n % 3] for n in range(len(SUBJECTS))}


def close(score: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {name: score[name] for name in expected} == expected


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Runs:
    path = write_data(tmp_path_factory.mktemp("data"), *FACTS)
    doubts = [{"id": name, "template": template} for name, template in DOUBTS.items()]
    (path.parent / "doubt_templates.json").write_text(json.dumps({"templates": doubts}))
    request = Request(
        data=read_data(path), file=path, methods=METHODS, work=path.parent, limit=6,
        curves=("threshold", "prompts"),
    )  # fmt: skip
    return Runs(request, settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> Done:
    work = tmp_path_factory.mktemp("work")
    result = runs(work)
    return Done(runs, work, result, runs.rows)


def plain(result: dict[str, Any]) -> str:
    """A run as JSON, but for what is of the moment."""
    assert set(result["environment"]) >= {"date", "seconds", "versions"}
    return json.dumps({k: v for k, v in result.items() if k != "environment"})


# -- CounterFact ---------------------------------------------------------------------------------


def test_two_runs_in_two_folders_are_equal_but_for_their_environment(
    done: Done, tmp_path: Path
) -> None:
    assert plain(done.runs(tmp_path)) == plain(done.result)
    assert done.runs.rows == done.rows


@pytest.fixture
def no_text_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs a text through the model fails (attaching proves itself all the same)."""

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a text is run")

    for owner, name in ((Speaker, "_run"), (build, "collect"), (lineup, "read_last")):
        assert callable(getattr(owner, name))
        monkeypatch.setattr(owner, name, fail)


@pytest.mark.usefixtures("no_text_is_run")
def test_a_second_run_in_the_same_folder_runs_no_text_through_the_model(done: Done) -> None:
    assert plain(done.runs(done.work)) == plain(done.result)


def test_replies_under_the_guard_are_not_taken_for_those_without(
    done: Done, tmp_path: Path
) -> None:
    unguarded = done.runs.settings.model_copy(update={"answer": AnswerSettings(guard=False)})
    request = replace(done.runs.request, methods=("sake",), curves=())
    guarded, same, fresh = (Runs(request, s) for s in (done.runs.settings, unguarded, unguarded))
    assert guarded(tmp_path / "one")["methods"][0]["settings"]["answer"] == {"guard": True}
    assert same(tmp_path / "one")["methods"][0]["settings"]["answer"] == {"guard": False}
    fresh(tmp_path / "two")
    assert same.rows == fresh.rows
    assert same.rows != guarded.rows


def test_the_models_own_states_route_this_projects_method_and_the_embedder_the_published(
    done: Done, tmp_path: Path
) -> None:
    router = done.runs.settings.router.model_copy(
        update={"representation": "middle", "metric": "cosine", "threshold": 1e-4}
    )
    own = Runs(
        replace(done.runs.request, methods=("sake", "sake-paper"), curves=("threshold", "loads")),
        done.runs.settings.model_copy(update={"router": router}),
    )
    result = own(tmp_path)
    routers = {m["name"]: m["settings"]["router"] for m in result["methods"]}
    assert routers["sake"]["representation"] == "middle"
    assert "representation" not in routers["sake-paper"]
    # The records' own prompts come back to where they were compiled, whatever else is loaded.
    found = Done(own, tmp_path, result, own.rows).of("sake", "all-edits", "acc")
    assert len(found) == 6
    assert all(row["fired"] == row["edit"] for row in found)
    assert {c["method"] for c in result["load_curves"]} == {"sake", "sake-paper"}


@pytest.mark.parametrize("after", [30, 250])
def test_an_interrupted_run_goes_on_to_what_an_undisturbed_one_gives(
    done: Done, tmp_path: Path, after: int
) -> None:
    had = 0

    def interrupt(n: int) -> None:
        nonlocal had
        had += n
        if had >= after:
            raise KeyboardInterrupt

    methods = ("base", "sake-paper")
    with pytest.raises(KeyboardInterrupt):
        done.runs(tmp_path, Progress(advance=interrupt), methods=methods, curves=())
    result = done.runs(tmp_path, methods=methods, curves=())
    expected = [s for s in done.result["scores"] if s["method"] in methods]
    assert result["scores"] == expected


def test_every_method_is_measured_under_its_scopes(done: Done) -> None:
    found = {(s["method"], s["scope"]) for s in done.result["scores"]}
    assert found == {("base", "none")} | {(m, s) for m in METHODS[1:] for s in ROUTED}
    metrics = {s["metric"] for s in done.result["scores"]}
    assert metrics == {
        "acc", "gen", "di", "dii", "spec", "unchanged", "relapse", "collateral", "fluency"
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


def relapsed(row: dict[str, Any]) -> bool:
    return OLD[row["edit"]] in re.split(r"\W+", row["after"])


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
    replies = Speaker.replies

    def listen(self: Speaker, jobs: Iterable[Job], *rest: Any, **options: Any) -> Any:
        asked.extend(jobs := list(jobs))
        return replies(self, jobs, *rest, **options)

    monkeypatch.setattr(Speaker, "replies", listen)
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


def test_the_working_folder_holds_an_ordinary_registry(done: Done) -> None:
    from sake_registry.edits.registry import open_registry

    (root,) = (done.work / "registries").iterdir()
    registry = open_registry(root).sound()
    assert {edit.id for edit in registry.edits} == {row["edit"] for row in done.rows}


# -- what is asked only when it is asked for ------------------------------------------------------


@pytest.fixture(scope="module")
def questioned(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> Done:
    """A run on all records, in which every edit is scored."""
    work = tmp_path_factory.mktemp("work")
    mine = Runs(runs.request, runs.settings)
    result = mine(
        work, limit=None, threshold=5.0, methods=("base", "sake", "sake-paper"),
        curves=("loads",), questions=True,
    )  # fmt: skip
    return Done(mine, work, result, mine.rows)


def test_questions_are_asked_of_every_method_plainly_and_in_a_chat(questioned: Done) -> None:
    assert questioned.result["data"]["left_out"] == []
    for method, scopes in (("base", ("none",)), ("sake", ROUTED), ("sake-paper", ROUTED)):
        for scope in scopes:
            plainly_ = questioned.of(method, scope, "question")
            chats = questioned.of(method, scope, "chat")
            assert len(plainly_) == len(chats) == 2 * len(FACTS)
            for row, chat in zip(plainly_, chats, strict=True):
                assert chat["prompt"] == f"[user] {row['prompt']}\n"
            for axis_, rows in (("question", plainly_), ("chat", chats)):
                score = questioned.score(method, scope, axis_)
                assert close(score, values(rows, lambda row: row["full"]))
                old = questioned.score(method, scope, f"{axis_}-old")
                assert close(old, values(rows, relapsed))
                new = questioned.score(method, scope, f"{axis_}-new")
                assert score["value"] <= min(new["value"], 1 - old["value"] + 1e-6)


def test_other_relations_count_as_left_alone_where_nothing_fires(questioned: Done) -> None:
    rows = questioned.of("sake", "all-edits", "other-relation")
    assert len(rows) == len(FACTS)  # the data have two relations: one is the other one
    for row in rows:
        assert row["full"] == (row["fired"] is None)
        number = int(row["edit"].split("-")[1])
        templates = RELATIONS[("P27", "P103")[number % 2]]
        assert row["prompt"] in {text.format(SUBJECTS[number]) for text in templates}
    score = questioned.score("sake", "all-edits", "other-relation")
    assert close(score, values(rows, lambda row: row["full"]))
    assert questioned.score("base", "none", "other-relation")["value"] == 1
    metrics = {s["metric"] for s in questioned.result["scores"] if s["scope"] == "given"}
    assert "other-relation" not in metrics
    given = questioned.of("sake", "given", "other-relation")
    assert {row["fired"] for row in given} == {None}


def test_more_questions_change_no_other_score(questioned: Done, tmp_path: Path) -> None:
    more = ("question", "chat", "other")
    expected = [
        s for s in questioned.result["scores"]
        if s["method"] == "base" and not s["metric"].startswith(more)
    ]  # fmt: skip
    result = questioned.runs(tmp_path, limit=None, methods=("base",), curves=())
    assert result["scores"] == expected


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

    def listen(lab: Any, steering: Any, tests: Any, scored: Any, others: Any) -> Any:
        seen.update(others or steering.entries)
        return loads(lab, steering, tests, scored, others)

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


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"methods": ("base", "sakee")}, "no method 'sakee'", "sake-paper"),
        ({"project": ("nobody",)}, "no edit 'nobody' in this run", "--project"),
        ({"methods": ("base",), "project": ("nobody",)}, "no edit 'nobody'", "--project"),
        ({"limit": 9}, "too few records", "--calibrate-on"),
        ({"limit": None}, "too few records", "--threshold"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_run(
    runs: Runs, tmp_path: Path, changes: dict[str, Any], message: str, hint: str,
    no_text_is_run: None,
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=message) as raised:
        runs(tmp_path, **changes)
    assert hint in str(raised.value.hint)


@pytest.mark.usefixtures("no_text_is_run")
def test_records_without_neighbours_set_no_threshold(runs: Runs, tmp_path: Path) -> None:
    lonely = tuple(
        replace(r, tests=tuple(t for t in r.tests if t.axis != "neighbourhood"))
        for r in runs.request.data.records
    )
    with pytest.raises(InputError, match="set a threshold on"):
        runs(tmp_path, data=replace(runs.request.data, records=lonely))


@pytest.mark.usefixtures("no_text_is_run")
def test_no_records_are_nothing_to_measure(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no records to measure on"):
        runs(tmp_path, data=replace(runs.request.data, records=()))


@pytest.mark.usefixtures("no_text_is_run")
def test_a_compiled_prompt_that_meets_a_test_is_refused(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(record: Any, data: DataSet, aliases: Any) -> Any:
        edit = to_edit(record, data)
        (test, *_) = record.of("gen")
        stem = f"By the way. {test.query.prompt}".replace(record.subject, "<subject>")
        return edit.model_copy(
            update={"prompts": (*edit.prompts, edit.prompts[0].model_copy(update={"text": stem}))}
        )

    monkeypatch.setattr(bench, "to_edit", careless)
    with pytest.raises(InputError, match=r"By the way.*meets the test") as raised:
        runs(tmp_path)
    assert "never compiles what it tests" in str(raised.value.hint)


def test_a_test_that_the_own_prompt_meets_is_left_out_and_counted(
    runs: Runs, tmp_path: Path
) -> None:
    first, *others = runs.request.data.records
    (gen, *_) = first.of("gen")
    met = replace(gen, query=replace(gen.query, prompt=f"So. {first.filled.upper()}"))
    records = (replace(first, tests=(*first.tests, met)), *others)
    data = replace(runs.request.data, records=records)
    result = runs(tmp_path, data=data, limit=None, methods=("base",), curves=())
    plain_ = runs(tmp_path, limit=None, methods=("base",), curves=())
    assert result["data"]["held_in"] == plain_["data"]["held_in"] + 1
    assert result["scores"] == plain_["scores"]


# -- RippleEdits ---------------------------------------------------------------------------------

COUNTRY = "The name of the country of citizenship of {} is"
CURRENCY = "The name of the currency in the country of citizenship of {} is"


def said(model: Path, prompts: list[str]) -> dict[str, str]:
    """What the unedited model says to prompts."""
    words = tiny_models.tokenizer()
    rows = [words(prompt).input_ids for prompt in prompts]
    ids, mask = pad(rows, pad_token(words), left=True)
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    out = loaded.generate(input_ids=ids, attention_mask=mask, **greedy(10, words))
    texts = words.batch_decode(out[:, ids.shape[1] :])
    return dict(zip(prompts, texts, strict=True))


def ripple(number: int, knows: Iterator[tuple[str, str]], fails: Iterator[str]) -> dict[str, Any]:
    """A record of four axes: conditions that the model meets, or not, or of which there are none.

    Args:
        knows: prompts and what the model says to them.
        fails: prompts to which it says something else than "Atlantis".
    """
    subject, (old, new) = SUBJECTS[number], (SAID[number % 3], SAID[(number + 1) % 3])

    def known() -> dict[str, Any]:
        prompt, answer = next(knows)
        return query(prompt, (answer,))

    def unknown() -> dict[str, Any]:
        return query(next(fails), ("Atlantis",))

    edit = json.loads(json.dumps(OFFICIAL["edit"]))
    edit["prompt"] = f"{COUNTRY.format(subject)} {new}."
    edit["original_fact"]["prompt"] = f"{COUNTRY.format(subject)} {old}."
    return {
        "example_type": "popular",
        "edit": edit,
        "Relation_Specificity": [
            axis(query(f"The gender of {subject} is", ("English",)), conditions=[known()]),
            axis(query(f"The aunt of {subject} is", ("English",)), conditions=[unknown()]),
            axis(query(f"The uncle of {subject} is", ("France",)), conditions=[known(), unknown()]),
            axis(query(f"The niece of {subject} is", ("France",))),
        ],
        "Subject_Aliasing": [
            axis(query(COUNTRY.format(f"Professor {subject[0]}. {subject}"), (new, "Utopia"))),
        ],
        "Compositionality_I": [
            axis(query(CURRENCY.format(subject), ("English",)), conditions=[known()]),
        ],
        "Logical_Generalization": [
            axis(query(f"{subject} votes in", (new,)), conditions=None),
        ],
    }  # fmt: skip


APPLIED = {"The gender of", "The niece of"}


@pytest.fixture(scope="module")
def rippled(tmp_path_factory: pytest.TempPathFactory, model: Path, settings: Settings) -> Done:
    texts = said(
        model,
        [
            f"The home of {first} {last} is"
            for first in ("Nora", "Olaf", "Petra", "Rolf", "Signe", "Tora")
            for last in ("Berg", "Dahl", "Foss", "Hagen", "Lie", *SUBJECTS)
        ],
    )
    known = [
        (prompt, text.split()[0]) for prompt, text in texts.items()
        if text.startswith(tuple(f" {word} " for word in SAID))
    ]  # fmt: skip
    knows, fails = iter(known), iter(list(texts))
    entries = [ripple(number, knows, fails) for number in range(6)]
    path = write_data(tmp_path_factory.mktemp("data"), *entries)
    request = Request(
        data=read_data(path), file=path, methods=("base", "sake-paper", "uniform", "sake"),
        work=path.parent, threshold=5.0,
    )  # fmt: skip
    work = tmp_path_factory.mktemp("work")
    runs = Runs(request, settings)
    result = runs(work)
    return Done(runs, work, result, runs.rows)


SCOPES = (
    ("base", "none"),
    *((m, s) for m in ("sake-paper", "uniform", "sake") for s in ROUTED),
)
RIPPLE = ("rs", "sa", "ci", "lg")


def test_conditions_that_the_model_fails_are_not_applied(rippled: Done) -> None:
    for method, scope in SCOPES:
        rows = rippled.of(method, scope, "rs")
        assert len(rows) == 24
        fair = [row for row in rows if row["prompt"][:13] in APPLIED or
                row["prompt"].startswith(tuple(APPLIED))]  # fmt: skip
        assert len(fair) == 12
        for success, mark in (("first-token", "first"), ("full-object", "full")):
            every = rippled.score(method, scope, "rs", success, "not applied")
            applied = rippled.score(method, scope, "rs", success, "applied")
            assert close(every, values(rows, lambda row, mark=mark: row[mark]))
            assert close(applied, values(fair, lambda row, mark=mark: row[mark]))


def test_the_condition_of_an_aliasing_test_is_that_the_edit_holds(rippled: Done) -> None:
    for method, scope in SCOPES:
        for success, mark in (("first-token", "first"), ("full-object", "full")):
            holds = {row["edit"]: row[mark] for row in rippled.of(method, scope, "acc")}
            rows = rippled.of(method, scope, "sa")
            fair = [row for row in rows if holds[row["edit"]]]
            applied = rippled.score(method, scope, "sa", success, "applied")
            assert close(applied, values(fair, lambda row, mark=mark: row[mark]))


def test_no_more_tests_are_fair_than_there_are(rippled: Done) -> None:
    for method, scope in SCOPES:
        for metric in RIPPLE:
            for success in ("first-token", "full-object"):
                every = rippled.score(method, scope, metric, success, "not applied")
                applied = rippled.score(method, scope, metric, success, "applied")
                assert applied["n"] <= every["n"] == len(rippled.of(method, scope, metric))


def test_where_the_data_name_no_conditions_nothing_is_applied(rippled: Done) -> None:
    """An axis with null conditions is scored, and its fair tests are none."""
    applied = rippled.score("sake", "given", "lg", "first-token", "applied")
    assert (applied["n"], applied["value"]) == (0, None)


def test_tests_that_ask_for_nothing_are_fair_without_any_condition_in_the_data(
    rippled: Done, tmp_path: Path
) -> None:
    data = rippled.runs.request.data
    bare = tuple(
        replace(r, tests=tuple(replace(t, conditions=t.conditions and ()) for t in r.tests))
        for r in data.records
    )
    result = rippled.runs(tmp_path, data=replace(data, records=bare), methods=("base",))
    counts = {
        (s["metric"], s["condition"]): s["n"] for s in result["scores"]
        if s["success"] == "full-object" and s["metric"] in ("rs", "ci", "lg")
    }  # fmt: skip
    assert counts["rs", "applied"] == counts["rs", "not applied"] == 24
    assert counts["ci", "applied"] == counts["ci", "not applied"] == 6
    assert counts["lg", "applied"] == 0


def test_every_second_alias_is_in_the_file_and_scored_apart(rippled: Done, tmp_path: Path) -> None:
    entries = [json.loads(json.dumps(e)) for e in json.loads(rippled.runs.request.file.read_text())]
    for entry, subject in zip(entries, SUBJECTS, strict=False):
        (test,) = entry["Subject_Aliasing"]
        (asked,) = test["test_queries"]
        test["test_queries"] = [
            {**asked, "prompt": COUNTRY.format(f"{title} {subject}")}
            for title in ("Herr", "Bishop", "Skipper")
        ]
    path = write_data(tmp_path / "data", *entries)
    result = rippled.runs(
        tmp_path / "work", data=read_data(path), file=path, methods=("base", "sake"),
        aliases="half",
    )  # fmt: skip
    assert result["data"]["aliases"] == "half"
    (root,) = (tmp_path / "work" / "registries").iterdir()
    from sake_registry.edits.registry import open_registry

    for edit in open_registry(root).sound().edits:
        assert edit.fact.subject.aliases == tuple(
            f"{t} {edit.subject}" for t in ("Herr", "Skipper")
        )
    found = {key(s): s["n"] for s in result["scores"]}
    for condition in ("applied", "not applied"):
        of = [
            found["sake", "all-edits", metric, "full-object", condition]
            for metric in ("sa", "sa-listed", "sa-unlisted")
        ]
        assert of[0] == of[1] + of[2]
        assert of[1] == 2 * of[2]
    assert found["sake", "all-edits", "sa-listed", "full-object", "not applied"] == 12
    assert {s["metric"] for s in rippled.result["scores"]} & {"sa-listed", "sa-unlisted"} == set()


def test_new_names_of_an_aliasing_test_are_accepted(rippled: Done) -> None:
    for row in rippled.of("sake", "given", "acc"):
        assert row["first"] is not None
        assert row["full"] == row["after"].split()[0].startswith(row["expected"][0])
        assert row["expected"][1] == "Utopia"


def test_stated_implications_are_of_sake_and_implied_ones_of_the_published_method(
    rippled: Done,
) -> None:
    assert "taken from the records' tests" in rippled.result["data"]["implications"]
    edits = [to_edit(r, rippled.runs.request.data) for r in rippled.runs.request.data.records]
    for edit in edits:
        (implication,) = edit.implications
        assert (
            implication.prompt
            == "The name of the currency in <subject>'s country of citizenship is"
        )
    texts = {
        method: [row["after"] for row in rippled.of(method, "given", "acc", *RIPPLE)]
        for method in ("sake-paper", "sake")
    }
    assert texts["sake-paper"] != texts["sake"]


@pytest.mark.usefixtures("no_text_is_run")
def test_a_second_run_with_implications_runs_no_text_either(rippled: Done) -> None:
    assert plain(rippled.runs(rippled.work)) == plain(rippled.result)


def test_an_edits_replies_do_not_depend_on_what_was_measured_before(
    rippled: Done, tmp_path: Path
) -> None:
    """What a run of more edits left in the working folder changes nothing."""
    changes: dict[str, Any] = {"limit": 3, "methods": ("base", "sake-paper")}
    assert plain(rippled.runs(rippled.work, **changes)) == plain(rippled.runs(tmp_path, **changes))


def test_the_benchmark_compiles_what_a_user_would(rippled: Done) -> None:
    """The registry of the working folder, compiled by itself: nothing is left to build."""
    from sake_registry.edits.registry import open_registry

    (root,) = {p for p in (rippled.work / "registries").iterdir() if len(list(
        (p / "edits").glob("*.yaml"))) == 6}  # fmt: skip
    store = str(rippled.work / "store")
    settings = rippled.runs.settings.model_copy(update={"store": store})
    compiled = compile_registry(replace(open_registry(root).sound(), settings=settings))
    assert (compiled.texts_run, compiled.built) == (0, [])
