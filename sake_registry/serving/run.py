"""A server from its parts, and running it.

Guarantees:
- Other machines reach it only where it has a token: without one it listens on loopback alone.
- What was started is stopped, in order, however it ends: threads, follower, hooks, files.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn

from sake_registry.errors import InputError, SetupError
from sake_registry.places import local_path
from sake_registry.remote.following import Follower
from sake_registry.runtime.judged import BUDGET
from sake_registry.serving.admin import TOKEN_VARIABLE, Admin
from sake_registry.serving.app import Service, application
from sake_registry.serving.batching import Batcher, BatchLimits
from sake_registry.serving.deciding import Deciding
from sake_registry.serving.decisions import DecisionLog
from sake_registry.serving.live import Live
from sake_registry.serving.metrics import Metrics
from sake_registry.serving.preparing import CONTEXT, Limits, Preparing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sake_registry.remote.trust import Policy

log = logging.getLogger(__name__)

LOOKS, LOCAL_LOOKS = 0.25, 0.1
"""Seconds between two looks at what names the bundle, and at what is switched off; of files that
lie on this machine more often, as they cost next to nothing."""
_GRACE = 10
"""Seconds that answers under way have when the server is told to stop."""
_BACKLOG = 2048


@dataclass(frozen=True)
class Serving:
    """How a bundle is served.

    Attributes:
        name: what clients call the model.
        place: a bundle or a pointer, path or URL; None serves the model bare.
        overrides: the file of what is switched off; beside `place` if None.
        shadow: decide and log, and change nothing.
        policy: on signatures; this machine's if None.
        log: the file of decisions; stderr if None.
        log_prompts: write prompts into it.
        token: of admin calls; None refuses them.
        budget: most seconds for a decision.
        prompt_tokens: most tokens of a prompt; the model's context if None.
    """

    name: str
    place: str | None = None
    overrides: str | None = None
    policy: Policy | None = None
    shadow: bool = False
    log: Path | None = None
    log_prompts: bool = False
    token: str | None = None
    budget: float = BUDGET
    prompt_tokens: int | None = None
    answer_tokens: int = 1024
    seconds: float = 120.0
    batches: BatchLimits = field(default_factory=BatchLimits)


@contextmanager
def service(
    model: Any, tokenizer: Any, serving: Serving, *, source: Path | None = None
) -> Iterator[Service]:
    """A model and a bundle, ready to answer; stopped at the end of the block.

    Args:
        source: the folder that the model was loaded from.

    Raises:
        SakeError: the bundle cannot be had, or is of another model.
    """
    with ExitStack() as stack:
        decisions = DecisionLog(serving.log, prompts=serving.log_prompts)
        stack.callback(decisions.close)
        metrics, live = Metrics(), Live(model, tokenizer, source)
        stack.callback(live.close)
        if serving.place is not None:
            every = LOCAL_LOOKS if local_path(serving.place) else LOOKS
            live.follower = Follower(
                serving.place, live.take, every,
                overrides=serving.overrides, policy=serving.policy,
            )  # fmt: skip
        follower = live.follower
        metrics.watch(lambda: follower.now if follower else None)
        deciding = Deciding(serving.budget, shadow=serving.shadow)
        batcher = Batcher(live, deciding, decisions, metrics, serving.batches)
        stack.callback(batcher.close)
        context = context_of(model)
        limits = Limits(
            prompt=min(serving.prompt_tokens or context, context - 1),
            tokens=min(serving.answer_tokens, context - 1),
            context=context,
            seconds=serving.seconds,
        )
        yield Service(
            serving.name,
            live,
            batcher,
            Preparing(tokenizer, serving.name, limits),
            Admin(serving.token, follower),
            metrics,
            decisions,
            limits,
            shadow=serving.shadow,
        )


def context_of(model: Any) -> int:
    """How many positions a model has."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or CONTEXT)


def listen(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that is bound, and not yet listening.

    Raises:
        InputError: other machines could reach it, and there is no token.
        SetupError: it cannot be bound.
    """
    if token is None and not _is_loopback(host):
        raise InputError(
            f"{host} can be reached from other machines, and there is no token for admin calls",
            hint=f"set {TOKEN_VARIABLE}, or name a file: --admin-token-file FILE; or leave --host "
            "out, which listens on this machine alone",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SetupError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            hint="another server may be there: --port chooses another port",
        ) from error
    return bound


def run(ready: Service, bound: socket.socket, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        started: told the address when requests are answered.
    """
    server = http_server(ready)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises a signal again when it has stopped: to be told to stop is no failure.
    before = signal.signal(signal.SIGTERM, stop)
    host, port = bound.getsockname()[:2]
    try:
        bound.listen(_BACKLOG)
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()


def http_server(ready: Service) -> uvicorn.Server:
    """The routes, as uvicorn runs them."""
    config = uvicorn.Config(
        application(ready),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
