"""Requests wait, are decided on, and are answered together, each from when there is room.

Guarantees:
- A request begins with one bundle and one set of disabled edits, those in force when it is decided
  on, and ends with them. No more are decided on than there is room for in a moment.
- Answers under way do not wait for a decision: deciding has a thread of its own, with which they
  share the cores.
- What is waiting is bounded; whoever comes when it is full is told so at once.
- Requests begin in the order in which they came, as soon as a row is free.
- A row ends by itself (its end, its stop strings, its length, its time, its client's hanging up)
  and is told to its request at once; the others go on.
- What fails is done again for each by itself, and only who fails alone has failed, with a message:
  a row's pass of the model, and a request's decision.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import SakeError
from sake_registry.runtime.judged import TOGETHER
from sake_registry.serving.asked import Begun, Failed, Row
from sake_registry.serving.decoding import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """How many requests are answered at once.

    Attributes:
        rows: most rows under way.
        waiting: most requests that wait.
        portion: most tokens of prompts that are read between two tokens of the rows under way.
        held_back: steps of the rows under way for which one that could join waits for a few others
            to join with it.
    """

    rows: int = 16
    waiting: int = 256
    portion: int = 128
    held_back: int = 2


class FullError(Exception):
    """Too many requests are waiting."""


@dataclass(eq=False)
class _Answer:
    """A request that is being answered: its rows, and the bundle that it holds."""

    asked: Asked
    rows: list[Row]
    attached: Attached | None = None


class Batcher:
    """Answers requests in threads of its own, until it is closed.

    Raises:
        UnsupportedModelError: the model cannot be decoded with a cache.
    """

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
        self._decoder = Decoder(live.model, live.tokenizer, limits.portion)
        self._few = max(1, limits.rows // 4)
        self._waiting: deque[Asked] = deque()
        self._running: dict[Asked, _Answer] = {}
        self._ready: deque[Row] = deque()
        self._held_back = 0
        self._changed, self._closed = threading.Condition(), False
        self._threads = [
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True)
            for work in (self._decide, self._decode)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for whom somebody waits."""
        with self._changed:
            return sum(not asked.cancelled for asked in self._waiting)

    @property
    def works(self) -> bool:
        """Whether requests are being answered."""
        return not self._closed and all(thread.is_alive() for thread in self._threads)

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
            self._changed.notify_all()

    def close(self) -> None:
        """Answer nothing more: who waits or is being answered is told so."""
        with self._changed:
            self._closed = True
            left = [*self._waiting, *self._running]
            self._waiting.clear()
            for asked in left:
                asked.cancelled = True
            self._changed.notify_all()
        for asked in left:
            asked.tell(Failed(STOPPING, busy=True))
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    # -- deciding ------------------------------------------------------------------------------

    def _decide(self) -> None:
        while not self._closed:
            self._begin(self._next())

    def _next(self) -> list[_Answer]:
        """The requests that are decided on next, waited for; none if there are none after all."""
        with self._changed:
            # A few together cost half of what one by one does; as many are ahead of their turn.
            few = min(self._few, TOGETHER)
            self._changed.wait_for(
                lambda: (
                    self._closed or (self._waiting and self._room >= min(few, len(self._waiting)))
                )
            )
            self._drop()
            answers: list[_Answer] = []
            rows, most = 0, min(self._room, TOGETHER)
            while self._waiting and rows < most and not self._closed:
                asked = self._waiting.popleft()
                made = [
                    Row(asked, number, self._live.tokenizer, self._ends)
                    for number in range(len(asked.prompts))
                ]
                self._running[asked] = _Answer(asked, made)
                answers.append(self._running[asked])
                rows += len(made)
            return answers

    @property
    def _room(self) -> int:
        """For how many rows there is room, or will be in a moment."""
        taken = sum(not row.done for answer in self._running.values() for row in answer.rows)
        return self._limits.rows + self._limits.rows // 4 - taken

    def _drop(self) -> None:
        """Let go of those for whom an answer would come too late."""
        for asked in [a for a in self._waiting if a.cancelled or a.late]:
            self._waiting.remove(asked)
            asked.tell(Failed("the request waited for too long", busy=True))

    def _begin(self, answers: Sequence[_Answer]) -> None:
        """Decide on these requests by what is in force now, and have them decoded."""
        try:
            decided = self._decided(answers)
        except Exception as error:  # of a bundle, or of what decides
            if len(answers) == 1:
                self._fail(answers, answers[0].rows, error)
                self._settle()
                return
            log.warning("deciding on %s fails, and is done one by one: %s", _ids(answers), error)
            for answer in answers:
                self._begin([answer])
            return
        for answer in answers:
            of_it = tuple(decided[row] for row in answer.rows)
            for row, one in zip(answer.rows, of_it, strict=True):
                self._count(answer.asked, one, row.prompt.text)
            answer.asked.tell(Begun(of_it))
        with self._changed:
            self._ready.extend(decided)
            self._changed.notify_all()

    def _decided(self, answers: Sequence[_Answer]) -> dict[Row, Decided]:
        """What is decided of the rows of these requests, which hold the bundle from then on."""
        attached, disabled = self._live.hold(len(answers))
        try:
            rows = [row for answer in answers for row in answer.rows]
            decided = dict(zip(rows, self._deciding.decide(rows, attached, disabled), strict=True))
            fired = [row for row in rows if decided[row].fired]
            if attached and fired:
                edited = attached.edited
                answering = edited.answering([decided[row].decision for row in fired])
                for row, steered in zip(fired, answering, strict=True):
                    row.steered = (edited, steered) if steered else None
        except BaseException:
            for _ in answers:
                self._live.let_go(attached)
            raise
        for answer in answers:
            answer.attached = attached
        return decided

    def _count(self, asked: Asked, decided: Decided, prompt: str) -> None:
        self._metrics.count(decided)
        self._decisions.write(asked.id, decided, prompt)

    # -- decoding ------------------------------------------------------------------------------

    def _decode(self) -> None:
        decoder = self._decoder
        with torch.no_grad():
            while not self._closed:
                self._admit()
                self._pass(decoder.fill)
                self._pass(decoder.step)
                self._settle()

    def _admit(self) -> None:
        """Let rows that are ready join, waited for where none is under way."""
        decoder = self._decoder
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._ready or decoder.filling or decoder.running
            )
            for row in [row for row in self._ready if row.asked.cancelled]:
                self._ready.remove(row)
                row.done = True
            free = self._limits.rows - len(decoder.running)
            ready = list(islice(self._ready, max(0, free)))
            # A pass for one row's prompt takes nearly as long as one for a few.
            alone = len(ready) < self._few and self._held_back < self._limits.held_back
            if decoder.running and alone:
                self._held_back += bool(ready)
                return
            if count := decoder.admit(ready):
                for _ in range(count):
                    self._ready.popleft()
                self._held_back = 0

    def _pass(self, make: Callable[[], None]) -> None:
        """Make a pass. Where it fails, the rows that are lost take it again, each by itself; one
        that was by itself has failed, and so has its request."""
        decoder = self._decoder
        before = [*decoder.filling, *decoder.running]
        try:
            make()
        except Exception as error:  # of the model or a bundle: the next one may do well
            kept = {*decoder.filling, *decoder.running}
            lost = [row for row in before if row not in kept and not row.done]
            with self._changed:
                answers = [a for a in self._running.values() if any(r in lost for r in a.rows)]
                if len(lost) > 1:
                    log.warning("a pass of %s fails, and is made one by one: %s",
                                _ids(answers), error)  # fmt: skip
                    for row in lost:
                        row.alone = True
                    self._ready.extendleft(reversed(lost))
                    return
            self._fail(answers, lost, error)

    def _fail(self, answers: Sequence[_Answer], rows: Sequence[Row], error: Exception) -> None:
        """These rows are lost, and so their requests have failed: what else is under way of them
        ends."""
        for row in rows:
            row.done = True
        known = isinstance(error, SakeError)
        log.error("%s failed: %s", _ids(answers), error, exc_info=None if known else error)
        text = error.message if isinstance(error, SakeError) else type(error).__name__
        for answer in answers:
            answer.asked.cancelled = True
            answer.asked.tell(Failed(f"the answer failed: {text}"))

    def _settle(self) -> None:
        """Let go of the requests whose rows are done."""
        with self._changed:
            over = [a for a in self._running.values() if all(row.done for row in a.rows)]
            for answer in over:
                del self._running[answer.asked]
            self._changed.notify_all()
        for answer in over:
            self._live.let_go(answer.attached)
            self._metrics.tokens.inc(sum(len(row.tokens) for row in answer.rows))


def _ids(answers: Sequence[_Answer]) -> str:
    return f"requests {', '.join(answer.asked.id for answer in answers)}"


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's, and those of the model's own settings."""
    found: set[int] = set()
    config = getattr(model, "generation_config", None)
    for ends in (tokenizer.eos_token_id, getattr(config, "eos_token_id", None)):
        found.update([ends] if isinstance(ends, int) else ends or ())
    return frozenset(found)
