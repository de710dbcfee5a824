"""The model hash is the identity of what produces activations, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sake_registry.errors import ModelNotFoundError
from sake_registry.files import FileMemory
from sake_registry.models import fingerprint
from sake_registry.models.fingerprint import identify_model
from tests import tiny_models

EMBEDDER = "0" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.save("llama", tmp_path / "model")


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_sharding_and_pickling_do_not_change_it(folder: Path, tmp_path: Path) -> None:
    whole = identify_model(folder, EMBEDDER)
    model = tiny_models.make("llama")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    tiny_models.tokenizer().save_pretrained(tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert identify_model(tmp_path / "sharded", EMBEDDER) == whole
    pickled = tmp_path / "pickled"
    model.save_pretrained(pickled)
    tiny_models.tokenizer().save_pretrained(pickled)
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert identify_model(pickled, EMBEDDER) == whole


def test_one_bit_of_one_weight_changes_the_checkpoint(folder: Path) -> None:
    before = identify_model(folder, EMBEDDER)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    after = identify_model(folder, EMBEDDER)
    assert after.differences(before) == ["checkpoint"]
    assert after.hash != before.hash


@pytest.mark.parametrize("change", ["name", "dtype", "shape"])
def test_names_dtypes_and_shapes_count(folder: Path, change: str) -> None:
    before = identify_model(folder, EMBEDDER)
    tensors = load_file(folder / "model.safetensors")
    name = "model.norm.weight"
    if change == "name":
        tensors["renamed"] = tensors.pop(name)
    elif change == "dtype":
        tensors[name] = tensors[name].view(torch.int32)
    else:
        tensors[name] = tensors[name].reshape(4, 8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert identify_model(folder, EMBEDDER).checkpoint != before.checkpoint


def test_what_shapes_the_computation_counts_and_the_rest_does_not(folder: Path) -> None:
    before = identify_model(folder, EMBEDDER)
    edit_json(folder / "config.json", transformers_version="0.0", use_cache=False)
    edit_json(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("hello")
    assert identify_model(folder, EMBEDDER) == before
    edit_json(folder / "config.json", rms_norm_eps=1e-3)
    assert identify_model(folder, EMBEDDER).differences(before) == ["config"]


def test_the_tokenizer_and_the_embedder_count(folder: Path) -> None:
    before = identify_model(folder, EMBEDDER)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    edit_json(folder / "tokenizer.json", padding={"strategy": "BatchLongest"})
    assert identify_model(folder, EMBEDDER) == before
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert identify_model(folder, EMBEDDER).differences(before) == ["tokenizer"]
    assert identify_model(folder, "1" * 64).differences(before) == ["tokenizer", "embedder"]


def test_it_is_computed_once_for_each_state_of_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = fingerprint._safetensors
    monkeypatch.setattr(fingerprint, "_safetensors", lambda file: read.append(file) or real(file))
    first = identify_model(folder, EMBEDDER)
    assert identify_model(folder, EMBEDDER) == first
    assert len(read) == 1
    # The same bytes under the same name, but another file: looked at again.
    path = folder / "model.safetensors"
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    assert identify_model(folder, EMBEDDER) == first
    assert len(read) == 2


def test_verifying_reads_every_file_again_and_names_what_is_not_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = FileMemory(tmp_path / "memory.json")
    monkeypatch.setattr(fingerprint, "memory", lambda: memory)
    pickled = tiny_models.save("llama", tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    for model in (folder, pickled):
        identify_model(model, EMBEDDER)
    names = (
        folder / "model.safetensors", folder / "tokenizer.json",
        pickled / "pytorch_model.bin", pickled / "tokenizer.json",
    )  # fmt: skip
    assert fingerprint.verify_memory() == dict.fromkeys(names, True)
    known = json.loads(memory.path.read_text())
    known[f"tensors:{names[0]}"]["value"][0][3] = "0" * 64
    memory.path.write_text(json.dumps(known))
    assert fingerprint.verify_memory() == {**dict.fromkeys(names, True), names[0]: False}
    assert fingerprint.verify_memory() == dict.fromkeys(names[1:], True)


def test_a_live_model_has_the_hash_of_its_checkpoint(folder: Path) -> None:
    for kind in ("llama", "gemma2", "gpt2"):  # tied and untied
        saved = tiny_models.save(kind, folder.parent / kind)
        model = tiny_models.make(kind)
        expected = identify_model(saved, EMBEDDER).checkpoint
        assert fingerprint.live_checkpoint(model) == expected


def test_damaged_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(
        ModelNotFoundError, match=r"model\.safetensors is not a sound safetensors file"
    ):
        identify_model(folder, EMBEDDER)


@pytest.mark.parametrize("damage", ["empty", "cut", "header"])
def test_incomplete_weights_are_named(folder: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    header = b'{"a": {"dtype": "F32"}}'
    path.write_bytes(
        {
            "empty": b"",
            "cut": path.read_bytes()[:-4],
            "header": len(header).to_bytes(8, "little") + header,
        }[damage]
    )
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors is no") as caught:
        identify_model(folder, EMBEDDER)
    assert caught.value.hint == "fetch the model once more"


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}']
)
def test_a_malformed_index_is_named(folder: Path, text: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors\.index\.json is n"):
        identify_model(folder, EMBEDDER)


def test_pickles_of_old_are_read_and_damaged_ones_named(folder: Path) -> None:
    whole = identify_model(folder, EMBEDDER)
    tensors = load_file(folder / "model.safetensors")
    pickled = folder / "pytorch_model.bin"
    torch.save(tensors, pickled, _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").unlink()
    assert identify_model(folder, EMBEDDER) == whole
    for data in (b"", b"no weights at all", pickled.read_bytes()[:-100]):
        pickled.write_bytes(data)
        with pytest.raises(ModelNotFoundError, match=r"pytorch_model\.bin is no"):
            identify_model(folder, EMBEDDER)


def test_code_of_a_model_counts_where_its_configuration_names_it(folder: Path) -> None:
    plain = identify_model(folder, EMBEDDER)
    (folder / "modeling.py").write_text("a = 1")
    assert identify_model(folder, EMBEDDER) == plain
    edit_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling.Model"})
    before = identify_model(folder, EMBEDDER)
    (folder / "modeling.py").write_text("a = 2")
    assert identify_model(folder, EMBEDDER).differences(before) == ["config"]


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
        torch.float8_e5m2, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.bool,
    ],
    ids=str,
)  # fmt: skip
def test_a_tensor_has_the_row_of_its_safetensors_file(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    save_file({"a": tensor}, tmp_path / "a.safetensors")
    assert [list(fingerprint.tensor_row("a", tensor))] == [
        [name, kind, tuple(shape), data]
        for name, kind, shape, data in fingerprint._safetensors(tmp_path / "a.safetensors")
    ]


@pytest.mark.parametrize("name", ["added_tokens.json", "special_tokens_map.json"])
def test_added_tokens_count_where_no_fast_tokenizer_holds_them(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    fast = identify_model(folder, EMBEDDER)
    (folder / name).write_text('{"<a>": 1}')
    assert identify_model(folder, EMBEDDER) == fast
    (folder / "tokenizer.json").unlink()
    before = identify_model(folder, EMBEDDER)
    (folder / name).write_text('{"<b>": 1}')
    assert identify_model(folder, EMBEDDER).differences(before) == ["tokenizer"]
