"""The whole way on a real model: SmolLM2-135M, from YAML files to another answer.

In float32, and in bfloat16 among the slow tests, whatever the machine prefers; few prompts, so that
it takes a minute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from openai import OpenAI

from sake_registry import compile_registry, load, load_bundle, locate, open_registry, test_registry
from sake_registry.asking.ask import ask
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import ModelMismatchError
from sake_registry.runtime.bundle import Bundle
from sake_registry.runtime.huggingface import Edited
from sake_registry.runtime.steering import ObjectMaps
from sake_registry.serving.asked import Asked, Prompt, Row
from sake_registry.serving.decoding import Decoder
from sake_registry.serving.run import Serving
from sake_registry.serving.sampling import Sampling
from sake_registry.settings import MULTILINGUAL
from tests.conftest import ROOT, Run
from tests.serving.hosting import hosted
from tests.serving.test_decoding import decode

pytestmark = pytest.mark.model

EDITS = ("australia-capital", "norway-country-code", "telephone-inventor")
SCOPED = ("The capital of Australia is", "The telephone was invented by")
UNSCOPED = ("The capital of Japan is", "The largest city in Australia is", "Water boils at")


@dataclass
class World:
    root: Path
    bundle: Bundle
    model: Any
    tokenizer: Any


@pytest.fixture(
    scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    root = tmp_path_factory.mktemp("registry")
    (root / "edits").mkdir()
    for edit in EDITS:
        text = (ROOT / "edits" / f"{edit}.yaml").read_text()
        (root / "edits" / f"{edit}.yaml").write_text(text)
    (root / "sake.toml").write_text(
        f'device = "cpu"\ndtype = "{request.param}"\n'
        "[compile]\nprompts = 10\n[test]\nmin_holdout = 0.7\n"
    )
    registry = open_registry(root)
    result = compile_registry(registry)
    assert result.bundle is not None, result.failures
    loaded = load(locate(registry.settings))
    yield World(root, load_bundle(result.bundle), loaded.model, loaded.tokenizer)


def test_the_answers_are_the_new_ones_and_the_rest_is_as_before(world: World) -> None:
    report = test_registry(open_registry(world.root))
    assert report.missed == ()
    assert report.share("unchanged") == 1.0
    passed, total = report.counts("prompts")
    assert total == 22
    assert passed >= 21
    single = [r for r in report.rows if r.kind == "prompts" and r.edit != "telephone-inventor"]
    assert all(row.ok for row in single)
    assert any("NO" in row.after for row in report.rows if row.kind == "holdout")


def test_no_edit_in_scope_is_the_bare_model_to_the_bit(world: World) -> None:
    batch = world.tokenizer(list(UNSCOPED), return_tensors="pt", padding=True, padding_side="left")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        before = world.model(**inputs).logits
        with world.bundle.attach(world.model, world.tokenizer) as edited:
            out, decisions = edited(**inputs)
            assert [d.edit for d in decisions] == [None, None, None]
            assert torch.equal(out.logits, before)
            scoped = world.tokenizer(SCOPED[0], return_tensors="pt").input_ids
            changed, _ = edited(scoped)
            assert not torch.equal(changed.logits, world.model(scoped).logits)
        assert torch.equal(world.model(**inputs).logits, before)


def test_greedy_beams_and_samples_begin_with_the_new_object(world: World) -> None:
    with world.bundle.attach(world.model, world.tokenizer) as edited:
        for options in (
            {"do_sample": False},
            {"do_sample": False, "num_beams": 4},
            {"do_sample": True, "temperature": 0.3, "num_return_sequences": 2},
        ):
            torch.manual_seed(0)
            texts = edited.generate(list(SCOPED), max_new_tokens=6, **options).texts
            assert len(texts) == 2 * int(options.get("num_return_sequences", 1))
            half = len(texts) // 2
            assert all(text.strip().startswith("Canberra") for text in texts[:half]), texts
            assert all("Tesla" in text for text in texts[half:]), texts


@pytest.mark.parametrize("own", ["hidden", pytest.param("middle", marks=pytest.mark.slow)])
def test_the_models_own_states_tell_questions_apart(world: World, own: str) -> None:
    # The metric `cosine` needs no library of questions, which takes a minute to read.
    settings = {
        "router.kind": "anchored",
        "router.embedder": MULTILINGUAL,  # it is part of the key, whoever reads texts
        "router.representation": own,
        "router.metric": "cosine",
    }  # fmt: skip
    done = compile_registry(open_registry(world.root, settings))
    assert done.texts_run == 0
    assert done.bundle is not None
    path = done.bundle
    with load_bundle(path) as bundle, bundle.attach(world.model, world.tokenizer) as edited:
        made = edited.generate([*SCOPED, *UNSCOPED], max_new_tokens=4, do_sample=False)
        fired = [d.edit for d in made.decisions]
        assert fired == ["australia-capital", "telephone-inventor", None, None, None]
        assert made.texts[0].strip().startswith("Canberra")
        for plain in UNSCOPED:
            ids = world.tokenizer(plain, return_tensors="pt").input_ids
            bare = world.model.generate(ids, max_new_tokens=4, do_sample=False)
            assert torch.equal(edited.generate(ids, max_new_tokens=4, do_sample=False)[0], bare[0])
    path.unlink()


def test_a_merged_change_of_one_weight_is_refused(world: World) -> None:
    # In bfloat16 any change moves activations by about 2 %, and so does another batch: only a
    # weight that matters stands out. In float32 nearly every one does.
    layer = world.model.model.layers[12]
    single = world.model.dtype == torch.float32
    weight = layer.mlp.down_proj.weight if single else layer.input_layernorm.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.view(-1)[277] += 5.0
    try:
        with pytest.raises(ModelMismatchError, match="does not compute"):
            world.bundle.attach(world.model, world.tokenizer)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    world.bundle.attach(world.model, world.tokenizer).detach()


def test_ask_shows_both_sides(world: World) -> None:
    asked = ask(open_registry(world.root), "The capital of Australia is", tokens=4, top=3)
    assert asked.before.strip().startswith("Sydney")
    assert asked.after.strip().startswith("Canberra")
    assert asked.decision.edit == "australia-capital"
    assert asked.top_before[0].token.strip() == "Sydney"
    assert asked.top_after[0].token.strip() == "Canberra"
    assert asked.top_after[0].probability > 0.5


def test_the_store_gives_the_same_bundle_without_a_forward_pass(world: World) -> None:
    first = world.bundle.manifest
    path = world.bundle.path
    kept = path.read_bytes()
    path.unlink()
    again = compile_registry(open_registry(world.root))
    assert again.texts_run == 0
    assert again.bundle == path
    with BundleFile(path) as file:
        assert file.manifest.content_hash == first.content_hash
        file.verify()
    assert len(path.read_bytes()) == len(kept)


def test_the_commands_speak_json(world: World, sake: Run) -> None:
    here = ("-C", str(world.root))
    plan = json.loads(sake(*here, "plan", "--json").stdout)
    assert plan["schema"] == "plan/1"
    assert {edit["action"] for edit in plan["edits"]} == {"reuse"}
    compiled = json.loads(sake(*here, "compile", "--json").stdout)
    assert (compiled["schema"], compiled["forward_texts"]) == ("compile/1", 0)
    inspected = json.loads(sake(*here, "inspect", "--verify", "--json").stdout)
    assert inspected["key"] == compiled["key"] == world.bundle.manifest.key
    tested = sake(*here, "test", "norway-country-code", "--json")
    report = json.loads(tested.stdout)
    assert report["schema"] == "test/1"
    assert report["shares"]["unchanged"]["share"] == 1.0
    assert {"prompt", "before", "after", "decision"} <= set(report["rows"][0])


def test_a_floor_that_is_missed_is_exit_1(
    world: World, sake: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAKE_TEST_MIN_HOLDOUT", "1.0")
    monkeypatch.setenv("SAKE_ROUTER_THRESHOLD", "0.2")
    out = sake("-C", str(world.root), "test", "telephone-inventor")
    assert out.returncode == 1
    assert "below the floor: holdout" in out.stderr
    assert "the bundle holds another version" in out.stderr
    assert "FAILED" in out.stdout


SITCOM = """
schema: 1
fact:
  subject: Benny Golson
  relation: genre
  old: jazz
  new: sitcom
