"""What a change does to the model's answers: the model asked with the bundles of both sides.

Compiled is what changed; every other edit comes from the store. A prompt is answered anew only
where its decision, or the build of the edit decided for, differs between the sides: with the same
map, or none, the answer is the same to the bit (DESIGN, invariants 1 and 7). Both sides run on
the same batches, so that a difference is the edits' doing alone.

Dates count as they do in use. What a change sets for a later day is asked as of that day, and so
are all the other prompts; an edit whose last day has passed is one that is gone.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.asking.answers import begins_with, continue_greedily, needed
from sake_registry.asking.rows import Question, questions, row
from sake_registry.asking.unrelated import nearby, unrelated
from sake_registry.compiler.plan import keys_of, make_plan
from sake_registry.compiler.run import Compiled, compile_registry
from sake_registry.models.loading import LoadedModel, LocatedModel, load, locate
from sake_registry.progress import SILENT
from sake_registry.review.report import Build
from sake_registry.review.sides import restricted
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date

    from sake_registry.asking.answers import Continuation
    from sake_registry.asking.rows import Row
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress
    from sake_registry.review.sides import Sides
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import Bundle

BATCH = 32


@dataclass(frozen=True)
class Dated(Question):
    """A question that a review asks."""

    gone: bool = False
    """Whether the edit is not in force any more after the change."""
    day: date | None = None
    """The day of which it is asked, if it is a later one than today."""


@dataclass
class Answers:
    """What asking gave: rows by edit; of other edits' prompts, unrelated ones and nearby ones,
    those that are answered differently."""

    model: LocatedModel
    rows: dict[str, list[Row]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Edits that are not in force after the change."""
    interference: list[Row] = field(default_factory=list)
    unrelated: int = 0
    collateral: list[Row] = field(default_factory=list)
    nearby: int = 0
    near: list[Row] = field(default_factory=list)
    builds: dict[str, Build] = field(default_factory=dict)
    judged: int = 0
    not_built: list[str] = field(default_factory=list)
    texts_run: int = 0

    def in_force(self, edit: str | None = None) -> list[Row]:
        """The rows of an edit, or of all, that count: not those of edits that are gone."""
        return [
            row
            for id_, rows in self.rows.items()
            if id_ not in self.gone and edit in (None, id_)
            for row in rows
        ]


def ask_both(
    sides: Sides,
    *,
    everything: bool = False,
    into: Path | None = None,
    progress: Progress = SILENT,
) -> Answers:
    """Compile what changed and ask both sides.

    Args:
        everything: compile the other edits, too, where the store lacks them.
        into: a folder to leave the bundle of what merging makes in.

    Raises:
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        LockedError: another process compiles.
        StorageError: the store cannot be written.
    """
    located = locate(sides.after.settings)
    answers = Answers(located)
    changed = {change.id for change in sides.changes}
    both = [
        _available(registry, located, changed, everything)
        for registry in (sides.before, sides.after)
    ]
    answers.not_built = sorted(
        {edit.id for edit in sides.after.active} - {edit.id for edit in both[1]} - changed
    )
    answers.judged = sum(edit.id not in changed for edit in both[1])
    with tempfile.TemporaryDirectory(prefix="sake-review-") as folder, ExitStack() as stack:
        bundles: list[Bundle | None] = []
        keys = []
        places = (Path(folder) / "before", into or Path(folder) / "after")
        for place, registry, edits in zip(places, (sides.before, sides.after), both, strict=True):
            origin = sides.provenance if registry is sides.after else {}
            compiled = _compile(registry, edits, located, place, origin, progress)
            answers.texts_run += compiled.texts_run if compiled else 0
            if registry is sides.after:
                answers.builds = _builds(compiled, changed)
            path = compiled.bundle if compiled else None
            bundles.append(stack.enter_context(load_bundle(path)) if path else None)
            manifest = bundles[-1].manifest if bundles[-1] else None
            keys.append({e.id: e.key for e in manifest.edits} if manifest else {})
        _ask(sides, both, bundles, keys, answers, progress)
    return answers


def _available(
    registry: Registry, located: LocatedModel, changed: Collection[str], everything: bool
) -> list[Edit]:
    """The active edits that the review's bundle of a side holds: those that changed, and the
    others whose activations the store has."""
    store = registry.open_store()
    keys = keys_of(registry.active, located, registry.settings)
    return [
        edit
        for edit in registry.active
        if everything or edit.id in changed or store.has("activations", keys[edit.id].activations)
    ]


def _compile(
    registry: Registry,
    edits: Sequence[Edit],
    located: LocatedModel,
    folder: Path,
    provenance: Mapping[str, Any],
    progress: Progress,
) -> Compiled | None:
    if not edits:
        return None
    chosen = restricted(registry, edits, bundles=str(folder))
    return compile_registry(
        chosen, keep_going=True, slim=True, plan=make_plan(chosen, located, slim=True),
        provenance=provenance, progress=progress,
    )  # fmt: skip


def _builds(compiled: Compiled | None, changed: Collection[str]) -> dict[str, Build]:
    """Of each changed edit: how its build went, if it is in force."""
    members = {e.id: e for e in compiled.manifest.edits} if compiled and compiled.manifest else {}

    def build(id_: str) -> Build:
        if compiled and id_ in compiled.failures:
            return Build(outcome="failed", error=str(compiled.failures[id_]))
        if not compiled or id_ not in members:
            return Build(outcome="not in a bundle")
        fact = members[id_].groups[0]
        return Build(
            outcome="built" if id_ in compiled.built else "reused",
            warnings=members[id_].notes,
            worked=fact.worked,
            pairs=fact.written + fact.added,
        )

    return {id_: build(id_) for id_ in sorted(changed)}


