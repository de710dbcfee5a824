"""Requests are collected into batches, and each batch is one generation of the model.

Guarantees:
- A batch begins with one bundle and one set of disabled edits, and ends with them.
- What is waiting is bounded; whoever comes when it is full is told so at once.
- The request that waits longest leads the next batch; others join it where at most half of what is
  computed is padding.
- A row ends by itself (its end, its stop strings, its length, its time, its client's hanging up)
  and is told to its request at once; the batch goes on for the others.
- A batch that fails fails its requests, with a message, and nothing else.

The decoding loop is transformers' own: greedy, and a processor that leaves a sampled row one token
to choose (`serving.sampling`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from sake_registry.errors import SakeError
from sake_registry.models.reading import pad, pad_token
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.generation import greedy
from sake_registry.serving.asked import Begun, Failed, Row
from sake_registry.serving.sampling import RowSampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.serving.asked import Asked, Decided
    from sake_registry.serving.deciding import Deciding
    from sake_registry.serving.decisions import DecisionLog
    from sake_registry.serving.live import Attached, Live
    from sake_registry.serving.metrics import Metrics

log = logging.getLogger(__name__)

STOPPING = "the server is stopping"
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class BatchLimits:
    """How requests are collected.

    Attributes:
        rows: most rows of a batch.
        waiting: most requests that wait.
        window: seconds that a batch waits for more rows, if it is not full.
        lanes: batches that run at once.
    """

    rows: int = 16
    waiting: int = 256
    window: float = 0.005
    lanes: int = 1


class FullError(Exception):
    """Too many requests are waiting."""


class Batcher:
    """Answers requests in threads of its own, until it is closed."""

    def __init__(
        self,
        live: Live,
        deciding: Deciding,
        decisions: DecisionLog,
        metrics: Metrics,
        limits: BatchLimits,
    ) -> None:
        self._live, self._deciding = live, deciding
        self._decisions, self._metrics, self._limits = decisions, metrics, limits
        self._ends = end_tokens(live.model, live.tokenizer)
        self._waiting: deque[Asked] = deque()
        self._running: set[Asked] = set()
        self._changed, self._closed = threading.Condition(), False
        self._lanes = [
            threading.Thread(target=self._work, name=f"answering-{i}", daemon=True)
            for i in range(limits.lanes)
        ]
        for lane in self._lanes:
            lane.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for whom somebody waits."""
        with self._changed:
            return sum(not asked.cancelled for asked in self._waiting)

    @property
    def works(self) -> bool:
        """Whether requests are being answered."""
        return not self._closed and all(lane.is_alive() for lane in self._lanes)

    def submit(self, asked: Asked) -> None:
        """Have a request answered, as soon as there is room.

        Raises:
            FullError: too many are waiting.
        """
        with self._changed:
            if self._closed:
                asked.tell(Failed(STOPPING, busy=True))
                return
            if len(self._waiting) >= self._limits.waiting:
                self._drop()
            if len(self._waiting) >= self._limits.waiting:
                raise FullError
            self._waiting.append(asked)
            self._changed.notify()

    def close(self) -> None:
        """Answer nothing more: who waits is told so, who is being answered ends early."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            for asked in self._running:
                asked.cancelled = True
            self._changed.notify_all()
        for asked in left:
            asked.tell(Failed(STOPPING, busy=True))
        for lane in self._lanes:
            lane.join(_STOP_SECONDS)

    # -- a lane --------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closed:
            batch = self._collect()
            try:
                if batch:
                    self._answer(batch)
            except Exception as error:  # of the model or the bundle: the next batch may do well
                known = isinstance(error, SakeError)
                ids = ", ".join(asked.id for asked in batch)
                log.error("requests %s failed: %s", ids, error, exc_info=None if known else error)
                text = error.message if isinstance(error, SakeError) else type(error).__name__
                for asked in batch:
                    asked.tell(Failed(f"the answer failed: {text}"))
            finally:
                with self._changed:
                    self._running -= {*batch}

    def _collect(self) -> list[Asked]:
        """The next batch, waited for; empty if there is none after all."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            full = self._limits.rows
            self._changed.wait_for(
                lambda: self._closed or sum(len(a.prompts) for a in self._waiting) >= full,
                self._limits.window,
            )
            self._drop()
            batch = fitting(list(self._waiting), full)
            for asked in batch:
                self._waiting.remove(asked)
            self._running |= {*batch}
            return batch

    def _drop(self) -> None:
        """Let go of those for whom an answer would come too late."""
        for asked in [a for a in self._waiting if a.cancelled or a.late]:
            self._waiting.remove(asked)
            asked.tell(Failed("the request waited for too long", busy=True))

    def _answer(self, batch: Sequence[Asked]) -> None:
        rows = [
            Row(asked, number, self._live.tokenizer, self._ends)
            for asked in batch
            for number in range(len(asked.prompts))
        ]
        with self._live.held() as (attached, disabled):
            decided = self._deciding.decide(rows, attached, disabled)
            for asked in batch:
                of_it = [d for row, d in zip(rows, decided, strict=True) if row.asked is asked]
                for prompt, one in zip(asked.prompts, of_it, strict=True):
                    self._count(asked, one, prompt.text)
                asked.tell(Begun(tuple(of_it)))
            self._generate(rows, decided, attached)
        for asked in batch:
            if asked.cancelled:  # by its client, who hears nothing, or by `close`
                asked.tell(Failed(STOPPING, busy=True))
        self._metrics.tokens.inc(sum(row.tokens for row in rows))

    def _count(self, asked: Asked, decided: Decided, prompt: str) -> None:
        metrics = self._metrics
        metrics.count(decided)
        if decided.over_budget:
            metrics.over_budget.inc()
        self._decisions.write(asked.id, decided, prompt)

    def _generate(
        self, rows: Sequence[Row], decided: Sequence[Decided], attached: Attached | None
    ) -> None:
        model, tokenizer = self._live.model, self._live.tokenizer
        ids, mask = pad([row.prompt.ids for row in rows], pad_token(tokenizer), left=True)
        device = next(model.parameters()).device
        options: dict[str, Any] = {
            **greedy(max(row.asked.tokens for row in rows), tokenizer),
            "attention_mask": mask.to(device),
            "logits_processor": LogitsProcessorList(
                [RowSampling([row.sampling for row in rows], device)]
            ),
            "stopping_criteria": StoppingCriteriaList([_Rows(rows)]),
        }
        if attached is None:
            with torch.no_grad():
                model.generate(input_ids=ids.to(device), **options)
        else:
            decisions = [one.decision if one.fired else NOBODY for one in decided]
            attached.edited.generate(ids.to(device), decisions=decisions, **options)


class _Rows(StoppingCriteria):
    """Hands each row its newest token, and ends it when it is done."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        """`input_ids` (rows, positions); returns which rows are done, (rows,)."""
        newest = input_ids[:, -1].tolist()
        done = [row.take(token) for row, token in zip(self._rows, newest, strict=True)]
        return torch.tensor(done, device=input_ids.device)


def fitting(waiting: Sequence[Asked], rows: int) -> list[Asked]:
    """Those that make the next batch: the first, and the next ones with which at least half of
    all positions are somebody's.

    Args:
        rows: most rows of a batch; a single request may have more.
    """
    batch: list[Asked] = []
    taken = longest = used = 0
    for asked in waiting:
        size = len(asked.prompts)
        width, filled = max(longest, asked.length), used + asked.length * size
        if batch and (taken + size > rows or width * (taken + size) > 2 * filled):
            continue
        batch.append(asked)
        taken, longest, used = taken + size, width, filled
    return batch


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's, and those of the model's own settings."""
    found: set[int] = set()
    config = getattr(model, "generation_config", None)
    for ends in (tokenizer.eos_token_id, getattr(config, "eos_token_id", None)):
        found.update([ends] if isinstance(ends, int) else ends or ())
    return frozenset(found)
