"""The pages in a real browser, opened from a disk: searched, filtered, by keyboard, on a phone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from sake_registry.catalog.folder import Built, Site
from sake_registry.catalog.watching import rebuilt, serving
from tests.browsing import COLLECTOR, FLAGS
from tests.catalog.conftest import HOSTILE
from tests.repositories import GitRegistry

# A page in a frame of some width, which tells the page around it what it found.
FRAME = """<!doctype html><meta charset="utf-8"><script>
addEventListener('message', ({data}) => {
  const told = document.createElement('pre');
  told.id = 'probe';
  told.textContent = JSON.stringify(data);
  document.body.append(told);
});
</script><iframe src="PAGE" style="border: 0; width: WIDTHpx; height: 900px"></iframe>"""
PROBE = """
const all = selector => [...document.querySelectorAll(selector)];
const ids = () => all('#results a').map(a => a.getAttribute('href').slice(6, -5));
const type = text => {
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
};
const choose = (name, value) => {
  const control = document.querySelector(`[name=${name}]`);
  control.value = value;
  control.dispatchEvent(new Event('input', {bubbles: true}));
};
const press = key => document.activeElement.dispatchEvent(
  new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
const at = () => document.activeElement.id || document.activeElement.getAttribute('href');
(async () => {
  const root = document.documentElement;
  const told = await (async () => { SCRIPT })();
  parent.postMessage({found, stolen: 'stolen' in window, wide: root.scrollWidth - root.clientWidth,
    ...told}, '*');
})().catch(error => parent.postMessage({found: [String(error)]}, '*'));
"""
Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(browser: str, pages: Path, tmp_path: Path) -> Look:
    """What a script returns that runs on a page, in a frame of a width."""
    folder = tmp_path / "pages"
    shutil.copytree(pages, folder)

    def looking(script: str, page: str = "index.html", width: int = 1200) -> dict[str, Any]:
        name, _, part = page.partition("#")
        file = (folder / name).with_stem("probe")
        (file.parent / "first.js").write_text(COLLECTOR.split("<script>")[1].split("</script>")[0])
        (file.parent / "last.js").write_text(PROBE.replace("SCRIPT", script), encoding="utf-8")
        shown = (folder / name).read_text("utf-8")
        shown = shown.replace("<title>", '<script src="first.js"></script><title>', 1)
        shown = shown.replace("</head>", '<script src="last.js" defer></script></head>', 1)
        file.write_text(shown, encoding="utf-8")
        frame = file.parent / "frame.html"
        frame.write_text(
            FRAME.replace("PAGE", f"probe.html#{part}").replace("WIDTH", str(width)), "utf-8"
        )
        out = dump(browser, frame.as_uri(), tmp_path)
        assert '<pre id="probe">' in out, out
        told = json.loads(unescape(out.split('<pre id="probe">')[1].split("</pre>")[0]))
        assert told["found"] == []
        assert told["stolen"] is False
        assert told["wide"] <= 0
        assert isinstance(told, dict)
        return told

    return looking


def dump(browser: str, address: str, folder: Path) -> str:
    """A page as it is after loading."""
    return subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", address],
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


def test_edits_are_searched_as_one_types_and_filtered(look: Look) -> None:
    told = look("""
    const told = {first: ids().length, more: document.getElementById('more').textContent};
    document.getElementById('more').click();
    told.all = ids().length;
    type('danielle'); told.name = ids();
    type('ÉNGLISH mother'); told.words = ids();
    type('grew up with'); told.prompt = ids();
    type('nothing such'); told.none = [ids(), document.getElementById('found').textContent];
    type(''); choose('status', 'draft'); told.draft = ids();
    choose('status', ''); choose('tag', 'people'); told.tag = ids();
    type('dutch'); told.both = ids(); told.hash = decodeURIComponent(location.hash);
    type(''); choose('tag', ''); choose('needs', 'conflict'); told.conflict = ids();
    choose('needs', ''); choose('model', 'smollm2-135m'); told.model = ids();
    choose('model', ''); choose('order', 'worst'); told.worst = ids()[0];
    choose('order', 'fires'); told.fires = ids()[0];
    told.text = document.querySelector('#results li').textContent;
    return told;
    """)
    assert (told["first"], told["more"], told["all"]) == (50, "Show 16 more", 66)
    assert told["name"] == told["prompt"] == ["darrieux"]
    assert told["words"] == ["darrieux", "eve"]
    assert told["none"] == [[], "0 of 66 edits."]
    assert told["draft"] == ["rocard"]
    assert told["tag"] == ["darrieux", "rocard"]
    assert (told["both"], told["hash"]) == (["rocard"], "#q=dutch&tag=people")
    assert told["conflict"] == ["tolstoy", "tolstoy-2"]
    assert told["model"] == ["darrieux", "tolstoy", "town-00", "town-01"]
    assert told["worst"] == "broken"
    assert told["fires"] == "darrieux"
    assert "2 of 3 answers as expected · fired 42 ×" in told["text"]


def test_the_keyboard_is_enough(look: Look) -> None:
    told = look("""
    const opened = [];
    document.getElementById('results').addEventListener('click', event => {
      event.preventDefault();
      opened.push(event.target.closest('a').getAttribute('href'));
    });
    const told = {};
    press('/'); told.slash = at();
    type('tolstoy'); press('Enter');
    press('ArrowDown'); told.down = at();
    press('ArrowDown'); press('ArrowDown'); told.last = at();
    press('ArrowUp'); press('ArrowUp'); told.up = at();
    press('ArrowDown'); press('Escape'); told.escape = [at(), field.value];
    press('Escape'); told.again = [field.value, ids().length];
    for (let n = 0; n < 51; n++) press('ArrowDown');
    told.further = [ids().indexOf(at().slice(6, -5)), ids().length];
    return {...told, opened};
    """)
    assert told["slash"] == told["up"] == "query"
    assert told["opened"] == ["edits/tolstoy.html"]
    assert told["down"] == "edits/tolstoy.html"
    assert told["last"] == "edits/tolstoy-2.html"
    assert told["escape"] == ["query", "tolstoy"]
    assert told["again"] == ["", 50]
    assert told["further"] == [50, 66]


def test_an_address_says_what_is_searched_and_which_edit_is_meant(
    look: Look, browser: str, pages: Path, tmp_path: Path
) -> None:
    told = look("return {ids: ids(), query: field.value};", "index.html#q=tolstoy&status=active")
    assert (told["ids"], told["query"]) == (["tolstoy", "tolstoy-2"], "tolstoy")
    shown = dump(browser, f"{(pages / 'index.html').as_uri()}#darrieux", tmp_path)
    assert "<title>Danielle Darrieux · mother tongue" in shown


@pytest.mark.parametrize("page", ["index.html", "edits/darrieux.html", "edits/eve.html"])
def test_they_fit_a_telephone_and_nothing_in_them_runs(look: Look, page: str) -> None:
    """Nothing is wider than the screen, in either frame."""
    script = "return {heading: document.querySelector('h1').textContent};"
    told = look(script, page, 390)
    assert told["heading"]
    if "eve" in page:
        assert HOSTILE.replace("\u202e", "") in told["heading"]


def test_served_they_are_made_again_when_an_edit_changes(
    made: GitRegistry, browser: str, tmp_path: Path
) -> None:
    site = Site(made.root, made.top.parent / "served")
    path = made.path("town-00")
    before = path.read_text()
    results = rebuilt(site)
    try:
        assert isinstance(next(results), Built)
        with serving(site.out, 0) as url:
            path.write_text(before.replace("Weser0", "Rhine"))
            assert isinstance(next(results), Built)
            assert "Elbe → Rhine" in dump(browser, f"{url}index.html#q=rhine", tmp_path)
            port = int(url.rpartition(":")[2].strip("/"))
            answered = []
            asked = (("localhost", "/"), ("evil.example", "/"), ("127.0.0.1", "/edits/"))
            for host, place in asked:
                connection = HTTPConnection("127.0.0.1", port)
                connection.request("GET", place, headers={"Host": f"{host}:{port}"})
                answered.append(connection.getresponse().status)
                connection.close()
            assert answered == [200, 421, 404]
    finally:
        path.write_text(before)
