"""Files that may lie anywhere: a path of this machine, or a URL of whatever fsspec reads.

Guarantees:
- "Is not there" and "cannot be reached" are never taken for one another.
- No more is read of a file than the caller allows, and no read of http waits for ever.
- What a URL may hold of secrets (user, password, query) stands in no message.

A path needs no package; a URL needs fsspec and, by its protocol, what fsspec reads it with.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from sake_registry.errors import (
    InputError,
    MissingExtraError,
    SakeError,
    SetupError,
    StorageError,
)
from sake_registry.files import read_bounded
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IN_TEXT = re.compile(rf"{_URL.pattern}[^\s'\"<>]+", re.IGNORECASE)
_HTTP = ("http", "https")
SMALL_SECONDS = 5.0
"""How long the whole of a small file may take over http."""
IDLE_SECONDS = 30.0
"""How long a large one may send nothing."""
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
    return b"".join(_chunks(place, limit, total=SMALL_SECONDS))


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
    if protocol not in _HTTP:
        return fsspec.filesystem(protocol)
    from aiohttp import ClientTimeout

    # What the user's configuration of fsspec says of this protocol (headers, say) is kept.
    configured = fsspec.config.conf.get(protocol, {}).get("client_kwargs", {})
    client = {"timeout": ClientTimeout(**timeouts), **configured}
    return fsspec.filesystem(protocol, client_kwargs=client)


@contextmanager
def _reached(place: str) -> Iterator[None]:
    """Turn whatever the reader of a protocol raises into errors that name the place."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {shown(place)}") from None
    except ImportError as error:
        if error.name in ("fsspec", "aiohttp"):
            raise MissingExtraError(f"{shown(place)} is read by {error.name}", "serve") from error
        raise SetupError(f"{shown(place)}: {error}", hint="install what is named there") from error
    except Exception as error:  # each protocol's package has errors of its own
        said = _IN_TEXT.sub(lambda url: shown(url[0]), str(error)) or type(error).__name__
        raise SetupError(
            f"{shown(place)}: cannot be reached: {shorten(said, 200)}",
            hint="see that the server is up, and that this machine may read it",
        ) from error


def _protocol(place: str) -> str:
    return place.partition("://")[0].lower()
