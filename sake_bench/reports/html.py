"""A benchmark run as one HTML file, to be read offline, shown and printed.

Nothing is loaded from anywhere: styles, pictures and the little script are inline, and the page
forbids itself everything else. It is complete without the script, which only turns long lists of
pictures into a choice. Text from data files stays text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sake_bench.protocol import METRICS, SCOPES, SUCCESSES
from sake_bench.reports import charts, published, summary
from sake_bench.reports import tables as made
from sake_registry.pages.environment import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from markupsafe import Markup

    from sake_bench.protocol import Scope, Success
    from sake_bench.results import Run, Score

GROUPS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Does the edit hold, and nothing else?", ("acc", "gen", "spec"), ("table3", "table4")),
    ("Does what follows from it hold?", ("ci", "cii", "sa", "rs"), ("table1",)),
    ("Does it hold under other names?", ("sa-listed", "sa-unlisted"), ("aliases",)),
    ("What follows by logic, what is forgotten", ("lg", "forgetfulness"), ("table5",)),
    ("Portability and locality", ("portability", "locality"), ("knowedit",)),
    ("What does it say, left to itself?", (), ("wild", "hops")),
    (
        "Is it reached, and only it?",
        ("reach", "answered", "false-fire", "false-use"),
        ("field", "kinds"),
    ),
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


@dataclass(frozen=True)
class Picture:
    """A picture, what it is called, what stands below it, and when it is shown (`kind`)."""

    title: str
    svg: Markup
    caption: str
    kind: str = ""


@dataclass(frozen=True)
class Tile:
    """A main figure; `beside` is its interval and n."""

    metric: str
    score: Score
    shown: str
    beside: str
    unedited: str


@cache
def _templates() -> Environment:
    return environment("sake_bench.reports")


def page(run: Run) -> str:
    """The whole page."""
    scopes, successes = run.scopes(), run.successes()
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            run=run,
            s=summary,
            metrics=METRICS,
            scope_labels=SCOPE_LABELS,
            success_labels=SUCCESS_LABELS,
            colour=charts.colour,
            head=_head(run),
            tiles=_tiles(run),
            tiles_head=_tiles_head(run),
            scopes=scopes,
            successes=successes,
            panels=[(scope, SCOPES[scope].name, _panel(run, scope)) for scope in scopes],
            trade_offs=_trade_offs(run),
            over_threshold=_over_threshold(run),
            over_prompts=_over_prompts(run),
            relations=_relations(run),
            projections=_projections(run),
            threshold_tables=made.threshold_table(run),
            prompts_tables=made.prompts_table(run),
            loads_tables=made.loads_table(run),
            scale_tables=made.scale_table(run),
            in_use=(*made.costs_table(run), *made.undo_table(run), *made.ability_tables(run)),
        )
    )


def _head(run: Run) -> str:
    date, commit = run.environment.get("date"), run.environment.get("commit")
    facts = [summary.data_name(run), run.model.name, str(date) if date else ""]
    facts.append(f"commit {str(commit)[:12]}" if commit else "")
    return " · ".join(filter(None, facts))


def _tiles_head(run: Run) -> tuple[str, str]:
    """Whose figures the tiles show, and that they are the strictest where there are others."""
    lead, scopes, successes = run.lead, run.scopes(), run.successes()
    if lead is None or not scopes:
        return "", ""
    protocol = [SCOPES[scopes[-1]].name.lower()]
    protocol += [SUCCESS_LABELS[successes[-1]].lower()] if successes else []
    note = "the strictest protocol of this run" if len(scopes) > 1 or len(successes) > 1 else ""
    return f"{lead.name}: {', '.join([*protocol, *made.edits_remark(run, lead)])}", note


def _tiles(run: Run) -> list[Tile]:
    """The main figures of the method that the report is about, under the hardest protocol."""
    lead, scopes, successes = run.lead, run.scopes(), run.successes()
    if lead is None or not scopes:
        return []
    scope, success = scopes[-1], successes[-1] if successes else None
    tiles = []
    for names, most in TILES:
        scores = [(n, run.score(lead.name, scope, n, run.success_of(n, success))) for n in names]
        measured = [(n, score) for n, score in scores if score and score.value is not None]
        for name, score in measured[:most]:
            shown, _, interval = made.figure(score).partition(" ")
            of_metric = run.success_of(name, success)
            base = run.score("base", scope, name, of_metric)
            beside = [interval, f"n {score.n}"]
            if of_metric and of_metric != success:
                beside.append(SUCCESS_LABELS[of_metric].lower())
            unedited = made.figure(base).partition(" ")[0] if base and base.n else ""
            tiles.append(Tile(name, score, shown, " · ".join(filter(None, beside)), unedited))
    return tiles


def _panel(run: Run, scope: Scope) -> list[tuple[str, list[Picture], list[made.Table]]]:
    """What one scope shows: (question, pictures, tables)."""
    parts = []
    for title, metrics, names in GROUPS:
        pictures = _pictures(run, metrics, scope)
        tables = [t for name in names for t in _tables(run, name) if t.scope == scope]
        if pictures or tables:
            parts.append((title, pictures, tables))
    return parts


def _tables(run: Run, name: str) -> tuple[made.Table, ...]:
    return made.named_tables(run, name)[1]


def _pictures(run: Run, metrics: tuple[str, ...], scope: Scope) -> list[Picture]:
    """A picture for each success protocol; one is shown at a time."""
    pictures = []
    successes: tuple[Success | None, ...] = run.successes(metrics) or (None,)
    for success in successes:
        svg = charts.method_bars(run, metrics, scope, success)
        if svg:
            lines = [f"{success}: {run.meaning(success)}"] if success else []
            if run.conditions(metrics):
                lines.append(f"Conditions applied: {run.meaning('condition applied')}")
            if scope == "given" and made.STAY & set(metrics):
                lines.append(made.GIVEN_NOTE)
            lines += _stars(run, metrics, scope, success)
            kind = f"success-{success}" if success else ""
            pictures.append(Picture("", svg, " ".join(lines), kind))
    return pictures


def _stars(run: Run, metrics: Sequence[str], scope: Scope, success: Success | None) -> list[str]:
    """What the stars in a picture mean: methods with failed or fewer edits."""
    return [
        f"* {method.name}: {', '.join(remarks)}."
        for method in run.methods
        if (remarks := made.edits_remark(run, method))
        and any(run.score(method.name, scope, metric, success) for metric in metrics)
    ]


def _trade_offs(run: Run) -> list[Picture]:
    pictures = []
    for success in SUCCESSES:
        curves = [curve for curve in run.threshold_curves if curve.success == success]
        svg = charts.trade_off(curves, f"trade-off-{success}")
        if svg:
            caption = "Numbers beside points are thresholds; a ring is the one that was chosen."
            title = f"Specificity against generality · {success}"
            pictures.append(Picture(title, svg, caption))
    return pictures


def _over_threshold(run: Run) -> list[Picture]:
    return [
        Picture(
            f"{curve.method} · {curve.success}",
            svg,
            made.chosen_sentence(curve.chosen, curve.calibrated),
        )
        for i, curve in enumerate(run.threshold_curves)
        if (svg := charts.over_threshold(curve, f"over-threshold-{i}"))
    ]


def _over_prompts(run: Run) -> list[Picture]:
    return [
        Picture(
            f"{curve.method} · {SCOPES[curve.scope].name.lower()}, {curve.success}",
            svg,
            f"{run.meaning(curve.scope)} {run.meaning(curve.success)} Hollow marks: published "
            f"figures of another model ({published.MODEL}, {published.SOURCE}), for orientation "
            "only.",
        )
        for i, curve in enumerate(run.prompt_curve)
        if (svg := charts.over_prompts(curve, f"over-prompts-{i}"))
    ]


def _relations(run: Run) -> list[Picture]:
    pictures = []
    for i, (scope, success, metric, scores) in enumerate(run.relation_groups()):
        parts = [METRICS[metric].name, SCOPES[scope].name.lower(), success]
        title = " · ".join(filter(None, parts))
        svg = charts.relation_bars(scores, f"relations-{i}", f"{title}, by relation")
        if svg:
            pictures.append(Picture(title, svg, run.meaning(metric)))
    return pictures


def _projections(run: Run) -> list[Picture]:
    return [
        Picture(
            " · ".join(filter(None, (one.claim or one.edit, one.method))),
            charts.projection(one, f"projection-{i}"),
            f"{one.edit}: {one.claim}",
        )
        for i, one in enumerate(run.projections)
    ]
