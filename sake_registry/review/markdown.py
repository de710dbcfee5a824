"""A review as Markdown: the comment on a pull request.

It begins with a hidden marker, by which the comment is found again, and is never longer than its
limit: the worst comes first, and what there is no room for is counted and linked. Texts of files
and models show as they were written and do nothing: no markup, no mention, no reference to another
issue, no address that is not written out. Equal reviews give equal comments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sake_bench.reports.markdown import plain
from sake_registry.review.values import (
    Review,
    Row,
    Share,
    address,
    as_review,
    decided,
    glossary,
    visible,
)
from sake_registry.wording import count, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sake_registry.review.values import EditConflict, EditReview, Finding, Sample

MARKER = "<!-- sake-review -->"
LIMIT = 65_000
LEAST = 6_000
"""A comment has room for its frame, whatever is in it."""

MARKS = {True: "✓", False: "✗"}
SIGNS = {"unusable": "✗", "failed": "✗", "error": "✗", "warning": "⚠", "none": "✓"}
# The share of the limit that a part may take; edits have what the others leave.
ROOM = {
    "gates": 0.12,
    "conflicts": 0.08,
    "edit_conflicts": 0.08,
    "settings": 0.03,
    "interference": 0.12,
    "unrelated": 0.08,
    "nearby": 0.06,
    "findings": 0.10,
}
OPEN_ROWS = 10
"""A table with more rows than this shows those that failed, and folds the others."""


def comment(value: Mapping[str, Any] | Review, limit: int = LIMIT, link: str | None = None) -> str:
    """The comment, at most `limit` characters long; `link` is the address of the full report.

    Raises:
        InputError: the JSON is no review.
        ValueError: the limit is below `LEAST`.
    """
    if limit < LEAST:
        raise ValueError(f"a comment needs room for {LEAST} characters, not {limit}")
    review = as_review(value)
    rest = _rest(link)
    head = [MARKER, f"## {_first(shown(review.headline()))}", shown(review.lead())]
    foot = _foot(review, rest)
    above = [
        _gates(review, int(limit * ROOM["gates"])),
        _listed(
            "Conflicts",
            "Both sides changed these; they were not judged.",
            [
                f"- **{shown(c.id, 80)}** ({shown(c.path, 120)}): {shown(c.text, 300)}"
                for c in review.conflicts
            ],
            int(limit * ROOM["conflicts"]),
            "conflict",
        ),
        _listed(
            "Conflicts between edits",
            "New with this change: the edits do not agree about these prompts.",
            [_edit_conflict(conflict) for conflict in review.edit_conflicts],
            int(limit * ROOM["edit_conflicts"]),
            "conflict",
        ),
        _listed(
            "Settings",
            "The change also sets:",
            [f"- {shown(line, 200)}" for line in review.settings],
            int(limit * ROOM["settings"]),
            "setting",
        ),
    ]
    below = [
        _interference(review, int(limit * ROOM["interference"])),
        _sample(
            review.unrelated,
            "that concern no edit",
            "None of their answers should change.",
            int(limit * ROOM["unrelated"]),
        ),
        _sample(
            review.nearby,
            "on other matters of the changed edits' subjects",
            "Put those that must not change under “unchanged” in the edit's file.",
            int(limit * ROOM["nearby"]),
        ),
        _listed(
            "Findings about several edits together",
            "",
            [_finding(finding) for finding in review.findings],
            int(limit * ROOM["findings"]),
            "finding",
        ),
    ]
    fixed = [*head, *filter(None, above), *filter(None, below), foot]
    room = limit - sum(len(part) + 2 for part in fixed)
    words = _glossary(review)
    if len(words) + 2 <= room // 4:
        room -= len(words) + 2
    else:
        words = ""
    edits = _edits(review, room, rest)
    parts = [*head, *above, *edits, *below, words, foot]
    return "\n\n".join(filter(None, parts)) + "\n"


def shown(text: str, width: int = 400) -> str:
    """Foreign text on one line, at most `width` of its characters, that is nothing but text."""
    line = shorten(visible(text), width)
    # The comment's reader turns these into mentions and references after it has read the
    # Markdown, so that a backslash would not help; a space of no width does.
    line = re.sub(r"@(?=\S)", "@\u200b", line)
    line = re.sub(r"#(?=\d)", "#\u200b", line)
    line = re.sub(r"(?i)\b(gh-)(?=\d)", "\\1\u200b", line)
    line = plain(line)
    line = re.sub(r"(?i)\bwww\.", r"www\\.", line)
    return f"\\{line}" if line[:1] in ("-", "=", "+", "#") else line


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _answer(text: str) -> str:
    return shown(text, 160) or "–"


def _rest(link: str | None) -> str:
    """Where to find what there was no room for."""
    href = address(link) if link else None
    if href is None or len(href) > 1_000:
        return "the HTML report has them"
    return f"[the full report](<{href}>) has them"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(heads: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join([_line(heads), _line(["---"] * len(heads)), *lines])


def _fit(lines: Sequence[str], room: int) -> int:
    """How many of the lines fit."""
    for i, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return i
    return len(lines)


def _more(n: int, noun: str, about: str = "") -> str:
    return f"… and {count(n, f'more {noun}')}{about}." if n else ""


def _listed(title: str, above: str, lines: Sequence[str], room: int, noun: str) -> str:
    """A heading and a list, cut to its room."""
    if not lines:
        return ""
    heading = f"### {title} ({len(lines)})"
    n = _fit(lines, room - len(heading) - len(above) - 60)
    parts = [heading, above, "\n".join(lines[:n]), _more(len(lines) - n, noun)]
    return "\n\n".join(filter(None, parts))


def _gates(review: Review, room: int) -> str:
    if not review.gates:
        return ""
    gates = sorted(review.gates, key=lambda gate: gate.ok)
    lines = [
        _line(
            [
                MARKS[gate.ok],
                shown(gate.name, 60),
                shown(gate.text, 200) or "–",
                shown(gate.hint, 300) or "–",
            ]
        )
        for gate in gates
    ]
    n = _fit(lines, room - 120)
    table = _table(["", "Gate", "Found", "What to do"], lines[:n])
    failed = sum(not gate.ok for gate in gates[n:])
    more = _more(len(lines) - n, "gate", f", {failed} of them failed" if failed else "")
    return "\n\n".join(filter(None, [table, more]))


def _interference(review: Review, room: int) -> str:
    found = sorted(review.interference, key=lambda row: row.ok)
    if not found:
        return ""
    lines = [
        _line(
            [
                MARKS[row.ok],
                shown(row.edit, 80),
                *_told(row),
                shown(row.by, 80) if row.by else "no edit",
            ]
        )
        for row in found
    ]
    title = f"### Other edits: {count(len(found), 'prompt')} now answered differently"
    above = (
        "This change does not touch these edits. ✗: the answer is no longer what the edit asks "
        "for; ✓: it has other words, but still is."
    )
    heads = ["", "Edit", "Prompt", "Before", "After", "Expected", "Answered by"]
    n = _fit(lines, room - len(title) - 250)
    failed = sum(not row.ok for row in found[n:])
    more = _more(len(found) - n, "prompt", f", {failed} not as expected" if failed else "")
    return "\n\n".join(filter(None, [title, above, _table(heads, lines[:n]), more]))


def _sample(sample: Sample, what: str, above: str, room: int) -> str:
    if not sample.n:
        return ""
    asked = count(sample.n, "prompt")
    if not sample.changed:
        return f"✓ None of {asked} {what} is answered differently."
    title = f"### {len(sample.changed)} of {asked} {what} answered differently"
    lines = [
        _line(
            [shown(row.prompt, 200), _answer(row.before), _answer(row.after), shown(decided(row))]
        )
        for row in sample.changed
    ]
    n = _fit(lines, room - len(title) - 250)
    table = _table(["Prompt", "Before", "After", "Answered by"], lines[:n])
    more = _more(len(lines) - n, "prompt")
    return "\n\n".join(filter(None, [title, above, table, more]))


def _told(row: Row) -> list[str]:
    return [shown(row.prompt, 200), *(_answer(t) for t in (row.before, row.after, row.expected))]


def _finding(finding: Finding) -> str:
    field = f" {shown(finding.field, 60)}:" if finding.field else ":"
    hint = f" ({shown(finding.hint, 200)})" if finding.hint else ""
    severity, code = shown(finding.severity, 20), shown(finding.code, 20)
    where = shown(finding.where, 140)
    return f"- {severity} {code} at {where}{field} {shown(finding.message, 300)}{hint}"


def _edit_conflict(conflict: EditConflict) -> str:
    sides = "; ".join(
        f"{shown(edit, 80)} ({shown(where, 120)}): {shown(says, 80)}"
        for edit, where, says in conflict.sides
    )
    hint = f" ({shown(conflict.hint, 200)})" if conflict.hint else ""
    prompt, message = shown(conflict.prompt, 200), shown(conflict.message, 200)
    return f"- {shown(conflict.severity, 20)}: **{prompt}** {sides}. {_first(message)}{hint}"


def _edits(review: Review, room: int, rest: str) -> list[str]:
    """The edits, the worst first: as a section each, then as a line each, then counted."""
    edits = review.worst_first
    if not edits:
        return []
    title = "### Edits" if len(edits) == 1 else "### Edits, the worst first"
    room -= len(title) + 2
    briefs = [_brief(review, edit) for edit in edits]
    # Lines for the others: as many as fit, but at most a third of what there is.
    kept = min(sum(len(line) + 1 for line in briefs[1:]) + 400, room // 3)
    kept = kept if len(edits) > 1 else 0
    parts, used, at = [title], 0, 0
    while at < len(edits):
        left = room - used - kept if at < len(edits) - 1 else room - used
        forms = (_section(review, edits[at], form) for form in FORMS)
        # One edit with very many prompts shall not crowd out the next bad one.
        most = left if len(edits) == 1 else min(left, room // 2)
        section = next((text for text in forms if len(text) + 2 <= most), None)
        if section is None:
            break
        parts.append(section)
        used += len(section) + 2
        at += 1
    if at < len(edits):
        parts += _brief_table(review, edits[at:], briefs[at:], room - used, rest, first=at == 0)
    return parts


def _brief(review: Review, edit: EditReview) -> str:
    sign = SIGNS[review.trouble(edit)]
    claim = shown(edit.claim, 120) or shown(edit.id, 80)
    return _line([sign, claim, edit.action, shown(review.state(edit), 160)])


def _brief_table(
    review: Review,
    edits: Sequence[EditReview],
    lines: Sequence[str],
    room: int,
    rest: str,
    *,
    first: bool,
) -> list[str]:
    n = _fit(lines, room - 250)
    parts = []
    if n:
        parts += [] if first else ["#### The other edits"]
        parts.append(_table(["", "Edit", "", "How it stands"], lines[:n]))
    left = edits[n:]
    if left:
        bad = sum(review.trouble(edit) in ("unusable", "failed", "error") for edit in left)
        warned = sum(review.trouble(edit) == "warning" for edit in left)
        if bad:
            how = f"{bad} of them with failures"
        elif warned:
            how = f"{warned} of them with warnings"
        elif review.model is None:
            how = "with nothing found"
        else:
            how = "all passed"
        more = f"{len(left)} more {'edit' if len(left) == 1 else 'edits'}"
        parts.append(f"… and {more}, {how.replace('all ', '') if len(left) == 1 else how}; {rest}.")
    return parts


FORMS = ("full", "compact", "short")
"""How much of an edit is said: all its rows; those that failed; no rows and only the claim."""


def _section(review: Review, edit: EditReview, form: str) -> str:
    short = form == "short"
    width = 120 if short else 400
    sign = SIGNS[review.trouble(edit)]
    name = shown(edit.claim, 120) or shown(edit.id, 80)
    about = [f"**{edit.action}**", shown(edit.path or edit.id, 140)]
    about += [f"status {shown(edit.status, 20)}"] if edit.status != "active" else []
    about.append(shown(review.state(edit), 200))
    parts = [f"#### {sign} {name}", " · ".join(about), shown(edit.sentence, width)]
    build = edit.build
    if build is not None and build.outcome == "failed":
        parts.append(f"**The build failed**: {shown(build.error or 'no reason was given', width)}")
    if not short:
        parts.append(_facts(edit))
        parts.append(_cut([_finding(finding) for finding in edit.findings], 8, "finding"))
    if edit.shares:
        parts.append(" · ".join(_share(kind, share) for kind, share in edit.shares.items()))
    if edit.rows and not short:
        parts += _rows(edit, full=form == "full")
    return "\n\n".join(filter(None, parts))


def _facts(edit: EditReview) -> str:
    """What changed, why, after what sources, how it was built."""
    lines = []
    if edit.lines:
        lines.append(f"- What changed: {'; '.join(shown(line, 200) for line in edit.lines[:8])}")
        lines[-1] += f"; and {len(edit.lines) - 8} more" if len(edit.lines) > 8 else ""
    if edit.reason:
        lines.append(f"- Reason: {shown(edit.reason, 500)}")
    if edit.sources:
        lines.append(f"- Sources: {', '.join(_source(text) for text in edit.sources[:6])}")
        lines[-1] += f", and {len(edit.sources) - 6} more" if len(edit.sources) > 6 else ""
    elif edit.action in ("added", "changed"):
        lines.append("- Sources: none are given")
    if edit.build is not None and edit.build.outcome != "failed" and edit.action != "removed":
        lines.append(f"- Build: {shown(str(edit.build))}")
    if edit.build is not None:
        lines += [f"- Warning: {shown(text, 200)}" for text in edit.build.warnings[:4]]
    return "\n".join(lines)


def _source(text: str) -> str:
    """A source as text; a web address is also a link, with the address visible."""
    href = address(text)
    if href is None or len(href) > 300:
        return shown(text, 200)
    return f"[{shown(text, 300)}](<{href}>)"


def _share(kind: str, share: Share) -> str:
    mark = "" if share.passed == share.n else f"{MARKS[False]} "
    return f"{kind} {mark}{share}"


def _cut(lines: Sequence[str], most: int, noun: str) -> str:
    shown_lines = list(lines[:most])
    if len(lines) > most:
        shown_lines.append(f"- {_more(len(lines) - most, noun)}")
    return "\n".join(shown_lines)


def _rows(edit: EditReview, *, full: bool) -> list[str]:
    """The table of prompts, the failed ones first; a long one is folded behind those."""
    rows = edit.failed_first
    n_failed = len(edit.missed)
    if not full:
        n = min(n_failed, 6)
        table = [_rows_table(edit, rows[:n])] if n else []
        left = len(rows) - n
        still = f", {n_failed - n} not as expected" if n_failed > n else ", all as expected"
        return [*table, _more(left, "prompt", still)] if left else table
    if len(rows) <= OPEN_ROWS:
        return [_rows_table(edit, rows)]
    parts = []
    open_rows = min(n_failed, 20)
    if open_rows:
        parts.append(_rows_table(edit, rows[:open_rows]))
    folded, cut = rows[open_rows : open_rows + 60], rows[open_rows + 60 :]
    if n_failed > open_rows:
        about = f"{count(len(folded), 'more prompt')}, the ones that failed first"
    else:
        about = f"{count(len(folded), 'prompt')} answered as expected"
    parts.append(f"<details><summary>{about}</summary>")
    parts.append(_rows_table(edit, folded))
    parts += [_more(len(cut), "prompt")] if cut else []
    parts.append("</details>")
    return parts


def _rows_table(edit: EditReview, rows: Sequence[Row]) -> str:
    heads = ["", "Kind", "Prompt", "Before", "After", "Expected", "Answered by"]
    if edit.action == "removed":
        heads[3:6] = ["Before, with the edit", "After, without it", "Expected"]
    lines = [
        _line([MARKS[row.ok], row.kind, *_told(row), shown(decided(row), 120)]) for row in rows
    ]
    return _table(heads, lines)


def _glossary(review: Review) -> str:
    lines = [f"- **{word}**: {shown(text)}" for word, text in glossary(review)]
    if not lines:
        return ""
    about = "What the words mean"
    return "\n\n".join([f"<details><summary>{about}</summary>", "\n".join(lines), "</details>"])


def _foot(review: Review, rest: str) -> str:
    where = review.range
    how = [f"Made by `sake review` of {shown(where.text, 200)}"]
    how.append(f"{shown(where.merge_base[:12])} (merge base) → {shown(where.end)}")
    if review.model is not None:
        model = review.model
        facts = ", ".join(filter(None, [shown(model.dtype, 20), shown(model.hash[:12])]))
        how.append(f"{shown(model.name, 100)} ({facts})" if facts else shown(model.name, 100))
        how.append(f"{count(review.texts_run, 'text')} run")
    how.append(f"{review.seconds:.0f} s")
    parts = ["---", " · ".join(how)]
    others = review.others()
    if others:
        n = review.not_built
        ids = ", ".join(shown(ident, 60) for ident in n[:10])
        parts.append(f"{others} {ids}{f' and {len(n) - 10} more' if len(n) > 10 else ''}.")
    if rest.startswith("["):
        parts.append(rest.replace("[the", "[The", 1).replace(" has them", ", with pictures."))
    return "\n\n".join(parts)
