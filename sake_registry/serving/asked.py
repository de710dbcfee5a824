"""One request as those see it who answer: its rows, and who is told of what comes.

Knows nothing of HTTP, and nothing of the model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sake_registry.runtime.judged import outcome
from sake_registry.serving.sampling import Sampler
from sake_registry.serving.text import AnswerText

if TYPE_CHECKING:
    from collections.abc import Callable

    from sake_registry.routing.router import Decision
    from sake_registry.runtime.huggingface import Edited
    from sake_registry.runtime.judged import Mode
    from sake_registry.runtime.steering import Answering
    from sake_registry.serving.live import Attached
    from sake_registry.serving.sampling import Sampling

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Prompt:
    """What is to be continued: its token ids, and the text of them that scope is decided on."""

    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Decided:
    """What was decided of one row, under which bundle, and what is made of it.

    Attributes:
        decision: the router's, also where nothing comes of it (shadow mode).
        why: the reason in words.
        attached: the bundle; None if there is none.
        seconds: what deciding took; None where nothing was decided.
        over_budget: it took too long, and does not count.
    """

    decision: Decision
    mode: Mode
    why: str
    attached: Attached | None = None
    seconds: float | None = None
    over_budget: bool = False

    @property
    def fired(self) -> str | None:
        """The edit that the answer is of; None for the bare model's."""
        return self.decision.edit if self.mode == "edit" else None

    @property
    def key(self) -> str | None:
        """The bundle's."""
        return self.attached.key if self.attached else None

    @property
    def outcome(self) -> str:
        """As it is counted."""
        return outcome(self)


@dataclass(frozen=True)
class Begun:
    """The rows are being answered: what was decided of each."""

    decided: tuple[Decided, ...]


@dataclass(frozen=True)
class Piece:
    """More of a row's text."""

    row: int
    text: str


@dataclass(frozen=True)
class Ended:
    """A row is done: why, and how many tokens it has."""

    row: int
    finish: Finish
    tokens: int
    late: bool
    """It was ended because the time was up."""


@dataclass(frozen=True)
class Failed:
    """Nothing more comes: what went wrong, and whether to try again makes sense."""

    message: str
    busy: bool = False


Event = Begun | Piece | Ended | Failed


@dataclass(eq=False)
class Asked:
    """A request that waits or is answered.

    Args:
        id: the request's.
        prompts: one for each row.
        sampling: one for each row.
        tokens: most tokens of a row's answer.
        stops: strings before which an answer ends.
        only: the edits that may fire; None for all of them.
        tell: gets every event, from the thread that answers; must not block.
        until: when its time is up, by `time.monotonic()`.

    Attributes:
        cancelled: nobody waits any more; to be set from any thread.
    """

    id: str
    prompts: tuple[Prompt, ...]
    sampling: tuple[Sampling, ...]
    tokens: int
    stops: tuple[str, ...]
    only: frozenset[str] | None
    tell: Callable[[Event], None]
    until: float = float("inf")
    cancelled: bool = field(default=False, init=False)

    @property
    def late(self) -> bool:
        return time.monotonic() > self.until


class Row:
    """One answer of a request: takes its tokens, tells the request of the text, and knows its end.

    Attributes:
        tokens: those that it has taken.
        sampler: chooses them; None for the likeliest.
        steered: what an edit makes of it, and by which handle; None for the bare model's answer.
        alone: it took part in a pass that failed, and takes its next one by itself.
    """

    def __init__(self, asked: Asked, number: int, tokenizer: object, ends: frozenset[int]) -> None:
        self.asked, self.number = asked, number
        self.prompt, how = asked.prompts[number], asked.sampling[number]
        self.sampler = Sampler(how) if how.temperature > 0 else None
        self._text, self._ends = AnswerText(tokenizer, asked.stops), ends
        self.tokens: list[int] = []
        self.steered: tuple[Edited, Answering] | None = None
        self.done = self.alone = False

    @property
    def ids(self) -> tuple[int, ...]:
        """All of its text: the prompt and what was answered."""
        return (*self.prompt.ids, *self.tokens)

    def take(self, token: int) -> bool:
        """The row's next token; returns whether the row is done."""
        if self.done or self.asked.cancelled:
            self.done = True
            return True
        self.tokens.append(token)
        ended, late = token in self._ends, self.asked.late
        text = "" if ended else self._text.push(token)
        full = len(self.tokens) >= self.asked.tokens or late
        if ended or full:
            text += self._text.finish()
        if text:
            self.asked.tell(Piece(self.number, text))
        self.done = ended or full or self._text.stopped
        if self.done:
            finish: Finish = "stop" if ended or self._text.stopped else "length"
            cut = late and finish == "length"
            self.asked.tell(Ended(self.number, finish, len(self.tokens), cut))
        return self.done
