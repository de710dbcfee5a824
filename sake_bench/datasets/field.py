"""The field set: facts as companies have them, with wordings that must be reached and others that
look alike and must be left alone.

The file is one object: `edits`, `several` (prompts that name more than one fact, or ask for more
than a completion), `unrelated`. One edit, one `Record`; what is of several edits goes to the one
whose object it wants, what is unrelated to the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.datasets.entries import Entry, MalformedError, parse, record_id, slug
from sake_bench.datasets.records import Query, Record, Test
from sake_registry.edits.schema import Text
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_bench.datasets.records import Resources

NAME, TITLE = "field", "field set"
SOURCE = ""
SHAPE = "an object of edits (subject, new, prompts, in_scope, out_of_scope), several, unrelated"
_OPEN = "?"
"""What the file wants of a prompt that has no one right answer."""


class _Turn(Entry):
    role: Text
    content: Text


class _Chat(Entry):
    messages: tuple[_Turn, ...]
    want: Text


class _Several(Entry):
    prompt: Text
    kind: Text
    want: Text


class _Field(Entry):
    id: Text
    lang: Text = "en"
    subject: Text
    relation: Text
    old: Text | None = None
    new: Text
    prompts: tuple[Text, ...]
    in_scope: tuple[Text, ...]
    out_of_scope: tuple[Text, ...]
    chats: tuple[_Chat, ...] = ()
    several: tuple[_Several, ...] = ()
    unrelated: tuple[Text, ...] = ()


def recognises(entry: dict[str, Any]) -> bool:
    return {"in_scope", "out_of_scope"} <= entry.keys()


def unfolded(value: Any) -> list[Any]:
    """The edits of a field set, each with its share of what stands beside them; of anything else,
    a list of it."""
    edits = value.get("edits") if isinstance(value, dict) else None
    if not isinstance(edits, list):
        return [value]
    several, shares = value.get("several") or [], []
    for edit in edits:
        new = str(edit.get("new")) if isinstance(edit, dict) else ""
        mine = [s for s in several if isinstance(s, dict) and new.startswith(str(s.get("want")))]
        shares.append({**edit, "several": mine} if isinstance(edit, dict) else edit)
    if shares and isinstance(shares[0], dict):
        shares[0]["several"] += [
            s for s in several if isinstance(s, dict) and s.get("want") == _OPEN
        ]
        shares[0]["unrelated"] = value.get("unrelated") or []
    return shares


def read(index: int, value: Any, resources: Resources) -> tuple[tuple[Record, ...], int]:
    """The record of one edit, and how many of its prompts have no one right answer.

    Raises:
        MalformedError: what is wrong with it.
    """
    entry = parse(_Field, value)
    if not entry.prompts or any(SUBJECT not in prompt for prompt in entry.prompts):
        raise MalformedError(f"prompts: each names {SUBJECT}, and there is at least one")
    own, *others = entry.prompts
    record = Record(
        id=record_id(NAME, slug(entry.id)),
        index=index,
        subject=entry.subject,
        relation=entry.relation,
        prompt=own,
        new=entry.new,
        old=entry.old,
        tests=(
            Test("acc", Query(own.replace(SUBJECT, entry.subject), ((entry.new,),))),
            *_tests(entry),
        ),
        wordings=tuple(others),
    )
    return (record,), sum(one.want == _OPEN for one in entry.several)


def _tests(entry: _Field) -> Iterator[Test]:
    answers = ((entry.new,),)

    def form(text: str) -> str:
        return entry.lang if entry.lang != "en" else "question" if "?" in text else "completion"

    for text in entry.in_scope:
        yield Test("reached", Query(text, answers), kind=form(text))
    for chat in entry.chats:
        turns = tuple((turn.role, turn.content) for turn in chat.messages)
        wanted = ((entry.new, chat.want),)
        yield Test("reached", Query(turns[-1][1], wanted), kind="chat", messages=turns)
    for one in entry.several:
        if one.want != _OPEN:
            yield Test("reached", Query(one.prompt, ((entry.new, one.want),)), kind=one.kind)
    for text in entry.out_of_scope:
        yield Test("look-alike", Query(text), kind=form(text))
    for text in entry.unrelated:
        yield Test("look-alike", Query(text), kind="unrelated")
