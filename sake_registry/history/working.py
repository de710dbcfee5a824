"""Files of the working tree, changed so that they can be put back."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sake_registry.files import replacing, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextmanager
def replaced(root: Path, contents: Mapping[str, bytes | None]) -> Iterator[None]:
    """Give files new contents (None: remove); if the block raises, put the old ones back.

    Raises:
        StorageError: a file cannot be written; those before it are put back.
    """
    before: dict[str, tuple[bytes | None, int]] = {}
    try:
        for path, data in contents.items():
            file = root / path
            there = file.is_file()
            before[path] = (file.read_bytes(), file.stat().st_mode) if there else (None, 0)
            put(file, data)
        yield
    except BaseException:
        for path, (old, mode) in before.items():
            put(root / path, old)
            if old is not None:
                (root / path).chmod(stat.S_IMODE(mode))
        raise


def put(file: Path, data: bytes | None) -> None:
    """Write a file, whole or not at all; None removes it.

    Raises:
        StorageError: the disk is full, read-only, or not ours to write.
    """
    if data is None:
        with storage_errors(file):
            file.unlink(missing_ok=True)
        return
    with replacing(file) as temporary:
        temporary.write_bytes(data)
