"""Benchmark runs that several files look at: each is made once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from sake_bench import factory
from sake_bench.datasets.reading import read_data
from sake_bench.factory import Request
from sake_bench.replies import ReplyCache
from sake_registry.compiler import build
from sake_registry.settings import CompileSettings, RouterSettings, Settings
from tests import tiny_models
from tests.bench.datasets.entries import write_data
from tests.bench.made_up import (
    DOUBTS,
    FACTS,
    METHODS,
    SAID,
    Done,
    Runs,
)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model that says one of a few words next, most of the time."""
    folder = tmp_path_factory.mktemp("model") / "tiny-llama"
    made, words = tiny_models.make("llama"), tiny_models.tokenizer()
    with torch.no_grad():
        made.get_output_embeddings().weight[
            [words(f" {word}").input_ids[0] for word in SAID]
        ] *= 5  # fmt: skip
    made.save_pretrained(folder)
    talking = copy.deepcopy(words)
    talking.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    talking.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random embedder: texts that share words are near each other."""
    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    words = tiny_models.tokenizer()
    config = BertConfig(
        vocab_size=len(words), hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    made = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        made.encoder.layer[-1].output.LayerNorm.weight.mul_(4)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def settings(model: Path, embedder: Path) -> Settings:
    return Settings(
        model=str(model),
        dtype="float32",
        compile=CompileSettings(prompts=12, keep_failed=True, targets=["twice"]),
        router=RouterSettings(kind="anchored", embedder=str(embedder)),
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Runs:
    path = write_data(tmp_path_factory.mktemp("data"), *FACTS)
    doubts = [{"id": name, "template": template} for name, template in DOUBTS.items()]
    (path.parent / "doubt_templates.json").write_text(json.dumps({"templates": doubts}))
    request = Request(
        data=read_data(path), file=path, methods=METHODS, work=path.parent, limit=6,
        curves=("threshold", "prompts"),
    )  # fmt: skip
    return Runs(request, settings)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> Done:
    work = tmp_path_factory.mktemp("work")
    result = runs(work)
    return Done(runs, work, result, runs.rows)


@pytest.fixture
def no_text_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs a text through the model fails (attaching proves itself all the same)."""

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a text is run")

    for owner, name in ((ReplyCache, "_run"), (build, "collect"), (factory, "read_last")):
        assert callable(getattr(owner, name))
        monkeypatch.setattr(owner, name, fail)


@pytest.fixture(scope="session")
def questioned(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> Done:
    """A run on all records, in which every edit is scored."""
    work = tmp_path_factory.mktemp("work")
    mine = Runs(runs.request, runs.settings)
    result = mine(
        work, limit=None, threshold=5.0, methods=("base", "sake", "sake-paper"),
        curves=("loads",), questions=True,
    )  # fmt: skip
    return Done(mine, work, result, mine.rows)
