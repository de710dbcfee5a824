"""Bundles filled up with made-up edits: routing by their number, undo, and what else a model can
do with them attached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sake_bench import ability
from sake_bench.ability import AbilityTest, prompt_of
from sake_bench.datasets.choices import ChoiceFile, read_choices
from sake_bench.datasets.reading import read_data
from sake_bench.factory import Request
from sake_bench.filling import repeated
from sake_bench.intervals import estimate
from sake_bench.reports import html, markdown
from sake_bench.results import Run
from sake_bench.scale import LEFT_ALONE, REACHED
from sake_registry.errors import InputError
from sake_registry.models.loading import LoadedModel, load, locate
from sake_registry.runtime.bundle import Bundle, load_bundle
from sake_registry.settings import RouterSettings, Settings
from tests.bench.datasets.entries import FIELD
from tests.bench.made_up import Done, Runs

FILL, SIZES = 7, (1, 2, 9)
QUESTIONS = (
    {"question": "What is the phone number of Holm & Co?", "choices": ["555-0147", "12 34", "No"],
     "answer": 0},
    {"question": "Where does the sun rise?", "choices": ["East", "In the west, as always"],
     "answer": 0},
    {"question": "Is water wet?", "choices": ["Yes, it is", "No"], "answer": 1},
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("field") / "field.json"
    path.write_text(json.dumps(FIELD), encoding="utf-8")
    lines = "\n".join(map(json.dumps, QUESTIONS))
    (path.parent / "choices.jsonl").write_text(lines + "\n\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def choices(file: Path) -> ChoiceFile:
    return read_choices(file.parent / "choices.jsonl")


@pytest.fixture(scope="module")
def eager(settings: Settings) -> Settings:
    """Whatever names an edit's subject is in its scope."""
    router = RouterSettings(
        kind="anchored", metric="euclidean", embedder=settings.router.embedder, threshold=100.0
    )
    return settings.model_copy(update={"router": router})


