"""What was decided of a prompt, whatever answers it: as it is counted and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from sake_registry.routing.reasons import Reason

if TYPE_CHECKING:
    from sake_registry.routing.router import Decision

Mode = Literal["edit", "shadow", "bare"]
"""`shadow` decides and changes nothing; `bare` does not decide."""


class Judged(Protocol):
    """The router's decision, what became of it and why in words, by the bundle of which key; and
    what deciding took (None where nothing was decided)."""

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


def outcome(judged: Judged) -> str:
    """A decision as it is counted."""
    if judged.mode == "bare":
        return "bare"
    if judged.decision.edit:
        return "fired"
    return "disabled" if judged.decision.reason is Reason.DISABLED else "left_alone"
