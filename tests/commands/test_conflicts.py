"""`sake conflicts` as a user runs it: with the real prompt embedder, and without any."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sake_registry.commands import conflicts
from sake_registry.commands.console import State
from sake_registry.errors import InputError
from tests import tiny_models, workshop
from tests.conftest import EDIT, ROOT

Write = Callable[[str, str], Path]
FILMS = """\
schema: 1
fact:
  subject: Danielle Darrieux
  relation: language of her films
  old: French
  new: Breton
prompts:
  - In her films, <subject> speaks
  - The films of <subject> are in
"""
GERMAN = EDIT.replace("new: English", "new: German")


def run(*arguments: str, folder: Path) -> Result:
    return CliRunner().invoke(conflicts.command, arguments, obj=State(folder))


@pytest.fixture
def here(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metric `euclidean` needs no library of questions: its tests are quick."""
    (registry / "sake.toml").write_text(
        '[router]\nkind = "anchored"\nmetric = "euclidean"\nthreshold = 4.5\n'
    )
    monkeypatch.chdir(registry)
    return registry


def as_json(*arguments: str, folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(run(*arguments, "--json", folder=folder).stdout)
    assert value["schema"] == "conflicts/1"
    return value


def test_a_contradiction_is_an_error(here: Path, write: Write) -> None:
    assert run(folder=here).exit_code == 0
    write("german.yaml", GERMAN)
    done = run(folder=here)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[:4] == [
        "error: edits that contradict each other (1)",
        "  The mother tongue of Danielle Darrieux is",
        "    edits/darrieux.yaml:6:8: English",
        "    edits/german.yaml:6:8: German",
    ]
    assert done.stdout.endswith("2 active edits: 1 error, 0 warnings\n")
    value = as_json(folder=here)
    assert (value["errors"], value["edits"], value["router"]) == (1, 2, "edit files")
    # What the router says of two such edits follows from it and is not said again.
    assert [conflict["kind"] for conflict in value["conflicts"]] == ["contradiction"]


def test_a_prompt_that_another_edit_catches_is_a_warning(here: Path, write: Write) -> None:
    write("darrieux.yaml", EDIT + "holdout:\n  - In her first films, <subject> speaks\n")
    write("films.yaml", FILMS)
    done = run(folder=here)
    assert done.exit_code == 0
    assert "warning: prompts that another edit answers (1)" in done.stdout
    (caught,) = as_json(folder=here)["conflicts"]
    assert (caught["kind"], caught["severity"]) == ("caught", "warning")
    assert caught["prompt"] == "In her first films, Danielle Darrieux speaks"
    assert [(side["edit"], side["field"], side["says"]) for side in caught["sides"]] == [
        ("darrieux", "holdout[0]", "English"), ("films", "fact.new", "Breton"),
    ]  # fmt: skip
    assert 0 < caught["distance"] <= caught["threshold"]
    assert "'films'" in caught["hint"]


def test_what_another_edit_would_answer_alike_is_none(here: Path, write: Write) -> None:
    write("darrieux.yaml", EDIT + "holdout:\n  - In her first films, <subject> speaks\n")
    write("films.yaml", FILMS.replace("new: Breton", "new: English"))
    assert as_json(folder=here)["conflicts"] == []


def test_an_implication_catches_too_and_is_named(here: Path, write: Write) -> None:
    implied = "implications:\n  - prompt: In her films, <subject> speaks\n    new: Breton\n"
    write("darrieux.yaml", EDIT + implied)
    birth = EDIT.replace("mother tongue", "place of birth").replace("English", "Rome")
    kept = "unchanged:\n  - In her old films, Danielle Darrieux speaks\n"
    write("birth.yaml", birth.replace("a native speaker of", "a native of") + kept)
    (caught,) = as_json(folder=here)["conflicts"]
    assert [(side["edit"], side["field"], side["says"]) for side in caught["sides"]] == [
        ("birth", "unchanged[0]", "as it was"), ("darrieux", "implications[0].new", "Breton"),
    ]  # fmt: skip
    assert "keeps as it was" in caught["message"]


def test_edits_that_are_never_valid_together_catch_nothing(here: Path, write: Write) -> None:
    until = "lifecycle:\n  valid_until: 2026-12-31\n"
    write("darrieux.yaml", EDIT + "holdout:\n  - In her first films, <subject> speaks\n" + until)
    write("films.yaml", FILMS + "lifecycle:\n  valid_from: 2027-01-01\n")
    assert as_json(folder=here)["conflicts"] == []


def test_with_ids_only_their_conflicts_are_shown(here: Path, write: Write) -> None:
    write("german.yaml", GERMAN)
    for name, language in (("gabin", "Breton"), ("gabin-2", "Dutch")):
        text = EDIT.replace("Danielle Darrieux", "Jean Gabin")
        write(f"{name}.yaml", text.replace("English", language))
    assert as_json(folder=here)["errors"] == 2
    value = as_json("german", folder=here)
    assert [{s["edit"] for s in c["sides"]} for c in value["conflicts"]] == [{"darrieux", "german"}]
    done = run("germann", folder=here)
    assert isinstance(done.exception, InputError)
    assert "did you mean 'german'?" in str(done.exception)


def test_many_prompts_of_two_edits_are_cut(here: Path, write: Write) -> None:
    holdout = [f"  - In her {n} films, <subject> speaks\n" for n in ("old", "new", "best", "last")]
    write("darrieux.yaml", EDIT + "holdout:\n" + "".join(holdout))
    write("films.yaml", FILMS)
    done = run(folder=here)
    assert "prompts that another edit answers (4)" in done.stdout
    assert "… and 1 more prompt of these two" in done.stdout


def test_files_with_errors_are_told(here: Path, write: Write) -> None:
    write("broken.yaml", "schema: 1\n")
    done = run(folder=here)
    assert done.exit_code == 0
    assert "1 of 2 files have errors and were not looked at: `sake check`" in done.stderr


def test_under_the_contrast_metric_other_questions_of_a_subject_are_told_apart(
    here: Path, write: Write
) -> None:
    """The default: the same subject's place of birth is no matter of its mother tongue."""
    (here / "sake.toml").write_text("")
    birth = """\
schema: 1
fact: {subject: Danielle Darrieux, relation: place of birth, old: Bordeaux, new: Rome}
prompts:
  - <subject> was born in
  - The birthplace of <subject> is
holdout:
  - <subject> came into the world in
"""
    write("birth.yaml", birth)
    assert as_json(folder=here)["conflicts"] == []
    birth += "  - The native tongue of <subject> is\n"
    write("birth.yaml", birth)
    (caught,) = as_json(folder=here)["conflicts"]
    assert caught["prompt"] == "The native tongue of Danielle Darrieux is"
    assert (here / ".sake" / "store" / "metric").is_dir()


def test_without_the_extra_the_texts_are_compared(here: Path, write: Write) -> None:
    write("german.yaml", GERMAN)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from sake_registry.commands import main; main(['conflicts', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    value = json.loads(done.stdout)
    assert (value["errors"], value["router"]) == (1, None)
    assert "only the texts were compared" in done.stderr
    assert "pip install -c constraints.txt '.[models]'" in done.stderr


def test_without_its_embedder_the_texts_are_compared(here: Path, write: Write) -> None:
    write("german.yaml", GERMAN)
    (here / "sake.toml").write_text('[router]\nkind = "anchored"\nembedder = "no/such-embedder"\n')
    done = run(folder=here)
    assert done.exit_code == 1
    assert "only the texts were compared" in done.stderr
    assert "no/such-embedder" in done.stderr


def test_a_bundle_that_is_what_the_files_say_is_asked(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For whatever model: no model is loaded, and none need be there."""
    model = tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")
    made = workshop.compiled(tmp_path, model)
    path = made.bundle.path
    made.bundle.close()
    shutil.rmtree(model)
    assert as_json(folder=tmp_path)["router"] == str(path)
    tongue = tmp_path / "edits" / "tolstoy-tongue.yaml"
    tongue.write_text(workshop.TONGUE.replace("Polish", "Finnish"))
    assert as_json(folder=tmp_path)["router"] == "edit files"


STATED = """\
schema: 1
fact: {{subject: {subject}, relation: {relation}, old: {old}, new: {new}}}
prompts:
  - The {relation} of <subject> is
unchanged:
  - prompt: {unchanged}
"""


def test_a_prompt_is_asked_of_the_router_under_derived_forms_of_a_name(
    here: Path, write: Write
) -> None:
    """What the router gives to an edit by an acronym or a name in two words is a conflict too."""
    health, tube = "The head of WHO is", "The owner of You Tube is"
    (here / "edits" / "darrieux.yaml").unlink()
    write("health.yaml", STATED.format(
        subject="World Health Organization", relation="head", old="Margaret Chan",
        new="Marie Curie", unchanged=tube,
    ))  # fmt: skip
    write("tube.yaml", STATED.format(
        subject="YouTube", relation="owner", old="Google", new="Sony", unchanged=health,
    ))  # fmt: skip
    conflicts = as_json(folder=here)["conflicts"]
    assert [(c["kind"], c["prompt"], [s["edit"] for s in c["sides"]]) for c in conflicts] == [
        ("caught", tube, ["health", "tube"]), ("caught", health, ["tube", "health"]),
    ]  # fmt: skip
