"""A benchmark run: records → edit files → bundles → replies → scores, as plain values.

Guarantees:
- The benchmark compiles what a user would: records become ordinary edit files in a registry of
  the working folder, and bundles come from the same compiler and run in the same runtime.
- No compiled prompt meets one of its record's tests, and thresholds that are calibrated are
  calibrated on records that are not scored; otherwise the run is refused.
- Interrupted, the next run goes on: activations, maps and replies lie in the working folder's
  store. Equal input gives an equal result, but for `environment`.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from sake_registry import names
from sake_registry.authoring.importing import (
    implication_prompts,
    import_records,
    sample,
    to_edit,
    without_conflicts,
)
from sake_registry.authoring.overlap import held_in, overlaps
from sake_registry.authoring.scaffold import init_registry
from sake_registry.compiler.assemble import versions
from sake_registry.compiler.plan import keys_of, make_plan
from sake_registry.compiler.run import compile_registry
from sake_registry.distributions import contexts
from sake_registry.distributions.texts import groups
from sake_registry.edits.keys import digest
from sake_registry.edits.registry import Registry, open_registry
from sake_registry.errors import InputError
from sake_registry.evaluation import curves, methods
from sake_registry.evaluation.intervals import estimate
from sake_registry.evaluation.methods import DESCRIPTIONS, WEIGHTS, Question, Steering
from sake_registry.evaluation.replies import Speaker
from sake_registry.evaluation.scoring import (
    SUCCESSES,
    Marks,
    Success,
    comes_back,
    entropy,
    judge,
    met,
)
from sake_registry.models.embedder import Embedder
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import prove, read_last
from sake_registry.models.site import Site
from sake_registry.routing import calibration
from sake_registry.settings import FILE_NAME
from sake_registry.store import Store
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from sake_registry.authoring.records import Axis, DataSet, Record, Test
    from sake_registry.evaluation.methods import Heard, Method, Scope
    from sake_registry.routing.router import Embed
    from sake_registry.settings import Settings
    from sake_registry.transport import TransportMap

log = logging.getLogger(__name__)

SCHEMA = "bench/1"
CONTINUATION = 40
"""Tokens of the continuations that `relapse` and `fluency` read."""
ANSWER = 10
"""Tokens of every other reply, unless an accepted name is longer."""
UNRELATED = 5
"""Unrelated prompts an edit is charged with for `collateral`."""
CALIBRATED_ON = 100
"""Records that a threshold is set on, at most."""
_LONG: tuple[Axis, ...] = ("acc", "gen")
_CLAIMS: tuple[Axis, ...] = ("acc", "gen", "di", "dii")
"""Axes on which the new object is what is wanted instead of the old one."""
_RIPPLE: tuple[Axis, ...] = ("ci", "cii", "sa", "rs", "lg", "forgetfulness")

PROTOCOL = {
    "first-token": "the first greedy token begins an accepted name; where the old object begins "
    "with the same token nothing can be told, and the test is not scored",
    "full-object": "the greedy text begins with the whole of an accepted name",
    "given": "the edit that is meant always applies",
    "own-centre": "the router knows only the edit that is meant",
    "all-edits": "the router knows all edits and is not told which one is meant",
    "alone": "weights: one edit at a time; there is no router",
    "together": "weights: all edits at once; there is no router",
    "acc": "the edit's own prompt gives the new object",
    "gen": "paraphrases that were not compiled give the new object",
    "spec": "the first token after prompts on other subjects, true for them, is the unedited "
    "model's",
    "unchanged": "for the same prompts the model computes the same, to the bit",
    "collateral": f"the first {ANSWER} greedy tokens after unrelated prompts (neighbourhoods of "
    "other records) differ from the unedited model's",
    "relapse": f"the old object stands in the first {CONTINUATION} tokens after the edit's "
    "prompt or a paraphrase",
    "fluency": f"weighted entropy of bigrams and trigrams of the same {CONTINUATION} tokens, bits",
    "condition applied": "only tests whose conditions hold: the unedited model knows what the "
    "test takes for granted (for Subject Aliasing: the edit itself succeeds)",
    "interval": "95 %, bootstrap over edits, 2000 resamples, seed 0",
}


@dataclass(frozen=True)
class Request:
    """What a run is asked for.

    Attributes:
        weights_limit: measure methods that change weights on so many of the records.
        calibrate_on: records that are not scored, to set the published router's threshold on;
            the other records of the data if None.
        threshold: the published router's threshold, instead of calibrating it.
        curves: `threshold`, `prompts`: the points of Figures 3 and 5.
        project: ids of edits to draw; the first if empty.
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
    project: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a run is: called with a phase, things done since the last call, and all of it."""

    phase: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda n: None


@dataclass(frozen=True)
class Asked:
    """One test as a question: of which record, and where its reply lies."""

    record: Record
    test: Test | None  # None: an unrelated prompt
    question: Question


def paper_settings(settings: Settings, threshold: float) -> Settings:
    """The published settings (3.2.1, 4.1, A.2), over the settings at hand."""
    return settings.model_copy(
        update={
            "compile": settings.compile.model_copy(
                update={
                    "sources": ["plain", "forced"],
                    "targets": ["repeat"],
                    "keep_failed": True,
                    "reg": 0.01,
                    "solver": "lowrank",
                }
            ),
            "contexts": settings.contexts.model_copy(
                update={"forced": {"repeat": "Repeat this sentence: '{prompt} {old}'. {prompt}"}}
            ),
            "router": settings.router.model_copy(update={"kind": "centre", "threshold": threshold}),
        }
    )


def run(
    request: Request,
    settings: Settings,
    *,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    rows: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Measure methods on a data set.

    Args:
        settings: the project's: its model, and what method `sake` compiles with.
        provenance: what is recorded about the code: commit, clean.
        rows: called with every scored reply, as plain values.

    Returns:
        The run as plain values, schema `bench/1`.

    Raises:
        InputError: no such method or edit, no records, a prompt that meets its own tests.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        StorageError: the working folder cannot be written.
    """
    return _Run(request, settings, progress or Progress(), rows).result(provenance or {})


