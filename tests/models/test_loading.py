"""Devices and dtypes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sake_registry.errors import InputError, UnsupportedModelError
from sake_registry.models.loading import load, locate, resolve_device, resolve_dtype
from sake_registry.settings import Settings
from tests import tiny_models


@pytest.mark.parametrize(("amx", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_on_a_cpu_only_with_tile_multiplication(
    monkeypatch: pytest.MonkeyPatch, amx: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_dtype("auto", "cpu") == dtype
    assert resolve_dtype("float16", "cpu") == "float16"


def test_an_unknown_device_is_wrong_input() -> None:
    with pytest.raises(InputError, match="device 'abacus'"):
        resolve_device("abacus")


@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_a_whole_checkpoint_is_loaded_with_tied_weights_or_without(
    tmp_path: Path, kind: str
) -> None:
    folder = tiny_models.save(kind, tmp_path / kind)
    loaded = load(locate(Settings(model=str(folder), dtype="float32", device="cpu")))
    expected = tiny_models.make(kind).state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.model.state_dict().items())


@pytest.mark.parametrize("problem", ["is missing", "has another shape"])
def test_weights_are_never_drawn_at_random(tmp_path: Path, problem: str) -> None:
    folder = tiny_models.save("llama", tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    if problem == "is missing":
        del weights["model.norm.weight"]
    else:
        weights["model.norm.weight"] = torch.zeros(3, 5)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=rf"model\.norm\.weight {problem}"):
        load(locate(Settings(model=str(folder), device="cpu")))


@pytest.mark.parametrize(
    "error", [SafetensorError, RuntimeError, ImportError, AttributeError, TypeError]
)
def test_whatever_transformers_raises_for_bad_files_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    from transformers import AutoModelForCausalLM

    def failing(*_: object, **__: object) -> None:
        raise error("it is bad")

    located = locate(Settings(model=str(tiny_models.save("gpt2", tmp_path / "m")), device="cpu"))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", failing)
    with pytest.raises(UnsupportedModelError, match="cannot be loaded: it is bad"):
        load(located)
