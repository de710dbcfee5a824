"""What the readers of all data sets share: text as it may stand, ids, and what is wrong.

A reader is a function of one entry that returns its `Record`s or raises `MalformedError`, whose
text says what is wrong and where in the entry. It never raises anything else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sake_registry import names
from sake_registry.edits.yamltext import dotted
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sake_bench.datasets.records import Test

_SLUG = 40
"""Characters of a name in an id, at most."""


class MalformedError(ValueError):
    """An entry of a data file is no record of its format."""


class Entry(BaseModel):
    """A part of a data file; what a format does not name is left unread."""

    model_config = ConfigDict(extra="ignore", frozen=True)


E = TypeVar("E", bound=Entry)


def parse(model: type[E], value: Any) -> E:
    """`value` as `model`.

    Raises:
        MalformedError: it is none; the first thing that is wrong, and where.
    """
    if not isinstance(value, dict):
        raise MalformedError(f"an object is expected, not {_kind(value)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MalformedError(_reason(error)) from error


def _reason(error: ValidationError) -> str:
    first, *rest = error.errors()
    where = dotted(first["loc"])
    kinds = {
        "missing": "missing",
        "string_too_short": "empty",
        "string_unicode": "half a character (a lone surrogate) stands in it",
        "string_type": f"text is expected, not {_kind(first.get('input'))}",
        "model_type": f"an object is expected, not {_kind(first.get('input'))}",
        "tuple_type": f"a list is expected, not {_kind(first.get('input'))}",
    }
    message = kinds.get(first["type"], first["msg"])
    more = f" (and {len(rest)} more)" if rest else ""
    return f"{where}: {message}{more}" if where else f"{message}{more}"


def _kind(value: Any) -> str:
    """A value of JSON by its kind."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return kinds.get(type(value), "an object")


def slug(text: str) -> str:
    """`text` as a part of an id: `Saint-André-d'Allas` is `saint-andre-d-allas`; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while words and len("-".join(words)) > _SLUG and len(words) > 1:
        words.pop()
    return "-".join(words)[:_SLUG]


def record_id(*parts: str) -> str:
    """The id of an edit file; parts that are empty are left out."""
    return "-".join(part for part in parts if part)


def with_subject(text: str, subject: str) -> str | None:
    """`text` with `<subject>` in place of the subject's name, or None where it is not named.

    A name that only stands inside a longer one is replaced where it stands last.
    """
    spans = names.find(text, [subject])
    if not spans:
        start = text.rfind(subject)
        if start < 0:
            start = text.casefold().rfind(subject.casefold())
        if start < 0 or text[start : start + len(subject)].casefold() != subject.casefold():
            return None
        spans = [(start, start + len(subject))]
    return names.mask(text, spans, SUBJECT)


def question(text: str, subject: str) -> str:
    """A data set's own prompt with `<subject>` in place of the subject's name.

    Raises:
        MalformedError: it does not name the subject.
    """
    prompt = with_subject(text, subject)
    if prompt is None:
        raise MalformedError(f"subject: '{subject}' is not in the prompt '{text}'")
    return prompt


def name_set(text: str, aliases: Iterable[str] = ()) -> tuple[str, ...]:
    """A name and its other names, without empty and repeated ones."""
    return tuple(dict.fromkeys(name.strip() for name in (text, *aliases) if name.strip()))


def answerable(tests: Iterable[Test]) -> tuple[tuple[Test, ...], int]:
    """The tests that have an answer, and how many have none."""
    tests = tuple(tests)
    kept = tuple(test for test in tests if test.query.answers)
    return kept, len(tests) - len(kept)
