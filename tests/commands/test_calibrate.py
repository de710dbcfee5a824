"""`sake calibrate` as a user runs it, with the real prompt embedder: the rate is kept."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sake_registry.asking.calibrating import UNBOUND
from sake_registry.commands import calibrate
from sake_registry.commands.console import State
from sake_registry.edits.registry import open_registry
from sake_registry.errors import InputError
from sake_registry.settings import load_settings
from sake_registry.store import Store

TONGUE = """\
schema: 1
fact: {{subject: {subject}, relation: mother tongue, old: {old}, new: {new}}}
prompts:
  - The mother tongue of <subject> is
  - <subject> is a native speaker of
  - The native language of <subject> is
holdout:
  - <subject>, a native
  - The first language <subject> learned was
implications:
  - prompt: <subject> sang lullabies in
    new: {new}
  - prompt: As a child, <subject> dreamt in
    new: {new}
unchanged:
  - <subject> was born in
"""
CAPITAL = """\
schema: 1
fact: {subject: Australia, relation: capital, old: Sydney, new: Canberra}
prompts:
  - The capital of <subject> is
  - The seat of government of <subject> is
holdout:
  - <subject>'s capital city is
"""
TOML = """\
# ours
store = ".sake/store"

[router]  # how
kind = "anchored"
threshold = 9
"""


def run(*arguments: str, folder: Path) -> Result:
    return CliRunner().invoke(calibrate.command, arguments, obj=State(folder))


def as_json(*arguments: str, folder: Path) -> dict[str, Any]:
    done = run(*arguments, "--json", folder=folder)
    assert done.exit_code == 0, done.output
    value: dict[str, Any] = json.loads(done.stdout)
    assert value["schema"] == "calibrate/1"
    return value


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for all these tests: it keeps the metric, which takes seconds to learn."""
    return tmp_path_factory.mktemp("calibrating") / "store"


