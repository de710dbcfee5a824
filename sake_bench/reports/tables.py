"""The tables of a report as plain values, before they become Markdown or HTML.

A table never compares silently what was not measured alike: n stands in a column's head when it
is the same in every row and in each cell otherwise; a method with failed or fewer edits says so
beside its name; a method without any figure under a protocol is named below the table and not
shown as zero; published rows are marked as another model's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sake_bench.reports import published
from sake_bench.reports.scores import (
    METRICS,
    MISSING,
    SCOPE_NAMES,
    SEVERAL,
    Method,
    Run,
    Score,
    Value,
    edits_remark,
    figure,
    number,
    percent,
    sentence,
    shown_scopes,
)
from sake_registry.errors import InputError
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Layout:
    """One of the paper's tables: what it shows, of which methods (all if empty)."""

    title: str
    metrics: tuple[str, ...]
    methods: tuple[str, ...] = ()


PAPER: dict[str, Layout] = {
    "table1": Layout("Table 1 · Ripple effects", ("ci", "cii", "sa", "rs")),
    "table2": Layout("Table 2 · Robustness to doubt", ("di", "dii")),
    "table3": Layout("Table 3 · Accuracy, generality, specificity", ("acc", "gen", "spec")),
    "table4": Layout(
        "Table 4 · Uniform steering against transport",
        ("acc", "gen"),
        ("base", "uniform", "sake-paper", "sake"),
    ),
    "table5": Layout("Table 5 · Logical generalization, forgetfulness", ("lg", "forgetfulness")),
}
UNREPORTED = Layout("What is seldom reported", ("unchanged", "relapse", "collateral", "fluency"))
ASKED = Layout(
    "Asked as a question, and asked something else",
    (
        "question", "question-new", "question-old", "chat", "chat-new", "chat-old",
        "other-relation",
    ),
)  # fmt: skip
WHOLE = Layout("Objects of several tokens", ("acc", "gen"))
ALIASES = Layout("Subject aliasing, by whether the edit file states the name",
                 ("sa-listed", "sa-unlisted"))  # fmt: skip
KNOWEDIT = Layout("Portability and locality", ("portability", "locality"))

STAY = {"spec", "unchanged", "collateral", "locality"}
GIVEN_NOTE = (
    "Without a router a steering method is applied to what must stay, too: here that says how much "
    "the router has to do, not what happens in use."
)


@dataclass(frozen=True)
class Cell:
    """What stands in a cell; `value` is the measured figure, None for text."""

    text: str
    value: Value | None = None
    metric: str = ""


@dataclass(frozen=True)
class Row:
    """A row: a method and what is to be known about it."""

    name: str
    remarks: tuple[str, ...]
    cells: tuple[Cell, ...]
    published: bool = False


@dataclass(frozen=True)
class Column:
    """A column: `group` is the success protocol, or empty."""

    head: str
    group: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with the protocol above it and what is to be known below it.

    `scope_sentence` is apart from the rest above it: a page that shows one scope says it once.
    """

    title: str
    scope: str
    first: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    scope_sentence: str = ""
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """One column of a table of scores: what is looked up."""

    metric: str
    success: str | None
    condition: str = "applied"
    scores: list[Score | None] = field(default_factory=list)


def layout_of(name: str) -> Layout:
    """The paper's table of that name."""
    if name not in PAPER:
        raise InputError(f"no table '{name}' in the paper", hint=did_you_mean(name, PAPER))
    return PAPER[name]


def paper_tables(run: Run, name: str) -> tuple[Table, ...]:
    """A table of the paper: one for each scope and condition that was measured.

    Raises:
        InputError: the paper has no such table.
    """
    layout = layout_of(name)
    metrics = run.measured(layout.metrics)
    conditions = run.conditions(metrics)
    found = [
        score_table(
            run,
            layout,
            scope,
            condition,
            conditions,
            # The published figures are under the conditions.
            published.TABLES[name] if condition == "applied" else (),
        )
        for condition in conditions or ("applied",)
        for scope in run.scopes(metrics)
    ]
    remark = published.REMARKS.get(name)
    return tuple(
        _with_below(table, remark)
        for table in found
        if any(not row.published for row in table.rows)
    )


