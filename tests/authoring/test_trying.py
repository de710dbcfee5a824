"""Generated texts on the embedded model: those whose pair does not work are dropped."""

from __future__ import annotations

import pytest

from sake_registry.authoring.filtering import Sieve
from sake_registry.authoring.generation import Implied
from sake_registry.authoring.trying import Trial
from sake_registry.edits.files import read_edit
from sake_registry.settings import Settings
from tests.conftest import ROOT

pytestmark = pytest.mark.model


def test_prompts_and_implications_that_do_not_work_are_dropped_and_holdout_is_not_tried() -> None:
    edit = read_edit(ROOT / "edits" / "australia-capital.yaml")
    begun = [
        "In Australia, laws are debated in",
        # What it has begun to repeat it goes on to repeat, whatever it was told.
        "Australia ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha",
    ]
    follows = [
        Implied(prompt=begun[1].replace("ha", "oh"), old="y", new="Perth", reason="none"),
        Implied(prompt="The prime minister of Australia lives in the city of", old="Sydney",
                new="Melbourne", reason="none"),
    ]  # fmt: skip
    with Trial(Settings()) as trial:
        sieve = Sieve(edit, works=trial.works)
        prompts = sieve.sift("prompts", begun, 2, None, "m@2026-11-29#1")
        implied = sieve.sift("implications", follows, 2, None, "m@2026-11-29#2")
        held = sieve.sift("holdout", [f"{begun[1]}, then"], 2, None, "m@2026-11-29#3")
    assert [prompt.text for prompt in prompts] == ["In <subject>, laws are debated in"]
    assert [one.prompt for one in implied] == [
        "The prime minister of <subject> lives in the city of"
    ]
    assert [prompt.text for prompt in held] == [
        f"<subject>{begun[1].removeprefix('Australia')}, then"
    ]
    assert {dropped.reason for dropped in sieve.dropped} == {
        "does not make the model say the object in its target context"
    }
    assert len(sieve.edit.prompts) == len(edit.prompts) + 1
