"""RippleEdits (Cohen et al. 2024), in the format of its authors: one entry, one `Record`.

The authors' files name objects by Wikidata ids only; subject and objects are recovered from the
two prompts (`edit.prompt`, `original_fact.prompt`), through the relation's phrase: that of the
templates, or what the file's statements of one relation have in common. Where neither tells (a
relation that is rare in the file), the subject is a guess by its capitals. Fields that say them
outright (`fact_prompt`, `subject`, `target_new`, `original_fact.target`) are believed where they
are present.

A test with several queries becomes one test for each of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from sake_bench.datasets.entries import (
    Entry,
    MalformedError,
    answerable,
    name_set,
    parse,
    record_id,
    slug,
    with_subject,
)
from sake_bench.datasets.records import Axis, Query, Record, Test
from sake_registry import names
from sake_registry.edits.checks import plainly
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sake_bench.datasets.records import Resources

NAME, TITLE = "rippleedits", "RippleEdits"
SOURCE = "https://github.com/edenbiran/RippleEdits"
SHAPE = "edit (prompt, relation, original_fact), and the six axes (Relation_Specificity, …)"

# In the order of the paper.
AXES: dict[str, Axis] = {
    "Logical_Generalization": "lg",
    "Compositionality_I": "ci",
    "Compositionality_II": "cii",
    "Subject_Aliasing": "sa",
    "Relation_Specificity": "rs",
    "Forgetfulness": "forgetfulness",
}
_SEVERAL = 3
"""Statements: what fewer have in common may be part of their subjects."""

# Words before which a statement's object cannot begin, and after which it usually does.
_COPULA = re.compile(r"\b(?:is|are|was|were|follows|by)(?=\s)")


def _as_text(value: Any) -> Any:
    """A number of children is a number in some files."""
    return str(value) if isinstance(value, int | float) else value


class _Answer(Entry):
    value: Annotated[str, BeforeValidator(_as_text)]
    aliases: tuple[str, ...] = ()


class _Query(Entry):
    prompt: Text
    answers: tuple[_Answer, ...]
    second_relation: Text | None = None


class _Test(Entry):
    test_queries: tuple[_Query, ...]
    condition_queries: tuple[_Query, ...] | None = None


class _Original(Entry):
    prompt: Text | None = None
    target: Text | None = None


class _Edit(Entry):
    prompt: Text
    relation: Text
    original_fact: _Original | None = None
    fact_prompt: Text | None = None
    subject: Text | None = None
    target_new: Text | None = None


class _RippleEdits(Entry):
    edit: _Edit
    lg: tuple[_Test, ...] = Field((), alias="Logical_Generalization")
    ci: tuple[_Test, ...] = Field((), alias="Compositionality_I")
    cii: tuple[_Test, ...] = Field((), alias="Compositionality_II")
    sa: tuple[_Test, ...] = Field((), alias="Subject_Aliasing")
    rs: tuple[_Test, ...] = Field((), alias="Relation_Specificity")
    forgetfulness: tuple[_Test, ...] = Field((), alias="Forgetfulness")
    llm_paraphrases_of_prompt: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Fact:
    """What an edit's prompts say; `prompt` with `<subject>`."""

    subject: str
    prompt: str
    new: str
    old: str | None

    @property
    def filled(self) -> str:
        return self.prompt.replace(SUBJECT, self.subject)


def recognises(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("edit"), dict) or bool(AXES.keys() & entry.keys())


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one entry, and how many of its tests have no answer and are left out.

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_RippleEdits, value)
    edit = entry.edit
    fact = _fact(edit, resources.phrases.get(edit.relation))
    if fact.old and plainly(fact.new) == plainly(fact.old):
        raise MalformedError(f"the new object is the old one: '{fact.new}'")
    tests, unanswerable = answerable(
        test for axis in AXES.values() for test in _tests(entry, axis, fact, resources)
    )
    aliases = _aliases(fact, tests)
    record = Record(
        id=record_id("ripple", str(index), slug(fact.subject)),
        index=index,
        subject=fact.subject,
        relation=edit.relation,
        prompt=fact.prompt,
        new=fact.new,
        old=fact.old,
        new_aliases=aliases,
        tests=(Test("acc", Query(fact.filled, ((fact.new, *aliases),))), *tests),
        paraphrases=tuple(filter(str.strip, entry.llm_paraphrases_of_prompt or ())),
    )
    return (record,), unanswerable


