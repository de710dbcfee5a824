"""QAEdit (Yang et al. 2025): questions with short answers, to be answered in a free generation.

One entry, one `Record`. The data name no relation, so the own prompt stands for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.datasets.entries import Entry, name_set, parse, question, record_id, slug
from sake_bench.datasets.records import Query, Record, Test
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from sake_bench.datasets.records import Resources

NAME, TITLE = "qaedit", "QAEdit"
SOURCE = "https://github.com/WanliYoung/Revisit-Editing-Evaluation"
SHAPE = "prompt, target, subject, rephrase, and locality as a list of loc and loc_ans"


class _Locality(Entry):
    loc: Text
    loc_ans: str = ""


class _QAEdit(Entry):
    prompt: Text
    target: Text
    subject: Text
    rephrase: Text
    locality: tuple[_Locality, ...]


def recognises(entry: dict[str, Any]) -> bool:
    return {"prompt", "target", "subject"} <= entry.keys()


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one entry; no test is left out (0).

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_QAEdit, value)
    prompt = question(entry.prompt, entry.subject)
    answers = ((entry.target,),)
    tests = (
        Test("acc", Query(entry.prompt, answers)),
        Test("gen", Query(entry.rephrase, answers)),
        *(
            Test("locality", Query(one.loc, tuple(filter(None, [name_set(one.loc_ans)]))))
            for one in entry.locality
        ),
    )
    record = Record(
        id=record_id(NAME, str(index), slug(entry.subject)),
        index=index,
        subject=entry.subject,
        relation=prompt.replace(SUBJECT, "…"),
        prompt=prompt,
        new=entry.target,
        tests=tests,
    )
    return (record,), 0
