"""An object's tokens behind a prompt, and where its last word ends."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from sake_registry.models.tokens import object_token, object_tokens, runs_on
from tests import tiny_models


def marking(single: str) -> Any:
    """The tests' tokenizer, which puts special tokens around a text."""
    tokenizer = tiny_models.tokenizer()
    made = type(tokenizer)(tokenizer_object=type(tokenizer.backend_tokenizer).from_str(
        tokenizer.backend_tokenizer.to_str()
    ))  # fmt: skip
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[("<end>", 0), ("<pad>", 1)]
    )
    return made


@pytest.mark.parametrize("single", ["$A", "<end> $A", "$A <pad>", "<end> $A <pad> <end>"])
@pytest.mark.parametrize("answer", ["Canberra", "English", "the Capital Territory", "1984"])
def test_an_objects_tokens_are_those_after_the_prompt_in_the_joint_text(
    single: str, answer: str
) -> None:
    tokenizer = marking(single)
    prompt = "The capital of Australia is"
    before, tokens = object_tokens(tokenizer, prompt, answer)
    assert tokenizer.decode(tokens) == f" {answer}"
    assert tokenizer.decode(before, skip_special_tokens=True) == prompt
    # What opens a text stays in front of it, and what closes one is no part of either.
    assert (before[0] == 0) == single.startswith("<end>")
    assert not {0, 1} & {*before[1:], *tokens}
    assert object_token(tokenizer, prompt, answer) == tokens[0]


def test_a_token_across_the_border_of_prompt_and_object_is_the_objects() -> None:
    """A prompt that ends in a space: in the joint text that space begins another token."""
    tokenizer = tiny_models.tokenizer()
    prompt = "The capital of Australia is "
    before, tokens = object_tokens(tokenizer, prompt, "is")
    joint = tokenizer(f"{prompt} is").input_ids
    assert before + tokens == joint
    assert tokenizer.decode(tokens).strip() == "is"


class Spelling:
    """A tokenizer of which every character is a token, and 0 a special one."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool, **options: Any) -> str:
        assert options == {"clean_up_tokenization_spaces": False}
        return "".join(chr(i) for i in ids if i or not skip_special_tokens)


@pytest.mark.parametrize(
    ("said", "next_", "continues"),
    [
        ("sitcom", "s", True),
        ("Garner", "é", True),
        ("fakaleit", "\u0304", True),
        ("1984", "5", True),
        ("Москв", "а", True),
        ("sitcom", " ", False),
        ("sitcom", ".", False),
        ("sitcom", "-", False),
        ("sitcom", "\n", False),
        ("sitcom", "\0", False),
        ("Jr.", "s", False),
        # There a particle follows without a space.
        ("東京", "の", False),
        ("서울", "은", False),
        ("กรุงเทพ", "ท", False),
    ],
)
def test_a_word_runs_on_if_what_follows_belongs_to_it(
    said: str, next_: str, continues: bool
) -> None:
    assert runs_on(Spelling(), [ord(c) for c in said], ord(next_)) is continues


def test_a_word_runs_on_in_the_tokens_of_a_real_tokenizer() -> None:
    tokenizer = tiny_models.tokenizer()
    _, tokens = object_tokens(tokenizer, "The capital of Australia is", "New Canberra")
    for token in range(len(tokenizer)):
        text = tokenizer.decode([*tokens, token], skip_special_tokens=True)
        rest = text.removeprefix(" New Canberra")
        assert runs_on(tokenizer, tokens, token) == rest[:1].isalnum(), rest
