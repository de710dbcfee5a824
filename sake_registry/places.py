"""Files that may lie anywhere: a path of this machine, or a URL of whatever fsspec reads.

Guarantees:
- "Is not there" and "cannot be reached" are never taken for one another.
- No more is read of a file than the caller allows, and no read waits for ever.
- What is written is there whole or not at all; `create` replaces nothing, and of two who create one
  file at one time, one is told that it is there (on this machine, in S3 and Google Cloud Storage;
  elsewhere as far as the reader of the protocol keeps to it).
- What a URL may hold of secrets (user, password, query) stands in no message.

A path needs no package; a URL needs fsspec and, by its protocol, what fsspec reads it with.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from sake_registry.errors import (
    ConflictError,
    InputError,
    MissingExtraError,
    SakeError,
    SetupError,
    StorageError,
)
from sake_registry.files import read_bounded, remove, replacing, write_bytes
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IN_TEXT = re.compile(rf"{_URL.pattern}[^\s'\"<>]+", re.IGNORECASE)
_HTTP = ("http", "https")
_S3 = ("s3", "s3a")
CONDITIONAL = frozenset({*_S3, "gs", "gcs", "memory"})
"""The protocols whose files can be created without replacing another's, beside paths."""
SMALL_SECONDS = 5.0
"""How long the whole of a small file may take over http."""
IDLE_SECONDS = 30.0
"""How long a large one may send nothing."""
CONNECT_SECONDS = 5.0
"""How long a server of S3 may take to answer at all."""
_CHUNK = 1 << 20
_TELLING = frozenset(
    "checksum contentmd5 created crc32c digest etag generation lastmodified md5hash modified mtime "
    "size updated versionid".split()
)
"""Of what the reader of a protocol says of a file, what changes with it: not the address that a
server leads to, say, which may be another one each time."""


def local_path(place: str) -> Path | None:
    """The path that a place is on this machine; None for what lies elsewhere."""
    if place.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(place).path))
    return None if _URL.match(place) else Path(place)


def absolute(place: str) -> str:
    """The place, whatever folder the program runs in later."""
    path = local_path(place)
    return place if path is None else str(path.absolute())


def beside(place: str, name: str) -> str:
    """What `name` means in a file that lies at `place`: a URL, or a path relative to it."""
    if _URL.match(name):
        return name
    if (path := local_path(place)) is not None:
        return str(path.absolute().parent / name)
    if _protocol(place) in _HTTP:
        return urljoin(place, name)
    protocol, _, path_ = place.partition("://")
    return f"{protocol}://{posixpath.normpath(posixpath.join(posixpath.dirname(path_), name))}"


def shown(place: str) -> str:
    """A place as messages name it: without user, password and query."""
    if not _URL.match(place):
        return place
    try:
        parts = urlsplit(place)
    except ValueError:  # a bracket that never closes
        return place.partition("://")[0] + "://…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def read_small(place: str, limit: int) -> bytes:
    """The first `limit` bytes of a file and one more, if it is larger.

    Raises:
        FileNotFoundError: there is none.
        StorageError: a path that cannot be read.
        SetupError: a URL that cannot be reached, or for which a package is missing.
        InputError: no such kind of URL.
    """
    if (path := local_path(place)) is not None:
        try:
            return read_bounded(path, limit)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be read: {error.strerror}", hint="name a file that can be read"
            ) from error
    if _protocol(place) in _HTTP:
        return b"".join(_chunks(place, limit, total=SMALL_SECONDS))
    # One request: what is asked for size and content in two may be replaced between them.
    [data] = read_many([place], limit)
    if data is None:
        raise FileNotFoundError(f"there is no {shown(place)}")
    return data


def read_many(places: Sequence[str], limit: int) -> list[bytes | None]:
    """The first `limit` bytes of files, and one more of larger ones; None for those that are not
    there. Elsewhere than on this machine they are read at once.

    Raises:
        StorageError, SetupError, InputError: as of `read_small`.
    """
    if not places:
        return []
    if local_path(places[0]) is not None or _protocol(places[0]) in _HTTP:
        return [_read_if_there(place, limit) for place in places]
    with _reached(places[0]):
        files = _files(places[0], {})
        found = files.cat_ranges(list(places), 0, limit + 1, on_error="return")
        return [_found(data) for data in found]


