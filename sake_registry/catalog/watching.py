"""The pages of a registry on this machine's own address, made again when an edit changes.

Guarantees: it listens on the loopback address alone, and answers only who asks for it by that
address: another site's page cannot reach it by a name of its own. A registry that is broken for a
moment takes nothing away: the pages stay as they were, and what is wrong is told.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry import git
from sake_registry.edits.inventory import find_files
from sake_registry.errors import SakeError, SetupError
from sake_registry.settings import FILE_NAME, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_registry.catalog.folder import Built, Site

HOST = "127.0.0.1"
SECONDS = 0.5
"""How often the files are looked at."""


@contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """The address of a folder while the block runs.

    Args:
        port: 0 takes any that is free.

    Raises:
        SetupError: the port is taken, or not permitted.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Pages, directory=os.fspath(folder)))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be had: {error.strerror}"
        hint = "--port 0 takes any that is free"
        raise SetupError(f"port {port} {why}", hint=hint) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def rebuilt(site: Site) -> Iterator[Built | SakeError]:
    """Build a site, and again whenever an edit file, `sake.toml` or what is checked out changes;
    what keeps it from being built is given in its place."""
    before = None
    while True:
        # Looked at before it is built: what changes meanwhile is built with the next look.
        state = _state(site.root)
        if state != before:
            before = state
            try:
                yield site.build()
            except SakeError as error:
                yield error
        time.sleep(SECONDS)


def _state(root: Path) -> dict[Path, tuple[int, int]]:
    """The times and sizes of all that the pages are made of, as far as it lies in files."""
    paths = [root / FILE_NAME]
    with suppress(SakeError):
        paths += find_files(root / load_settings(root).edits)
    with suppress(SakeError):  # no repository
        folder = git.read(root, "rev-parse", "--absolute-git-dir").decode().strip()
        paths.append(Path(folder, "logs", "HEAD"))
    state = {}
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            state[path] = status.st_mtime_ns, status.st_size
    return state


class _Pages(SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: a browser asks for files that need no telling."""
