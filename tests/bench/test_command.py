"""`sake bench`: streams, files, and what is refused before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sake_bench.commands.bench import uncalibrated
from sake_registry import commands
from sake_registry.settings import load_settings
from tests import tiny_models
from tests.bench.datasets.entries import OFFICIAL, counterfact, write_data
from tests.bench.made_up import FACTS
from tests.workshop import SETTINGS

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, embedder: Path) -> Path:
    """A folder with `sake.toml`, a tiny model, and data: 8 records, of which 4 are measured."""
    root = tmp_path_factory.mktemp("registry")
    model = tiny_models.save("llama", root / "tiny-llama")
    settings = SETTINGS.format(model=model, dtype="float32")
    embedded = f'[router]\nembedder = "{embedder}"'
    (root / "sake.toml").write_text(settings.replace("[router]", embedded))
    write_data(root / "facts", *FACTS[:8])
    return root


@pytest.fixture
def main(folder: Path, capsys: pytest.CaptureFixture[str]) -> Main:
    """Run `sake bench` on the data in this process: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        given = list(arguments)
        if "--data" not in given:
            given += ["--data", str(folder / "facts" / "data.json")]
        try:
            commands.main(
                ["-C", str(folder), "bench", "run", *given, "--work", str(folder / "work")]
            )
        except SystemExit as left:
            code = left.code
        else:
            code = 0
        shown = capsys.readouterr()
        return int(code or 0), shown.out, shown.err

    return run


MEASURED = (
    "--set", "limit=4", "--set", "threshold=5", "--set", "methods=base,sake-paper,sake",
)  # fmt: skip


def test_it_prints_tables_and_says_on_the_other_stream_how_far_it_is(main: Main) -> None:
    code, out, err = main(*MEASURED)
    assert code == 0, err
    assert "| " in out
    assert out.startswith("#")
    for name in ("base", "sake-paper", "sake"):
        assert name in out
        assert f"asking {name}" in err
        assert f"asking {name}" not in out
    assert "\x1b" not in out + err
    assert "Traceback" not in err


def test_json_is_one_object_and_nothing_else(main: Main) -> None:
    code, out, err = main(*MEASURED, "--json")
    assert code == 0, err
    run = json.loads(out)
    assert run["schema"] == "bench/1"
    assert [m["name"] for m in run["methods"]] == ["base", "sake-paper", "sake"]
    assert run["data"]["records"] == 4
    assert "asking" not in err
    assert set(run["environment"]) >= {"date", "seconds", "versions", "commit"}


