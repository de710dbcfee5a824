"""A review with a model: a tiny random one, real bundles on both sides, real git."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sake_registry import compile_registry, open_registry
from sake_registry.bundle.reader import BundleFile
from sake_registry.commands import cli
from sake_registry.errors import StateError
from sake_registry.remote.pointer import read_pointer
from sake_registry.remote.publishing import review_of
from sake_registry.review.run import read_sides
from tests import tiny_models
from tests.repositories import GitRegistry
from tests.review.reviewing import review
from tests.workshop import CAPITAL, EDITS, SETTINGS

VERNE = """\
schema: 1
fact:
  subject: Jules Verne
  relation: mother tongue
  old: French
  new: Basque
prompts:
  - The mother tongue of <subject> was
  - <subject> grew up speaking
holdout:
  - At home <subject> spoke
"""
TOLSTOY = "tolstoy-tongue"
OTHER = "a language of the North"
"""So unlike `Polish` that a random model's answers differ as well."""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")


@pytest.fixture
def branch(make_registry: Any, model_folder: Path) -> GitRegistry:
    """Two edits on main; a branch that changes one, removes the other and adds a third."""
    made: GitRegistry = make_registry()
    # A random model would say what it is told.
    settings = "answer.exact = false\n" + SETTINGS.format(model=model_folder, dtype="float32")
    (made.root / "sake.toml").write_text(settings)
    (made.root / ".gitignore").write_text("bundles/\n.sake/store/\n")
    for name, text in EDITS.items():
        made.write(name, text)
    made.commit("Two edits")
    made.git("switch", "--quiet", "-c", "change")
    made.write("verne", VERNE)
    made.write("australia-capital", CAPITAL.replace("Canberra", "Melbourne"))
    made.path(TOLSTOY).unlink()
    made.commit("A change")
    return made


def rows(value: dict[str, Any], id_: str) -> list[dict[str, Any]]:
    (edit,) = [edit for edit in value["edits"] if edit["id"] == id_]
    found: list[dict[str, Any]] = edit["rows"]
    return found


def test_every_prompt_of_what_changed_is_asked_on_both_sides(branch: GitRegistry) -> None:
    value = review(read_sides(branch.root, "main...change"))
    kinds = [row["kind"] for row in rows(value, "australia-capital")]
    assert kinds == ["prompts", "prompts", "implications", "unchanged"]
    assert all(row["by"] == "verne" for row in rows(value, "verne") if row["kind"] == "prompts")
    # What is taken back is shown as it was and as it is without it.
    assert [row["by"] for row in rows(value, TOLSTOY)] == [None, None]
    assert all(row["ok"] for row in rows(value, TOLSTOY))
    unchanged = rows(value, "australia-capital")[-1]
    assert unchanged["ok"]
    assert unchanged["before"] == unchanged["after"]
    builds = {edit["id"]: edit["build"]["outcome"] for edit in value["edits"]}
    assert builds == {
        "australia-capital": "built", TOLSTOY: "not in a bundle", "verne": "built",
    }  # fmt: skip
    # A random model says no new object: the gates tell so.
    failed = {gate["name"] for gate in value["gates"] if not gate["ok"]}
    assert {"min_prompts", "min_holdout"} <= failed
    assert not value["passed"]


def test_a_second_review_costs_no_forward_pass_and_says_the_same(branch: GitRegistry) -> None:
    first = review(read_sides(branch.root, "main...change"))
    second = review(read_sides(branch.root, "main...change"))
    assert first["texts_run"] > 0
    assert second["texts_run"] == 0
    for edit in (*first["edits"], *second["edits"]):
        edit["build"].pop("outcome")
    ignored = ("seconds", "texts_run")
    assert {k: v for k, v in first.items() if k not in ignored} == {
        k: v for k, v in second.items() if k not in ignored
    }


def test_the_working_tree_and_bundles_are_left_alone(branch: GitRegistry) -> None:
    branch.path("verne").write_text("not what is reviewed")
    before = branch.state()
    value = review(read_sides(branch.root, "main...change"))
    after = branch.state()
    files: Any = before["files"], after["files"]
    for found in files:
        for path in [path for path in found if path.startswith(".sake/store")]:
            del found[path]
    assert after == before
    assert rows(value, "verne")
    assert not (branch.root / "bundles").exists()


