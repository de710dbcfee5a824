"""What a server counts, for Prometheus. Names and labels are the same for every server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from sake_registry.runtime.judged import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from sake_registry.remote.following import Followed
    from sake_registry.runtime.bundle import Bundle
    from sake_registry.runtime.judged import Judged


class Loaded(Protocol):
    """What holds a bundle."""

    @property
    def bundle(self) -> Bundle: ...


L = TypeVar("L", bound=Loaded)

_DECIDING = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_ANSWERING = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "sake_decisions", "Prompts, by what was decided of them.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        for kind in ("fired", "left_alone", "disabled", "bare"):
            self.decisions.labels(kind)
        self.fires = Counter(
            "sake_fires", "Prompts that an edit fired for.", ["edit"], registry=self.registry
        )
        self.over_budget = Counter(
            "sake_decisions_over_budget", "Prompts answered bare because deciding took too long.",
            registry=self.registry,
        )  # fmt: skip
        self.decision_seconds = Histogram(
            "sake_decision_seconds", "How long it took to decide on a prompt.",
            buckets=_DECIDING, registry=self.registry,
        )  # fmt: skip
        self.requests = Counter(
            "sake_requests", "Requests, by route and HTTP status.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "sake_request_seconds", "From a request to the end of its answer.", ["route"],
            buckets=_ANSWERING, registry=self.registry,
        )  # fmt: skip
        self.tokens = Counter("sake_tokens", "Tokens of answers.", registry=self.registry)

    def count(self, judged: Judged) -> None:
        """What was decided of a prompt."""
        self.decisions.labels(outcome(judged)).inc()
        if judged.mode != "bare" and judged.decision.edit:
            self.fires.labels(judged.decision.edit).inc()
        if judged.seconds is not None:
            self.decision_seconds.observe(judged.seconds)
        if judged.over_budget:
            self.over_budget.inc()

    def watch(self, now: Callable[[], Followed[L] | None]) -> None:
        """Show what is live whenever the metrics are read."""
        self.registry.register(_Serving(now))


class _Serving(Collector, Generic[L]):
    """The current bundle, how it came to be, and what is disabled in it."""

    def __init__(self, now: Callable[[], Followed[L] | None]) -> None:
        self._now = now

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "sake_bundle_info", "The bundle that is live.", labels=["key", "content", "path"]
        )
        swaps = CounterMetricFamily(
            "sake_bundle_swaps", "Bundles that a pointer led to.", labels=["outcome"]
        )
        disabled = GaugeMetricFamily("sake_disabled_edits", "Edits that are switched off.")
        now = self._now()
        if now is not None:
            bundle = now.current.bundle
            labels = (bundle.manifest.key, bundle.manifest.content_hash, str(bundle.path))
            info.add_metric(labels, 1)
            swaps.add_metric(["taken"], now.generation - 1)
            swaps.add_metric(["refused"], now.refused)
            disabled.add_metric([], len(now.disabled))
        yield from (info, swaps, disabled)
