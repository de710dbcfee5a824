"""What one compile shares: the settings, the store, and the model and the embedder, each loaded
when it is first needed; what it learns of them (the metric, the probe) is kept in the store."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sake_registry.compiler.machine import machine
from sake_registry.digests import digest
from sake_registry.errors import StorageError
from sake_registry.extraction import contexts
from sake_registry.models.loading import load
from sake_registry.models.reading import PROBE_TEXTS, proved_site, read_probe
from sake_registry.models.sources import cache_folder
from sake_registry.models.states import embed_of, space_of
from sake_registry.routing.metric import Metric, MetricKind, learn
from sake_registry.settings import METHOD_VERSION
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.compiler.plan import ModelIdentity
    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel, LocatedModel
    from sake_registry.models.site import Site
    from sake_registry.settings import Settings
    from sake_registry.store import Tensors


class RunContext:
    """One compile's settings, store, model and embedder; a context manager that lets go of the
    model's hook at its end."""

    def __init__(self, settings: Settings, located: LocatedModel, store: Store) -> None:
        self.settings, self.store = settings, store
        self.contexts = contexts.choose(settings)
        self.located = located
        self._loaded: tuple[LoadedModel, Site] | None = None
        self._embed: Embed | None = None
        self._metric: Metric | None = None

    def __enter__(self) -> RunContext:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._loaded:
            self._loaded[1].remove()

    def load(self) -> tuple[LoadedModel, Site]:
        """The model, and its site, proved."""
        if self._loaded is None:
            loaded = load(self.located, trust_remote_code=self.settings.trust_remote_code)
            self._loaded = loaded, proved_site(loaded.model, loaded.tokenizer)
        return self._loaded

    @cached_property
    def machine(self) -> str:
        """What is recorded with all that is built here."""
        return machine(self.located.device)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts for the router, as its settings say."""
        if self._embed is None:
            representation = self.settings.router.representation
            self._embed = embed_of(representation, self.located, self.load)
        return self._embed(texts)

    def metric(self) -> Metric:
        """How the router compares questions: learnt once for a space, then kept."""
        if self._metric is None:
            router = self.settings.router
            space = space_of(router.representation, self.located)
            self._metric = metric_of(router.metric, space, self.embed, self.store)
        return self._metric

    def probe(self) -> tuple[Tensor, str]:
        """Site activations of the probe texts, and the model's class: once per model and dtype."""
        key = probe_key(self.located)
        stored = self.store.read("probe", key, lambda t, note: (t["rows"], note["architecture"]))
        if stored is None:
            loaded, site = self.load()
            stored = read_probe(site, loaded.tokenizer), type(loaded.model).__name__
            self.store.put("probe", key, {"rows": stored[0]}, {"architecture": stored[1]})
        return stored


def probe_key(model: ModelIdentity) -> str:
    """The key of a model's probe in the store."""
    return digest(["probe", model.hash, model.dtype, PROBE_TEXTS])


def metric_of(kind: MetricKind, space: str, embed: Embed, store: Store) -> Metric:
    """The metric of a kind for embeddings of a space (`space_of`), from the store or learnt now.

    It depends on no registry: the user's cache keeps it for the next one.

    Raises:
        StorageError: the store cannot be written.
    """
    key = metric_key(kind, space)

    def parse(tensors: Tensors, note: Any) -> Metric:
        return Metric(
            kind=kind,
            projection=tensors["projection"],
            background=tensors["background"],
            topics=tuple(note),
            labels=tensors.get("labels"),
        )

    metric = store.read("metric", key, parse)
    if metric is None:
        shared = Store(cache_folder() / "metrics")
        metric = shared.read("metric", key, parse)
        known = metric is not None
        metric = metric or learn(embed, kind)
        tensors = {"projection": metric.projection, "background": metric.background}
        if metric.labels is not None:
            tensors["labels"] = metric.labels
        if not known:
            with suppress(StorageError):  # a cache that cannot be written costs five seconds
                shared.put("metric", key, tensors, list(metric.topics))
        store.put("metric", key, tensors, list(metric.topics))
    return metric


def metric_key(kind: MetricKind, space: str) -> str:
    """The key of a metric in the store; the library that it is learnt from is the method's."""
    return digest(["metric", METHOD_VERSION, kind, space])
