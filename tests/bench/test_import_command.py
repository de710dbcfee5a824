"""`sake import`, as a process: codes, streams, what is written and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.edits.files import read_edit
from sake_registry.edits.schema import Name
from tests.bench.datasets.entries import (
    BMIKE,
    COUNTERFACT,
    KNOWEDIT,
    OFFICIAL,
    QAEDIT,
    counterfact,
    write_data,
)
from tests.commands.test_authoring import contents
from tests.commands.test_imports import HEAVY, RUN, loaded_by, roots
from tests.conftest import ROOT, Run

MORE = [counterfact(case_id=20 + i, subject=f"Bo Number{i}") for i in range(12)]


def test_records_become_edits_of_a_new_registry(sake: Run, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", COUNTERFACT, *MORE)
    out = tmp_path / "facts"
    done = sake("import", "--data", str(data), "--out", "facts", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "wrote 13 edits to facts/edits\n"), done.stderr
    assert "1 prompt left out: among the tests of the record" in done.stderr
    assert "sake -C facts compile" in done.stderr
    assert len(list((out / "edits").iterdir())) == 13
    checked = sake("check", cwd=out)
    assert (checked.returncode, checked.stdout) == (0, "13 files: 0 errors, 0 warnings\n")
    assert sake("fmt", "--check", cwd=out).returncode == 0
    again = sake("import", "--data", str(data), "--out", "facts", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (5, "")
    assert "is already there, and 12 more: nothing was written" in again.stderr


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("counterfact", COUNTERFACT),
        ("rippleedits", OFFICIAL),
        ("knowedit", KNOWEDIT),
        ("qaedit", QAEDIT),
        ("bmike", BMIKE),
    ],
)
def test_every_kind_with_json(sake: Run, tmp_path: Path, kind: str, entry: object) -> None:
    data = write_data(tmp_path / "data", entry)
    done = sake("-C", str(tmp_path), "import", kind, "--data", str(data), "--out", "x", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["schema"], report["data_set"]) == ("import/1", kind)
    assert report["folder"] == str(tmp_path / "x" / "edits")
    (edit,) = report["edits"]
    assert edit["index"] == 0
    assert Path(edit["path"]).stem == edit["id"]
    assert Path(edit["path"]).is_file()
    assert report["conflicts"] == report["problems"] == []


def test_malformed_records_are_listed_and_left_out_only_when_told(
    sake: Run, tmp_path: Path
) -> None:
    wrong = [counterfact(prompt="none", case_id=i) for i in range(11)]
    contrary = counterfact(case_id=99, target_new={"str": "Manx"})
    data = write_data(tmp_path / "data", COUNTERFACT, *wrong, contrary)
    before = contents(tmp_path)
    arguments = ["import", "--data", str(data), "--out", str(tmp_path / "x")]
    done = sake(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "11 of 13 records malformed" in done.stderr
    for index in range(1, 11):
        assert f"  record {index}: requested_rewrite.prompt has no '{{}}': 'none'" in done.stderr
    assert "record 11:" not in done.stderr
    assert "… and 1 more" in done.stderr
    assert "--skip-bad leaves them out" in done.stderr
    assert contents(tmp_path) == before
    done = sake(*arguments, "--skip-bad")
    assert (done.returncode, done.stdout) == (0, f"wrote 1 edit to {tmp_path / 'x' / 'edits'}\n")
    assert "warning: left out: record 1: requested_rewrite.prompt" in done.stderr
    assert "warning: left out: record 12: Åse Holm · P103 is 'Manx' here" in done.stderr


def test_a_limit_draws_by_its_seed(sake: Run, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", COUNTERFACT, *MORE)

    def drawn(out: str, *more: str) -> list[int]:
        arguments = ["--data", str(data), "--out", str(tmp_path / out), "--limit", "4", "--json"]
        done = sake("import", *arguments, *more)
        assert done.returncode == 0, done.stderr
        return [edit["index"] for edit in json.loads(done.stdout)["edits"]]

    assert drawn("a") == drawn("b", "--seed", "0") == sorted(drawn("c"))
    assert drawn("d", "--seed", "1") != drawn("e")


def test_half_of_the_aliases_are_written_when_told(sake: Run, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", OFFICIAL)

    def subject(out: str, *more: str) -> Name:
        done = sake("import", "--data", str(data), "--out", str(tmp_path / out), *more)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / out / "edits").iterdir()
        return read_edit(path).fact.subject

    assert subject("a") == subject("b", "--aliases", "none") == Name(text="Åse Holm")
    assert subject("c", "--aliases", "half").all == ("Åse Holm", "Aase Holm")
    done = sake("import", "--data", str(data), "--out", str(tmp_path / "d"), "--aliases", "all")
    assert done.returncode == 2


def test_what_cannot_be_read_exits_1_and_writes_nothing(sake: Run, registry: Path) -> None:
    (registry / "odd.json").write_text('[{"a": 1}]')
    data = write_data(registry / "data", COUNTERFACT)
    before = contents(registry)
    for arguments, message in (
        (["--data", "none.json", "--out", "x"], "none.json: cannot be read"),
        (["--data", "odd.json", "--out", "x"], "no record of a known data set"),
        (["--data", str(data), "--out", "edits"], "lies among the edits of"),
        (["--data", str(data), "--out", "x", "--resources", "none"], "no folder none"),
        (["rippleedits", "--data", str(data), "--out", "x"], "is it another data set?"),
        (["rippleedits", "--data", str(data), "--out", "x", "--skip-bad"], "no sound record"),
    ):
        done = sake("import", *arguments, cwd=registry)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    for arguments in (["zsre"], [], ["--data", "x"], ["--data", "x", "--out", "y", "--limit", "0"]):
        assert sake("import", *arguments, cwd=registry).returncode == 2
    assert contents(registry) == before


def test_it_loads_no_model(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", COUNTERFACT)
    arguments = ["import", "--data", str(data), "--out", str(tmp_path / "x")]
    code, modules = loaded_by(RUN.format(arguments=arguments, program=str(ROOT / "cli.py")))
    assert code == 0
    assert roots(modules) & (HEAVY | {"rich"}) == set()
