"""Doing what a plan says: build what is missing, then assemble the bundle."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sake_registry.bundle.reader import BundleFile
from sake_registry.compiler.assemble import assemble
from sake_registry.compiler.build import Workshop, build
from sake_registry.compiler.plan import ModelIdentity, Plan, make_plan
from sake_registry.edits.keys import digest
from sake_registry.errors import BuildError, BundleFormatError, StorageError
from sake_registry.extraction import contexts
from sake_registry.files import remove_leftovers
from sake_registry.models.loading import LoadedModel, load, locate
from sake_registry.models.reading import PROBE_TEXTS, proved_site, read_probe
from sake_registry.models.site import Site
from sake_registry.models.sources import cache_folder
from sake_registry.models.states import embed_of, space_of
from sake_registry.routing.metric import Metric, MetricKind, learn
from sake_registry.settings import METHOD_VERSION
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.models.embedder import Embed

log = logging.getLogger(__name__)

_DONE = {"build": "built", "refit": "refitted", "reuse": "reused", "remove": "removed"}


@dataclass
class Compiled:
    """What compiling did. `bundle` is None where an edit failed or was not asked for."""

    plan: Plan
    bundle: Path | None = None
    manifest: Manifest | None = None
    built: list[str] = field(default_factory=list)
    failures: dict[str, BuildError] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    texts_run: int = 0
    seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, str]:
        """What was done with each edit: built, refitted, reused, removed, failed, to build."""
        found = {p.id: _DONE[p.action] for p in self.plan.edits if p.edit or self.bundle}
        found |= dict.fromkeys(self.missing, "still to build")
        return found | dict.fromkeys(self.failures, "failed")

    def as_json(self) -> dict[str, Any]:
        return {
            **self.plan.as_json(),
            "bundle": self.bundle and str(self.bundle),
            "content_hash": self.manifest and self.manifest.content_hash,
            "outcomes": self.outcomes,
            "built": self.built,
            "failures": {id_: error.message for id_, error in self.failures.items()},
            "missing": self.missing,
            "forward_texts": self.texts_run,
            "seconds": round(self.seconds, 2),
        }


def compile_registry(
    registry: Registry,
    ids: Sequence[str] = (),
    *,
    model: str | None = None,
    only: bool = False,
    slim: bool = False,
    keep_going: bool = False,
    plan: Plan | None = None,
    provenance: Mapping[str, str | bool | None] | None = None,
    progress: Callable[[str, int], None] = lambda edit, texts: None,
) -> Compiled:
    """Compile a registry for a model: build what the store lacks, and write the bundle.

    Interrupted at any moment, the next call goes on where it stopped. An edit that fails does
    not keep the others from being built, but no bundle is written then, unless `keep_going`
    leaves the failed ones out.

    Args:
        ids: build only these edits.
        model: another model than the settings'.
        only: a partial bundle of just `ids`.
        slim: leave the activations out of the bundle.
        keep_going: leave failed edits out of the bundle.
        plan: what `make_plan` gave for the same arguments, where it is already made.
        provenance: what is recorded in the bundle beside its keys (the git commit).
        progress: called with an edit's id and the number of texts just run.

    Raises:
        EditFileError, InputError, SettingsError: what was given is wrong.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        LockedError: another process compiles.
        StorageError: the store or the bundle cannot be written.
    """
    started = time.monotonic()
    registry.sound()
    if plan is None:
        located = locate(registry.settings, model)
        plan = make_plan(registry, located, ids, only=only, slim=slim)
    result = Compiled(plan)
    if plan.current and not ids:
        try:
            with BundleFile(plan.path) as bundle:
                bundle.verify()
                result.bundle, result.manifest = plan.path, bundle.manifest
        except BundleFormatError as error:
            log.warning("%s: it is written anew", error.message)
        else:
            with suppress(OSError):  # the newest bundle is the one last asked for
                plan.path.touch()
            result.seconds = time.monotonic() - started
            return result
    store = Store(registry.store)
    with _Bench(plan, registry, store) as bench, store.lock():
        remove_leftovers(registry.bundles)  # their writers hold this lock as well
        located = plan.located
        store.remember_model(located.source.name, located.hash, located.dtype)
        for planned in plan.edits:
            if planned.edit is None or planned.keys is None or planned.id not in plan.chosen:
                continue
            bench.shop.progress = lambda n, id_=planned.id: progress(id_, n)  # type: ignore[misc]
            try:
                build(planned.edit, planned.keys, bench.shop)
            except BuildError as error:
                result.failures[planned.id] = error
            else:
                if planned.action != "reuse":
                    result.built.append(planned.id)
        result.texts_run = bench.shop.texts_run
        if result.failures and keep_going:
            plan = result.plan = plan.without(result.failures)
        result.missing = [
            planned.id
            for planned in plan.edits
            if planned.keys and planned.id not in result.failures
            and not store.has("routes", planned.keys.edit)
        ]  # fmt: skip
        # Where every edit failed, there is nothing to put into a bundle.
        sound = not result.failures or (keep_going and any(p.edit for p in plan.edits))
        if sound and not result.missing:
            probe, architecture = bench.probe()
            metric = bench.metric()
            result.manifest = assemble(
                plan, store, registry.settings, probe, architecture, metric, provenance or {}
            )
            result.bundle = plan.path
    result.seconds = time.monotonic() - started
    return result


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
    stored = store.get("metric", key)
    if stored is None:
        shared = Store(cache_folder() / "metrics")
        stored = shared.get("metric", key)
        if stored is None:
            metric = learn(embed, kind)
            tensors = {"projection": metric.projection, "background": metric.background}
            if metric.labels is not None:
                tensors["labels"] = metric.labels
            stored = tensors, list(metric.topics)
            with suppress(StorageError):  # a cache that cannot be written costs five seconds
                shared.put("metric", key, *stored)
        store.put("metric", key, *stored)
    tensors, topics = stored
    return Metric(
        kind=kind,
        projection=tensors["projection"],
        background=tensors["background"],
        topics=tuple(topics),
        labels=tensors.get("labels"),
    )


def metric_key(kind: MetricKind, space: str) -> str:
    """The key of a metric in the store; the library that it is learnt from is the method's."""
    return digest(["metric", METHOD_VERSION, kind, space])


