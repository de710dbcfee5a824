"""Places that a pointer may lie at: real files, a real server, memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.bundle.conftest import good  # noqa: F401 - a fixture


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; what the server's `failing` holds is answered so instead."""

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        if (status := self.server.failing.get(self.path)) is not None:
            self.send_error(status)
        else:
            super().do_GET()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One who has read enough hangs up, and that is no error."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.failing: dict[str, HTTPStatus] = {}
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))


@dataclass
class Remote:
    """A folder of files, and how others name it."""

    url: str
    put: Callable[[str, bytes], None]
    drop: Callable[[str], None]
    server: Server | None = None

    def __truediv__(self, name: str) -> str:
        return f"{self.url}/{name}"


def on_disk(folder: Path, url: str, server: Server | None = None) -> Remote:
    def put(name: str, data: bytes) -> None:
        temporary = folder / f"{name}.new"
        temporary.write_bytes(data)
        temporary.replace(folder / name)

    return Remote(url, put, lambda name: (folder / name).unlink(missing_ok=True), server)


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Remote]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield on_disk(folder, f"http://127.0.0.1:{server.server_port}", server)
        server.shutdown()
        thread.join()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remote]:
    files, folder = fsspec.filesystem("memory"), f"/{tmp_path.name}"

    def drop(name: str) -> None:
        if files.exists(f"{folder}/{name}"):
            files.rm(f"{folder}/{name}")

    files.makedirs(folder, exist_ok=True)
    yield Remote(f"memory:/{folder}", lambda name, data: files.pipe(f"{folder}/{name}", data), drop)
    files.rm(folder, recursive=True)


@pytest.fixture
def file(tmp_path: Path) -> Remote:
    folder = tmp_path / "on-disk"
    folder.mkdir()
    return on_disk(folder, str(folder))


@pytest.fixture(params=["file", "http", "memory"])
def anywhere(request: pytest.FixtureRequest) -> Remote:
    remote: Remote = request.getfixturevalue(request.param)
    return remote


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sake-registry" / "bundles"
