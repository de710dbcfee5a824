"""An edit's prompts as groups, completed to a distribution: pure text, no model.

A group is what one transport map serves: the fact itself, or the implications that have one
answer. An implication whose answer is not the edit's object needs a map of its own: a map that
leads to "English" does not lead to "England".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, permutations, product
from typing import TYPE_CHECKING, Literal

from sake_registry.distributions.lead_ins import LEAD_INS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.edits.schema import Edit

IMPLICATION_SHARE = 3
"""An implication's group is completed to a third of what the fact's is: it covers one wording."""


@dataclass(frozen=True)
class Group:
    """Prompts with one old and one new object, filled with the subject's names.

    `prompts` begins with what the file says (`written` of them), then what was added; `stems`
    are the written ones as the file has them, `<subject>` and all.
    """

    kind: Literal["fact", "implication"]
    old: str | None
    new: str
    fact_old: str
    fact_new: str
    stems: tuple[str, ...]
    prompts: tuple[str, ...]
    written: int

    @property
    def added(self) -> int:
        return len(self.prompts) - self.written


def groups(edit: Edit, n: int) -> tuple[Group, ...]:
    """The groups of an edit, the fact's first; each with at least its share of `n` prompts."""
    first = edit.fill(edit.prompts[0].text)
    fact_old, fact_new = f"{first} {edit.old or ''}".rstrip(), f"{first} {edit.new}"
    by_answer: dict[tuple[str | None, str], list[str]] = {}
    for implication in edit.implications:
        old = implication.old.text if implication.old else None
        by_answer.setdefault((old, implication.new.text), []).append(implication.prompt)
    stems = {(edit.old, edit.new): [prompt.text for prompt in edit.prompts]}
    found = [("fact", answers, texts, n) for answers, texts in stems.items()]
    found += [("implication", a, texts, n // IMPLICATION_SHARE) for a, texts in by_answer.items()]
    names = edit.fact.subject.all
    return tuple(
        Group(
            kind="fact" if kind == "fact" else "implication",
            old=old,
            new=new,
            fact_old=fact_old,
            fact_new=fact_new,
            stems=tuple(texts),
            prompts=tuple(
                complete([edit.fill(t) for t in texts], _variants(edit, texts, names), wanted)
            ),
            written=len({edit.fill(text) for text in texts}),
        )
        for kind, (old, new), texts, wanted in found
    )


def _variants(edit: Edit, texts: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Every prompt under every name, then behind each lead-in, then behind two of them."""
    pairs = (f"{first} {second}" for first, second in permutations(LEAD_INS, 2))
    for lead_in, name, text in product(("", *LEAD_INS, *pairs), names, texts):
        yield f"{lead_in} {edit.fill(text, name)}".lstrip()


def complete(written: Sequence[str], variants: Iterator[str], n: int) -> Iterator[str]:
    """The written prompts, then distinct variants until there are `n`; more are never cut."""
    seen = dict.fromkeys(written)
    yield from seen
    fresh = (text for text in variants if text not in seen)
    yield from islice(dict.fromkeys(fresh), max(0, n - len(seen)))
