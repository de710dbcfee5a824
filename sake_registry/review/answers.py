"""What a change does to the model's answers: the model asked with the bundles of both sides.

Compiled is what changed; every other edit comes from the store. A prompt is answered anew only
where its decision, or the build of the edit decided for, differs between the sides: with the same
map, or none, the answer is the same to the bit (DESIGN, invariants 1 and 7). Both sides run on
the same batches, so that a difference is the edits' doing alone.

Dates count as they do in use. What a change sets for a later day is asked as of that day, and so
are all the other prompts; an edit whose last day has passed is one that is gone.
"""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.asking.answers import begins_with, continue_greedily
from sake_registry.asking.testing import KINDS, TOKENS, wanted_rows
from sake_registry.asking.unrelated import nearby, unrelated
from sake_registry.compiler.plan import keys_of, make_plan
from sake_registry.compiler.run import Compiled, compile_registry
from sake_registry.models.loading import LoadedModel, LocatedModel, load, locate
from sake_registry.review.sides import restricted
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.bundle import load_bundle
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date

    from sake_registry.asking.answers import Continuation
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.review.sides import Sides
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import Bundle

BATCH = 32


@dataclass(frozen=True)
class Row:
    """A prompt on both sides. `edit` is whose prompt it is; None for an unrelated one."""

    edit: str | None
    kind: str
    prompt: str
    accepted: tuple[str, ...]
    gone: bool = False
    """Whether the edit is not in force any more after the change."""
    day: date | None = None
    """The day of which it is asked, if it is a later one than today."""


@dataclass(frozen=True)
class Answered:
    """A row with the greedy texts and decisions of both sides."""

    row: Row
    before: Continuation
    after: Continuation

    @property
    def differs(self) -> bool:
        return self.before.tokens != self.after.tokens

    @property
    def ok(self) -> bool:
        """Whether the answer after the change is what the file asks for."""
        if self.row.gone:
            return True
        if self.row.kind in ("unchanged", "unrelated", "nearby"):
            return not self.differs
        return begins_with(self.after.text, self.row.accepted)

    def as_json(self) -> dict[str, Any]:
        row, decision = self.row, self.after.decision
        if row.gone:
            decision = self.before.decision
        expected = self.before.text.strip() if row.kind == "unchanged" else ""
        return {
            "kind": row.kind,
            "prompt": row.prompt,
            "before": self.before.text,
            "after": self.after.text,
            "expected": row.accepted[0] if row.accepted and row.kind != "unchanged" else expected,
            "ok": self.ok,
            "by": self.after.decision.edit,
            "distance": _finite(decision.distance),
            "threshold": decision.threshold,
            "reason": decision.why,
        }


def _finite(distance: float | None) -> float | None:
    """JSON knows no NaN, which a broken embedder may give."""
    return distance if distance is not None and math.isfinite(distance) else None


@dataclass
class Findings:
    """What asking found: rows by edit; of other edits' prompts, unrelated ones and nearby ones,
    those that are answered differently."""

    model: LocatedModel
    rows: dict[str, list[Answered]] = field(default_factory=dict)
    interference: list[Answered] = field(default_factory=list)
    unrelated: int = 0
    collateral: list[Answered] = field(default_factory=list)
    nearby: int = 0
    near: list[Answered] = field(default_factory=list)
    builds: dict[str, dict[str, Any]] = field(default_factory=dict)
    judged: int = 0
    not_built: list[str] = field(default_factory=list)
    texts_run: int = 0


