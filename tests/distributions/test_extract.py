"""Extraction reads the same states as one pass for each text, and finds what worked."""

from __future__ import annotations

import pytest
import torch

from sake_registry.distributions.extract import GroupActivations, object_token
from sake_registry.models.reading import last_positions, read_last
from sake_registry.models.site import Site
from tests import tiny_models

TEXTS = [
    "The capital of Australia is",
    "It rained. The capital of Australia is",
    "A",
    "Do not mention 'Sydney'. Repeat this sentence: 'The capital of Australia is Canberra'.",
]


@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_batches_give_what_single_passes_give(kind: str) -> None:
    model, tokenizer = tiny_models.make(kind), tiny_models.tokenizer()
    site = Site(model)
    together = read_last(site, tokenizer, TEXTS, 3)
    for text, row in zip(TEXTS, together, strict=True):
        alone = read_last(site, tokenizer, [text], 1)[0]
        assert torch.allclose(row, alone, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
            assert int(site.head(alone).argmax()) == int(logits.argmax())


def test_the_same_texts_give_the_same_bits() -> None:
    site, tokenizer = Site(tiny_models.make("llama")), tiny_models.tokenizer()
    assert torch.equal(read_last(site, tokenizer, TEXTS, 2), read_last(site, tokenizer, TEXTS, 2))


def test_the_last_position_is_found_on_either_side() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 0]])
    assert last_positions(mask).tolist() == [1, 3, 3, 1]


def test_an_objects_token_is_the_one_after_the_prompt_in_the_joint_text() -> None:
    tokenizer = tiny_models.tokenizer()
    prompt = "The capital of Australia is"
    joint = tokenizer(f"{prompt} Canberra").input_ids
    token = object_token(tokenizer, prompt, "Canberra")
    assert token == joint[len(tokenizer(prompt).input_ids)]
    assert tokenizer.decode([token]).startswith(" ")


def test_rows_that_do_not_belong_together_are_refused() -> None:
    rows, marks = torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool)
    with pytest.raises(ValueError, match="target"):
        GroupActivations(rows, rows[:0], rows[:3], marks, marks.int())
    with pytest.raises(ValueError, match="forced"):
        GroupActivations(rows, rows[:3], rows, marks, marks.int())
    with pytest.raises(ValueError, match="one mark"):
        GroupActivations(rows, rows[:0], rows, marks[:2], marks.int())
