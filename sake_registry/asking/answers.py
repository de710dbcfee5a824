"""Greedy answers of the bare and the edited model to the same batches, and how they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import InputError
from sake_registry.models.reading import pad, pad_token
from sake_registry.models.tokens import continues, object_tokens
from sake_registry.progress import SILENT
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.generation import greedy
from sake_registry.runtime.steering import BEHIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sake_registry.progress import Progress
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import EditedModel

BATCH = 16
TOKENS = 10
"""Tokens of an answer, at the least."""


@dataclass(frozen=True)
class Continuation:
    """A greedy continuation: its text, its tokens up to the end of the text, the decision."""

    text: str
    tokens: tuple[int, ...]
    decision: Decision


def needed(tokenizer: Any, prompt: str, accepted: Iterable[str]) -> int:
    """As many tokens of an answer as show the longest accepted object and its end."""
    names = (name for name in accepted if name.strip())
    lengths = (len(object_tokens(tokenizer, prompt, name)[1]) for name in names)
    return max([TOKENS, *(length + BEHIND for length in lengths)])


def answer(
    edited: EditedModel, prompts: Sequence[str], tokens: Sequence[int], progress: Progress = SILENT
) -> list[tuple[Continuation, Continuation]]:
    """The bare and the edited model's answers to prompts, in their order; `tokens` of each.

    Both run on the same batches: a row that no edit changes is then the same to the bit, and a
    difference is the edits' doing alone.
    """
    undecided = [(prompt, None) for prompt in prompts]
    bare = continue_greedily(edited.model, edited.tokenizer, undecided, tokens, BATCH)
    after = continue_greedily(edited, edited.tokenizer, undecided, tokens, BATCH, progress)
    return list(zip(bare, after, strict=True))


def continue_greedily(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[str, Decision | None]],
    tokens: Sequence[int],
    batch: int,
    progress: Progress = SILENT,
) -> list[Continuation]:
    """Greedy continuations, in the order of the prompts.

    Batches depend on the prompts and their numbers of tokens alone: the same prompts to the bare
    and to an edited model run on the same ones.

    Args:
        model: a bare model, or one with a bundle attached.
        prompts: each with its decision; None lets the edited model's router decide.
        tokens: how many tokens of each answer.
        progress: advanced by each prompt that is answered.

    Raises:
        InputError: an empty prompt.
    """
    encoded = [tokenizer(prompt).input_ids for prompt, _ in prompts]
    if not all(encoded):
        raise InputError("an empty prompt has no answer", hint="write what the model completes")
    order = sorted(range(len(prompts)), key=lambda i: (tokens[i], len(encoded[i]), i))
    batches = [
        members[start : start + batch]
        for _, of_length in groupby(order, key=lambda i: tokens[i])
        for members in [list(of_length)]
        for start in range(0, len(members), batch)
    ]
    continuations: dict[int, Continuation] = {}
    for chosen in batches:
        length = tokens[chosen[0]]
        ids, mask = pad([encoded[i] for i in chosen], pad_token(tokenizer), left=True)
        decisions = [decision for i in chosen if (decision := prompts[i][1]) is not None]
        if isinstance(model, torch.nn.Module):
            rows = _generate(model, ids, mask, length, tokenizer)
            decisions = [prompts[i][1] or NOBODY for i in chosen]
        else:
            # The prompts as they stand are decided on, and not what their tokens decode to.
            decisions = decisions or model.decide([prompts[i][0] for i in chosen])
            generation = model.generate(
                ids, attention_mask=mask, decisions=decisions, **greedy(length, tokenizer)
            )
            rows, decisions = generation.sequences[:, ids.shape[1] :], generation.decisions
        for row, decision, i in zip(rows, decisions, chosen, strict=True):
            text = tokenizer.decode(row, skip_special_tokens=True)
            continuations[i] = Continuation(text, _until_end(row, tokenizer.eos_token_id), decision)
        progress.advance(len(chosen))
    return [continuations[i] for i in range(len(prompts))]


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

    White space does not count. The name must end there: "NO" does not begin "NOAA", nor
    "help@acme.example" what goes on with ".com".
    """
    text = " ".join(text.split())
    for name in names:
        name = " ".join(name.split())
        if text.startswith(name) and not continues(name, text[len(name) :]):
            return True
    return False
