"""Why a router decided as it did. No torch: whoever shows a decision asks by these."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reason", "decision_words"]


class Reason(StrEnum):
    """Why an edit fires for a prompt, or why none does; the value is how it is said.

    `ANOTHER_QUESTION` may be followed by the question that the prompt is nearer to, the reasons of
    time always are by a date: `Decision.detail`.
    """

    IN_SCOPE = "in scope"
    GIVEN = "given"
    """The caller decided, and not the router."""
    NOT_NAMED = "no edit's subject is named"
    ANOTHER_QUESTION = "another question"
    UNCHANGED = "nearer to what stays unchanged"
    DISABLED = "disabled"
    NOT_YET_VALID = "not valid before"
    EXPIRED = "expired on"

    ASKS_OTHERWISE = "it asks something else"
    """As the detector sees it; the detail is what it does instead (`OTHERWISE`)."""

    def said(self, detail: str = "") -> str:
        """The reason in words, with what belongs to it."""
        if self is Reason.ANOTHER_QUESTION and detail:
            detail = f"(nearer to: {detail})"
        if self is Reason.ASKS_OTHERWISE and detail:
            return OTHERWISE[detail]
        return f"{self} {detail}".rstrip()


OTHERWISE = {
    "near": "it asks another question",
    "time": "it asks for another time or version",
    "part": "it asks for a part or variant",
    "through": "it asks about somebody or something reached through the subject",
    "beside": "it asks about another one than the subject",
    "mention": "it only mentions the subject",
    "if": "it supposes something",
    "task": "it is a task about a text",
    "why": "it asks about the fact, not for it",
    "name": "it names something else whose name holds the subject's",
}
"""What a text does instead of asking for a fact, by the detector's kinds."""


def decision_words(
    edit: str | None, distance: float | None, threshold: float | None, why: str
) -> str:
    """A decision on a line: `the-edit (3.20 ≤ 5.3; in scope)`, `none (6.10 > 5.3; …)`."""
    if distance is None:
        return why
    bound = threshold or 0
    sign = "≤" if edit else ">" if distance > bound else "·"
    return f"{edit or 'none'} ({distance:.2f} {sign} {bound:.3g}; {why})"
