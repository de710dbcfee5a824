"""zsRE and KnowEdit records, in the forms they are handed round in: one entry, one `Record`.

Read are flat objects with `prompt`, `subject`, `target_new` (or `alt`), `ground_truth`,
`rephrase_prompt` (or `rephrase`), `portability` and `locality` (KnowEdit, EasyEdit), and those of
zsRE with `src`, `subject`, `alt`, `answers`, `rephrase`, `loc` and `loc_ans` (MEND). Prompts that
are questions stay as they are. Such data name no relation: the own prompt stands for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from sake_bench.datasets.entries import (
    Entry,
    MalformedError,
    answerable,
    name_set,
    parse,
    question,
    record_id,
    slug,
)
from sake_bench.datasets.records import Axis, Query, Record, Test
from sake_registry.edits.checks import plainly
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_bench.datasets.records import Resources

NAME, TITLE = "knowedit", "KnowEdit"
SOURCE = "https://github.com/zjunlp/EasyEdit"
SHAPE = (
    "prompt or src, subject, target_new or alt, rephrase_prompt, portability and locality by kind"
)
_NO_TEXT = "<|endoftext|>"
"""How some files say that there is no old object."""


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _blank_is_none(value: Any) -> Any:
    """These files leave a field empty where they have nothing for it."""
    return None if isinstance(value, str) and not value.strip() else value


def _flat(value: Any) -> Any:
    """`"a"`, `["a", "b"]` and `[["a", "b"], ["c"]]` as a list of answers, each a list of names."""
    if isinstance(value, str):
        return ((value,),)
    if isinstance(value, list):
        return tuple(_as_list(answer) for answer in value)
    return value


Optional = Annotated[Text | None, BeforeValidator(_blank_is_none)]
Lines = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
Answers = Annotated[tuple[tuple[str, ...], ...], BeforeValidator(_flat)]


class _KnowEdit(Entry):
    subject: Text
    prompt: Optional = None
    src: Optional = None
    target_new: Annotated[Text | None, BeforeValidator(_blank_is_none)] = None
    alt: Optional = None
    ground_truth: Answers = ()
    answers: Answers = ()
    rephrase_prompt: Lines | None = None
    rephrase: Lines | None = None
    portability: dict[str, Any] | None = None
    locality: dict[str, Any] | None = None
    loc: Optional = None
    loc_ans: Answers = ()


class _Item(Entry):
    prompt: Text
    ground_truth: Answers = ()


def recognises(entry: dict[str, Any]) -> bool:
    return "subject" in entry and bool({"prompt", "src"} & entry.keys())


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one entry, and how many of its tests have no answer and are left out.

    A locality prompt needs no answer: it must be answered as before.

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_KnowEdit, value)
    own = entry.prompt or entry.src
    new = entry.target_new or entry.alt
    if own is None:
        raise MalformedError("prompt: missing")
    if new is None:
        raise MalformedError("target_new: missing")
    prompt = question(own, entry.subject)
    truths = _names(entry.ground_truth or entry.answers)
    old = next((names[0] for names in truths if names[0] != _NO_TEXT), None)
    if old and plainly(old) == plainly(new):
        raise MalformedError(f"the new object is the old one: '{new}'")
    rephrased = entry.rephrase_prompt or entry.rephrase or ()
    follows, unanswerable = answerable(_inside(entry.portability, "portability"))
    tests = (
        Test("acc", Query(own, ((new,),))),
        *(Test("gen", Query(text, ((new,),))) for text in rephrased),
        *follows,
        *_inside(entry.locality, "locality"),
        *([Test("locality", Query(entry.loc, _names(entry.loc_ans)))] if entry.loc else []),
    )
    record = Record(
        id=record_id("knowedit", str(index), slug(entry.subject)),
        index=index,
        subject=entry.subject,
        relation=prompt.replace(SUBJECT, "…"),
        prompt=prompt,
        new=new,
        old=old,
        tests=tests,
    )
    return (record,), unanswerable


def _names(answers: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    sets = (name_set(names[0], names[1:]) for names in answers if names)
    return tuple(names for names in sets if names)


def _inside(group: dict[str, Any] | None, axis: Axis) -> Iterator[Test]:
    """The tests of `portability` or `locality`: by kind, one item or a list of them."""
    for kind, found in (group or {}).items():
        if found is None or isinstance(found, str):
            continue  # "Recalled Relation": a note, no prompt
        for i, item in enumerate(found if isinstance(found, list) else [found]):
            try:
                parsed = parse(_Item, item)
            except MalformedError as error:
                raise MalformedError(f"{axis}.{kind}[{i}].{error}") from error
            yield Test(axis, Query(parsed.prompt, _names(parsed.ground_truth)))
