"""The tables of a report as plain values, before they become Markdown or HTML.

A table never compares silently what was not measured alike: n stands in a column's head when it
is the same in every row and in each cell otherwise; a method with failed or fewer edits says so
beside its name; a method without any figure under a protocol is named below the table and not
shown as zero; published rows are marked as another model's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sake_bench.protocol import METRICS, SCOPES, SEVERAL
from sake_bench.reports import published
from sake_bench.results import STANDS_FOR, sentence, shown_scopes
from sake_registry.errors import InputError
from sake_registry.pages.text import number, percent
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sake_bench.protocol import Scope, Success
    from sake_bench.results import Estimate, MethodResult, Run, Score

MISSING = "–"
NBSP = "\u00a0"
"""Keeps a unit with what it is of."""


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

WILD = Layout(
    "Free generation",
    tuple(
        f"{axis}-{match}"
        for axis in ("acc", "gen", "chat-acc", "chat-gen")
        for match in ("contained", "exact")
    ),
)
HOPS = Layout("Questions through the edit", ("multi-hop", "multi-hop-edit"))
FIELD = Layout("Reached and left alone", ("reach", "answered", "false-fire", "false-use"))

STAY = {"spec", "unchanged", "collateral", "locality"}
GIVEN_NOTE = (
    "Without a router a steering method is applied to what must stay, too: here that says how much "
    "the router has to do, not what happens in use."
)


@dataclass(frozen=True)
class Cell:
    """What stands in a cell; `value` is the measured figure, None for text."""

    text: str
    value: Score | Estimate | None = None
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

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The groups of columns, with how many each has."""
        return list(Counter(column.group for column in self.columns).items())


@dataclass(frozen=True)
class _Column:
    """One column of a table of scores: what is looked up."""

    metric: str
    success: Success | None
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
    tables = [
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
        for table in tables
        if any(not row.published for row in table.rows)
    )


def whole_tables(run: Run) -> tuple[Table, ...]:
    """Accuracy and generality of whole objects, of those that have several tokens."""
    scopes = shown_scopes({score.scope for score in run.scores if score.condition == SEVERAL})
    return _filled(score_table(run, WHOLE, scope, SEVERAL) for scope in scopes)


def alias_tables(run: Run) -> tuple[Table, ...]:
    """Subject aliasing of the names that an edit file states, and of those it does not."""
    conditions = run.conditions(ALIASES.metrics)
    return _filled(
        score_table(run, ALIASES, scope, condition, conditions)
        for condition in conditions
        for scope in run.scopes(ALIASES.metrics)
    )


def plain_tables(layout: Layout) -> Callable[[Run], tuple[Table, ...]]:
    """Tables of a layout without conditions, one a scope."""

    def make(run: Run) -> tuple[Table, ...]:
        metrics = run.measured(layout.metrics)
        return _filled(score_table(run, layout, scope) for scope in run.scopes(metrics) if metrics)

    return make