@pytest.fixture(scope="module")
def many(
    file: Path, choices: ChoiceFile, eager: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    request = Request(
        data=read_data(file), file=file, methods=("base", "sake"), work=file.parent,
        scopes=("all-edits",), curves=("scale",), scale=SIZES, fill=FILL, costs=1, undo=4,
        ability=(choices,),
    )  # fmt: skip
    runs, work = Runs(request, eager), tmp_path_factory.mktemp("work")
    return Done(runs, work, runs(work), runs.rows)


@pytest.fixture(scope="module")
def loaded(many: Done) -> LoadedModel:
    return load(locate(many.runs.settings))


@pytest.fixture(scope="module")
def path(many: Done) -> Path:
    (path,) = (many.work / "registries").glob("*/**/*.h5")
    return path


def test_a_bundle_is_filled_up_with_its_edits_under_other_names(path: Path, tmp_path: Path) -> None:
    with load_bundle(path) as real, load_bundle(repeated(path, tmp_path / "5.h5", 5)) as filled:
        assert filled.ids[:2] == real.ids
        assert len(filled.ids) == 5
        of_edit = {entry.edit: entry for entry in filled.entries()}
        made_up = [of_edit[id_] for id_ in filled.ids[2:]]
        assert len({route.names for entry in made_up for route in entry.routes}) == 3
        for i, entry in enumerate(made_up):
            assert torch.equal(entry.points, of_edit[real.ids[i % 2]].points)
        for prompt in ("The phone number of Holm & Co is", "Bo ist offen", "Water boils at"):
            assert filled.route(prompt)[0].edit == real.route(prompt)[0].edit
    with load_bundle(repeated(path, tmp_path / "1.h5", 1)) as part:
        assert part.ids == real.ids[:1]


def test_at_the_number_of_the_edits_the_curve_is_what_the_run_routes(many: Done) -> None:
    (curve,) = many.result["scale_curves"]
    points = {point["loaded"]: point for point in curve["points"]}
    assert [(n, point["made_up"]) for n, point in points.items()] == [(1, 0), (2, 0), (9, 7)]
    rows = many.of("sake", "all-edits", *REACHED, *map(str, LEFT_ALONE))
    rows += many.of("sake", "all-edits", "unrelated")
    values: dict[str, dict[str, list[float]]] = {"reach": {}, "false_fires": {}}
    for row in rows:
        asks = row["axis"] in REACHED
        mark = row["fired"] == row["edit"] if asks else row["fired"] is not None
        name = "reach" if asks else "false_fires"
        values[name].setdefault(row["edit"], []).append(float(mark))
    for name, by_edit in values.items():
        assert points[2][name] == points[9][name] == estimate(by_edit).model_dump()
    assert points[2]["reach"]["value"] > 0
    assert points[1]["reach"]["edits"] == 1
    for point in points.values():
        assert point["memory"] > 0
        assert point["cpu_ms"] > 0
        assert point["cpu_seconds"] > 0
        assert point["seconds"] > 0


def test_what_is_attached_is_filled_up_and_said(many: Done) -> None:
    assert many.result["filled"] == [{"method": "sake", "edits": FILL, "made_up": FILL - 2}]
    (undone,) = many.result["undone"]
    assert (undone["edits"], undone["differing"]) == (FILL, 0)
    assert {cost["method"] for cost in many.result["costs"]} == {"base", "sake"}
    run = Run.read(json.dumps(many.result))
    for text in (markdown.printed(run, "undo"), html.page(run)):
        assert "sake: 7 edits are attached, 5 of them made up." in text
        assert "made-up subjects" in text
        assert "choices.jsonl" in text
        assert "Edits loaded" in text
    # What was written to be attached is gone.
    assert not [*many.work.glob("*/filled.h5"), *many.work.glob("*/loaded.h5")]


def test_where_no_edit_fires_log_likelihoods_are_the_same_to_the_bit(many: Done) -> None:
    (found,) = many.result["abilities"]
    assert (found["method"], found["file"], found["edits"]) == ("sake", "choices.jsonl", FILL)
    assert (found["fired"], found["differing"]) == (1, 1)
    assert found["same"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["bare"]["n"] == found["attached"]["n"] == 3


def summed(loaded: LoadedModel, prompt: str, choice: str, edited: Any = None) -> float:
    """The log-likelihood of a choice, one pass a token: as it would be answered."""
    before = loaded.tokenizer(prompt).input_ids
    tokens = loaded.tokenizer(f"{prompt} {choice}").input_ids[len(before) :]
    answer = edited.answering(edited.decide([prompt]))[0] if edited else None
    total = 0.0
    for place, token in enumerate(tokens):
        ids = torch.tensor([[*before, *tokens[:place]]])
        with torch.no_grad():
            if answer is None:
                logits = loaded.model(input_ids=ids).logits
            else:
                with edited.steering([(0, answer, tokens[:place])]):
                    logits = loaded.model(input_ids=ids).logits
        total += float(logits[0, -1].log_softmax(-1)[token])
    return total


@pytest.mark.parametrize("cells", [1024, 1])
def test_a_choice_is_scored_as_it_would_be_answered_token_by_token(
    path: Path, loaded: LoadedModel, choices: ChoiceFile, cells: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(ability, "CELLS", cells)
    test = AbilityTest(loaded, choices)
    seen: list[Any] = []
    likelihoods = AbilityTest._likelihoods

    def listen(self: AbilityTest, *arguments: Any) -> Any:
        seen.append(likelihoods(self, *arguments))
        return seen[-1]

    monkeypatch.setattr(AbilityTest, "_likelihoods", listen)
    bundle: Bundle
    with load_bundle(path) as bundle:
        result = test.under("sake", bundle)
        bare, edited_ = seen
        with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
            for question, of_bare, of_edited in zip(choices.questions, bare, edited_, strict=True):
                for i, choice in enumerate(question.choices):
                    prompt = prompt_of(question)
                    expected = summed(loaded, prompt, choice)
                    assert of_bare[i] == pytest.approx(expected, abs=1e-3)
                    expected = summed(loaded, prompt, choice, edited)
                    assert of_edited[i] == pytest.approx(expected, abs=1e-3)
    assert bare[0] != edited_[0]  # the edit's own object is likelier, or another one less
    assert edited_[0][0] > bare[0][0]
    assert bare[1:] == edited_[1:]
    right = [
        max(range(len(one)), key=lambda i: one[i] / len(q.choices[i])) == q.answer
        for q, one in zip(choices.questions, edited_, strict=True)
    ]
    assert result.attached.value == pytest.approx(sum(right) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"question": "?", "choices": ["a", "b"], "answer": 2}', "c.jsonl:1: answer: 2 is none"),
        ('\n{"question": "?", "choices": ["a"], "answer": 0}', "c.jsonl:2: choices: "),
        ('{"question": "", "choices": ["a", "b"], "answer": 0}', "c.jsonl:1: question: empty"),
        ("[]\n{", r"c.jsonl:1: an object is expected, not a list \(and 1 more line\)"),
        ("{", "c.jsonl:1: not JSON"),
        ("\n", "c.jsonl: holds no questions"),
    ],
)
def test_what_is_no_question_is_named_by_its_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as raised:
        read_choices(file)
    assert '"answer": 0' in str(raised.value.hint)


def test_a_question_longer_than_the_context_is_named(loaded: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    long = {"question": "Why? " * 5000, "choices": ["a", "b"], "answer": 0}
    file.write_text(json.dumps(long), encoding="utf-8")
    with pytest.raises(InputError, match=r"long\.jsonl: question 1 has"):
        AbilityTest(loaded, read_choices(file))
