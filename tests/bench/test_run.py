"""A whole run: it can be repeated, and goes on where it was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sake_registry.settings import AnswerSettings
from tests.bench.made_up import (
    Done,
    Runs,
    Telling,
    plain,
)


def test_two_runs_in_two_folders_are_equal_but_for_their_environment(
    done: Done, tmp_path: Path
) -> None:
    assert plain(done.runs(tmp_path)) == plain(done.result)
    assert done.runs.rows == done.rows


@pytest.mark.usefixtures("no_text_is_run")
def test_a_second_run_in_the_same_folder_runs_no_text_through_the_model(done: Done) -> None:
    assert plain(done.runs(done.work)) == plain(done.result)


def test_replies_under_the_guard_are_not_taken_for_those_without(
    done: Done, tmp_path: Path
) -> None:
    unguarded = done.runs.settings.model_copy(update={"answer": AnswerSettings(guard=False)})
    request = replace(done.runs.request, methods=("sake",), curves=())
    guarded, same, fresh = (Runs(request, s) for s in (done.runs.settings, unguarded, unguarded))
    assert guarded(tmp_path / "one")["methods"][0]["settings"]["answer"]["guard"] is True
    assert same(tmp_path / "one")["methods"][0]["settings"]["answer"]["guard"] is False
    fresh(tmp_path / "two")
    assert same.rows == fresh.rows
    assert same.rows != guarded.rows


def test_the_models_own_states_route_this_projects_method_and_the_embedder_the_published(
    done: Done, tmp_path: Path
) -> None:
    router = done.runs.settings.router.model_copy(
        update={
            "kind": "anchored",
            "representation": "middle",
            "metric": "cosine",
            "threshold": 1e-4,
        }
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
        done.runs(tmp_path, Telling(interrupt), methods=methods, curves=())
    result = done.runs(tmp_path, methods=methods, curves=())
    expected = [s for s in done.result["scores"] if s["method"] in methods]
    assert result["scores"] == expected


def test_the_working_folder_holds_an_ordinary_registry(done: Done) -> None:
    from sake_registry.edits.registry import open_registry

    (root,) = (done.work / "registries").iterdir()
    registry = open_registry(root).sound()
    assert {edit.id for edit in registry.edits} == {row["edit"] for row in done.rows}
