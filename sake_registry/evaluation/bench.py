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
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from sake_registry import names
from sake_registry.authoring.importing import import_into, sample, to_edit, without_conflicts
from sake_registry.authoring.overlap import held_in, overlaps
from sake_registry.compiler.assemble import versions
from sake_registry.edits.keys import digest
from sake_registry.edits.registry import Registry, open_registry
from sake_registry.errors import InputError
from sake_registry.evaluation import curves
from sake_registry.evaluation.lineup import Lineup, Progress, Request, Stage
from sake_registry.evaluation.methods import DESCRIPTIONS, WEIGHTS, Base, Question, Steering
from sake_registry.evaluation.replies import Speaker
from sake_registry.evaluation.scores import (
    ANSWER,
    CONTINUATION,
    LONG,
    PROTOCOL,
    Asked,
    as_rows,
    mark,
    relations,
    scores,
)
from sake_registry.evaluation.scoring import SUCCESSES, Success, judge, met
from sake_registry.models.embedder import Embedder
from sake_registry.models.loading import load, locate
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from sake_registry.authoring.records import Record, Test
    from sake_registry.evaluation.methods import Heard, Scope
    from sake_registry.routing.router import Embed
    from sake_registry.settings import Settings

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
        self.edits = {record.id: to_edit(record, request.data) for record in self.records}
        # A test that the record's own prompt meets can be held out by no method.
        self.tests: dict[str, tuple[Test, ...]] = {}
        for record in self.records:
            lost = held_in(record)
            self.tests[record.id] = tuple(test for test in record.tests if test not in lost)
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
            import_into(root, self.request.data, self.records)
            (root / "complete").touch()
        return replace(open_registry(root).sound(), settings=self.settings)

    def _stage(self) -> Stage:
        located = locate(self.settings)
        loaded = load(located, trust_remote_code=self.settings.trust_remote_code)
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
            embed=_remembering(Embedder(located.embedder_folder).embed),
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
            for test in self.tests[record.id]:
                tokens = CONTINUATION if test.axis in LONG else self._tokens(test)
                found.append((record, test, Question(test.query.prompt, record.id, tokens)))
        for record, prompts in zip(self.records, self._unrelated(), strict=True):
            for prompt in prompts:
                question = Question(prompt, record.id, ANSWER, related=False)
                found.append((record, None, question))
        self.doing = "asking base"
        heard = Base(self.stage.speaker).ask([question for *_, question in found])["none"]
        return [Asked(*one, h.reply) for one, h in zip(found, heard, strict=True)]

    def _tokens(self, test: Test) -> int:
        """As many tokens as the answer needs, in the name that the data give first."""
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
            "threshold_curves": [], "prompt_curve": [], "projections": []
        }  # fmt: skip
        steered = [n for n in self.request.methods if n in ("sake", "sake-paper")]
        lab = curves.Lab(self.stage.speaker, self.stage.embed, self.stage.loaded.tokenizer)
        tests = [(a.question, a.test.axis, a.record) for a in asked if a.test]
        for name in steered:
            method = self.lineup.method(name)
            assert isinstance(method, Steering)
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
                "held_in": sum(len(r.tests) - len(self.tests[r.id]) for r in self.records),
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


def _remembering(embed: Embed) -> Embed:
    """An embedder that embeds a text once, however many routers ask."""
    known: dict[str, Tensor] = {}

    def remembered(texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return remembered