def phrases(entries: Iterable[Any]) -> dict[str, str]:
    """The phrases of relations, as the statements of a file show them.

    What the beginnings of the statements of one relation have in common around the subject;
    found for relations of which there are several subjects.
    """
    beginnings: dict[str, set[str]] = {}
    for entry in entries:
        try:
            edit = parse(_RippleEdits, entry).edit
            original = edit.original_fact.prompt if edit.original_fact else None
            beginning = edit.fact_prompt or _beginning(edit.prompt, original, None)
        except MalformedError:
            continue
        beginnings.setdefault(edit.relation, set()).add(beginning)
    frames = {name: _frame(sorted(texts)) for name, texts in beginnings.items()}
    return {name: frame for name, frame in frames.items() if frame is not None}


def _frame(texts: list[str]) -> str | None:
    """The common first and last words of texts, with `<subject>` between them."""
    if len(texts) < _SEVERAL:
        return None
    split = [text.split() for text in texts]
    room = min(map(len, split)) - 1  # at least one word is the subject
    last = _shared([words[::-1] for words in split], room)
    first = _shared(split, room - last)
    words = split[0]
    if not last:
        return None
    return " ".join([*words[:first], SUBJECT, *words[len(words) - last :]])


def _shared(lists: list[list[str]], most: int) -> int:
    """How many first words all lists share, at most `most`."""
    return next((i for i in range(most) if len({words[i] for words in lists}) > 1), most)


# -- tests ---------------------------------------------------------------------------------------


def _tests(entry: _RippleEdits, axis: Axis, fact: _Fact, resources: Resources) -> Iterator[Test]:
    tests: tuple[_Test, ...] = getattr(entry, axis)
    for test in tests:
        conditions = test.condition_queries
        known = None if conditions is None else tuple(_query(query) for query in conditions)
        for query in test.test_queries:
            # The files repeat an aliasing test as its own condition: before the edit it cannot
            # hold, so what is meant is that the edit itself holds.
            on_edit = axis == "sa"
            second = query.second_relation
            if axis == "ci" and second is None:
                second = _second_relation(query.prompt, entry.edit.relation, fact, resources)
            alias = _alias(query.prompt, fact) if on_edit else None
            yield Test(axis, _query(query), () if on_edit else known, on_edit, second, alias)


def _alias(prompt: str, fact: _Fact) -> str | None:
    """What stands in an aliasing test where the own prompt has the subject."""
    before, _, after = fact.prompt.partition(SUBJECT)
    if not (prompt.startswith(before) and prompt.endswith(after)):
        return None
    name = prompt[len(before) : len(prompt) - len(after)].strip()
    return name if name and plainly(name) != plainly(fact.subject) else None


def _query(query: _Query) -> Query:
    answers = (name_set(answer.value, answer.aliases) for answer in query.answers)
    # Without a value the aliases stand for nothing that could be checked against Wikidata.
    sound = (a for a, given in zip(answers, query.answers, strict=True) if given.value.strip())
    return Query(query.prompt, tuple(sound))


def _second_relation(prompt: str, relation: str, fact: _Fact, resources: Resources) -> str | None:
    """Which two-hop template a prompt was made from."""
    for (first, second), phrase in resources.two_hop.items():
        if first == relation and plainly(phrase.replace(SUBJECT, fact.subject)) == plainly(prompt):
            return second
    return None