def unreported_tables(run: Run) -> tuple[Table, ...]:
    """What nobody reports: what stayed bit for bit, what came back, what else changed."""
    return _plain(run, UNREPORTED)


def asked_tables(run: Run) -> tuple[Table, ...]:
    """The fact as a question, plainly and in a chat; the subject's other relations."""
    return _plain(run, ASKED)


def whole_tables(run: Run) -> tuple[Table, ...]:
    """Accuracy and generality of whole objects, of those that have several tokens."""
    scopes = shown_scopes({score.scope for score in run.scores if score.condition == SEVERAL})
    found = [score_table(run, WHOLE, scope, SEVERAL) for scope in scopes]
    return tuple(table for table in found if table.rows)


def alias_tables(run: Run) -> tuple[Table, ...]:
    """Subject aliasing of the names that an edit file states, and of those it does not."""
    conditions = run.conditions(ALIASES.metrics)
    found = [
        score_table(run, ALIASES, scope, condition, conditions)
        for condition in conditions
        for scope in run.scopes(ALIASES.metrics)
    ]
    return tuple(table for table in found if table.rows)


def knowedit_tables(run: Run) -> tuple[Table, ...]:
    """Portability and locality, as in KnowEdit."""
    return _plain(run, KNOWEDIT)


def _plain(run: Run, layout: Layout) -> tuple[Table, ...]:
    metrics = run.measured(layout.metrics)
    tables = [score_table(run, layout, scope) for scope in run.scopes(metrics) if metrics]
    return tuple(table for table in tables if table.rows)


def score_table(
    run: Run,
    layout: Layout,
    scope: str,
    condition: str = "applied",
    conditions: Sequence[str] = (),
    rows_published: Sequence[published.Published] = (),
) -> Table:
    """Methods against metrics in one scope; the success protocols are groups of columns."""
    asked = _columns(run, layout, condition)
    methods = [m for m in run.methods if not layout.methods or m.name in layout.methods]
    shown: list[Method] = []
    for method in methods:
        scores = [run.score(method.name, scope, a.metric, a.success, condition) for a in asked]
        if any(score and score.figure.value is not None for score in scores):
            shown.append(method)
            for column, score in zip(asked, scores, strict=True):
                column.scores.append(score)
    equal = [_equal_n(run, column.scores) for column in asked]
    rows = [
        Row(
            method.name,
            _remarks(run, method, [column.scores[i] for column in asked]),
            tuple(
                _cell(run, column.scores[i], column.metric, n is None)
                for column, n in zip(asked, equal, strict=True)
            ),
        )
        for i, method in enumerate(shown)
    ]
    first_group = asked[0].success if asked else None
    for published_row in rows_published if shown else ():
        rows.append(
            Row(
                published_row.method,
                (f"published, {published.MODEL}",),
                tuple(
                    Cell(f"{published_row.percent[a.metric]:.2f}")
                    if a.success == first_group and a.metric in published_row.percent
                    else Cell("")
                    for a in asked
                ),
                published=True,
            )
        )
    return Table(
        title=f"{layout.title} · conditions {condition}" if conditions else layout.title,
        scope=scope,
        first="Method",
        columns=tuple(
            Column(METRICS[a.metric].short, a.success or "", f"n {n}" if n else "")
            for a, n in zip(asked, equal, strict=True)
        ),
        rows=tuple(rows),
        scope_sentence=scope_sentence(run, scope),
        above=_above(run, asked, condition if conditions else ""),
        below=tuple(_below(methods, shown, scope, asked, rows_published)),
    )


def _with_below(table: Table, remark: str | None) -> Table:
    if not remark or not any(row.published for row in table.rows):
        return table
    return replace(table, below=(*table.below, remark))


