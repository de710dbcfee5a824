"""The schema that editors use, and the demo registry as an example of it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from sake_registry.authoring.scaffold import SCHEMA_PATH
from sake_registry.edits import yamltext
from sake_registry.edits.files import read_edit
from sake_registry.edits.registry import open_registry
from sake_registry.edits.schema import json_schema
from tests.conftest import ROOT
from tests.edits.test_examples import EXAMPLES


def test_the_committed_schema_is_the_one_of_the_code() -> None:
    committed = ROOT / SCHEMA_PATH
    assert json.loads(committed.read_text(encoding="utf-8")) == json_schema()


def test_the_schema_names_every_field_refuses_others_and_knows_nothing_of_ids() -> None:
    schema = json_schema()
    assert list(schema["properties"]) == [
        "schema", "fact", "prompts", "holdout", "implications", "unchanged", "provenance",
        "lifecycle", "tags", "scope",
    ]  # fmt: skip
    assert set(schema["required"]) == {"schema", "fact", "prompts"}
    objects = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in objects)
    subject = schema["$defs"]["Fact"]["properties"]["subject"]["anyOf"]
    assert {"type": "string", "minLength": 1} in subject
    assert schema["$defs"]["Lifecycle"]["properties"]["valid_from"]["anyOf"][0] == {
        "type": "string", "format": "date",
    }  # fmt: skip


def test_every_field_says_to_an_editor_what_it_is() -> None:
    schema = json_schema()
    for part in [schema, *schema["$defs"].values()]:
        assert part["description"].endswith(".")
        for name, told in part["properties"].items():
            assert told["description"].endswith("."), name


def test_the_schema_takes_what_is_valid_and_refuses_what_it_can() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())

    def refused(path: Path) -> bool:
        # As an editor reads it, but for the types that the texts are there to trip over.
        value = yamltext.read(path.read_bytes(), path).value
        value["schema"] = int(value["schema"])
        if "threshold" in (value.get("scope") or {}):
            value["scope"]["threshold"] = float(value["scope"]["threshold"])
        return bool(list(validator.iter_errors(value)))

    # A key without a value is one that is not there: only here, not to an editor.
    valid = [p for p in (EXAMPLES / "valid").glob("*.yaml") if p.stem != "empty-sections"]
    assert [path.name for path in valid if refused(path)] == []
    for name in ("bad-status", "unknown-key", "no-prompts", "text-for-a-list", "bad-router"):
        assert refused(EXAMPLES / "invalid" / f"{name}.yaml"), name


def test_an_edit_cannot_be_changed_and_fills_its_prompts() -> None:
    edit = read_edit(EXAMPLES / "valid" / "everything.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(edit, "id", "another")  # noqa: B010
    assert edit.fill("<subject> and <subject>") == "Danielle Darrieux and Danielle Darrieux"
    assert edit.fill("<subject>'s", "Mme D") == "Mme D's"
    assert edit.claim == "Danielle Darrieux · mother tongue: French → English"
    assert not edit.active
    nothing = read_edit(EXAMPLES / "valid" / "minimal.yaml")
    assert nothing.claim == "X · r: (nothing) → y"
    assert nothing.active


def test_the_demo_registry_shows_what_it_is_to_show() -> None:
    registry = open_registry(ROOT, today=date(2026, 11, 22))
    assert registry.findings == ()
    edits = registry.active
    assert len(edits) == 8
    relations = [edit.fact.relation.id or edit.fact.relation.text for edit in edits]
    assert len(set(relations)) >= 6
    assert any(
        a.fact.relation.id == b.fact.relation.id and a.subject != b.subject
        for a in edits for b in edits if a.fact.relation.id
    )  # fmt: skip
    assert sum(bool(edit.implications) for edit in edits) >= 3
    assert [edit.id for edit in edits if edit.new == "NO"] != []
    assert sum(len(edit.new.split()) > 1 for edit in edits) >= 2
    assert any(edit.fact.subject.aliases for edit in edits)


@pytest.mark.parametrize("path", sorted((ROOT / "edits").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_demo_edit_has_what_it_is_tested_with(path: Path) -> None:
    edit = read_edit(path)
    assert len(edit.holdout) >= 5
    assert len(edit.unchanged) >= 3
    assert edit.provenance.reason
    assert edit.provenance.sources
    assert edit.lifecycle.review_by
