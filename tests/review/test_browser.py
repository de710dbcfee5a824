"""The page of a review in a real browser: no error, nothing cut, nothing too wide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sake_registry.review.html import page
from tests import browsing
from tests.review.example_review import (
    HOSTILE,
    claims_review,
    example_review,
    passed_review,
)
from tests.review.test_markdown import many

# The page is looked at as it is, and in a frame as wide as a telephone.
PROBE = """<script>
addEventListener('load', () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const seen = element => element.getClientRects().length > 0;
  const cut = root => all('svg.chart', root).filter(seen).flatMap(svg => {
    const room = svg.getBoundingClientRect();
    return all('text', svg).filter(text => {
      const box = text.getBoundingClientRect();
      return box.left < room.left - 1 || box.right > room.right + 1
        || box.top < room.top - 1 || box.bottom > room.bottom + 1;
    }).map(text => `${svg.id}: ${text.textContent}`);
  });
  const covered = all('svg.chart').flatMap(svg => {
    const texts = all('text', svg).map(text => [text.textContent, text.getBoundingClientRect()]);
    return texts.flatMap(([told, a], i) => texts.slice(i + 1)
      .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1
        && a.top < b.bottom - 2 && b.top < a.bottom - 2)
      .map(([other]) => `${svg.id}: ${told} / ${other}`));
  });
  const folded = all('.fold:not([open])').length;
  dispatchEvent(new Event('beforeprint'));
  const result = document.createElement('pre');
  result.id = 'probe';
  const wide = root => root.scrollWidth - root.clientWidth;
  result.textContent = JSON.stringify({
    found, cut: cut(document), covered, folded,
    stolen: 'stolen' in window,
    open: all('.fold:not([open])').length,
    wide: wide(document.documentElement),
    pictures: all('svg.chart').map(svg => svg.id),
    marks: all('#edits svg .mark[data-kind]').length,
    paint: getComputedStyle(document.querySelector('h1')).color,
    good: document.querySelector('.mark.s1')
      ? getComputedStyle(document.querySelector('.mark.s1')).fill : null,
    limit: document.querySelector('.limit')
      ? getComputedStyle(document.querySelector('.limit')).strokeDasharray : null,
  });
  document.body.append(result);
});
</script>"""
NARROW = """<script>
addEventListener('load', () => {
  // The page itself, made as narrow as a telephone.
  const frame = document.createElement('iframe');
  frame.style.width = '390px';
  frame.style.height = '800px';
  frame.style.border = '0';
  frame.srcdoc = document.documentElement.outerHTML.replace(/<script[^]*?<\\/script>/g, '');
  frame.addEventListener('load', () => {
    const inner = frame.contentDocument.documentElement;
    const result = document.createElement('pre');
    result.id = 'probe';
    const style = e => frame.contentWindow.getComputedStyle(e);
    const cells = [...frame.contentDocument.querySelectorAll('.cards td:not(.sign)')];
    const [table] = cells;
    // A label of several lines beside a text of one must not run into the next cell.
    cells.forEach(cell => { cell.dataset.label = 'A name of three words'; cell.textContent = '1' });
    result.textContent = JSON.stringify({
      found, width: frame.contentWindow.innerWidth, wide: inner.scrollWidth - inner.clientWidth,
      cell: table ? style(table).display : null,
      over: cells.filter(cell => cell.scrollHeight > cell.clientHeight).length,
    });
    document.body.append(result);
  });
  document.body.append(frame);
});
</script>"""


def look(browser: str, value: dict[str, Any], folder: Path) -> dict[str, Any]:
    return browsing.look(browser, page(value), folder, PROBE)


def test_the_example_is_drawn_without_error(browser: str, tmp_path: Path) -> None:
    seen = look(browser, example_review(), tmp_path)
    assert seen["found"] == []
    assert not seen["stolen"]
    assert seen["cut"] == []
    assert seen["covered"] == []
    assert seen["wide"] <= 0
    assert seen["folded"] == 1
    assert seen["open"] == 0
    assert seen["pictures"] == ["passed", "answers", *(f"distances-{i}" for i in range(4))]
    # All prompts but the three that have no distance, and two of others.
    assert seen["marks"] == 29 - 3 + 3
    assert seen["good"] != seen["paint"]
    assert seen["limit"] == "5px, 3px"


@pytest.mark.parametrize(
    ("value", "pictures"),
    [(claims_review(), 0), (passed_review(), 3), (many(30, bad=3), 32)],
    ids=["claims", "passed", "many"],
)
def test_other_reviews_are_drawn_without_error(
    browser: str, tmp_path: Path, value: dict[str, Any], pictures: int
) -> None:
    seen = look(browser, value, tmp_path)
    assert seen["found"] == []
    assert seen["cut"] == []
    assert seen["covered"] == []
    assert seen["wide"] <= 0
    assert seen["open"] == 0
    assert len(seen["pictures"]) == pictures


def test_a_small_threshold_leaves_room_for_its_words(browser: str, tmp_path: Path) -> None:
    value = passed_review()
    for row in value["edits"][0]["rows"]:
        if row["distance"] is not None:
            row |= {"threshold": 0.5, "distance": row["distance"] + 0.1}
    seen = look(browser, value, tmp_path)
    assert len(seen["pictures"]) == 3
    assert seen["cut"] == seen["covered"] == []


def test_long_words_break_and_run_nowhere(browser: str, tmp_path: Path) -> None:
    value = example_review()
    for edit in value["edits"]:
        edit |= {"claim": "W" * 300, "sentence": "W" * 300, "reason": HOSTILE * 5}
        edit["lines"] = ["W" * 300]
        edit["sources"] = ["https://example.org/" + "w" * 300]
        for row in edit["rows"]:
            row |= {"prompt": "W" * 300, "after": "W" * 300}
    value["findings"][0] |= {"path": "W" * 300, "message": "W" * 300}
    value["range"]["text"] = "W" * 300
    seen = look(browser, value, tmp_path)
    assert seen["found"] == []
    assert seen["wide"] <= 0
    assert seen["cut"] == []


@pytest.mark.parametrize("value", [example_review(), claims_review()], ids=["example", "claims"])
def test_the_page_fits_a_telephone(browser: str, tmp_path: Path, value: dict[str, Any]) -> None:
    seen = browsing.look(browser, page(value), tmp_path, NARROW)
    assert seen["width"] == 390
    assert seen["wide"] <= 0
    # Tables become cards.
    assert seen["cell"] in ("flow-root", None)
    assert seen["over"] == 0