def test_others_are_judged_if_they_are_built(branch: GitRegistry) -> None:
    branch.git("switch", "--quiet", "-c", "small", "main")
    branch.write("verne", VERNE)
    branch.commit("One more")
    value = review(read_sides(branch.root, "main...small"))
    assert value["others"] == {"judged": 0, "not_built": sorted(EDITS)}
    value = review(read_sides(branch.root, "main...small"), everything=True)
    assert value["others"] == {"judged": 2, "not_built": []}
    value = review(read_sides(branch.root, "main...small"))
    assert value["others"] == {"judged": 2, "not_built": []}
    assert value["texts_run"] == 0


def test_a_prompt_that_another_edit_loses_is_interference(branch: GitRegistry) -> None:
    """An edit of the same subject that is nearer to another's prompt takes it away."""
    compile_registry(open_registry(branch.root))
    branch.git("switch", "--quiet", "-c", "greedy", "main")
    compile_registry(open_registry(branch.root))
    greedy = EDITS[TOLSTOY].replace("mother tongue\n", "first language\n", 1)
    greedy = greedy.replace("new: Polish", f"new: {OTHER}")
    branch.write("aa-greedy", greedy)
    branch.commit("The same prompts, another answer")
    value = review(read_sides(branch.root, "main...greedy"))
    found = value["interference"]
    assert {(row["edit"], row["by"]) for row in found} == {(TOLSTOY, "aa-greedy")}
    assert {row["prompt"] for row in found} == {
        "The mother tongue of Leo Tolstoy was", "Leo Tolstoy grew up speaking",
    }  # fmt: skip
    (gate,) = [gate for gate in value["gates"] if gate["name"] == "max_interference"]
    assert (gate["value"], gate["ok"]) == (2, False)
    assert value["unrelated"]["n"] > 100
    assert value["unrelated"]["changed"] == []


def test_where_the_models_own_states_decide_the_review_asks_the_model(branch: GitRegistry) -> None:
    toml = branch.root / "sake.toml"
    toml.write_text(toml.read_text() + 'representation = "hidden"\nthreshold = 0.01\n')
    branch.commit("By the model's own states")
    value = review(read_sides(branch.root, "main...change"))
    asked = rows(value, "verne")
    by = {row["prompt"]: row["by"] for row in asked if row["kind"] == "prompts"}
    assert set(by.values()) == {"verne"}
    assert value["unrelated"]["changed"] == []


def test_what_merging_makes_is_published_to_be_tried(branch: GitRegistry, tmp_path: Path) -> None:
    branch.git("switch", "--quiet", "main")
    (branch.root / "README.md").write_text("The base goes on.")
    branch.commit("On")
    place, report = branch.root / "previews", tmp_path / "review.html"
    arguments = ["-C", str(branch.root), "review", "main...change"]
    run = CliRunner().invoke
    done = run(cli, [*arguments, "--publish", f"{place}/pr-12", "--html", str(report)])
    pointer = read_pointer(place / "pointers" / "pr-12.json")
    assert f"sake serve --bundle {place}/pointers/pr-12.json" in done.stdout.replace("\\", "")
    assert str(place / "pointers" / "pr-12.json") in report.read_text()
    assert pointer.expires is not None
    assert pointer.note == "main...change"
    with BundleFile(Path(pointer.bundle)) as bundle:
        assert [edit.id for edit in bundle.manifest.edits] == ["australia-capital", "verne"]
        commit = branch.git("rev-parse", "change").strip()
        assert bundle.manifest.provenance == {"commit": commit, "dirty": True}
    said = review_of(pointer)
    assert said is not None
    assert json.loads(said)["range"]["text"] == "main...change"
    # No link of the repository leads elsewhere; the review is shown all the same.
    (branch.root / "linked").mkdir()
    (branch.root / "linked" / "bundles").symlink_to(tmp_path)
    done = run(cli, [*arguments, "--publish", str(branch.root / "linked" / "pr-12")])
    assert isinstance(done.exception, StateError)
    assert "verne" in done.stdout
    assert "sake serve --bundle" not in done.stdout


def test_an_edit_that_cannot_be_built_fails_the_review(branch: GitRegistry) -> None:
    toml = branch.root / "sake.toml"
    toml.write_text(toml.read_text().replace("keep_failed = true", "keep_failed = false"))
    branch.commit("Drop the pairs that did not work")
    value = review(read_sides(branch.root, "main...change"))
    (verne,) = [edit for edit in value["edits"] if edit["id"] == "verne"]
    assert verne["build"]["outcome"] == "failed"
    assert "target contexts" in verne["build"]["error"]
    assert "compile.keep_failed: True → False" in value["settings"]
    (gate,) = [gate for gate in value["gates"] if gate["name"] == "builds"]
    assert not gate["ok"]


