"""Tables in Markdown: the paper's layout, with the protocol, n, and nothing claimed too much."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sake_bench.reports.markdown import paper_figure, paper_table
from sake_bench.reports.markdown import report as tables
from sake_bench.reports.published import NOTE, TABLES
from sake_registry.errors import InputError
from sake_registry.pages.text import plain
from tests.bench.reports.example_run import HOSTILE, asked_run, example_run, read, ripple_run


def parts(text: str) -> dict[str, list[list[str]]]:
    """The tables under each third-level heading: rows of cells."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("### "):
            heading = line[4:]
        elif line.startswith("| ") and not line.startswith("| ---"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.setdefault(heading, []).append([cell.strip() for cell in cells])
    return found


def rows(table: list[list[str]]) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in table[1:]}


def test_table_3_has_the_papers_columns_under_each_success_protocol_and_scope() -> None:
    found = parts(paper_table(read(example_run()), "table3"))
    title = "Accuracy, generality, specificity"
    assert list(found) == [f"{title} · {s}" for s in ("given", "own-centre", "all-edits")]
    head = found[f"{title} · given"][0]
    assert head == [
        "Method",
        *(f"{m}, first-token" for m in ("Acc", "Gen", "Spec")),
        *(f"{m}, full-object" for m in ("Acc", "Gen")),  # only first-token knows Spec
    ]
    given = rows(found[f"{title} · given"])
    assert given["sake"][:3] == ["99.0 (97–100) n 100", "90.0 (86–94) n 200", "97.0 (96–98) n 1000"]
    assert given["base (unedited)"][0].startswith("2.0 ")
    given_text, _, rest = paper_table(read(example_run()), "table3").partition("· own-centre")
    assert "Without a router" in given_text
    assert "Without a router" not in rest
    together = rows(found[f"{title} · all-edits"])
    assert not any(name.startswith(("rome", "icl")) for name in together)
    assert "Not measured in this scope (all-edits): icl, rome." in paper_table(
        read(example_run()), "table3"
    )


def test_a_method_with_failed_or_fewer_edits_says_so() -> None:
    given = rows(
        parts(paper_table(read(example_run()), "table3"))[
            "Accuracy, generality, specificity · given"
        ]
    )
    assert "rome (one edit at a time in the weights, 40 of 100 edits, 2 failed)" in given
    assert "memit (one edit at a time in the weights)" in given
    assert given["compmemit (one edit at a time in the weights, 40 of 100 edits)"][0].endswith(
        "n 40"
    )


def test_n_stands_in_the_head_when_it_is_the_same_in_every_row() -> None:
    found = parts(paper_table(read(example_run()), "table4"))
    head, *body = found["Uniform steering against transport · all-edits"]
    assert head[1] == "Acc, first-token (n 100)"
    assert [row[0] for row in body] == [
        "base (unedited)",
        "sake",
        "sake-paper",
        "uniform",
        "*uniform (published, GPT2-XL)*",
        "*SAKE (published, GPT2-XL)*",
    ]
    assert body[1][1] == "93.0 (88–98)"


def test_the_protocol_stands_above_and_the_other_model_below() -> None:
    text = paper_table(read(example_run()), "table3")
    for section in text.split("### ")[1:]:
        above, below = section.split("| Method")
        assert "> first-token: The answer's first token" in above
        assert "bootstrap over edits" in above
        assert plain(NOTE) in below
    given = text.split("### ")[1]
    assert "> The right edit is given (given): The right edit's map is always applied" in given


def test_published_rows_are_the_papers_and_stand_in_the_first_group_only() -> None:
    given = rows(
        parts(paper_table(read(example_run()), "table3"))[
            "Accuracy, generality, specificity · given"
        ]
    )
    assert given["*SAKE (published, GPT2-XL)*"] == ["97.00", "84.85", "84.52", "", ""]
    assert given["*MEMIT (published, GPT2-XL)*"][:3] == ["60.00", "36.60", "67.21"]
    assert [row.method for row in TABLES["table1"]] == ["ROME", "MEMIT", "ActAdd", "SAKE"]
    assert TABLES["table5"] == ()


def test_table_1_is_given_with_and_without_conditions_and_says_how_many_edits() -> None:
    found = parts(paper_table(read(ripple_run()), "table1"))
    assert list(found) == [
        "Ripple effects · conditions applied · all-edits",
        "Ripple effects · conditions not applied · all-edits",
    ]
    applied, free = found.values()
    assert applied[0][1:3] == [
        "CI, first-token (n 141 of 94 edits)",
        "CII, first-token (n 60 of 35 edits)",
    ]
    assert rows(applied)["sake"][0] == "55.0 (47–63)"
    assert rows(free)["sake"][0] == "45.0 (37–53)"
    assert "*SAKE (published, GPT2-XL)*" in rows(applied)
    assert "*SAKE (published, GPT2-XL)*" not in rows(free)


def test_what_was_not_scored_is_a_dash_and_table_5_has_no_published_row() -> None:
    text = paper_table(read(ripple_run()), "table5")
    table = next(iter(parts(text).values()))
    assert rows(table)["sake"] == ["75.0 (62–88)", "–"]
    assert "GPT2-XL" not in text