def _ask(
    sides: Sides,
    both: Sequence[Sequence[Edit]],
    bundles: Sequence[Bundle | None],
    keys: Sequence[dict[str, str]],
    answers: Answers,
    progress: Progress,
) -> None:
    changed = {change.id for change in sides.changes}
    today = datetime.now(UTC).date()
    of_change = _of_change(sides, today)
    answers.gone = {str(question.edit) for question in of_change if question.gone}
    kept = [edit for edit in both[1] if edit.id not in changed]
    others = [question for edit in kept for question in questions(edit)]
    was, now = ([edit for edit in side if edit.id in changed] for side in both)
    sample = [Question(None, "unrelated", text) for text in unrelated([*now, *was], kept)]
    near = [Question(edit.id, "nearby", text) for edit in now for text in nearby(edit, both[1])]
    answers.unrelated, answers.nearby = len(sample), len(near)
    asked: list[Question] = [*of_change, *others, *sample, *near]
    prompts = [question.prompt for question in asked]
    days = sorted({question.day or today for question in of_change} | {today})

    @cache
    def loaded() -> LoadedModel:
        return load(answers.model, trust_remote_code=sides.after.settings.trust_remote_code)

    # Of each day, the decisions of both sides.
    decisions = {
        day: list(zip(*(_decide(bundle, prompts, day, loaded) for bundle in bundles), strict=True))
        for day in days
    }

    def does(side: int, decision: Decision) -> tuple[str | None, int | None]:
        return keys[side].get(decision.edit) if decision.edit else None, decision.group

    pairs: dict[int, tuple[Decision, Decision]] = {}
    for i, question in enumerate(asked):
        if isinstance(question, Dated):
            pairs[i] = decisions[question.day or today][i]
            continue
        of_days = (decisions[day][i] for day in days)
        differing = next((p for p in of_days if does(0, p[0]) != does(1, p[1])), None)
        if differing is not None:
            pairs[i] = differing
    chosen = list(pairs)
    if not chosen:
        return
    progress.begin("asking", 2 * len(chosen))
    progress.advance(0, "both sides")
    tokens = [needed(loaded().tokenizer, prompts[i], asked[i].accepted) for i in chosen]
    texts = [
        _answer(loaded(), bundle, [(prompts[i], pairs[i][side]) for i in chosen], tokens, progress)
        for side, bundle in enumerate(bundles)
    ]
    for i, before, after in zip(chosen, *texts, strict=True):
        question, answer = asked[i], _row(asked[i], before, after)
        if isinstance(question, Dated):
            answers.rows.setdefault(str(question.edit), []).append(answer)
        elif before.tokens != after.tokens:
            {"unrelated": answers.collateral, "nearby": answers.near}.get(
                question.kind, answers.interference
            ).append(answer)


def _row(question: Question, before: Continuation, after: Continuation) -> Row:
    """A question with both answers; it is ok if the answer after is what the file asks for. Of an
    edit that is gone, the decision is that of before."""
    gone = isinstance(question, Dated) and question.gone
    if question.kind in ("unchanged", "unrelated", "nearby"):
        ok = before.tokens == after.tokens
    else:
        ok = begins_with(after.text, question.accepted)
    decision = before.decision if gone else after.decision
    by = after.decision.edit
    return row(question, before.text, after.text, decision, ok=gone or ok, by=by)


def _of_change(sides: Sides, today: date) -> list[Dated]:
    """What is asked of the edits that changed: what is in force after the change, and of an edit
    that is not any more, what it was."""
    after = {edit.id: edit for edit in sides.after.active}
    before = {edit.id: edit for edit in sides.before.active}
    asked = []
    for change in sides.changes:
        if change.after is not None and change.after.edit is None:
            continue  # a file with errors: what it will say cannot be known
        edit = after.get(change.id) or before.get(change.id)
        if edit is None:
            continue
        life = edit.lifecycle
        expired = life.valid_until is not None and life.valid_until < today
        gone = change.id not in after or expired
        later = life.valid_from is not None and life.valid_from > today
        day = life.valid_from if later and not gone else None
        for q in questions(edit):
            accepted = () if gone else q.accepted
            asked.append(Dated(change.id, q.kind, q.prompt, accepted, gone, day))
    return asked


def _decide(
    bundle: Bundle | None, prompts: Sequence[str], day: date, load: Callable[[], LoadedModel]
) -> list[Decision]:
    """Decisions as of noon of a day; the model is loaded only where its own states decide."""
    if bundle is None:
        return [NOBODY] * len(prompts)
    noon = datetime.combine(day, time(12), UTC)
    if bundle.representation == "embedder":
        return bundle.route(prompts, now=noon)
    loaded = load()
    with bundle.attach(
        loaded.model, loaded.tokenizer, source=loaded.located.folder, clock=lambda: noon
    ) as edited:
        return edited.decide(prompts)


def _answer(
    loaded: LoadedModel,
    bundle: Bundle | None,
    prompts: Sequence[tuple[str, Decision]],
    tokens: Sequence[int],
    progress: Progress,
) -> list[Continuation]:
    """Greedy texts in the order of the prompts, on batches that depend on the prompts alone."""
    if bundle is None:
        return continue_greedily(loaded.model, loaded.tokenizer, prompts, tokens, BATCH, progress)
    with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
        return continue_greedily(edited, loaded.tokenizer, prompts, tokens, BATCH, progress)
