"""Prompts that a change of the registry should not reach, to see what it does to them.

`unrelated` ones are not about the subject of any changed edit: beginnings of ordinary texts, and
the changed edits' prompts about other subjects. None of their answers should change. `nearby`
ones ask other things about a changed edit's subject; a few of them do change, and a reviewer
should see which.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sake_registry.data import sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.schema import Edit

OTHERS = 12
"""Other subjects that each changed edit's prompts are asked about."""
NEAR = 24
"""Most other questions about each changed edit's subject."""
_TEXTS = sections("unrelated.txt")
_SUBJECTS, _ABOUT, ORDINARY = _TEXTS["subjects"], _TEXTS["about"], _TEXTS["ordinary"]


def unrelated(changed: Sequence[Edit], others: Sequence[Edit], seed: int = 0) -> list[str]:
    """The sample: `ORDINARY`, and prompts of `changed` about the subjects of `others` and well
    known ones. No prompt of it names a subject of a changed edit. The same for the same edits."""
    random_ = random.Random(seed)
    mine = {name for edit in changed for name in edit.fact.subject.all}
    subjects = list(dict.fromkeys([edit.subject for edit in others] + list(_SUBJECTS)))
    free = [s for s in subjects if not any(s in name or name in s for name in mine)]
    texts = [text for text in ORDINARY if not any(name in text for name in mine)]
    for edit in changed:
        for subject in random_.sample(free, min(len(free), OTHERS)):
            texts.append(edit.fill(random_.choice(edit.prompts).text, subject))
    return list(dict.fromkeys(texts))


def nearby(edit: Edit, others: Sequence[Edit], seed: int = 0) -> list[str]:
    """Other questions about an edit's subject: general ones, and the first prompts of edits of
    other relations, asked about this subject. None that the edit itself lists."""
    said = {p.text for p in (*edit.prompts, *edit.holdout)}
    listed = {edit.fill(text) for text in said}
    listed |= {edit.fill(i.prompt) for i in edit.implications}
    listed |= {edit.fill(u.prompt) for u in edit.unchanged}
    relation = edit.fact.relation
    foreign = [
        other.prompts[0].text
        for other in others
        if other.fact.relation.text != relation.text and other.subject != edit.subject
    ]
    room = NEAR - len(_ABOUT)
    drawn = random.Random(seed).sample(foreign, min(len(foreign), room))
    texts = dict.fromkeys(edit.fill(text) for text in (*_ABOUT, *drawn))
    return [text for text in texts if text not in listed]