def test_a_table_without_measurements_says_so() -> None:
    assert "measured nothing" in paper_table(read(example_run()), "table1")
    assert "measured nothing" in paper_figure(read(ripple_run()), "figure5")
    with pytest.raises(InputError, match="table9"):
        paper_table(read(example_run()), "table9")
    with pytest.raises(InputError, match="figure1"):
        paper_figure(read(example_run()), "figure1")


def test_figures_3_and_5_are_given_as_points() -> None:
    chosen = parts(paper_figure(read(example_run()), "figure3"))
    assert len(chosen) == 4
    table = chosen["sake-paper, first-token"]
    assert table[0] == ["Threshold", "Acc (n 100)", "Gen (n 200)", "Spec (n 1000)"]
    assert "4.6 (chosen)" in rows(table)
    prompts = rows(next(iter(parts(paper_figure(read(example_run()), "figure5")).values())))
    assert list(prompts)[:2] == ["5", "10"]
    assert prompts["*50 (SAKE, published, GPT2-XL)*"] == ["92", "84"]


def test_the_whole_report_has_every_part() -> None:
    text = tables(read(example_run()))
    for heading in (
        "Protocol",
        "Table 2 · Robustness to doubt",
        "Table 3 · Accuracy, generality, specificity",
        "Table 4 · Uniform steering against transport",
        "What is seldom reported",
        "Threshold",
        "Number of prompts",
        "By relation",
        "Methods",
        "Problems in the data",
        "Records that contradict each other",
        "Environment",
    ):
        assert f"\n## {heading}\n" in text
    assert "\n## Table 1" not in text
    seldom = rows(parts(text)["all-edits"])
    assert seldom["sake"][-1] == "5.31 (5.20–5.42) n 100"


def test_every_table_has_as_many_cells_in_every_row() -> None:
    for run in (example_run(), ripple_run()):
        for block in re.findall(r"(?m)(?:^\|.*\n)+", tables(read(run))):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, block


def test_text_from_data_makes_no_markup() -> None:
    shown = plain(HOSTILE)
    assert shown in tables(read(example_run()))
    assert not re.search(r"(?<!\\)[<>|\[\]*]", shown)
    assert plain("a\n# b") == "a # b"
    assert plain("# b") == "\\# b"
    assert plain("1. b") == "1\\. b"
    assert plain("&lt;") == "\\&lt;"


def _small(method: str) -> dict[str, Any]:
    run = example_run()
    run["methods"] = [m for m in run["methods"] if m["name"] == method]
    run["scores"] = [s for s in run["scores"] if s["method"] == method]
    for key in ("relations", "threshold_curves", "prompt_curve", "projections"):
        run[key] = []
    return run


@pytest.mark.parametrize("method", ["base", "icl", "memit"])
def test_a_run_of_one_method_is_reported(method: str) -> None:
    text = tables(read(_small(method)))
    assert f"| {method}" in text
    assert tables(read(example_run() | {"scores": []}))


def sections(text: str) -> dict[str, str]:
    """What stands under each second-level heading."""
    found = (part.partition("\n") for part in f"\n{text}".split("\n## ")[1:])
    return {heading: rest for heading, _, rest in found}


def test_what_is_asked_for_has_tables_of_its_own_and_changes_no_other_one() -> None:
    found, usual = sections(tables(read(asked_run()))), sections(tables(read(example_run())))
    same = {name: text for name, text in found.items() if name in usual}
    assert same.pop("What is measured") != usual.pop("What is measured")
    assert same == usual
    (whole,) = parts(found["Objects of several tokens"]).values()
    assert whole[0][1:] == [
        f"{name}, full-object (n {n} of 31 edits)" for name, n in (("Acc", 31), ("Gen", 62))
    ]
    assert [row[0] for row in whole[1:]] == ["base (unedited)", "sake"]
    assert whole[2][1].startswith("77.0 ")
    (asked,) = parts(found["Asked as a question, and asked something else"]).values()
    assert [head.partition(" (")[0] for head in asked[0][1:]] == [
        "Question", "Q: new", "Q: old", "Other relations"
    ]  # fmt: skip
    assert [cell.partition(" ")[0] for cell in asked[2][1:]] == ["80.0", "90.0", "10.0", "93.0"]
    (loads,) = parts(found["Edits loaded at once"]).values()
    assert [row[0] for row in loads[1:]] == ["1", "700"]
    assert loads[1][3] == "–"
    assert loads[2][3] == "97.0 (96–98) n 1000"
    aliases = parts(found["Subject aliasing, by whether the edit file states the name"])
    assert list(aliases) == ["conditions applied · all-edits", "conditions not applied · all-edits"]
    assert "has no chat template" in found["Not measured"]


def test_what_part_of_the_objects_is_scored_stands_above() -> None:
    section = sections(tables(read(asked_run())))["Objects of several tokens"]
    assert "> several tokens: Only objects of more than one token after the prompt." in section
    assert "conditions" not in section
