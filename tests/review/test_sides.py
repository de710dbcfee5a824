"""Both sides of a review, from git's blobs: what changed, what merging makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sake_registry.asking.rows import KINDS, Share
from sake_registry.asking.unrelated import ORDINARY, unrelated
from sake_registry.errors import InputError
from sake_registry.review.gates import answer_gates, claim_gates
from sake_registry.review.html import page
from sake_registry.review.markdown import comment
from sake_registry.review.run import read_sides
from sake_registry.settings import ReviewSettings
from tests.repositories import GitRegistry
from tests.review.reviewing import review


@pytest.fixture
def branches(registry: GitRegistry) -> GitRegistry:
    """A branch that adds two edits, changes one and removes one, while main moved on."""
    registry.write("rocard", subject="Michel Rocard", old="French", new="Welsh")
    registry.write("tolstoy", subject="Leo Tolstoy", old="Russian", new="Polish")
    registry.commit("Two more")
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("darrieux", new="Dutch")
    registry.path("rocard").unlink()
    registry.write("people/chopin", subject="Frédéric Chopin", old="Polish", new="Latin")
    registry.write("verne", subject="Jules Verne", old="French", new="Basque")
    registry.commit("A change")
    registry.git("switch", "--quiet", "main")
    registry.write("tolstoy", subject="Leo Tolstoy", old="Russian", new="Finnish")
    registry.write("proust", subject="Marcel Proust", old="French", new="Greek")
    registry.commit("Main moves on")
    registry.git("switch", "--quiet", "change")
    return registry


def test_what_changed_counts_from_the_merge_base(branches: GitRegistry) -> None:
    found = read_sides(branches.root, "main...change")
    actions = {change.id: change.action for change in found.changes}
    assert actions == {
        "chopin": "added", "darrieux": "changed", "rocard": "removed", "verne": "added",
    }  # fmt: skip
    assert (found.conflicts, found.settings, found.findings) == ((), (), ())


def test_the_sides_are_the_base_and_the_merge_result(branches: GitRegistry) -> None:
    found = read_sides(branches.root, "main...change")
    before = {edit.id: edit.new for edit in found.before.edits}
    after = {edit.id: edit.new for edit in found.after.edits}
    assert before == {
        "darrieux": "German", "proust": "Greek", "rocard": "Welsh", "tolstoy": "Finnish",
    }  # fmt: skip
    assert after == {
        "chopin": "Latin", "darrieux": "Dutch", "proust": "Greek", "tolstoy": "Finnish",
        "verne": "Basque",
    }  # fmt: skip


def test_the_default_range_is_main_against_head(branches: GitRegistry) -> None:
    found = read_sides(branches.root)
    assert found.reviewed.text == "main...HEAD"
    assert found.reviewed.head == branches.head
    assert len(found.changes) == 4


def test_the_base_can_be_said_in_the_settings(branches: GitRegistry) -> None:
    branches.git("branch", "release", "main~1")
    (branches.root / "sake.toml").write_text('[review]\nbase = "release"\n')
    assert read_sides(branches.root).reviewed.text == "release...HEAD"
    (branches.root / "sake.toml").write_text('[review]\nbase = "nowhere"\n')
    with pytest.raises(InputError, match="no branch 'nowhere'"):
        read_sides(branches.root)


def test_one_revision_reviews_the_working_tree(branches: GitRegistry) -> None:
    branches.write("verne", subject="Jules Verne", old="French", new="Breton")
    found = read_sides(branches.root, "main")
    assert found.reviewed.head is None
    assert {edit.id: edit.new for edit in found.after.edits}["verne"] == "Breton"
    committed = read_sides(branches.root, "main...HEAD")
    assert {edit.id: edit.new for edit in committed.after.edits}["verne"] == "Basque"


def test_nothing_in_the_repository_changes(branches: GitRegistry) -> None:
    before = branches.state()
    review(read_sides(branches.root, "main...change"), model=False)
    assert branches.state() == before


def test_changes_of_both_sides_in_different_lines_are_merged(registry: GitRegistry) -> None:
    lines = registry.path("darrieux").read_text()
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("darrieux", lines + "tags: [theirs]\n")
    registry.commit("A tag")
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", lines.replace("subject: Danielle", "subject: Dame Danielle"))
    registry.commit("A title")
    found = read_sides(registry.root, "main...change")
    (merged,) = found.after.edits
    assert (merged.subject, merged.tags) == ("Dame Danielle Darrieux", ("theirs",))
    assert found.conflicts == ()


@pytest.mark.parametrize("removed", [True, False])
def test_a_conflict_fails_the_review(registry: GitRegistry, removed: bool) -> None:
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch")
    registry.git("switch", "--quiet", "main")
    if removed:
        registry.path("darrieux").unlink()
    else:
        registry.write("darrieux", new="Danish")
    registry.commit("Main")
    value = review(read_sides(registry.root, "main...change"), model=False)
    assert [conflict["id"] for conflict in value["conflicts"]] == ["darrieux"]
    assert not value["passed"]
    assert value["edits"][0]["claim"].endswith("Dutch")


def test_a_contradiction_that_only_merging_brings_is_found(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("tolstoy-a", subject="Leo Tolstoy", old="Russian", new="Polish")
    registry.commit("One")
    registry.git("switch", "--quiet", "main")
    registry.write("tolstoy-b", subject="Leo Tolstoy", old="Russian", new="Finnish")
    registry.commit("Another")
    found = read_sides(registry.root, "main...change")
    assert [finding.code for finding in found.findings] == ["SAKE202"]
    assert found.findings[0].line > 1
    value = review(found, model=False)
    assert [gate["name"] for gate in value["gates"] if not gate["ok"]] == [
        "errors", "contradictions",
    ]  # fmt: skip


IMPLIES = "implications:\n  - prompt: In old age, Jules Verne lived in\n    new: {}\n"
KEEPS = "unchanged:\n  - In old age, Jules Verne lived in\n"


def test_what_a_change_says_otherwise_than_another_edit_is_told(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin", more=IMPLIES.format("Rome"))
    registry.write("old", subject="Jean Cocteau", more=KEEPS)
    registry.commit("What was there disagrees already")
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("verne", subject="Jules Verne", more=IMPLIES.format("Turin"))
    registry.commit("Disagree with both")
    found = read_sides(registry.root, "main...change")
    assert [(c.kind, c.severity, c.ids) for c in found.edit_conflicts] == [
        ("implication", "error", ("gabin", "verne")),
        ("unchanged", "warning", ("old", "verne")),
    ]
    assert found.edit_conflicts[0].sides[1].path == "edits/verne.yaml"
    value = review(found, model=False)
    assert [gate["name"] for gate in value["gates"] if not gate["ok"]] == ["contradictions"]
    for text in (comment(value), page(value)):
        assert "In old age, Jules Verne lived in" in text
        assert "edits/gabin.yaml:11" in text
    registry.write("verne", subject="Jules Verne", more=IMPLIES.format("Rome"))
    registry.commit("Agree with one; the other is only a warning")
    value = review(read_sides(registry.root, "main...change"), model=False)
    assert [conflict["severity"] for conflict in value["edit_conflicts"]] == ["warning"]
    assert value["passed"]


def test_a_contradiction_that_the_checks_tell_is_told_once(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("again", new="Dutch")
    registry.commit("Contradict it")
    found = read_sides(registry.root, "main...change")
    assert [finding.code for finding in found.findings] == ["SAKE202"]
    assert found.edit_conflicts == ()


def test_errors_of_a_changed_file_fail_the_review(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "change")
    registry.write("darrieux", "schema: 1\nfact: nothing\n")
    registry.commit("Broken")
    value = review(read_sides(registry.root, "main...change"), model=False)
    assert not value["passed"]
    assert value["edits"][0]["findings"]
    assert "the file has" in value["edits"][0]["lines"][0]


def test_a_change_cannot_lower_its_own_gates(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "change")
    (registry.root / "sake.toml").write_text("[review]\nmax_collateral = 9\n[compile]\nreg = 0.5\n")
    registry.commit("Lower the gates")
    found = read_sides(registry.root, "main...change")
    assert found.gates.review.max_collateral == 0
    assert not found.after.settings.trust_remote_code
    assert found.after.settings.compile.reg == 0.5
    assert "compile.reg: auto → 0.5" in found.settings
    assert "review.max_collateral: 0 → 9" in found.settings


def test_claims_need_no_torch(branches: GitRegistry) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from sake_registry.commands import main\n"
        "try: main(['review', '--no-model', 'main...change'])\n"
        "finally: print('torch' in sys.modules, 'transformers' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=branches.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False False"
    assert "Jules Verne" in done.stdout


def test_the_claims(branches: GitRegistry) -> None:
    value = review(read_sides(branches.root, "main...change"), model=False)
    edits = {edit["id"]: edit for edit in value["edits"]}
    assert edits["darrieux"]["lines"] == ["new object: German → Dutch"]
    assert edits["darrieux"]["sentence"] == (
        "“The mother tongue of Danielle Darrieux, as note 0 says, is” is to be completed by "
        "“Dutch”, no longer by “German”."
    )
    assert edits["rocard"]["sentence"].startswith("Taken back: ")
    assert edits["chopin"]["path"] == "edits/people/chopin.yaml"
    assert value["passed"]
    assert value["model"] is None


def test_the_sample_names_no_changed_subject(branches: GitRegistry) -> None:
    found = read_sides(branches.root, "main...change")
    changed = [edit for edit in found.after.edits if edit.id in ("chopin", "verne")]
    others = [edit for edit in found.after.edits if edit not in changed]
    sample = unrelated(changed, others)
    assert len(sample) == len(set(sample)) >= len(ORDINARY) + 20
    assert not [text for text in sample if "Verne" in text or "Chopin" in text]
    assert sample == unrelated(changed, others)


def test_gates() -> None:
    passed = {"prompts": (9, 10), "holdout": (8, 10), "implications": (0, 0), "unchanged": (3, 3)}
    shares = {kind: Share(passed=passed[kind][0], n=passed[kind][1]) for kind in KINDS}
    found = answer_gates(
        ReviewSettings(), shares, built=3, failed=0, judged=2, not_built=0, interference=1,
        unrelated=200, collateral=0,
    )  # fmt: skip
    verdicts = {gate.name: gate.state for gate in found}
    assert verdicts == {
        "builds": "passed", "min_prompts": "passed", "min_holdout": "failed",
        "min_implications": "nothing measured", "min_unchanged": "passed",
        "max_interference": "failed", "max_collateral": "passed",
    }  # fmt: skip
    assert next(g for g in found if g.name == "min_holdout").text == (
        "holdout: 8 of 10 passed (80.0 %), at least 90 % must"
    )
    assert all(gate.ok for gate in claim_gates(0, 0))
    assert [gate.ok for gate in claim_gates(2, 1)] == [False, False, True, True]
    assert [gate.ok for gate in claim_gates(0, 0, 1)] == [True, True, False, True]
    assert [gate.ok for gate in claim_gates(0, 0, unseen=1)] == [True, True, True, False]


def test_paths_are_the_registry_s(tmp_path: Path, branches: GitRegistry) -> None:
    """Findings of blobs name the file where it lies in the registry."""
    branches.write("verne", subject="Jules Verne", old="French", new="French")
    branches.commit("Nothing new")
    value = review(read_sides(branches.root, "main...HEAD"), model=False)
    (verne,) = [edit for edit in value["edits"] if edit["id"] == "verne"]
    assert [f["path"] for f in verne["findings"]] == ["edits/verne.yaml"]


def test_what_is_not_committed_is_told(branches: GitRegistry) -> None:
    assert read_sides(branches.root, "main...HEAD").uncommitted == ()
    branches.write("verne", subject="Jules Verne", old="French", new="Breton")
    branches.write("new", subject="Marie Curie", old="Polish", new="Breton")
    assert read_sides(branches.root, "main...HEAD").uncommitted == ("new", "verne")
    assert read_sides(branches.root, "main").uncommitted == ()
    assert read_sides(branches.root, "main...change~1").uncommitted == ()
