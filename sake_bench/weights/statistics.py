"""The second moment of a projection's inputs (keys), from text that the model itself writes.

ROME and MEMIT estimate C = E[k kᵀ] on Wikipedia. Here the model samples the text: nothing has
to be downloaded, and what the edit must leave alone is what the model would say. One sampling
pass serves all layers; the result is kept in the project's store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sake_bench.weights.layout import read_keys
from sake_registry.digests import digest
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_bench.weights.layout import Layout
    from sake_registry.models.loading import LoadedModel
    from sake_registry.progress import Progress
    from sake_registry.store import Store

TOKENS = 100_000
"""The least number of tokens that a covariance is made from."""
_ROWS = 64
_LENGTH = 128
_LIKELIEST = 200
_VERSION = 1
"""Raised whenever the same model and seed give another covariance."""
_OPENINGS = (
    "The", "In", "It", "A", "He", "She", "This", "On", "When", "For", "According", "After",
    "There", "They", "We", "At", "One", "As", "Many", "From", "Its", "During", "Most", "If",
)  # fmt: skip


@torch.no_grad()
def sample(
    loaded: LoadedModel,
    rows: int,
    length: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Texts of the model as token ids: `rows` lists of `length`, each behind a neutral opening.

    Temperature 1 among the `_LIKELIEST` next tokens; special tokens are left out, so that a text
    does not end. The same generator state gives the same texts on one machine.
    """
    model: Any = loaded.model
    tokenizer: Any = loaded.tokenizer
    device = next(model.parameters()).device
    begun = [tokenizer(words).input_ids for words in _OPENINGS]
    chosen = torch.randint(len(begun), (rows,), generator=generator).tolist()
    shortest = min(len(opening) for opening in begun)
    ids = torch.tensor([begun[i][:shortest] for i in chosen], device=device)
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)), device=device)
    written, past = [ids], None
    for _ in range(length - shortest):
        out = model(input_ids=written[-1], past_key_values=past, use_cache=True)
        past = out.past_key_values
        logits = out.logits[:, -1].float().index_fill(-1, special, -torch.inf)
        best, tokens = logits.topk(min(_LIKELIEST, logits.shape[-1] - len(special)))
        drawn = torch.multinomial(best.softmax(-1).cpu(), 1, generator=generator)
        written.append(tokens.gather(-1, drawn.to(device)))
    texts: list[list[int]] = torch.cat(written, dim=1)[:, :length].tolist()
    return texts


def second_moments(
    layout: Layout, texts: Sequence[Sequence[int]], layers: Sequence[int]
) -> list[Tensor]:
    """Sum of k kᵀ over all tokens of texts of one length, per layer: (keys, keys) float64."""
    ids = torch.tensor(texts)
    sums = []
    for keys in read_keys(layout, ids, torch.ones_like(ids), layers):
        flat = keys.flatten(0, 1).float()
        sums.append((flat.T @ flat).double().cpu())
    return sums


def covariances(
    loaded: LoadedModel,
    layout: Layout,
    store: Store,
    layers: Sequence[int],
    seed: int,
    tokens: int = TOKENS,
    progress: Progress = SILENT,
) -> dict[int, Tensor]:
    """The uncentred covariance E[k kᵀ] of the keys at some layers, from the store or made now.

    Args:
        tokens: the least number of tokens to sample.
        progress: advances by the tokens of each batch.

    Returns:
        layer → (keys, keys) float64 on the CPU.

    Raises:
        StorageError: the store cannot be written.
        LockedError: another process writes to it.
    """
    key = _key(loaded, layers, seed, tokens)
    known = store.get("covariance", key)
    if known is None:
        generator = torch.Generator().manual_seed(seed)
        limit = getattr(loaded.model.config, "max_position_embeddings", _LENGTH)
        rows, length = _ROWS, min(_LENGTH, limit)
        sums = [torch.zeros((), dtype=torch.float64) for _ in layers]
        count = 0
        while count < tokens:
            texts = sample(loaded, rows, length, generator)
            parts = second_moments(layout, texts, layers)
            sums = [total + part for total, part in zip(sums, parts, strict=True)]
            count += rows * length
            progress.advance(rows * length)
        covariances_ = {
            str(layer): total / count for layer, total in zip(layers, sums, strict=True)
        }
        note = {"tokens": count, "seed": seed, "model": loaded.located.hash}
        with store.lock():
            store.put("covariance", key, covariances_, note)
    else:
        covariances_ = known[0]
    return {layer: covariances_[str(layer)] for layer in layers}


def _key(loaded: LoadedModel, layers: Sequence[int], seed: int, tokens: int) -> str:
    located = loaded.located
    return digest([located.hash, located.dtype, list(layers), tokens, seed, _VERSION])
