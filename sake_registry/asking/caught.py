"""Edits that catch each other's prompts: what the router gives to another edit than the one that
states it. The prompt embedder is asked, and no language model, unless the router compares by its
own states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sake_registry.asking.routers import current_bundle, routers_of
from sake_registry.edits.checks import same_fact, valid_together
from sake_registry.edits.conflicts import (
    Conflict,
    Places,
    agree,
    alike,
    find_conflicts,
    in_order,
    statements,
)
from sake_registry.progress import SILENT
from sake_registry.runtime.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sake_registry.edits.conflicts import Side, Statement
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress
    from sake_registry.routing.router import Decision, Router

_BATCH = 256

Answers = dict[str, tuple[str, ...]]
"""Of each edit by id: the new object of each of its groups."""


def registry_router(registry: Registry) -> tuple[Router, Answers, Path | None]:
    """A router over the active edits of a registry, dates apart, and what each would answer.

    A bundle that is what the registry says now knows which implications could be compiled; the
    third value is its path. Without one the router is made of the files alone.

    Raises:
        ModelNotFoundError: the prompt embedder is not on this machine and cannot be fetched.
    """
    shared = routers_of(registry)
    path = current_bundle(registry, shared.space)
    if path is not None:
        with load_bundle(path) as bundle:
            entries = [replace(e, valid_from=None, valid_until=None) for e in bundle.entries()]
            answers = {e.id: tuple(g.new for g in e.groups) for e in bundle.manifest.edits}
            return shared.router(entries, bundle.metric()), answers, path
    made = {edit.id: shared.entry(edit) for edit in registry.active}
    answers = {id_: of_groups for id_, (_, of_groups) in made.items()}
    return shared.router(entry for entry, _ in made.values()), answers, None


def all_conflicts(
    registry: Registry, progress: Progress = SILENT
) -> tuple[list[Conflict], Path | None]:
    """Conflicts of the files, and prompts that another edit catches; the bundle of the router.

    Raises:
        ModelNotFoundError: the prompt embedder is not on this machine and cannot be fetched.
    """
    conflicts = find_conflicts(registry.edits, levels=registry.settings.checks)
    progress.begin("reading the edits", 0)
    router, answers, bundle = registry_router(registry)
    # What is caught because two edits are of one fact, or list one prompt, is among them already.
    one_fact = {frozenset(c.ids) for c in conflicts if c.kind in ("contradiction", "twice")}
    one_fact |= {
        frozenset((a.id, b.id))
        for a, b in same_fact(registry.active, alike)
        if valid_together(a, b)
    }
    reported = {(frozenset(c.ids), c.prompt) for c in conflicts}
    by_id = {edit.id: edit for edit in registry.active}
    places = Places()
    for statement, decision in _decided(registry.active, router, progress):
        other = by_id.get(decision.edit or "")
        if other is None or other.id == statement.edit.id:
            continue
        pair = frozenset((other.id, statement.edit.id))
        if pair in one_fact or (pair, statement.text) in reported:
            continue
        assert decision.group is not None
        says = answers[other.id][decision.group]
        if valid_together(statement.edit, other) and not agree(statement.answers, [says]):
            conflicts.append(_caught(statement, other, says, decision, places))
    return in_order(conflicts), bundle


def _decided(
    edits: Sequence[Edit], router: Router, progress: Progress
) -> Iterator[tuple[Statement, Decision]]:
    """What the router decides of every statement that another edit may catch.

    Names tell which these are, where embedding every prompt of a large registry would take hours.
    """
    open_to_others = [
        statement
        for edit in edits
        for statement in statements(edit)
        if router.candidates(statement.text) - {edit.id}
    ]
    progress.begin("deciding", len(open_to_others))
    for start in range(0, len(open_to_others), _BATCH):
        batch = open_to_others[start : start + _BATCH]
        yield from zip(batch, router.decide([s.text for s in batch]), strict=True)
        progress.advance(len(batch))


def _caught(
    statement: Statement, other: Edit, says: str, decision: Decision, places: Places
) -> Conflict:
    edit = statement.edit
    kept = statement.kind == "unchanged"
    hint = f"add it to the unchanged prompts of '{other.id}', or lower its scope.threshold"
    if kept:
        hint += f"; if it should change, take it out of the unchanged prompts of '{edit.id}'"
    return Conflict(
        kind="caught", severity="warning", prompt=statement.text,
        sides=(places.side(edit, statement.loc, statement.says), _catching(other, says, places)),
        message=f"'{other.id}' answers what '{edit.id}' "
        + ("keeps as it was" if kept else f"has among its {statement.kind}"),
        hint=hint, distance=decision.distance, threshold=decision.threshold,
    )  # fmt: skip


def _catching(edit: Edit, says: str, places: Places) -> Side:
    """Where an edit says what it answers: its object, or an implication's."""
    if says != edit.new:
        for i, implied in enumerate(edit.implications):
            if implied.new.text == says:
                return places.side(edit, ("implications", i, "new"), says)
    return places.side(edit, ("fact", "new"), says)
