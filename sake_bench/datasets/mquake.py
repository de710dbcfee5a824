"""MQuAKE (Zhong et al. 2023), in the format of its authors: questions through an edited fact.

An entry edits one fact or several, and each is a `Record` of its own. The questions of several hops
are tests of the first: they can only be answered right with all of the entry's edits. The hops
that no edit touches must stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, StrictInt

from sake_bench.datasets import counterfact
from sake_bench.datasets.entries import Entry, MalformedError, name_set, parse, record_id, slug
from sake_bench.datasets.records import Query, Record, Test
from sake_registry.edits.schema import Text

if TYPE_CHECKING:
    from sake_bench.datasets.records import Resources

NAME, TITLE = "mquake", "MQuAKE"
SOURCE = "https://github.com/princeton-nlp/MQuAKE"
SHAPE = "case_id, requested_rewrite as a list of edits, questions, new_answer"


class _Rewrite(counterfact.Rewrite):
    question: Text | None = None


class _Hop(Entry):
    question: Text
    answer: Text
    answer_alias: tuple[str, ...] = ()


class _MQuAKE(Entry):
    case_id: StrictInt
    requested_rewrite: tuple[_Rewrite, ...] = Field(min_length=1)
    questions: tuple[Text, ...]
    new_answer: Text
    new_answer_alias: tuple[str, ...] = ()
    single_hops: tuple[_Hop, ...] = ()
    new_single_hops: tuple[_Hop, ...] = ()


def recognises(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("requested_rewrite"), list)


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The records of one entry, one an edit; no test is left out (0).

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_MQuAKE, value)
    if entry.case_id < 0:
        raise MalformedError(f"case_id: {entry.case_id} is negative")
    records = []
    for number, rewrite in enumerate(entry.requested_rewrite):
        prompt, filled = rewrite.prompts(f"requested_rewrite[{number}]")
        answers = ((rewrite.target_new.str,),)
        asked = [Test("question", Query(rewrite.question, answers))] if rewrite.question else []
        records.append(
            Record(
                id=record_id(NAME, str(entry.case_id), str(number or ""), slug(rewrite.subject)),
                index=index,
                subject=rewrite.subject,
                relation=rewrite.relation_id,
                prompt=prompt,
                new=rewrite.target_new.str,
                old=rewrite.target_true.str,
                tests=(
                    Test("acc", Query(filled, answers)),
                    *asked,
                    *(() if number else _of_the_chain(entry)),
                ),
            )
        )
    return tuple(records), 0


def _of_the_chain(entry: _MQuAKE) -> tuple[Test, ...]:
    right = (name_set(entry.new_answer, entry.new_answer_alias),)
    kept = [hop for hop in entry.single_hops if hop in entry.new_single_hops]
    return (
        *(Test("multi-hop", Query(text, right)) for text in entry.questions),
        *(
            Test("locality", Query(hop.question, (name_set(hop.answer, hop.answer_alias),)))
            for hop in kept
        ),
    )
