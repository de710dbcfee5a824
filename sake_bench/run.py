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
import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sake_bench import curves, derived
from sake_bench.datasets.importing import import_into, sample, to_edit, without_conflicts
from sake_bench.datasets.overlap import held_in, overlaps
from sake_bench.datasets.records import Query, Test
from sake_bench.lineup import Lineup, Progress, Request, Stage
from sake_bench.methods import DESCRIPTIONS, WEIGHTS, Base, Question, Steering
from sake_bench.replies import Speaker
from sake_bench.scores import (
    ANSWER,
    CONTINUATION,
    LONG,
    PROTOCOL,
    QUESTIONS,
    Asked,
    as_rows,
    mark,
    relations,
    scores,
)
from sake_bench.scoring import SUCCESSES, Success, judge, met
from sake_registry import names
from sake_registry.compiler.assemble import versions
from sake_registry.compiler.context import metric_of
from sake_registry.digests import digest
from sake_registry.edits.checks import plainly
from sake_registry.edits.registry import Registry, open_registry
from sake_registry.errors import InputError
from sake_registry.models.embedder import remembering
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import proved_site
from sake_registry.models.states import embed_of, space_of
from sake_registry.models.tokens import object_tokens
from sake_registry.store import Store
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sake_bench.datasets.records import Record
    from sake_bench.methods import Heard, Scope
    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel
    from sake_registry.models.site import Site
    from sake_registry.settings import Representation, Settings

__all__ = ["Progress", "Request", "run"]

