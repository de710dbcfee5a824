"""Files that several machines share at a URL, for a store: read where it can be reached, written
where that is allowed.

Guarantees:
- Nothing of it is needed: where it cannot be reached, one warning says so, and nothing is asked of
  it any more.
- A file that is there is replaced by no other, unless its reader found it damaged.

What the files hold, and whether they are sound, is for the store to say.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sake_registry import places
from sake_registry.errors import SakeError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_BYTES = 1 << 28
"""Of one file; a larger one is not shared."""
AT_ONCE = 32
"""So many files are read at once."""


@dataclass
class Moved:
    """What went one way: files and bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.files += 1
        self.bytes += size


class SharedFiles:
    """Files by their path below a URL.

    Args:
        url: the folder: whatever fsspec reads, or a path.
        writable: whether files are written there.
    """

    def __init__(self, url: str, *, writable: bool) -> None:
        self.url, self.writable = url.rstrip("/"), writable
        self.brought, self.sent = Moved(), Moved()
        self._reachable = True
        self._names: dict[str, int] | None = None
        self._damaged: set[str] = set()

    def __str__(self) -> str:
        return places.shown(self.url)

    def place(self, name: str) -> str:
        return f"{self.url}/{name}"

    def names(self) -> dict[str, int]:
        """The files there, and their sizes in bytes, as they were when this was first asked."""
        if self._names is None:
            nothing: dict[str, int] = {}
            self._names = self._attempt(lambda: places.listing(self.url), nothing)
        return self._names

    def has(self, name: str) -> bool:
        """Whether a file is there; looked up in the list of all, where there is one."""
        if places.is_listed(self.url):
            return name in self.names()
        return self._reachable and places.state(self.place(name)) is not None

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The content of those files that are there and not known to be damaged; of one that is
        larger than `MAX_BYTES`, its beginning."""
        wanted = [name for name in names if name not in self._damaged]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            for name, data in zip(some, self._read(some), strict=False):
                if data is not None:
                    self.brought.add(len(data))
                    yield name, data

    def _read(self, names: Sequence[str]) -> list[bytes | None]:
        found = [self.place(name) for name in names]
        return self._attempt(lambda: places.read_many(found, MAX_BYTES), [])

    @property
    def summary(self) -> str:
        """What was moved, in words; nothing if nothing was."""
        parts = [
            f"{count(moved.files, 'object')} ({moved.bytes / 1e6:.1f} MB) {how}"
            for moved, how in ((self.brought, f"from {self}"), (self.sent, f"to {self}"))
            if moved.files
        ]
        return ", ".join(parts)

    def damaged(self, name: str) -> None:
        """A file is not what it should be: what is written next replaces it."""
        self._damaged.add(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file if there is none, and that is allowed."""

        def written() -> bool:
            if name not in self._damaged:
                return places.create(self.place(name), data)
            places.write(self.place(name), data)
            self._damaged.discard(name)
            return True

        if self.writable and len(data) <= MAX_BYTES and self._attempt(written, False):
            self.sent.add(len(data))

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            SetupError, StorageError: it cannot be removed.
        """
        places.delete(self.place(name))

    def _attempt(self, action: Callable[[], T], otherwise: T) -> T:
        """What an action gives; without it from the first failure on."""
        if self._reachable:
            try:
                return action()
            except SakeError as error:
                self._reachable = False
                log.warning("%s; going on without it", error.message)
        return otherwise
