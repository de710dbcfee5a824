"""The pages of a registry: what the commands say, as text that stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sake_registry.catalog.folder import Site
from sake_registry.catalog.metrics import fires
from sake_registry.errors import InputError, StateError
from tests.browsing import Elements
from tests.catalog.conftest import HOSTILE, METRICS
from tests.conftest import Run
from tests.repositories import GitRegistry


def entry(pages: Path, id_: str) -> dict[str, Any]:
    value = json.loads((pages / "edits" / f"{id_}.json").read_text("utf-8"))
    assert isinstance(value, dict)
    return value


def text(pages: Path, id_: str) -> str:
    """What a reader of an edit's page sees."""
    page = (pages / "edits" / f"{id_}.html").read_text("utf-8")
    return " ".join("".join(Elements(page).text).split())


def test_they_say_what_the_commands_say(made: GitRegistry, pages: Path, sake: Run) -> None:
    index = json.loads((pages / "index.json").read_text("utf-8"))
    listed = json.loads(sake("list", "--json", cwd=made.root).stdout)["edits"]
    assert {(e["id"], e["status"], e["new"]) for e in listed} == {
        (e["id"], e["status"], e["new"]) for e in index["edits"] if e["status"] != "unreadable"
    }
    assert (index["schema"], index["commit"]) == ("site/1", made.head)
    logged = json.loads(sake("log", "darrieux", "--json", cwd=made.root).stdout)["versions"]
    versions = entry(pages, "darrieux")["versions"]
    assert [(v["commit"], v["action"], v["authors"]) for v in versions] == [
        (v["commit"], v["action"], v["authors"]) for v in logged
    ]
    assert versions[0]["lines"] == logged[0]["lines"] != []
    for id_ in ("tolstoy", "tolstoy-2"):
        (conflict,) = entry(pages, id_)["conflicts"]
        assert (conflict["kind"], conflict["code"]) == ("contradiction", "SAKE202")


def test_an_edit_s_page_says_all_that_is_known_of_it(pages: Path) -> None:
    said = text(pages, "darrieux")
    bundle = next((pages.parent / "bundles").iterdir()).name
    for part in (
        "mother tongue", "French → English", "is to be completed by “English”",
        "A made-up reason.", "https://example.org/darrieux", "Rosa Rev",
        "2 of 3 answers are as expected: smollm2-135m was asked on", "this edit (0.10",
        "The country whose language Danielle Darrieux spoke as a child is",
        "One learns the language of one's country.", "not asked yet", bundle, "production.json",
        "It fired for 42 prompts", "Bob & Co", "object: German → English", "due soon",
        "fails its test", HOSTILE.replace("\u202e", "⟨U+202E⟩"),
    ):  # fmt: skip
        assert part in said, part
    assert "An earlier wording" not in said
    assert "in another version" in text(pages, "town-01")
    assert "has errors" in text(pages, "broken")
    needs = {e["id"]: e["needs"] for e in json.loads((pages / "index.json").read_text())["edits"]}
    assert needs["darrieux"] == ["failing", "expiring", "changed"]
    assert needs["tolstoy-2"] == ["errors", "conflict", "missing"]
    assert (needs["town-00"], needs["town-01"]) == ([], ["changed"])
    assert needs["broken"] == ["errors"]


def test_text_stays_text_and_nothing_is_loaded_from_elsewhere(pages: Path) -> None:
    for path in [pages / "index.html", *(pages / "edits").glob("*.html")]:
        elements = Elements(path.read_text("utf-8"))
        assert not [name for name, _ in elements.found if name in ("img", "iframe", "style")]
        (policy,) = [a["content"] for a in elements.named("meta") if "http-equiv" in a]
        assert str(policy).startswith("default-src 'none'")
        loaded = [a["src"] for a in elements.named("script")]
        loaded += [a["href"] for a in elements.named("link")]
        assert {str(place).removeprefix("../") for place in loaded} <= {
            "data.js", "site.js", "site.css", "data:,"
        }  # fmt: skip
        assert elements.named("script") == [a for a in elements.named("script") if "src" in a]
        for link in elements.named("a"):
            assert not str(link["href"]).startswith(("javascript:", "//"))
        assert "\u202e" not in path.read_text("utf-8")
    assert HOSTILE.replace("\u202e", "") in text(pages, "eve")
    assert entry(pages, "eve")["subject"] == HOSTILE.replace("\u202e", "")
    assert entry(pages, "darrieux")["versions"][0]["subject"] == HOSTILE


def test_nothing_of_the_machine_is_told(made: GitRegistry, pages: Path) -> None:
    for path in pages.rglob("*.*"):
        assert str(made.root.parent) not in path.read_text("utf-8")


def test_only_what_changed_is_written_and_what_is_gone_goes(made: GitRegistry) -> None:
    site = Site(made.root, made.top.parent / "public")
    first = site.build()
    assert first.written > 2 * first.edits
    assert site.build().written == 0
    path = made.path("town-59")
    before = path.read_text()
    path.unlink()
    try:
        built = site.build()
        assert (built.edits, built.removed) == (first.edits - 1, 2)
        assert built.written <= 3  # the index alone
        assert not list((site.out / "edits").glob("town-59.*"))
    finally:
        path.write_text(before)
    (site.out / "edits" / "town-58.html").unlink()
    (site.out / "edits" / "town-58.html").symlink_to(path)
    with pytest.raises(StateError, match="link"):
        Site(made.root, site.out).build()
    assert path.read_text() == before


def test_a_folder_of_something_else_is_left_alone(made: GitRegistry, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(InputError, match="something else") as caught:
        Site(made.root, tmp_path).build()
    assert "--out" in (caught.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    "content", [b"<html>", b"\xff\xfe", b"up 1.0\n", METRICS.replace("40.0", "NaN").encode()]
)
def test_a_file_that_is_no_metrics_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.txt").write_bytes(content)
    with pytest.raises(InputError, match="metrics"):
        fires(tmp_path / "metrics.txt")
    with pytest.raises(InputError, match="cannot be read"):
        fires(tmp_path / "nothing.txt")