def _aliases(fact: _Fact, tests: tuple[Test, ...]) -> tuple[str, ...]:
    """Other names of the new object, as the aliasing tests give them; never the old one's."""
    candidates = (
        name
        for test in tests
        if test.axis == "sa"
        for answer in test.query.answers
        if plainly(answer[0]) == plainly(fact.new)
        for name in answer
    )
    taken = {plainly(name) for name in (fact.new, fact.old or fact.new)}
    fresh: dict[str, str] = {}
    for name in candidates:
        if plainly(name) and plainly(name) not in taken:
            fresh.setdefault(plainly(name), name)
    return tuple(fresh.values())


# -- the fact ------------------------------------------------------------------------------------


def _fact(edit: _Edit, phrase: str | None) -> _Fact:
    original = edit.original_fact or _Original()
    filled = edit.fact_prompt or _beginning(edit.prompt, original.prompt, phrase)
    subject = edit.subject or _subject(filled, phrase)
    new = edit.target_new or _object(edit.prompt, filled, "edit.prompt")
    old = original.target
    if old is None and original.prompt is not None:
        old = _old(original.prompt, filled, phrase)
    if phrase and phrase.replace(SUBJECT, subject) == filled:
        return _Fact(subject, phrase, new, old)
    prompt = with_subject(filled, subject)
    if prompt is None:
        raise MalformedError(f"edit.subject: '{subject}' is not in the prompt '{filled}'")
    return _Fact(subject, prompt, new, old)


def _object(statement: str, filled: str, where: str) -> str:
    """What a statement says after its prompt, without the full stop that ends it."""
    if not statement.startswith(filled):
        raise MalformedError(f"{where} does not begin with the edit's prompt '{filled}'")
    # One full stop is the sentence's; "Robert Downey Jr.." keeps its own.
    said = statement.removeprefix(filled).strip().removesuffix(".").strip()
    if not said:
        raise MalformedError(f"{where} names no object: '{statement}'")
    return said


def _old(statement: str, filled: str, phrase: str | None) -> str:
    """The old object; its statement may name the subject in another way than the edit's."""
    if phrase is not None and not statement.startswith(filled):
        ends = _phrase_ends(statement, phrase)
        filled = statement[: ends[0]] if ends else filled
    return _object(statement, filled, "edit.original_fact.prompt")


def _beginning(statement: str, original: str | None, phrase: str | None) -> str:
    """The part of a statement before its object."""
    if phrase is not None:
        ends = _phrase_ends(statement, phrase)
        if original is not None:
            both = [end for end in ends if original.startswith(statement[:end] + " ")]
            if both:  # all of the subject is shared: the longest is it
                return statement[: both[-1]]
        if ends:
            return statement[: ends[0]]
    if original is not None:
        common = _common(statement, original)
        ends = [m.end() for m in _COPULA.finditer(statement) if m.end() <= common]
        if ends:
            return statement[: ends[-1]]
    raise MalformedError(
        "edit.prompt: where its object begins cannot be told"
        + ("" if phrase else "; the relation templates are not beside the file")
    )


def _phrase_ends(statement: str, phrase: str) -> list[int]:
    """Where in a statement the phrase can end, each subject being at least one character."""
    before, _, after = phrase.partition(SUBJECT)
    if not statement.startswith(before):
        return []
    endings = re.finditer(re.escape(after) + r"(?=\s)", statement)
    return [match.end() for match in endings if match.start() > len(before)]


def _common(first: str, second: str) -> int:
    """The length of the common prefix of two texts."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _subject(filled: str, phrase: str | None) -> str:
    if phrase is not None:
        before, _, after = phrase.partition(SUBJECT)
        if filled.startswith(before) and filled.endswith(after):
            subject = filled[len(before) : len(filled) - len(after)].strip()
            if subject:
                return subject
    capitalised = names.proper_names(filled)
    if not capitalised:
        raise MalformedError(f"edit.prompt: its subject cannot be told: '{filled}'")
    # "Prince Harry, Duke of Sussex" is one subject of several names.
    return filled[
        filled.index(capitalised[0]) : filled.rindex(capitalised[-1]) + len(capitalised[-1])
    ]
