"""Tests that no data set has, made from its records: the same subject asked something else, and
the same fact asked as a question.

Pure functions; what is drawn hangs on a seed and the record's id alone.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from sake_bench.datasets.importing import property_of
from sake_bench.datasets.overlap import compiled, meets
from sake_bench.datasets.records import Query, Test
from sake_registry.edits.checks import plainly
from sake_registry.models.chats import chat_text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_bench.datasets.records import DataSet, Message, Record
    from sake_registry.edits.schema import Edit

OTHER_RELATIONS = 5
"""Prompts of other relations a record gets, at most."""


@cache
def relations() -> Any:
    """The relations and their wordings, as `datasets/derived.yaml` states them."""
    return yaml.safe_load((files("sake_bench.datasets") / "derived.yaml").read_text("utf-8"))


def other_relations(record: Record, data: DataSet, edit: Edit, seed: int) -> tuple[Test, ...]:
    """Prompts on the record's subject that ask for other relations, in the data's own templates.

    At most `OTHER_RELATIONS`, each of another relation, no two alike. None is among the wordings
    of the record's own relation, its compiled prompts or its paraphrase tests.
    """
    relation = property_of(record, data)
    data_ = relations()
    suiting = {other for kind in data_["kinds"].values() if relation in kind for other in kind}
    alike = {
        relation,
        *(other for family in data_["families"] if relation in family for other in family),
    }
    vague = {plainly(template) for template in data_["vague"]}
    wordings = data.templates.get(record.relation, ())
    taken = [
        *compiled(edit),
        *(text.replace(SUBJECT, record.subject) for text in wordings),
        *(test.query.prompt for test in record.of("gen")),
    ]
    random_ = random.Random(f"{seed} {record.id}")
    others = sorted(suiting - alike)
    random_.shuffle(others)
    prompts: list[str] = []
    for other in others:
        filled = [
            text.replace(SUBJECT, record.subject)
            for text in sorted(data.templates.get(other, ()))
            if plainly(text) not in vague
        ]
        fresh = [text for text in filled if not any(meets(text, known) for known in taken)]
        if fresh:
            prompts.append(random_.choice(fresh))
            taken.append(prompts[-1])
    return tuple(Test("other-relation", Query(text)) for text in prompts[:OTHER_RELATIONS])


def questions(record: Record, data: DataSet, edit: Edit) -> tuple[Test, ...]:
    """The record's fact as direct questions; none where its relation has no wording here.

    A question that a compiled prompt meets ("X, named for" ends "What is X named for?") is left
    out: it would be no test.
    """
    wordings = relations()["questions"].get(property_of(record, data), ())
    texts = [text.replace(SUBJECT, record.subject) for text in wordings]
    return tuple(
        Test("question", Query(text, (record.new_names,)))
        for text in texts
        if not any(meets(text, other) for other in compiled(edit))
    )


def in_chat(tokenizer: Any, messages: Sequence[Message]) -> str | None:
    """A conversation as the model reads it, up to where its own turn begins.

    None where the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    turn = chat_text(tokenizer, [{"role": role, "content": text} for role, text in messages])
    # Encoding puts the beginning of a text before it; a template that has it would have it twice.
    begin = tokenizer.bos_token
    if begin and list(tokenizer("").input_ids)[:1] == [tokenizer.bos_token_id]:
        turn = turn.removeprefix(begin)
    return turn
