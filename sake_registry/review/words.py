"""The words that the page and the comment share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_registry.asking.rows import KINDS
from sake_registry.pages.text import percent
from sake_registry.routing.reasons import Reason

if TYPE_CHECKING:
    from sake_registry.asking.rows import Row, Share
    from sake_registry.edits.conflicts import Side
    from sake_registry.review.report import Review

WORDS = {
    "prompts": "The edit's own prompts: the new object is expected.",
    "holdout": "Other wordings of the same question, which the edit was not compiled from.",
    "implications": "Questions whose answer follows from the edit.",
    "unchanged": "Questions the edit does not concern: the answer must stay what it was.",
    "distance": "The probability that a prompt asks something else than the edit; of a router by "
    "distances, how far it is from the edit's own prompts. Up to the threshold, the edit answers; "
    "beyond it, the model answers as always.",
    "interference": "Prompts of edits that this change does not touch, but that now answer "
    "differently.",
    "unrelated": "Prompts that concern no edit. None of their answers should change.",
    "nearby": "Other questions about the subject of a changed edit. Few of their answers should "
    "change; list those that must not under “unchanged”.",
    "pair": "A prompt before and after its fact changed; what an edit learns from. A pair worked "
    "if the model, given the new fact, says it.",
    "gate": "A bound from sake.toml that decides whether the review is passed.",
}
"""What the words of a report mean, each in a line for a reviewer who knows only the facts."""


def glossary(review: Review) -> list[tuple[str, str]]:
    """The words that this review uses and what they mean."""
    used: list[str] = [kind for kind in KINDS if kind in review.measured]
    if review.model is not None:
        used += ["distance", "interference", "unrelated", "nearby", "pair"]
        used += ["gate"] if review.gates else []
    return [(word, WORDS[word]) for word in used]


def answered_by(row: Row, *, by_id: bool = False) -> str:
    """Which edit answered and why: `this edit (4.20 ≤ 5.30)`, `no edit (6.10 > 5.30)`.

    `by_id` names the row's own edit, too, where a table is about several.
    """
    if row.by is None and row.reason == Reason.IN_SCOPE:
        return "no edit"  # The decision is that of before, when the edit was still there.
    owner = row.reason if row.by is None and row.reason == Reason.NOT_NAMED else "no edit"
    if row.by is not None:
        owner = "this edit" if row.by == row.edit and not by_id else row.by
    inside, too_far = [], False
    if row.distance is not None and row.threshold is not None:
        too_far = row.distance > row.threshold
        inside.append(f"{row.distance:.2f}\u00a0{'>' if too_far else '≤'}\u00a0{row.threshold:.2f}")
    # Where the figures say it all, the reason says nothing more.
    if row.reason and row.by is None and not too_far and row.reason != owner:
        inside.append(row.reason)
    return f"{owner} ({'; '.join(inside)})" if inside else owner


def share_words(share: Share) -> str:
    """`17 of 20 (85.0 %)`"""
    return f"{share} ({percent(share.value)} %)"


def place(side: Side) -> str:
    """Where one of two edits says something, as a reviewer looks it up."""
    return f"{side.path}:{side.line}" if side.line else side.path


def first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


FILTERS = {"answered_by": answered_by, "first_upper": first_upper, "place": place}
"""What templates of a review know beside what all know."""
