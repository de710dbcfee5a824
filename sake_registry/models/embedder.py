"""The prompt embedder: a text to a point in the space in which scope is measured."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.sources import (
    BAD_FILES,
    EMBEDDED_EMBEDDERS,
    MULTILINGUAL_FILES,
    fetch,
    quiet_transformers,
    reason,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from sake_registry.models.multilingual import MultilingualEncoder

    Embed = Callable[[Sequence[str]], Tensor]

MAX_TOKENS = 256


def locate_embedder(name: str, *, local: bool = False) -> Path:
    """The folder of an embedder: `use-multilingual`, `minilm`, a hub id or a folder.

    Args:
        local: fetch nothing.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    return fetch(resolve(name, embedded=EMBEDDED_EMBEDDERS), EMBEDDED_EMBEDDERS, local=local)


def open_embedder(folder: Path) -> Embedder | MultilingualEncoder:
    """The embedder of a folder: an encoder of transformers, or the multilingual one. It is loaded
    once, as long as the folder's files are the same.

    Raises:
        UnsupportedModelError: the folder holds neither.
    """
    from sake_registry.models.multilingual import multilingual

    if all((folder / name).is_file() for name in MULTILINGUAL_FILES):
        return multilingual(folder)
    files = ((file, file.stat()) for file in sorted(folder.glob("*")) if file.is_file())
    return _encoder(folder, tuple((file, s.st_size, s.st_mtime_ns) for file, s in files))


@lru_cache(maxsize=2)
def _encoder(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> Embedder:
    return Embedder(folder)


class Embedder:
    """Sentence embeddings: the mean of the last hidden states, not normalised (4.1, A.3).

    Raises:
        UnsupportedModelError: the folder holds no encoder, or one with code of its own.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._lock = threading.Lock()
        # Left open, transformers asks on a terminal whether to run a folder's code.
        where: Any = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet_transformers():
                self._tokenizer = AutoTokenizer.from_pretrained(folder, **where)
                self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, **where).eval()
        except BAD_FILES as error:
            raise UnsupportedModelError(
                f"{folder} cannot be loaded: {reason(error)}",
                hint="an encoder of transformers is needed, without code of its own",
            ) from error

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch_size: int = 32) -> Tensor:
        """Embeddings of texts, (texts, width) float32; each at most 256 tokens long."""
        rows = torch.empty(len(texts), self.width)
        by_length = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        for start in range(0, len(texts), batch_size):
            chosen = by_length[start : start + batch_size]
            with self._lock:  # setting padding on a fast tokenizer is not safe across threads
                batch = self._tokenizer(
                    [texts[i] for i in chosen],
                    padding=True,
                    truncation=True,
                    max_length=MAX_TOKENS,
                    return_tensors="pt",
                )
            hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            rows[chosen] = (hidden * mask).sum(1) / mask.sum(1)
        return rows


def remembering(embed: Embed) -> Embed:
    """An embedder that embeds each text once, however many routers ask."""
    known: dict[str, Tensor] = {}

    def remembered(texts: Sequence[str]) -> Tensor:
        if not texts:
            return embed(texts)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return remembered