def _read_if_there(place: str, limit: int) -> bytes | None:
    try:
        return read_small(place, limit)
    except FileNotFoundError:
        return None


def _found(data: bytes | Exception) -> bytes | None:
    if isinstance(data, FileNotFoundError):
        return None
    if isinstance(data, OSError) and data.errno == errno.EINVAL and "range" in str(data).lower():
        return b""  # S3 has no range of an empty file
    if isinstance(data, Exception):
        raise data
    return data


def create(place: str, content: bytes | Path) -> bool:
    """Write a file where none is, whole or not at all.

    Args:
        content: bytes, or a file of this machine.

    Returns:
        Whether it was written; False if there is one, which stays as it is.

    Raises:
        StorageError, SetupError, InputError: it cannot be written.
    """
    try:
        if (path := local_path(place)) is not None:
            with replacing(path, once=True) as temporary:
                if isinstance(content, bytes):
                    temporary.write_bytes(content)
                else:
                    shutil.copyfile(content, temporary)
            return True
        with _written(place):
            files = _writable(place)
            if isinstance(content, bytes):
                files.pipe_file(place, content, mode="create")
            else:
                files.put_file(str(content), place, mode="create")
    except (ConflictError, FileExistsError):
        return False
    return True


def write(place: str, data: bytes) -> None:
    """Write a small file, whole or not at all; a reader sees the old one or this one.

    Raises:
        StateError: the path is a link.
        StorageError, SetupError, InputError: it cannot be written.
    """
    if (path := local_path(place)) is not None:
        write_bytes(path, data)
        return
    with _written(place):
        _writable(place).pipe_file(place, data)


def delete(place: str) -> None:
    """Remove a file, if it is there; errors as of `write`."""
    if (path := local_path(place)) is not None:
        remove(path, path.parent)
        return
    try:
        with _reached(place):
            files = _writable(place)
            files.invalidate_cache()
            files.rm_file(place)
    except FileNotFoundError:
        pass


def is_conditional(place: str) -> bool:
    """Whether of two who create one file there at one time, one is known to be told."""
    return local_path(place) is not None or _protocol(place) in CONDITIONAL


def is_listed(place: str) -> bool:
    """Whether the files of a folder can be listed."""
    return local_path(place) is not None or _protocol(place) not in _HTTP


def listing(folder: str) -> dict[str, int]:
    """The files below a folder, by their path from there, with their sizes in bytes; none where
    there is no such folder.

    Raises:
        StorageError, SetupError, InputError: it cannot be reached or listed.
    """
    if (path := local_path(folder)) is not None:
        return dict(_local_files(path))
    if not is_listed(folder):
        raise SetupError(
            f"{shown(folder)}: files over http cannot be listed",
            hint="name the folder by a URL of its storage, like s3://bucket/folder",
        )
    try:
        with _reached(folder):
            files = _files(folder, {})
            files.invalidate_cache()  # what is listed is remembered, and others write
            found = files.find(folder, detail=True)
            start = files._strip_protocol(folder).rstrip("/") + "/"
    except FileNotFoundError:
        return {}
    return {
        name.removeprefix(start): int(said.get("size") or 0)
        for name, said in found.items()
        if name.startswith(start)
    }


def _local_files(folder: Path) -> Iterator[tuple[str, int]]:
    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            message = f"{folder}: cannot be listed: {error.strerror}"
            raise StorageError(message, hint="name a folder that can be read") from error

    for inner, _, names in os.walk(folder, onerror=refuse):
        for path in (Path(inner, name) for name in names if not name.startswith(".")):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.stat().st_size


def _writable(place: str) -> Any:
    if _protocol(place) in _HTTP:
        raise SetupError(
            f"{shown(place)}: nothing is written over http",
            hint="name the place by a URL of its storage, like s3://bucket/folder",
        )
    return _files(place, {})


def state(place: str) -> str | None:
    """What changes with a file: where it differs from before, another one lies there.

    Returns:
        None where it cannot be told: there is no file, or it cannot be reached.
    """
    try:
        if (path := local_path(place)) is not None:
            status = path.stat()
            return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
        with _reached(place):
            said = _files(place, {"total": SMALL_SECONDS}).info(place)
    except (OSError, SakeError):
        return None
    telling = {re.sub(r"[^a-z0-9]", "", name.lower()): value for name, value in said.items()}
    return str(sorted((n, str(v)) for n, v in telling.items() if n in _TELLING)) or None


