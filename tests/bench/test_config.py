"""A run as a file: read strictly, changed by `--set`, copied and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sake_bench.config import Config, built_in, find_config, read_config
from sake_bench.protocol import METHODS
from sake_registry import commands
from sake_registry.errors import InputError
from tests.bench.reports.example_run import example_run
from tests.conftest import Run

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return made


def test_every_run_that_comes_with_the_package_is_sound() -> None:
    runs = {name: read_config(path) for name, path in built_in().items()}
    assert set(runs) == {
        "report", "table1", "table2", "table3", "table4", "table5", "figure3", "figure5", "quick",
        "wild", "retrieval", "languages", "field", "undo",
    }  # fmt: skip
    for name, run in runs.items():
        assert run.description
        assert set(run.methods) <= set(METHODS)
        assert run.layout == ("report" if name == "quick" else name)
    assert runs["table1"].data_set == runs["table5"].data_set == "rippleedits"
    assert runs["quick"].data is not None
    assert runs["quick"].data.is_file()
    assert runs["quick"].options == {"dtype": "float32", "compile.prompts": "12"}


def test_a_name_is_looked_up_and_a_path_is_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("table3") == find_config("table3.yaml") == built_in()["table3"]
    path = write("seed: 3\n")
    assert find_config("mine.yaml").resolve() == path
    with pytest.raises(InputError, match="no run 'tabel3'") as raised:
        find_config("tabel3")
    assert raised.value.hint == "did you mean 'table3'?"


def test_changes_are_typed_by_the_model_and_beat_the_file(write: Write) -> None:
    path = write("limit: 100\nseed: 7\nsettings:\n  compile:\n    prompts: 12\n")
    changes = {
        "limit": "5", "methods": "base, sake", "questions": "true", "seed": "",
        "settings.compile.reg": "0.1", "settings.dtype": "float32",
    }  # fmt: skip
    run = read_config(path, changes)
    assert (run.limit, run.methods, run.questions, run.seed) == (5, ("base", "sake"), True, 0)
    assert run.options == {"compile.prompts": "12", "compile.reg": "0.1", "dtype": "float32"}


def test_paths_of_a_file_are_relative_to_it(write: Write, tmp_path: Path) -> None:
    path = write("data: facts.json\nresources: templates\n")
    run = read_config(path, {"calibrate_on": "other.json"})
    assert (run.data, run.resources) == (tmp_path / "facts.json", tmp_path / "templates")
    assert run.calibrate_on == Path("other.json")
    path = write("ability: arc.jsonl, piqa.jsonl\nscale: [20]\n")
    assert read_config(path).ability == (tmp_path / "arc.jsonl", tmp_path / "piqa.jsonl")
    run = read_config(path, {"ability": "other.jsonl", "scale": "200, 2000", "fill": "2000"})
    assert (run.ability, run.scale, run.fill) == ((Path("other.jsonl"),), (200, 2000), 2000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limt: 3\n", "mine.yaml:1:1: limt: unknown key"),
        ("seed: 1\nlimit: much\n", "mine.yaml:2:1: limit: input should be a valid integer"),
        ("limit: 1\nlimit: 2\n", "mine.yaml:2:"),
        ("curves: [threshold, treshold]\n", "mine.yaml:1:"),
        ("- limit\n", "mine.yaml:1:1: a mapping is expected"),
        ("limit: &a 3\n", "mine.yaml:1:"),
        ("limit: [\n", "mine.yaml:"),
        ("", "mine.yaml"),
        ("layout: table9\n", "mine.yaml:1:1: layout: input should be 'report'"),
        ("methods: []\n", "mine.yaml:1:1: methods: "),
    ],
)
def test_what_is_wrong_in_a_file_names_file_line_and_key(
    write: Write, text: str, says: str
) -> None:
    with pytest.raises(InputError) as raised:
        read_config(write(text))
    assert says in str(raised.value)


def test_show_and_list_print_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["bench", "show", "figure3"])
    assert capsys.readouterr().out == built_in()["figure3"].read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        commands.main(["bench", "list", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "bench-list/1"
    assert set(shown["runs"]) == set(built_in())


def test_a_run_that_was_measured_is_printed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(example_run()), encoding="utf-8")
    out = tmp_path / "again"
    with pytest.raises(SystemExit) as left:
        commands.main(["bench", "report", str(file), "--layout", "table3", "--out", str(out)])
    shown = capsys.readouterr()
    assert not left.value.code, shown.err
    assert shown.out.startswith("## Table 3")
    assert {path.name for path in out.iterdir()} == {"report.md", "report.html"}
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        commands.main(["bench", "report", str(file)])
    assert left.value.code == 1
    assert "the run: model: " in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named_before_anything_is_measured(
    sake_process: Run, tmp_path: Path
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    data = built_in()["quick"]
    ran = sake_process("bench", "run", str(data), cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert ran.returncode == 4, ran.stderr
    assert "pip install -c constraints.txt '.[bench]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_form_has_a_schema() -> None:
    assert set(Config.model_json_schema()["properties"]) == set(Config.model_fields)
