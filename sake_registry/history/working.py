"""Files of the working tree, changed so that they can be put back."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sake_registry.files import below, remove, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextmanager
def replaced(root: Path, contents: Mapping[str, bytes | None]) -> Iterator[None]:
    """Give files new contents (None: remove); if the block raises, put the old ones back.

    Raises:
        StateError: a file is a link, or is reached through one.
        StorageError: a file cannot be written; those before it are put back.
    """
    before: dict[str, tuple[bytes | None, int]] = {}
    try:
        for path, data in contents.items():
            file = below(root, root / path)
            there = file.is_file()
            before[path] = (file.read_bytes(), file.stat().st_mode) if there else (None, 0)
            put(file, data, root)
        yield
    except BaseException:
        for path, (old, mode) in before.items():
            put(root / path, old, root)
            if old is not None:
                (root / path).chmod(stat.S_IMODE(mode))
        raise


def put(file: Path, data: bytes | None, root: Path) -> None:
    """Write a file below a root, whole or not at all; None removes it. Errors as of `replaced`."""
    if data is None:
        remove(file, root)
    else:
        write_bytes(file, data, root)
