"""A server in a thread of its own, and waiting for what is to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sake_registry.serving.app import Service
from sake_registry.serving.run import Serving, http_server, listen, service


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that is to come, much longer than it takes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


@contextmanager
def hosted(model: Any, tokenizer: Any, serving: Serving) -> Iterator[tuple[str, Service]]:
    """A server's address, and what it is made of."""
    with (
        listen("127.0.0.1", 0, serving.token) as bound,
        service(model, tokenizer, serving) as ready,
    ):
        server = http_server(ready)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}", ready
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()
