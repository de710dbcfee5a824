"""What a change claims, for a reviewer who may not have the model: no torch here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.asking.rows import questions
from sake_registry.edits import yamltext
from sake_registry.edits.generated import generated
from sake_registry.review.report import EditReview, Written

if TYPE_CHECKING:
    from sake_registry.edits.schema import Edit
    from sake_registry.history.snapshots import EditChange, Parsed


def sentence(edit: Edit, base: Edit | None = None) -> str:
    """The claim in a sentence, in the words of the edit's first prompt.

    Args:
        base: the edit before the change. Where it was in force, its object is what goes.
    """
    prompt = f"“{edit.fill(edit.prompts[0].text)}”"
    goes = base.new if base and base.active and base.new != edit.new else edit.old
    before = f", no longer by “{goes}”" if goes else ""
    return f"{prompt} is to be completed by “{edit.new}”{before}."


def _when(edit: Edit) -> str:
    """The days on which an edit is in force, where it says so."""
    life = edit.lifecycle
    days = [f"from {life.valid_from}"] if life.valid_from else []
    days += [f"until {life.valid_until}"] if life.valid_until else []
    return f"{' '.join(days).capitalize()}: " if days else ""


def claim(change: EditChange, merged: Edit | None) -> EditReview:
    """What one edit of a review claims; `merged` is the edit after the merge."""
    side = change.after or change.before
    assert side is not None
    edit = merged or side.edit
    claims = EditReview(
        id=change.id,
        action=change.action,
        path=side.path,
        claim=change.claim,
        sentence="The file has errors: what it claims cannot be known.",
        lines=tuple(change.lines),
        findings=tuple(side.findings) if change.after else (),
    )
    if edit is None:
        return claims
    text = sentence(edit, change.before.edit if change.before and change.after else None)
    if change.after is None:
        text = f"Taken back: {text}"
    elif not edit.active:
        text = f"Not in force ({edit.lifecycle.status}): {text}"
    else:
        text = _when(edit) + text
    return claims.model_copy(
        update={
            "claim": edit.claim,
            "sentence": text,
            "status": edit.lifecycle.status,
            "reason": edit.provenance.reason,
            "sources": tuple(edit.provenance.sources),
            "generated": tuple(
                Written(**one._asdict(), confirmed=one.by in edit.provenance.confirmed)
                for one in generated(edit)
            ),
        }
    )


def stated_lines(parsed: Parsed) -> dict[tuple[str, str], int]:
    """In which line a file states each prompt that can be asked, by its kind and text."""
    if parsed.edit is None:
        return {}
    document = yamltext.read(parsed.data, Path(parsed.path))
    lines: dict[tuple[str, str], int] = {}
    numbers: Counter[str] = Counter()
    for question in questions(parsed.edit):
        place = question.kind, numbers[question.kind]
        numbers[question.kind] += 1
        lines.setdefault((question.kind, question.prompt), document.position(place)[0])
    return lines
