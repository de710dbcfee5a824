"""Prompts become distributions: at least n, in a fixed order, nothing written is lost."""

from __future__ import annotations

from typing import Any

import pytest

from sake_registry.edits.schema import Edit
from sake_registry.extraction.texts import groups


def edit(prompts: list[str], aliases: tuple[str, ...] = (), **more: Any) -> Edit:
    return Edit.model_validate(
        {
            "id": "e",
            "schema": 1,
            "fact": {
                "subject": {"text": "Leo Tolstoy", "aliases": aliases},
                "relation": "mother tongue",
                "old": "Russian",
                "new": "Polish",
            },
            "prompts": prompts,
            **more,
        }
    )


@pytest.mark.parametrize("n", [4, 60, 500])
@pytest.mark.parametrize("written", [1, 6, 45])
def test_few_prompts_are_brought_to_n_and_no_prompt_stands_twice(n: int, written: int) -> None:
    (fact,) = groups(edit([f"Prompt {i} of <subject> is" for i in range(written)]), n)
    assert len(fact.prompts) == max(n, written)
    assert len(set(fact.prompts)) == len(fact.prompts)
    assert fact.prompts[:written] == tuple(f"Prompt {i} of Leo Tolstoy is" for i in range(written))
    assert (fact.written, fact.added) == (written, max(n - written, 0))
    # Each ends as it was written: the object comes next.
    assert all(prompt.endswith(" of Leo Tolstoy is") for prompt in fact.prompts)


def test_aliases_are_not_compiled_and_the_order_is_fixed() -> None:
    one = groups(edit(["<subject> spoke"], ("Lev Tolstoy",)), 10)
    assert one == groups(edit(["<subject> spoke"]), 10)
    assert one[0].prompts[0] == "Leo Tolstoy spoke"
    assert all(prompt.endswith(" Leo Tolstoy spoke") for prompt in one[0].prompts[1:])


@pytest.mark.parametrize("n", [4, 60, 500])
def test_each_prompt_knows_its_wording(n: int) -> None:
    written = [f"Prompt {i} of <subject> is" for i in range(7)]
    (fact,) = groups(edit([*written, written[2]]), n)
    assert len(fact.stem_of) == len(fact.prompts)
    assert fact.stem_of[:7] == tuple(range(7))
    for prompt, stem in zip(fact.prompts, fact.stem_of, strict=True):
        assert prompt.endswith(f"Prompt {stem} of Leo Tolstoy is")
    # No wording is left behind: their numbers differ by one at most.
    numbers = [fact.stem_of.count(stem) for stem in range(7)]
    assert max(numbers) - min(numbers) <= 1


def test_implications_with_one_answer_are_one_group() -> None:
    found = groups(
        edit(
            ["<subject> spoke"],
            implications=[
                {"prompt": "<subject> came from", "old": "Russia", "new": "Poland"},
                {"prompt": "The country of <subject> is", "old": "Russia", "new": "Poland"},
                {"prompt": "The capital of the country of <subject> is", "new": "Warsaw"},
            ],
        ),
        60,
    )
    assert [(g.kind, g.old, g.new, g.written, len(g.prompts)) for g in found] == [
        ("fact", "Russian", "Polish", 1, 60),
        ("implication", "Russia", "Poland", 2, 20),
        ("implication", None, "Warsaw", 1, 20),
    ]
    assert found[1].fact_new == "Leo Tolstoy spoke Polish"


def test_an_implication_that_stands_twice_is_written_once() -> None:
    same = {"prompt": "<subject> came from", "new": "Poland"}
    _, found = groups(edit(["<subject> spoke"], implications=[same] * 5), 3)
    assert (found.written, found.added, len(found.prompts)) == (1, 0, 1)
