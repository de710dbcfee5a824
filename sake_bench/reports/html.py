"""A benchmark run as one HTML file, to be read offline, shown and printed.

Nothing is loaded from anywhere: styles, pictures and the little script are inline, and the page
forbids itself everything else. It is complete without the script, which only turns long lists of
pictures into a choice and opens what is folded before printing. Text from data files is escaped
(see `markup`): a record with `<script>` in it stays text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.reports import charts, published
from sake_bench.reports import tables as made
from sake_bench.reports.markdown import BETTER
from sake_bench.reports.markup import Markup, join, tag
from sake_bench.reports.page import frame, in_figure
from sake_bench.reports.scores import (
    METRICS,
    SCOPE_NAMES,
    SUCCESSES,
    Method,
    Run,
    edits_remark,
    figure,
    number,
    read_run,
    sentence,
)
from sake_bench.reports.style import SCRIPT, STYLE
from sake_bench.reports.summary import (
    data_name,
    environment_lines,
    flat,
    headline,
    model_name,
    scored_on,
)
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sake_bench.reports.tables import Cell, Row, Table

GROUPS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Does the edit hold, and nothing else?", ("acc", "gen", "spec"), ("table3", "table4")),
    ("Does what follows from it hold?", ("ci", "cii", "sa", "rs"), ("table1",)),
    ("Does it hold under other names?", ("sa-listed", "sa-unlisted"), ("aliases",)),
    ("What follows by logic, what is forgotten", ("lg", "forgetfulness"), ("table5",)),
    ("Portability and locality", ("portability", "locality"), ("knowedit",)),
    ("Does it hold when doubted?", ("di", "dii"), ("table2",)),
    (
        "Does it hold as a question, and only as this one?",
        ("question", "chat", "other-relation"),
        ("asked",),
    ),
    ("Is the whole of a long object there?", (), ("whole",)),
    ("What else changed", ("unchanged", "relapse", "collateral"), ("unreported",)),
)
"""What a scope shows: a question, the metrics in its pictures, its tables."""

TILES: tuple[tuple[tuple[str, ...], int], ...] = (
    (("acc", "gen", "sa", "ci", "portability"), 2),
    (("spec", "rs", "locality"), 1),
    (("di", "dii"), 1),
    (("relapse", "collateral"), 2),
)
"""The figures shown first: from each list, as many as were measured, up to the number."""

SCOPE_LABELS = {
    "given": "Edit given",
    "own-centre": "Own edit only",
    "all-edits": "All edits loaded",
}
SUCCESS_LABELS = {"first-token": "First token", "full-object": "Whole object"}


def page(run: Mapping[str, Any] | Run) -> str:
    """The whole page.

    Raises:
        InputError: the JSON is no benchmark run.
    """
    read = run if isinstance(run, Run) else read_run(run)
    sections = [
        ("results", "Results", _results(read)),
        ("threshold", "Threshold", _threshold(read)),
        ("prompts", "Number of prompts", _prompts(read)),
        ("loads", "Edits loaded at once", _loads(read)),
        ("relations", "By relation", _relations(read)),
        ("activations", "Activations", _projections(read)),
        ("reading", "How to read this", _reading(read)),
        ("methods", "Methods", _methods(read)),
        ("data", "Data", _data(read)),
        ("environment", "Environment", _environment(read)),
    ]
    shown = [(ident, title, body) for ident, title, body in sections if body]
    return frame(headline(read), _header(read), shown, STYLE, SCRIPT)


def _header(run: Run) -> Markup:
    environment = run.environment
    facts = [
        data_name(run),
        model_name(run),
        str(environment["date"]) if environment.get("date") else "",
        f"commit {str(environment['commit'])[:12]}" if environment.get("commit") else "",
    ]
    return tag(
        "header",
        tag("p", " · ".join(filter(None, facts)), class_="over"),
        tag("h1", headline(run)),
        tag("p", scored_on(run), class_="lead"),
        _tiles(run),
    )


def _tiles(run: Run) -> Markup | None:
    """The main figures of the method that the report is about, under the hardest protocol."""
    lead, scopes = run.lead(), run.scopes()
    if lead is None or not scopes:
        return None
    scope, successes = scopes[-1], run.successes()
    success = successes[-1] if successes else None
    tiles = []
    for names, most in TILES:
        found = [
            (name, run.score(lead.name, scope, name, run.success_of(name, success)))
            for name in names
        ]
        measured = [(n, s.figure) for n, s in found if s and s.figure.value is not None]
        for name, value in measured[:most]:
            head, _, rest = figure(value).partition(" ")
            own = run.success_of(name, success)
            base = run.score("base", scope, name, own)
            beside = [rest, f"n {value.n}"]
            if own and own != success:
                beside.append(SUCCESS_LABELS[own].lower())
            tiles.append(
                tag(
                    "li",
                    tag("span", METRICS[name].name, class_="tile-name"),
                    tag("span", head, tag("small", " %"), class_="tile-value"),
                    tag("span", " · ".join(filter(None, beside)), class_="tile-note"),
                    tag("span", f"unedited: {figure(base.figure).partition(' ')[0]} %")
                    if base and base.figure.value is not None
                    else None,
                    tag("span", METRICS[name].sentence, class_="tile-sentence"),
                    class_="tile lower" if METRICS[name].better == "lower" else "tile",
                    data_metric=name,
                    data_value=value.value,
                )
            )
    if not tiles:
        return None
    protocol = [SCOPE_NAMES[scope].lower()]
    if success:
        protocol.append(SUCCESS_LABELS[success].lower())
    remarks = edits_remark(run, lead)
    told = f"{lead.name}: {', '.join([*protocol, *remarks])}"
    note = "the strictest protocol of this run" if len(scopes) > 1 or len(successes) > 1 else ""
    return tag(
        "div",
        tag("p", tag("strong", told), f" — {note}" if note else None, class_="tiles-head"),
        tag("ul", *tiles, class_="tiles"),
    )


def _results(run: Run) -> Markup | None:
    """Pictures and tables of each scope, one scope at a time; all of them on paper."""
    scopes = run.scopes()
    successes = run.successes()
    if not scopes:
        return None
    inputs = [
        *_choice("scope", scopes, scopes[-1]),
        *_choice("success", successes, successes[-1] if successes else ""),
    ]
    bars = [_tab_list("Scope", "scope", scopes, SCOPE_LABELS)]
    if len(successes) > 1:
        bars.append(_tab_list("Success in the pictures", "success", successes, SUCCESS_LABELS))
    panels = [_panel(run, scope) for scope in scopes]
    return tag(
        "div",
        *inputs,
        tag("div", *bars, class_="bars"),
        tag("div", *panels, class_="panels"),
        class_="tabs",
    )


def _choice(name: str, values: Sequence[str], chosen: str) -> list[Markup]:
    return [
        tag(
            "input",
            type="radio",
            name=name,
            id=f"{name}-{value}",
            class_="tab",
            checked=value == chosen,
        )
        for value in values
    ]


def _tab_list(title: str, name: str, values: Sequence[str], labels: Mapping[str, str]) -> Markup:
    found = [tag("label", labels[v], for_=f"{name}-{v}", class_="tab-label") for v in values]
    return tag("div", tag("span", title, class_="bar-name"), *found, class_="tab-list")


def _panel(run: Run, scope: str) -> Markup:
    parts = [
        tag("h3", SCOPE_NAMES[scope]),
        tag("p", run.sentence(scope), " ", tag("code", scope), class_="protocol"),
    ]
    for title, metrics, names in GROUPS:
        pictures = _pictures(run, metrics, scope)
        tables = [_table(t) for name in names for t in _tables(run, name) if t.scope == scope]
        if pictures or tables:
            parts += [tag("h4", title, class_="question"), *pictures, *tables]
    return tag("div", *parts, class_=f"panel panel-{scope}")


_OTHER_TABLES: Mapping[str, Callable[[Run], tuple[Table, ...]]] = {
    "unreported": made.unreported_tables,
    "knowedit": made.knowedit_tables,
    "asked": made.asked_tables,
    "whole": made.whole_tables,
    "aliases": made.alias_tables,
}


def _tables(run: Run, name: str) -> tuple[Table, ...]:
    return _OTHER_TABLES[name](run) if name in _OTHER_TABLES else made.paper_tables(run, name)


def _pictures(run: Run, metrics: tuple[str, ...], scope: str) -> list[Markup]:
    """A picture for each success protocol; one is shown at a time."""
    found = []
    for success in run.successes(metrics) or (None,):
        picture = charts.method_bars(run, metrics, scope, success)
        if picture:
            told = [f"{success}: {run.sentence(success)}"] if success else []
            if run.conditions(metrics):
                told.append(f"Conditions applied: {run.condition_sentence('applied')}")
            if scope == "given" and made.STAY & set(metrics):
                told.append(made.GIVEN_NOTE)
            told += _stars(run, metrics, scope, success)
            kind = f"success-{success}" if success else None
            found.append(tag("div", in_figure(picture, " ".join(told)), class_=kind))
    return found


def _stars(run: Run, metrics: Sequence[str], scope: str, success: str | None) -> list[str]:
    """What the stars in a picture mean: methods with failed or fewer edits."""
    return [
        f"* {method.name}: {', '.join(remarks)}."
        for method in run.methods
        if (remarks := edits_remark(run, method))
        and any(run.score(method.name, scope, metric, success) for metric in metrics)
    ]


def _table(table: Table) -> Markup:
    groups: dict[str, int] = {}
    for column in table.columns:
        groups[column.group] = groups.get(column.group, 0) + 1
    grouped = any(groups)
    heads = [
        tag(
            "th",
            column.head,
            tag("small", f" {column.note}") if column.note else None,
            scope="col",
        )
        for column in table.columns
    ]
    first = tag("th", table.first, scope="col", rowspan="2" if grouped else None)
    if grouped:
        above = [
            tag("th", group, colspan=str(size), scope="colgroup" if group else None)
            if group
            else tag("td", colspan=str(size))
            for group, size in groups.items()
        ]
        head = tag("thead", tag("tr", first, *above), tag("tr", *heads))
    else:
        head = tag("thead", tag("tr", first, *heads))
    own = [_row(row) for row in table.rows if not row.published]
    other = [_row(row) for row in table.rows if row.published]
    bodies = [tag("tbody", *own), tag("tbody", *other, class_="published") if other else None]
    return tag(
        "div",
        tag("h5", table.title),
        tag("p", join(*_lines(table.above)), class_="protocol") if table.above else None,
        tag(
            "div",
            tag("table", tag("caption", table.title, class_="unseen"), head, *bodies),
            class_="scroll",
            tabindex="0",
        ),
        tag("p", join(*_lines(table.below)), class_="below") if table.below else None,
        class_="table",
    )


def _lines(lines: Iterable[str]) -> list[Markup]:
    return [tag("span", line) for line in lines]


def _row(row: Row) -> Markup:
    remark = tag("small", ", ".join(row.remarks)) if row.remarks else None
    return tag(
        "tr",
        tag("th", row.name, remark, scope="row"),
        *(_cell(cell) for cell in row.cells),
        data_row=row.name,
    )


def _cell(cell: Cell) -> Markup:
    head, _, rest = cell.text.partition(" ")
    value = cell.value
    if value is None or value.value is None:
        return tag("td", head, tag("small", f" {rest}") if rest else None)
    share = METRICS[cell.metric].unit == "share" if cell.metric else False
    bar = (
        tag("i", class_="level", style=f"width:{100 * max(0.0, min(1.0, value.value)):.1f}%")
        if share
        else None
    )
    return tag(
        "td",
        tag("b", head),
        tag("small", f" {rest}") if rest else None,
        tag("span", bar, class_="rail", aria_hidden="true") if bar else None,
        data_metric=cell.metric,
        data_value=value.value,
        data_low=value.low,
        data_high=value.high,
        data_n=value.n,
    )


def _threshold(run: Run) -> Markup | None:
    if not run.threshold_curves:
        return None
    told = (
        "The router edits a prompt when it is near enough to an edit. A larger threshold reaches "
        "more paraphrases, and disturbs more of what must stay."
    )
    parts = [tag("p", told)]
    for success in SUCCESSES:
        curves = [curve for curve in run.threshold_curves if curve.success == success]
        picture = charts.trade_off(curves, f"trade-off-{success}")
        if picture:
            parts.append(tag("h3", f"Specificity against generality · {success}"))
            told = "Numbers beside points are thresholds; a ring is the one that was chosen."
            parts.append(in_figure(picture, told))
    choices = []
    for i, curve in enumerate(run.threshold_curves):
        picture = charts.over_threshold(curve, f"over-threshold-{i}")
        if picture:
            told = made.chosen_sentence(curve.chosen, curve.calibrated)
            choices.append((f"{curve.method} · {curve.success}", in_figure(picture, told)))
    if choices:
        parts += [tag("h3", "All three over the threshold"), _picker("Method", choices)]
    parts += [
        _folded(f"{table.title}: figures", _table(table)) for table in made.threshold_table(run)
    ]
    return join(*parts)


def _prompts(run: Run) -> Markup | None:
    if not run.prompt_curves:
        return None
    parts = [tag("p", "What more prompts an edit bring, all else equal.")]
    for i, curve in enumerate(run.prompt_curves):
        picture = charts.over_prompts(curve, f"over-prompts-{i}")
        if picture:
            scope = SCOPE_NAMES.get(curve.scope, curve.scope).lower()
            parts.append(tag("h3", f"{curve.method} · {scope}, {curve.success}"))
            told = (
                f"{run.sentence(curve.scope)} {run.sentence(curve.success)} Hollow marks: "
                f"published figures of another model ({published.MODEL}, {published.SOURCE}), "
                "for orientation only."
            )
            parts.append(in_figure(picture, told))
    parts += [
        _folded(f"{table.title}: figures", _table(table)) for table in made.prompts_table(run)
    ]
    return join(*parts)


def _loads(run: Run) -> Markup | None:
    if not run.load_curves:
        return None
    told = (
        "What becomes of an edit as more are loaded beside it: the router has more to choose from."
    )
    return join(tag("p", told), *(_table(table) for table in made.loads_table(run)))


def _relations(run: Run) -> Markup | None:
    choices = []
    for i, (scope, success, metric, found) in enumerate(run.relation_groups()):
        protocol = [METRICS[metric].name, SCOPE_NAMES.get(scope, scope).lower(), success]
        name = " · ".join(text for text in protocol if text)
        picture = charts.relation_bars(found, f"relations-{i}", f"{name}, by relation")
        if picture:
            choices.append((name, in_figure(picture, METRICS[metric].sentence)))
    if not choices:
        return None
    told = (
        "Percent of answers; the weakest relation first. There are few answers a relation: "
        "read a row as a hint, not as a measurement."
    )
    return join(tag("p", told), _picker("Figure", choices))


def _projections(run: Run) -> Markup | None:
    if not run.projections:
        return None
    choices = [
        (
            " · ".join(filter(None, (p.claim or p.edit, p.method if p.method else ""))),
            in_figure(charts.projection(p, f"projection-{i}"), f"{p.edit}: {p.claim}"),
        )
        for i, p in enumerate(run.projections)
    ]
    told = (
        "What the model holds in mind right before it answers, one mark for each prompt, seen "
        "from the side where it differs most. A good edit moves the source (before) to where the "
        "target (the model, told the new fact) is. Two directions of many hundred: marks that "
        "touch here may be apart elsewhere."
    )
    return join(tag("p", told), _picker("Edit", choices))


def _picker(label: str, choices: Sequence[tuple[str, Markup]]) -> Markup:
    """Pictures of which one is open; the script makes a choice of them."""
    return tag(
        "div",
        *(
            tag("details", tag("summary", name), inner, class_="choice", open=i == 0)
            for i, (name, inner) in enumerate(choices)
        ),
        class_="picker",
        data_label=label,
    )


def _folded(title: str, inner: Markup) -> Markup:
    return tag("details", tag("summary", title), inner, class_="fold")


def _definitions(items: Iterable[tuple[str, str]]) -> Markup | None:
    rows = [tag("div", tag("dt", name), tag("dd", text)) for name, text in items]
    return tag("dl", *rows) if rows else None


def _reading(run: Run) -> Markup | None:
    metrics = [
        (
            f"{METRICS[m].short} · {METRICS[m].name}"
            if METRICS[m].short != METRICS[m].name
            else METRICS[m].name,
            f"{METRICS[m].sentence} {BETTER[METRICS[m].better]}",
        )
        for m in run.measured(METRICS)
    ]
    boxes = []
    for title, found in (
        ("Protocol", [(name, sentence(text)) for name, text in run.protocol.items()]),
        ("Figures", metrics),
    ):
        listed = _definitions(found)
        if listed:
            boxes.append(tag("div", tag("h3", title), listed, class_="box"))
    return tag("div", *boxes, class_="boxes") if boxes else None


def _methods(run: Run) -> Markup | None:
    return join(*(_method(method) for method in run.methods)) if run.methods else None


def _method(method: Method) -> Markup:
    known = [count(method.edits, "edit")]
    if method.failed:
        known.append(f"{len(method.failed)} failed")
    if method.threshold is not None:
        known.append(f"threshold {number(method.threshold)}")
    settings = _definitions(flat(method.settings, "."))
    failed = _definitions(method.failed.items())
    return tag(
        "article",
        tag(
            "h3",
            tag("span", class_=f"swatch {charts.colour(method.name)}", aria_hidden="true"),
            method.name,
            tag("small", " · ".join(known)),
        ),
        tag("p", method.description) if method.description else None,
        tag("p", sentence(method.calibrated), class_="protocol") if method.calibrated else None,
        _folded("Settings", settings) if settings else None,
        _folded(f"Failed edits ({len(method.failed)})", failed) if failed else None,
        class_="method",
    )


def _data(run: Run) -> Markup | None:
    parts = []
    implications = run.data.get("implications")
    if isinstance(implications, str):
        parts.append(tag("p", tag("strong", "Implications: "), implications))
    for name, title in (
        ("left_out", "Not measured"),
        ("conflicts", "Records that contradict each other"),
        ("problems", "Problems"),
    ):
        found = run.data.get(name)
        if isinstance(found, list) and found:
            items = tag("ul", *(tag("li", str(text)) for text in found))
            parts.append(tag("div", tag("h3", f"{title} ({len(found)})"), items))
    if not run.data.get("conflicts") and not run.data.get("problems"):
        parts.append(tag("p", "No record contradicts another, and none had to be skipped."))
    return join(*parts)


def _environment(run: Run) -> Markup | None:
    return _definitions(environment_lines(run))
