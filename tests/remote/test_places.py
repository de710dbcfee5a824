"""Where a file lies, what may be read of it, and what is said where it cannot be."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from sake_registry import places
from sake_registry.errors import InputError, SetupError, StorageError
from sake_registry.places import (
    absolute,
    beside,
    create,
    delete,
    download,
    listing,
    local_path,
    read_many,
    read_small,
    shown,
    write,
)
from tests.remote.conftest import Remote


@pytest.mark.parametrize(
    ("place", "name", "wanted"),
    [
        ("/a/p.json", "b.h5", "/a/b.h5"),
        ("/a/p.json", "/c/b.h5", "/c/b.h5"),
        ("/a/p.json", "s3://bucket/b.h5", "s3://bucket/b.h5"),
        ("file:///a/p.json", "c/b.h5", "/a/c/b.h5"),
        ("https://h:1/a/p.json?sig=s", "c/b.h5", "https://h:1/a/c/b.h5"),
        ("https://h/a/p.json", "/b.h5", "https://h/b.h5"),
        ("s3://bucket/a/p.json", "b.h5", "s3://bucket/a/b.h5"),
        ("s3://bucket/a/p.json", "../c/b.h5", "s3://bucket/c/b.h5"),
        ("s3://bucket/p.json", "b.h5", "s3://bucket/b.h5"),
        ("memory:///a/p.json", "b.h5", "memory:///a/b.h5"),
    ],
)
def test_what_a_name_means_beside_a_place(place: str, name: str, wanted: str) -> None:
    assert beside(place, name) == wanted


def test_a_path_is_one_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_path("file:///a%20b/c.json") == Path("/a b/c.json")
    assert local_path("https://h/c.json") is None
    monkeypatch.chdir(tmp_path)
    assert absolute("p.json") == str(tmp_path / "p.json")
    assert beside("p.json", "b.h5") == str(tmp_path / "b.h5")
    assert absolute("s3://bucket/p.json") == "s3://bucket/p.json"


def test_secrets_are_not_shown() -> None:
    assert shown("https://me:word@h:1/p.json?sig=s#f") == "https://h:1/p.json"
    assert shown("s3://bucket/p.json") == "s3://bucket/p.json"
    assert shown("/a/p.json?x") == "/a/p.json?x"
    assert shown("https://[::1/p.json?sig=s") == "https://…"


def test_what_is_read_is_bounded(anywhere: Remote) -> None:
    anywhere.put("small", b"12345")
    anywhere.put("large", bytes(5 << 20))
    assert read_small(anywhere / "small", 5) == b"12345"
    assert read_small(anywhere / "small", 4) == b"12345"
    assert read_small(anywhere / "large", 1000) == bytes(1001)
    anywhere.put("empty", b"")
    assert read_small(anywhere / "empty", 10) == b""


def test_a_file_that_is_not_there(anywhere: Remote, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_small(anywhere / "none.json", 10)


def test_a_large_file_is_copied_whole(http: Remote, tmp_path: Path) -> None:
    data = bytes(range(256)) * (10 << 12)
    http.put("large", data)
    download(http / "large", tmp_path / "copy", len(data))
    assert (tmp_path / "copy").read_bytes() == data
    with pytest.raises(InputError, match="larger than 1000 bytes"):
        download(http / "large", tmp_path / "copy", 1000)
    assert (tmp_path / "copy").stat().st_size == 1001


def test_unreachable_is_not_missing(http: Remote, tmp_path: Path) -> None:
    assert http.server is not None
    http.put("p.json", b"{}")
    for status in (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.FORBIDDEN, HTTPStatus.GONE):
        http.server.failing["/p.json"] = status
        with pytest.raises(SetupError, match=f"p.json: cannot be reached: {status.value}"):
            read_small(http / "p.json", 10)
    http.server.failing["/p.json?sig=%2Bsecret"] = HTTPStatus.FORBIDDEN
    with pytest.raises(SetupError, match="cannot be reached: 403") as caught:
        read_small((http / "p.json?sig=%2Bsecret").replace("//", "//me:word@"), 10)
    assert "secret" not in str(caught.value)
    assert "word" not in str(caught.value)
    http.server.shutdown()
    http.server.server_close()
    secret = (http / "p.json?sig=secret").replace("//", "//me:word@")
    with pytest.raises(SetupError, match=r"p\.json: cannot be reached") as caught:
        read_small(secret, 10)
    assert "secret" not in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_hangs_is_not_waited_for(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it says nothing, or sends its answer byte by byte."""
    monkeypatch.setattr(places, "SMALL_SECONDS", 0.3)
    stopped = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(sent)
            while sent and not stopped.wait(0.05):
                connection.sendall(b" ")
            stopped.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}/p.json"

        def serve() -> None:
            connection, _ = server.accept()
            drip(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SetupError, match=r"p\.json: cannot be reached: .*[Tt]imeout"):
            read_small(place, 1000)
        stopped.set()
        thread.join()


def test_what_no_package_reads() -> None:
    with pytest.raises(SetupError, match="cannot be reached: Protocol not known"):
        read_small("nosuch://a/p.json", 10)


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read: Is a directory"):
        read_small(str(tmp_path), 10)


def test_what_is_created_is_not_replaced_and_what_is_written_is(place: str, tmp_path: Path) -> None:
    assert listing(place) == {}
    assert create(f"{place}/a/b", b"first")
    assert not create(f"{place}/a/b", b"second")
    (tmp_path / "file").write_bytes(b"from a file")
    assert create(f"{place}/c", tmp_path / "file")
    assert not create(f"{place}/c", tmp_path / "file")
    assert listing(place) == {"a/b": 5, "c": 11}
    assert read_many([f"{place}/{name}" for name in ("c", "none", "a/b")], 4) == [
        b"from ", None, b"first",
    ]  # fmt: skip
    write(f"{place}/a/b", b"")
    assert read_small(f"{place}/a/b", 10) == b""
    for _ in range(2):
        delete(f"{place}/c")
    assert listing(place) == {"a/b": 0}
    with pytest.raises(SetupError, match="cannot be listed"):
        listing("http://127.0.0.1:9/x")
