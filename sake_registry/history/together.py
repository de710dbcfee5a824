"""What the other edits of a registry say to a change of some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_registry.edits.checks import check_together, plainly
from sake_registry.edits.schema import Lifecycle
from sake_registry.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.history.plans import EditRevert


def check_others(registry: Registry, planned: Sequence[EditRevert]) -> None:
    """Make sure that no other edit contradicts the result, or was made on what goes away.

    Only what is new counts: edits that contradict each other already may go on doing so.

    Raises:
        StateError: one does; with the command that takes both back.
    """
    before = {edit.id: edit for edit in registry.edits}
    after = dict(before)
    for step in planned:
        before.pop(step.id, None)
        after.pop(step.id, None)
        if step.change.before and step.change.before.edit:
            before[step.id] = step.change.before.edit
        if step.change.after and step.change.after.edit:
            after[step.id] = step.change.after.edit
    by_name: dict[str, list[Edit]] = {}
    for edit in after.values():
        for name in _names(edit) if edit.active else ():
            by_name.setdefault(name, []).append(edit)
    # Only an error forbids it: a registry may have set contradictions to be a warning.
    strict = registry.settings.checks.get("SAKE202", "error") == "error"
    for step in planned:
        now, result = before.get(step.id), after.get(step.id)
        names = {name for edit in (now, result) if edit for name in _names(edit)}
        others = {e.id: e for name in sorted(names) for e in by_name.get(name, ())}
        for other in others.values():
            if other.id == step.id:
                continue
            if strict and result and result.active and _contradict(result, other):
                was = before.get(other.id)
                if not (now and was and _contradict(now, was)):
                    raise _contradiction(result, other)
            if now and now.active and _depends(other, now, result):
                raise _dependence(other, step)


def _names(edit: Edit) -> set[str]:
    return {plainly(name) for name in edit.fact.subject.all}


def _contradict(first: Edit, second: Edit) -> bool:
    """Whether the checks of the registry say so of two edits, each in force or not."""
    # The content serves only the place in the file, which is not shown here.
    findings = check_together([first, second], lambda path: b"")
    return any(finding.code == "SAKE202" for finding in findings)


def _depends(other: Edit, now: Edit, result: Edit | None) -> bool:
    """Whether an edit starts from the object that a changed one says now and no longer will.

    Of one fact, whenever each of them is valid: the second may begin where the first ends.
    """
    old = {plainly(name) for name in other.fact.old.all} if other.fact.old else set()
    shared = {plainly(name) for name in now.fact.new.all} & old
    still = result is not None and result.active and _says(result, shared)
    timeless = [edit.model_copy(update={"lifecycle": Lifecycle()}) for edit in (now, other)]
    return bool(shared) and not still and bool(check_together(timeless, lambda path: b""))


def _says(edit: Edit, objects: set[str]) -> bool:
    return bool({plainly(name) for name in edit.fact.new.all} & objects)


def _contradiction(result: Edit, other: Edit) -> StateError:
    fact = f"{result.subject} · {result.fact.relation.text}"
    return StateError(
        f"'{result.id}' would say that {fact} is '{result.new}', and '{other.id}' says "
        f"'{other.new}'",
        hint=f"take both back: `sake revert {result.id} {other.id}`; or take the other out of "
        f"force first: `sake withdraw {other.id} --reason …`",
    )


def _dependence(other: Edit, step: EditRevert) -> StateError:
    verb, reason = ("withdraw", " --reason …") if step.action == "withdraw" else ("revert", "")
    return StateError(
        f"'{other.id}' was made on what '{step.id}' says: it changes '{other.old}' to "
        f"'{other.new}'",
        hint=f"take both back together: `sake {verb} {step.id} {other.id}{reason}`",
    )
