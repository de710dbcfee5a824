"""Content that took work to compute, kept under the key of what it was computed from.

An object is named tensors with a small note, in one safetensors file that carries the hash of
its data. Objects are never changed, only added; one that does not check out counts as missing
and is built again. Writers hold the store's lock, which the system frees when a process dies.

The store remembers the models that it was compiled for, by hash and dtype: without them, nobody
could tell which objects a version of an edit has. Listing and verifying need no torch.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from sake_registry.digests import array_digest
from sake_registry.files import below, locked, remove, remove_leftovers, write_bytes, write_text
from sake_registry.values import Value
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

    from sake_registry.digests import Row

log = logging.getLogger(__name__)

Kind = Literal[
    "activations", "maps", "routes", "probe",  # of a compile
    "metric",  # of an embedder or of a model's states: one serves every edit
    "covariance", "replies", "calibration",  # of a benchmark
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
COMPILED: frozenset[Kind] = frozenset({"activations", "maps", "routes", "probe"})
LOCK_SECONDS = 2.0
SUFFIX = ".safetensors"
_KEY = re.compile(r"[0-9a-f]{64}")
# What safetensors calls the dtypes that torch writes.
_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip


class StoredObject(Value):
    """An object that is in the store: where, and how many bytes it takes."""

    kind: Kind
    key: str
    path: Path = Field(exclude=True)
    bytes: int


class StoredModel(Value):
    """A model that the store was compiled for; `name` is what it was called then."""

    name: str
    hash: str
    dtype: str


class Store:
    """Objects in a folder, by kind and key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: Kind, key: str) -> Path:
        """Where an object lies.

        Raises:
            StateError: a part of the path is a link.
        """
        return below(self.folder, self.folder / kind / key[:2] / f"{key}{SUFFIX}")

    def has(self, kind: Kind, key: str) -> bool:
        """Whether an object is there; `get` alone tells whether it is sound."""
        return self.path(kind, key).is_file()

    def get(self, kind: Kind, key: str) -> tuple[dict[str, Tensor], Any] | None:
        """Tensors and note of an object, or None if it is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        path = self.path(kind, key)
        try:
            with safe_open(path, framework="pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be read (%s): it is built again", path, error)
            return None
        if meta.get("digest") != digest(tensors, meta.get("note", "")):
            log.warning("%s is damaged: it is built again", path)
            return None
        return tensors, json.loads(meta["note"])

    def put(self, kind: Kind, key: str, tensors: Mapping[str, Tensor], note: Any) -> None:
        """Write an object, whole or not at all.

        Raises:
            StorageError: the disk is full, read-only, or not ours to write.
        """
        from safetensors.torch import save

        text = json.dumps(note, sort_keys=True, ensure_ascii=False)
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        meta = {"digest": digest(contiguous, text), "note": text}
        data = save(contiguous, metadata=meta)
        write_bytes(self.path(kind, key), data, self.folder)

    def objects(self) -> list[StoredObject]:
        """What is there, by kind and key; whether it is sound, `damage` alone tells."""
        return [
            StoredObject(kind=kind, key=path.stem, path=path, bytes=path.stat().st_size)
            for kind in KINDS
            for path in sorted((self.folder / kind).glob(f"*/*{SUFFIX}"))
            if _KEY.fullmatch(path.stem) and path == self.path(kind, path.stem)
        ]

    def damage(self, stored: StoredObject) -> str | None:
        """What is wrong with an object, in words; None if every byte of it is as it was put."""
        from safetensors import SafetensorError, deserialize

        try:
            data = stored.path.read_bytes()
            parts: Any = deserialize(data)  # type: ignore[no-untyped-call]  # it has no types
        except (SafetensorError, OSError) as error:
            return f"cannot be read: {error}"
        length = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        rows = [
            (name, f"torch.{_DTYPES.get(part['dtype'], '?')}", list(part["shape"]), part["data"])
            for name, part in sorted(parts, key=lambda part: part[0])
        ]
        if meta.get("digest") != _digest(rows, meta.get("note", "")):
            return "its content is not what was written"
        return None

    def remove(self, objects: Iterable[StoredObject]) -> None:
        """Remove objects. Only under the lock.

        Raises:
            StorageError: the store cannot be written.
        """
        for stored in objects:
            remove(stored.path, self.folder)
            with suppress(OSError):  # other objects are left in it
                stored.path.parent.rmdir()

    def remember_model(self, name: str, hash_: str, dtype: str) -> None:
        """Keep a record of a model that is compiled for. Only under the lock.

        Raises:
            StorageError: the store cannot be written.
        """
        path = self.folder / "models" / f"{hash_[:16]}-{dtype}.json"
        if not path.is_file():
            record = StoredModel(name=name, hash=hash_, dtype=dtype)
            write_text(path, json.dumps(record.model_dump()) + "\n", self.folder)

    def models(self) -> list[StoredModel]:
        """The models that were remembered; a record that cannot be read is left out."""
        models = []
        for path in sorted((self.folder / "models").glob("*.json")):
            try:
                models.append(StoredModel.model_validate_json(path.read_bytes()))
            except (OSError, ValueError) as error:
                log.warning(
                    "%s is not a record of a model (%s): left out", path, shorten(str(error), 120)
                )
        return models

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for writing; what a killed writer left is removed.

        Raises:
            LockedError: another process holds it.
            StorageError: the folder cannot be written.
        """
        with locked(self.folder, "compiling into", LOCK_SECONDS):
            for part in (*KINDS, "models"):
                remove_leftovers(below(self.folder, self.folder / part))
            yield


def digest(tensors: Mapping[str, Tensor], note: str = "") -> str:
    """Hash of named tensors (names, dtypes, shapes, bytes) and a note, hexadecimal."""
    import torch

    def rows() -> Iterator[Row]:
        for name in sorted(tensors):
            tensor = tensors[name].detach().cpu().contiguous()
            raw = tensor.reshape(-1).view(torch.uint8)  # numpy knows no bfloat16
            yield name, str(tensor.dtype), tensor.shape, raw.numpy().tobytes()

    return _digest(rows(), note)


def _digest(rows: Iterable[Row], note: str) -> str:
    return array_digest(rows, after=note.encode()).hex()
