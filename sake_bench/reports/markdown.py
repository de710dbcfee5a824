"""A benchmark run as Markdown: the whole report, or one table or figure of the paper.

Every table has its protocol above it and what is to be known below it (see `tables`). Text that
comes from data files is escaped: it shows as it was written and makes no markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sake_bench.reports import tables as made
from sake_bench.reports.markup import clean
from sake_bench.reports.scores import METRICS, Run, number, read_run, sentence
from sake_bench.reports.summary import environment_lines, flat, headline, scored_on
from sake_registry.errors import InputError
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sake_bench.reports.tables import Table

FIGURES = {"figure3": "threshold_curves", "figure5": "prompt_curve"}
NOTHING = "This run measured nothing for it."


def tables(run: Mapping[str, Any] | Run) -> str:
    """The whole report.

    Raises:
        InputError: the JSON is no benchmark run.
    """
    read = _read(run)
    parts = [f"# {plain(headline(read))}", plain(scored_on(read))]
    parts += _protocol(read)
    parts += [_section(name, read) for name in made.PAPER if made.paper_tables(read, name)]
    parts += _group(made.UNREPORTED.title, made.unreported_tables(read))
    parts += _group(made.WHOLE.title, made.whole_tables(read))
    parts += _group(made.ASKED.title, made.asked_tables(read))
    parts += _group(made.ALIASES.title, made.alias_tables(read))
    parts += _group(made.KNOWEDIT.title, made.knowedit_tables(read))
    parts += _group("Threshold", made.threshold_table(read))
    parts += _group("Number of prompts", made.prompts_table(read))
    parts += _group("Edits loaded at once", made.loads_table(read))
    parts += _group("By relation", made.relation_tables(read))
    parts += _metrics(read)
    parts += _methods(read)
    parts += _findings("Not measured", read.data.get("left_out"))
    parts += _findings("Problems in the data", read.data.get("problems"))
    parts += _findings("Records that contradict each other", read.data.get("conflicts"))
    environment = [f"- {plain(name)}: {plain(text)}" for name, text in environment_lines(read)]
    parts += ["## Environment", "\n".join(environment)] if environment else []
    return "\n\n".join(parts) + "\n"


def paper_table(run: Mapping[str, Any] | Run, name: str) -> str:
    """A table of the paper (`table1` … `table5`) in the paper's own layout.

    Raises:
        InputError: the JSON is no benchmark run, or the paper has no such table.
    """
    return _section(name, _read(run)) + "\n"


def paper_figure(run: Mapping[str, Any] | Run, name: str) -> str:
    """The points of a figure of the paper (`figure3`, `figure5`).

    Raises:
        InputError: the JSON is no benchmark run, or the figure is not one of these.
    """
    read = _read(run)
    if name not in FIGURES:
        raise InputError(f"no figure '{name}' is made", hint=did_you_mean(name, FIGURES))
    found = made.threshold_table(read) if name == "figure3" else made.prompts_table(read)
    title = "Figure 3 · Threshold" if name == "figure3" else "Figure 5 · Number of prompts"
    return "\n\n".join(_group(title, found) or [f"## {title}", NOTHING]) + "\n"


def plain(text: str) -> str:
    """Text on one line that Markdown shows as it is, in a table's cell, too."""
    line = " ".join(clean(text).split())
    line = re.sub(r"([\\`*_{}\[\]<>|~$])", r"\\\1", line)
    # An entity, a heading, a list and a bare address would be markup without any of these signs.
    line = re.sub(r"&(?=#?\w+;)", r"\\&", line)
    line = re.sub(r"^([#+-]|\d+[.)])(?=\s|$)", lambda m: m[1][:-1] + "\\" + m[1][-1], line)
    return re.sub(r"(?i)\b(https?|ftp|mailto):", r"\1\\:", line)


def _read(run: Mapping[str, Any] | Run) -> Run:
    return run if isinstance(run, Run) else read_run(run)


def _section(name: str, run: Run) -> str:
    title = made.layout_of(name).title
    return "\n\n".join(_group(title, made.paper_tables(run, name)) or [f"## {title}", NOTHING])


def _group(title: str, found: Sequence[Table]) -> list[str]:
    """A heading and its tables; nothing if there are none."""
    return [f"## {plain(title)}", *(_table(table) for table in found)] if found else []


def _table(table: Table) -> str:
    heading = " · ".join(filter(None, (table.title.partition(" · ")[2], table.scope)))
    parts = [f"### {plain(heading)}"] if heading else []
    above = [table.scope_sentence, *table.above] if table.scope_sentence else table.above
    parts.append("\n>\n".join(f"> {plain(line)}" for line in above))
    heads = [plain(table.first), *(_head(column) for column in table.columns)]
    lines = [_line(heads), _line(["---", *["---:"] * len(table.columns)])]
    for row in table.rows:
        name = plain(row.name) + (f" ({plain(', '.join(row.remarks))})" if row.remarks else "")
        if row.published:
            name = f"*{name}*"
        lines.append(_line([name, *(plain(cell.text) for cell in row.cells)]))
    parts.append("\n".join(lines))
    parts += [plain(line) for line in table.below]
    return "\n\n".join(part for part in parts if part)


def _head(column: made.Column) -> str:
    text = f"{column.head}, {column.group}" if column.group else column.head
    return plain(f"{text} ({column.note})" if column.note else text)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _protocol(run: Run) -> list[str]:
    if not run.protocol:
        return []
    lines = [f"- **{plain(name)}**: {plain(sentence(text))}" for name, text in run.protocol.items()]
    implications = run.data.get("implications")
    if isinstance(implications, str):
        lines.append(f"- **implications**: {plain(implications)}")
    return ["## Protocol", "\n".join(lines)]


def _metrics(run: Run) -> list[str]:
    lines = [
        f"- **{metric.short}** ({metric.name}): {metric.sentence} {BETTER[metric.better]}"
        for metric in (METRICS[name] for name in run.measured(METRICS))
    ]
    return ["## What is measured", "\n".join(lines)] if lines else []


BETTER = {
    "higher": "Higher is better.",
    "lower": "Lower is better.",
    "unedited": "Near the unedited model is better.",
}


def _methods(run: Run) -> list[str]:
    parts = ["## Methods"]
    for method in run.methods:
        known = [f"{method.edits} edits"]
        if method.threshold is not None:
            known.append(f"threshold {number(method.threshold)}")
        known += [f"{len(method.failed)} failed"] if method.failed else []
        lines = [f"- **{plain(method.name)}**: {plain(method.description)} ({', '.join(known)})"]
        lines += (
            [f"  - calibrated: {plain(sentence(method.calibrated))}"] if method.calibrated else []
        )
        settings = ", ".join(f"{name} = {text}" for name, text in flat(method.settings, "."))
        lines += [f"  - settings: {plain(settings)}"] if settings else []
        lines += [f"  - failed: {plain(f'{e}: {reason}')}" for e, reason in method.failed.items()]
        parts.append("\n".join(lines))
    return [parts[0], "\n".join(parts[1:])] if len(parts) > 1 else []


def _findings(title: str, found: Any) -> list[str]:
    if not isinstance(found, list) or not found:
        return []
    return [f"## {title}", "\n".join(f"- {plain(str(text))}" for text in found)]