def test_withdrawing_is_reviewed_like_removing(branch: GitRegistry) -> None:
    branch.git("switch", "--quiet", "-c", "withdrawn", "main")
    branch.write(TOLSTOY, EDITS[TOLSTOY] + "lifecycle:\n  status: withdrawn\n")
    branch.commit("Withdraw it")
    value = review(read_sides(branch.root, "main...withdrawn"))
    (edit,) = value["edits"]
    assert edit["status"] == "withdrawn"
    assert edit["sentence"].startswith("Not in force (withdrawn)")
    assert [row["by"] for row in edit["rows"]] == [None, None]
    assert edit["shares"]["prompts"] == {"passed": 0, "n": 0}


def test_an_edit_that_only_moved_costs_nothing(branch: GitRegistry) -> None:
    compile_registry(open_registry(branch.root, {"edits": "edits"}))
    branch.git("switch", "--quiet", "-c", "moved", "main")
    compile_registry(open_registry(branch.root))
    branch.write(f"people/{TOLSTOY}", EDITS[TOLSTOY])
    branch.path(TOLSTOY).unlink()
    branch.commit("Move it")
    value = review(read_sides(branch.root, "main...moved"))
    (edit,) = value["edits"]
    assert edit["action"] == "moved"
    assert edit["build"]["outcome"] == "reused"
    assert all(row["before"] == row["after"] for row in edit["rows"])
    assert value["texts_run"] == 0


def test_what_is_valid_later_is_asked_as_of_that_day(branch: GitRegistry) -> None:
    """Today it would change no answer, and a later interference would not be seen."""
    compile_registry(open_registry(branch.root, {"edits": "edits"}))
    branch.git("switch", "--quiet", "-c", "later", "main")
    compile_registry(open_registry(branch.root))
    greedy = EDITS[TOLSTOY].replace("mother tongue\n", "first language\n", 1)
    greedy = greedy.replace("new: Polish", f"new: {OTHER}")
    branch.write("aa-greedy", greedy + "lifecycle:\n  valid_from: 2999-01-01\n")
    branch.commit("From 2999 on")
    value = review(read_sides(branch.root, "main...later"))
    (edit,) = value["edits"]
    assert edit["sentence"].startswith("From 2999-01-01: “")
    assert [row["by"] for row in edit["rows"]] == ["aa-greedy", "aa-greedy"]
    assert {(row["edit"], row["by"]) for row in value["interference"]} == {(TOLSTOY, "aa-greedy")}


def test_an_edit_that_the_change_lets_expire_is_gone(branch: GitRegistry) -> None:
    branch.git("switch", "--quiet", "-c", "expired", "main")
    branch.write(TOLSTOY, EDITS[TOLSTOY] + "lifecycle:\n  valid_until: 2026-01-01\n")
    branch.commit("It holds no longer")
    value = review(read_sides(branch.root, "main...expired"))
    (edit,) = value["edits"]
    assert [row["by"] for row in edit["rows"]] == [None, None]
    assert edit["shares"]["prompts"] == {"passed": 0, "n": 0}
    assert value["passed"]


def test_a_file_with_errors_is_not_judged(branch: GitRegistry) -> None:
    """Nothing is said of answers that nobody can tell, least of all that they are as expected."""
    branch.git("switch", "--quiet", "-c", "broken", "main")
    branch.write(TOLSTOY, EDITS[TOLSTOY].replace("prompts:", "promts:"))
    branch.commit("A typing error")
    value = review(read_sides(branch.root, "main...broken"))
    (edit,) = value["edits"]
    assert edit["rows"] == []
    assert edit["build"]["outcome"] == "not in a bundle"
    assert not value["passed"]


def test_one_other_edit_that_is_not_built_is_one(branch: GitRegistry) -> None:
    branch.git("switch", "--quiet", "-c", "one", "main")
    branch.write("australia-capital", CAPITAL.replace("Canberra", "Melbourne"))
    branch.commit("One changed, one left")
    done = CliRunner().invoke(cli, ["-C", str(branch.root), "review", "main...one"])
    assert "1 other edit is not built here and was not judged" in done.stderr
    assert "other edits" not in done.stderr.replace("prompts of other edits", "")
    assert "asking both sides" in done.stderr
