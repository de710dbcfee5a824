"""What cannot be measured is refused before a text is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sake_bench import run as bench
from sake_bench.datasets.importing import to_edit
from sake_bench.datasets.records import DataSet
from sake_registry.errors import InputError
from tests.bench.made_up import (
    Runs,
)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"methods": ("base", "sakee")}, "no method 'sakee'", "sake-paper"),
        ({"project": ("nobody",)}, "no edit 'nobody' in this run", "`project`"),
        ({"methods": ("base",), "project": ("nobody",)}, "no edit 'nobody'", "`project`"),
        ({"limit": 9}, "too few records", "`calibrate_on`"),
        ({"limit": None}, "too few records", "`threshold`"),
        ({"methods": ("base",), "curves": ("scale",)}, "'scale' is of the method sake", "sake"),
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


@pytest.mark.usefixtures("no_text_is_run")
@pytest.mark.parametrize("asked", [{"fill": 9}, {"curves": ("scale",)}])
def test_edits_are_not_made_up_for_a_router_that_knows_no_names(
    runs: Runs, tmp_path: Path, asked: dict[str, Any]
) -> None:
    router = runs.settings.router.model_copy(update={"kind": "centre", "threshold": 5.0})
    nameless = Runs(runs.request, runs.settings.model_copy(update={"router": router}))
    with pytest.raises(InputError, match="'centre' knows no names"):
        nameless(tmp_path, **asked)