@pytest.fixture
def here(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three edits, and a threshold that is far too large."""
    monkeypatch.setenv("SAKE_STORE", str(store))
    (tmp_path / "sake.toml").write_text(TOML)
    edits = tmp_path / "edits"
    edits.mkdir()
    tolstoy = TONGUE.format(subject="Leo Tolstoy", old="Russian", new="Polish")
    (edits / "tolstoy.yaml").write_text(tolstoy)
    darrieux = TONGUE.format(subject="Danielle Darrieux", old="French", new="English")
    (edits / "darrieux.yaml").write_text(darrieux)
    (edits / "australia.yaml").write_text(CAPITAL)
    return tmp_path


def test_the_rate_is_kept_and_what_it_costs_is_said(here: Path) -> None:
    value = as_json("--rate", "0.05", folder=here)
    bound = value["threshold"]
    assert bound["present"] == 9
    assert bound["chosen"] < 9
    assert bound["false_fires"][0] > 0.05 >= bound["false_fires"][1]
    assert bound["served"][0] >= bound["served"][1] > 0
    kinds = {measure["label"]: measure for measure in bound["out_of_scope"]}
    assert len(kinds) == 5
    mean = sum(measure["chosen"] for measure in kinds.values()) / len(kinds)
    assert mean == pytest.approx(bound["false_fires"][1])
    assert [(m["label"], m["n"]) for m in bound["in_scope"]] == [
        ("holdout prompts", 5), ("own prompts, each left out in turn", 8),
    ]  # fmt: skip
    assert bound["unchanged"]["n"] == 2
    implied = value["implied_threshold"]
    assert [measure["n"] for measure in implied["in_scope"]] == [4]
    assert implied["false_fires"][1] <= 0.05


def test_the_curve_is_stored_and_given(here: Path, store: Path) -> None:
    value = as_json(folder=here)
    stored = Path(value["stored"])
    assert stored.is_file()
    found = Store(store).get("calibration", stored.stem)
    assert found is not None
    tensors, note = found
    assert note == {
        "rate": 0.02, "threshold": value["threshold"]["chosen"],
        "implied_threshold": value["implied_threshold"]["chosen"],
    }  # fmt: skip
    for name in ("threshold", "implied_threshold"):
        curve = value[name]["curve"]
        for column, values in curve.items():
            assert tensors[f"{name}.{column}"].tolist() == pytest.approx(values)
        assert curve["threshold"] == sorted(curve["threshold"])
        for column in ("served", "false_fires"):
            assert curve[column] == sorted(curve[column])
            assert all(0 <= share <= 1 for share in curve[column])
        assert max(curve["threshold"]) < UNBOUND


def test_what_is_written_is_what_it_then_finds(here: Path, store: Path) -> None:
    first = as_json("--rate", "0.05", "--write", folder=here)
    chosen = first["threshold"]["chosen"], first["implied_threshold"]["chosen"]
    ours = TOML
    written = ours.replace("threshold = 9", f"threshold = {chosen[0]}")
    implied = f"# how\nimplied_threshold = {chosen[1]}\n"
    assert (here / "sake.toml").read_text() == written.replace("# how\n", implied)
    router = load_settings(here).router
    assert (router.threshold, router.implied_threshold) == chosen
    second = as_json("--rate", "0.05", folder=here)
    for name in ("threshold", "implied_threshold"):
        assert second[name]["present"] == second[name]["chosen"] == first[name]["chosen"]
        for sides in ("in_scope", "out_of_scope"):
            assert [m["chosen"] for m in second[name][sides]] == [
                m["chosen"] for m in first[name][sides]
            ]


def test_a_larger_rate_serves_no_less(here: Path) -> None:
    rates = [as_json("--rate", rate, folder=here)["threshold"] for rate in ("0", "0.1", "0.5")]
    for less, more in pairwise(rates):
        assert less["chosen"] <= more["chosen"]
        assert less["served"][1] <= more["served"][1]
    assert rates[0]["false_fires"][1] == 0


def test_in_words(here: Path) -> None:
    done = run("--rate", "0.05", folder=here)
    assert done.exit_code == 0
    assert "threshold: 9 now, " in done.stdout
    assert "holdout prompts" in done.stdout
    assert "in scope and served: " in done.stdout
    assert "false fires, the mean of their kinds: " in done.stdout
    assert "unchanged prompts" in done.stdout


def test_an_edit_with_a_threshold_of_its_own_is_left_out(here: Path) -> None:
    path = here / "edits" / "australia.yaml"
    path.write_text(CAPITAL + "scope:\n  threshold: 3\n")
    value = as_json(folder=here)
    assert value["left_out"] == ["australia"]
    assert [measure["n"] for measure in value["threshold"]["in_scope"]] == [4, 6]
    assert "australia" in run(folder=here).stderr


def test_without_implications_of_two_wordings_their_bound_is_left_alone(here: Path) -> None:
    for path in (here / "edits").iterdir():
        text = path.read_text()
        path.write_text(text.partition("implications:")[0])
    value = as_json("--write", folder=here)
    assert value["implied_threshold"] is None
    assert load_settings(here).router.implied_threshold is None


def test_without_edits_there_is_nothing_to_calibrate(here: Path) -> None:
    for path in (here / "edits").iterdir():
        path.unlink()
    done = run(folder=here)
    assert isinstance(done.exception, InputError)
    assert "no active edit" in str(done.exception)


def test_an_inline_table_is_written_as_it_stands(here: Path) -> None:
    text = 'router = {kind = "anchored", threshold = 9.0}  # how far\n'
    (here / "sake.toml").write_text(text)
    chosen = json.loads(run("--write", "--json", folder=here).stdout)["threshold"]["chosen"]
    written = (here / "sake.toml").read_text()
    assert written.startswith(text.partition("9.0")[0] + repr(chosen))
    assert written.endswith(text.partition("9.0")[2])
    assert load_settings(here).router.threshold == chosen


def test_a_variable_that_beats_what_was_written_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAKE_ROUTER_THRESHOLD", "8")
    done = run("--write", folder=here)
    assert done.exit_code == 0
    assert "SAKE_ROUTER_THRESHOLD is set and beats what was written" in done.stderr


@pytest.mark.parametrize("setting", ['kind = "anchored"\nmetric = "euclidean"', 'kind = "centre"'])
def test_every_router_can_be_calibrated(here: Path, setting: str) -> None:
    (here / "sake.toml").write_text(f"[router]\n{setting}\n[compile]\nprompts = 6\n")
    bound = as_json("--rate", "0.1", folder=here)["threshold"]
    assert bound["false_fires"][1] <= 0.1
    assert math.isfinite(bound["chosen"])
    assert bound["served"][1] > 0.5 or setting == 'kind = "centre"'
    assert len(open_registry(here).active) == 3