def _filled(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


OTHERS: dict[str, tuple[str, Callable[[Run], tuple[Table, ...]]]] = {
    "unreported": (UNREPORTED.title, plain_tables(UNREPORTED)),
    "whole": (WHOLE.title, whole_tables),
    "asked": (ASKED.title, plain_tables(ASKED)),
    "aliases": (ALIASES.title, alias_tables),
    "knowedit": (KNOWEDIT.title, plain_tables(KNOWEDIT)),
    "wild": (WILD.title, plain_tables(WILD)),
    "hops": (HOPS.title, plain_tables(HOPS)),
    "field": (FIELD.title, plain_tables(FIELD)),
    "kinds": ("By kind of wording, or by language", lambda run: kind_tables(run)),
    "costs": ("What a request costs", lambda run: costs_table(run)),
    "undo": ("Taken off again", lambda run: undo_table(run)),
    "ability": ("What it can do besides", lambda run: ability_tables(run)),
    "scale": ("Many edits loaded", lambda run: scale_table(run)),
}
"""Tables that are not the paper's: their title, and how they are made."""
PRINTED: dict[str, tuple[str, ...]] = {
    "wild": ("wild", "knowedit"),
    "retrieval": ("table3", "table2", "wild", "field", "costs"),
    "languages": ("wild", "field", "kinds", "knowedit"),
    "field": ("field", "kinds", "costs"),
    "undo": ("undo", "ability", "scale", "costs"),
}
"""What is printed for a question that a reader has: tables of the paper and others."""


def named_tables(run: Run, name: str) -> tuple[str, tuple[Table, ...]]:
    """A title and its tables: one of the paper's, or one of the others."""
    if name in PAPER:
        return PAPER[name].title, paper_tables(run, name)
    title, make = OTHERS[name]
    return title, make(run)


def score_table(
    run: Run,
    layout: Layout,
    scope: Scope,
    condition: str = "applied",
    conditions: Sequence[str] = (),
    rows_published: Sequence[published.Published] = (),
) -> Table:
    """Methods against metrics in one scope; the success protocols are groups of columns."""
    columns = _columns(run, layout, condition)
    methods = [m for m in run.methods if not layout.methods or m.name in layout.methods]
    shown: list[MethodResult] = []
    for method in methods:
        scores = [run.score(method.name, scope, a.metric, a.success, condition) for a in columns]
        if any(score and score.value is not None for score in scores):
            shown.append(method)
            for column, score in zip(columns, scores, strict=True):
                column.scores.append(score)
    equal = [_equal_n(run, column.scores) for column in columns]
    rows = [
        Row(
            method.name,
            _remarks(run, method, [column.scores[i] for column in columns]),
            tuple(
                _cell(run, column.scores[i], column.metric, n is None)
                for column, n in zip(columns, equal, strict=True)
            ),
        )
        for i, method in enumerate(shown)
    ]
    first_group = columns[0].success if columns else None
    for published_row in rows_published if shown else ():
        rows.append(
            Row(
                published_row.method,
                (f"published, {published.MODEL}",),
                tuple(
                    Cell(f"{published_row.percent[a.metric]:.2f}")
                    if a.success == first_group and a.metric in published_row.percent
                    else Cell("")
                    for a in columns
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
            for a, n in zip(columns, equal, strict=True)
        ),
        rows=tuple(rows),
        scope_sentence=scope_sentence(run, scope),
        above=_above(run, columns, condition if conditions else ""),
        below=tuple(_below(methods, shown, scope, columns, rows_published)),
    )


def _with_below(table: Table, remark: str | None) -> Table:
    if not remark or not any(row.published for row in table.rows):
        return table
    return replace(table, below=(*table.below, remark))


def _columns(run: Run, layout: Layout, condition: str) -> list[_Column]:
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
    columns = [
        _Column(metric, success, condition)
        for success in successes
        for metric in metrics
        if metric not in free and (metric, success) in known
    ]
    return columns + [_Column(metric, None, condition) for metric in metrics if metric in free]


def _equal_n(run: Run, scores: Sequence[Score | None]) -> str | None:
    """What is said of n when it is the same for every score; None otherwise."""
    counts = {_n(run, score) for score in scores if score and score.value is not None}
    return counts.pop() if len(counts) == 1 else None


def _n(run: Run, score: Score) -> str:
    """`200`, or `141 of 94 edits` where not every edit of the method had something to score."""
    method = run.method(score.method)
    if not score.edits or method is None or score.edits == method.edits:
        return f"{score.n}"
    return f"{score.n} of {count(score.edits, 'edit')}"


def _cell(run: Run, score: Score | None, metric: str, with_n: bool) -> Cell:
    if score is None or score.value is None:
        return Cell(MISSING)
    text = figure(score, METRICS[metric].unit)
    return Cell(f"{text} n {_n(run, score)}" if with_n else text, score, metric)


def _remarks(run: Run, method: MethodResult, scores: Iterable[Score | None]) -> tuple[str, ...]:
    """What must stand beside a method's name for the row not to claim too much."""
    remarks = []
    places = {score.scope for score in scores if score}
    remarks += [SCOPES[p].name for p in ("none", "alone", "together") if p in places]
    if "none" not in places:
        remarks += edits_remark(run, method)
    return tuple(remarks)


def scope_sentence(run: Run, scope: Scope) -> str:
    """`All edits loaded (all-edits): The router decides …`"""
    return f"{SCOPES[scope].name} ({scope}): {run.meaning(scope)}"


def _above(run: Run, columns: Sequence[_Column], condition: str) -> tuple[str, ...]:
    successes = dict.fromkeys(a.success for a in columns if a.success)
    lines = [f"{success}: {run.meaning(success)}" for success in successes]
    if columns and columns[0].condition == SEVERAL:
        lines.append(f"{SEVERAL}: {run.meaning(f'condition {SEVERAL}')}")
    elif condition:
        lines.append(f"conditions {condition}: {run.meaning(f'condition {condition}')}")
    lines.append(sentence(f"In brackets: {run.protocol.get('interval', '95 % interval')}"))
    return tuple(lines)


def _below(
    methods: Sequence[MethodResult],
    shown: Sequence[MethodResult],
    scope: str,
    columns: Sequence[_Column],
    rows_published: Sequence[published.Published],
) -> Iterable[str]:
    left = [method.name for method in methods if method not in shown]
    if left:
        yield f"Not measured in this scope ({scope}): {', '.join(left)}."
    if scope == "given" and STAY & {column.metric for column in columns}:
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
                        f"{curve.success}: {run.meaning(curve.success)}",
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
    for curve in run.prompt_curve:
        names = tuple(published.PROMPTS_PERCENT)
        rows = []
        for point in curve.points:
            rows.append(
                Row(
                    str(point.prompts),
                    (),
                    tuple(_point_cell(getattr(point, name), name) for name in names),
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
                above=(f"{curve.success}: {run.meaning(curve.success)}",),
                below=(
                    f"The row marked {published.MODEL} is a published figure of another model "
                    f"({published.SOURCE}), for orientation only.",
                ),
            )
        )
    return tuple(tables)


def kind_tables(run: Run) -> tuple[Table, ...]:
    """The free metrics by kind: methods against kinds, one table a metric and scope."""
    tables = []
    for scope in run.scopes(FIELD.metrics):
        stand = STANDS_FOR[scope]
        for metric in FIELD.metrics:
            mine = [k for k in run.kinds if k.metric == metric and k.scope in stand]
            names = tuple(dict.fromkeys(k.kind for k in mine))
            by = {(k.method, k.kind): k for k in mine}
            rows = [
                Row(
                    m.name,
                    tuple(edits_remark(run, m)),
                    tuple(_cell(run, by.get((m.name, name)), metric, True) for name in names),
                )
                for m in run.methods
                if any((m.name, name) in by for name in names)
            ]
            if rows:
                tables.append(
                    Table(
                        title=f"By kind · {METRICS[metric].name}",
                        scope=scope,
                        first="Method",
                        columns=tuple(map(Column, names)),
                        rows=tuple(rows),
                        scope_sentence=scope_sentence(run, scope),
                        above=(run.meaning(metric),),
                    )
                )
    return tuple(tables)


def costs_table(run: Run) -> tuple[Table, ...]:
    """Tokens and CPU time of a request under each method."""
    rows = [
        Row(
            cost.method,
            (),
            (
                Cell(f"{cost.tokens:.1f}"),
                Cell(f"{cost.cpu_ms:.1f}"),
                Cell(f"{cost.times_base:.2f}"),
                Cell(str(cost.requests)),
            ),
        )
        for cost in run.costs
    ]
    heads = ("Prompt tokens, mean", "CPU ms, median", "Times base", "Requests")
    above = "Requests one by one, the methods in turn on each; on a CPU."
    return _one_table("Cost of a request", "Method", heads, rows, above, filled_sentences(run))


def undo_table(run: Run) -> tuple[Table, ...]:
    """What is left of edits that were attached, have answered, and were detached."""
    rows = [
        Row(
            one.method,
            (),
            tuple(
                map(
                    Cell,
                    (
                        str(one.edits),
                        str(one.prompts),
                        f"{one.differing} of {one.logits:,}",
                        percent(one.same_attached),
                        percent(one.fired),
                    ),
                )
            ),
        )
        for one in run.undone
    ]
    heads = (
        "Edits", "Prompts", "Logits differing after", f"Same while attached,{NBSP}%",
        f"Fired,{NBSP}%",
    )  # fmt: skip
    above = (
        "Logits after each prompt, compared to the bit with those before edits were attached; the "
        "share of prompts after which they were the same meanwhile, and for which an edit fired."
    )
    return _one_table("Undo", "Method", heads, rows, above, filled_sentences(run))


def ability_tables(run: Run) -> tuple[Table, ...]:
    """How other questions are answered with edits attached: a table for each file of them."""
    tables: list[Table] = []
    for file in dict.fromkeys(one.file for one in run.abilities):
        mine = [one for one in run.abilities if one.file == file]
        rows = [
            Row(
                one.method,
                (),
                (
                    Cell(str(one.edits)),
                    Cell(figure(one.bare)),
                    Cell(figure(one.attached)),
                    Cell(percent(one.same)),
                    Cell(str(one.differing)),
                    Cell(str(one.fired)),
                ),
            )
            for one in mine
        ]
        heads = (
            "Edits", f"Right bare,{NBSP}%", f"Right attached,{NBSP}%", f"Same to the bit,{NBSP}%",
            "Differing", "Fired",
        )  # fmt: skip
        above = (
            f"{count(mine[0].bare.n, 'multiple-choice question')} of {file}. "
            f"{run.meaning('ability')}"
        )
        tables += _one_table(
            f"Ability · {file}", "Method", heads, rows, above, filled_sentences(run)
        )
    return tuple(tables)


def filled_sentences(run: Run) -> tuple[str, ...]:
    """Whose bundles were filled up with made-up edits, and what those are."""
    sentences = [
        f"{one.method}: {one.edits} edits are attached, {one.made_up} of them made up."
        for one in run.filled
    ]
    return (*sentences, run.meaning("fill")) if sentences else ()


def _one_table(
    title: str,
    first: str,
    heads: Sequence[str],
    rows: Sequence[Row],
    above: str,
    below: tuple[str, ...] = (),
) -> tuple[Table, ...]:
    columns = tuple(map(Column, heads))
    table = Table(title, "", first, columns, tuple(rows), above=(above,), below=below)
    return (table,) if rows else ()


def scale_table(run: Run) -> tuple[Table, ...]:
    """Routing with many edits loaded: one table a curve."""
    heads = (
        "Made up", f"Reach,{NBSP}%", f"False fires,{NBSP}%", "CPU ms a decision",
        f"Memory,{NBSP}MiB", f"Loading,{NBSP}s", f"Loading, CPU{NBSP}s",
    )  # fmt: skip
    return tuple(
        table
        for curve in run.scale_curves
        for table in _one_table(
            f"Many edits loaded · {curve.method}",
            "Edits loaded",
            heads,
            [
                Row(
                    str(point.loaded),
                    (),
                    (
                        Cell(str(point.made_up)),
                        _point_cell(point.reach, "reach"),
                        _point_cell(point.false_fires, "false-fire"),
                        Cell(f"{point.cpu_ms:.1f}"),
                        Cell(f"{point.memory:.0f}"),
                        Cell(f"{point.seconds:.1f}"),
                        Cell(f"{point.cpu_seconds:.1f}"),
                    ),
                )
                for point in curve.points
            ],
            run.meaning("scale"),
            (run.meaning("fill"),) if any(point.made_up for point in curve.points) else (),
        )
    )


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
                    tuple(_point_cell(getattr(point, name), name) for name in names),
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


def _point_cell(value: Estimate, metric: str) -> Cell:
    if value.value is None:
        return Cell(MISSING)
    return Cell(f"{figure(value)} n {value.n}", value, metric)


def relation_tables(run: Run) -> tuple[Table, ...]:
    """Relations against methods: one table for each scope, success protocol and metric."""
    tables = []
    for scope, success, metric, scores in run.relation_groups():
        methods = list(dict.fromkeys(r.method for r in scores))
        by_place = {(r.relation, r.method): r for r in scores}
        labels = {r.relation: r.label for r in scores}
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


def edits_remark(run: Run, method: MethodResult) -> list[str]:
    """`40 of 100 edits`, `2 failed`, where it is so."""
    remarks = []
    if method.edits < run.edits:
        remarks.append(f"{method.edits} of {count(run.edits, 'edit')}")
    if method.failed:
        remarks.append(f"{len(method.failed)} failed")
    return remarks


def figure(value: Score | Estimate | None, unit: str = "share") -> str:
    """`91.0 (86–95)` in percent, `5.31 (5.20–5.42)` in bits; a dash if there is none."""
    if value is None or value.value is None:
        return MISSING
    bits = unit == "bits"
    text = f"{value.value:.2f}" if bits else percent(value.value)
    ends = [
        f"{end:.2f}" if bits else percent(end, 0)
        for end in (value.low, value.high)
        if end is not None
    ]
    return f"{text} ({ends[0]}–{ends[1]})" if len(ends) == 2 else text
