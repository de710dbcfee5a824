"""A review as one HTML file, complete: to be read offline, shown and printed.

What the comment on the pull request leaves out for length is here. Nothing is loaded from
anywhere (see `page`); texts of files and models stay text; a source is a link only where it is a
web address, and then its address is what is shown. Equal reviews give equal pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.reports.markup import Markup, join, tag
from sake_bench.reports.page import frame, in_figure
from sake_bench.reports.style import BASE, OPEN_FOLDS
from sake_registry.review import charts
from sake_registry.review.values import (
    Review,
    Row,
    address,
    as_review,
    decided,
    glossary,
    visible,
)
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sake_registry.review.values import EditReview, Finding, Gate, Sample

SIGNS = {"unusable": "✗", "failed": "✗", "error": "✗", "warning": "!", "none": "✓"}
CELLS = {"": "sign", "Kind": "word", "Action": "word", "Gate": "word"}
"""Columns of single words, which are not broken."""

OPEN_EDITS = 8
"""With more edits than this, those that are fine are folded."""

STYLE = (
    BASE
    + charts.STYLE
    + """\
:root{--bad:#a83c00;--fine:#0b63a5}
@media screen and (prefers-color-scheme:dark){:root{--bad:#ff9a5c;--fine:#5cb3f5}}
body{overflow-wrap:anywhere}
header .lead{margin-bottom:.6em}
.verdict{display:inline-block;border:2px solid currentColor;border-radius:999px;font-weight:650;\
padding:3px 14px;margin:0 0 .8em}
.good{color:var(--fine)}
.bad{color:var(--bad)}
.sign{font-weight:700}
th,td{text-align:left}
thead th{text-align:left;font-size:13px;color:var(--muted)}
td.sign,th.sign{width:2.2em}
thead td{border-bottom:2px solid var(--line)}
td.word{white-space:nowrap}
.cards th,.cards td{overflow-wrap:break-word}
tr.missed>td{background:color-mix(in srgb,var(--bad) 8%,transparent)}
.edit{border-top:1px solid var(--line);padding:4px 0 14px}
.edit:first-of-type{border-top:0}
.edit h3{margin:1.1em 0 .1em}
.edit>details>summary h3{display:inline;margin:0}
.edit>details>summary{padding:.5em 0}
.about{color:var(--muted);font-size:14px;margin:.1em 0 .8em}
.claim{font-size:17px;margin:.4em 0 .8em}
.facts div{display:grid;grid-template-columns:9em 1fr;gap:0 16px;padding:3px 0}
.facts dt{color:var(--muted);font-weight:500}
.findings{padding-left:1.2em;font-size:14px}
.findings .where{color:var(--muted)}
.scroll>svg{min-width:560px;max-width:860px}
.words div{padding:5px 0}
@media (max-width:700px){.facts div{grid-template-columns:1fr}
.cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.cards,.cards tbody,.cards tr,.cards td{display:block;width:auto}
.cards tr{border-bottom:1px solid var(--line);padding:10px 32px 10px 8px;position:relative}
.cards td{border:0;padding:2px 0 2px 7.4em;min-height:1.6em;position:relative;white-space:normal}
.cards tr.missed{background:color-mix(in srgb,var(--bad) 8%,transparent)}
.cards tr.missed>td{background:none}
.cards td::before{content:attr(data-label);position:absolute;left:0;width:7em;color:var(--muted)}
.cards td.sign{position:absolute;right:8px;top:10px;width:auto;padding:0;font-size:17px}}
@media print{.edit{break-inside:auto}.scroll>svg{max-width:none}}
"""
)
SCRIPT = f"\n'use strict';\n{OPEN_FOLDS}"


UNRELATED = ("Unrelated prompts", "that concern no edit", "None should be.")
NEARBY = (
    "Nearby prompts",
    "on other matters of the changed edits' subjects",
    "Put those that must not be under “unchanged” in the edit's file.",
)


def page(value: Mapping[str, Any] | Review) -> str:
    """The whole page.

    Raises:
        InputError: the JSON is no review.
    """
    review = as_review(value)
    sections = [
        ("gates", "Gates", _gates(review)),
        ("overview", "What changes", _overview(review)),
        ("conflicts", "Conflicts", _conflicts(review)),
        ("edit-conflicts", "Conflicts between edits", _edit_conflicts(review)),
        ("settings", "Settings", _settings(review)),
        ("edits", "Edits", _edits(review)),
        ("interference", "Other edits", _interference(review)),
        ("unrelated", "Unrelated", _sample(review.unrelated, UNRELATED)),
        ("nearby", "Nearby", _sample(review.nearby, NEARBY)),
        ("findings", "Findings across edits", _findings(review.findings)),
        ("words", "Words", _words(review)),
        ("made", "How it was made", _made(review)),
    ]
    shown = [(ident, title, body) for ident, title, body in sections if body]
    return frame(f"Review: {_headline(review)}", _header(review), shown, STYLE, SCRIPT)


def _headline(review: Review) -> str:
    return visible(review.headline())


def _header(review: Review) -> Markup:
    facts = ["sake review", review.range.text]
    facts += [review.model.name] if review.model else ["no model"]
    what = review.what()
    kind = "good" if review.passed else "bad"
    return tag(
        "header",
        tag("p", visible(" · ".join(facts)), class_="over"),
        tag("h1", what[:1].upper() + what[1:]),
        tag("p", f"{_mark(review.passed)} {review.verdict()}", class_=f"verdict {kind}"),
        tag("p", visible(review.lead()), class_="lead"),
    )


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"


def _sign(ok: bool) -> Markup:
    """A sign in a cell, in words for those who do not see it."""
    return tag(
        "span",
        tag("span", _mark(ok), aria_hidden="true"),
        tag("span", "as expected" if ok else "not as expected", class_="unseen"),
        class_=f"sign {'good' if ok else 'bad'}",
    )


def _table(
    caption: str, heads: Sequence[str], rows: Iterable[tuple[bool, Sequence[str | Markup]]]
) -> Markup:
    """A table whose rows become cards on a narrow screen; a row is missed or not, and its cells."""
    lines = [
        tag(
            "tr",
            *(
                tag("td", cell, data_label=head, class_=CELLS.get(head))
                for head, cell in zip(heads, cells, strict=True)
            ),
            class_="missed" if missed else None,
        )
        for missed, cells in rows
    ]
    head = [tag("th", name, scope="col") if name else tag("td", class_="sign") for name in heads]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption, class_="unseen"),
            tag("thead", tag("tr", *head)),
            tag("tbody", *lines),
            class_="cards",
        ),
        class_="scroll",
        tabindex="0",
    )


def _gates(review: Review) -> Markup | None:
    if not review.gates:
        return None
    gates = sorted(review.gates, key=lambda gate: gate.ok)
    told = "The bounds that decide whether this review is passed; they are set in sake.toml."
    heads = ("", "Gate", "Found", "What to do")
    rows = [(not gate.ok, _gate(gate)) for gate in gates]
    return join(tag("p", told), _table("Gates", heads, rows))


def _gate(gate: Gate) -> Sequence[str]:
    found = (gate.name, gate.text or "–", gate.hint or "–")
    return (_sign(gate.ok), *(visible(text) for text in found))


def _overview(review: Review) -> Markup | None:
    parts = []
    bars = charts.passed_bars(review)
    if bars:
        parts += [tag("h3", "How many answers are as expected"), in_figure(bars)]
    grid = charts.answers(review)
    if grid:
        told = (
            "Each mark is a prompt: filled where the answer changes, hollow where it stays; a "
            "rhomb is not as expected. Own prompts should be filled, unchanged ones hollow."
        )
        asked = sum(bool(edit.rows) for edit in review.edits)
        if asked > charts.GRID_EDITS:
            left = asked - charts.GRID_EDITS
            told += f" The worst {charts.GRID_EDITS} edits are drawn; {left} more follow below."
        parts += [tag("h3", "Which answers change"), in_figure(grid, told)]
    if len(review.edits) > 1:
        parts += [tag("h3", "The edits, the worst first"), _listed(review)]
    return join(*parts) if parts else None


def _listed(review: Review) -> Markup:
    rows = []
    for i, edit in enumerate(review.worst_first):
        trouble = review.trouble(edit)
        fine = trouble in ("none", "warning")
        sign = tag("span", SIGNS[trouble], class_=f"sign {'good' if fine else 'bad'}")
        link = tag("a", visible(edit.claim) or edit.id, href=f"#edit-{i}")
        rows.append((not fine, (sign, link, edit.action, visible(review.state(edit)))))
    return _table("Edits", ("", "Edit", "Action", "How it stands"), rows)


def _conflicts(review: Review) -> Markup | None:
    if not review.conflicts:
        return None
    told = "Both sides changed these; merge the base branch and decide. They were not judged."
    rows = [(True, [visible(text) for text in (c.id, c.path, c.text)]) for c in review.conflicts]
    return join(tag("p", told), _table("Conflicts", ("Edit", "File", "What"), rows))


def _edit_conflicts(review: Review) -> Markup | None:
    if not review.edit_conflicts:
        return None
    told = "New with this change: the edits do not agree about these prompts."
    rows = []
    for conflict in review.edit_conflicts:
        sides = [f"{edit} ({where}): {says}" for edit, where, says in conflict.sides]
        cells = [conflict.severity, conflict.prompt, *sides, conflict.hint]
        rows.append((conflict.severity == "error", [visible(text) or "–" for text in cells]))
    heads = ("How bad", "Prompt", "One says", "The other says", "What to do")
    return join(tag("p", told), _table("Conflicts between edits", heads, rows))


def _settings(review: Review) -> Markup | None:
    if not review.settings:
        return None
    told = "The change also sets, in sake.toml:"
    items = (tag("li", visible(line)) for line in review.settings)
    return join(tag("p", told), tag("ul", *items))


def _edits(review: Review) -> Markup | None:
    edits = review.worst_first
    if not edits:
        return None
    few = len(edits) <= OPEN_EDITS
    return join(*(_edit(review, edit, i, few=few) for i, edit in enumerate(edits)))


def _edit(review: Review, edit: EditReview, i: int, *, few: bool) -> Markup:
    trouble = review.trouble(edit)
    fine = trouble in ("none", "warning")
    heading = tag(
        "h3",
        tag("span", f"{SIGNS[trouble]} ", class_=f"sign {'good' if fine else 'bad'}"),
        visible(edit.claim) or edit.id,
    )
    about = [edit.action, edit.path or edit.id]
    about += [f"status {edit.status}"] if edit.status != "active" else []
    about.append(review.state(edit))
    picture = charts.distances(review, edit, f"distances-{i}")
    body = join(
        tag("p", visible(" · ".join(about)), class_="about"),
        *([tag("p", visible(edit.sentence), class_="claim")] if edit.sentence else []),
        *([built] if (built := _failed_build(edit)) else []),
        _facts(edit),
        *([found] if (found := _findings(edit.findings)) else []),
        *([in_figure(picture, _caption(review, edit))] if picture else []),
        *_rows(edit),
    )
    if few or trouble != "none":
        return tag("article", heading, body, class_="edit", id=f"edit-{i}")
    folded = tag("details", tag("summary", heading), body, class_="fold")
    return tag("article", folded, class_="edit", id=f"edit-{i}")


def _failed_build(edit: EditReview) -> Markup | None:
    if edit.build is None or edit.build.outcome != "failed":
        return None
    told = str(edit.build)
    return tag("p", tag("strong", visible(told[:1].upper() + told[1:])), class_="bad")


def _facts(edit: EditReview) -> Markup:
    facts: list[tuple[str, Markup]] = []
    if edit.lines:
        lines = [visible(line) for line in edit.lines]
        facts.append(("what changed", join(*_broken(lines))))
    if edit.reason:
        facts.append(("reason", join(visible(edit.reason))))
    if edit.sources:
        facts.append(("sources", join(*_broken([_source(text) for text in edit.sources]))))
    elif edit.action in ("added", "changed"):
        facts.append(("sources", join("none are given")))
    if edit.build is not None and edit.build.outcome != "failed" and edit.action != "removed":
        facts.append(("build", join(str(edit.build))))
    if edit.build is not None and edit.build.warnings:
        facts.append(("warnings", join(*_broken([visible(w) for w in edit.build.warnings]))))
    rows = (tag("div", tag("dt", name), tag("dd", told)) for name, told in facts)
    return tag("dl", *rows, class_="facts") if facts else Markup("")


def _broken(lines: Sequence[str]) -> list[str]:
    """The lines one under the other."""
    parts: list[str] = []
    for line in lines:
        parts += [tag("br"), line] if parts else [line]
    return parts


def _source(text: str) -> str:
    href = address(text)
    if href is None:
        return visible(text)
    return tag("a", visible(text), href=href, rel="noopener noreferrer nofollow")


def _caption(review: Review, edit: EditReview) -> str:
    told = (
        "Each mark is a prompt, placed by how far its wording is from the edit's own prompts. "
        "Left of the dashed line the edit answers, right of it the model answers as always."
    )
    if edit.action == "removed":
        told = "Where the prompts lay before the edit was removed. " + told
    if any(lane == charts.OTHERS for lane, _ in charts.near(review, edit)[1]):
        told += f" “{charts.OTHERS}”: prompts of other edits, or of none, that this edit answers."
    parts = [told, charts.held_back(review, edit), charts.not_drawn(review, edit)]
    return " ".join(filter(None, parts))


def _rows(edit: EditReview) -> list[Markup]:
    """The prompts: those that failed in the open, the others folded where they are many."""
    rows = edit.failed_first
    if not rows:
        return []
    if len(rows) <= 10:
        return [_rows_table(edit, rows)]
    n = len(edit.missed)
    parts = [_rows_table(edit, rows[:n])] if n else []
    if rows[n:]:
        about = f"{count(len(rows) - n, 'prompt')} answered as expected"
        inner = _rows_table(edit, rows[n:])
        parts.append(tag("details", tag("summary", about), inner, class_="fold"))
    return parts


def _rows_table(edit: EditReview, rows: Sequence[Row]) -> Markup:
    before, after = "Before", "After"
    if edit.action == "removed":
        before, after = "Before, with the edit", "After, without it"
    heads = ("", "Kind", "Prompt", before, after, "Expected", "Answered by")
    lines = [
        (not row.ok, (_sign(row.ok), row.kind, *_told(row), visible(decided(row)))) for row in rows
    ]
    return _table(f"Prompts of {visible(edit.claim) or edit.id}", heads, lines)


def _told(row: Row) -> tuple[str, str, str, str]:
    """Prompt, before, after, expected; an answer that changed stands out."""
    before, after = (visible(text).strip() or "–" for text in (row.before, row.after))
    changed = tag("b", after) if before != after else after
    return visible(row.prompt), before, changed, visible(row.expected) or "–"


def _interference(review: Review) -> Markup | None:
    if review.model is None or not (review.judged or review.interference or review.not_built):
        return None
    parts = []
    others = count(review.judged, "other edit")
    if review.interference:
        n = len(review.interference)
        told = (
            f"{others} judged: {count(n, 'prompt')} of edits that this change does not touch "
            f"{'is' if n == 1 else 'are'} answered differently. ✗: the answer is no longer what "
            "the edit asks for; ✓: it has other words, but still is."
        )
        heads = ("", "Edit", "Kind", "Prompt", "Before", "After", "Expected", "Answered by")
        rows = [
            (
                not row.ok,
                (
                    _sign(row.ok),
                    visible(row.edit),
                    row.kind,
                    *_told(row),
                    visible(row.by or "no edit"),
                ),
            )
            for row in sorted(review.interference, key=lambda row: row.ok)
        ]
        parts += [tag("p", told), _table("Other edits", heads, rows)]
    elif review.judged:
        parts.append(tag("p", f"{others} judged: none of their prompts is answered differently."))
    left_out = review.others()
    if left_out:
        ids = visible(", ".join(review.not_built))
        parts.append(tag("p", f"{left_out} {ids}.", class_="below"))
    return join(*parts)


def _sample(sample: Sample, words: tuple[str, str, str]) -> Markup | None:
    name, what, advice = words
    if not sample.n:
        return None
    asked = count(sample.n, "prompt")
    if not sample.changed:
        return tag("p", f"None of {asked} {what} is answered differently.")
    are = "is" if len(sample.changed) == 1 else "are"
    told = f"{len(sample.changed)} of {asked} {what} {are} answered differently. {advice}"
    rows = [(True, (*_told(row)[:3], visible(decided(row)))) for row in sample.changed]
    heads = ("Prompt", "Before", "After", "Answered by")
    return join(tag("p", told), _table(name, heads, rows))


def _findings(findings: Sequence[Finding]) -> Markup | None:
    if not findings:
        return None
    items = (
        tag(
            "li",
            tag(
                "strong",
                visible(f"{finding.severity} {finding.code}"),
                class_="bad" if finding.severity == "error" else None,
            ),
            " ",
            visible(f"{finding.field}: " if finding.field else ""),
            visible(finding.message),
            visible(f" ({finding.hint})" if finding.hint else ""),
            " ",
            tag("span", visible(finding.where), class_="where"),
        )
        for finding in findings
    )
    return tag("ul", *items, class_="findings")


def _words(review: Review) -> Markup | None:
    return _definitions(glossary(review), "words")


def _made(review: Review) -> Markup | None:
    return _definitions(review.made(), "facts")


def _definitions(items: Sequence[tuple[str, str]], kind: str) -> Markup | None:
    rows = [tag("div", tag("dt", name), tag("dd", visible(text))) for name, text in items]
    return tag("dl", *rows, class_=kind) if rows else None
