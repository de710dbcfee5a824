"""Tokens of an object: behind a prompt, and where its last word ends."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSPACED = frozenset("CJK HIRAGANA KATAKANA HANGUL THAI LAO KHMER MYANMAR TIBETAN".split())
"""Scripts in which a letter behind a name does not make it another one."""


def object_tokens(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of a prompt, and of `answer` after it, in their joint text (invariant 11)."""
    alone = list(tokenizer(prompt, add_special_tokens=True).input_ids)
    joint = list(tokenizer(f"{prompt} {answer}", add_special_tokens=True).input_ids)
    shared = 0
    while shared < min(len(alone), len(joint)) and alone[shared] == joint[shared]:
        shared += 1
    # Tokenizers that close a text with a special token do so behind the object as well.
    closing = alone[shared:]
    ends = len(joint) - len(closing) if closing and joint[-len(closing) :] == closing else None
    tokens = joint[shared:ends]
    return joint[:shared], tokens or joint[-1:]


def object_token(tokenizer: Any, prompt: str, answer: str) -> int:
    """The first token of `answer` after `prompt`, in their joint text (invariant 11)."""
    return object_tokens(tokenizer, prompt, answer)[1][0]


def runs_on(tokenizer: Any, said: Sequence[int], token: int) -> bool:
    """Whether a token continues the word that ends what was said: "sitcom" and "s"."""

    def text(tokens: Sequence[int]) -> str:
        return str(
            tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    before, after = text(said), text([*said, token])
    if not before or not after.startswith(before):
        return False
    last, next_ = before[-1], after[len(before) :][:1]
    spaced = unicodedata.name(last, "").split(" ")[0] not in _UNSPACED
    return spaced and _in_word(last) and next_ != "" and _in_word(next_)


def _in_word(character: str) -> bool:
    """Letters, the marks on them, digits."""
    return unicodedata.category(character)[0] in "LMN"
