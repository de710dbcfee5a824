"""A benchmark run as Markdown: the whole report, or one table or figure of the paper.

Every table has its protocol above it and what is to be known below it (see `tables`). Text that
comes from data files is escaped: it shows as it was written and makes no markup.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from sake_bench.reports import summary
from sake_bench.reports import tables as made
from sake_registry.errors import InputError
from sake_registry.pages.environment import environment
from sake_registry.pages.text import plain
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from sake_bench.reports.tables import Table
    from sake_bench.results import Run

FIGURES = {
    "figure3": ("Figure 3 · Threshold", made.threshold_table),
    "figure5": ("Figure 5 · Number of prompts", made.prompts_table),
}


@cache
def _templates() -> Environment:
    return environment("sake_bench.reports", lambda text: Markup(plain(text)))


def report(run: Run) -> str:
    """The whole report."""
    groups = [(layout.title, made.paper_tables(run, name)) for name, layout in made.PAPER.items()]
    groups += [(title, make(run)) for title, make in made.OTHERS.values()]
    groups += [
        ("Threshold", made.threshold_table(run)),
        ("Number of prompts", made.prompts_table(run)),
        ("Edits loaded at once", made.loads_table(run)),
        ("By relation", made.relation_tables(run)),
    ]
    return _templates().get_template("report.md.j2").render(run=run, groups=groups, s=summary)


def paper_table(run: Run, name: str) -> str:
    """A table of the paper (`table1` … `table5`) in the paper's own layout.

    Raises:
        InputError: the paper has no such table.
    """
    return _group(made.layout_of(name).title, made.paper_tables(run, name))


def paper_figure(run: Run, name: str) -> str:
    """The points of a figure of the paper (`figure3`, `figure5`).

    Raises:
        InputError: the figure is not one of these.
    """
    if name not in FIGURES:
        raise InputError(f"no figure '{name}' is made", hint=did_you_mean(name, FIGURES))
    title, make = FIGURES[name]
    return _group(title, make(run))


def printed(run: Run, layout: str) -> str:
    """What a run prints: the whole report, or one of the paper's tables and figures."""
    if layout == "report":
        return report(run)
    if layout in made.PRINTED:
        shown = [made.named_tables(run, name) for name in made.PRINTED[layout]]
        measured = [group for group in shown if group[1]] or shown[:1]
        return "\n".join(_group(title, tables) for title, tables in measured)
    return paper_figure(run, layout) if layout in FIGURES else paper_table(run, layout)


def _group(title: str, tables: Sequence[Table]) -> str:
    return _templates().get_template("group.md.j2").render(title=title, tables=tables)
