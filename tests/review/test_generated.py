"""What a language model wrote is shown apart, with its call, and may have to be confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from sake_registry.review.html import page
from sake_registry.review.markdown import comment
from sake_registry.review.run import read_sides
from tests.repositories import GitRegistry, edit_text
from tests.review.reviewing import review

PROMPTS, OTHER = "qwen3@2026-11-29#1a2b3c4d", "qwen3@2026-11-29#5e6f7a8b"
WRITTEN = f"""\
  - {{text: "The tongue of <subject> was", by: "{PROMPTS}"}}
holdout:
  - {{text: At home <subject> spoke, by: "{OTHER}"}}
unchanged:
  - {{prompt: <subject> was born in <b>, by: "{PROMPTS}"}}
"""


@pytest.fixture
def branch(make_registry: Any) -> GitRegistry:
    """A branch that adds an edit of which a language model wrote some."""
    made: GitRegistry = make_registry()
    (made.root / "sake.toml").write_text('[review]\ngenerated = "confirmed"\n')
    made.write("gabin", subject="Jean Gabin")
    made.commit("One edit")
    made.git("switch", "--quiet", "-c", "change")
    made.write("darrieux", edit_text(more=WRITTEN))
    made.commit("Another")
    return made


def reviewed(branch: GitRegistry) -> dict[str, Any]:
    return review(read_sides(branch.root, "main...change"), model=False)


def gate_of(value: dict[str, Any]) -> dict[str, Any] | None:
    return next((gate for gate in value["gates"] if gate["name"] == "generated"), None)


def codes(value: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings about the edit, but that <b> is no placeholder."""
    found = [(one["code"], one["severity"]) for one in value["edits"][0]["findings"]]
    return [one for one in found if one[0] != "SAKE107"]


def confirm(branch: GitRegistry, *calls: str, more: str = "") -> None:
    listed = "".join(f'    - "{call}"\n' for call in calls)
    text = edit_text(more=f"{WRITTEN}provenance:\n  confirmed:\n{listed}{more}")
    branch.write("darrieux", text)
    branch.commit("Read")


def test_what_is_not_confirmed_fails_the_gate_and_is_listed_with_its_call(
    branch: GitRegistry,
) -> None:
    value = reviewed(branch)
    gate = gate_of(value)
    assert gate is not None
    assert (gate["state"], gate["value"]) == ("failed", 3)
    assert "confirmed: [MODEL@DAY#CALL]" in gate["hint"]
    assert not value["passed"]
    (edit,) = value["edits"]
    assert [(one["kind"], one["by"], one["confirmed"]) for one in edit["generated"]] == [
        ("prompt", PROMPTS, False),
        ("holdout prompt", OTHER, False),
        ("unchanged prompt", PROMPTS, False),
    ]
    said = comment(value)
    written = next(line for line in said.splitlines() if "The tongue of" in line)
    assert "not confirmed by a person" in written
    assert "1a2b3c4d" in written
    assert "At home" not in written
    shown = page(value)
    assert shown.count("not confirmed by a person") == 2
    assert "unchanged prompt: &lt;subject&gt; was born in &lt;b&gt;" in shown


def test_calls_are_confirmed_by_name_and_texts_keep_saying_who_wrote_them(
    branch: GitRegistry,
) -> None:
    confirm(branch, PROMPTS)
    value = reviewed(branch)
    assert (gate_of(value) or {})["value"] == 1
    confirm(branch, PROMPTS, OTHER)
    value = reviewed(branch)
    assert (gate_of(value) or {})["state"] == "passed"
    assert value["passed"]
    assert len(value["edits"][0]["generated"]) == 3
    assert comment(value).count(", confirmed: ") == 2


def test_a_draft_needs_no_confirmation_and_a_registry_may_only_list(branch: GitRegistry) -> None:
    confirm(branch, more="lifecycle:\n  status: draft\n")
    assert (gate_of(reviewed(branch)) or {})["state"] == "passed"
    branch.git("switch", "--quiet", "main")
    (branch.root / "sake.toml").write_text("")
    branch.commit("List them")
    assert gate_of(reviewed(branch)) is None


def test_a_change_cannot_take_its_own_gate_away(branch: GitRegistry) -> None:
    (branch.root / "sake.toml").write_text("")
    branch.commit("No gate")
    assert (gate_of(reviewed(branch)) or {})["state"] == "failed"


def test_a_holdout_of_the_call_that_wrote_prompts_is_said_to_be_no_evidence(
    branch: GitRegistry,
) -> None:
    confirm(branch, PROMPTS, OTHER)
    assert codes(reviewed(branch)) == []
    branch.write("darrieux", edit_text(more=WRITTEN.replace(OTHER, PROMPTS)))
    branch.commit("One call")
    value = reviewed(branch)
    assert codes(value) == [("SAKE126", "warning")]
    assert "no evidence" in comment(value)
