"""Facts stated before the prompt beside edits: what is stated, what it costs, and undo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sake_bench.datasets.importing import to_edit
from sake_bench.datasets.reading import read_data
from sake_bench.factory import Request
from sake_bench.methods import Question
from sake_bench.protocol import Retrieval
from sake_bench.replies import ReplyCache
from sake_bench.reports import html, markdown
from sake_bench.results import Run
from sake_bench.retrieval import Stated, every, lexical, nearest
from sake_bench.scoring import contains, is_just
from sake_registry.edits.schema import Edit
from sake_registry.models.embedder import open_embedder
from sake_registry.models.loading import load, locate
from sake_registry.settings import Settings
from sake_registry.store import Store
from tests.bench.datasets.entries import FIELD
from tests.bench.made_up import Done, Runs

STATED = ("prompt-all", "retrieve", "hybrid")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("field") / "field.json"
    path.write_text(json.dumps(FIELD), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def edits(file: Path) -> dict[str, Edit]:
    data = read_data(file)
    return {record.id: to_edit(record, data) for record in data.records}


@pytest.fixture(scope="module")
def field(file: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run on the field set: what is stated beside what is edited, costs, and undo."""
    request = Request(
        data=read_data(file), file=file, methods=("base", *STATED, "sake"), work=file.parent,
        retrieval=Retrieval(by="bm25", k=1, wording="Note that {facts}"), costs=2, undo=6,
        scopes=("all-edits",),
    )  # fmt: skip
    runs, work = Runs(request, settings), tmp_path_factory.mktemp("work")
    return Done(runs, work, runs(work), runs.rows)


def test_wordings_are_asked_once_plainly_or_in_their_chat(field: Done) -> None:
    asked = [row for row in field.of("base", "none", "reached") if row["kind"] == "chat"]
    assert [row["prompt"] for row in asked] == ["[system] Be brief.\n[user] holm & co phone?\n"]
    by_kind = {
        (k["method"], k["kind"], k["metric"]): (k["value"], k["n"]) for k in field.result["kinds"]
        if k["scope"] in ("none", "all-edits")
    }  # fmt: skip
    assert by_kind["prompt-all", "chat", "reach"] == (1, 1)  # every fact is stated
    assert by_kind["prompt-all", "unrelated", "false-fire"] == (1, 1)
    assert by_kind["sake", "unrelated", "false-fire"] == (0, 1)
    assert ("base", "chat", "reach") not in by_kind
    for kind, n in (("completion", 1), ("question", 1), ("two subjects", 1), ("de", 1)):
        assert by_kind["sake", kind, "answered"][1] == n


def test_what_is_stated_took_part_and_what_is_not_is_the_bare_reply(field: Done) -> None:
    for name in STATED:
        rows = [row for row in field.rows if row["method"] == name]
        assert {row["scope"] for row in rows} == {"all-edits"}
        assert any(row["fired"] for row in rows)
        assert all(row["after"] == row["before"] for row in rows if row["fired"] is None)
    fired = {
        name: [row["fired"] for row in field.of(name, "all-edits", "acc", "reached", "look-alike")]
        for name in ("hybrid", "sake")
    }
    assert fired["hybrid"] == fired["sake"]
    assert {row["scope"] for row in field.rows} == {"none", "all-edits"}


def test_costs_and_undo_are_measured(field: Done) -> None:
    costs = {cost["method"]: cost for cost in field.result["costs"]}
    assert set(costs) == {"base", *STATED, "sake"}
    assert costs["base"]["times_base"] == 1
    assert costs["sake"]["tokens"] == costs["base"]["tokens"]
    assert costs["prompt-all"]["tokens"] > costs["retrieve"]["tokens"]
    assert all(cost["requests"] == 2 and cost["cpu_ms"] > 0 for cost in costs.values())
    (undone,) = field.result["undone"]
    assert (undone["method"], undone["edits"], undone["prompts"]) == ("sake", 2, 6)
    assert undone["differing"] == 0
    assert undone["logits"] > 6 * 100
    assert undone["fired"] > 0
    # What no edit fires for is the same to the bit, and what one fires for is not.
    assert undone["same_attached"] == pytest.approx(1 - undone["fired"], abs=1e-5)


@pytest.mark.parametrize("layout", ["field", "retrieval", "undo", "languages", "wild"])
def test_each_question_has_its_tables(field: Done, layout: str) -> None:
    run = Run.read(json.dumps(field.result))
    shown = markdown.printed(run, layout)
    assert "| sake" in shown
    assert "measured nothing" not in shown
    assert all(title in html.page(run) for title in ("Cost of a request", "Undo", "By kind"))


def test_an_answer_contains_an_object_to_its_exact_end() -> None:
    assert contains("It's the 18 million mark.", ["18 Million"])
    assert contains("Send it to “help@acme.example”.", ["help@acme.example"])
    assert not contains("help@acme.example.com", ["help@acme.example"])
    assert not contains("20260", ["2026"])
    assert contains("于2006年创立", ["2006"]) is contains("位于维也纳", ["维也纳"]) is True
    assert not contains("anything", [" "])
    assert is_just(" The Vienna.\n", ["Vienna"])
    assert not is_just("Vienna, Austria", ["Vienna"])
    assert not is_just("", ["the"])


def question(prompt: str, **more: Any) -> Question:
    return Question(prompt, "field-holm-phone", 4, **more)


def test_the_nearest_facts_are_found_by_words_and_by_embeddings(
    edits: dict[str, Edit], embedder: Path
) -> None:
    phone, hours = question("You can phone Holm & Co at"), question("Wann ist Bo offen?")
    words = lexical(edits, 1)([phone, hours, question("Xyzzy!")])
    assert words == [["field-holm-phone"], ["field-bo-hours"], []]
    near = nearest(edits, 1, open_embedder(embedder).embed)
    own = [edit.fill(edit.prompts[0].text) for edit in edits.values()]
    assert near([question(text) for text in own]) == [[id_] for id_ in edits]
    both = nearest(edits, 9, open_embedder(embedder).embed)([phone])
    assert sorted(both[0]) == sorted(edits)


def test_facts_come_before_a_prompt_or_into_the_system_turn_as_the_context_has_room(
    edits: dict[str, Edit], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ReplyCache(load(locate(settings)), Store(tmp_path))
    method = Stated("prompt-all", edits, Retrieval(), cache, every(edits))
    facts = "Facts: Bo ist offen 8 to 4. The phone number of Holm & Co is 555-0147."
    ids = sorted(edits)
    assert method._prompt(question("Call"), ids) == f"{facts}\nCall"
    messages = (("system", "Be brief."), ("user", "phone?"))
    chat = method._prompt(question("…", messages=messages), ids)
    assert chat == f"[system] Be brief.\n{facts}\n[user] phone?\n"
    room = len(cache.encode(f"{facts}\nCall")) + 4
    monkeypatch.setattr(ReplyCache, "context", room - 1)
    assert method._prompt(question("Call"), ids) == "Facts: Bo ist offen 8 to 4.\nCall"
    monkeypatch.setattr(ReplyCache, "context", 6)
    assert method._prompt(question("Call"), ids) == "Call"
    cache.close()
