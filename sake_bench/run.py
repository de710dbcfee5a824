"""A benchmark run: records → edit files → bundles → replies → scores, as one value.

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
import random
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sake_bench import costs, curves, derived
from sake_bench.ability import AbilityTest
from sake_bench.datasets.importing import import_into, sample, to_edit, without_conflicts
from sake_bench.datasets.overlap import held_in, overlaps
from sake_bench.datasets.reading import first
from sake_bench.datasets.records import Query, Test
from sake_bench.factory import MethodFactory, Request, RunContext
from sake_bench.filling import repeated
from sake_bench.methods import Base, OtherMaps, Question, Steering
from sake_bench.protocol import (
    ANSWER,
    CONTINUATION,
    METHODS,
    PROTOCOL,
    PUBLISHED,
    SUCCESSES,
    WEIGHTS,
)
from sake_bench.replies import ReplyCache
from sake_bench.results import (
    Ability,
    Cost,
    Data,
    Filled,
    KindScore,
    LoadCurve,
    MethodResult,
    Model,
    Projection,
    PromptCounts,
    PromptCurve,
    RelationScore,
    Run,
    ScaleCurve,
    Score,
    ThresholdCurve,
    Undo,
)
from sake_bench.scale import scale
from sake_bench.scores import (
    CHATS,
    FREE,
    LONG,
    QUESTIONS,
    Case,
    as_rows,
    kinds,
    mark,
    relations,
    scores,
)
from sake_bench.scoring import judge, met
from sake_bench.undo import undo
from sake_registry import names
from sake_registry.asking.answers import needed
from sake_registry.compiler.context import metric_of
from sake_registry.compiler.machine import versions
from sake_registry.digests import digest
from sake_registry.edits.checks import plainly
from sake_registry.edits.registry import Registry, open_registry
from sake_registry.errors import InputError
from sake_registry.models.embedder import remembering
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import proved_site
from sake_registry.models.states import embed_of, space_of
from sake_registry.models.tokens import object_tokens
from sake_registry.progress import SILENT
from sake_registry.runtime.bundle import load_bundle
from sake_registry.store import Store
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sake_bench.datasets.records import Record
    from sake_bench.methods import Response
    from sake_bench.protocol import Scope, Success
    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel, LocatedModel
    from sake_registry.models.site import Site
    from sake_registry.progress import Progress
    from sake_registry.runtime.bundle import Bundle
    from sake_registry.settings import Representation, Settings

__all__ = ["Request", "run"]

UNRELATED = 5
"""Unrelated prompts an edit is charged with for `collateral`."""


def run(
    request: Request,
    settings: Settings,
    *,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
    rows: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Run:
    """Measure methods on a data set.

    Args:
        settings: the project's: its model, and what method `sake` compiles with.
        provenance: what is recorded about the code: commit, clean.
        rows: called with every scored reply, as plain values.

    Raises:
        InputError: no such method or edit, no records, a prompt that meets its own tests.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        StorageError: the working folder cannot be written.
    """
    return _Bench(request, settings, progress, rows).result(provenance or {})


class _Bench:
    """One run: its records, what they are asked, and what becomes of the replies."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        progress: Progress,
        rows: Callable[[dict[str, Any]], None],
    ) -> None:
        _refuse(request, settings)
        self.request, self.progress, self.rows = request, progress, rows
        store = str((request.work / "store").absolute())
        self.settings = settings.given(store=store)
        sound, self.conflicts = without_conflicts(request.data.records)
        self.records = sample(sound, request.limit, request.seed)
        if not self.records:
            raise InputError(f"{request.file}: no records to measure on")
        chosen = {record.id for record in self.records}
        for id_ in request.project:
            if id_ not in chosen:
                raise InputError(f"no edit '{id_}' in this run", hint="`project` takes its ids")
        self.others = [record for record in sound if record.id not in chosen]
        self.edits = {
            record.id: to_edit(record, request.data, request.aliases) for record in self.records
        }
        self.left_out: list[str] = []
        # A test that the record's own prompt meets can be held out by no method.
        self.tests: dict[str, tuple[Test, ...]] = {}
        self.held_in = 0
        for record in self.records:
            lost = held_in(record)
            self.held_in += len(lost)
            self.tests[record.id] = tuple(test for test in record.tests if test not in lost)
            if request.questions:
                self.tests[record.id] += derived.questions(
                    record, request.data, self.edits[record.id]
                )
                self.tests[record.id] += derived.other_relations(
                    record, request.data, self.edits[record.id], request.seed
                )
        self._refuse_overlap()
        self.registry = self._register()

    # -- preparing ---------------------------------------------------------------------------

    def _refuse_overlap(self) -> None:
        for record in self.records:
            tests = [test.query.prompt for test in self.tests[record.id] if test.axis != "acc"]
            shared = overlaps(self.edits[record.id], tests)
            if shared:
                prompt, test = shared[0]
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
            import_into(root, self.request.data, self.records, aliases=self.request.aliases)
            (root / "complete").touch()
        return replace(open_registry(root).sound(), settings=self.settings)

    def _prepare(self) -> RunContext:
        loaded = load(locate(self.settings), trust_remote_code=self.settings.trust_remote_code)

        @cache
        def located(embedder: str) -> LocatedModel:
            router = self.settings.router.model_copy(update={"embedder": embedder})
            return locate(self.settings.model_copy(update={"router": router}))

        @cache
        def embed(representation: Representation, embedder: str) -> Embed:
            def model() -> tuple[LoadedModel, Site]:
                return loaded, proved_site(loaded.model, loaded.tokenizer)

            return remembering(embed_of(representation, located(embedder), model))

        size = self.request.weights_limit
        store = Store(Path(self.settings.store))
        return RunContext(
            request=self.request,
            records=self.records,
            others=self.others,
            edits=self.edits,
            in_weights=[r.id for r in sample(self.records, size, self.request.seed)],
            registry=self.registry,
            store=store,
            loaded=loaded,
            located=located,
            embed=embed,
            cache=ReplyCache(loaded, store, self.progress),
            progress=self.progress,
        )

    # -- the run -------------------------------------------------------------------------------

    def result(self, provenance: Mapping[str, Any]) -> Run:
        self.context = self._prepare()
        self.factory = MethodFactory(self.context)
        self.filled: dict[str, Bundle] = {}
        self.attached = ExitStack()
        scored: list[Score] = []
        by_relation: list[RelationScore] = []
        by_kind: list[KindScore] = []
        try:
            if {*self.request.methods} & {*PUBLISHED}:
                self.factory.threshold()  # what cannot be calibrated is said before hours of work
            every = self._cases()
            self._note_what_is_left_out()
            known = self._conditions()
            labels = {r.relation: self.edits[r.id].fact.relation.text for r in self.records}
            for name in self.request.methods:
                cases = every
                if name in WEIGHTS:
                    cases = [c for c in every if c.record.id in self.context.in_weights]
                for scope, responses in self._responses(name, cases).items():
                    marks = mark(self.context.loaded.tokenizer, cases, responses)
                    for row in as_rows(name, scope, cases, responses, marks):
                        self.rows(row)
                    scored += scores(name, scope, cases, responses, marks, known)
                    by_relation += relations(name, scope, cases, marks, labels)
                    by_kind += kinds(name, scope, cases, responses)
            curves_ = self._curves(every)
            costs_, undone = self._costs(every), self._undone(every)
            abilities = self._abilities()
        finally:
            self.attached.close()
            self.context.cache.close()
        return Run(
            model=self._model(),
            data=self._data(),
            protocol=PROTOCOL,
            methods=self._methods(),
            scores=tuple(scored),
            relations=tuple(by_relation),
            **curves_,
            kinds=tuple(by_kind),
            costs=costs_,
            undone=undone,
            abilities=abilities,
            filled=self._how_filled(),
            environment={
                **provenance,
                "date": datetime.now(UTC).date().isoformat(),
                "seconds": {name: round(value, 1) for name, value in self.context.seconds.items()},
                "versions": versions(),
            },
        )

    def _responses(self, name: str, cases: Sequence[Case]) -> dict[Scope, list[Response]]:
        method = self.factory.method(name)
        self.context.cache.purpose = "asking", name
        with self.context.clock(name):
            return method.ask([case.question for case in cases])

    def _cases(self) -> list[Case]:
        """Every test as a question, and each edit's share of unrelated prompts."""
        questions: list[tuple[Record, Test | None, Question]] = []
        for record in self.records:
            for test in (*self._plain(record), *self._in_chats(record)):
                # Its own map on a prompt that asks for something else tells nothing.
                related = test.axis not in ("other-relation", "look-alike", "multi-hop")
                question = Question(
                    test.query.prompt, record.id, self._tokens(test), related, test.messages
                )
                questions.append((record, test, question))
        for record, prompts in zip(self.records, self._unrelated(), strict=True):
            for prompt in prompts:
                question = Question(prompt, record.id, ANSWER, related=False)
                questions.append((record, None, question))
        self.context.cache.purpose = "asking", "base"
        asked = [question for *_, question in questions]
        responses = Base(self.context.cache).ask(asked)["none"]
        return [
            Case(record, test, question, response.reply, *self._kinds(record, test))
            for (record, test, question), response in zip(questions, responses, strict=True)
        ]

    def _note_what_is_left_out(self) -> None:
        chats = any(test.messages for record in self.records for test in record.tests)
        if (self.request.questions or chats) and not self._can_chat:
            name = self.context.loaded.located.source.name
            self.left_out.append(f"chat: {name} has no chat template")
        if not self.request.questions:
            return
        silent = [
            r
            for r in self.records
            if not r.is_question and not any(t.axis == "question" for t in self.tests[r.id])
        ]
        if silent:
            records = count(len(silent), "record")
            names_ = ", ".join(first(sorted({record.relation for record in silent})))
            self.left_out.append(
                f"question: {records} without a wording that is in no prompt, for {names_}"
            )

    @property
    def _can_chat(self) -> bool:
        return bool(getattr(self.context.loaded.tokenizer, "chat_template", None))

    def _plain(self, record: Record) -> list[Test]:
        return [test for test in self.tests[record.id] if not test.messages]

    def _in_chats(self, record: Record) -> list[Test]:
        """The record's conversations and questions through the model's chat template, if it has
        one; of a record whose own prompt is a question, that and its paraphrases too."""
        tests = []
        for test in self.tests[record.id]:
            asked = test.axis == "question" or (record.is_question and test.axis in CHATS)
            if test.messages or (self.request.questions and asked):
                messages = test.messages or (("user", test.query.prompt),)
                text = derived.in_chat(self.context.loaded.tokenizer, messages)
                if text is not None:
                    axis = CHATS.get(test.axis, test.axis)
                    query = Query(text, test.query.answers)
                    tests.append(Test(axis, query, kind=test.kind, messages=messages))
        return tests

    def _kinds(self, record: Record, test: Test | None) -> tuple[bool, bool | None]:
        """Whether the new object has several tokens after a test's prompt; whether the name that
        an aliasing test uses is among those of the edit file."""
        several, listed = False, None
        if test is not None and test.axis in LONG:
            tokenizer = self.context.loaded.tokenizer
            several = len(object_tokens(tokenizer, test.query.prompt, record.new)[1]) > 1
        if test is not None and test.alias is not None and self.request.aliases == "half":
            known = {plainly(name) for name in record.listed(self.request.aliases)}
            listed = plainly(test.alias) in known
        return several, listed

    def _tokens(self, test: Test) -> int:
        """As many tokens as show the name that the data give first, and its end."""
        if test.axis in (*FREE, *QUESTIONS):
            return CONTINUATION
        if test.axis == "other-relation":  # what counts is the first position's activation
            return 1
        tokenizer, names = self.context.loaded.tokenizer, tuple(test.query.names)
        return max(ANSWER, needed(tokenizer, test.query.prompt, names[:1]))

    def _unrelated(self) -> list[list[str]]:
        """For each edit, prompts of other records' neighbourhoods that name no loaded subject.

        Of records that are not loaded, if there are any.
        """
        subjects = {record.subject for record in self.records}
        tested = {t.query.prompt for r in self.records for t in r.of("neighbourhood")}
        free = [
            prompt
            for prompt in dict.fromkeys(
                test.query.prompt
                for record in self.others or self.records
                for test in record.of("neighbourhood")
            )
            if not (self.others and prompt in tested)
            and not any(names.find(prompt, [s]) for s in subjects if s in prompt)
        ]
        random_ = random.Random(self.request.seed)
        if self.others:
            drawn = random_.sample(free, min(len(free), UNRELATED * len(self.records)))
            return [drawn[i * UNRELATED :][:UNRELATED] for i in range(len(self.records))]
        shares = []
        for record in self.records:
            mine = {test.query.prompt for test in record.of("neighbourhood")}
            foreign = [prompt for prompt in free if prompt not in mine]
            shares.append(random_.sample(foreign, min(len(foreign), UNRELATED)))
        return shares

    def _conditions(self) -> dict[int, dict[Success, bool | None]]:
        """Whether each test's conditions hold on the unedited model, by the test's identity."""
        queries = [
            (record, query)
            for record in self.records
            for test in record.tests
            for query in test.conditions or ()
        ]
        questions = [Question(q.prompt, record.id, ANSWER) for record, q in queries]
        self.context.cache.purpose = "asking", "base for conditions"
        responses = Base(self.context.cache).ask(questions)["none"] if questions else []
        tokenizer = self.context.loaded.tokenizer
        marks = {
            id(query): judge(tokenizer, query.prompt, response.reply, query.names)
            for (_, query), response in zip(queries, responses, strict=True)
        }
        known: dict[int, dict[Success, bool | None]] = {}
        for record in self.records:
            for test in record.tests:
                given = [marks[id(query)] for query in test.conditions or ()]
                known[id(test)] = {s: met(test.conditions, given, s) for s in SUCCESSES}
        return known

    # -- curves and pictures -------------------------------------------------------------------

    def _curves(self, cases: Sequence[Case]) -> dict[str, Any]:
        by_threshold: list[ThresholdCurve] = []
        by_prompts: list[PromptCurve] = []
        by_loads: list[LoadCurve] = []
        by_scale: list[ScaleCurve] = []
        projections: list[Projection] = []
        cache, chosen = self.context.cache, self.request.curves
        tests = [(case.question, case.test.axis, case.record) for case in cases if case.test]
        for name in (n for n in self.request.methods if n in ("sake", "sake-paper")):
            method = self.factory.method(name)
            assert isinstance(method, Steering)
            if "threshold" in chosen:
                cache.purpose = "thresholds of", name
                how = self.factory.how_calibrated(name)
                by_threshold.append(curves.thresholds(cache, method, tests, how))
            if "prompts" in chosen and name == "sake-paper":
                cache.purpose = "prompts of", name
                by_prompts.append(curves.prompts(cache, method, tests))
            if "loads" in chosen:
                by_loads.append(self._loads(method, tests))
            if "scale" in chosen and name == "sake":
                by_scale.append(self._scale(method, cases))
            for id_ in self.request.project or tuple(method.entries)[:1]:
                if id_ in method.entries:
                    projections.append(curves.projection(method, id_, self.edits[id_].claim))
        return {
            "threshold_curves": by_threshold,
            "prompt_curve": by_prompts,
            "load_curves": by_loads,
            "scale_curves": by_scale,
            "projections": projections,
        }

    def _loads(self, method: Steering, tests: curves.Tests) -> LoadCurve:
        """The curve over the number of edits loaded; the others' routes are made and kept."""
        scored = {(plainly(r.subject), r.relation) for r in self.records}
        # What says the same as a scored record is that edit once more, and no other one.
        others = [r for r in self.others if (plainly(r.subject), r.relation) not in scored]
        random.Random(self.request.seed).shuffle(others)
        settings = self.settings.model_validate(self.settings.model_dump() | method.settings)
        located, store = self.context.located(settings.router.embedder), self.context.store
        embed = method.embed
        space = space_of(settings.router.representation, located)
        metric = metric_of(settings.router.metric, space, embed, store)
        self.progress.begin("routes for", len(others))
        self.progress.advance(0, method.name)
        entries = {}
        with self.context.clock(f"routes for {method.name}"):
            for record in others:
                edit = to_edit(record, self.request.data)
                if method.name == "sake-paper":
                    edit = edit.model_copy(update={"implications": ()})
                entries[record.id] = curves.entry_of(edit, settings, embed, metric, located, store)
                self.progress.advance(1)
        cache = self.context.cache
        cache.purpose = "edits loaded:", method.name
        return curves.loads(cache, method, tests, [r.id for r in self.records], entries)

    def _scale(self, method: Steering, cases: Sequence[Case]) -> ScaleCurve:
        located = self.context.located(self.settings.router.embedder)
        with self.context.clock("scale"):
            return scale(
                method, self.request.scale, cases, located, self.request.work,
                trust_remote_code=self.settings.trust_remote_code, progress=self.progress,
            )  # fmt: skip

    # -- in use --------------------------------------------------------------------------------

    def _in_use(self, method: Steering) -> Bundle:
        """The bundle that is attached for a method: its own, or that filled up with made-up edits.

        Routers that know no names and maps of other origin have their own: there is nothing by
        which a made-up edit would differ from the one that it is made of.
        """
        size = self.request.fill
        by_points = method.settings["router"]["kind"] == "centre"
        if by_points or isinstance(method.bundle, OtherMaps) or (size or 0) <= len(method.entries):
            return method.bundle
        assert size is not None
        if method.name not in self.filled:
            folder = self.attached.enter_context(tempfile.TemporaryDirectory(dir=self.request.work))
            path = repeated(method.bundle.path, Path(folder) / "filled.h5", size)
            self.filled[method.name] = self.attached.enter_context(load_bundle(path))
        return self.filled[method.name]

    def _how_filled(self) -> tuple[Filled, ...]:
        return tuple(
            Filled(
                method=method.name,
                edits=len(self.filled[method.name].ids),
                made_up=len(self.filled[method.name].ids) - len(method.entries),
            )
            for method in self._steering()
            if method.name in self.filled
        )

    def _costs(self, cases: Sequence[Case]) -> tuple[Cost, ...]:
        if self.request.costs is None:
            return ()
        every = [case.question for case in cases if case.axis in FREE]
        served = {}
        for name in dict.fromkeys(("base", *self.request.methods)):
            method = self.factory.method(name)
            if isinstance(method, Steering):
                served[name] = method.serving(self._in_use(method))
            elif hasattr(method, "serving"):
                served[name] = method.serving()
        drawn = random.Random(self.request.seed).sample(every, min(self.request.costs, len(every)))
        return costs.costs(served, drawn)

    def _undone(self, cases: Sequence[Case]) -> tuple[Undo, ...]:
        if self.request.undo is None:
            return ()
        every = list(dict.fromkeys(case.question.prompt for case in cases))
        chosen = random.Random(self.request.seed).sample(every, min(self.request.undo, len(every)))
        return tuple(
            undo(self.context.loaded, method.name, self._in_use(method), chosen)
            for method in self._steering()
        )

    def _abilities(self) -> tuple[Ability, ...]:
        found = []
        for questions in self.request.ability:
            test = AbilityTest(self.context.loaded, questions, self.progress)
            with self.context.clock(f"ability {questions.file.name}"):
                found += [test.under(m.name, self._in_use(m)) for m in self._steering()]
        return tuple(found)

    def _steering(self) -> list[Steering]:
        methods = [self.factory.method(name) for name in self.request.methods]
        return [method for method in methods if isinstance(method, Steering)]

    # -- what it was of ------------------------------------------------------------------------

    def _methods(self) -> tuple[MethodResult, ...]:
        """What was measured, in the order that was asked for: some are made of others."""
        described = {method.name: method for method in self.factory.described}
        return tuple(described[name] for name in dict.fromkeys(self.request.methods))

    def _model(self) -> Model:
        located = self.context.loaded.located
        return Model(name=located.source.name, hash=located.hash, dtype=located.dtype)

    def _data(self) -> Data:
        request = self.request
        sizes = [len(edit.prompts) for edit in self.edits.values()]
        implied = any(edit.implications for edit in self.edits.values())
        return Data(
            name=request.data.name,
            file=request.file.name,
            sha256=hashlib.sha256(request.file.read_bytes()).hexdigest(),
            records=len(self.records),
            limit=request.limit,
            seed=request.seed,
            conflicts=tuple(map(str, self.conflicts)),
            problems=tuple(map(str, request.data.problems)),
            unanswerable=request.data.unanswerable,
            held_in=self.held_in,
            aliases=request.aliases,
            left_out=tuple(self.left_out),
            prompts=PromptCounts(min=min(sizes), median=median(sizes), max=max(sizes)),
            implications="their answers are taken from the records' tests, their wording is not"
            if implied
            else None,
        )


def _refuse(request: Request, settings: Settings) -> None:
    """Refuse what needs no data to be seen as wrong."""
    for name in request.methods:
        if name not in METHODS:
            raise InputError(f"no method '{name}'", hint=f"there is {', '.join(METHODS)}")
    if request.threshold is not None and not 0 < request.threshold < float("inf"):
        raise InputError(f"threshold {request.threshold:g} is not a distance above 0")
    if "scale" in request.curves and "sake" not in request.methods:
        raise InputError(
            "the curve 'scale' is of the method sake, which this run leaves out",
            hint="--set methods=base,sake",
        )
    filling = "fill" if request.fill else "the curve 'scale'" if "scale" in request.curves else ""
    if filling and settings.router.kind == "centre":
        raise InputError(
            f"{filling} loads made-up edits under made-up names, and the router 'centre' knows no "
            "names",
            hint="--set settings.router.kind=detector",
        )
