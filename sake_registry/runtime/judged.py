"""What was decided of a prompt, whatever answers it: as it is counted, logged and put in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from sake_registry.routing.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection

    from sake_registry.routing.router import Decision

Mode = Literal["edit", "shadow", "bare"]
"""`shadow` decides and changes nothing; `bare` does not decide."""
BUDGET = 0.25
"""Seconds for deciding on a prompt, unless told otherwise: above, nothing fires."""
TOGETHER = 4
"""Prompts that are decided on together, which costs half of what one by one does."""
ASKED_BARE = "the request asked for the bare model"
NOT_ASKED_FOR = "the request asked for other edits only"


class Judged(Protocol):
    """The router's decision, what became of it and why in words, by the bundle of which key; and
    what deciding took (None where nothing was decided), and whether that was too long."""

    @property
    def decision(self) -> Decision: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def why(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def over_budget(self) -> bool: ...


def outcome(judged: Judged) -> str:
    """A decision as it is counted."""
    if judged.mode == "bare":
        return "bare"
    if judged.decision.edit:
        return "fired"
    return "disabled" if judged.decision.reason is Reason.DISABLED else "left_alone"


def in_words(decision: Decision, disabled: Collection[str]) -> str:
    """Why an edit fires, or why none does.

    Args:
        disabled: the edits that are switched off; of any other one that was kept from firing, the
            request asked for others.
    """
    kept = decision.reason is Reason.DISABLED and decision.nearest not in disabled
    return NOT_ASKED_FOR if kept else decision.why
