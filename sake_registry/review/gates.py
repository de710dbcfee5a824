"""The gates of a review: what decides its exit code.

A gate passes on what it has measured, never on what it cannot see: where there was nothing to
measure its state says so. That fails no review (a change without implications has none to test),
and is no success either.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, computed_field, model_validator

from sake_registry.asking.rows import KINDS
from sake_registry.routing.reasons import Reason
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sake_registry.asking.rows import Kind, Row, Share
    from sake_registry.settings import ReviewSettings

State = Literal["passed", "failed", "nothing measured"]


class Gate(Value):
    """One gate: its setting, what was asked for and measured, the verdict in words, and what to do
    where it failed. `ok` is whether it passed."""

    model_config = ConfigDict(strict=True)

    name: str
    limit: int | float | None = None
    value: int | float | None = None
    state: State
    text: str = ""
    hint: str = ""

    @computed_field
    @property
    def ok(self) -> bool:
        return self.state == "passed"

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """What follows from the rest need not be written, and is not read."""
        if not isinstance(value, dict):
            return value
        stated = dict(value)
        ok = stated.pop("ok", None)
        stated.setdefault("state", {True: "passed", False: "failed"}.get(ok))
        if stated["state"] == "failed":
            stated.setdefault("hint", what_to_do(str(stated.get("name"))))
        return stated


def claim_gates(
    errors: int,
    conflicts: int,
    contradictions: int = 0,
    tolerated: int = 0,
    unseen: int = 0,
    unconfirmed: int | None = None,
) -> list[Gate]:
    """Gates that need no model.

    Args:
        errors: findings of the checks that are errors.
        conflicts: files that git cannot merge.
        contradictions: prompts or facts of which two edits state two things.
        tolerated: those that the settings make no error.
        unseen: parts of the registry that cannot be seen.
        unconfirmed: texts of changed edits that a language model wrote and no person confirms;
            None where that is no gate.
    """
    wrong = f"{count(errors, 'error')} in the files" if errors else "no errors in the files"
    both = count(conflicts, "file") if conflicts else "no files"
    both += " changed on both sides that git cannot merge"
    denied = count(contradictions, "new contradiction") if contradictions else "no contradictions"
    denied += " between edits"
    if tolerated:
        denied += f", beside {tolerated} that [checks] in sake.toml makes a warning"
    hidden = f"{count(unseen, 'part')} of the registry" if unseen else "nothing of the registry"
    hidden += " cannot be seen"
    gates = [
        _at_most("errors", 0, errors, wrong),
        _at_most("conflicts", 0, conflicts, both),
        _at_most("contradictions", 0, contradictions, denied),
        _at_most("seen", 0, unseen, hidden),
    ]
    if unconfirmed is not None:
        some = count(unconfirmed, "text") if unconfirmed else "no text"
        text = f"{some} of a language model that no person confirms"
        gates.append(_at_most("generated", 0, unconfirmed, text))
    return gates


def answer_gates(
    settings: ReviewSettings,
    shares: Mapping[Kind, Share],
    *,
    built: int,
    failed: int,
    judged: int,
    not_built: int,
    interference: int,
    unrelated: int,
    collateral: int,
    missed: Iterable[Row] = (),
) -> list[Gate]:
    """Gates on what the model answers.

    Args:
        shares: of each kind of row, how many passed.
        built: changed edits that are built.
        failed: changed edits that could not be built.
        judged: other edits whose prompts were asked; `not_built` were not.
        interference: their prompts that are answered differently.
        unrelated: prompts that concern no edit; `collateral` are answered differently.
        missed: rows that did not pass, which say what to do about them.
    """
    building = count(failed, "edit") if failed else "everything"
    building += " could not be built" if failed else " could be built"
    gates = [_at_most("builds", 0, failed, building, seen=built + failed, none="no edit to build")]
    missed = list(missed)
    for kind in KINDS:
        name, floor = f"min_{kind}", getattr(settings, f"min_{kind}")
        share = shares[kind]
        if not share.n:
            text = f"{kind}: none written, so not measured"
            gates.append(Gate(name=name, limit=floor, state="nothing measured", text=text))
            continue
        percent = f"{100 * share.value:.1f} %"
        text = f"{kind}: {share} passed ({percent}), at least {100 * floor:g} % must"
        passed = share.value >= floor
        gates.append(
            Gate(
                name=name, limit=floor, value=share.value, text=text,
                state="passed" if passed else "failed",
                hint="" if passed else _advice(name, [row for row in missed if row.kind == kind]),
            )
        )  # fmt: skip
    for name, value, seen, what, none in (
        ("max_interference", interference, judged, "prompts of other edits", "no other edit"),
        ("max_collateral", collateral, unrelated, "unrelated prompts", "no prompt"),
    ):
        most = getattr(settings, name)
        text = f"{what} that are answered differently: {value}, at most {most} may be"
        if name == "max_interference" and not_built:
            text += f"; {count(not_built, 'other edit')} could not be judged"
        gates.append(_at_most(name, most, value, text, seen=seen, none=f"{none} to judge"))
    return gates


def _at_most(
    name: str, limit: int, value: int, text: str, *, seen: int = 1, none: str = ""
) -> Gate:
    """A gate that fails above a limit; `none` says what there is not where nothing was seen."""
    if not seen:
        return Gate(name=name, limit=limit, state="nothing measured", text=none)
    return Gate(
        name=name, limit=limit, value=value, text=text,
        state="passed" if value <= limit else "failed",
    )  # fmt: skip


WHAT_TO_DO = (
    (
        ("unchanged", "collateral", "unrelated", "interference"),
        "An edit reaches too far: add what changed to its unchanged prompts, or lower its "
        "scope.threshold.",
    ),
    (
        ("prompts",),
        "Look at the prompts that failed: the new object must be spelled as the model would say "
        "it. More prompts, differently worded, help.",
    ),
    (
        ("holdout",),
        "Where no edit answered, raise the edit's scope.threshold; where it did, give it prompts "
        "worded like those that failed (not the same ones).",
    ),
    (
        ("implications",),
        "See whether each answer really follows from the edit; correct or drop those that do not.",
    ),
    (
        ("contradiction",),
        "See below which edits disagree: withdraw one, or mend what it says.",
    ),
    (("conflict",), "Merge the base branch and decide which side is right."),
    (("build", "pair"), "See what the build says below; `sake compile` shows it again."),
    (
        ("seen",),
        "See below which parts those are, and put the files themselves there: no link, no "
        "submodule, no filter, and all of them checked out.",
    ),
    (
        ("generated",),
        "Read what is listed as not confirmed, take out what is wrong, and name the calls that "
        "wrote the rest in the edit's file: provenance: {confirmed: [MODEL@DAY#CALL]}.",
    ),
    (("error", "warning", "finding"), "Mend what the checks say; `sake check` shows each place."),
)


CAUSES = {
    "not named": "The prompts that failed do not name the edit's subject as it is written: name "
    "it there, or add the name that they use to the subject's aliases.",
    "too far": "No edit answered the prompts that failed: raise the edit's scope.threshold, or "
    "give it prompts worded more like them (not the same ones, where they are holdout prompts).",
    "another edit": "Another edit answered the prompts that failed: word the prompts of the two "
    "further apart, or lower that edit's scope.threshold.",
}
"""What to do about prompts that the edit itself did not answer."""


def _advice(gate: str, missed: Sequence[Row]) -> str:
    """The advice for the commonest cause of the rows that failed."""
    causes = Counter(map(_cause, missed)) if gate != "min_unchanged" else None
    cause = causes.most_common(1)[0][0] if causes else None
    return CAUSES.get(cause or "") or what_to_do(gate)


def _cause(row: Row) -> str:
    if row.by is None:
        return "not named" if row.reason == Reason.NOT_NAMED else "too far"
    return "said otherwise" if row.by == row.edit else "another edit"


def what_to_do(gate: str) -> str:
    """The advice for a gate that failed, by what its name speaks of."""
    for words, advice in WHAT_TO_DO:
        if any(word in gate for word in words):
            return advice
    return "See below what was found; the bound is set in sake.toml under [review]."
