"""Greedy answers of the bare and the edited model to the same batches, and how they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import InputError
from sake_registry.models.reading import pad, pad_token
from sake_registry.routing.router import NOBODY

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
    told = [(prompt, None) for prompt in prompts]
    bare = continue_greedily(edited.model, edited.tokenizer, told, tokens, BATCH)
    after = continue_greedily(edited, edited.tokenizer, told, tokens, BATCH, progress)
    return [
        Answer(prompt, a.text, b.text, a.tokens == b.tokens, b.decision)
        for prompt, a, b in zip(prompts, bare, after, strict=True)
    ]


@dataclass(frozen=True)
class Continuation:
    """A greedy continuation: its text, its tokens up to the end of the text, the decision."""

    text: str
    tokens: tuple[int, ...]
    decision: Decision


def continue_greedily(
    model: Any,
    tokenizer: Any,
    told: Sequence[tuple[str, Decision | None]],
    tokens: int,
    batch: int,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Continuation]:
    """Greedy continuations, in the order of `told`.

    Batches depend on the prompts alone: the same prompts to the bare and to an edited model run
    on the same ones.

    Args:
        model: a bare model, or an `Edited` one.
        told: prompts, each with its decision; None lets the edited model's router decide.
        progress: called with the number of prompts just answered.

    Raises:
        InputError: an empty prompt.
    """
    encoded = [tokenizer(prompt).input_ids for prompt, _ in told]
    if not all(encoded):
        raise InputError("an empty prompt has no answer", hint="write what the model completes")
    order = sorted(range(len(told)), key=lambda i: (len(encoded[i]), i))
    found: dict[int, Continuation] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        ids, mask = pad([encoded[i] for i in chosen], pad_token(tokenizer), left=True)
        decisions = [decision for i in chosen if (decision := told[i][1]) is not None]
        if isinstance(model, torch.nn.Module):
            rows = _generate(model, ids, mask, tokens, tokenizer)
            decisions = [told[i][1] or NOBODY for i in chosen]
        else:
            # The prompts as they stand are decided on, and not what their tokens decode to.
            decisions = decisions or model.decide([told[i][0] for i in chosen])
            generation = model.generate(
                ids, attention_mask=mask, decisions=decisions, **greedy(tokens, tokenizer)
            )
            rows, decisions = generation.sequences[:, ids.shape[1] :], generation.decisions
        for row, decision, i in zip(rows, decisions, chosen, strict=True):
            text = tokenizer.decode(row, skip_special_tokens=True)
            found[i] = Continuation(text, _until_end(row, tokenizer.eos_token_id), decision)
        progress(len(chosen))
    return [found[i] for i in range(len(told))]


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


def _until_end(row: Any, end: int) -> tuple[int, ...]:
    """Tokens up to the end of the text: what a batch pads behind it does not count."""
    tokens: list[int] = row.tolist()
    return tuple(tokens[: tokens.index(end)] if end in tokens else tokens)


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
