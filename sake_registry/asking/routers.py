"""Routers over a registry's edits, to ask which of them would fire.

No language model is needed, unless its own states are what the router compares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sake_registry.bundle.newest import newest_bundles
from sake_registry.compiler.build import route
from sake_registry.compiler.context import metric_key, metric_of
from sake_registry.compiler.plan import stale
from sake_registry.errors import LockedError, StorageError
from sake_registry.extraction.texts import groups
from sake_registry.models.embedder import locate_embedder, open_embedder, remembering
from sake_registry.models.fingerprint import embedder_hash
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import proved_site
from sake_registry.models.site import Site
from sake_registry.models.states import embed_of, space_of
from sake_registry.routing.metric import learn
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel, LocatedModel
    from sake_registry.routing.metric import Metric, MetricKind
    from sake_registry.settings import Representation, Settings

GroupKind = Literal["fact", "implication"]


@dataclass(frozen=True)
class Routers:
    """What makes routers over edits, as a registry's settings say."""

    settings: Settings
    embed: Embed
    space: str
    """What tells the space of its embeddings from others."""
    metric: Metric
    store: Store

    def measuring(self, kind: MetricKind) -> Routers:
        """The same with a metric of another kind."""
        if kind == self.metric.kind:
            return self
        return replace(self, metric=_metric(kind, self.space, self.embed, self.store))

    def entry(
        self, edit: Edit, kinds: Collection[GroupKind] = ("fact", "implication")
    ) -> tuple[RouterEntry, tuple[str, ...]]:
        """What a router knows of an edit, and the new object of each of its groups.

        Dates are left out: what is asked is not of one day.
        """
        parts = groups(edit, self.settings.compile.prompts)
        kept = [number for number, group in enumerate(parts) if group.kind in kinds]
        points, routing = route(edit, parts, kept, self.settings, self.embed, self.metric)
        return RouterEntry.of(edit.id, routing, points), tuple(parts[number].new for number in kept)

    def router(self, entries: Iterable[RouterEntry], metric: Metric | None = None) -> Router:
        """A router over entries; `metric` in place of the settings' one."""
        router = self.settings.router
        return Router(
            entries, self.embed, metric or self.metric,
            last_names=router.last_names, tasks=router.tasks == "answer", learned=router.learned,
        )  # fmt: skip


def routers_of(registry: Registry) -> Routers:
    """What makes routers as a registry's settings say.

    Raises:
        ModelNotFoundError: the prompt embedder, or the model whose states are compared, is not on
            this machine and cannot be fetched.
        UnsupportedModelError: that model cannot be read.
    """
    settings = registry.settings
    embed, space = _embedding(settings)
    embed, store = remembering(embed), Store(registry.store)
    metric = _metric(settings.router.metric, space, embed, store)
    return Routers(settings, embed, space, metric, store)


def _embedding(settings: Settings) -> tuple[Embed, str]:
    representation = settings.router.representation
    if representation == "embedder":  # whatever the model: it need not be there
        folder = locate_embedder(settings.router.embedder)
        return open_embedder(folder).embed, embedder_hash(folder)
    located = locate(settings)
    return embed_with(settings, representation, located), space_of(representation, located)


def embed_with(settings: Settings, representation: Representation, located: LocatedModel) -> Embed:
    """How texts are embedded by a model's own states, or beside it; errors as of `embed_of`."""

    def loaded() -> tuple[LoadedModel, Site]:
        model = load(located, trust_remote_code=settings.trust_remote_code)
        return model, proved_site(model.model, model.tokenizer)

    return embed_of(representation, located, loaded)


def _metric(kind: MetricKind, space: str, embed: Embed, store: Store) -> Metric:
    if store.has("metric", metric_key(kind, space)):
        return metric_of(kind, space, embed, store)
    try:
        with store.lock():
            return metric_of(kind, space, embed, store)
    except (StorageError, LockedError):  # not to keep it costs only time
        return learn(embed, kind)


def current_bundle(registry: Registry, space: str) -> Path | None:
    """The newest whole bundle that is what the registry says now, for whatever model, with
    prompts embedded in this space."""
    representation = registry.settings.router.representation

    def is_current(manifest: Manifest) -> bool:
        if stale(manifest, registry, manifest.model):
            return False
        return space_of(representation, manifest.model) == space

    newest = newest_bundles(registry.bundles, accept=is_current)
    return newest[0][0] if newest else None
