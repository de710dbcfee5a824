"""A worker in production: the pointer that it follows, what it counts, what it logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from sake_registry.errors import SetupError
from sake_registry.remote.following import Follower
from sake_registry.serving.decisions import DecisionLog
from sake_registry.serving.metrics import Metrics

if TYPE_CHECKING:
    from sake_registry.runtime.vllm.engine import Decided, Engine, Served
    from sake_registry.serving.vllm.environment import Environment

log = logging.getLogger(__name__)


class Production:
    """Serves by a worker's engine what a pointer leads to.

    Raises:
        SakeError: the bundle cannot be had or is of another model, the log cannot be written, or
            the port of the metrics is taken.
    """

    def __init__(self, engine: Engine, environment: Environment) -> None:
        self._metrics = Metrics()
        self._log: DecisionLog | None = None
        if environment.log is not None:
            self._log = DecisionLog(environment.log, prompts=environment.log_prompts)
        follower: Follower[Served] = Follower(
            environment.bundle, engine.take, overrides=environment.overrides
        )
        self._metrics.watch(lambda: follower.now)
        if environment.metrics_port is not None:
            # Each replica of a model has a worker of its own.
            port = environment.metrics_port + engine.replica
            try:
                start_http_server(port, environment.metrics_host, self._metrics.registry)
            except OSError as error:
                raise SetupError(
                    f"{environment.metrics_host}:{port}: metrics cannot be served there: "
                    f"{error.strerror}",
                    hint="set SAKE_METRICS_PORT to another one",
                ) from error

        def current() -> tuple[Served, frozenset[str]]:
            now = follower.now
            return now.current, now.disabled

        engine.serve(current, self._decided, self._metrics.tokens.inc)
        bundle = follower.current.bundle
        log.info("edits of %s (%s) are served", bundle.path, bundle.manifest.key[:12])

    def _decided(self, decided: Decided) -> None:
        self._metrics.count(decided)
        if self._log is not None:
            self._log.write(decided.request, decided, decided.prompt)