def _columns(run: Run, layout: Layout, condition: str) -> list[_Asked]:
    """The columns: metrics under each success protocol, then those that know none."""
    metrics = run.measured(layout.metrics)
    successes = run.successes(metrics)
    free = {s.metric for s in run.scores if s.success is None}
    # A metric that only one protocol knows has no empty column under the other.
    known = {
        (s.metric, s.success)
        for s in run.scores
        if (s.condition == SEVERAL) == (condition == SEVERAL)
    }
    asked = [
        _Asked(metric, success, condition)
        for success in successes
        for metric in metrics
        if metric not in free and (metric, success) in known
    ]
    return asked + [_Asked(metric, None, condition) for metric in metrics if metric in free]


def _equal_n(run: Run, scores: Sequence[Score | None]) -> str | None:
    """What is said of n when it is the same for every score; None otherwise."""
    found = {_n(run, score) for score in scores if score and score.figure.value is not None}
    return found.pop() if len(found) == 1 else None


def _n(run: Run, score: Score) -> str:
    """`200`, or `141 of 94 edits` where not every edit of the method had something to score."""
    method = run.method(score.method)
    if not score.edits or method is None or score.edits == method.edits:
        return f"{score.figure.n}"
    return f"{score.figure.n} of {count(score.edits, 'edit')}"


def _cell(run: Run, score: Score | None, metric: str, own_n: bool) -> Cell:
    if score is None or score.figure.value is None:
        return Cell(MISSING)
    text = figure(score.figure, METRICS[metric].unit)
    return Cell(f"{text} n {_n(run, score)}" if own_n else text, score.figure, metric)


def _remarks(run: Run, method: Method, scores: Iterable[Score | None]) -> tuple[str, ...]:
    """What must stand beside a method's name for the row not to claim too much."""
    remarks = []
    places = {score.scope for score in scores if score}
    remarks += [SCOPE_NAMES[p] for p in ("none", "alone", "together") if p in places]
    if "none" not in places:
        remarks += edits_remark(run, method)
    return tuple(remarks)


def scope_sentence(run: Run, scope: str) -> str:
    """`All edits loaded (all-edits): The router decides …`"""
    return f"{SCOPE_NAMES.get(scope, scope)} ({scope}): {run.sentence(scope)}"


def _above(run: Run, asked: Sequence[_Asked], condition: str) -> tuple[str, ...]:
    successes = dict.fromkeys(a.success for a in asked if a.success)
    lines = [f"{success}: {run.sentence(success)}" for success in successes]
    if asked and asked[0].condition == SEVERAL:
        lines.append(f"{SEVERAL}: {run.condition_sentence(SEVERAL)}")
    elif condition:
        lines.append(f"conditions {condition}: {run.condition_sentence(condition)}")
    lines.append(sentence(f"In brackets: {run.protocol.get('interval', '95 % interval')}"))
    return tuple(lines)


def _below(
    methods: Sequence[Method],
    shown: Sequence[Method],
    scope: str,
    asked: Sequence[_Asked],
    rows_published: Sequence[published.Published],
) -> Iterable[str]:
    left = [method.name for method in methods if method not in shown]
    if left:
        yield f"Not measured in this scope ({scope}): {', '.join(left)}."
    if scope == "given" and STAY & {column.metric for column in asked}:
        yield GIVEN_NOTE
    if rows_published:
        yield published.NOTE


def threshold_table(run: Run) -> tuple[Table, ...]:
    """Figure 3 as figures: one table a curve, the chosen threshold marked."""
    return tuple(
        Table(
            title=f"Threshold · {curve.method}, {curve.success}",
            scope="",
            first="Threshold",
            columns=tuple(
                Column(METRICS[name].short, note=f"n {curve.n[name]}" if name in curve.n else "")
                for name in ("acc", "gen", "spec")
            ),
            rows=tuple(
                Row(
                    number(point.threshold),
                    ("chosen",) if point.threshold == curve.chosen else (),
                    tuple(
                        Cell(MISSING if share is None else percent(share))
                        for share in (point.acc, point.gen, point.spec)
                    ),
                )
                for point in curve.points
            ),
            above=tuple(
                filter(
                    None,
                    (
                        f"{curve.success}: {run.sentence(curve.success)}",
                        chosen_sentence(curve.chosen, curve.calibrated),
                    ),
                )
            ),
        )
        for curve in run.threshold_curves
    )


