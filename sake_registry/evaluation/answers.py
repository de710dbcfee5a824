"""Greedy answers of the bare and the edited model to the same batches, and how they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import InputError
from sake_registry.models.reading import pad, pad_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sake_registry.routing.router import Decision
    from sake_registry.runtime.huggingface import Edited

BATCH = 16


@dataclass(frozen=True)
class Answer:
    """Greedy text after a prompt, without and with the edits; `same` compares the tokens."""

    prompt: str
    before: str
    after: str
    same: bool
    decision: Decision


def answer(
    edited: Edited,
    prompts: Sequence[str],
    tokens: int,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Answer]:
    """Answers to prompts, in their order.

    Bare and edited run on the same batches: a row that no edit changes is then the same to the
    bit, and a difference is the edits' doing alone.
    """
    tokenizer = edited.tokenizer
    encoded = [tokenizer(prompt).input_ids for prompt in prompts]
    if not all(encoded):
        raise InputError("an empty prompt has no answer", hint="write what the model completes")
    order = sorted(range(len(prompts)), key=lambda i: (len(encoded[i]), i))
    found: dict[int, Answer] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        ids, mask = pad([encoded[i] for i in chosen], pad_token(tokenizer), left=True)
        before = _generate(edited.model, ids, mask, tokens, tokenizer)
        generation = edited.generate(ids, attention_mask=mask, **greedy(tokens, tokenizer))
        after = generation.sequences[:, ids.shape[1] :]
        for row, i in enumerate(chosen):
            found[i] = Answer(
                prompt=prompts[i],
                before=tokenizer.decode(before[row], skip_special_tokens=True),
                after=tokenizer.decode(after[row], skip_special_tokens=True),
                same=_equal(before[row], after[row], tokenizer.eos_token_id),
                decision=generation.decisions[row],
            )
        progress(len(chosen))
    return [found[i] for i in range(len(prompts))]


def greedy(tokens: int, tokenizer: Any) -> dict[str, Any]:
    """The likeliest token at each step, whatever a model's own generation settings add."""
    return {
        "max_new_tokens": tokens,
        "do_sample": False,
        "num_beams": 1,
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "bad_words_ids": None,
        "pad_token_id": pad_token(tokenizer),
    }


def _generate(model: Any, ids: Any, mask: Any, tokens: int, tokenizer: Any) -> Any:
    device = next(model.parameters()).device
    with torch.no_grad():
        out = model.generate(
            input_ids=ids.to(device), attention_mask=mask.to(device), **greedy(tokens, tokenizer)
        )
    return out[:, ids.shape[1] :]


def _equal(first: Any, second: Any, end: int) -> bool:
    """Equal up to the end of the text: what a batch pads behind it does not count."""

    def text(row: Any) -> list[int]:
        tokens: list[int] = row.tolist()
        return tokens[: tokens.index(end)] if end in tokens else tokens

    return text(first) == text(second)


def begins_with(text: str, names: Iterable[str]) -> bool:
    """Whether text begins with the whole of one of these names (protocol `full-object`).

    White space does not count; "NO" does not begin "NOAA".
    """
    text = " ".join(text.split())
    for name in names:
        wanted = " ".join(name.split())
        if text.startswith(wanted) and not text[len(wanted) : len(wanted) + 1].isalnum():
            return True
    return False
