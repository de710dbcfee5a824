"""A registry without edits: its bundle is a bundle, and the model with it is the bare model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from click.testing import CliRunner

from sake_registry import load_bundle, open_registry
from sake_registry.commands import cli
from sake_registry.models.loading import load, locate
from sake_registry.routing.metric import MetricKind
from tests import tiny_models
from tests.workshop import IN_SCOPE, SETTINGS


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and a store that keeps what the metrics learn."""
    folder = tmp_path_factory.mktemp("empty")
    return tiny_models.save("gpt2", folder / "tiny-gpt2"), folder / "store"


@pytest.mark.parametrize("metric", get_args(MetricKind))
def test_an_empty_registry_compiles_to_a_bundle_that_attaches(
    metric: str, places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, store = places
    settings = SETTINGS.format(model=model, dtype="float32").replace("euclidean", metric)
    (tmp_path / "sake.toml").write_text(settings)
    monkeypatch.setenv("SAKE_STORE", str(store))
    (tmp_path / "edits").mkdir()
    done = CliRunner().invoke(cli, ["-C", str(tmp_path), "compile", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outcomes"] == {}
    (path,) = (tmp_path / "bundles").iterdir()
    done = CliRunner().invoke(cli, ["-C", str(tmp_path), "inspect", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["edits"] == []

    bundle = load_bundle(path)
    assert bundle.manifest.metric.kind == metric
    assert bool(bundle.manifest.metric.topics) == (metric == "contrast")
    loaded = load(locate(open_registry(tmp_path).settings))
    batch = loaded.tokenizer(list(IN_SCOPE), return_tensors="pt", padding=True)
    with torch.no_grad():
        bare = loaded.model(**batch).logits
        with bundle.attach(loaded.model, loaded.tokenizer) as edited:
            output, decisions = edited(**batch)
    assert torch.equal(output.logits, bare)
    assert [decision.nearest for decision in decisions] == [None, None]
