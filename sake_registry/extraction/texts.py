"""An edit's prompts as groups, completed to a distribution: pure text, no model.

A group is what one transport map serves: the fact itself, or the implications that have one
answer. An implication whose answer is not the edit's object needs a map of its own: a map that
leads to "English" does not lead to "England".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, permutations
from typing import TYPE_CHECKING, Literal

from sake_registry.data import lead_ins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.edits.schema import Edit

IMPLICATION_SHARE = 3
"""An implication's group is completed to a third of what the fact's is: it covers one wording."""


@dataclass(frozen=True)
class PromptGroup:
    """Prompts with one old and one new object, filled with the subject's names.

    `prompts` begins with what the file says (`written` of them), then what was added; `stems`
    are the written ones as the file has them, `<subject>` and all. `stem_of` says of each prompt
    which wording it is: prompts of one wording are held out of a fit together.
    """

    kind: Literal["fact", "implication"]
    old: str | None
    new: str
    fact_old: str
    fact_new: str
    stems: tuple[str, ...]
    prompts: tuple[str, ...]
    stem_of: tuple[int, ...]
    written: int

    @property
    def added(self) -> int:
        return len(self.prompts) - self.written


def groups(edit: Edit, n: int) -> tuple[PromptGroup, ...]:
    """The groups of an edit, the fact's first; each with at least its share of `n` prompts."""
    first = edit.fill(edit.prompts[0].text)
    fact_old, fact_new = f"{first} {edit.old or ''}".rstrip(), f"{first} {edit.new}"
    by_answer: dict[tuple[str | None, str], list[str]] = {}
    for implication in edit.implications:
        old = implication.old.text if implication.old else None
        by_answer.setdefault((old, implication.new.text), []).append(implication.prompt)
    stems = {(edit.old, edit.new): [prompt.text for prompt in edit.prompts]}
    parts = [("fact", answers, texts, n) for answers, texts in stems.items()]
    parts += [("implication", a, texts, n // IMPLICATION_SHARE) for a, texts in by_answer.items()]
    return tuple(_group(edit, *part, fact_old, fact_new) for part in parts)


def _group(
    edit: Edit,
    kind: str,
    answers: tuple[str | None, str],
    texts: Sequence[str],
    wanted: int,
    fact_old: str,
    fact_new: str,
) -> PromptGroup:
    old, new = answers
    written = list(dict.fromkeys(edit.fill(text) for text in texts))
    prompts = dict(complete(written, wanted))
    return PromptGroup(
        kind="fact" if kind == "fact" else "implication",
        old=old,
        new=new,
        fact_old=fact_old,
        fact_new=fact_new,
        stems=tuple(texts),
        prompts=tuple(prompts),
        stem_of=tuple(prompts.values()),
        written=len(written),
    )


def complete(written: Sequence[str], n: int) -> Iterator[tuple[str, int]]:
    """The written prompts, then each behind a lead-in, then behind two, until there are `n`.

    Distinct, each with the place of its wording in `written`; more than `n` are never cut. The
    subject's other names serve the router and are not compiled: what is said of one name holds
    under another, as the question is the same.
    """
    pairs = (f"{first} {second}" for first, second in permutations(lead_ins(), 2))
    seen = {text: i for i, text in enumerate(written)}
    yield from seen.items()
    for lead_in in chain(lead_ins(), pairs):
        for i, text in enumerate(written):
            if len(seen) >= n:
                return
            longer = f"{lead_in} {text}"
            if longer not in seen:
                seen[longer] = i
                yield longer, i
