"""The model hash: the identity of exactly what produces activations (DESIGN, invariant 4).

It covers the checkpoint's stored tensors (name, dtype, shape, bytes; however they are sharded),
the configuration that shapes the computation, the tokenizer (chat template apart) and the
prompt embedder. No torch, unless weights are stored as a torch pickle.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from sake_registry.digests import digest
from sake_registry.errors import ModelNotFoundError
from sake_registry.models.sources import MULTILINGUAL_FILES, memory, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# What a configuration says besides what is computed.
_CONFIG_NOISE = {
    "_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype", "use_cache",
    "output_attentions", "output_hidden_states", "return_dict", "task_specific_params",
}  # fmt: skip
_TOKENIZER_NOISE = {
    "chat_template", "name_or_path", "_name_or_path", "model_max_length", "padding_side",
    "special_tokens_map_file", "processor_class", "tokenizer_class", "backend", "is_local",
    "local_files_only", "clean_up_tokenization_spaces", "model_input_names", "truncation_side",
}  # fmt: skip
_VOCABULARIES = (
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
    "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Dtypes of torch as safetensors spells them."""


@dataclass(frozen=True)
class ModelIdentity:
    """Hexadecimal hashes of the parts; `hash` is the model hash, over all of them."""

    checkpoint: str
    config: str
    tokenizer: str
    embedder: str

    @property
    def hash(self) -> str:
        return _digest(asdict(self))

    def differences(self, other: ModelIdentity) -> list[str]:
        """The parts in which two identities differ."""
        mine, theirs = asdict(self), asdict(other)
        return [part for part in mine if mine[part] != theirs[part]]


def identify(model: Path, embedder: Path) -> ModelIdentity:
    """The identity of the checkpoint in a folder, with a prompt embedder's.

    Raises:
        ModelNotFoundError: a folder without weights, or with weights that are no weights.
    """
    return identify_model(model, embedder_hash(embedder))


def identify_model(model: Path, embedder: str) -> ModelIdentity:
    """`identify` with an embedder whose hash is known."""
    return ModelIdentity(_checkpoint(model), _config(model), _tokenizer(model), embedder)


def embedder_hash(folder: Path) -> str:
    """The identity of a prompt embedder."""
    if all((folder / name).is_file() for name in MULTILINGUAL_FILES):
        remember = memory()
        return _digest([remember.get(folder / n, "sha256", sha256) for n in MULTILINGUAL_FILES])
    return _digest([_checkpoint(folder), _config(folder), _tokenizer(folder)])


def live_checkpoint(model: Any) -> str:
    """The checkpoint hash of a model in memory, as `save_pretrained` would store it."""
    seen: set[int] = set()
    rows = []
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:  # tied weights are stored once
            seen.add(id(tensor))
            rows.append(tensor_row(name, tensor))
    return hash_tensors(rows)


def hash_tensors(tensors: Iterable[tuple[str, str, tuple[int, ...], str]]) -> str:
    """One hash over (name, dtype as safetensors spells it, shape, hash of the bytes) rows."""
    return _digest(sorted([name, dtype, list(shape), data] for name, dtype, shape, data in tensors))


def verify_memory() -> dict[Path, bool]:
    """Read again every file of a model of which something is remembered; whether that is right.

    What is not is forgotten.
    """
    return memory().verify(
        {
            "tensors": _safetensors,
            "pickled": _pickled,
            "tokenizer": _fast_tokenizer,
            "sha256": sha256,
        }
    )


def _checkpoint(folder: Path) -> str:
    shards, kind = _weight_files(folder)
    read = _safetensors if kind == "tensors" else _pickled
    remember = memory()
    rows: list[Any] = []
    for shard in shards:
        rows += remember.get(shard, kind, read)
    return hash_tensors([(name, dtype, tuple(shape), data) for name, dtype, shape, data in rows])


