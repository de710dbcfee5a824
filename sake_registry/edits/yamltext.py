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
from typing import TYPE_CHECKING, Any

import yaml

from sake_registry.edits.diagnostics import Diagnostic

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

Loc = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both from 1."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML 1.1 or 1.2 tools read as something other than text when it stands unquoted.
_RETYPED = re.compile(
    r"""(?xi)
    ~ | null | true | false | yes | no | on | off | y | n
    | [-+]? (0b[01_]+ | 0o?[0-7_]+ | 0x[0-9a-f_]+)
    | [-+]? ([0-9][0-9_,]*)? \.? [0-9_]* (e[-+]?[0-9]+)?
    | [-+]? \.(inf|nan)
    | [-+]? [0-9][0-9_]* (:[0-5]?[0-9])+ (\.[0-9_]*)?
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} ([t\ ].*)?
    | = | <<
    """
)
_NEEDS_QUOTES = re.compile(
    r"""^\.\.\.|^[-?:,\[\]{}#&*!|>'"%@`\s]|:\s|:$|\s\#|\s$|[\x00-\x1f\x7f-\x9f"""
    r"""\u2028\u2029\ufeff\ufffe\uffff]"""
)
# JSON may leave these as they are inside quotes; YAML forbids them, or takes them for line ends.
_NEEDS_ESCAPE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMMENT = re.compile(r"([ \t]*)#([^\r\n\x85\u2028\u2029]*)")


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
    value: Any
    values: dict[Loc, Position] = field(default_factory=dict)
    keys: dict[Loc, Position] = field(default_factory=dict)
    scalars: dict[Loc, Span] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)

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
        return span is None or self.text[: span.start].endswith(":")

    def line(self, number: int) -> str:
        lines = self.text.splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""


def quoted(text: str) -> str:
    """`text` as a double-quoted YAML scalar."""
    written = json.dumps(text, ensure_ascii=False)
    return _NEEDS_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def scalar(text: str) -> str:
    """`text` as every YAML tool reads it back as this text: unquoted if it can be."""
    if not text or _RETYPED.fullmatch(text) or _NEEDS_QUOTES.search(text):
        return quoted(text)
    return text


def quote_line(line: str) -> str:
    """A line `key: text` or `- text` with its text in quotes, as a message shows it."""
    match = re.match(r"\s*((?:- )?(?:text|prompt|old|new|answer|by): +|- |[\w-]+: +)?(.*)$", line)
    assert match is not None  # every part is optional
    return f"{match[1] or ''}{quoted(match[2].strip())}"


def read(data: bytes, path: Path) -> Document:
    """Parse the bytes of one file; what is wrong stands in `findings`."""
    document = Document(text="", value=None)

    def report(code: str, message: str, position: Position = (0, 0), hint: str = "") -> Document:
        document.findings.append(Diagnostic(code, message, path, *position, hint=hint))
        return document

    if len(data) > MAX_BYTES:
        return report("SAKE001", f"larger than {MAX_BYTES} bytes", hint="split it into edits")
    try:
        document.text = text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return report("SAKE001", "not UTF-8", (line, 1), hint="save the file as UTF-8")
    if forbidden := _FORBIDDEN.search(text):
        lines = (text[: forbidden.start()] + "?").splitlines()
        position = (len(lines), len(lines[-1]))
        return report("SAKE002", f"a character that YAML forbids ({forbidden[0]!r})", position)
    try:
        if not _survey(text, report):
            return document
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        shown = document.line(position[0]).strip()
        hint = _syntax_hint(f"{error.problem}", document.line(position[0]), shown)
        return report("SAKE002", f"{error.problem or error.context}", position, hint)
    if node is None:
        return report("SAKE102", "the file is empty", hint="`sake new` writes a first version")
    document.value = _build(node, (), document, path)
    return document


def _syntax_hint(problem: str, line: str, shown: str) -> str:
    """What most likely mends a line that the YAML parser stumbled over."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab stands at the beginning of the line: YAML wants spaces"
    trap = re.match(r"(- +)?([\w-]+: +)?[\[{@`%]", shown)
    if trap or "mapping values" in problem or ("cannot start" in problem and shown[:1] == "-"):
        return f"text with such characters needs quotes: {quote_line(shown)}"
    if re.match(r"(- |[\w-]+: *)\"[^\"]*\"\s*[^\s#,}\]]", shown):
        return "text stands behind the closing quotation mark: put all of it between the marks"
    return (
        "look at this line and the one above it: a missing ':', '- ' or space after it, other "
        "indentation than its neighbours, a quotation mark or bracket that is not closed"
    )


def _survey(text: str, report: Any) -> bool:
    """One pass over the events for what must not be there; False if the file cannot be read."""
    depth = documents = 0
    ok = True
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        assert mark is not None  # every event of a parser has one
        here = (mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                report("SAKE004", "more than one document in the file", here, "one file, one edit")
                return False
        elif isinstance(event, yaml.AliasEvent):
            report("SAKE004", f"an alias (*{event.anchor})", here, _advice(text, here))
            ok = False
        elif isinstance(event, yaml.NodeEvent):
            tag = getattr(event, "tag", None)
            if event.anchor or tag:
                what = f"an anchor (&{event.anchor})" if event.anchor else f"a tag ({tag})"
                report("SAKE004", what, here, _advice(text, here))
                ok = False
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    report("SAKE004", f"nested more than {MAX_DEPTH} deep", here)
                    return False
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return ok


def _advice(text: str, position: Position) -> str:
    line = text.splitlines()[position[0] - 1]
    return f"if it is meant as text, quote it: {quote_line(line)}"


def _build(node: Any, loc: Loc, document: Document, path: Path) -> Any:
    document.values[loc] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, loc, document, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*loc, i), document, path) for i, item in enumerate(node.value)]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            document.findings.append(
                Diagnostic("SAKE005", "a list or mapping as a key", path, *position,
                           hint=_advice(document.text, position))
            )  # fmt: skip
            continue
        key = key_node.value
        if key in mapping:
            first = document.keys[(*loc, key)]
            document.findings.append(
                Diagnostic("SAKE003", f"'{key}' stands twice; the first is in line {first[0]}",
                           path, *position, field=dotted((*loc, key)), hint="keep one of the two")
            )  # fmt: skip
            continue
        document.keys[(*loc, key)] = position
        mapping[key] = _build(value_node, (*loc, key), document, path)
    return mapping


def _scalar(node: Any, loc: Loc, document: Document, path: Path) -> str | None:
    plain = not node.style  # None, or '' from libyaml
    start, end = node.start_mark.index, node.end_mark.index
    document.scalars[loc] = Span(start, end, plain)
    text = document.text
    if plain:
        comment = _COMMENT.match(text, end)
        if comment and (len(comment[1]) < 2 or comment[2][:1] not in ("", " ", "#")):
            whole = (node.value + comment[0]).strip()
            line, column = node.end_mark.line + 1, node.end_mark.column + 1 + len(comment[1])
            document.findings.append(
                Diagnostic(
                    "SAKE005",
                    f"YAML takes {comment[0].strip()!r} for a comment",
                    path, line, column, dotted(loc),
                    hint=f"if it is text, quote it: {quoted(whole)}; "
                    "a comment has two spaces before its # and one after it",
                )
            )  # fmt: skip
        if node.value == "" and start == end:
            return None
    return str(node.value)


def dotted(loc: Loc) -> str:
    """('fact', 'new') → 'fact.new'; ('prompts', 2) → 'prompts[2]'."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name
