"""CounterFact (Meng et al. 2022), in the format of its authors: one entry, one `Record`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import StrictInt

from sake_bench.datasets.entries import Entry, MalformedError, parse, record_id, slug
from sake_bench.datasets.records import Axis, Query, Record, Test
from sake_registry.edits.checks import plainly
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from sake_bench.datasets.records import Resources

NAME, TITLE = "counterfact", "CounterFact"
SOURCE = "https://github.com/kmeng01/rome"
SHAPE = "case_id, requested_rewrite as an object, paraphrase_prompts, neighborhood_prompts"
_FIELD = re.compile(r"\{(prompt|target_new|target_true)\}")


class _Target(Entry):
    str: Text


class Rewrite(Entry):
    """A fact to edit, as CounterFact and MQuAKE state it: `{}` stands for the subject."""

    prompt: Text
    relation_id: Text
    target_new: _Target
    target_true: _Target
    subject: Text

    def prompts(self, where: str) -> tuple[str, str]:
        """Its prompt with `<subject>`, and filled in.

        Raises:
            MalformedError: it has no place for the subject, or two; or nothing is edited.
        """
        if self.prompt.count("{}") != 1:
            number = "no" if "{}" not in self.prompt else "more than one"
            raise MalformedError(f"{where}.prompt has {number} '{{}}': '{self.prompt}'")
        if plainly(self.target_new.str) == plainly(self.target_true.str):
            raise MalformedError(f"target_new is target_true: '{self.target_new.str}'")
        return self.prompt.replace("{}", SUBJECT), self.prompt.replace("{}", self.subject)


class _CounterFact(Entry):
    case_id: StrictInt
    requested_rewrite: Rewrite
    paraphrase_prompts: tuple[Text, ...]
    neighborhood_prompts: tuple[Text, ...]


def recognises(entry: dict[str, Any]) -> bool:
    return "requested_rewrite" in entry and not isinstance(entry["requested_rewrite"], list)


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one entry; no test of CounterFact is without an answer (0).

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_CounterFact, value)
    rewrite = entry.requested_rewrite
    prompt, filled = rewrite.prompts("requested_rewrite")
    if entry.case_id < 0:
        raise MalformedError(f"case_id: {entry.case_id} is negative")
    new, old = rewrite.target_new.str, rewrite.target_true.str
    answers = ((new,),)
    fields = {"prompt": filled, "target_new": new, "target_true": old}
    tests = (
        Test("acc", Query(filled, answers)),
        *(Test("gen", Query(text, answers)) for text in entry.paraphrase_prompts),
        *(Test("neighbourhood", Query(text, ((old,),))) for text in entry.neighborhood_prompts),
        *(
            Test(axis, Query(_filled(template, fields), answers))
            for axis, template in resources.doubts.items()
        ),
    )
    record = Record(
        id=record_id("cf", str(entry.case_id), slug(rewrite.subject)),
        index=index,
        subject=rewrite.subject,
        relation=rewrite.relation_id,
        prompt=prompt,
        new=new,
        old=old,
        tests=tests,
    )
    return (record,), 0


DOUBTS: dict[str, Axis] = {"SAKE_D1": "di", "SAKE_D2": "dii"}
"""The doubt templates' ids, and the axes they test."""


def _filled(template: str, fields: dict[str, str]) -> str:
    # Not str.format: a brace in a name, or another in the template, is text.
    return _FIELD.sub(lambda match: fields[match[1]], template)
