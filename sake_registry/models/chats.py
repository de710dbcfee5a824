"""A chat as a model's own template writes it.

A template is a program that came with the model, and may refuse what it is given in ways of its
own. Whatever it raises is here an `InputError` with its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from sake_registry.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def chat_text(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of a chat, up to where the answer begins.

    Args:
        tokenizer: of a model that has a template for chats (`chat_template`).
        messages: each with `role` and `content`.

    Raises:
        InputError: the template refuses them.
    """
    try:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(f"the model's chat template refuses these messages: {error}") from error
    return str(text)


def chat_ids(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """The token ids of `chat_text`, which holds the special tokens; errors are as there."""
    text = chat_text(tokenizer, messages)
    return list(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