def test_out_writes_the_run_its_reports_and_its_rows(main: Main, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report"
    code, shown, err = main(*MEASURED, "--set", "curves=threshold,prompts", "--out", str(out))
    assert code == 0, err
    assert {p.name for p in out.iterdir()} >= {
        "run.json", "report.md", "report.html", "rows.jsonl"
    }  # fmt: skip
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert run["schema"] == "bench/1"
    assert {curve["method"] for curve in run["threshold_curves"]} == {"sake", "sake-paper"}
    assert run["prompt_curve"]
    assert (out / "report.md").read_text(encoding="utf-8").strip() == shown.strip()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    rows = [
        json.loads(line) for line in (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {row["method"] for row in rows} == {"base", "sake-paper", "sake"}
    assert {row["scope"] for row in rows} == {"none", "given", "own-centre", "all-edits"}
    assert str(out / "report.html") in err
    assert str(out / "report.html") not in shown


def test_questions_and_loads_are_measured_when_asked_for(main: Main, tmp_path: Path) -> None:
    """This model has no chat template, and that is said."""
    out = tmp_path / "report"
    code, shown, err = main(
        *MEASURED, "--set", "questions=true", "--set", "curves=loads", "--out", str(out)
    )
    assert code == 0, err
    assert "warning: not measured: chat: " in err
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert [line.split(":")[0] for line in run["data"]["left_out"]] == ["chat"]
    metrics = {score["metric"] for score in run["scores"]}
    assert metrics >= {"question", "question-new", "question-old", "other-relation"}
    assert not any(metric.startswith("chat") for metric in metrics)
    assert {curve["method"] for curve in run["load_curves"]} == {"sake", "sake-paper"}
    assert run["threshold_curves"] == run["prompt_curve"] == []
    page = (out / "report.html").read_text(encoding="utf-8")
    for heading in ("Edits loaded at once", "Other relations", "has no chat template"):
        assert heading in page
        assert heading in shown


@pytest.mark.parametrize("preset", ["table3", "figure3"])
def test_a_table_or_figure_of_the_paper_is_printed_alone(main: Main, preset: str) -> None:
    code, out, err = main(preset, *MEASURED)
    assert code == 0, err
    assert preset[-1] in out.splitlines()[0]
    assert "| " in out
    assert out != main(*MEASURED)[1]


def test_malformed_records_are_refused_with_their_index(main: Main, tmp_path: Path) -> None:
    broken: dict[str, Any] = dict(FACTS[1])
    del broken["requested_rewrite"]
    data = str(write_data(tmp_path, FACTS[0], broken, *FACTS[2:6]))
    code, out, err = main(*MEASURED, "--data", data)
    assert (code, out) == (1, "")
    assert "record 1:" in err
    assert "--skip-bad" in err
    assert "Traceback" not in err
    code, out, err = main(
        "--set", "methods=base", "--data", data, "--set", "skip_bad=true", "--json"
    )
    assert code == 0, err
    run = json.loads(out)
    assert run["data"]["records"] == 5
    assert run["data"]["problems"][0].startswith("record 1:")


def test_records_that_contradict_each_other_are_named(main: Main, tmp_path: Path) -> None:
    rewrite = FACTS[0]["requested_rewrite"]
    other = rewrite | {"target_new": {"str": "Danish", "id": "Q9"}}
    data = str(write_data(tmp_path, *FACTS[:2], FACTS[0] | {
        "case_id": 77, "requested_rewrite": other}))  # fmt: skip
    code, _, err = main("--set", "methods=base", "--data", data)
    assert code == 0, err
    assert "warning: left out: record 2:" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["table1"], "table1 is measured on rippleedits"),
        (["table5", "--set", "methods=base"], "table5 is measured on rippleedits"),
        (["--set", "methods=base,roma"], "'roma'"),
        (["--set", "methods=base", "--set", "project=nobody"], "no edit 'nobody'"),
        (["--set", "methods=icl"], "too few records"),
        (["--set", "threshold=0"], "--set: threshold: input should be greater than 0"),
        (["--set", "threshold=nan"], "--set: threshold: input should be "),
        (["--set", "threshold=much"], "--set: threshold: input should be a valid number"),
        (["--set", "limit=0"], "--set: limit: input should be greater than 0"),
        (["--set", "kind=other"], "--set: kind: input should be 'counterfact'"),
        (["--set", "aliases=all"], "--set: aliases: input should be 'none' or 'half'"),
        (["--set", "limt=1"], "did you mean 'limit'?"),
        (["--set", "settings.compile.prompts=3"], "report: settings: --prompts: "),
        (["--set", "settings.compile.promts=9"], "did you mean 'prompts'?"),
        (["table9"], "no run 'table9'"),
        (["no/such.yaml"], "no run 'no/such.yaml'"),
        (["--data", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_wrong_is_said_in_a_line(main: Main, arguments: list[str], says: str) -> None:
    code, out, err = main(*arguments)
    assert (code, out) == (1, ""), err
    assert says in err
    assert "asking" not in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 3


def test_a_wrong_method_names_the_right_ones(main: Main) -> None:
    _, _, err = main("--set", "methods=sakee")
    for name in ("base", "sake", "sake-paper", "uniform", "actadd", "icl", "rome"):
        assert name in err


def test_a_table_of_counterfact_is_not_measured_on_rippleedits(main: Main, tmp_path: Path) -> None:
    data = write_data(tmp_path, OFFICIAL)
    code, out, err = main("table3", "--data", str(data))
    assert (code, out) == (1, "")
    assert "table3 is measured on counterfact" in err
    assert "rippleedits" in err


@pytest.mark.parametrize("arguments", [["--set", "limit"], ["--limit", "4"]], ids=" ".join)
def test_wrong_usage_exits_2(main: Main, arguments: list[str]) -> None:
    assert main(*arguments)[0] == 2


def test_without_a_registry_the_defaults_are_measured(
    main: Main, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--model` and no `sake.toml`; a random model says no new object, and that is said."""
    data = write_data(tmp_path / "data", *(counterfact(case_id=n) for n in range(2)))
    arguments = ["bench", "run", "--data", str(data), "--json"]
    methods = ("--set", "methods=base"), ("--set", "methods=sake")
    with pytest.raises(SystemExit) as left:
        commands.main([
            "-C", str(tmp_path), *arguments, *methods[0], "--model", str(folder / "tiny-llama"),
            "--work", str(tmp_path / "work"),
        ])  # fmt: skip
    shown = capsys.readouterr()
    assert not left.value.code, shown.err
    assert json.loads(shown.out)["model"]["name"].endswith("tiny-llama")
    with pytest.raises(SystemExit) as left:
        commands.main([
            "-C", str(tmp_path), *arguments, *methods[1], "--model", str(folder / "tiny-llama"),
            "--work", str(tmp_path / "work"),
        ])  # fmt: skip
    assert left.value.code == 1
    assert "no edit could be compiled" in capsys.readouterr().err


def test_what_was_calibrated_for_a_registrys_edits_does_not_hold_for_a_data_sets(
    tmp_path: Path,
) -> None:
    text = "[router]\nthreshold = 0.9\nimplied_threshold = 0.8\ntasks = 'answer'\n"
    (tmp_path / "sake.toml").write_text(text)
    usual = uncalibrated(load_settings(tmp_path))
    assert usual.router == load_settings(None).router.model_copy(update={"tasks": "answer"})
    chosen = uncalibrated(load_settings(tmp_path, {"router.threshold": 0.7}))
    assert chosen.router.threshold == 0.7
    # Where a registry's distances have no default, its own stays.
    text = "[router]\nkind = 'centre'\nthreshold = 4.0\nrepresentation = 'hidden'\n"
    (tmp_path / "sake.toml").write_text(text)
    assert uncalibrated(load_settings(tmp_path)).router.bound == 4.0
