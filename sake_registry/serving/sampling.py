"""Each row of a batch sampled in its own way: temperature, nucleus and seed belong to a request.

A row's token depends on its own logits and its own random numbers alone, not on who shares the
batch with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How a row's tokens are chosen: the likeliest at `temperature` 0, else one of the likeliest
    that together have `top_p` of the probability."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


class RowSampling(LogitsProcessor):
    """Leaves each row one token to choose; greedy rows are left as they are."""

    def __init__(self, rows: Sequence[Sampling], device: torch.device) -> None:
        self._rows = [(i, row, _generator(row, device)) for i, row in enumerate(rows)
                      if row.temperature > 0]  # fmt: skip

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """
        Args:
            input_ids: (rows, positions), not looked at.
            scores: logits (rows, vocabulary).

        Returns:
            `scores` with −∞ for all but the sampled token of the rows that are sampled.
        """
        if not self._rows:
            return scores
        result = scores.clone()
        for i, row, generator in self._rows:
            token = sample(scores[i], row, generator)
            result[i] = float("-inf")
            result[i, token] = 0.0
        return result


def sample(logits: Tensor, how: Sampling, generator: torch.Generator) -> int:
    """A token of logits (vocabulary,)."""
    probabilities = (logits.float() / how.temperature).softmax(-1)
    if how.top_p < 1:
        ordered, tokens = probabilities.sort(descending=True)
        # Those before which less than `top_p` has been counted: the likeliest always is among them.
        inside = ordered.cumsum(-1) - ordered < how.top_p
        probabilities = ordered[inside]
        return int(tokens[int(torch.multinomial(probabilities, 1, generator=generator))])
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _generator(how: Sampling, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    if how.seed is None:
        generator.seed()
    else:
        generator.manual_seed(how.seed)
    return generator
