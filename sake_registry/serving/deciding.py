"""Deciding on rows that are to be answered, within a budget of time.

The prompts of a few rows are decided on together, which costs half of what one by one does. If that
took longer than one of them may, each is decided on again by itself: no prompt is answered bare
because another one was slow. What takes too long is measured, not interrupted: time grows linearly
with the text, to a stated cap.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import Decision
from sake_registry.runtime.judged import ASKED_BARE, TOGETHER, in_words
from sake_registry.serving.asked import Decided

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.serving.asked import Row
    from sake_registry.serving.live import Attached

_BARE = Decision(reason=Reason.GIVEN)
NO_BUNDLE = "no bundle is loaded"


class Deciding:
    """Decides by what is attached.

    Args:
        budget: most seconds for one prompt; a decision that took longer does not count.
        shadow: decide, and change nothing.
    """

    def __init__(self, budget: float, *, shadow: bool) -> None:
        self._budget, self._shadow = budget, shadow

    def decide(
        self, rows: Sequence[Row], attached: Attached | None, disabled: frozenset[str]
    ) -> list[Decided]:
        """What is decided of each row."""
        decided: dict[Row, Decided] = {}
        by_disabled: dict[frozenset[str], list[Row]] = {}
        for row in rows:
            only = row.asked.only
            if attached is None:
                decided[row] = Decided(_BARE, "bare", NO_BUNDLE)
            elif only == frozenset():
                decided[row] = Decided(_BARE, "bare", ASKED_BARE, attached)
            else:
                off = disabled if only is None else disabled | (attached.edits.keys() - only)
                by_disabled.setdefault(off, []).append(row)
        for off, members in by_disabled.items():
            assert attached is not None
            for start in range(0, len(members), TOGETHER):
                few = members[start : start + TOGETHER]
                timed = self._timed([row.prompt.text for row in few], attached, off)
                for row, (decision, seconds) in zip(few, timed, strict=True):
                    decided[row] = self._judged(decision, seconds, attached, disabled)
        return [decided[row] for row in rows]

    def _timed(
        self, prompts: Sequence[str], attached: Attached, off: frozenset[str]
    ) -> Iterator[tuple[Decision, float]]:
        began = time.perf_counter()
        decisions = attached.edited.decide(prompts, disabled=off)
        seconds = time.perf_counter() - began
        if seconds <= self._budget or len(prompts) == 1:
            yield from ((decision, seconds / len(prompts)) for decision in decisions)
            return
        for prompt in prompts:
            yield from self._timed([prompt], attached, off)

    def _judged(
        self, decision: Decision, seconds: float, attached: Attached, disabled: frozenset[str]
    ) -> Decided:
        if seconds > self._budget:
            why = f"deciding took {seconds:.2f} s, and {self._budget:g} s are allowed"
            return Decided(_BARE, "bare", why, attached, seconds, over_budget=True)
        why = in_words(decision, disabled)
        return Decided(decision, "shadow" if self._shadow else "edit", why, attached, seconds)
