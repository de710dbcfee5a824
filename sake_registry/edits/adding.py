"""Adding texts to an edit file: prompts, holdout, implications, unchanged prompts, aliases.

As all that is spliced: no other byte is touched, and the result must read as the old value with
what was added, or nothing is changed.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from sake_registry.edits import yamltext
from sake_registry.edits.schema import EditFile
from sake_registry.edits.splicing import (
    BOM,
    LayoutError,
    Splice,
    append,
    apply,
    insert_before,
    line_end,
    reads_as,
    set_value,
)
from sake_registry.edits.writing import flow
from sake_registry.edits.yamltext import BREAK, scalar
from sake_registry.errors import EditFileError, InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sake_registry.edits.yamltext import Document, Loc

    Item = str | Mapping[str, str]
    Additions = Mapping[Loc, Sequence[Item]]

_ORDER = [field.alias or name for name, field in EditFile.model_fields.items()]
_DASH = re.compile(r"( *)-( +)$")


def add_texts(
    text: str, path: Path, additions: Additions, remarks: Mapping[str, str] | None = None
) -> str:
    """The text of an edit file with items added to its lists, and no other line touched.

    Args:
        additions: items by the place of their list: `("prompts",)`, `("fact", "new", "aliases")`.
            An item is a text, or a mapping of texts.
        remarks: comments beside items that have a line of their own, by their text.

    Raises:
        EditFileError: the file is not YAML that an edit file may hold.
        InputError: the layout does not allow it; the message says what to change by hand.
    """
    bom = BOM if text.startswith(BOM) else ""
    document = yamltext.read(text.encode(), path)
    if document.findings:
        wrong = count(len(document.findings), "error")
        raise EditFileError(f"{path}: {wrong}", document.findings)
    # What is put in one place comes in the schema's order.
    places = sorted(additions, key=lambda loc: _ORDER.index(str(loc[0])))
    wanted = {loc: additions[loc] for loc in places if additions[loc]}
    by_hand = InputError(
        f"{path}: nothing can be added to this file without touching other lines",
        hint="write its lists one item a line, each after '- ', and then again",
    )
    try:
        splices = [_added(document, *one, remarks or {}) for one in wanted.items()]
        spliced = apply(document.text, splices)
        expected = _with(document.value, wanted)
    except (LayoutError, ValueError) as error:
        raise by_hand from error
    if not reads_as(spliced, path, expected):
        raise by_hand
    return bom + spliced


def _added(
    document: Document, loc: Loc, items: Sequence[Item], remarks: Mapping[str, str]
) -> Splice:
    value = _at(document.value, loc)
    if isinstance(value, list):
        return _to_list(document, loc, items, remarks)
    if value is not None:
        raise LayoutError(f"{yamltext.dotted(loc)} is not a list")
    if len(loc) > 1:
        return _first_aliases(document, loc[:-1], items)
    if () in document.flows:
        raise LayoutError("the file is one mapping in braces")
    if loc in document.keys:  # without a value
        newline = line_end(document.text)
        end = _end_of_line(document.text, document.key_spans[loc].end)
        return Splice(end, end, "".join(newline + line for line in _lines(items, "  ", remarks)))
    lines = [f"{loc[0]}:", *_lines(items, "  ", remarks)]
    behind = _ORDER[_ORDER.index(str(loc[0])) + 1 :]
    following = next((key for key in document.value if key in behind), None)
    return insert_before(document, (following,), lines) if following else append(document, lines)


def _to_list(
    document: Document, loc: Loc, items: Sequence[Item], remarks: Mapping[str, str]
) -> Splice:
    """Behind the last item of a list, in the list's own style."""
    last = (*loc, len(_at(document.value, loc)) - 1)
    if brackets := document.flows.get(loc):
        written = ", ".join(flow(_plain(item)) for item in items)
        if last[-1] == -1:
            return Splice(brackets.start + 1, brackets.start + 1, written)
        end = _end(document, last)
        return Splice(end, end, f", {written}")
    line, column = document.values[(*loc, 0)]
    before = document.line(line)[: column - 1]
    dash = _DASH.match(before)
    if dash is None:
        raise LayoutError(f"{yamltext.dotted(loc)}: its items do not begin their lines")
    newline = line_end(document.text)
    end = _end_of_line(document.text, _end(document, last))
    return Splice(end, end, "".join(newline + line for line in _lines(items, dash[1], remarks)))


def _first_aliases(document: Document, loc: Loc, items: Sequence[Item]) -> Splice:
    """The first other names of the name at `loc`, which is a text or a mapping."""
    name = _at(document.value, loc)
    names = [_plain(item) for item in items]
    if isinstance(name, str):
        return set_value(document, loc, flow({"text": name.strip(), "aliases": names}))
    if not isinstance(name, dict) or "text" not in name:
        raise LayoutError(f"{yamltext.dotted(loc)} is no name")
    end = _end(document, (*loc, "text"))
    if loc in document.flows:
        return Splice(end, end, f", aliases: {flow(names)}")
    column = document.keys[(*loc, "text")][1]
    end = _end_of_line(document.text, end)
    newline = line_end(document.text)
    return Splice(end, end, f"{newline}{' ' * (column - 1)}aliases: {flow(names)}")


def _lines(items: Sequence[Item], indent: str, remarks: Mapping[str, str]) -> Iterator[str]:
    def beside(text: str) -> str:
        return f"  # {remarks[text]}" if text in remarks else ""

    for item in items:
        if isinstance(item, str):
            yield f"{indent}- {scalar(item)}{beside(item)}"
            continue
        for number, (key, text) in enumerate(item.items()):
            remark = "" if number else beside(text)
            yield f"{indent}{' ' if number else '-'} {key}: {scalar(text)}{remark}"


def _plain(item: Item) -> Any:
    return item if isinstance(item, str) else dict(item)


def _end(document: Document, loc: Loc) -> int:
    """Where what stands at `loc` ends; a block scalar before its last line end."""
    spans = (*document.scalars.items(), *document.flows.items())
    end = max(span.end for place, span in spans if place[: len(loc)] == loc)
    start = min(span.start for place, span in spans if place[: len(loc)] == loc)
    return start + len(document.text[start:end].rstrip())


def _end_of_line(text: str, offset: int) -> int:
    """Where the line of an offset ends, with a comment that is beside it."""
    match = BREAK.search(text, offset)
    return match.start() if match else len(text)


def _at(value: Any, loc: Loc) -> Any:
    """What stands at a place; None where nothing does."""
    for part in loc:
        if isinstance(part, str) and not isinstance(value, dict):
            return None
        value = value.get(part) if isinstance(value, dict) else value[part]
    return value


def _with(value: Any, additions: Additions) -> Any:
    """A file's value with what is added."""
    result = copy.deepcopy(value)
    for loc, items in additions.items():
        *outer, key = loc
        inside, above = result, None
        for part in outer:
            above, inside = inside, inside[part]
        if isinstance(inside, str):
            assert isinstance(above, dict)
            inside = above[outer[-1]] = {"text": inside}
        inside[key] = [*(inside.get(key) or ()), *map(_plain, items)]
    return result
