"""The page: complete, self-contained, and text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from sake_bench.protocol import METRICS, PROTOCOL, SCOPES, SUCCESSES
from sake_bench.reports import markdown, summary
from sake_bench.reports.html import page
from sake_bench.results import Run, sentence
from sake_registry.pages.text import plain
from tests.bench.reports.example_run import asked_run, example_run, read, ripple_run
from tests.browsing import Elements


@cache
def made(run: Callable[[], dict[str, Any]]) -> str:
    """The page of a run, made when a test asks for it: that takes a second."""
    return page(read(run()))


def test_the_page_is_well_formed_and_every_id_is_there_once() -> None:
    for text in (made(example_run), made(ripple_run), made(asked_run)):
        elements = Elements(text)
        ids = [a["id"] for _, a in elements.found if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in elements.found:
            for key in ("for", "aria-labelledby"):
                assert set((attributes.get(key) or "").split()) <= set(ids)
            href = attributes.get("href") or ""
            assert not href.startswith("#") or href[1:] in ids


def test_the_page_loads_nothing_from_anywhere() -> None:
    elements = Elements(made(example_run))
    assert not elements.named("img") + elements.named("iframe") + elements.named("object")
    assert [a["href"] for a in elements.named("link")] == ["data:,"]
    assert [a for a in elements.named("script") if a] == []
    assert not re.search(r"url\(|@import", made(example_run))
    (policy,) = [a["content"] for a in elements.named("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_record_with_a_script_in_it_stays_text() -> None:
    elements = Elements(made(example_run))
    assert len(elements.named("script")) == 1
    assert "<script>window.stolen" not in made(example_run)
    shown = "".join(elements.text)
    assert shown.count("<script>window.stolen = 1</script> & \"quoted\" | 'x'") >= 3
    assert "\x00" not in made(example_run)


def test_hostile_text_in_every_place_stays_text() -> None:
    """Every text of the run that is no word of the format is replaced by an attack."""
    attack = "\"'><script>alert(1)</script><svg onload=alert(1)>\ud800"
    run = example_run()
    run["model"] = {"name": attack, "hash": attack, "dtype": attack}
    run["data"] |= dict.fromkeys(("name", "file", "sha256", "implications"), attack)
    run["data"] |= {"conflicts": [attack], "problems": [attack], "left_out": [attack]}
    run["protocol"] = dict.fromkeys((*run["protocol"], attack), attack)
    run["environment"] = {attack: {attack: attack}, "commit": attack, "date": attack}
    for method in run["methods"]:
        method |= {"description": attack, "calibrated": attack, "settings": {attack: attack}}
        method["failed"] = {attack: attack}
    for item in (*run["methods"], *run["scores"]):
        for key in ("name", "method"):
            if item.get(key) == "actadd":
                item[key] = attack
    for relation in run["relations"]:
        relation |= {"label": attack, "relation": attack}
    for projection in run["projections"]:
        projection |= {"edit": attack, "claim": attack, "method": attack}
    text = page(Run.model_validate(run))
    text.encode()
    elements = Elements(text)
    assert len(elements.named("script")) == 1
    assert not [a for _, a in elements.found if any(key.startswith("on") for key in a)]


def test_the_page_has_every_part_and_all_figures() -> None:
    elements = Elements(made(example_run))
    assert [a["id"] for a in elements.named("section")] == [
        "results",
        "threshold",
        "prompts",
        "relations",
        "activations",
        "reading",
        "methods",
        "data",
        "environment",
    ]
    cells = [a for a in elements.named("td") if a.get("data-value")]
    # Three scopes; in each the tables 3, 4, 2 and what is seldom reported.
    rows = {"given": 9, "own-centre": 8, "all-edits": 7}
    assert len([c for c in cells if c["data-metric"] == "spec"]) == sum(rows.values())
    assert len([c for c in cells if c["data-metric"] == "fluency"]) == sum(rows.values())
    panels = [a["class"] for a in elements.named("div") if "panel-" in (a.get("class") or "")]
    assert panels == ["panel panel-given", "panel panel-own-centre", "panel panel-all-edits"]
    shown = " ".join(elements.text)
    assert "published, GPT2-XL" in shown
    assert "another model on other records" in shown
    assert "record 337" in shown
    assert "router.sources" in shown
    assert "a, b" in shown
    assert "* rome: 40 of 100 edits, 2 failed." in shown


def test_the_first_figures_are_under_the_strictest_protocol() -> None:
    tiles = [a for a in Elements(made(example_run)).named("li") if "tile" in (a.get("class") or "")]
    found = {a["data-metric"]: a["data-value"] for a in tiles}
    assert found["acc"] == "0.89"  # all-edits, full-object
    assert found["spec"] == "0.97"  # only first-token knows it, and the tile says so
    assert "· first token</span>" in made(example_run)
    assert list(found) == ["acc", "gen", "spec", "di", "relapse", "collateral"]
    assert "sake: all edits loaded, whole object" in made(example_run)


def test_parts_that_were_not_measured_are_left_out() -> None:
    elements = Elements(made(ripple_run))
    assert [a["id"] for a in elements.named("section")] == [
        "results",
        "reading",
        "methods",
        "data",
        "environment",
    ]
    assert Elements(page(read(example_run() | {"scores": [], "methods": [], "protocol": {}})))


def test_equal_runs_give_equal_pages() -> None:
    assert page(read(example_run())) == made(example_run)


def test_a_metric_means_the_same_in_the_protocol_and_in_both_reports() -> None:
    """Also in a run whose protocol has other words than today's."""
    for own in ({}, {"spec": "the run's own words", "unchanged": "and more of them"}):
        run = read(example_run() | {"protocol": PROTOCOL | own})
        figures = dict(summary.metrics(run))
        shown_text, written = " ".join(Elements(page(run)).text), markdown.report(run)
        for name in run.measured(METRICS):
            meaning = sentence((PROTOCOL | own)[name])
            assert any(meaning in shown for shown in figures.values())
            assert meaning in shown_text
            assert f": {plain(meaning)} " in written
    assert set(PROTOCOL) >= {*METRICS, *SCOPES, *SUCCESSES}
    assert PROTOCOL["spec"] == METRICS["spec"].meaning


def test_what_is_asked_for_is_on_the_page() -> None:
    text, others = made(asked_run), " ".join(Elements(made(example_run)).text)
    shown = " ".join(Elements(text).text)
    for words in (
        "Does it hold as a question, and only as this one?", "Edits loaded at once",
        "Objects of several tokens", "Subject aliasing", "has no chat template",
    ):  # fmt: skip
        assert words in shown
        assert words not in others
    assert 'data-metric="other-relation" data-value="0.93"' in text
