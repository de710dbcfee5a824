"""Content that took work to compute, kept under the key of what it was computed from.

An object is named tensors with a small note, in one safetensors file that carries the hash of
its data. Objects are never changed, only added; one that does not check out counts as missing
and is built again. Writers hold the store's lock, which the system frees when a process dies.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Literal

from sake_registry.files import locked, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

log = logging.getLogger(__name__)

Kind = Literal[
    "activations", "maps", "routes", "probe",  # of a compile
    "covariance", "replies", "calibration",  # of a benchmark
]  # fmt: skip
LOCK_SECONDS = 2.0


class Store:
    """Objects in a folder, by kind and key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: Kind, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.safetensors"

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
        with replacing(self.path(kind, key)) as temporary:
            temporary.write_bytes(data)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the store for writing; what a killed writer left is removed.

        Raises:
            LockedError: another process holds it.
            StorageError: the folder cannot be written.
        """
        return locked(self.folder, "compiling into", LOCK_SECONDS)


def digest(tensors: Mapping[str, Tensor], note: str = "") -> str:
    """Hash of named tensors (names, dtypes, shapes, bytes) and a note, hexadecimal."""
    import torch

    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8)  # numpy knows no bfloat16
        head = f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode()
        state.update(len(head).to_bytes(8, "little") + head)
        state.update(raw.numpy().tobytes())
    state.update(note.encode())
    return state.hexdigest()
