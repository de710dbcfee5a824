"""Edits that catch each other's prompts: what the router gives to another edit than the one that
states it. The prompt embedder is asked, and no language model, unless the router compares by its
own states."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from sake_registry import names
from sake_registry.asking.routers import current_bundle, routers_of
from sake_registry.edits.conflicts import (
    Conflict,
    Places,
    agree,
    find_conflicts,
    in_order,
    statements,
    valid_together,
)
from sake_registry.runtime.core import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sake_registry.edits.conflicts import Side, Statement
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.routing.router import Decision, Router

_WORD = re.compile(r"\w+")
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
    registry: Registry,
    *,
    phase: Callable[[str, int], None] = lambda what, total: None,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[list[Conflict], Path | None]:
    """Conflicts of the files, and prompts that another edit catches; the bundle that was asked.

    Args:
        phase: told what is done next and how much of it there is; `advance`: how much is done.

    Raises:
        ModelNotFoundError: the prompt embedder is not on this machine and cannot be fetched.
    """
    found = find_conflicts(registry.edits, levels=registry.settings.checks)
    phase("reading the edits", 0)
    router, answers, bundle = registry_router(registry)
    # What is caught because two edits are of one fact, or list one prompt, is said already.
    one_fact = {frozenset(c.ids) for c in found if c.kind in ("contradiction", "twice")}
    told = {(frozenset(c.ids), c.prompt) for c in found}
    by_id = {edit.id: edit for edit in registry.active}
    places = Places()
    for statement, decision in _decided(registry.active, router, phase, advance):
        other = by_id.get(decision.edit or "")
        if other is None or other.id == statement.edit.id:
            continue
        pair = frozenset((other.id, statement.edit.id))
        if pair in one_fact or (pair, statement.text) in told:
            continue
        assert decision.group is not None
        says = answers[other.id][decision.group]
        if valid_together(statement.edit, other) and not agree(statement.answers, [says]):
            found.append(_caught(statement, other, says, decision, places))
    return in_order(found), bundle


def _decided(
    edits: Sequence[Edit],
    router: Router,
    phase: Callable[[str, int], None],
    advance: Callable[[int], None],
) -> Iterator[tuple[Statement, Decision]]:
    """What the router decides of every statement that another edit might catch."""
    suspects = _suspects(router)
    asked = [s for edit in edits for s in statements(edit) if suspects(s)]
    phase("deciding", len(asked))
    for start in range(0, len(asked), _BATCH):
        chosen = asked[start : start + _BATCH]
        yield from zip(chosen, router.decide([s.text for s in chosen]), strict=True)
        advance(len(chosen))


def _suspects(router: Router) -> Callable[[Statement], bool]:
    """Whether another edit may catch a statement: a few words decide that, where embedding every
    prompt of a large registry would take hours."""
    by_word: dict[str, set[str]] = defaultdict(set)
    always: set[str] = set()
    for entry in router.entries.values():
        for route in entry.routes:
            if not route.names:
                always.add(entry.edit)
            for name in route.names:
                words = _WORD.findall(names.fold(name)) or [""]
                for word in (words[0], words[-1]):  # a last name may stand alone
                    by_word[word].add(entry.edit)

    def suspect(statement: Statement) -> bool:
        own = {statement.edit.id}
        words = _WORD.findall(names.fold(statement.text))
        return bool(always - own) or any(by_word.get(word, own) - own for word in words)

    return suspect


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
