"""Changing single places of an edit file's text, without touching another byte.

Guarantees:
- Comments, line ends, a byte order mark, a missing last line end, the author's layout and
  quotation stay as they are: a change is a list of `Splice`s, everything else is copied.
- A change proves itself: the new text must read as the old value but for what was asked for;
  where the layout is one that this cannot be done in, it is refused and nothing is changed.

Text is handed in decoded but with its line ends as they are in the file
(`path.read_bytes().decode()`), and is to be written back as bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.edits import yamltext
from sake_registry.edits.yamltext import BREAK, line_starts
from sake_registry.errors import EditFileError, InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sake_registry.edits.yamltext import Document, Loc

BOM = "\ufeff"
# What comes after `lifecycle` in the schema's order.
_BEHIND_LIFECYCLE = ("tags", "scope")
# A line `...` ends a document, whatever it stands in.
_END = re.compile(r"([\n\r\x85\u2028\u2029])\.\.\.(?=\s|$)")


@dataclass(frozen=True)
class Splice:
    """Put `text` in the place of the characters from `start` up to `end`."""

    start: int
    end: int
    text: str


class LayoutError(ValueError):
    """The file is laid out in a way that a change cannot be spliced into."""


def apply(text: str, splices: Iterable[Splice]) -> str:
    """`text` with every splice done; their offsets are those of `text` as it is given.

    Several insertions at one place are made in the order in which they are given.

    Raises:
        ValueError: a splice outside the text, or two that overlap.
    """
    parts: list[str] = []
    done = 0
    for splice in sorted(splices, key=lambda s: (s.start, s.end)):
        if not done <= splice.start <= splice.end <= len(text):
            raise ValueError(f"{splice} overlaps another one, or is outside the text")
        parts += [text[done : splice.start], splice.text]
        done = splice.end
    return "".join([*parts, text[done:]])


def set_value(document: Document, loc: Loc, written: str) -> Splice:
    """Give the key or item at `loc`, a text or nothing until now, the YAML text `written`.

    Raises:
        LayoutError: there is a list or a mapping, or nothing at all.
    """
    span = document.scalars.get(loc)
    if span is None:
        raise LayoutError(f"{yamltext.dotted(loc)} is not text")
    if span.start == span.end:
        colon = "" if document.has_colon(loc) else ":"
        end = len(document.text[: span.start].rstrip())
        return Splice(end, end, f"{colon} {written}")
    # A block scalar (| or >) ends where the next thing begins: its last line end stays.
    return Splice(
        span.start, span.start + len(document.text[span.start : span.end].rstrip()), written
    )


def rename_key(document: Document, loc: Loc, name: str) -> Splice:
    """Call the key at `loc` by another name.

    Raises:
        LayoutError: there is no such key.
    """
    span = document.key_spans.get(loc)
    if span is None:
        raise LayoutError(f"there is no key {yamltext.dotted(loc)}")
    return Splice(span.start, span.end, yamltext.scalar(name))


def insert_first(document: Document, loc: Loc, key: str, written: str) -> Splice:
    """Add `key: written` as the first of the mapping at `loc`, in the mapping's own style.

    Raises:
        LayoutError: there is no mapping, or its first key does not begin a line.
    """
    mapping = document.value
    for part in loc:
        mapping = mapping[part]
    entry = f"{key}: {written}"
    flow = document.flows.get(loc)
    if mapping is None:
        return _open_mapping(document, loc, entry)
    if not isinstance(mapping, dict):
        raise LayoutError(f"{yamltext.dotted(loc)} is not a mapping")
    if not mapping:
        if flow is None:
            raise LayoutError(f"{yamltext.dotted(loc)} has no braces")
        return Splice(flow.start + 1, flow.start + 1, entry)
    first = document.key_spans[(*loc, next(iter(mapping)))].start
    if flow is not None:
        return Splice(first, first, f"{entry}, ")
    return _line_before(document, first, entry)


def insert_before(document: Document, loc: Loc, lines: Sequence[str]) -> Splice:
    """Add lines above the key at `loc` and the comment lines right above it.

    The lines are indented as the key is.

    Raises:
        LayoutError: the key does not begin a line.
    """
    text, start = document.text, document.key_spans[loc].start
    begin = _line_start(text, start)
    indent = _indent(text, begin, start)
    while begin > 0:
        above = _line_start(text, begin - len(_break_before(text, begin)))
        if not text[above:begin].lstrip(" \t").startswith("#"):
            break
        begin = above
    newline = line_end(text)
    return Splice(begin, begin, "".join(f"{indent}{line}{newline}" for line in lines))


def append(document: Document, lines: Sequence[str]) -> Splice:
    """Add lines at the end of the document; a file keeps its lack of a last line end."""
    text, newline = document.text, line_end(document.text)
    block = newline.join(lines)
    if marker := _END.search(text):
        return Splice(marker.end(1), marker.end(1), block + newline)
    ended = not text or bool(_break_before(text, len(text)))
    return Splice(len(text), len(text), block + newline if ended else newline + block)


def line_end(text: str) -> str:
    """How the lines of a text end."""
    match = BREAK.search(text)
    return match[0] if match else "\n"


def set_status(text: str, path: Path, status: str) -> str:
    """The text of an edit file with `lifecycle.status` set, and no other line touched.

    Raises:
        EditFileError: the file is not YAML that an edit file may hold.
        InputError: the layout does not allow it; the message says what to write by hand.
    """
    bom = BOM if text.startswith(BOM) else ""
    document = yamltext.read(text.encode(), path)
    if document.findings:
        wrong = count(len(document.findings), "error")
        raise EditFileError(f"{path}: {wrong}", document.findings)
    by_hand = InputError(
        f"{path}: the status cannot be put into this file without touching other lines",
        hint=f"write it by hand: `status: {status}` under `lifecycle:`; then `sake check`",
    )
    try:
        spliced = apply(document.text, [_status_splice(document, status)])
    except LayoutError as error:
        raise by_hand from error
    if not reads_as(spliced, path, _with_status(document.value, status)):
        raise by_hand
    return bom + spliced


def reads_as(text: str, path: Path, value: Any) -> bool:
    """Whether a text is sound YAML of this value; spaces around a text do not count.

    They do not count in the schema either: a block scalar at the end of a file gains a line end
    when something comes after it.
    """
    document = yamltext.read(text.encode(), path)
    return not document.findings and _stripped(document.value) == _stripped(value)


def _status_splice(document: Document, status: str) -> Splice:
    fields = document.value
    if not isinstance(fields, dict) or not fields:
        raise LayoutError("not a mapping of fields")
    written = yamltext.scalar(status)
    if "lifecycle" not in fields:
        if () in document.flows:
            return insert_first(document, (), "lifecycle", f"{{status: {written}}}")
        lines = ["lifecycle:", f"  status: {written}"]
        behind = next((key for key in fields if key in _BEHIND_LIFECYCLE), None)
        return insert_before(document, (behind,), lines) if behind else append(document, lines)
    life = fields["lifecycle"]
    if isinstance(life, dict) and "status" in life:
        return set_value(document, ("lifecycle", "status"), written)
    return insert_first(document, ("lifecycle",), "status", written)


def _with_status(fields: dict[str, Any], status: str) -> dict[str, Any]:
    life = fields.get("lifecycle")
    return {**fields, "lifecycle": {**(life or {}), "status": status}}


def _open_mapping(document: Document, loc: Loc, entry: str) -> Splice:
    """The first entry of a mapping whose key has no value: a line below the key."""
    text, key = document.text, document.key_spans[loc]
    if any(document.flows.get(loc[:i]) for i in range(len(loc))):
        return set_value(document, loc, f"{{{entry}}}")
    begin = _line_start(text, key.start)
    indent = _indent(text, begin, key.start)
    match = BREAK.search(text, key.end)
    end = match.start() if match else len(text)
    return Splice(end, end, f"{line_end(text)}{indent}  {entry}")


def _line_before(document: Document, start: int, entry: str) -> Splice:
    begin = _line_start(document.text, start)
    indent = _indent(document.text, begin, start)
    return Splice(begin, begin, f"{indent}{entry}{line_end(document.text)}")


def _line_start(text: str, offset: int) -> int:
    """Where the line that holds `offset` begins."""
    return next(start for start in reversed(line_starts(text)) if start <= offset)


def _break_before(text: str, offset: int) -> str:
    """The line break that ends at `offset`, or nothing."""
    if text[max(0, offset - 2) : offset] == "\r\n":
        return "\r\n"
    last = text[max(0, offset - 1) : offset]
    return last if last and BREAK.fullmatch(last) else ""


def _indent(text: str, begin: int, start: int) -> str:
    indent = text[begin:start]
    if indent.strip(" "):
        raise LayoutError("a key does not begin its line")
    return indent


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value.strip() if isinstance(value, str) else value