def _weight_files(folder: Path) -> tuple[list[Path], str]:
    """The files that hold a checkpoint, and what is remembered of each: `tensors`, `pickled`."""
    for single, kind in (("model.safetensors", "tensors"), ("pytorch_model.bin", "pickled")):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            return [folder / single], kind
        if index.is_file():
            weight_map = _json(index).get("weight_map")
            if not (
                isinstance(weight_map, dict)
                and all(isinstance(name, str) for name in weight_map.values())
            ):
                raise _damaged(index, "index of weights")
            names = sorted(set(weight_map.values()))
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise ModelNotFoundError(
                    f"{folder}: {missing[0]} is missing", hint="fetch the model once more"
                )
            return [folder / name for name in names], kind
    raise ModelNotFoundError(f"{folder} holds no weights", hint="fetch the model once more")


def _safetensors(file: Path) -> list[Any]:
    """Rows of one file; the header is read by hand so that no tensor is ever copied."""
    try:
        with (
            file.open("rb") as handle,
            mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _safetensors_rows(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(file, "safetensors file") from error


def _safetensors_rows(data: mmap.mmap) -> list[Any]:
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)

    def row(name: str) -> list[Any]:
        tensor = header[name]
        begin, end = tensor["data_offsets"]
        if not 0 <= begin <= end <= len(data) - start:  # a slice would just be shorter
            raise ValueError(f"the bytes of {name} are missing")
        view = memoryview(data)[start + begin : start + end]
        try:
            return [name, tensor["dtype"], tensor["shape"], hashlib.sha256(view).hexdigest()]
        finally:
            view.release()

    with ThreadPoolExecutor(2) as pool:  # hashing lets go of the interpreter lock
        return list(pool.map(row, sorted(header)))


def _pickled(file: Path) -> list[Any]:
    import torch

    def read(*, mapped: bool) -> Any:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)

    try:
        try:
            tensors = read(mapped=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped
            tensors = read(mapped=False)
        return [list(tensor_row(name, tensor)) for name, tensor in sorted(tensors.items())]
    except (
        RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, UnpicklingError,
    ) as error:  # fmt: skip
        raise _damaged(file, "torch file of weights") from error


def _damaged(file: Path, kind: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"{file} is not a sound {kind}", hint="fetch the model once more")


def tensor_row(name: str, tensor: Any) -> tuple[str, str, tuple[int, ...], str]:
    """The row of a torch tensor, as `hash_tensors` takes it."""
    import torch

    dtype = _DTYPES.get(str(tensor.dtype).removeprefix("torch."), str(tensor.dtype))
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return name, dtype, tuple(tensor.shape), hashlib.sha256(data).hexdigest()


def _config(folder: Path) -> str:
    config = _json(folder / "config.json")
    computed = _digest(_without(config, _CONFIG_NOISE))
    if "auto_map" not in config:
        return computed
    # The model comes with code, which computes as much as the configuration does.
    code = {str(file.relative_to(folder)): sha256(file) for file in folder.rglob("*.py")}
    return _digest([computed, code])


def _fast_tokenizer(file: Path) -> str:
    # Padding and truncation are what the last caller set, not what the tokenizer is.
    return _digest(_without(_json(file), {"padding", "truncation"}))


def _tokenizer(folder: Path) -> str:
    parts: dict[str, Any] = {}
    fast = folder / "tokenizer.json"
    if fast.is_file():
        parts["tokenizer.json"] = memory().get(fast, "tokenizer", _fast_tokenizer)
    else:
        parts |= {n: sha256(folder / n) for n in _VOCABULARIES if (folder / n).is_file()}
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        parts["settings"] = _without(_json(settings), _TOKENIZER_NOISE)
    return _digest(parts)


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelNotFoundError(f"{file}: {error.strerror}", hint="fetch it once more") from error
    except ValueError as error:
        raise ModelNotFoundError(f"{file} is not valid JSON", hint="fetch it once more") from error
    if not isinstance(value, dict):
        raise ModelNotFoundError(f"{file} is not a JSON object", hint="fetch it once more")
    return value


def _without(mapping: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def _digest(value: Any) -> str:
    return digest(value, ensure_ascii=True)
