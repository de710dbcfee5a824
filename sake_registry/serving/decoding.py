"""Answers under way, a token at each step: rows join while others run, and leave when they end.

Guarantees:
- A row gets the tokens that it would get alone, but for the last bits by which company moves
  logits. Rows stand aligned on the right: what the cache holds left of a row's beginning is masked,
  and its positions count from there.
- Rows under way wait for no more of other rows' prompts, between two tokens, than one portion.
- Each row has its own bundle, decision, sampling and end. A pass is steered by every bundle that
  answers a row of it, and raises if one of them did not see it; where no edit fires it is the bare
  model's.
- Decoding proves itself before it is used: what it computes is what the model makes of the whole
  texts, or it is refused. Where a cache cannot be joined (one of recurrent states) rows do not
  join: others are admitted when all are done.
- A pass that fails loses the rows that took it, and no others. A row that was lost may be admitted
  again (`Row.alone`): what it holds is its text, which is read anew.
"""

from __future__ import annotations

import inspect
import logging
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.reading import PROBE_TEXTS, pad, pad_token
from sake_registry.runtime.huggingface import FAILURES
from sake_registry.runtime.probe import TOLERANCE
from sake_registry.serving.asked import Asked, Prompt, Row
from sake_registry.serving.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.runtime.huggingface import Edited
    from sake_registry.runtime.steering import Answering

log = logging.getLogger(__name__)

_JOINED = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of a cache that hold nothing but a row's keys and values, by position."""
_CACHES = ("past_key_values", "cache_params")
"""What models call the cache that they are given."""
_SUPPORTED = (
    "supported: transformers' own models, whose cache is a DynamicCache; others may be edited in "
    "Python, by `bundle.attach(model, tokenizer).generate`, or served by vLLM"
)


