"""An object's tokens behind a prompt, and where its last word ends."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from sake_registry.models.tokens import continued, continues, object_token, object_tokens
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
    ("name", "rest"),
    [
        ("sitcom", "s"),
        ("Garner", "é"),
        ("fakaleit", "\u0304"),
        ("1984", "5"),
        ("Москв", "а"),
        ("Москв", "\ufffd"),  # half of a letter
        ("トヨ", "タ"),
        ("Guinea", "-Bissau"),
        ("help@acme.example", ".com"),
        ("help@acme.example", "-eu"),
        ("https://npm.acme.example", "/npm-install"),
        ("https://npm.acme.example/", "npm-install"),
        ("https://docs.acme.example/v2", "_old"),
        ("24.11.0", ".3"),
        ("v2", "-rc1"),
        ("$29", ".99"),
        ("29", ",000"),
        ("1984", "-85"),
        ("5", "%"),
        ("+1 555 0100", "-2"),
    ],
)
def test_what_follows_makes_a_name_another_one(name: str, rest: str) -> None:
    assert continues(name, rest)
    assert continues(f"a {name}", f"{rest} and more")


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("sitcom", ""),
        ("sitcom", " s"),
        ("sitcom", "."),
        ("sitcom", "'s"),
        ("sitcom", "\n"),
        ("sitcom", "\0"),
        ("Jr.", "s"),
        ("Canberra", ".The"),
        ("help@acme.example", ". Write"),
        ("help@acme.example", ")"),
        ("https://npm.acme.example/", " npm"),
        ("https://npm.acme.example/", "."),
        ("24.11.0", "."),
        ("24.11.0", ", released"),
        ("$29", "/month"),
        ("$29", " per"),
        ("1984", "-"),
        # There a particle follows without a space.
        ("東京", "の"),
        ("서울", "은"),
        ("กรุงเทพ", "ท"),
        ("東京", "\ufffd"),
        ("24.11.0", "です"),
    ],
)
def test_what_follows_leaves_a_name_what_it_is(name: str, rest: str) -> None:
    assert not continues(name, rest)


@pytest.mark.parametrize(
    ("said", "after", "expected"),
    [
        ("v2", "", None),
        ("v2", ".", None),
        ("v2", "-.", None),
        ("v2", " -", False),
        ("v2", "-", True),
        ("Quaye", "\u2011", True),
        ("acme.example/form", "/", True),
        ("help@acme.example", "_", True),
        ("acme.example/form", ".", None),
        ("$29", "/", None),
        ("Vietnam", "?", True),
        ("Vietnam", " ?", True),
        ("ベトナム", "\uff1f", True),
        ("v2", ".1", True),
        ("v2", ". ", False),
        ("v2", "\n", False),
        ("v2", "\0", False),  # a special token: the answer ends
    ],
)
def test_the_end_of_a_name_is_open_while_only_marks_follow(
    said: str, after: str, expected: bool | None
) -> None:
    tokens, behind = ([ord(c) for c in text] for text in (said, after))
    assert continued(Spelling(), tokens, behind) is expected


def test_a_word_continues_in_the_tokens_of_a_real_tokenizer() -> None:
    tokenizer = tiny_models.tokenizer()
    _, tokens = object_tokens(tokenizer, "The capital of Australia is", "New Canberra")
    for token in range(len(tokenizer)):
        text = tokenizer.decode([*tokens, token], skip_special_tokens=True)
        rest = text.removeprefix(" New Canberra")
        half = rest.startswith("\ufffd")
        assert (continued(tokenizer, tokens, [token]) is True) == (
            rest[:1].isalnum()
            or half
            or (rest[:1] == "-" and rest[1:2].isalnum())
            or set(rest) == {"-"}
            or rest.lstrip().startswith("?")
        ), rest
