"""The routes of `sake serve`: OpenAI's, and what operating it takes.

Guarantees:
- Every error has OpenAI's shape, and the request's id; so has every answer's header.
- No more of a body is read than the limit; nothing that takes time with its size runs on the loop.
- A client that hangs up frees its rows at the next token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from sake_registry.serving.asked import Begun, Ended, Failed, Piece
from sake_registry.serving.batching import FullError
from sake_registry.serving.drafting import drafted
from sake_registry.serving.page import page, policy
from sake_registry.serving.protocol import (
    ApiError,
    Shape,
    headers,
    read_body,
    reason_of,
    sake_object,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sake_registry.serving.admin import Admin
    from sake_registry.serving.asked import Event
    from sake_registry.serving.batching import Batcher
    from sake_registry.serving.decisions import DecisionLog
    from sake_registry.serving.live import Attached, Live
    from sake_registry.serving.metrics import Metrics
    from sake_registry.serving.preparing import Limits, Prepared, Preparing

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A request's id that is taken from a client."""
_PREPARING_THREADS = 2
GONE = 499
"""The status that is counted for a client that hung up."""


class Service:
    """What the routes are made of."""

    def __init__(
        self,
        name: str,
        live: Live,
        batcher: Batcher,
        preparing: Preparing,
        admin: Admin[Attached],
        metrics: Metrics,
        decisions: DecisionLog,
        limits: Limits,
        *,
        shadow: bool,
    ) -> None:
        self.name, self.live, self.batcher, self.preparing = name, live, batcher, preparing
        self.admin, self.metrics, self.decisions = admin, metrics, decisions
        self.limits, self.shadow = limits, shadow
        self.started = int(time.time())
        self._pool = ThreadPoolExecutor(_PREPARING_THREADS, "preparing")

    async def answer(self, request: Request, *, chat: bool) -> Response:
        """The answer to a completion or a chat."""
        body = await self.body(request)
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def tell(event: Event) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(events.put_nowait, event)

        prepare = self.preparing.chat if chat else self.preparing.completion
        id_ = request_id(request.scope)
        prepared = await self.off_loop(prepare, body, id_, tell, self.known)
        asked = prepared.asked
        try:
            self.batcher.submit(asked)
        except FullError as error:
            raise ApiError(
                503, f"{self.batcher.waiting} requests are waiting: try again in a moment",
                code="queue_full", retry_after=1,
            ) from error  # fmt: skip
        gone = asyncio.ensure_future(_hung_up(request))
        shape = Shape(id_, self.name, chat=chat)
        streamed = False
        try:
            first = await _unless(gone, events)
            if not isinstance(first, Begun):
                raise _failure(first)
            if prepared.stream:
                streamed = True
                return _Stream(prepared, first, events, shape, id_)
            return await _whole(prepared, first, events, shape, gone)
        except _HungUpError:
            return Response(status_code=GONE)
        finally:
            gone.cancel()
            if not streamed:
                asked.cancelled = True

    @property
    def known(self) -> frozenset[str]:
        """The ids of the edits that are loaded."""
        follower = self.live.follower
        return frozenset(follower.current.edits if follower else ())

    async def body(self, request: Request) -> bytes:
        """A request's body; errors as of `read_body`."""
        return await read_body(request, self.limits.body)

    async def off_loop(self, function: Any, *args: Any) -> Any:
        """What a function returns that is run in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def health(self) -> dict[str, Any]:
        follower = self.live.follower
        problems = [follower.problem if follower else None, self.decisions.problem]
        return {
            "status": "ready" if self.batcher.works else "stopped",
            "problem": "; ".join(filter(None, problems)) or None,
            "model": self.name,
            "bundle": follower.current.key if follower else None,
            "edits": len(self.known),
            "disabled": len(follower.disabled) if follower else 0,
            "mode": "shadow" if self.shadow else "edit" if follower else "bare",
            "waiting": self.batcher.waiting,
        }


def application(service: Service) -> ASGIApp:
    """The server's routes, as an ASGI application."""
    # FastAPI's pages of documentation load scripts from elsewhere.
    app = FastAPI(title="sake serve", docs_url=None, redoc_url=None)
    model = {
        "id": service.name,
        "object": "model",
        "created": service.started,
        "owned_by": "sake",
        "max_model_len": service.limits.context,
    }

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await service.answer(request, chat=False)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await service.answer(request, chat=True)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        if name != service.name:
            raise ApiError(404, f"no model '{name}' here; it is '{service.name}'",
                           code="model_not_found")  # fmt: skip
        return JSONResponse(model)

    @app.get("/v1/edits")
    async def edits() -> Response:
        # Of many edits, writing them as JSON takes long, too.
        answer: Response = await service.off_loop(lambda: JSONResponse(service.admin.edits()))
        return answer

    @app.post("/v1/edits/{id_}/disable")
    async def disable(id_: str, request: Request) -> Response:
        service.admin.require(request.headers.get("authorization"))
        reason = reason_of(await service.body(request))
        return JSONResponse(await service.off_loop(service.admin.disable, id_, reason))

    @app.post("/v1/edits/{id_}/enable")
    async def enable(id_: str, request: Request) -> Response:
        service.admin.require(request.headers.get("authorization"))
        return JSONResponse(await service.off_loop(service.admin.enable, id_))

    @app.post("/v1/drafts")
    async def drafts(request: Request) -> Response:
        return JSONResponse(
            await service.off_loop(drafted, await service.body(request), service.live)
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        text = await service.off_loop(generate_latest, service.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    @app.get("/health")
    async def health() -> Response:
        state = service.health()
        return JSONResponse(state, 200 if state["status"] == "ready" else 503)

    @app.get("/")
    async def index() -> Response:
        guards = {"Content-Security-Policy": policy(), "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page(), headers=guards)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        extra = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if error.status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return JSONResponse(error.body(request_id(request.scope)), error.status, headers=extra)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        where = f"{request.method} {request.url.path}"
        told = ApiError(error.status_code, f"{where}: {error.detail}")
        return JSONResponse(
            told.body(request_id(request.scope)), error.status_code, headers=error.headers
        )

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        id_ = request_id(request.scope)
        log.error("%s: %s", id_, error, exc_info=error)
        told = ApiError(500, "the server failed; its log says why, by the request's id")
        return JSONResponse(told.body(id_), 500)

    return _Observed(app, service.metrics)


# -- answers ---------------------------------------------------------------------------------------


async def _whole(
    prepared: Prepared,
    begun: Begun,
    events: asyncio.Queue[Event],
    shape: Shape,
    gone: asyncio.Future[None],
) -> Response:
    """An answer that is waited for."""
    rows = range(len(prepared.asked.prompts))
    texts, ended = [""] * len(rows), dict[int, Ended]()
    while len(ended) < len(rows):
        event = await _unless(gone, events)
        if isinstance(event, Piece):
            texts[event.row] += event.text
        elif isinstance(event, Ended):
            ended[event.row] = event
        else:
            raise _failure(event)
    said = [sake_object(one, detail=prepared.detail) for one in begun.decided]
    for row in rows:
        if ended[row].late:
            said[row]["ended"] = "the time was up"
    used = usage(prepared.prompt_tokens, sum(one.tokens for one in ended.values()))
    return JSONResponse(
        shape.whole(texts, [ended[row].finish for row in rows], said, used),
        headers=headers(begun.decided),
    )


class _Stream(StreamingResponse):
    """An answer in pieces (server-sent events). However it ends, its rows are freed."""

    def __init__(
        self,
        prepared: Prepared,
        begun: Begun,
        events: asyncio.Queue[Event],
        shape: Shape,
        id_: str,
    ) -> None:
        self._prepared, self._begun, self._events = prepared, begun, events
        self._shape, self._id = shape, id_
        super().__init__(
            self._pieces(),
            media_type="text/event-stream",
            headers={
                **headers(begun.decided),
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",  # nginx would hold it back
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._prepared.asked.cancelled = True

    async def _pieces(self) -> AsyncIterator[bytes]:
        prepared, shape = self._prepared, self._shape
        left, tokens = set(range(len(prepared.asked.prompts))), 0
        for row, one in enumerate(self._begun.decided):
            yield _event(shape.first(row, sake_object(one, detail=prepared.detail)))
        while left:
            event = await self._events.get()
            if isinstance(event, Piece):
                yield _event(shape.piece(event.row, event.text))
            elif isinstance(event, Ended):
                left.discard(event.row)
                tokens += event.tokens
                yield _event(shape.last(event.row, event.finish))
            else:
                yield _event(_failure(event).body(self._id))
                return
        if prepared.usage_in_stream:
            yield _event(shape.used(usage(prepared.prompt_tokens, tokens)))
        yield b"data: [DONE]\n\n"


def _event(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _failure(event: Event) -> ApiError:
    assert isinstance(event, Failed)
    if event.busy:
        return ApiError(503, event.message, code="busy", retry_after=1)
    return ApiError(500, event.message, code="failed")


class _HungUpError(Exception):
    """Nobody waits for the answer."""


async def _hung_up(request: Request) -> None:
    """Returns when the client has gone. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _unless(gone: asyncio.Future[None], events: asyncio.Queue[Event]) -> Event:
    """The next event.

    Raises:
        _HungUpError: the client has gone.
    """
    event = asyncio.ensure_future(events.get())
    await asyncio.wait((gone, event), return_when=asyncio.FIRST_COMPLETED)
    if event.done():
        return event.result()
    event.cancel()
    raise _HungUpError


# -- around every request --------------------------------------------------------------------------


def request_id(scope: Scope) -> str:
    """The request's id: the client's own (`X-Request-Id`), or a new one."""
    known = scope.setdefault("state", {})
    if "request_id" not in known:
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        known["request_id"] = given if _ID.fullmatch(given) else uuid.uuid4().hex
    return str(known["request_id"])


class _Observed:
    """Gives each request its id, and counts it when its answer has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_, began, status = request_id(scope), time.perf_counter(), GONE

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", id_.encode()))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            log.debug("%s %s %s %d %.3f s", id_, scope["method"], scope["path"], status, seconds)
