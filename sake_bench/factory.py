"""The methods of a run, made ready: compiled, calibrated, described.

`sake` compiles what the settings at hand say; the published methods share one router, whose
threshold is set here on records that are not scored.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from sake_bench import methods, retrieval
from sake_bench.datasets.importing import (
    implication_prompts,
    sample,
    to_edit,
    without_conflicts,
)
from sake_bench.methods import Steering
from sake_bench.protocol import METHODS, ROUTED, STATED, WEIGHTS, Retrieval
from sake_bench.results import MethodResult
from sake_registry.compiler.plan import keys_of, make_plan
from sake_registry.compiler.run import compile_registry
from sake_registry.digests import digest
from sake_registry.errors import InputError
from sake_registry.extraction import contexts
from sake_registry.extraction.texts import groups
from sake_registry.models.embedder import open_embedder
from sake_registry.models.reading import prove, read_last
from sake_registry.models.site import Site
from sake_registry.routing import calibration
from sake_registry.settings import MINILM, CompileSettings
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from sake_bench.datasets.choices import ChoiceFile
    from sake_bench.datasets.records import Aliases, DataSet, Record
    from sake_bench.methods import Method
    from sake_bench.protocol import Scope
    from sake_bench.replies import ReplyCache
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel, LocatedModel
    from sake_registry.progress import Progress
    from sake_registry.settings import Representation, Settings
    from sake_registry.store import Store
    from sake_registry.transport import TransportMap

CALIBRATED_ON = 100
"""Records that a threshold is set on, at most."""


@dataclass(frozen=True)
class Request:
    """What a run is asked for.

    Attributes:
        weights_limit: measure methods that change weights on so many of the records.
        calibrate_on: records that are not scored, to set the published router's threshold on;
            the other records of the data if None.
        threshold: the published router's threshold, instead of calibrating it.
        curves: `threshold`, `prompts`: the points of Figures 3 and 5; `loads`: by the number of
            edits loaded; `scale`: routing alone, by as many as `scale` says.
        questions: ask more than the data do: the subject's other relations, and the fact as a
            question, plainly and in a chat.
        aliases: which of the subjects' other names the edit files state.
        project: ids of edits to draw; the first if empty.
        scopes: those that methods with a router are asked under.
        retrieval: how methods that state facts choose and word them.
        costs: requests that are timed one by one, under each method that can be served.
        undo: prompts that the model is compared on before edits are attached and after.
        ability: multiple-choice questions that are answered bare and with edits attached.
        fill: for costs, undo and ability, fill bundles up to so many edits with made-up ones.
        scale: the numbers of loaded edits of the curve `scale`.
    """

    data: DataSet
    file: Path
    methods: tuple[str, ...]
    work: Path
    limit: int | None = None
    seed: int = 0
    weights_limit: int | None = None
    calibrate_on: DataSet | None = None
    threshold: float | None = None
    curves: tuple[str, ...] = ()
    questions: bool = False
    aliases: Aliases = "none"
    project: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ROUTED
    retrieval: Retrieval = field(default_factory=Retrieval)
    costs: int | None = None
    undo: int | None = None
    ability: tuple[ChoiceFile, ...] = ()
    fill: int | None = None
    scale: tuple[int, ...] = ()


@dataclass(frozen=True)
class RunContext:
    """What the methods of a run share.

    Attributes:
        records: what is measured on; `others` are sound and not measured on.
        edits: the records' edits by id; `registry` holds them as files.
        located: the model with a prompt embedder of that name.
        embed: how texts are embedded for a router, by the model's states or by that embedder.
        in_weights: the ids that methods which change weights are measured on.
        seconds: a tally of how long each thing took.
    """

    request: Request
    records: Sequence[Record]
    others: Sequence[Record]
    edits: Mapping[str, Edit]
    in_weights: Sequence[str]
    registry: Registry
    store: Store
    loaded: LoadedModel
    located: Callable[[str], LocatedModel]
    embed: Callable[[Representation, str], Embed]
    cache: ReplyCache
    progress: Progress
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Adds the seconds of its block to the tally."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] += time.monotonic() - start


PUBLISHED_PROMPTS = 60


def published_embedder(settings: Settings) -> str:
    """The embedder that the published router compares prompts by: the one that was set, if it was,
    and not the one that the scope detector brings."""
    router = settings.router
    return MINILM if router.kind == "detector" else router.embedder


def paper_settings(settings: Settings, threshold: float) -> Settings:
    """The published settings (3.2.1, 4.1, A.2), over the settings at hand.

    Another number of prompts than this project's default was asked for: it holds for all methods.
    """
    usual = settings.compile.prompts == CompileSettings().prompts
    return settings.model_copy(
        update={
            "compile": settings.compile.model_copy(
                update={
                    "sources": ["plain", "forced"],
                    "targets": ["repeat"],
                    "keep_failed": True,
                    "prompts": PUBLISHED_PROMPTS if usual else settings.compile.prompts,
                    "reg": 0.01,
                    "complement": 1.0,
                    "whole": False,
                    "solver": "lowrank",
                }
            ),
            "contexts": settings.contexts.model_copy(
                update={"forced": {"repeat": "Repeat this sentence: '{prompt} {old}'. {prompt}"}}
            ),
            "router": settings.router.model_copy(
                update={
                    "kind": "centre",
                    "embedder": published_embedder(settings),
                    "representation": "embedder",
                    "metric": "euclidean",
                    "threshold": threshold,
                    "tasks": "leave",
                    "learned": "",
                }
            ),
            "answer": settings.answer.model_copy(update={"guard": False, "exact": False}),
        }
    )


class MethodFactory:
    """Makes methods by name, and describes each for the report."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.described: list[MethodResult] = []
        self.calibrated: tuple[float, str] | None = None
        self._made: dict[str, Method] = {}
        self._paper: Steering | None = None
        # Values that MEMIT optimised: CompMEMIT asks for some of them again.
        self._targets: dict[Any, Tensor] = {}

    def method(self, name: str) -> Method:
        """The method of a name, compiled and ready to be asked; made once.

        Raises:
            InputError: no edit could be compiled, or no threshold can be set.
        """
        if name not in self._made:
            made = self._made[name] = self._make(name)
            if isinstance(made, Steering | methods.InContext):
                made.scopes = self.context.request.scopes
        return self._made[name]

    def _make(self, name: str) -> Method:
        if name == "base":
            self._describe(name)
            return methods.Base(self.context.cache)
        if name in WEIGHTS:
            return self._in_weights(name)
        if name in STATED:
            return self._stated(name)
        if name in ("sake", "sake-inexact"):
            registry = self.context.registry
            if name == "sake-inexact":
                answer = registry.settings.answer.model_copy(update={"exact": False})
                settings = registry.settings.model_copy(update={"answer": answer})
                registry = replace(registry, settings=settings)
            method = self._compiled(name, registry)
            self._describe(name, method)
            return method
        paper = self._paper_method()
        if name == "sake-paper":
            self._describe(name, paper)
            return paper
        if name == "uniform":
            method = self._published(name, "uniform")
        elif name == "actadd":
            maps = methods.contrast_maps(paper.bundle)
            keys = {edit: f"actadd {key}" for edit, key in paper.keys.items()}
            method = self._steering(name, paper.bundle.path, paper, keys, maps)
        else:
            self._describe(name, paper)
            return methods.InContext(
                list(self.context.edits.values()), paper.scoping, self.context.cache
            )
        self._describe(name, method)
        return method

    def _stated(self, name: str) -> Method:
        edits, how = self.context.edits, self.context.request.retrieval
        if name == "prompt-all":
            choose = retrieval.every(edits)
        elif name == "hybrid":
            sake = self.method("sake")
            assert isinstance(sake, Steering)
            choose = retrieval.routed(sake.bundle)
        elif how.by == "bm25":
            choose = retrieval.lexical(edits, how.k)
        else:
            embedder = self.context.registry.settings.router.embedder
            folder = self.context.located(embedder).embedder_folder
            choose = retrieval.nearest(edits, how.k, open_embedder(folder).embed)
        self._describe(name, settings={"retrieval": how.model_dump(mode="json")})
        return retrieval.Stated(name, edits, how, self.context.cache, choose)

    def _in_weights(self, name: str) -> Method:
        from sake_bench.weights import Grace, WeightEditor

        editor: Grace | WeightEditor
        if name == "grace":
            editor = Grace(self.context.loaded)
        else:
            editor = WeightEditor(
                self.context.loaded,
                self.context.store,
                name,  # type: ignore[arg-type]
                self.context.request.seed,
                targets=None if name == "rome" else self._targets,
            )
        edits = [self.context.edits[id_] for id_ in self.context.in_weights]
        self._describe(name, settings=editor.settings, edits=len(edits))
        return methods.InWeights(name, edits, editor, self.context.cache)

    def _describe(
        self,
        name: str,
        method: Steering | None = None,
        *,
        settings: dict[str, Any] | None = None,
        edits: int | None = None,
    ) -> None:
        if method is not None:
            settings, edits = method.settings, len(method.entries)
        self.described.append(
            MethodResult(
                name=name,
                description=METHODS[name],
                edits=len(self.context.edits) if edits is None else edits,
                failed=method.failed if method else {},
                threshold=method.settings["router"]["threshold"] if method else None,
                calibrated=self.how_calibrated(name) if method else None,
                settings=settings or {},
            )
        )

    def how_calibrated(self, name: str) -> str | None:
        """How the threshold of a method was set; None where it is the project's."""
        return self.calibrated[1] if self.calibrated and name != "sake" else None

    def _paper_method(self) -> Steering:
        if self._paper is None:
            self._paper = self._published("sake-paper", "lowrank")
        return self._paper

    def _published(self, name: str, solver: str) -> Steering:
        settings = paper_settings(self.context.registry.settings, self.threshold())
        compile_ = settings.compile.model_copy(update={"solver": solver})
        settings = settings.model_copy(update={"compile": compile_})
        # The published compile knows no implications with stated answers: they come below.
        edits = tuple(
            e.model_copy(update={"implications": ()}) for e in self.context.registry.edits
        )
        method = self._compiled(
            name, replace(self.context.registry, settings=settings, edits=edits)
        )
        prompts = {
            r.id: implication_prompts(r, self.context.request.data) for r in self.context.records
        }
        if not any(prompts.values()):
            return method
        implied, key = self._implied(prompts, settings)
        reg = settings.compile.reg
        maps = methods.implied_maps(method.bundle, implied, reg, solver, self.context.request.seed)  # type: ignore[arg-type]
        keys = {
            e: digest([k, key[e], e, self.context.request.seed]) for e, k in method.keys.items()
        }
        return self._steering(name, method.bundle.path, method, keys, maps)

    def _steering(
        self,
        name: str,
        path: Path,
        like: Steering,
        keys: Mapping[str, str],
        maps: Mapping[str, Sequence[TransportMap]],
    ) -> Steering:
        """A method that shares another's router and has maps of its own."""
        method = Steering(name, path, self.context.cache, like.embed, keys=keys, maps=maps)
        method.settings, method.failed = like.settings, like.failed
        return method

    def _compiled(self, name: str, registry: Registry) -> Steering:
        """A method that runs a bundle compiled with a registry's settings."""
        router = registry.settings.router
        located = self.context.located(router.embedder)
        plan = make_plan(registry, located)
        with self.context.clock(f"compiling {name}"):
            done = compile_registry(
                registry, plan=plan, keep_going=True, progress=self.context.progress
            )  # fmt: skip
        if done.bundle is None:
            reason = next(iter(done.failures.values())).message
            raise InputError(f"{name}: no edit could be compiled: {reason}")
        of_edits = keys_of(registry.active, located, registry.settings)
        # Replies hang on the maps and what is done beside them, not on the router.
        answer = registry.settings.answer.model_dump()
        keys = {id_: digest([answer, key.maps]) for id_, key in of_edits.items()}
        embed = self.context.embed(router.representation, router.embedder)
        method = Steering(name, done.bundle, self.context.cache, embed, keys=keys)
        method.failed = {id_: error.message for id_, error in done.failures.items()}
        method.settings = registry.settings.model_dump(
            include={"compile", "router", "answer", "contexts"}, mode="json"
        )
        method.settings["router"]["threshold"] = router.bound
        return method

    def _implied(
        self, prompts: Mapping[str, Sequence[str]], settings: Settings
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, str]]:
        """Plain and target activations of implications whose answers are not stated."""
        template = contexts.TEMPLATES["implication_target"]["pretend"]
        rows_of, keys = {}, {}
        site = Site(self.context.loaded.model)
        try:
            prove(site, self.context.loaded.tokenizer)
            self.context.progress.begin("implications", sum(map(len, prompts.values())))
            for id_, plain in prompts.items():
                if not plain:
                    keys[id_] = ""
                    continue
                edit = self.context.edits[id_]
                fact = f"{edit.fill(edit.prompts[0].text)} {edit.new}"
                target = [
                    contexts.fill(template, prompt=p, old=edit.old, new=edit.new, fact=fact) or p
                    for p in plain
                ]
                texts = [*plain, *target]
                keys[id_] = digest(
                    [
                        "implied",
                        self.context.loaded.located.hash,
                        self.context.loaded.located.dtype,
                        texts,
                    ]
                )
                stored = self.context.store.get("activations", keys[id_])
                if stored is None:
                    batch = settings.compile.batch_size
                    rows = (
                        read_last(site, self.context.loaded.tokenizer, texts, batch).float().cpu()
                    )
                    tensors = {"plain": rows[: len(plain)], "target": rows[len(plain) :]}
                    self.context.store.put("activations", keys[id_], tensors, None)
                    stored = tensors, None
                rows_of[id_] = stored[0]["plain"], stored[0]["target"]
                self.context.progress.advance(len(plain))
        finally:
            site.remove()
        return rows_of, keys

    # -- the published router's threshold ------------------------------------------------------

    def threshold(self) -> float:
        """The published router's, set on records that are not scored.

        Raises:
            InputError: there are too few of them.
        """
        if self.calibrated is None:
            self.calibrated = self._calibrate()
        return self.calibrated[0]

    def _calibrate(self) -> tuple[float, str]:
        if self.context.request.threshold is not None:
            return self.context.request.threshold, "as given"
        data = self.context.request.calibrate_on or self.context.request.data
        pool = (
            without_conflicts(data.records)[0]
            if self.context.request.calibrate_on
            else self.context.others
        )
        scored = {(r.subject, r.relation) for r in self.context.records}
        pool = [r for r in pool if (r.subject, r.relation) not in scored and r.of("gen")]
        chosen = sample(pool, min(CALIBRATED_ON, len(pool)), self.context.request.seed)
        if len(chosen) < 10 or not any(r.of("neighbourhood") for r in chosen):
            raise InputError(
                "there are too few records that are not scored to set a threshold on",
                hint="`calibrate_on` takes another data file; `threshold` sets it",
            )
        with self.context.clock("calibrating"):
            point = self._calibrated_on(chosen, data)
        return point.threshold, (
            f"on {count(len(chosen), 'other record')} of {data.name}: there {point.served:.1%} of "
            f"paraphrases are in scope and {point.left_alone:.1%} of neighbourhood prompts are "
            "left alone, all edits loaded"
        )

    def _calibrated_on(self, records: Sequence[Record], data: DataSet) -> calibration.Point:
        size = self.context.registry.settings.compile.prompts
        embedder = published_embedder(self.context.registry.settings)
        embed = self.context.embed("embedder", embedder)
        edits = [to_edit(record, data) for record in records]
        prompts = [groups(edit, size)[0].prompts for edit in edits]
        key = digest(["calibration", self.context.located(embedder).identity.embedder, prompts])
        stored = self.context.store.get("calibration", key)
        if stored is None:
            self.context.progress.begin("calibrating", len(edits))
            points = []
            for of_edit in prompts:
                points.append(embed(of_edit).mean(0))
                self.context.progress.advance(1)
            self.context.store.put("calibration", key, {"centres": torch.stack(points)}, None)
            stored = {"centres": torch.stack(points)}, None
        centres = stored[0]["centres"]
        prompts_of = [
            (number if test.axis == "gen" else None, test.query.prompt)
            for number, record in enumerate(records)
            for test in record.of("gen", "neighbourhood")
        ]
        distances = torch.cdist(embed([prompt for _, prompt in prompts_of]), centres)
        nearest = [
            calibration.Nearest(
                float(row.min()), None if edit is None else int(row.argmin()) == edit
            )
            for (edit, _), row in zip(prompts_of, distances, strict=True)
        ]
        steps = [round(0.05 * i, 2) for i in range(1, 241)]
        return calibration.best(calibration.curve(nearest, steps))
