"""What a change claims, for a reviewer who may not have the model: no torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sake_registry.edits.schema import Edit
    from sake_registry.history.snapshots import EditChange


def sentence(edit: Edit) -> str:
    """The claim in a sentence, in the words of the edit's first prompt."""
    asked = f"“{edit.fill(edit.prompts[0].text)}”"
    before = f", no longer by “{edit.old}”" if edit.old else ""
    return f"{asked} is to be completed by “{edit.new}”{before}."


def _when(edit: Edit) -> str:
    """The days on which an edit is in force, where it says so."""
    life = edit.lifecycle
    days = [f"from {life.valid_from}"] if life.valid_from else []
    days += [f"until {life.valid_until}"] if life.valid_until else []
    said = " ".join(days)
    return f"{said.capitalize()}: " if said else ""


def claim(change: EditChange, merged: Edit | None) -> dict[str, Any]:
    """The claim-level part of one edit of a review; `merged` is the edit after the merge."""
    side = change.after or change.before
    assert side is not None
    edit = merged or side.edit
    said: dict[str, Any] = {
        "id": change.id,
        "action": change.action,
        "path": side.path,
        "claim": change.claim,
        "sentence": "",
        "status": "active",
        "lines": change.lines,
        "reason": None,
        "sources": [],
        "findings": [f.as_json() for f in side.findings] if change.after else [],
        "build": None,
        "rows": [],
        "shares": {},
    }
    if edit is None:
        return said | {"sentence": "The file has errors: what it claims cannot be told."}
    text = sentence(edit)
    if change.after is None:
        text = f"Taken back: {text}"
    elif not edit.active:
        text = f"Not in force ({edit.lifecycle.status}): {text}"
    else:
        text = _when(edit) + text
    return said | {
        "claim": edit.claim,
        "sentence": text,
        "status": edit.lifecycle.status,
        "reason": edit.provenance.reason,
        "sources": list(edit.provenance.sources),
    }