def ask_both(
    sides: Sides,
    *,
    everything: bool = False,
    compiling: Callable[[str, int], None] = lambda edit, texts: None,
    asking: Callable[[int, int], None] = lambda done, total: None,
) -> Findings:
    """Compile what changed and ask both sides.

    Args:
        everything: compile the other edits, too, where the store lacks them.
        compiling: called with an edit's id and the number of texts just run.
        asking: called with the number of prompts answered and of all.

    Raises:
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        LockedError: another process compiles.
        StorageError: the store cannot be written.
    """
    located = locate(sides.after.settings)
    found = Findings(located)
    changed = {change.id for change in sides.changes}
    both = [
        _available(registry, located, changed, everything)
        for registry in (sides.before, sides.after)
    ]
    found.not_built = sorted(
        {edit.id for edit in sides.after.active} - {edit.id for edit in both[1]} - changed
    )
    found.judged = sum(edit.id not in changed for edit in both[1])
    with tempfile.TemporaryDirectory(prefix="sake-review-") as folder, ExitStack() as stack:
        opened: list[Bundle | None] = []
        keys = []
        for name, registry, edits in zip(("before", "after"), (sides.before, sides.after), both,
                                         strict=True):  # fmt: skip
            compiled = _compile(registry, edits, located, Path(folder) / name, compiling)
            found.texts_run += compiled.texts_run if compiled else 0
            if name == "after":
                found.builds = _builds(compiled, changed)
            path = compiled.bundle if compiled else None
            opened.append(stack.enter_context(load_bundle(path)) if path else None)
            manifest = opened[-1].manifest if opened[-1] else None
            keys.append({e.id: e.key for e in manifest.edits} if manifest else {})
        _ask(sides, both, opened, keys, found, asking)
    return found


def _available(
    registry: Registry, located: LocatedModel, changed: Collection[str], everything: bool
) -> list[Edit]:
    """The active edits that the review's bundle of a side holds: those that changed, and the
    others whose activations the store has."""
    store = Store(registry.store)
    keys = keys_of(registry.active, located, registry.settings)
    return [
        edit
        for edit in registry.active
        if everything or edit.id in changed or store.has("activations", keys[edit.id].activations)
    ]


class _Texts:
    """The texts of a compile, told by edit and number."""

    def __init__(self, told: Callable[[str, int], None]) -> None:
        self._told = told

    def begin(self, phase: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, label: str = "") -> None:
        self._told(label, steps)


def _compile(
    registry: Registry,
    edits: Sequence[Edit],
    located: LocatedModel,
    folder: Path,
    progress: Callable[[str, int], None],
) -> Compiled | None:
    if not edits:
        return None
    chosen = restricted(registry, edits, bundles=str(folder))
    return compile_registry(
        chosen, keep_going=True, slim=True, plan=make_plan(chosen, located, slim=True),
        progress=_Texts(progress),
    )  # fmt: skip


def _builds(compiled: Compiled | None, changed: Collection[str]) -> dict[str, dict[str, Any]]:
    """Of each changed edit: how its build went, if it is in force."""
    members = {e.id: e for e in compiled.manifest.edits} if compiled and compiled.manifest else {}
    found = {}
    for id_ in sorted(changed):
        build: dict[str, Any] = {"outcome": "not in a bundle", "error": None, "warnings": [],
                                 "worked": 0, "pairs": 0}  # fmt: skip
        if compiled and id_ in compiled.failures:
            build |= {"outcome": "failed", "error": str(compiled.failures[id_])}
        elif compiled and id_ in members:
            info = members[id_]
            fact = info.groups[0]
            build |= {
                "outcome": "built" if id_ in compiled.built else "reused",
                "warnings": list(info.warnings),
                "worked": fact.worked,
                "pairs": fact.written + fact.added,
            }
        found[id_] = build
    return found


