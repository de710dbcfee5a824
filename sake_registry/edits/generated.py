"""What of an edit a language model wrote (`by`), and whether a person answers for it.

A person confirms a whole call, by naming it under `provenance.confirmed`: who reads what a call
wrote takes out what is wrong, and answers for the rest. The texts keep saying where they are from,
and what another call adds later is not confirmed by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_registry.edits.schema import Edit
    from sake_registry.edits.yamltext import Loc


class Generated(NamedTuple):
    """A text that a language model wrote: `by` names the call."""

    kind: str
    text: str
    by: str


def generated(edit: Edit) -> list[Generated]:
    """The texts of an edit that a language model wrote, in the file's order."""
    fact = edit.fact
    written = [
        *(
            ("alias", a.text, a.by)
            for n in (fact.subject, fact.old, fact.new)
            if n
            for a in n.aliases
        ),
        *(("prompt", prompt.text, prompt.by) for prompt in edit.prompts),
        *(("holdout prompt", prompt.text, prompt.by) for prompt in edit.holdout),
        *(("implication", f"{i.prompt} {i.new.text}", i.by) for i in edit.implications),
        *(("unchanged prompt", kept.prompt, kept.by) for kept in edit.unchanged),
    ]
    return [Generated(kind, text, by) for kind, text, by in written if by]


def confirmed_for_nothing(edit: Edit) -> Iterator[Loc]:
    """Where a call is confirmed that wrote no text of the edit."""
    calls = {one.by for one in generated(edit)}
    for i, call in enumerate(edit.provenance.confirmed):
        if call not in calls:
            yield ("provenance", "confirmed", i)


def of_the_prompts_call(edit: Edit) -> Iterator[Loc]:
    """Where holdout prompts stand that were written in one call with some of the prompts."""
    calls = {prompt.by for prompt in edit.prompts if prompt.by}
    for i, prompt in enumerate(edit.holdout):
        if prompt.by in calls:
            yield ("holdout", i)
