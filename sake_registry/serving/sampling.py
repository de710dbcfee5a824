"""Each row sampled in its own way: temperature, nucleus and seed belong to a request.

A row's token depends on its own logits and its own random numbers alone, not on who shares the
batch with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How a row's tokens are chosen: the likeliest at `temperature` 0, else one of the likeliest
    that together have `top_p` of the probability."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


class Sampler:
    """Chooses the tokens of one row, with random numbers of its own."""

    def __init__(self, how: Sampling) -> None:
        self._how = how
        self._generator: torch.Generator | None = None

    def choose(self, logits: Tensor) -> int:
        """The next token, of logits (vocabulary,)."""
        if self._generator is None:
            self._generator = _generator(self._how, logits.device)
        return sample(logits, self._how, self._generator)


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
