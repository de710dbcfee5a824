"""Reading the site for texts: batches in a fixed order, and the proof of a model by its probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from sake_registry.models.site import Site
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from sake_registry.progress import Progress

PROBE_TEXTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "She opened the door and saw",
    "def main(argv):\n    return",
    "In 1969, the first astronauts landed on the",
    "Das Wetter ist heute",
    "Once upon a time there was a",
    "3 + 4 =",
)
"""The texts whose activations every attach reproduces; of several kinds, so that a change
anywhere in the model moves one of them."""


class Readable(Protocol):
    """A place in a model whose hidden states can be read, as the site is."""

    model: nn.Module

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states of a batch there, (rows, positions, width)."""
        ...


def pad_token(tokenizer: Any) -> int:
    """The id to pad with. Padding is masked, so any will do where a tokenizer names none."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def pad(rows: Sequence[Sequence[int]], token: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Token ids of unequal length as (ids, attention mask), padded on the right or left."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), token, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), None) if left else slice(len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.long)
        mask[i, place] = 1
    return ids, mask


def last_positions(attention_mask: Tensor) -> Tensor:
    """The index of each row's last real position, whichever side is padded."""
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (attention_mask * positions).argmax(dim=1)


@torch.no_grad()
def read_tails(
    site: Readable,
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    tails: Sequence[int],
    batch_size: int,
    progress: Progress = SILENT,
) -> list[Tensor]:
    """Activations at the last positions of token ids, in the model's dtype: the site's, or
    those of another place.

    Batches are sorted by length and padded on the right, in an order that depends on the rows
    alone.

    Args:
        tails: of each row, how many of its last positions are read.

    Returns:
        For each row its activations, (tail, width).
    """
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    device = next(site.model.parameters()).device
    activations: list[Tensor] = [torch.empty(0)] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = pad([rows[i] for i in chosen], pad_token(tokenizer))
        ids, mask = (part.to(device) for part in batch)
        hidden, last = site.read(ids, mask), last_positions(mask).tolist()
        for place, i in enumerate(chosen):
            end = last[place] + 1
            activations[i] = hidden[place, end - tails[i] : end].clone()
        progress.advance(len(chosen))
    return activations


def read_last(
    site: Site,
    tokenizer: Any,
    texts: Sequence[str],
    batch_size: int,
    progress: Progress = SILENT,
) -> Tensor:
    """Site activations of texts at their last position, (texts, width), in the model's dtype."""
    rows = [tokenizer(text).input_ids for text in texts]
    tails = read_tails(site, tokenizer, rows, [1] * len(rows), batch_size, progress)
    return torch.cat(tails)


def prove(site: Site, tokenizer: Any) -> int:
    """Prove a site on two texts of unequal length; returns its width.

    Raises:
        UnsupportedModelError: it is not the site.
    """
    ids, mask = pad([tokenizer(t).input_ids for t in PROBE_TEXTS[:2]], pad_token(tokenizer))
    device = next(site.model.parameters()).device
    return site.prove(ids.to(device), mask.to(device))


def proved_site(model: nn.Module, tokenizer: Any) -> Site:
    """A model's site, proved; its hook stays on the model.

    Raises:
        UnsupportedModelError: the model has none, or it is not the site.
    """
    site = Site(model)
    prove(site, tokenizer)
    return site


def read_probe(site: Site, tokenizer: Any, texts: Sequence[str] = PROBE_TEXTS) -> Tensor:
    """Site activations of the probe texts, (texts, width) float32; each by itself, unpadded."""
    rows = [read_last(site, tokenizer, [text], 1)[0] for text in texts]
    return torch.stack(rows).float().cpu()
