"""An endpoint of OpenAI's form on a real port, whose answers a test writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Asked = dict[str, Any]


@dataclass
class Answered:
    """What is sent: a status, a body, and of this only the first bytes where it breaks off."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    only: int | None = None
    wait: threading.Event | None = None


def completion(content: str | None, **more: Any) -> Answered:
    """A chat's completion with this content."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    value = {
        "id": "c", "object": "chat.completion", "created": 0, "model": "strong",
        "choices": [{**choice, "finish_reason": "stop"}], "usage": usage, **more,
    }  # fmt: skip
    return Answered(json.dumps(value).encode())


def texts(*written: Any) -> Answered:
    """A completion that is a list of texts, as it is asked for."""
    return completion(json.dumps({"texts": list(written)}))


def refused(status: int, message: str, **headers: str) -> Answered:
    return Answered(json.dumps({"error": {"message": message}}).encode(), status, headers)


@dataclass
class Scripted:
    """A running endpoint: where it is, and what it was asked, headers apart."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def scripted(script: Callable[[Asked, int], Answered]) -> Iterator[Scripted]:
    """Serve what a function answers to each request, given which call it is, from 0."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                number = len(served.asked)
                served.asked.append(json.loads(body))
                served.headers.append({k.lower(): v for k, v in self.headers.items()})
            answer = script(served.asked[number], number)
            if answer.wait is not None:
                answer.wait.wait(30)
            with suppress(ConnectionError):  # the client has gone
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[: answer.only])
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Scripted(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