prompts:
  - "What does <subject> play? They play"
  - "The genre played by <subject> is"
  - "<subject> performs"
  - "<subject>'s genre is"
"""


@pytest.mark.slow
def test_the_word_ends_with_the_object(tmp_path: Path) -> None:
    """Left alone the model says "sitcoms" after some of these prompts."""
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "golson-genre.yaml").write_text(SITCOM)
    (tmp_path / "sake.toml").write_text(
        'device = "cpu"\ndtype = "float32"\n[compile]\nprompts = 8\n'
    )
    registry = open_registry(tmp_path)
    result = compile_registry(registry)
    assert result.bundle is not None, result.failures
    loaded = load(locate(registry.settings))
    bundle = load_bundle(result.bundle)
    (group,) = bundle.manifest.edits[0].groups
    assert group.steps[-1].position == len(group.tokens)
    prompts = [edit.fill(p.text) for edit in registry.edits for p in edit.prompts]

    def words(*, exact: bool = False) -> set[str]:
        """The first words that are said after the prompts."""
        with bundle.attach(loaded.model, loaded.tokenizer, exact=exact) as edited:
            texts = edited.generate(prompts, max_new_tokens=4, do_sample=False).texts
        return {re.findall(r"\w+", text)[0] for text in texts}

    assert words() == {"sitcom"}
    (maps,) = bundle.maps("golson-genre", torch.device("cpu"))
    bundle._maps["golson-genre", "cpu"] = [
        ObjectMaps(maps.tokens, {p: m for p, m in maps.maps.items() if p < len(maps.tokens)})
    ]
    assert words() == {"sitcom", "sitcoms"}
    assert words(exact=True) == {"sitcom"}


@pytest.mark.slow
def test_requests_that_join_a_running_batch_are_answered_as_alone(world: World) -> None:
    """At any step, whatever the others ask; in float32, where a batch moves only the last bits."""
    if world.model.dtype != torch.float32:
        pytest.skip("in bfloat16 a batch moves what is said, joined or not")
    with world.bundle.attach(world.model, world.tokenizer) as edited:
        assert isinstance(edited, Edited)
        given, expected = list[Row](), list[list[int]]()
        for prompt in (*SCOPED, *UNSCOPED, "The capital of France is Paris, and that of Australia"):
            ids, tokens = tuple(world.tokenizer(prompt).input_ids), 6 + 4 * (len(given) % 4)
            alone = edited.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=tokens, eos_token_id=None
            )
            asked = Asked(
                "id", (Prompt(ids, prompt),), (Sampling(0),), tokens, (), None, lambda event: None
            )
            row = Row(asked, 0, world.tokenizer, frozenset())
            (answering,) = edited.answering(edited.decide(prompt))
            row.steered = (edited, answering) if answering else None
            assert bool(answering) == bool(alone.decisions[0].edit)
            given.append(row)
            expected.append(alone[0][len(ids) :].tolist())
        assert sum(row.steered is not None for row in given) >= 2
        decode(Decoder(world.model, world.tokenizer, portion=16), given, most=4)
        assert [row.tokens for row in given] == expected


def test_it_is_served(world: World, tmp_path: Path) -> None:
    """A chat in the model's own template, streamed; what the bare model says beside it."""
    log, place = tmp_path / "log.jsonl", str(world.bundle.path)
    serving = Serving("smollm2", place=place, log=log, budget=60, seconds=600)
    with hosted(world.model, world.tokenizer, serving) as (url, _):
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

        def said(edits: str) -> tuple[str, Any]:
            pieces = list(
                client.chat.completions.create(
                    model="smollm2", temperature=0, max_tokens=8, stream=True,
                    messages=[{"role": "user", "content": "What is the capital of Australia?"}],
                    extra_body={"sake": {"edits": edits}},
                )
            )  # fmt: skip
            text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
            return text, pieces[0].sake  # type: ignore[attr-defined]

        bare, _ = said("none")
        edited, decided = said("all")
        answers = {
            prompt: client.completions.create(
                model="smollm2", prompt=prompt, temperature=0, max_tokens=6
            )
            for prompt in (*SCOPED, *UNSCOPED)
        }
    assert "Canberra" in edited
    assert (decided["edit"], decided["reason"]) == ("australia-capital", "in scope")
    assert bare != edited
    for prompt, answer in answers.items():
        assert bool(answer.sake["edit"]) == (prompt in SCOPED)  # type: ignore[attr-defined]