class Decoder:
    """The rows under way on a model; for one thread, under `torch.no_grad`.

    Args:
        portion: most tokens of prompts that are read in one pass.

    Raises:
        UnsupportedModelError: the model takes no cache, or does not compute with one what it does
            without.
    """

    def __init__(self, model: Any, tokenizer: Any, portion: int) -> None:
        self._model, self._portion, self._padding = model, portion, pad_token(tokenizer)
        self._device = next(model.parameters()).device
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        if self._takes.isdisjoint(_CACHES):
            raise UnsupportedModelError(
                f"{type(model).__name__} cannot be served: it takes no cache of keys and values "
                f"({' or '.join(_CACHES)})",
                hint=_SUPPORTED,
            )
        self._filling: _Batch | None = None
        self._running: _Batch | None = None
        self.joins = all(type(layer) in _JOINED for layer in self._cache().layers)
        self._prove(tokenizer)

    @property
    def filling(self) -> list[Row]:
        """The rows whose prompts are being read."""
        return self._filling.rows if self._filling else []

    @property
    def running(self) -> list[Row]:
        """The rows that have their first token."""
        return self._running.rows if self._running else []

    def admit(self, rows: Sequence[Row]) -> int:
        """Let rows join, the first of these that are read together; returns how many. One that is
        to be alone is read by itself.

        None while the prompts of others are being read, or where rows do not join.
        """
        if not rows or self._filling or (self._running and not self.joins):
            return 0
        taken = longest = 0
        for row in rows:
            longest = max(longest, len(row.ids))
            wide = self.joins and longest * (taken + 1) > self._portion
            if taken and (wide or row.alone or rows[0].alone):
                break
            taken += 1
        self._filling = _Batch(list(rows[:taken]), self._cache(), self._padding, self._device)
        return taken

    def fill(self) -> None:
        """Read a portion of the prompts of the rows that were admitted; those that are read get
        their first token, and are under way."""
        batch, self._filling = self._filling, None
        if batch is None:
            return
        count = max(1, self._portion // len(batch.rows)) if self.joins else batch.ids.shape[1]
        last = count >= batch.ids.shape[1]
        logits = self._pass(batch, batch.ids[:, :count], batch.unread[:, :count], steered=last)
        batch.ids, batch.unread = batch.ids[:, count:], batch.unread[:, count:]
        if not last:
            self._filling = batch
            return
        self._take(batch, logits)
        running, self._running = self._running, None
        if running and batch.rows:
            running.join(batch)
        self._running = running or (batch if batch.rows else None)

    def step(self) -> None:
        """The next token of every row that is under way."""
        batch, self._running = self._running, None
        if batch is None:
            return
        self._take(batch, self._logits(batch))
        self._running = batch if batch.rows else None

    def _logits(self, batch: _Batch) -> Tensor:
        """What follows each row's newest token: (rows, vocabulary)."""
        newest = torch.tensor([row.tokens[-1:] for row in batch.rows], device=self._device)
        return self._pass(batch, newest, torch.ones_like(newest), steered=True)

    def _pass(self, batch: _Batch, ids: Tensor, mask: Tensor, *, steered: bool) -> Tensor:
        """What the model makes of these ids (rows, positions), behind what was read of the rows:
        the logits of the last position, (rows, vocabulary)."""
        batch.mask = torch.cat((batch.mask, mask), dim=1)
        places = (batch.mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        options = {
            "attention_mask": batch.mask,
            "position_ids": places,
            **dict.fromkeys(_CACHES, batch.cache),
            "logits_to_keep": 1,
        }
        options = {name: value for name, value in options.items() if name in self._takes}
        with ExitStack() as stack:
            for edited, rows in batch.steered().items() if steered else ():
                stack.enter_context(edited.steering(rows))
            output = self._model(input_ids=ids, use_cache=True, **options)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _take(self, batch: _Batch, logits: Tensor) -> None:
        """Give each row its next token; those that are done leave."""
        likeliest = logits.argmax(dim=-1).tolist()
        for i, row in enumerate(batch.rows):
            if not row.done:
                row.take(row.sampler.choose(logits[i]) if row.sampler else likeliest[i])
        left = [i for i, row in enumerate(batch.rows) if not row.done]
        if len(left) < len(batch.rows) and (self.joins or not left):
            batch.keep(left)

    def _cache(self) -> DynamicCache:
        return DynamicCache(config=self._model.config)

    # -- its proof -----------------------------------------------------------------------------

    @torch.no_grad()
    def _prove(self, tokenizer: Any) -> None:
        dtype = str(next(self._model.parameters()).dtype).removeprefix("torch.")
        allowed = TOLERANCE.get(dtype, max(TOLERANCE.values()))
        off = self._off(tokenizer)
        if self.joins and not off <= allowed:
            self.joins = False
            off = self._off(tokenizer)
        if not off <= allowed:
            what = f"its logits are {off:.1%} away from those without"
            raise UnsupportedModelError(
                f"this model cannot be served: with a cache "
                f"{what if math.isfinite(off) else 'it fails'}",
                hint=_SUPPORTED,
            )

    def _off(self, tokenizer: Any) -> float:
        """How far decoding two texts, of which the second joins the first one, is from what the
        model makes of them: the relative distance of their logits."""
        rows = [
            Row(
                Asked("proof", (Prompt(tuple(tokenizer(text).input_ids), text),), (Sampling(0.0),),
                      8, (), None, lambda event: None),
                0, tokenizer, frozenset(),
            )
            for text in PROBE_TEXTS[:2]
        ]  # fmt: skip
        try:
            for few in [[row] for row in rows] if self.joins else [rows]:
                self.admit(few)
                while self._filling:
                    self.fill()
                self.step()
            batch, self._running = self._running, None
            assert batch is not None
            found = self._logits(batch).float()
        except FAILURES as error:
            log.warning("decoding with a cache fails: %s", error)
            self._filling = self._running = None
            return math.inf
        whole = [torch.tensor([row.ids]) for row in rows]
        expected = torch.cat(
            [self._model(input_ids=ids.to(self._device)).logits[:, -1] for ids in whole]
        ).float()
        return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


class _Batch:
    """Rows that take their passes together, aligned on the right.

    Attributes:
        ids: (rows, positions), what is still to be read of the prompts.
        unread: (rows, positions), which of it is no padding.
        mask: (rows, positions), what in the cache is the row's.
    """

    def __init__(
        self, rows: list[Row], cache: DynamicCache, padding: int, device: torch.device
    ) -> None:
        self.rows, self.cache = rows, cache
        ids, mask = pad([row.ids for row in rows], padding, left=True)
        self.ids, self.unread = ids.to(device), mask.to(device)
        self.mask = self.unread[:, :0]

    def steered(self) -> dict[Edited, list[tuple[int, Answering, Sequence[int]]]]:
        """The rows that edits answer, by the handle whose edits these are."""
        found: dict[Edited, list[tuple[int, Answering, Sequence[int]]]] = {}
        for i, row in enumerate(self.rows):
            if row.steered is not None and not row.done:
                edited, answering = row.steered
                if not answering.over(len(row.tokens)):
                    found.setdefault(edited, []).append((i, answering, row.tokens))
        return found

    def keep(self, places: Sequence[int]) -> None:
        """Let go of all other rows, and of the positions that only those had."""
        self.rows = [self.rows[i] for i in places]
        if not places:
            return
        chosen = torch.tensor(places, device=self.mask.device)
        self.mask = self.mask[chosen]
        width = int(self.mask.sum(dim=1).max())
        self.mask = self.mask[:, -width:]
        for layer in self._layers:
            kept = _held(layer, width)
            layer.keys = layer.keys[:, :, -kept:].index_select(0, chosen.to(layer.keys.device))
            layer.values = layer.values[:, :, -kept:].index_select(0, chosen.to(layer.keys.device))
            _resize(layer, width)

    def join(self, other: _Batch) -> None:
        """Take in the rows of another batch, as if all had been read together."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        self.mask = _stacked(self.mask[:, :, None], other.mask[:, :, None], width)[:, :, 0]
        self.rows = [*self.rows, *other.rows]
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            kept = _held(mine, width)
            mine.keys = _stacked(mine.keys, theirs.keys, kept)
            mine.values = _stacked(mine.values, theirs.values, kept)
            _resize(mine, width)

    @property
    def _layers(self) -> list[Any]:
        """The layers of the cache that hold something."""
        layers: list[Any] = self.cache.layers
        return [layer for layer in layers if layer.is_initialized]


def _held(layer: Any, width: int) -> int:
    """How many of so many positions a layer holds."""
    return min(width, layer.sliding_window - 1) if layer.is_sliding else width


def _resize(layer: Any, width: int) -> None:
    if layer.is_sliding:
        layer.cumulative_length = width


def _stacked(above: Tensor, below: Tensor, width: int) -> Tensor:
    """Rows (rows, …, positions, size) on top of others, with zeros where they begin later."""
    shape = (above.shape[0] + below.shape[0], *above.shape[1:-2], width, above.shape[-1])
    result = above.new_zeros(shape)
    result[: above.shape[0], ..., width - above.shape[-2] :, :] = above
    result[above.shape[0] :, ..., width - below.shape[-2] :, :] = below
    return result
