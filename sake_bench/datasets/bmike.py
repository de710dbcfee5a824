"""BMIKE-53 (Nie et al. 2025): a fact is edited in one language and asked for in others.

One entry, one `Record`, whose prompt is in the language that edits are written in
(`Resources.language`). What is asked in it are the usual tests; the same questions in the other
languages are of a kind each, the language. There the object counts in either language's form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import StrictInt

from sake_bench.datasets.entries import (
    Entry,
    MalformedError,
    name_set,
    parse,
    question,
    record_id,
    slug,
)
from sake_bench.datasets.records import Query, Record, Test
from sake_registry.edits.checks import plainly
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_bench.datasets.records import Resources

NAME, TITLE = "bmike", "BMIKE-53"
SOURCE = "https://github.com/ercong21/MultiKnow"
SHAPE = "dataset, case_id, and by language (en, de, …) subject, src, rephrase, alt, loc, port"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")


class _Head(Entry):
    dataset: Text
    case_id: StrictInt


class _Fact(Entry):
    subject: Text
    src: Text
    rephrase: Text
    alt: Text
    old: str | None = None
    loc: Text
    loc_ans: str = ""
    port: Text
    port_ans: str = ""


def recognises(entry: dict[str, Any]) -> bool:
    return {"dataset", "case_id"} <= entry.keys() and "src" in next(
        iter(_facts(entry).values()), {}
    )


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one entry; no test is left out (0).

    Raises:
        MalformedError: what is wrong with it; it is not in the language of edits.
    """
    head = parse(_Head, value)
    facts = {name: parse(_Fact, fact) for name, fact in _facts(value).items()}
    fact = facts.pop(resources.language, None)
    if fact is None:
        raise MalformedError(f"not in '{resources.language}', but in {', '.join(facts) or 'none'}")
    prompt = question(fact.src, fact.subject)
    if fact.old and plainly(fact.old) == plainly(fact.alt):
        raise MalformedError(f"alt: the new object is the old one: '{fact.alt}'")
    answers = ((fact.alt,),)
    tests = (
        Test("acc", Query(fact.src, answers)),
        Test("gen", Query(fact.rephrase, answers)),
        Test("locality", Query(fact.loc, _answers(fact.loc_ans))),
        *([Test("portability", Query(fact.port, a))] if (a := _answers(fact.port_ans)) else []),
        *(test for name, other in facts.items() for test in _in(name, other, fact.alt)),
    )
    record = Record(
        id=record_id(NAME, slug(head.dataset), str(head.case_id), slug(fact.subject)),
        index=index,
        subject=fact.subject,
        relation=prompt.replace(SUBJECT, "…"),
        prompt=prompt,
        new=fact.alt,
        old=(fact.old or "").strip() or None,
        tests=tests,
    )
    return (record,), 0


def _in(language: str, fact: _Fact, new: str) -> Iterator[Test]:
    """What is asked of a fact in another language than its edit's."""
    names = (name_set(new, [fact.alt]),)
    for text in dict.fromkeys((fact.src, fact.rephrase)):
        yield Test("reached", Query(text, names), kind=language)
    yield Test("look-alike", Query(fact.loc, _answers(fact.loc_ans)), kind=language)


def _facts(value: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in value.items() if _LANGUAGE.fullmatch(n) and isinstance(v, dict)}


def _answers(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(filter(None, [name_set(text)]))
