"""Writing so that nothing is ever half-written, and remembering what was computed of a file.

A file or folder is written beside its place, flushed to the disk, and renamed: a kill at any
moment leaves the old state or the new one. Imports `errors` alone.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.errors import LockedError, SakeError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_HINTS = {
    errno.ENOSPC: "free space on that disk, or set another folder",
    errno.EDQUOT: "free space on that disk, or set another folder",
    errno.EROFS: "it is mounted read-only: set a folder that can be written",
    errno.EACCES: "give yourself write permission there, or set another folder",
    errno.EPERM: "give yourself write permission there, or set another folder",
    errno.EEXIST: "a file stands where a folder is needed: move it, or set another folder",
    errno.ENOTDIR: "a file stands where a folder is needed: move it, or set another folder",
    errno.EISDIR: "a folder stands where a file is needed: move it, or set another path",
    errno.ENAMETOOLONG: "set a shorter path",
    errno.EIO: "the disk has a fault: set a folder on another one",
}
TEMPORARY = ".partial-"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a `StorageError` that names the path.

    h5py raises plain OSErrors whose number stands only in the text; both forms are understood.
    """
    try:
        yield
    except OSError as error:
        number = error.errno
        if number not in _HINTS:
            number = next((n for n in _HINTS if f"errno = {n}," in str(error)), None)
        if number is None:
            raise
        message = f"{path}: cannot be written: {os.strerror(number)}"
        raise StorageError(message, hint=_HINTS[number]) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well, and is removed if not.

    Raises:
        StorageError: the disk is full or read-only, or permission is lacking.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mktemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent))
        try:
            yield temporary
            if path.is_file():
                shutil.copymode(path, temporary)
            for written in (temporary, *temporary.rglob("*")):
                _flush(written)
            try:
                temporary.replace(path)
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
                if not (taken and temporary.is_dir() and path.is_dir()):
                    raise
                return  # another process was first; a finished folder is as good as ours
            _flush(path.parent)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_bounded(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file and one more, if it is larger: no more is ever read."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path, doing: str, seconds: float) -> Iterator[None]:
    """Hold a folder for writing; what a killed writer left in it is removed.

    The system frees the lock when its process dies.

    Args:
        doing: what another holder is doing, for the message.
        seconds: how long to wait for it.

    Raises:
        LockedError: another process holds it.
        StorageError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=seconds)
        except Timeout as error:
            raise LockedError(
                f"another sake is {doing} {folder}",
                hint="wait until it is done; a lock is never left over from a killed one",
            ) from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left in `folder`. Only under the lock of its writers."""
    for path in folder.rglob(TEMPORARY + "*") if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class FileMemory:
    """What was computed of a file, kept as long as the file's state is the same.

    The state is size, times of modification and change, and inode: a file that was replaced or
    written to is computed again. Nothing is believed of a file that somebody else can write, nor
    in a memory that somebody else can. It may be deleted at any time; it only saves time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, file: Path, kind: str, compute: Callable[[Path], Any]) -> Any:
        """The value of `kind` for a file, computed if it is not known for its state."""
        real, state = file.resolve(), _state(file)
        if not _only_ours(real):
            return compute(file)
        key = f"{kind}:{real}"
        known = self._read().get(key)
        if isinstance(known, dict) and known.get("state") == state and "value" in known:
            return known["value"]
        value = compute(file)
        self._write({**self._read(), key: {"state": state, "value": value}})
        return value

    def verify(self, compute: Mapping[str, Callable[[Path], Any]]) -> dict[Path, bool]:
        """Compute again what is known, and forget all that is not so; returns which file is.

        Args:
            compute: how a value is computed, by its kind.
        """
        sound: dict[str, Any] = {}
        files: dict[Path, bool] = {}
        for key, known in self._read().items():
            kind, _, name = key.partition(":")
            file = Path(name)
            with suppress(OSError):  # it is gone
                known_now = isinstance(known, dict) and known.get("state") == _state(file)
                if kind not in compute or not known_now:
                    continue
                try:
                    same = json.loads(json.dumps(compute[kind](file))) == known.get("value")
                except SakeError:
                    same = False
                files[file] = files.get(file, True) and same
                if same:
                    sound[key] = known
        self._write(sound)
        return files

    def _read(self) -> dict[str, Any]:
        try:
            if not _only_ours(self.path.resolve()):
                return {}
            memory = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return memory if isinstance(memory, dict) else {}

    def _write(self, memory: dict[str, Any]) -> None:
        with suppress(StorageError, OSError):  # a cache that cannot be written only costs time
            write_text(self.path, json.dumps(memory, indent=1))
            self.path.chmod(0o600)


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _only_ours(path: Path) -> bool:
    """Whether only this user and the system's can write a file, or put another in its place."""
    if os.name != "posix":
        return True
    for part in (path, *path.parents):
        status = part.stat()
        writable = status.st_mode & stat.S_IWOTH or (
            status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid)
        )
        # In a sticky folder everybody makes files, and nobody replaces another's.
        shared = writable and not (part.is_dir() and status.st_mode & stat.S_ISVTX)
        if shared or status.st_uid not in (0, os.geteuid()):
            return False
    return True


def _is_private(group: int) -> bool:
    """Whether a group is this user's alone, as many systems give each user one of its own."""
    import grp
    import pwd

    try:
        found, name = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return found.gr_name == name and set(found.gr_mem) <= {name}