def sha256(place: str) -> str:
    """The SHA-256 of a file, in hex.

    Raises:
        FileNotFoundError, SetupError, InputError: as of `read_small`.
        OSError: a path that cannot be read.
    """
    if (path := local_path(place)) is not None:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    state = hashlib.sha256()
    for chunk in _chunks(place, sys.maxsize, sock_connect=IDLE_SECONDS, sock_read=IDLE_SECONDS):
        state.update(chunk)
    return state.hexdigest()


def download(place: str, target: Path, limit: int) -> None:
    """Copy a file from elsewhere to `target`.

    Raises:
        FileNotFoundError, SetupError, InputError: as of `read_small`, or it is larger than `limit`.
        OSError: the target cannot be written.
    """
    size = 0
    with target.open("wb") as file:
        for chunk in _chunks(place, limit, sock_connect=IDLE_SECONDS, sock_read=IDLE_SECONDS):
            size += file.write(chunk)
    if size > limit:
        raise InputError(f"{shown(place)}: larger than {limit} bytes", hint="name a smaller one")


def _chunks(place: str, limit: int, **timeouts: float) -> Iterator[bytes]:
    """What a URL holds, to `limit` bytes and one more.

    Args:
        timeouts: seconds, by aiohttp's names.
    """
    with _reached(place), _opened(place, timeouts) as file:
        size = 0
        while chunk := file.read(min(_CHUNK, limit + 1 - size)):
            size += len(chunk)
            yield chunk


def _opened(place: str, timeouts: Mapping[str, float]) -> BinaryIO:
    # Over http as a stream of a given size, or fsspec asks for the size first, and takes every
    # failure of that, an unreachable server as well, for a file that is not there.
    stream = {"block_size": 0, "size": 1} if _protocol(place) in _HTTP else {}
    return cast("BinaryIO", _files(place, timeouts).open(place, "rb", **stream))


def _files(place: str, timeouts: Mapping[str, float]) -> Any:
    """fsspec's reader of a place."""
    import fsspec

    protocol = _protocol(place)
    if protocol in _S3:
        waiting = {"connect_timeout": CONNECT_SECONDS, "read_timeout": IDLE_SECONDS,
                   "retries": {"max_attempts": 1}}  # fmt: skip
        configured = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
        # Of a large file so many parts of 50 MB are in memory.
        return fsspec.filesystem(
            protocol, config_kwargs={**waiting, **configured}, max_concurrency=3
        )
    if protocol not in _HTTP:
        return fsspec.filesystem(protocol)
    from aiohttp import ClientTimeout

    # What the user's configuration of fsspec says of this protocol (headers, say) is kept.
    configured = fsspec.config.conf.get(protocol, {}).get("client_kwargs", {})
    client = {"timeout": ClientTimeout(**timeouts), **configured}
    return fsspec.filesystem(protocol, client_kwargs=client)


@contextmanager
def _reached(place: str, *passing: type[Exception]) -> Iterator[None]:
    """Turn whatever the reader of a protocol raises into errors that name the place, but for
    those that are to pass."""
    try:
        yield
    except passing:
        raise
    except SakeError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {shown(place)}") from None
    except ImportError as error:
        if error.name in ("fsspec", "aiohttp"):
            raise MissingExtraError(f"{shown(place)} is read by {error.name}", "serve") from error
        if _protocol(place) in _S3:
            raise MissingExtraError(f"{shown(place)} is read by s3fs", "remote") from error
        raise SetupError(f"{shown(place)}: {error}", hint="install what is named there") from error
    except Exception as error:  # each protocol's package has errors of its own
        said = _IN_TEXT.sub(lambda url: shown(url[0]), str(error)) or type(error).__name__
        raise SetupError(
            f"{shown(place)}: cannot be reached: {shorten(said, 200)}",
            hint="see that the server is up, and that this machine may read it",
        ) from error


@contextmanager
def _written(place: str) -> Iterator[None]:
    """`_reached` for what is written: a file that exists is told to the caller, and no file that
    is missing is meant where there is no bucket."""
    try:
        with _reached(place, FileExistsError):
            yield
    except FileNotFoundError as error:
        raise SetupError(
            f"{shown(place)}: cannot be written: there is no such bucket or folder",
            hint="make it, or name another one",
        ) from error


def _protocol(place: str) -> str:
    return place.partition("://")[0].lower()