class _Bench:
    """The model and the embedder for one run, loaded when first needed, released at the end."""

    def __init__(self, plan: Plan, registry: Registry, store: Store) -> None:
        self._plan, self._registry, self._store = plan, registry, store
        self._loaded: tuple[LoadedModel, Site] | None = None
        self._embed: Embed | None = None
        self._metric: Metric | None = None
        self.shop = Workshop(
            settings=registry.settings,
            store=store,
            contexts=contexts.choose(registry.settings),
            load=self.load,
            embed=self.embed,
            metric=self.metric,
        )

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._loaded:
            self._loaded[1].remove()

    def load(self) -> tuple[LoadedModel, Site]:
        if self._loaded is None:
            trust = self._registry.settings.trust_remote_code
            loaded = load(self._plan.located, trust_remote_code=trust)
            site = proved_site(loaded.model, loaded.tokenizer)
            self._loaded = loaded, site
        return self._loaded

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts for the router, as its settings say."""
        if self._embed is None:
            representation = self._registry.settings.router.representation
            self._embed = embed_of(representation, self._plan.located, self.load)
        return self._embed(texts)

    def metric(self) -> Metric:
        """How the router compares questions: learnt once for a space, then kept."""
        if self._metric is None:
            router = self._registry.settings.router
            space = space_of(router.representation, self._plan.located)
            self._metric = metric_of(router.metric, space, self.embed, self._store)
        return self._metric

    def probe(self) -> tuple[Tensor, str]:
        """Site activations of the probe texts, and the model's class: once per model and dtype."""
        located = self._plan.located
        key = probe_key(located)
        stored = self._store.get("probe", key)
        if stored is None:
            loaded, site = self.load()
            rows = read_probe(site, loaded.tokenizer)
            note = {"architecture": type(loaded.model).__name__}
            self._store.put("probe", key, {"rows": rows}, note)
            stored = {"rows": rows}, note
        tensors, note = stored
        return tensors["rows"], note["architecture"]