def _ask(
    sides: Sides,
    both: Sequence[Sequence[Edit]],
    opened: Sequence[Bundle | None],
    keys: Sequence[dict[str, str]],
    found: Findings,
    progress: Callable[[int, int], None],
) -> None:
    changed = {change.id for change in sides.changes}
    today = datetime.now(UTC).date()
    mine = _changed_rows(sides, today)
    kept = [edit for edit in both[1] if edit.id not in changed]
    others = [Row(edit.id, *wanted) for edit in kept for wanted in wanted_rows(edit)]
    was, now = ([edit for edit in side if edit.id in changed] for side in both)
    sample = [Row(None, "unrelated", text, ()) for text in unrelated([*now, *was], kept)]
    near = [Row(edit.id, "nearby", text, ()) for edit in now for text in nearby(edit, both[1])]
    found.unrelated, found.nearby = len(sample), len(near)
    rows = [*mine, *others, *sample, *near]
    prompts = [row.prompt for row in rows]
    days = sorted({row.day or today for row in mine} | {today})

    @cache
    def loaded() -> LoadedModel:
        return load(found.model, trust_remote_code=sides.after.settings.trust_remote_code)

    # Of each day, the decisions of both sides.
    decided = {
        day: list(zip(*(_decide(bundle, prompts, day, loaded) for bundle in opened), strict=True))
        for day in days
    }

    def does(side: int, decision: Decision) -> tuple[str | None, int | None]:
        return keys[side].get(decision.edit) if decision.edit else None, decision.group

    own = set(mine)
    pairs: dict[int, tuple[Decision, Decision]] = {}
    for i, row in enumerate(rows):
        if row in own:
            pairs[i] = decided[row.day or today][i]
            continue
        differing = (decided[day][i] for day in days)
        found_pair = next((p for p in differing if does(0, p[0]) != does(1, p[1])), None)
        if found_pair is not None:
            pairs[i] = found_pair
    chosen = list(pairs)
    if not chosen:
        return
    answers = []
    for side, bundle in enumerate(opened):
        told = [(rows[i].prompt, pairs[i][side]) for i in chosen]
        start = side * len(chosen)
        answers.append(
            _answer(loaded(), bundle, told, lambda n, s=start: progress(s + n, 2 * len(chosen)))  # type: ignore[misc]
        )
    for i, before, after in zip(chosen, *answers, strict=True):
        answered = Answered(rows[i], before, after)
        if rows[i] in own:
            found.rows.setdefault(str(rows[i].edit), []).append(answered)
        elif answered.differs:
            {"unrelated": found.collateral, "nearby": found.near}.get(
                rows[i].kind, found.interference
            ).append(answered)


def _changed_rows(sides: Sides, today: date) -> list[Row]:
    """What is asked of the edits that changed: what is in force after the change, and of an edit
    that is not any more, what it was."""
    after = {edit.id: edit for edit in sides.after.active}
    before = {edit.id: edit for edit in sides.before.active}
    found = []
    for change in sides.changes:
        if change.after is not None and change.after.edit is None:
            continue  # a file with errors: what it will say cannot be told
        edit = after.get(change.id) or before.get(change.id)
        if edit is None:
            continue
        life = edit.lifecycle
        expired = life.valid_until is not None and life.valid_until < today
        gone = change.id not in after or expired
        later = life.valid_from is not None and life.valid_from > today
        day = life.valid_from if later and not gone else None
        for kind, prompt, accepted in wanted_rows(edit):
            found.append(Row(change.id, kind, prompt, () if gone else accepted, gone, day))
    return found


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
    told: Sequence[tuple[str, Decision]],
    progress: Callable[[int], None],
) -> list[Continuation]:
    """Greedy texts in the order of `told`, on batches that depend on the prompts alone."""
    if bundle is None:
        return continue_greedily(loaded.model, loaded.tokenizer, told, TOKENS, BATCH, progress)
    with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
        return continue_greedily(edited, loaded.tokenizer, told, TOKENS, BATCH, progress)


def shares(answered: Sequence[Answered]) -> dict[str, dict[str, int]]:
    """Of each kind: how many rows passed, of how many; rows of edits that are gone do not count."""
    found: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        rows = [a for a in answered if a.row.kind == kind and not a.row.gone]
        found[kind] = {"passed": sum(a.ok for a in rows), "n": len(rows)}
    return found
