"""The page in a real browser: no script error, and what is drawn is what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sake_bench.reports.html import page
from tests import browsing
from tests.bench.reports.example_run import HOSTILE, example_run, read, ripple_run

# What a reader sees is counted after a click on every tab and every choice.
PROBE = """<script>
addEventListener('load', () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const seen = element => element.getClientRects().length > 0;
  const count = selector => all(selector).filter(seen).length;
  const tabs = {};
  for (const input of all('input[name=scope]')) {
    document.querySelector(`label[for="${input.id}"]`).click();
    tabs[input.id] = {
      panels: all('.panel').filter(seen).map(panel => panel.className),
      bars: count('#results .bar'),
      whiskers: count('#results .whisker'),
    };
  }
  const picks = all('.picker').map(picker => {
    const select = picker.querySelector('select');
    if (!select) return null;
    const shown = [];
    for (const option of all('option', select)) {
      select.value = option.value;
      select.dispatchEvent(new Event('change'));
      shown.push([option.textContent, all('svg', picker).filter(seen).length,
        all('.dots use', picker).filter(seen).length]);
    }
    return shown;
  });
  dispatchEvent(new Event('beforeprint'));
  const cut = all('svg.chart').filter(seen).flatMap(svg => {
    const room = svg.getBoundingClientRect();
    return all('text', svg).filter(text => {
      const box = text.getBoundingClientRect();
      return box.left < room.left - 1 || box.right > room.right + 1
        || box.top < room.top - 1 || box.bottom > room.bottom + 1;
    }).map(text => `${svg.id}: ${text.textContent}`);
  });
  const result = document.createElement('pre');
  result.id = 'probe';
  result.textContent = JSON.stringify({
    found, tabs, picks, cut,
    stolen: 'stolen' in window,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    folds: all('.fold:not([open])').length,
    trade: all('#threshold .chosen').map(e => e.dataset.threshold),
    values: all('#scope-all-edits ~ .panels .panel-all-edits .bar')
      .map(e => [e.dataset.series, e.dataset.group, e.dataset.value]),
    style: getComputedStyle(document.querySelector('.bar path')).fill,
  });
  document.body.append(result);
});
</script>"""


def look(browser: str, text: str, folder: Path) -> dict[str, Any]:
    """The page as the browser has it after loading, clicking and choosing."""
    return browsing.look(browser, text, folder, PROBE)


@pytest.fixture(scope="module")
def seen(browser: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page of the example, as the browser has it."""
    return look(browser, page(read(example_run())), tmp_path_factory.mktemp("page"))


def test_the_page_runs_without_error_and_draws_what_was_measured(seen: dict[str, Any]) -> None:
    assert seen["found"] == []
    assert not seen["stolen"]
    assert seen["wide"] <= 0
    assert seen["folds"] == 0
    assert seen["cut"] == []
    # One scope and one success protocol at a time: Acc, Gen, Spec; DI, DII; three shares more.
    methods = {"scope-given": 9, "scope-own-centre": 8, "scope-all-edits": 7}
    assert seen["tabs"] == {
        ident: {
            "panels": [f"panel panel-{ident.removeprefix('scope-')}"],
            "bars": 8 * n,
            "whiskers": 8 * n,
        }
        for ident, n in methods.items()
    }
    assert ["sake", "Generality", "0.84"] in seen["values"]
    assert ["memit", "Accuracy", "0.88"] in seen["values"]
    assert set(seen["trade"]) == {"5.3", "4.6"}
    assert seen["style"].startswith("rgb")
    assert seen["style"] != "rgb(0, 0, 0)"


def test_a_choice_shows_one_picture_at_a_time(seen: dict[str, Any]) -> None:
    thresholds, relations, projections = seen["picks"]
    assert [svgs for _, svgs, _ in (*thresholds, *relations)] == [1] * 6
    assert [(svgs, dots) for _, svgs, dots in projections] == [(1, 180), (1, 180)]
    assert projections[1][0].startswith(HOSTILE[:40])


def test_a_small_run_is_drawn_without_error(browser: str, tmp_path: Path) -> None:
    seen = look(browser, page(read(ripple_run())), tmp_path)
    assert seen["found"] == []
    assert seen["wide"] <= 0
    assert seen["cut"] == []
    assert seen["tabs"]["scope-all-edits"]["bars"] == 2 * 4 + 2
    assert seen["picks"] == []


def test_the_collector_notices_an_error(browser: str, tmp_path: Path) -> None:
    """What the tests above rest on."""
    broken = page(read(ripple_run())).replace("'use strict';", "'use strict'; nothing_here();")
    assert any("nothing_here" in text for text in look(browser, broken, tmp_path)["found"])
