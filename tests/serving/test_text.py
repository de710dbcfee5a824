"""The text of an answer: its pieces, joined, are what its tokens decode to; none ends within a
character, and no stop string is let out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.serving.text import AnswerText
from tests import tiny_models

TOKENIZER = tiny_models.tokenizer()
TEXTS = (
    "plain text, and more",
    "naïve café",
    "東京 は 大きい",
    "a 🦜 and 👩‍👩‍👧",
    "Привет, мир",
    "",
)


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return ids


def decoded(ids: list[int]) -> str:
    text: Any = TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text_and_none_ends_within_a_character(text: str) -> None:
    answer = AnswerText(TOKENIZER)
    pieces = [answer.push(token) for token in ids_of(text)]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) == text
    assert answer.finish() == ""


@given(st.text(max_size=40))
def test_any_text_comes_whole(text: str) -> None:
    answer = AnswerText(TOKENIZER)
    ids = ids_of(text)
    assert "".join(map(answer.push, ids)) + answer.finish() == decoded(ids)


def test_half_a_character_comes_when_nothing_follows_it() -> None:
    ids = ids_of("ok 🦜")[:-1]
    answer = AnswerText(TOKENIZER)
    pieces = [answer.push(token) for token in ids]
    assert "".join(pieces) == "ok "
    assert "".join(pieces) + answer.finish() == decoded(ids)


@given(
    st.text("ab\n.", max_size=30), st.lists(st.text("ab\n.", min_size=1, max_size=4), max_size=3)
)
def test_an_answer_ends_before_its_first_stop_string(text: str, stops: list[str]) -> None:
    answer = AnswerText(TOKENIZER, stops)
    said = ""
    for token in ids_of(text):
        said += answer.push(token)
        if answer.stopped:
            break
    said += answer.finish()
    found = [text.find(stop) for stop in stops if stop in text]
    assert answer.stopped == bool(found)
    if not found:
        assert said == text
    else:
        assert text.startswith(said)
        assert not any(stop in said for stop in stops)
        assert any(text.startswith(stop, len(said)) for stop in stops)
