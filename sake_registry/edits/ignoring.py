"""Comments in an edit file that hide findings: `# sake: ignore[SAKE111] the title names it`.

At the end of a line a comment hides what is found in that line; on a line of its own, what is
found in the next line that is neither blank nor a comment. A comment says why, names codes that
exist and can be ignored, and hides something; one that does not is a finding itself. The space
before `ignore`, and capitals in the two words, make no difference.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sake_registry.diagnostics import CODES, NOT_IGNORED, Diagnostic, default_severity
from sake_registry.edits.yamltext import IGNORE, IGNORE_FORM, line_starts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sake_registry.edits.yamltext import Document, Position

_COMMENT = re.compile(rf"#[ \t]*{IGNORE_FORM}([^\r\n\x85\u2028\u2029]*)")
_FORM = re.compile(r"\[([^\[\]]*)\][ \t:–—-]*(.*)")
_BLANK_OR_COMMENT = re.compile(r"\s*(#.*)?$")
_FORM_HINT = f"write `# {IGNORE}[SAKE111] why it is right here`; `sake explain` lists the codes"


@dataclass
class Ignore:
    """One comment: the codes it hides in a line; `used` are those that it did hide."""

    codes: tuple[str, ...]
    line: int
    position: Position
    used: set[str] = field(default_factory=set)

    def hides(self, finding: Diagnostic) -> bool:
        """Whether it hides a finding; if so, it has been of use."""
        if finding.line != self.line or finding.code not in self.codes:
            return False
        self.used.add(finding.code)
        return True


def find_ignores(document: Document) -> tuple[list[Ignore], list[Diagnostic]]:
    """The ignore comments of a file, and what is wrong with them."""
    ignores: list[Ignore] = []
    findings: list[Diagnostic] = []
    text = document.text
    if not document.events:  # in what is not YAML, a comment cannot be told from text
        return ignores, findings
    matches = list(_COMMENT.finditer(text))
    if not matches:  # nearly every file: no position is computed
        return ignores, findings
    starts = line_starts(text)
    spans = sorted(
        (span.start, span.end)
        for span in (*document.scalars.values(), *document.key_spans.values())
        if span.start < span.end
    )
    following = _lines_that_say_something(text, starts)
    for match in matches:
        offset = match.start()
        before = bisect_right(spans, (offset, len(text) + 1)) - 1
        if before >= 0 and offset < spans[before][1]:
            continue  # text that speaks of such a comment
        number = bisect_right(starts, offset)
        here = (number, offset - starts[number - 1] + 1)
        codes, wrong = _parsed(match[1], document, here)
        findings += wrong
        if not text[starts[number - 1] : offset].strip():
            number = following[number]
        if codes:
            ignores.append(Ignore(codes, number, here))
    return ignores, findings


def without_ignored(findings: Iterable[Diagnostic], ignores: Iterable[Ignore]) -> list[Diagnostic]:
    """The findings that no comment hides."""
    by_line: dict[int, list[Ignore]] = {}
    for ignore in ignores:
        by_line.setdefault(ignore.line, []).append(ignore)
    # Every comment that hides a finding has been of use, not only the first.
    return [f for f in findings if not [i for i in by_line.get(f.line, ()) if i.hides(f)]]


def unused(ignores: Iterable[Ignore], document: Document, codes: Iterable[str]) -> list[Diagnostic]:
    """A finding for each of `codes` that a comment names and that it hid nothing of."""
    looked_at = set(codes)
    return [
        Diagnostic(
            "SAKE121",
            f"nothing in line {ignore.line} gives {code}",
            document.path,
            *ignore.position,
            hint="remove the comment, or this code from it",
            severity=default_severity("SAKE121"),
        )
        for ignore in ignores
        for code in ignore.codes
        if code in looked_at and code not in ignore.used
    ]


def _parsed(
    comment: str, document: Document, here: Position
) -> tuple[tuple[str, ...], list[Diagnostic]]:
    findings: list[Diagnostic] = []

    def report(code: str, message: str, hint: str) -> None:
        findings.append(
            Diagnostic(
                code, message, document.path, *here, hint=hint, severity=default_severity(code)
            )
        )

    form = _FORM.fullmatch(comment.strip())
    names = [name.strip() for name in form[1].split(",")] if form else []
    if form is None or not any(names):
        report("SAKE122", f"`{IGNORE}` without a code in brackets", _FORM_HINT)
        return (), findings
    codes = []
    for name in filter(None, names):
        if name not in CODES:
            from sake_registry.wording import nearest

            near = nearest(name.upper(), CODES)
            hint = f"did you mean '{near}'?" if near else "`sake explain` lists the codes"
            report("SAKE122", f"there is no code '{name}'", hint)
        elif name in NOT_IGNORED:
            report("SAKE122", f"{name} cannot be ignored", f"mend it: `sake explain {name}`")
        else:
            codes.append(name)
    if codes and not form[2].strip():
        hint = f"say why: # {IGNORE}[{', '.join(codes)}] …"
        report("SAKE120", "no reason follows the code", hint)
    return tuple(dict.fromkeys(codes)), findings


def _lines_that_say_something(text: str, starts: list[int]) -> list[int]:
    """For each line from 1, the first below it that is neither blank nor a comment, or 0."""
    following = [0] * (len(starts) + 1)
    for number in range(len(starts), 1, -1):
        line = text[starts[number - 1] : starts[number] if number < len(starts) else len(text)]
        blank = _BLANK_OR_COMMENT.fullmatch(line.strip())
        following[number - 1] = following[number] if blank else number
    return following
