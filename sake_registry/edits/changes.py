"""What changed between two versions of an edit, in the registry's words.

Not lines of a file but parts of a fact: "new object: Rishi Sunak → Keir Starmer",
"3 prompts added". Pure functions on edits.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sake_registry.edits.parts import Part
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.edits.schema import Edit, Implication, Name


class Difference(Value):
    """One thing that changed: its part, in words, and the texts that went and came."""

    part: Part
    text: str
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def differences(before: Edit, after: Edit) -> tuple[Difference, ...]:
    """What changed from one version of an edit to another, in the order of `PARTS`.

    Empty where only comments, layout or the order of metadata differ.
    """
    return (
        *_fact(before, after),
        *_prompts(before, after),
        *_scope(before, after),
        *_metadata(before, after),
    )


def _fact(a: Edit, b: Edit) -> Iterator[Difference]:
    yield from _name("fact", "subject", a.fact.subject, b.fact.subject)
    yield from _value("fact", "relation", a.fact.relation.text, b.fact.relation.text)
    yield from _value("metadata", "relation id", a.fact.relation.id, b.fact.relation.id)
    yield from _name("fact", "old object", a.fact.old, b.fact.old)
    yield from _name("fact", "new object", a.fact.new, b.fact.new)


def _prompts(a: Edit, b: Edit) -> Iterator[Difference]:
    for noun, first, second in (
        ("prompt", [p.text for p in a.prompts], [p.text for p in b.prompts]),
        ("holdout prompt", [p.text for p in a.holdout], [p.text for p in b.holdout]),
        ("implication", _claims(a.implications), _claims(b.implications)),
    ):
        yield from _list("prompts", noun, first, second)


def _claims(implications: Sequence[Implication]) -> list[str]:
    return [
        f"{i.prompt}: {i.old.text if i.old else '(nothing)'} → {' or '.join(i.new.all)}"
        for i in implications
    ]


def _scope(a: Edit, b: Edit) -> Iterator[Difference]:
    first, second = [u.prompt for u in a.unchanged], [u.prompt for u in b.unchanged]
    yield from _list("scope", "unchanged prompt", first, second)
    yield from _value("scope", "router", a.scope.router, b.scope.router)
    yield from _value("scope", "threshold", a.scope.threshold, b.scope.threshold)
    yield from _value("scope", "status", a.lifecycle.status, b.lifecycle.status)
    yield from _value("scope", "valid from", a.lifecycle.valid_from, b.lifecycle.valid_from)
    yield from _value("scope", "valid until", a.lifecycle.valid_until, b.lifecycle.valid_until)


def _metadata(a: Edit, b: Edit) -> Iterator[Difference]:
    yield from _value("metadata", "review by", a.lifecycle.review_by, b.lifecycle.review_by)
    yield from _value("metadata", "reason", a.provenance.reason, b.provenance.reason)
    yield from _list("metadata", "source", a.provenance.sources, b.provenance.sources)
    yield from _list("metadata", "confirmed call", a.provenance.confirmed, b.provenance.confirmed)
    yield from _list("metadata", "tag", a.tags, b.tags)
    # Who generated a text, why it follows, and what an unchanged prompt is answered with.
    for what, first, second in (
        ("the origin of texts", _origins(a), _origins(b)),
        (
            "the reasons of implications",
            {i.prompt: i.reason for i in a.implications},
            {i.prompt: i.reason for i in b.implications},
        ),
        (
            "the answers of unchanged prompts",
            {u.prompt: u.answer for u in a.unchanged},
            {u.prompt: u.answer for u in b.unchanged},
        ),
    ):
        if any(first[key] != second[key] for key in first.keys() & second.keys()):
            yield Difference(part="metadata", text=f"{what} changed")


def _origins(edit: Edit) -> dict[str, str | None]:
    names = (edit.fact.subject, edit.fact.old, edit.fact.new)
    return {
        **{alias.text: alias.by for name in names if name for alias in name.aliases},
        **{implication.prompt: implication.by for implication in edit.implications},
        **{unchanged.prompt: unchanged.by for unchanged in edit.unchanged},
        **{prompt.text: prompt.by for prompt in (*edit.prompts, *edit.holdout)},
    }


def _name(part: Part, what: str, a: Name | None, b: Name | None) -> Iterator[Difference]:
    yield from _value(part, what, a and a.text, b and b.text)
    aliases = (a.all[1:] if a else (), b.all[1:] if b else ())
    yield from _list(part, f"alias of the {what}", *aliases, plural=f"aliases of the {what}")


def _value(part: Part, what: str, a: Any, b: Any) -> Iterator[Difference]:
    if a != b:
        first, second = ("(nothing)" if value is None else str(value) for value in (a, b))
        text = f"{what}: {first} → {second}"
        yield Difference(part=part, text=text, removed=(first,), added=(second,))


def _list(
    part: Part, noun: str, a: Sequence[str], b: Sequence[str], plural: str | None = None
) -> Iterator[Difference]:
    if tuple(a) == tuple(b):
        return
    added = tuple((Counter(b) - Counter(a)).elements())
    removed = tuple((Counter(a) - Counter(b)).elements())
    if added:
        text = f"{count(len(added), noun, plural)} added"
        yield Difference(part=part, text=text, added=added)
    if removed:
        text = f"{count(len(removed), noun, plural)} removed"
        yield Difference(part=part, text=text, removed=removed)
    if not (added or removed):
        yield Difference(part=part, text=f"{plural or noun + 's'} reordered")
