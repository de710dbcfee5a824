"""Routes of vLLM's own server: which edits are loaded, and switching them.

The server runs in another process than the worker. What is switched stands in the file of
overrides, which the worker follows: it is in force there within a second.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from sake_registry.bundle.reader import BundleFile
from sake_registry.remote.following import Follower
from sake_registry.serving.admin import Admin, read_token
from sake_registry.serving.protocol import ApiError, read_body, reason_of
from sake_registry.serving.vllm import BUNDLE
from sake_registry.serving.vllm.environment import Environment

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fastapi import FastAPI

    from sake_registry.bundle.format import EditInfo, Manifest

MAX_BODY = 1 << 14


@dataclass(frozen=True)
class Listed:
    """A bundle as the server knows it, without a model."""

    manifest: Manifest
    edits: Mapping[str, EditInfo]

    @property
    def key(self) -> str:
        return self.manifest.key

    @classmethod
    def of(cls, path: Path) -> Listed:
        with BundleFile(path) as file:
            return cls(file.manifest, {edit.id: edit for edit in file.manifest.edits})


class Edits:
    """An endpoint plugin of vLLM: `/v1/edits`, as of `sake serve`."""

    name = "sake"
    required_tasks = None

    def __init__(self) -> None:
        self._admin: Admin[Listed] | None = None

    def attach_router(self, app: FastAPI) -> None:
        """Add the routes; none where no bundle is served."""
        if not os.environ.get(BUNDLE):
            return
        environment = Environment.read(os.environ)
        follower = Follower(environment.bundle, Listed.of, overrides=environment.overrides)
        app.include_router(routes(Admin(read_token(None, os.environ), follower)))

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Nothing: the routes reach the worker by the file of overrides alone."""


def routes(admin: Admin[Listed]) -> APIRouter:
    """The routes that list and switch edits."""
    router = APIRouter()

    def refused(error: ApiError) -> JSONResponse:
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return JSONResponse(error.body(uuid.uuid4().hex), error.status, headers=headers)

    async def answer(call: Callable[..., dict[str, Any]], *args: Any) -> JSONResponse:
        try:
            return JSONResponse(await run_in_threadpool(call, *args))
        except ApiError as error:
            return refused(error)

    def switch(request: Request, id_: str, body: bytes | None) -> dict[str, Any]:
        admin.require(request.headers.get("authorization"))
        return admin.enable(id_) if body is None else admin.disable(id_, reason_of(body))

    @router.get("/v1/edits")
    async def edits() -> JSONResponse:
        return await answer(admin.edits)

    @router.post("/v1/edits/{id_}/disable")
    async def disable(id_: str, request: Request) -> JSONResponse:
        try:
            body = await read_body(request, MAX_BODY)
        except ApiError as error:
            return refused(error)
        return await answer(switch, request, id_, body)

    @router.post("/v1/edits/{id_}/enable")
    async def enable(id_: str, request: Request) -> JSONResponse:
        return await answer(switch, request, id_, None)

    return router
