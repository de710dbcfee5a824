"""Whole runs on records of RippleEdits: conditions, aliases, implications."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from sake_bench.datasets.importing import to_edit
from sake_bench.datasets.reading import read_data
from sake_bench.factory import Request
from sake_registry import compile_registry
from sake_registry.models.reading import pad, pad_token
from sake_registry.runtime.generation import greedy
from sake_registry.settings import Settings
from tests import tiny_models
from tests.bench.datasets.entries import OFFICIAL, axis, query, write_data
from tests.bench.made_up import (
    ROUTED,
    SAID,
    SUBJECTS,
    Done,
    Runs,
    close,
    key,
    plain,
    values,
)

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
        assert edit.fact.subject.all[1:] == tuple(
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
    settings = rippled.runs.settings.given(store=store)
    compiled = compile_registry(replace(open_registry(root).sound(), settings=settings))
    assert (compiled.texts_run, compiled.built) == (0, [])