SCHEMA = "bench/1"
UNRELATED = 5
"""Unrelated prompts an edit is charged with for `collateral`."""


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
    """One run: its records, what they are asked, and what becomes of the replies."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        progress: Progress,
        rows: Callable[[dict[str, Any]], None],
    ) -> None:
        _refuse(request)
        self.request, self.progress, self.rows = request, progress, rows
        self.doing = ""
        store = str((request.work / "store").absolute())
        self.settings = settings.model_copy(update={"store": store})
        sound, self.conflicts = without_conflicts(request.data.records)
        self.records = sample(sound, request.limit, request.seed)
        if not self.records:
            raise InputError(f"{request.file}: no records to measure on")
        chosen = {record.id for record in self.records}
        for id_ in request.project:
            if id_ not in chosen:
                raise InputError(f"no edit '{id_}' in this run", hint="--project takes its ids")
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
            import_into(root, self.request.data, self.records, aliases=self.request.aliases)
            (root / "complete").touch()
        return replace(open_registry(root).sound(), settings=self.settings)

    def _stage(self) -> Stage:
        located = locate(self.settings)
        loaded = load(located, trust_remote_code=self.settings.trust_remote_code)

        @cache
        def embed(representation: Representation) -> Embed:
            def own() -> tuple[LoadedModel, Site]:
                return loaded, proved_site(loaded.model, loaded.tokenizer)

            return remembering(embed_of(representation, located, own))

        size = self.request.weights_limit
        store = Store(Path(self.settings.store))
        return Stage(
            request=self.request,
            records=self.records,
            others=self.others,
            edits=self.edits,
            in_weights=[r.id for r in sample(self.records, size, self.request.seed)],
            registry=self.registry,
            store=store,
            loaded=loaded,
            embed=embed,
            speaker=Speaker(
                loaded,
                store,
                self.progress.advance,
                lambda total: self.progress.phase(self.doing, total),
            ),
            progress=self.progress,
        )

    # -- the run -------------------------------------------------------------------------------

    def result(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        self.stage = self._stage()
        self.lineup = Lineup(self.stage)
        found: dict[str, list[dict[str, Any]]] = {"scores": [], "relations": []}
        try:
            if not {*self.request.methods} <= {"base", "sake", *WEIGHTS}:
                self.lineup.threshold()  # what cannot be calibrated is said before hours of work
            asked = self._asked()
            self._say_what_is_left_out()
            known = self._conditions()
            labels = {r.relation: self.edits[r.id].fact.relation.text for r in self.records}
            for name in self.request.methods:
                own = asked
                if name in WEIGHTS:
                    own = [a for a in asked if a.record.id in self.stage.in_weights]
                for scope, heard in self._heard(name, own).items():
                    marks = mark(self.stage.loaded.tokenizer, own, heard)
                    for one in as_rows(name, scope, own, heard, marks):
                        self.rows(one)
                    found["scores"] += scores(name, scope, own, heard, marks, known)
                    found["relations"] += relations(name, scope, own, marks, labels)
            found |= self._curves(asked)
        finally:
            self.stage.speaker.close()
        return self._report(found, provenance)

    def _heard(self, name: str, asked: Sequence[Asked]) -> dict[Scope, list[Heard]]:
        method = self.lineup.method(name)
        self.doing = f"asking {name}"
        with self.stage.clock(name):
            return method.ask([a.question for a in asked])

    def _asked(self) -> list[Asked]:
        """Every test as a question, and each edit's share of unrelated prompts."""
        found: list[tuple[Record, Test | None, Question]] = []
        for record in self.records:
            for test in (*self.tests[record.id], *self._in_chats(record)):
                # Its own map on another relation's prompt tells nothing.
                related = test.axis != "other-relation"
                question = Question(test.query.prompt, record.id, self._tokens(test), related)
                found.append((record, test, question))
        for record, prompts in zip(self.records, self._unrelated(), strict=True):
            for prompt in prompts:
                question = Question(prompt, record.id, ANSWER, related=False)
                found.append((record, None, question))
        self.doing = "asking base"
        heard = Base(self.stage.speaker).ask([question for *_, question in found])["none"]
        return [
            Asked(record, test, question, h.reply, *self._kinds(record, test))
            for (record, test, question), h in zip(found, heard, strict=True)
        ]

    def _say_what_is_left_out(self) -> None:
        if not self.request.questions:
            return
        if not getattr(self.stage.loaded.tokenizer, "chat_template", None):
            name = self.stage.loaded.located.source.name
            self.left_out.append(f"chat: {name} has no chat template")
        silent = [
            r for r in self.records if not any(t.axis == "question" for t in self.tests[r.id])
        ]
        if silent:
            said = count(len(silent), "record")
            relations = ", ".join(sorted({record.relation for record in silent}))
            self.left_out.append(
                f"question: {said} without a wording that is in no prompt, for {relations}"
            )

    def _in_chats(self, record: Record) -> list[Test]:
        """The record's questions through the model's chat template, if it has one."""
        found = []
        for test in self.tests[record.id]:
            if test.axis == "question":
                told = derived.in_chat(self.stage.loaded.tokenizer, test.query.prompt)
                if told is not None:
                    found.append(Test("chat", Query(told, test.query.answers)))
        return found

    def _kinds(self, record: Record, test: Test | None) -> tuple[bool, bool | None]:
        """Whether the new object has several tokens after a test's prompt; whether the name that
        an aliasing test uses is among those of the edit file."""
        several, listed = False, None
        if test is not None and test.axis in LONG:
            tokenizer = self.stage.loaded.tokenizer
            several = len(object_tokens(tokenizer, test.query.prompt, record.new)[1]) > 1
        if test is not None and test.alias is not None and self.request.aliases == "half":
            known = {plainly(name) for name in record.listed(self.request.aliases)}
            listed = plainly(test.alias) in known
        return several, listed

    def _tokens(self, test: Test) -> int:
        """As many tokens as the answer needs, in the name that the data give first."""
        if test.axis in (*LONG, *QUESTIONS):
            return CONTINUATION
        if test.axis == "other-relation":  # what counts is the first position's activation
            return 1
        text, name = test.query.prompt, next(iter(test.query.names), "")
        encode = self.stage.speaker.encode
        return max(ANSWER, len(encode(f"{text} {name}")) - len(encode(text)))

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
        heard = Base(self.stage.speaker).ask(questions)["none"] if questions else []
        marks = {
            id(query): judge(self.stage.loaded.tokenizer, query.prompt, h.reply, query.names)
            for (_, query), h in zip(queries, heard, strict=True)
        }
        found: dict[int, dict[Success, bool | None]] = {}
        for record in self.records:
            for test in record.tests:
                given = [marks[id(query)] for query in test.conditions or ()]
                found[id(test)] = {s: met(test.conditions, given, s) for s in SUCCESSES}
        return found

    # -- curves and pictures -------------------------------------------------------------------

    def _curves(self, asked: Sequence[Asked]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {
            "threshold_curves": [], "prompt_curve": [], "load_curves": [], "projections": []
        }  # fmt: skip
        steered = [n for n in self.request.methods if n in ("sake", "sake-paper")]
        tests = [(a.question, a.test.axis, a.record) for a in asked if a.test]
        for name in steered:
            method = self.lineup.method(name)
            assert isinstance(method, Steering)
            embed = self.stage.embed(method.bundle.representation)
            lab = curves.Lab(self.stage.speaker, embed, self.stage.loaded.tokenizer)
            if "threshold" in self.request.curves:
                self.doing = f"thresholds of {name}"
                drawn = curves.thresholds(lab, method, tests)
                calibrated = (
                    self.lineup.calibrated[1] if self.lineup.calibrated and name != "sake" else None
                )
                drawn |= {"chosen": method.settings["router"]["threshold"]}
                drawn |= {"calibrated": calibrated or "the project's default"}
                found["threshold_curves"].append(drawn)
            if "prompts" in self.request.curves and name == "sake-paper":
                self.doing = f"prompts of {name}"
                found["prompt_curve"].append(curves.prompts(lab, method, tests))
            if "loads" in self.request.curves:
                found["load_curves"].append(self._loads(lab, method, tests))
            ids = self.request.project or tuple(method.entries)[:1]
            for id_ in ids:
                if id_ in method.entries:
                    drawn = curves.projection(method, id_)
                    found["projections"].append(
                        {"edit": id_, "claim": self.edits[id_].claim, "method": name, **drawn}
                    )
        return found

    def _loads(self, lab: curves.Lab, method: Steering, tests: curves.Tests) -> dict[str, Any]:
        """The curve over the number of edits loaded; the others' routes are made and kept."""
        scored = {(plainly(r.subject), r.relation) for r in self.records}
        # What says the same as a scored record is that edit once more, and no other one.
        others = [r for r in self.others if (plainly(r.subject), r.relation) not in scored]
        random.Random(self.request.seed).shuffle(others)
        settings = self.settings.model_validate(self.settings.model_dump() | method.settings)
        located, store = self.stage.loaded.located, self.stage.store
        space = space_of(settings.router.representation, located)
        metric = metric_of(settings.router.metric, space, lab.embed, store)
        self.progress.phase(f"routes for {method.name}", len(others))
        entries = {}
        with self.stage.clock(f"routes for {method.name}"):
            for record in others:
                edit = to_edit(record, self.request.data)
                if method.name == "sake-paper":
                    edit = edit.model_copy(update={"implications": ()})
                entries[record.id] = curves.entry_of(edit, settings, lab, metric, located, store)
                self.progress.advance(1)
        self.doing = f"edits loaded: {method.name}"
        return curves.loads(lab, method, tests, [r.id for r in self.records], entries)

    # -- the report's values -------------------------------------------------------------------

    def _report(
        self,
        found: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> dict[str, Any]:
        request = self.request
        sizes = [len(edit.prompts) for edit in self.edits.values()]
        implied = any(edit.implications for edit in self.edits.values())
        return {
            "schema": SCHEMA,
            "model": {
                "name": self.stage.loaded.located.source.name,
                "hash": self.stage.loaded.located.hash,
                "dtype": self.stage.loaded.located.dtype,
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
                "held_in": self.held_in,
                "aliases": request.aliases,
                "left_out": self.left_out,
                "prompts": {"min": min(sizes), "median": median(sizes), "max": max(sizes)},
                "implications": "their answers are taken from the records' tests, their wording "
                "is not"
                if implied
                else None,
            },
            "protocol": PROTOCOL,
            "methods": [d for d in self.lineup.described if d["name"] in request.methods],
            **found,
            "environment": {
                **provenance,
                "date": datetime.now(UTC).date().isoformat(),
                "seconds": {name: round(value, 1) for name, value in self.stage.seconds.items()},
                "versions": versions(),
            },
        }


def _refuse(request: Request) -> None:
    """Refuse what needs no data to be seen as wrong."""
    for name in request.methods:
        if name not in DESCRIPTIONS:
            raise InputError(f"no method '{name}'", hint=f"there is {', '.join(DESCRIPTIONS)}")
    if request.threshold is not None and not 0 < request.threshold < float("inf"):
        raise InputError(f"--threshold {request.threshold:g} is no distance above 0")
