"""A review as Markdown: the comment on a pull request.

It begins with a hidden marker, by which the comment is found again, and is never longer than its
limit: the worst comes first, and what there is no room for is counted and linked. Texts of files
and models show as they were written and do nothing: no markup, no mention, no reference to another
issue, no address that is not written out. Equal reviews give equal comments.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sake_registry.pages.environment import environment
from sake_registry.pages.text import address, plain, visible
from sake_registry.review.report import as_review, worst_findings
from sake_registry.review.words import FILTERS, glossary
from sake_registry.wording import count, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jinja2 import Environment

    from sake_registry.asking.rows import Row
    from sake_registry.review.gates import Gate
    from sake_registry.review.report import EditReview, Review, Sample

MARKER = "<!-- sake-review -->"
LIMIT = 65_000
LEAST = 6_000
"""A comment has room for its frame, whatever is in it."""

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
FORMS = ("full", "compact", "short")
"""How much of an edit is said: all its rows; those that failed; no rows and only the claim."""


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


@cache
def _templates() -> Environment:
    templates = environment("sake_registry.review", lambda text: Markup(shown(text, 1_000)))
    templates.filters |= FILTERS
    templates.filters["cut"] = lambda text, width: shorten(visible(text), width)
    return templates


def comment(
    value: Mapping[str, Any] | Review,
    limit: int = LIMIT,
    link: str | None = None,
    files: str | None = None,
    preview: str | None = None,
) -> str:
    """The comment, at most `limit` characters long.

    Args:
        link: the address of the full report.
        files: the address of the registry's folder as it is in the head; rows lead to their lines
            below it.
        preview: where the bundle of what merging makes is found.

    Raises:
        InputError: the JSON is not a review.
        ValueError: the limit is below `LEAST`.
    """
    if limit < LEAST:
        raise ValueError(f"a comment needs room for {LEAST} characters, not {limit}")
    return _Comment(as_review(value), limit, link, files, preview).text()


class _Comment:
    """A review in the making of its comment: what is said of it, piece by piece, each with its
    room."""

    def __init__(
        self,
        review: Review,
        limit: int,
        link: str | None,
        files: str | None,
        preview: str | None,
    ) -> None:
        self.link, below = _href(link), _href(files)
        self.review, self.limit = review, limit
        self.pieces: Any = _templates().get_template("comment.md.j2").make_module(
            {
                "review": review, "link": self.link, "preview": preview, "marker": MARKER,
                "words": glossary(review), "in_order": worst_findings,
                "files": below.rstrip("/") if below else None,
            }
        )  # fmt: skip

    def text(self) -> str:
        review, pieces = self.review, self.pieces
        above = [
            self.gates(review.gates_in_order),
            self.part(
                "conflicts", "Conflicts", review.conflicts, pieces.conflict, "conflict",
                above="Both sides changed these; they were not judged.",
            ),
            self.part(
                "edit_conflicts", "Conflicts between edits", review.edit_conflicts,
                pieces.edit_conflict, "conflict",
                above="New with this change: the edits do not agree about these prompts.",
            ),
            self.part(
                "settings", "Settings", review.settings, pieces.setting, "setting",
                above="The change also sets:",
            ),
        ]  # fmt: skip
        below = [
            self.interference(sorted(review.interference, key=lambda row: row.ok)),
            self.sample(
                "unrelated", review.unrelated, "that concern no edit",
                "None of their answers should change.",
            ),
            self.sample(
                "nearby", review.nearby, "on other matters of the changed edits' subjects",
                "Put those that must not change under “unchanged” in the edit's file.",
            ),
            self.part(
                "findings", "Findings about several edits together",
                worst_findings(review.findings), pieces.finding, "finding",
            ),
        ]  # fmt: skip
        head, foot, words = (_paragraphs(p()) for p in (pieces.head, pieces.foot, pieces.glossary))
        room = self.limit - sum(
            len(part) + 2 for part in filter(None, [head, *above, *below, foot])
        )
        words = words if len(words) + 2 <= room // 4 else ""
        edits = self.edits(room - (len(words) + 2 if words else 0))
        return "\n\n".join(filter(None, [head, *above, *edits, *below, words, foot])) + "\n"

    def part(
        self,
        name: str,
        title: str,
        items: Sequence[Any],
        line: Callable[[Any], str],
        noun: str,
        *,
        above: str = "",
        heads: str = "",
        about: Callable[[Sequence[Any]], str] = lambda left: "",
    ) -> str:
        """A heading and a list or a table, cut to its room; what is left out is counted."""
        if not items:
            return ""
        title = f"### {title}" if heads or not title else f"### {title} ({len(items)})"
        head = [self.table_head(heads)] if heads else []
        lines = [line(item) for item in items]
        fixed = sum(len(text) + 2 for text in (title, above, *head))
        n = _fit(lines, int(self.limit * ROOM[name]) - fixed - 90)
        more = _more(len(items) - n, noun, about(items[n:]))
        body = "\n".join([*head, *lines[:n]])
        return "\n\n".join(filter(None, [title.rstrip("# "), above, body, more]))

    def table_head(self, name: str) -> str:
        return str(self.pieces.table_head(self.pieces.heads[name]))

    def gates(self, gates: Sequence[Gate]) -> str:
        def about(left: Sequence[Gate]) -> str:
            failed = sum(gate.state == "failed" for gate in left)
            return f", {failed} of them failed" if failed else ""

        return self.part("gates", "", gates, self.pieces.gate, "gate", heads="gate", about=about)

    def interference(self, rows: Sequence[Row]) -> str:
        def about(left: Sequence[Row]) -> str:
            failed = sum(not row.ok for row in left)
            return f", {failed} not as expected" if failed else ""

        return self.part(
            "interference", f"Other edits: {count(len(rows), 'prompt')} now answered differently",
            rows, self.pieces.interference, "prompt", heads="interference", about=about,
            above="This change does not touch these edits. ✗: the answer is no longer what the "
            "edit asks for; ✓: it has other words, but still is.",
        )  # fmt: skip

    def sample(self, name: str, sample: Sample, what: str, above: str) -> str:
        prompts = count(sample.n, "prompt")
        if sample.n and not sample.changed:
            return f"✓ None of {prompts} {what} is answered differently."
        return self.part(
            name, f"{len(sample.changed)} of {prompts} {what} answered differently",
            sample.changed, self.pieces.sample, "prompt", heads="sample", above=above,
        )  # fmt: skip

    def edits(self, room: int) -> list[str]:
        """The edits, the worst first: as a section each, then as a line each, then counted."""
        edits = self.review.worst_first
        if not edits:
            return []
        title = "### Edits" if len(edits) == 1 else "### Edits, the worst first"
        room -= len(title) + 2
        briefs = [self.pieces.brief(edit) for edit in edits]
        # Lines for the others: as many as fit, but at most a third of what there is.
        kept = min(sum(len(line) + 1 for line in briefs[1:]) + 400, room // 3)
        kept = kept if len(edits) > 1 else 0
        parts, used, at = [title], 0, 0
        while at < len(edits):
            left = room - used - kept if at < len(edits) - 1 else room - used
            # One edit with very many prompts shall not crowd out the next bad one.
            most = left if len(edits) == 1 else min(left, room // 2)
            forms = (_paragraphs(self.pieces.section(edits[at], form)) for form in FORMS)
            section = next((text for text in forms if len(text) + 2 <= most), None)
            if section is None:
                break
            parts.append(section)
            used += len(section) + 2
            at += 1
        if at < len(edits):
            parts += self.briefs(edits[at:], briefs[at:], room - used, first=at == 0)
        return parts

    def briefs(
        self, edits: Sequence[EditReview], lines: Sequence[str], room: int, *, first: bool
    ) -> list[str]:
        n = _fit(lines, room - 250)
        parts = []
        if n:
            parts += [] if first else ["#### The other edits"]
            parts.append("\n".join([self.table_head("brief"), *lines[:n]]))
        left = edits[n:]
        if left:
            rest = "the HTML report has them"
            if self.link:
                rest = f"[the full report](<{self.link}>) has them"
            parts.append(f"… and {count(len(left), 'more edit')}, {self.how(left)}; {rest}.")
        return parts

    def how(self, edits: Sequence[EditReview]) -> str:
        """How edits that are only counted stand."""
        bad = sum(not self.review.fine(edit) for edit in edits)
        warned = sum(self.review.trouble(edit) == "warning" for edit in edits)
        if bad:
            return f"{bad} of them with failures"
        if warned:
            return f"{warned} of them with warnings"
        if self.review.model is None:
            return "with nothing found"
        return "passed" if len(edits) == 1 else "all passed"


def _href(text: str | None) -> str | None:
    """An address that a link of a comment may have."""
    href = address(text) if text else None
    return href if href and len(href) <= 1_000 else None


def _paragraphs(text: str) -> str:
    """The text with one empty line between its paragraphs."""
    return re.sub(r"\n{3,}", "\n\n", str(text).strip())


def _fit(lines: Sequence[str], room: int) -> int:
    """How many of the lines fit."""
    for i, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return i
    return len(lines)


def _more(n: int, noun: str, about: str = "") -> str:
    return f"… and {count(n, f'more {noun}')}{about}." if n else ""