def chosen_sentence(chosen: float | None, calibrated: str | None) -> str:
    """`Threshold 4.6 was chosen. …`"""
    if chosen is None:
        return ""
    return f"Threshold {number(chosen)} was chosen." + (
        f" {sentence(calibrated)}" if calibrated else ""
    )


def prompts_table(run: Run) -> tuple[Table, ...]:
    """Figure 5 as figures: one table a curve, the published point below."""
    tables = []
    for curve in run.prompt_curves:
        names = [
            name
            for name in ("acc", "gen", "spec")
            if any(name in point.values for point in curve.points)
        ]
        rows = []
        for point in curve.points:
            rows.append(
                Row(
                    str(point.prompts),
                    (),
                    tuple(_point_cell(point.values.get(name), name) for name in names),
                )
            )
        rows.append(
            Row(
                str(published.PROMPTS),
                (f"SAKE, published, {published.MODEL}",),
                tuple(
                    Cell(f"{published.PROMPTS_PERCENT[name]:.0f}")
                    if name in published.PROMPTS_PERCENT
                    else Cell("")
                    for name in names
                ),
                published=True,
            )
        )
        tables.append(
            Table(
                title=f"Number of prompts · {curve.method}, {curve.success}",
                scope=curve.scope,
                first="Prompts an edit",
                columns=tuple(Column(METRICS[name].short) for name in names),
                rows=tuple(rows),
                scope_sentence=scope_sentence(run, curve.scope),
                above=(f"{curve.success}: {run.sentence(curve.success)}",),
                below=(
                    f"The row marked {published.MODEL} is a published figure of another model "
                    f"({published.SOURCE}), for orientation only.",
                ),
            )
        )
    return tuple(tables)


def loads_table(run: Run) -> tuple[Table, ...]:
    """What more edits loaded at once do: one table a curve."""
    names = ("acc", "gen", "spec")
    return tuple(
        Table(
            title=f"Edits loaded at once · {curve.method}, {curve.success}",
            scope=curve.scope,
            first="Edits loaded",
            columns=tuple(Column(METRICS[name].short) for name in names),
            rows=tuple(
                Row(
                    str(point.loaded),
                    (),
                    tuple(_point_cell(point.values.get(name), name) for name in names),
                )
                for point in curve.points
            ),
            scope_sentence=scope_sentence(run, curve.scope),
            above=tuple(
                sentence(run.protocol[name]) for name in ("loads", "interval")
                if name in run.protocol
            ),
        )
        for curve in run.load_curves
    )  # fmt: skip


def _point_cell(value: Value | None, metric: str) -> Cell:
    if value is None or value.value is None:
        return Cell(MISSING)
    return Cell(f"{figure(value)} n {value.n}", value, metric)


def relation_tables(run: Run) -> tuple[Table, ...]:
    """Relations against methods: one table for each scope, success protocol and metric."""
    tables = []
    for scope, success, metric, found in run.relation_groups():
        methods = list(dict.fromkeys(r.method for r in found))
        by_place = {(r.relation, r.method): r for r in found}
        labels = {r.relation: r.label for r in found}
        rows = []
        for relation in sorted(labels, key=lambda name: (labels[name], name)):
            cells = []
            for method in methods:
                one = by_place.get((relation, method))
                cells.append(Cell(f"{percent(one.value)} n {one.n}" if one else MISSING))
            remarks = (relation,) if labels[relation] != relation else ()
            rows.append(Row(labels[relation], remarks, tuple(cells)))
        tables.append(
            Table(
                title=f"{METRICS[metric].name} by relation" + (f" · {success}" if success else ""),
                scope=scope,
                first="Relation",
                columns=tuple(Column(method) for method in methods),
                rows=tuple(rows),
                scope_sentence=scope_sentence(run, scope),
                above=("Few prompts a relation: read a row as a hint, not as a measurement.",),
            )
        )
    return tuple(tables)