class _Run:
    """One run: what its steps share."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        progress: Progress,
        rows: Callable[[dict[str, Any]], None],
    ) -> None:
        self.request, self.progress, self.rows = request, progress, rows
        for name in request.methods:
            if name not in DESCRIPTIONS:
                raise InputError(f"no method '{name}'", hint=f"there is {', '.join(DESCRIPTIONS)}")
        if request.threshold is not None and not 0 < request.threshold < float("inf"):
            raise InputError(f"--threshold {request.threshold:g} is no distance above 0")
        self.settings = settings.model_copy(
            update={"store": str((request.work / "store").absolute())}
        )
        sound, self.conflicts = without_conflicts(request.data.records)
        self.records = sample(sound, request.limit, request.seed)
        if not self.records:
            raise InputError(f"{request.file}: no records to measure on")
        chosen = {record.id for record in self.records}
        for id_ in request.project:
            if id_ not in chosen:
                raise InputError(f"no edit '{id_}' in this run", hint="--project takes its ids")
        self.others = [record for record in sound if record.id not in chosen]
        size = len(self.records) if request.weights_limit is None else request.weights_limit
        self.in_weights = [r.id for r in sample(self.records, size, request.seed)]
        self.edits = {record.id: to_edit(record, request.data) for record in self.records}
        # A test that the record's own prompt meets can be held out by no method.
        self.tests = {r.id: tuple(t for t in r.tests if t not in held_in(r)) for r in self.records}
        self._refuse_overlap()
        self.registry = self._register()
        self.store = Store(Path(self.settings.store))
        self.seconds: dict[str, float] = defaultdict(float)
        self.described: list[dict[str, Any]] = []
        self._paper: Steering | None = None
        # Values that MEMIT optimised: CompMEMIT asks for some of them again.
        self._targets: dict[Any, Tensor] = {}
        self._calibrated: tuple[float, str] | None = None

    # -- preparing ---------------------------------------------------------------------------

    def _refuse_overlap(self) -> None:
        for record in self.records:
            tests = [test.query.prompt for test in self.tests[record.id] if test.axis != "acc"]
            found = overlaps(self.edits[record.id], tests)
            if found:
                prompt, test = found[0]
                raise InputError(
                    f"{record.id}: the compiled prompt '{prompt}' meets the test '{test}'",
                    hint="a benchmark never compiles what it tests: take the prompt out",
                )

    def _register(self) -> Registry:
        """The registry of the working folder that holds these records as edit files."""
        texts = sorted(edit.model_dump_json(exclude={"path"}) for edit in self.edits.values())
        root = self.request.work / "registries" / digest(texts)[:16]
        if not (root / "complete").is_file():
            for path in (root / "edits").glob("*.yaml"):
                path.unlink()
            if not (root / FILE_NAME).exists():
                init_registry(root)
            import_records(self.request.data, self.records, root / "edits")
            (root / "complete").touch()
        return replace(open_registry(root).sound(), settings=self.settings)

    def _timed(self, what: str) -> _Clock:
        return _Clock(self.seconds, what)

    # -- the run -------------------------------------------------------------------------------

    def result(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        self.located = locate(self.settings)
        self.loaded = load(self.located, trust_remote_code=self.settings.trust_remote_code)
        embedder = Embedder(self.located.embedder_folder)
        self.embed = _remembering(embedder.embed)
        self.doing = ""
        self.speaker = Speaker(
            self.loaded, self.store, self.progress.advance,
            lambda total: self.progress.phase(self.doing, total),
        )  # fmt: skip
        try:
            if not {*self.request.methods} <= {"base", "sake", *WEIGHTS}:
                self._threshold()  # what cannot be calibrated is said before hours of work
            asked = self._asked()
            base = self._answers("base", asked)["none"]
            before = {id(a): heard for a, heard in zip(asked, base, strict=True)}
            known = self._conditions()
            scores: list[dict[str, Any]] = []
            relations: list[dict[str, Any]] = []
            for name in self.request.methods:
                own = asked
                if name in WEIGHTS:
                    own = [a for a in asked if a.record.id in self.in_weights]
                for scope, heard in self._answers(name, own).items():
                    marks = self._mark(name, scope, own, heard, before)
                    scores += self._scores(name, scope, own, heard, marks, before, known)
                    relations += self._relations(name, scope, own, marks)
            drawn = self._curves(asked)
        finally:
            self.speaker.close()
        return self._report(scores, relations, drawn, provenance)

    def _asked(self) -> list[Asked]:
        """Every test as a question, and each edit's share of unrelated prompts."""
        found = []
        for record in self.records:
            for test in self.tests[record.id]:
                tokens = CONTINUATION if test.axis in _LONG else self._tokens(test)
                found.append(Asked(record, test, Question(test.query.prompt, record.id, tokens)))
        for record, prompts in zip(self.records, self._unrelated(), strict=True):
            for prompt in prompts:
                question = Question(prompt, record.id, ANSWER, related=False)
                found.append(Asked(record, None, question))
        return found

    def _tokens(self, test: Test) -> int:
        """As many tokens as the answer needs, in the name that the data give first."""
        text, name = test.query.prompt, next(iter(test.query.names), "")
        needed = len(self.speaker.encode(f"{text} {name}")) - len(self.speaker.encode(text))
        return max(ANSWER, needed)

    def _unrelated(self) -> list[list[str]]:
        """For each edit, prompts of other records' neighbourhoods that name no loaded subject.

        Of records that are not loaded, if there are any.
        """
        subjects = {record.subject for record in self.records}
        own = {t.query.prompt for r in self.records for t in r.of("neighbourhood")}
        free = [
            prompt
            for prompt in dict.fromkeys(
                test.query.prompt
                for record in self.others or self.records
                for test in record.of("neighbourhood")
            )
            if not (self.others and prompt in own)
            and not any(names.find(prompt, [s]) for s in subjects if s in prompt)
        ]
        random_ = random.Random(self.request.seed)
        if self.others:
            drawn = random_.sample(free, min(len(free), UNRELATED * len(self.records)))
            return [drawn[i * UNRELATED :][:UNRELATED] for i in range(len(self.records))]
        found = []
        for record in self.records:
            mine = {test.query.prompt for test in record.of("neighbourhood")}
            foreign = [prompt for prompt in free if prompt not in mine]
            found.append(random_.sample(foreign, min(len(foreign), UNRELATED)))
        return found

    def _conditions(self) -> dict[int, dict[Success, bool | None]]:
        """Whether each test's conditions hold on the unedited model, by the test's identity."""
        queries = [
            (record, query)
            for record in self.records
            for test in record.tests
            for query in test.conditions or ()
        ]
        questions = [Question(q.prompt, record.id, ANSWER) for record, q in queries]
        self.doing = "asking base for conditions"
        heard = methods.Base(self.speaker).ask(questions)["none"] if questions else []
        marks = {
            id(query): judge(self.loaded.tokenizer, query.prompt, h.reply, query.names)
            for (_, query), h in zip(queries, heard, strict=True)
        }
        found: dict[int, dict[Success, bool | None]] = {}
        for record in self.records:
            for test in record.tests:
                given = [marks[id(query)] for query in test.conditions or ()]
                found[id(test)] = {s: met(test.conditions, given, s) for s in SUCCESSES}
        return found

    # -- methods -------------------------------------------------------------------------------

    def _answers(self, name: str, asked: Sequence[Asked]) -> dict[Scope, list[Heard]]:
        with self._timed(name):
            method = self._method(name)
            self.doing = f"asking {name}"
            return method.ask([a.question for a in asked])

    def _method(self, name: str) -> Method:
        if name == "base":
            self._describe(name)
            return methods.Base(self.speaker)
        if name in WEIGHTS:
            return self._in_weights(name)
        if name == "sake":
            method = self._compiled(name, self.registry)
            self._describe(name, method)
            return method
        paper = self._paper_method()
        if name == "sake-paper":
            self._describe(name, paper)
            return paper
        if name == "uniform":
            method = self._uniform()
        elif name == "actadd":
            maps = methods.contrast_maps(paper.bundle)
            keys = {edit: f"actadd {key}" for edit, key in paper.keys.items()}
            method = self._steering(name, paper.bundle.path, paper, keys, maps)
        else:
            self._describe(name, paper)
            return methods.InContext(list(self.edits.values()), paper.scoping, self.speaker)
        self._describe(name, method)
        return method

    def _in_weights(self, name: str) -> Method:
        from sake_registry.evaluation.weights import WeightEditor

        editor = WeightEditor(
            self.loaded,
            self.store,
            name,  # type: ignore[arg-type]
            self.request.seed,
            targets=None if name == "rome" else self._targets,
        )
        edits = [self.edits[id_] for id_ in self.in_weights]
        self._describe(name)
        self.described[-1] |= {"settings": editor.settings, "edits": len(edits)}
        return methods.InWeights(name, edits, editor, self.speaker)

    def _describe(self, name: str, method: Steering | None = None) -> None:
        if any(described["name"] == name for described in self.described):
            return
        routed = method is not None
        calibrated = self._calibrated[1] if self._calibrated and name != "sake" else None
        settings: dict[str, Any] = {}
        threshold = None
        if method is not None:
            settings = method.settings
            threshold = settings["router"]["threshold"]
        self.described.append(
            {
                "name": name,
                "description": DESCRIPTIONS[name],
                "edits": len(method.entries) if method else len(self.edits),
                "failed": method.failed if method else {},
                "threshold": threshold,
                "calibrated": calibrated if routed else None,
                "settings": settings,
            }
        )

    def _paper_method(self) -> Steering:
        if self._paper is None:
            self._paper = self._published("sake-paper", "lowrank")
        return self._paper

    def _uniform(self) -> Steering:
        return self._published("uniform", "uniform")

    def _published(self, name: str, solver: str) -> Steering:
        settings = paper_settings(self.settings, self._threshold())
        compile_ = settings.compile.model_copy(update={"solver": solver})
        settings = settings.model_copy(update={"compile": compile_})
        # The published compile knows no implications with stated answers: they come below.
        edits = tuple(e.model_copy(update={"implications": ()}) for e in self.registry.edits)
        method = self._compiled(name, replace(self.registry, settings=settings, edits=edits))
        prompts = {r.id: implication_prompts(r, self.request.data) for r in self.records}
        if not any(prompts.values()):
            return method
        implied, key = self._implied(prompts, settings)
        reg = settings.compile.reg
        maps = methods.implied_maps(method.bundle, implied, reg, solver, self.request.seed)  # type: ignore[arg-type]
        keys = {e: digest([k, key[e], e, self.request.seed]) for e, k in method.keys.items()}
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
        method = Steering(name, path, self.speaker, self.embed, keys=keys, maps=maps)
        method.settings, method.failed = like.settings, like.failed
        return method

    def _compiled(self, name: str, registry: Registry) -> Steering:
        """A method that runs a bundle compiled with a registry's settings."""
        plan = make_plan(registry, self.located)
        total = sum(
            (1 + len(registry.settings.compile.sources)) * len(group.prompts)
            for planned in plan.edits
            if planned.edit and planned.action == "build"
            for group in groups(planned.edit, registry.settings.compile.prompts)
        )
        if total:
            self.progress.phase(f"compiling {name}", total)
        with self._timed(f"compiling {name}"):
            done = compile_registry(
                registry, plan=plan, keep_going=True,
                progress=lambda edit, n: self.progress.advance(n),
            )  # fmt: skip
        if done.bundle is None:
            reason = next(iter(done.failures.values())).message
            raise InputError(f"{name}: no edit could be compiled: {reason}")
        of_edits = keys_of(registry.active, self.located, registry.settings)
        # Replies hang on the maps alone: another threshold asks nothing anew.
        keys = {id_: key.maps for id_, key in of_edits.items()}
        method = Steering(name, done.bundle, self.speaker, self.embed, keys=keys)
        method.failed = {id_: error.message for id_, error in done.failures.items()}
        method.settings = registry.settings.model_dump(
            include={"compile", "router", "contexts"}, mode="json"
        )
        return method

    def _implied(
        self, prompts: Mapping[str, Sequence[str]], settings: Settings
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, str]]:
        """Plain and target activations of implications whose answers are not stated."""
        template = contexts.TEMPLATES["implication_target"]["pretend"]
        found, keys = {}, {}
        site = Site(self.loaded.model)
        try:
            prove(site, self.loaded.tokenizer)
            self.progress.phase("implications", sum(map(len, prompts.values())))
            for id_, plain in prompts.items():
                if not plain:
                    keys[id_] = ""
                    continue
                edit = self.edits[id_]
                fact = f"{edit.fill(edit.prompts[0].text)} {edit.new}"
                target = [
                    contexts.fill(template, prompt=p, old=edit.old, new=edit.new, fact=fact) or p
                    for p in plain
                ]
                texts = [*plain, *target]
                keys[id_] = digest(["implied", self.located.hash, self.located.dtype, texts])
                stored = self.store.get("activations", keys[id_])
                if stored is None:
                    batch = settings.compile.batch_size
                    rows = read_last(site, self.loaded.tokenizer, texts, batch).float().cpu()
                    tensors = {"plain": rows[: len(plain)], "target": rows[len(plain) :]}
                    self.store.put("activations", keys[id_], tensors, None)
                    stored = tensors, None
                found[id_] = stored[0]["plain"], stored[0]["target"]
                self.progress.advance(len(plain))
        finally:
            site.remove()
        return found, keys

    # -- the published router's threshold ------------------------------------------------------

    def _threshold(self) -> float:
        if self._calibrated is None:
            self._calibrated = self._calibrate()
        return self._calibrated[0]

    def _calibrate(self) -> tuple[float, str]:
        if self.request.threshold is not None:
            return self.request.threshold, "as given"
        data = self.request.calibrate_on or self.request.data
        pool = without_conflicts(data.records)[0] if self.request.calibrate_on else self.others
        scored = {(r.subject, r.relation) for r in self.records}
        pool = [r for r in pool if (r.subject, r.relation) not in scored and r.of("gen")]
        chosen = sample(pool, min(CALIBRATED_ON, len(pool)), self.request.seed)
        if len(chosen) < 10 or not any(r.of("neighbourhood") for r in chosen):
            raise InputError(
                "there are too few records that are not scored to set a threshold on",
                hint="--calibrate-on FILE takes another data file; --threshold sets it",
            )
        with self._timed("calibrating"):
            point = self._calibrated_on(chosen, data)
        return point.threshold, (
            f"on {count(len(chosen), 'other record')} of {data.name}: there {point.served:.1%} of "
            f"paraphrases are in scope and {point.left_alone:.1%} of neighbourhood prompts are "
            "left alone, all edits loaded"
        )

    def _calibrated_on(self, records: Sequence[Record], data: DataSet) -> calibration.Point:
        size = self.settings.compile.prompts
        edits = [to_edit(record, data) for record in records]
        prompts = [groups(edit, size)[0].prompts for edit in edits]
        key = digest(["calibration", self.located.identity.embedder, prompts])
        stored = self.store.get("calibration", key)
        if stored is None:
            self.progress.phase("calibrating", len(edits))
            points = []
            for of_edit in prompts:
                points.append(self.embed(of_edit).mean(0))
                self.progress.advance(1)
            self.store.put("calibration", key, {"centres": torch.stack(points)}, None)
            stored = {"centres": torch.stack(points)}, None
        centres = stored[0]["centres"]
        asked = [
            (number if test.axis == "gen" else None, test.query.prompt)
            for number, record in enumerate(records)
            for test in record.of("gen", "neighbourhood")
        ]
        distances = torch.cdist(self.embed([prompt for _, prompt in asked]), centres)
        found = [
            calibration.Nearest(float(row.min()), None if own is None else int(row.argmin()) == own)
            for (own, _), row in zip(asked, distances, strict=True)
        ]
        steps = [round(0.05 * i, 2) for i in range(1, 241)]
        return calibration.best(calibration.curve(found, steps))

    # -- scoring -------------------------------------------------------------------------------

    def _mark(
        self,
        name: str,
        scope: Scope,
        asked: Sequence[Asked],
        heard: Sequence[Heard],
        before: Mapping[int, Heard],
    ) -> list[Marks]:
        """A mark for each reply; of neighbourhood prompts: whether it is what it was."""
        found = []
        for a, h in zip(asked, heard, strict=True):
            bare = h.bare or before[id(a)].reply
            if a.test is None or a.test.axis == "neighbourhood":
                first = h.reply.tokens[:1] == bare.tokens[:1]
                marks = Marks(first, h.reply.tokens[:ANSWER] == bare.tokens[:ANSWER])
            else:
                claim = a.test.axis in _CLAIMS
                old = [a.record.old] if claim and a.record.old else []
                accepted = a.record.new_names if claim else a.test.query.names
                marks = judge(self.loaded.tokenizer, a.question.prompt, h.reply, accepted, old)
            found.append(marks)
            self.rows(
                {
                    "method": name,
                    "scope": scope,
                    "edit": a.record.id,
                    "axis": a.test.axis if a.test else "unrelated",
                    "prompt": a.question.prompt,
                    "before": bare.text,
                    "after": h.reply.text,
                    "expected": None if a.test is None else list(a.test.query.names[:3]),
                    "fired": h.edit,
                    "first": marks.first,
                    "full": marks.full,
                }
            )
        return found

    def _scores(
        self,
        name: str,
        scope: Scope,
        asked: Sequence[Asked],
        heard: Sequence[Heard],
        marks: Sequence[Marks],
        before: Mapping[int, Heard],
        known: Mapping[int, Mapping[Success, bool | None]],
    ) -> list[dict[str, Any]]:
        sheet = _Sheet(name, scope)
        axes: tuple[Axis, ...] = ("acc", "gen", "di", "dii", "portability")
        held = {
            a.record.id: m
            for a, m in zip(asked, marks, strict=True)
            if a.test and a.test.axis == "acc"
        }
        for a, h, m in zip(asked, heard, marks, strict=True):
            edit, test = a.record.id, a.test
            if test is None:
                if scope != "given":
                    sheet.add("collateral", None, None, edit, not m.full)
                continue
            if test.axis == "neighbourhood":
                sheet.add("spec", "first-token", None, edit, m.first)
                sheet.add("unchanged", None, None, edit, h.untouched)
            elif test.axis == "locality":
                bare = h.bare or before[id(a)].reply
                same = h.reply.tokens[:ANSWER] == bare.tokens[:ANSWER]
                sheet.add("locality", None, None, edit, same)
            for success in SUCCESSES:
                if test.axis in axes:
                    sheet.add(test.axis, success, None, edit, m.under(success))
                elif test.axis in _RIPPLE:
                    sheet.add(test.axis, success, "not applied", edit, m.under(success))
                    fair = known.get(id(test), {}).get(success)
                    if test.on_edit:
                        fair = held[edit].under(success)
                    if fair:
                        sheet.add(test.axis, success, "applied", edit, m.under(success))
            if test.axis in _LONG and a.record.old:
                sheet.add("relapse", None, None, edit, comes_back(h.reply.text, [a.record.old]))
            if test.axis in _LONG:
                sheet.add("fluency", None, None, edit, entropy(h.reply.text))
        wanted = {a.test.axis for a in asked if a.test and a.test.axis in _RIPPLE}
        return sheet.scores(wanted)

    def _relations(
        self, name: str, scope: Scope, asked: Sequence[Asked], marks: Sequence[Marks]
    ) -> list[dict[str, Any]]:
        labels = {r.relation: self.edits[r.id].fact.relation.text for r in self.records}
        found: dict[tuple[str, Success, str], list[bool]] = defaultdict(list)
        for a, m in zip(asked, marks, strict=True):
            if a.test and a.test.axis in ("acc", "gen"):
                for success in SUCCESSES:
                    mark = m.under(success)
                    if mark is not None:
                        found[a.test.axis, success, a.record.relation].append(mark)
        return [
            {
                "method": name,
                "scope": scope,
                "metric": axis,
                "success": success,
                "relation": relation,
                "label": labels[relation],
                "value": round(sum(given) / len(given), 6),
                "n": len(given),
            }
            for (axis, success, relation), given in sorted(found.items())
        ]

    # -- curves and pictures -------------------------------------------------------------------

    def _curves(self, asked: Sequence[Asked]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {
            "threshold_curves": [], "prompt_curve": [], "projections": []
        }  # fmt: skip
        steered = [n for n in self.request.methods if n in ("sake", "sake-paper")]
        lab = curves.Lab(self.speaker, self.embed, self.loaded.tokenizer)
        tests = [(a.question, a.test.axis, a.record) for a in asked if a.test]
        for name in steered:
            method = self._method(name)
            assert isinstance(method, Steering)
            if "threshold" in self.request.curves:
                self.doing = f"thresholds of {name}"
                drawn = curves.thresholds(lab, method, tests)
                calibrated = self._calibrated[1] if self._calibrated and name != "sake" else None
                drawn |= {"chosen": method.settings["router"]["threshold"]}
                drawn |= {"calibrated": calibrated or "the project's default"}
                found["threshold_curves"].append(drawn)
            if "prompts" in self.request.curves and name == "sake-paper":
                self.doing = f"prompts of {name}"
                found["prompt_curve"].append(curves.prompts(lab, method, tests))
            ids = self.request.project or tuple(method.entries)[:1]
            for id_ in ids:
                if id_ in method.entries:
                    drawn = curves.projection(method, id_)
                    found["projections"].append(
                        {"edit": id_, "claim": self.edits[id_].claim, "method": name, **drawn}
                    )
        return found

    # -- the report's values -------------------------------------------------------------------

    def _report(
        self,
        scores: list[dict[str, Any]],
        relations: list[dict[str, Any]],
        drawn: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> dict[str, Any]:
        request = self.request
        sizes = [len(edit.prompts) for edit in self.edits.values()]
        implied = any(edit.implications for edit in self.edits.values())
        return {
            "schema": SCHEMA,
            "model": {
                "name": self.located.source.name,
                "hash": self.located.hash,
                "dtype": self.located.dtype,
            },
            "data": {
                "name": request.data.name,
                "file": request.file.name,
                "sha256": hashlib.sha256(request.file.read_bytes()).hexdigest(),
                "records": len(self.records),
                "limit": request.limit,
                "seed": request.seed,
                "conflicts": [str(problem) for problem in self.conflicts],
                "problems": [str(problem) for problem in request.data.problems],
                "unanswerable": request.data.unanswerable,
                "held_in": sum(len(r.tests) - len(self.tests[r.id]) for r in self.records),
                "prompts": {"min": min(sizes), "median": median(sizes), "max": max(sizes)},
                "implications": "their answers are taken from the records' tests, their wording "
                "is not"
                if implied
                else None,
            },
            "protocol": PROTOCOL,
            "methods": [d for d in self.described if d["name"] in request.methods],
            "scores": scores,
            "relations": relations,
            **drawn,
            "environment": {
                **provenance,
                "date": datetime.now(UTC).date().isoformat(),
                "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
                "versions": versions(),
            },
        }


class _Sheet:
    """Marks of one method under one scope, by metric, protocol, condition and edit."""

    def __init__(self, method: str, scope: Scope) -> None:
        self._head = {"method": method, "scope": scope}
        self._values: dict[tuple[str, str | None, str | None], dict[str, list[float]]] = {}

    def add(
        self, metric: str, success: str | None, condition: str | None, edit: str,
        value: float | bool | None,
    ) -> None:  # fmt: skip
        of_metric = self._values.setdefault((metric, success, condition), {})
        if value is not None:
            of_metric.setdefault(edit, []).append(float(value))

    def scores(self, axes: Iterable[str]) -> list[dict[str, Any]]:
        for axis in axes:  # a condition that held nowhere is a score with n = 0
            for success in SUCCESSES:
                self._values.setdefault((axis, success, "applied"), {})
        return [
            {
                **self._head, "metric": metric, "success": success, "condition": condition,
                **asdict(estimate(values)),
            }
            for (metric, success, condition), values in sorted(self._values.items(), key=str)
        ]  # fmt: skip


class _Clock:
    """Adds the seconds of its block to a tally."""

    def __init__(self, tally: dict[str, float], what: str) -> None:
        self._tally, self._what = tally, what

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._tally[self._what] += time.monotonic() - self._start


def _remembering(embed: Embed) -> Embed:
    """An embedder that embeds a text once, however many routers ask."""
    known: dict[str, Tensor] = {}

    def remembered(texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return remembered
