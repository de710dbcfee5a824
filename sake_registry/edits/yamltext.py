"""YAML as edit files use it: text, lists and mappings, with the position of everything.

Guarantees:
- What a file says is text. `NO`, `1984`, `3.10`, `12:30:45`, `null` are read as these
  characters; the schema types them later. Only a value that is not there is None.
- Nothing is lost unseen: duplicate keys, anchors, aliases, tags, further documents, and text
  that YAML would cut off at a ` #` are findings, not surprises.
- Bad input gives findings, never a traceback; depth and size are bounded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from sake_registry.diagnostics import Diagnostic
from sake_registry.wording import CONTROL, numbered

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

Loc = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both from 1."""

IGNORE = "sake: ignore"
"""How a comment begins that speaks to `sake check`; it needs no second space before its `#`."""
IGNORE_FORM = r"(?ai:sake:[ \t]*ignore)"
"""The same as a pattern: as people write it, too."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NODES = (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

# What YAML 1.1 or 1.2 tools read as something other than text when it stands unquoted.
_RETYPED = re.compile(
    r"""(?xi)
    ~ | null | true | false | yes | no | on | off | y | n
    | [-+]? (0b[01_]+ | 0o?[0-7_]+ | 0x[0-9a-f_]+)
    | [-+]? ([0-9][0-9_,]*+ (\.[0-9_]*+)? | \.[0-9_]*+) (e[-+]?[0-9]+)?
    | [-+]? \.(inf|nan)
    | [-+]? [0-9][0-9_]* (:[0-5]?[0-9])+ (\.[0-9_]*)?
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} ([t\ ].*)?
    | = | <<
    """
)
_RETYPED_FIRST = frozenset("~nNtTfFyYoO0123456789+-.=<")
_NEEDS_QUOTES = re.compile(
    r"""^\.\.\.|^[-?:,\[\]{}#&*!|>'"%@`\s]|:\s|:$|\s\#|\s$|[\x00-\x1f\x7f-\x9f"""
    r"""\u2028\u2029\ufeff\ufffe\uffff]"""
)
# JSON may leave these as they are inside quotes; YAML forbids them, or takes them for line ends.
_NEEDS_ESCAPE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""A line end, as YAML knows it."""
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NO_TEXT = "remove it: a reader does not see it, but the model is given it"
"""What to do about a character that is not text."""
_COMMENT = re.compile(r"([ \t]*)#([^\r\n\x85\u2028\u2029]*)")
_IGNORING = re.compile(rf"[ \t]*{IGNORE_FORM}")
# The marker lines that a merge leaves; those with | only in some styles.
_MARKER = re.compile(r"(<<<<<<< |>>>>>>> |=======[ \t]*$|\|\|\|\|\|\|\|( |$))")


@dataclass(frozen=True)
class Span:
    """Where a scalar stands in the text: character offsets, and whether it is unquoted."""

    start: int
    end: int
    plain: bool


@dataclass
class Document:
    """A parsed file: its value, and where each part of it stands."""

    text: str
    path: Path
    value: Any = None
    findings: list[Diagnostic] = field(default_factory=list)
    events: list[Any] = field(default_factory=list, repr=False)
    """The parser's, from the first node's to the last's; none of a file that is not read."""
    empties: bool = False
    """Whether a key or an item may be without a value."""
    look_alikes: set[str] = field(default_factory=set)
    """Keys under which unquoted text may stand that other tools read as a number or the like."""

    @cached_property
    def _walk(self) -> _Walk:
        # Only what is wrong or is to be changed asks for positions: most files never do.
        return _Walk(self, self.path)

    @property
    def values(self) -> dict[Loc, Position]:
        """Where each value begins."""
        return self._walk.values

    @property
    def keys(self) -> dict[Loc, Position]:
        """Where the key of each value of a mapping begins."""
        return self._walk.keys

    @property
    def scalars(self) -> dict[Loc, Span]:
        """The span of each text."""
        return self._walk.scalars

    @property
    def key_spans(self) -> dict[Loc, Span]:
        """The span of each key."""
        return self._walk.key_spans

    @property
    def flows(self) -> dict[Loc, Span]:
        """The span of each `{…}` and `[…]`, brackets included."""
        return self._walk.flows

    def read_value(self) -> None:
        """Build the value of the events."""
        try:
            self.value = _quick(self)
        except _OddError:
            self.empties = True
            self.value = self._walk.value
            self.findings += self._walk.findings

    def retyped(self) -> list[Loc]:
        """Where unquoted text stands that other YAML tools read as something else."""
        return [
            loc
            for loc, span in self.scalars.items()
            if span.plain and is_retyped(self.text[span.start : span.end])
        ]

    def position(self, loc: Loc, *, key: bool = False) -> Position:
        """The position of `loc`, or of the nearest thing around it."""
        if key and loc in self.keys:
            return self.keys[loc]
        while loc and loc not in self.values:
            loc = loc[:-1]
        return self.values.get(loc, (1, 1))

    def has_colon(self, loc: Loc) -> bool:
        """Whether a `:` sets off the empty value at `loc` from its key: not so in `{a, b: c}`."""
        span = self.scalars.get(loc)
        if span is None:
            return True
        before = span.start
        while before and self.text[before - 1].isspace():
            before -= 1
        return self.text[before - 1 : before] == ":"

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    def line(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def advice(self, position: Position) -> str:
        """How the line of a position is meant as text."""
        return f"if it is meant as text, quote it: {quote_line(self.line(position[0]))}"


class _Walk:
    """One walk over a document's events that notes where everything stands, and what is wrong.

    The value is the one that `_quick` gives where there is nothing to report.
    """

    def __init__(self, document: Document, path: Path) -> None:
        self.document = document
        self.path = path
        self.values: dict[Loc, Position] = {}
        self.keys: dict[Loc, Position] = {}
        self.scalars: dict[Loc, Span] = {}
        self.key_spans: dict[Loc, Span] = {}
        self.flows: dict[Loc, Span] = {}
        self.findings: list[Diagnostic] = []
        self._events = iter(document.events)
        self.value = self._value(next(self._events), ()) if document.events else None

    def _value(self, event: Any, loc: Loc) -> Any:
        self.values[loc] = _start(event)
        if type(event) is yaml.ScalarEvent:
            self.scalars[loc] = _span(event)
            return self._scalar(event, loc)
        sequence = type(event) is yaml.SequenceStartEvent
        value, end = self._sequence(loc) if sequence else self._mapping(loc)
        if event.flow_style:
            self.flows[loc] = _span(event, end)
        return value

    def _sequence(self, loc: Loc) -> tuple[list[Any], Any]:
        items: list[Any] = []
        while type(event := next(self._events)) is not yaml.SequenceEndEvent:
            items.append(self._value(event, (*loc, len(items))))
        return items, event

    def _mapping(self, loc: Loc) -> tuple[dict[str, Any], Any]:
        mapping: dict[str, Any] = {}
        while type(key := next(self._events)) is not yaml.MappingEndEvent:
            if type(key) is not yaml.ScalarEvent:
                position = _start(key)
                hint = self.document.advice(position)
                self._report("SAKE005", "a list or mapping as a key", position, hint=hint)
                self._skip(key)
                self._skip(next(self._events))
                continue
            inner = (*loc, key.value)
            if key.value in mapping:
                message = f"'{key.value}' occurs twice; the first is in line {self.keys[inner][0]}"
                hint = "keep one of the two"
                self._report("SAKE003", message, _start(key), dotted(inner), hint)
                self._skip(next(self._events))
                continue
            self.keys[inner] = _start(key)
            self.key_spans[inner] = _span(key)
            mapping[key.value] = self._value(next(self._events), inner)
        return mapping, key

    def _scalar(self, event: Any, loc: Loc) -> str | None:
        if event.style:
            return str(event.value)
        if comment := _lost_comment(self.document.text, event):
            whole = (event.value + comment[0]).strip()
            mark = event.end_mark
            self._report(
                "SAKE005",
                f"YAML takes {comment[0].strip()!r} for a comment",
                (mark.line + 1, mark.column + 1 + len(comment[1])),
                dotted(loc),
                f"if it is text, quote it: {quoted(whole)}; "
                "a comment has two spaces before its # and one after it",
            )
        return str(event.value) if event.value else None

    def _skip(self, event: Any) -> None:
        """Leave out what begins with `event`."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return
            event = next(self._events)

    def _report(
        self, code: str, message: str, position: Position, field: str = "", hint: str = ""
    ) -> None:
        self.findings.append(Diagnostic(code, message, self.path, *position, field, hint))


class _OddError(Exception):
    """Something that only `_Walk` can tell about."""


def _quick(document: Document) -> Any:
    """The value alone, as nearly every file gives it: no position is computed.

    Raises:
        _OddError: there is something to report.
    """
    following = iter(document.events).__next__
    scalar, mapping_end = yaml.ScalarEvent, yaml.MappingEndEvent
    sequence, sequence_end = yaml.SequenceStartEvent, yaml.SequenceEndEvent
    text, beside = document.text, _has_comment_beside(document.text)

    def value(event: Any, key: str) -> Any:
        kind = type(event)
        if kind is scalar:
            content = event.value
            if not event.style:
                if beside and _lost_comment(text, event):
                    raise _OddError
                if not content:
                    document.empties = True
                    return None
                if content[0] in _RETYPED_FIRST and _RETYPED.fullmatch(content):
                    document.look_alikes.add(key)
            return content
        if kind is sequence:
            items = []
            while type(event := following()) is not sequence_end:
                items.append(value(event, key))
            return items
        mapping = {}
        while type(event := following()) is not mapping_end:
            if type(event) is not scalar or event.value in mapping:
                raise _OddError
            mapping[event.value] = value(following(), event.value)
        return mapping

    return value(following(), "")


def _span(event: Any, end: Any = None) -> Span:
    style = getattr(event, "style", "collection")  # None or '' is that of unquoted text
    return Span(event.start_mark.index, (end or event).end_mark.index, not style)


def _start(event: Any) -> Position:
    return (event.start_mark.line + 1, event.start_mark.column + 1)


def _has_comment_beside(text: str) -> bool:
    """Whether a `#` stands behind something in its line, and so may be a comment beside text."""
    return any(line.lstrip(" \t").find("#") > 0 for line in BREAK.split(text) if "#" in line)


def _lost_comment(text: str, event: Any) -> re.Match[str] | None:
    """What stands behind unquoted text as a comment, but is not set off as one."""
    comment = _COMMENT.match(text, event.end_mark.index)
    if comment is None or _IGNORING.match(comment[2]):
        return None
    set_off = len(comment[1]) >= 2 and comment[2][:1] in ("", " ", "#")
    return None if set_off else comment


def is_retyped(text: str) -> bool:
    """Whether some YAML tool reads this unquoted text as a number, a date, a truth value."""
    return bool(text) and _RETYPED.fullmatch(text) is not None


def quoted(text: str) -> str:
    """`text` as a double-quoted YAML scalar."""
    written = json.dumps(text, ensure_ascii=False)
    return _NEEDS_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def scalar(text: str) -> str:
    """`text` as every YAML tool reads it back as this text: unquoted if it can be."""
    if not text or is_retyped(text) or _NEEDS_QUOTES.search(text):
        return quoted(text)
    return text


def quote_line(line: str) -> str:
    """A line `key: text` or `- text` with its text in quotes, as a message shows it."""
    match = re.match(r"\s*((?:- )?(?:text|prompt|old|new|answer|by): +|- |[\w-]+: +)?(.*)$", line)
    assert match is not None  # every part is optional
    return f"{match[1] or ''}{quoted(match[2].strip())}"


def read(data: bytes, path: Path) -> Document:
    """Parse the bytes of one file; what is wrong stands in `findings`."""
    document = Document("", path)

    def report(code: str, message: str, position: Position = (0, 0), hint: str = "") -> Document:
        document.findings.append(Diagnostic(code, message, path, *position, hint=hint))
        return document

    if len(data) > MAX_BYTES:
        return report("SAKE001", f"larger than {MAX_BYTES} bytes", hint="split it into edits")
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return report("SAKE001", "a pointer of Git LFS, and not the file", hint="git lfs pull")
    try:
        document.text = text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return report("SAKE001", "not UTF-8", (line, 1), hint="save the file as UTF-8")
    if forbidden := _FORBIDDEN.search(text):
        lines = (text[: forbidden.start()] + "?").splitlines()
        position = (len(lines), len(lines[-1]))
        return report("SAKE002", f"a character that YAML forbids ({forbidden[0]!r})", position)
    if wrong := next((match for match in CONTROL.finditer(text) if match[0] != "\r"), None):
        lines = BREAK.split(text[: wrong.start()])
        position = (len(lines), len(lines[-1]) + 1)
        report("SAKE123", f"{numbered(wrong[0])} is not text", position, NO_TEXT)
    # Between quotes or brackets both sides of a conflict can be sound YAML.
    if "<<<<<<< " in text and (conflict := _conflict(text, whole=True)):
        return report("SAKE002", *conflict)
    try:
        if not _survey(document, report):
            document.events.clear()
            return document
    except yaml.MarkedYAMLError as error:
        document.events.clear()
        if conflict := _conflict(text):
            return report("SAKE002", *conflict)
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        shown = document.line(position[0]).strip()
        hint = _syntax_hint(f"{error.problem}", document.line(position[0]), shown)
        return report("SAKE002", f"{error.problem or error.context}", position, hint)
    if not document.events:
        return report("SAKE102", "the file is empty", hint="`sake new` writes a first version")
    document.read_value()
    return document


def _conflict(text: str, *, whole: bool = False) -> tuple[str, Position, str] | None:
    """The finding about marker lines that a merge left; None if there are none.

    Args:
        whole: speak only of a conflict with its first and its last marker.
    """
    stretches: list[tuple[int, int]] = []
    opened = paired = False
    for number, start in enumerate(line_starts(text), 1):
        if text[start : start + 1] not in "<=|>":
            continue
        end = BREAK.search(text, start)
        marker = _MARKER.match(text[start : end.start() if end else len(text)])
        if marker is None:
            continue
        if opened and marker[0] != "<<<<<<< ":
            stretches[-1] = (stretches[-1][0], number)
        else:
            stretches.append((number, number))
        opened = marker[0] != ">>>>>>> " and (opened or marker[0] == "<<<<<<< ")
        paired = paired or (not opened and stretches[-1][0] < number)
    if not stretches or (whole and not paired):
        return None
    places = [f"{a} to {b}" if a < b else f"{a}" for a, b in stretches]
    lines = "line" if len(places) == 1 and stretches[0][0] == stretches[0][1] else "lines"
    return (
        f"conflict markers of a merge in {lines} {_and(places)}",
        (stretches[0][0], 1),
        "keep one side of each conflict, and remove the lines with <<<<<<<, ======= and >>>>>>>",
    )


def _and(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def _syntax_hint(problem: str, line: str, shown: str) -> str:
    """What most likely mends a line that the YAML parser stumbled over."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line begins with a tab: YAML wants spaces"
    if "escape" in problem:
        return "such an escape stands for no character: write the character itself"
    trap = re.match(r"(- +)?([\w-]+: +)?[\[{@`%]", shown)
    if trap or "mapping values" in problem or ("cannot start" in problem and shown[:1] == "-"):
        return f"text with such characters needs quotes: {quote_line(shown)}"
    if re.match(r"(- |[\w-]+: *)\"[^\"]*\"\s*[^\s#,}\]]", shown):
        return "text follows the closing quotation mark: put all of it between the marks"
    return (
        "look at this line and the one above it: a missing ':', '- ' or space after it, other "
        "indentation than its neighbours, a quotation mark or bracket that is not closed"
    )


def _survey(document: Document, report: Any) -> bool:
    """Collect the events; False if the file holds what it must not, and is not read."""
    events = document.events
    depth = documents = 0
    ok = True
    loader = _LOADER(document.text)
    try:
        while loader.check_event():
            event = loader.get_event()
            kind = type(event)
            if kind in _ENDS:
                depth -= 1
            elif kind in _NODES:
                if event.anchor or event.tag:
                    here = _start(event)
                    named = f"an anchor (&{event.anchor})"
                    what = named if event.anchor else f"a tag ({event.tag})"
                    report("SAKE004", what, here, document.advice(here))
                    ok = False
                if kind is not yaml.ScalarEvent:
                    depth += 1
                    if depth > MAX_DEPTH:
                        report("SAKE004", f"nested more than {MAX_DEPTH} deep", _start(event))
                        return False
            elif kind is yaml.AliasEvent:
                here = _start(event)
                report("SAKE004", f"an alias (*{event.anchor})", here, document.advice(here))
                ok = False
                continue
            else:
                if kind is yaml.DocumentStartEvent:
                    documents += 1
                if documents > 1:
                    message = "more than one document in the file"
                    report("SAKE004", message, _start(event), "one file, one edit")
                    return False
                continue
            events.append(event)
    finally:
        loader.dispose()
    return ok


def line_starts(text: str) -> list[int]:
    """The offset at which each line begins, as YAML counts lines."""
    return [0, *(match.end() for match in BREAK.finditer(text))]


def dotted(loc: Loc) -> str:
    """('fact', 'new') → 'fact.new'; ('prompts', 2) → 'prompts[2]'."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name
