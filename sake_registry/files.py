"""The one gate for what is written and deleted, and remembering what was computed of a file.

Guarantees:
- Nothing is ever half-written. A file or folder is written beside its place, flushed to the disk
  (but for what is compared and made again by the next run), and renamed: a kill at any moment
  leaves the old state or the new one, and the next run that writes there removes what it left.
- No link is followed from a root down: a path that the files of a repository name is written and
  deleted below the repository's registry or not at all.
- Nothing is deleted whose name was not made here or by the caller's own layout.

Imports `errors` alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.errors import ConflictError, LockedError, SakeError, StateError, StorageError

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
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_LEFTOVER = re.compile(rf"{re.escape(TEMPORARY)}(?:{_HOST}-)?(\d+)-[a-z0-9_]{{8}}(\.\w+)?")
"""Of this machine alone: a folder may be shared, and another machine's processes are not seen."""
_swept: set[Path] = set()
"""The folders in which this process has removed what killed ones left: one look is enough."""
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_swept.clear)  # a child has swept nothing yet


def below(root: Path, path: Path) -> Path:
    """A path that lies below a root and is reached from it through no link.

    The way to the root itself is the user's, and may lead through links.

    Raises:
        StateError: it does not lie below the root, or a part of it is a link.
    """
    inner = path if path.is_relative_to(root) else seen_from(root, path)
    if inner is None or ".." in inner.relative_to(root).parts:
        raise StateError(f"{path} does not lie below {root}", hint="name a path below it")
    part = root
    for name in inner.relative_to(root).parts:
        part /= name
        if part.is_symlink():
            raise StateError(
                f"{part} is a link: nothing is written, removed or read through it",
                hint=f"put what it leads to in its place, or remove it: rm '{part}'",
            )
    return inner


def seen_from(root: Path, path: Path) -> Path | None:
    """A path that a user named, as it is seen from a folder that it leads through; else None."""
    full = Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes, and links stay
    for parent in full.parents:
        if parent == root or (parent.exists() and parent.samefile(root)):
            return root / full.relative_to(parent)
    return None


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
def replacing(
    path: Path, root: Path | None = None, *, once: bool = False, flush: bool = True
) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well, and is removed if not.

    Args:
        root: the path must lie below it, and no link is followed from there on; the path's own
            folder unless given.
        once: make a file, and replace none; of two who do so at one time, one succeeds.
        flush: wait until it is on the disk, which a machine that stops at once does not undo.

    Raises:
        ConflictError: there is a file already, where it is to be made once.
        StateError: the path is a link, or leads through one, or elsewhere.
        StorageError: the disk is full or read-only, or permission is lacking.
    """
    with storage_errors(path):
        path = below(root or path.parent, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _swept:
            _swept.add(path.parent)
            sweep(path.parent)
        prefix = f"{TEMPORARY}{_HOST}-{os.getpid()}-"
        temporary = Path(tempfile.mktemp(prefix=prefix, suffix=path.suffix, dir=path.parent))
        try:
            yield temporary
            if path.is_file():
                shutil.copymode(path, temporary)
            for written in (temporary, *temporary.rglob("*")) if flush else ():
                _flush(written)
            if once:
                _link(temporary, path)
                return
            try:
                temporary.replace(path)
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
                if not (taken and temporary.is_dir() and path.is_dir()):
                    raise
                return  # another process was first; a finished folder is as good as ours
            if flush:
                _flush(path.parent)
        finally:
            _discard(temporary)


def write_text(path: Path, text: str, root: Path | None = None) -> None:
    """Write a text file, whole or not at all; `root` and errors as of `replacing`."""
    write_bytes(path, text.encode(), root)


def write_bytes(path: Path, data: bytes, root: Path | None = None, *, flush: bool = True) -> None:
    """Write a file, whole or not at all; `root`, `flush` and errors as of `replacing`."""
    with replacing(path, root, flush=flush) as temporary:
        temporary.write_bytes(data)


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name, if no other has it: renaming would replace that."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError as error:
        raise ConflictError(f"{path} is there already", hint="leave it as it is") from error
    _flush(path.parent)


def remove(path: Path, root: Path) -> None:
    """Remove a file below a root, if it is there; no link is followed, and none removed.

    Raises:
        StateError: it is a link, or is reached through one, or lies elsewhere.
        StorageError: it cannot be removed.
    """
    with storage_errors(path):
        below(root, path).unlink(missing_ok=True)


def make_folder(path: Path, root: Path) -> None:
    """Make a folder below a root, and those above it; `root` and errors as of `replacing`."""
    with storage_errors(root):
        below(root, path).mkdir(parents=True, exist_ok=True)


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
    """Hold a folder for writing.

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
        lock = FileLock(below(folder, folder / "lock"))
        try:
            lock.acquire(timeout=seconds)
        except Timeout as error:
            raise LockedError(
                f"another sake is {doing} {folder}",
                hint="wait until it is done; a lock is never left over from a killed one",
            ) from error
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in `folder`. Only under the lock of its writers."""
    for path in folder.rglob(f"{TEMPORARY}*") if folder.is_dir() else ():
        _discard(path)


def sweep(folder: Path) -> None:
    """Remove what killed writers of this machine left in a folder: what has a name made here, of a
    process that is no more."""
    for path in folder.iterdir():
        left = _LEFTOVER.fullmatch(path.name)
        if left and not _alive(int(left[1])):
            _discard(path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
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
        # What was known of files that are gone would be read for ever.
        there = {k: v for k, v in self._read().items() if os.path.lexists(k.partition(":")[2])}
        self._write({**there, key: {"state": state, "value": value}})
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
            write_text(self.path, json.dumps(memory))
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
