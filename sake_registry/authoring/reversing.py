"""A fact the other way round, which no map of its edit can reach: the draft of an edit of its own.

Guarantees:
- It is `status: draft`; its texts come from one call, which they name, and pass the filters of
  generated texts. Nobody has said what the answer was before, so none is given.
- Nothing is drafted that an edit of the registry says already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_registry.authoring.proposing import checked_draft, free_id
from sake_registry.authoring.scaffold import Draft, taken_ids
from sake_registry.edits.conflicts import agree
from sake_registry.edits.schema import Fact, Relation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sake_registry.authoring.proposing import Proposal
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit, Prompt


def reversed_edit(edit: Edit, relation: str = "") -> Edit:
    """An edit the other way round, without texts: of its new object, answered by its subject."""
    fact = edit.fact
    turned = Fact(subject=fact.new, relation=Relation(text=relation), old=None, new=fact.subject)
    nothing = dict.fromkeys(("prompts", "holdout", "implications", "unchanged"), ())
    return edit.model_copy(update={"fact": turned, **nothing})


def said_already(registry: Registry, edit: Edit) -> str | None:
    """The edit of a registry that may say it, which has the one's object as its subject, and the
    one's subject as its object."""
    ends = edit.fact.subject.all, edit.fact.new.all
    return next(
        (
            other.id
            for other in registry.edits
            if agree(other.fact.new.all, ends[0]) and agree(other.fact.subject.all, ends[1])
        ),
        None,
    )


def draft_reversed(
    registry: Registry, edit: Edit, relation: str, prompts: Sequence[Prompt]
) -> tuple[Path, Proposal]:
    """The draft of an edit the other way round, and the path that its file would have.

    Raises:
        EditFileError: it would have an error.
    """
    fact = edit.fact
    draft = Draft(
        id=free_id(f"{fact.new.text} {relation}", taken_ids(registry)),
        subject=fact.new.text,
        aliases=[alias.text for alias in fact.new.aliases],
        relation=relation,
        new=fact.subject.text,
        prompts=[prompt.text for prompt in prompts],
        reason=f"'{edit.id}' the other way round.",
        status="draft",
        by={prompt.text: prompt.by for prompt in prompts if prompt.by},
        guessed={"relation": "as the model calls it"},
    )
    return checked_draft(registry, draft)
