"""A located model, known by its identity before a weight is loaded, and a loaded one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.errors import InputError, SetupError, UnsupportedModelError
from sake_registry.models.fingerprint import ModelIdentity, identify
from sake_registry.models.sources import (
    BAD_FILES,
    ModelSource,
    fetch,
    quiet_transformers,
    reason,
    resolve,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sake_registry.models.embedder import Embedder
    from sake_registry.models.multilingual import MultilingualEncoder
    from sake_registry.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocatedModel:
    """A model on this machine, not loaded: enough to compute every key."""

    source: ModelSource
    folder: Path
    embedder_folder: Path
    embedder_name: str
    dtype: str
    device: str
    identity: ModelIdentity

    @property
    def hash(self) -> str:
        return self.identity.hash


@dataclass
class LoadedModel:
    """A model with its tokenizer and prompt embedder, ready to run."""

    located: LocatedModel
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def embedder(self) -> Embedder | MultilingualEncoder:
        from sake_registry.models.embedder import open_embedder

        return open_embedder(self.located.embedder_folder)


def locate(settings: Settings, name: str | None = None) -> LocatedModel:
    """Find the model that the settings (or `name`) mean, and its identity.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    device = resolve_device(settings.device)
    return _located(
        resolve(name or settings.model, settings.aliases),
        settings.router.embedder,
        dtype=resolve_dtype(settings.dtype, device),
        device=device,
    )


def relocate(located: LocatedModel) -> LocatedModel:
    """Find on this machine what another one located; whether it is the same, its hash tells.

    Raises:
        InputError: its device is none of this machine.
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    device = resolve_device(located.device)
    return _located(located.source, located.embedder_name, dtype=located.dtype, device=device)


def _located(source: ModelSource, embedder: str, *, dtype: str, device: str) -> LocatedModel:
    from sake_registry.models.embedder import locate_embedder

    folder, embedder_folder = fetch(source), locate_embedder(embedder)
    return LocatedModel(
        source=source,
        folder=folder,
        embedder_folder=embedder_folder,
        embedder_name=embedder,
        dtype=dtype,
        device=device,
        identity=identify(folder, embedder_folder),
    )


def load(located: LocatedModel, *, trust_remote_code: bool = False) -> LoadedModel:
    """Load a located model in its dtype on its device, in evaluation mode.

    Raises:
        UnsupportedModelError: no causal language model that transformers can load, whole.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(located.folder, trust_remote_code=trust_remote_code)
    try:
        with quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                located.folder,
                dtype=getattr(torch, located.dtype),
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
            )
        model, loading_info = loaded
        _refuse_gaps(located.folder, loading_info)
        model = model.to(located.device).eval()
    except torch.OutOfMemoryError as error:
        raise SetupError(
            f"{located.source.name} does not fit into the memory of {located.device}",
            hint="--dtype bfloat16 halves it; --device cpu uses the main memory",
        ) from error
    except (*BAD_FILES, SafetensorError) as error:
        raise _cannot_load(located.folder, error) from error
    return LoadedModel(located, model, tokenizer)


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer in a model's folder, with a token to pad with."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except BAD_FILES as error:
        raise _cannot_load(folder, error) from error
    if tokenizer.pad_token is None:
        # Padding is masked: any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _refuse_gaps(folder: Path, loading_info: dict[str, Any]) -> None:
    """Refuse a checkpoint of which weights are missing: transformers draws them at random."""
    for problem, keys in (
        ("is missing", loading_info["missing_keys"]),
        (
            "has another shape than the model's",
            (key for key, *_ in loading_info["mismatched_keys"]),
        ),
    ):
        for key in sorted(keys):
            raise UnsupportedModelError(
                f"{folder} cannot be loaded: the weight {key} {problem}",
                hint="fetch the model once more; its weights and its config.json do not agree",
            )


def _cannot_load(folder: Path, error: Exception) -> UnsupportedModelError:
    hint = "a causal language model of transformers is needed"
    if "trust_remote_code" in str(error):
        hint = "its code comes with the model: --trust-remote-code runs it, if you trust it"
    return UnsupportedModelError(f"{folder} cannot be loaded: {reason(error)}", hint=hint)


def resolve_device(device: str) -> str:
    """`auto` is the GPU if there is one.

    Raises:
        InputError: no device of that name.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    # torch raises RuntimeError, AssertionError or NotImplementedError, by build and device.
    except Exception as error:
        raise InputError(
            f"device '{device}': {reason(error)}", hint="cpu, cuda, cuda:1, mps"
        ) from error
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """`auto` is bfloat16 where it is faster than float32, told from the hardware's abilities.

    Measured (docs/decisions/0001-auto-dtype.md): on CPUs only tile multiplication (AMX) makes
    it faster; AVX-512 with bfloat16 instructions alone is slower than float32.
    """
    import torch

    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)
    return "bfloat16" if device == "cpu" and amx() else "float32"
