"""A review as one value (`review/1`): built, written, read and shown by the same class.

Reading is strict: a value of the wrong kind is an error that names its place. The order of
`worst_first` is the order in which a reviewer should look: what cannot be used, what answers
otherwise than expected, what the checks found, and last what is fine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from sake_registry.asking.rows import KINDS, Kind, Row, Share, Whole
from sake_registry.diagnostics import Diagnostic
from sake_registry.edits.conflicts import Conflict
from sake_registry.errors import InputError
from sake_registry.history.snapshots import Action
from sake_registry.review.gates import Gate
from sake_registry.values import Value
from sake_registry.wording import count

SCHEMA: Literal["review/1"] = "review/1"
ACTIONS: tuple[Action, ...] = get_args(Action)
Outcome = Literal["built", "reused", "failed", "not in a bundle"]
Trouble = Literal["unusable", "failed", "error", "warning", "none"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
"""The worst first."""

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in JSON, whose members are read strictly all the same."""


class Part(Value):
    """A part of a review. Where it has a default, null and a missing name both mean it."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: part for name, part in value.items() if part is not None}


class Build(Part):
    """How the build of an edit went; `worked` of its `pairs` did."""

    outcome: Outcome
    error: str | None = None
    warnings: Many[str] = ()
    worked: Whole = 0
    pairs: Whole = 0

    def __str__(self) -> str:
        if self.outcome == "failed":
            return f"the build failed: {self.error or 'no reason was given'}"
        if self.outcome == "not in a bundle" or not self.pairs:
            return self.outcome
        how = "" if self.outcome == "built" else "taken from the store; "
        return f"{how}{self.worked} of {count(self.pairs, 'pair')} worked"


class Written(Part):
    """A text that a language model wrote, in the call `by`, and whether a person confirms it."""

    kind: str
    text: str
    by: str
    confirmed: bool = False


class EditReview(Part):
    """What happens to one edit. `build` is None where no model was asked."""

    id: str
    action: Action
    path: str = ""
    claim: str
    sentence: str = ""
    status: str = "active"
    lines: Many[str] = ()
    reason: str | None = None
    sources: Many[str] = ()
    generated: Many[Written] = ()
    findings: Many[Diagnostic] = ()
    build: Build | None = None
    rows: Many[Row] = ()
    shares: dict[Kind, Share] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _rows_are_the_edit_s(cls, value: Any) -> Any:
        rows = value.get("rows") if isinstance(value, dict) else None
        if not isinstance(rows, list):
            return value
        named = [{"edit": value.get("id"), **r} if isinstance(r, dict) else r for r in rows]
        return {**value, "rows": named}

    @property
    def measured(self) -> dict[Kind, Share]:
        return measured(self.shares)

    @property
    def name(self) -> str:
        """What a reviewer knows it by."""
        return self.claim or self.id

    @property
    def missed(self) -> tuple[Row, ...]:
        """The rows that answer otherwise than expected."""
        return tuple(row for row in self.rows if not row.ok)

    @property
    def by_call(self) -> dict[str, tuple[Written, ...]]:
        """What a language model wrote, by the call, what is not confirmed first."""
        calls = dict.fromkeys(one.by for one in sorted(self.generated, key=lambda w: w.confirmed))
        return {by: tuple(one for one in self.generated if one.by == by) for by in calls}

    @property
    def unconfirmed(self) -> int:
        """Texts in force that a language model wrote and no person confirms."""
        in_force = self.status == "active" and self.action != "removed"
        return sum(not one.confirmed for one in self.generated) if in_force else 0

    @property
    def failed_first(self) -> tuple[Row, ...]:
        order = [*KINDS, "unrelated", "nearby"]
        return tuple(sorted(self.rows, key=lambda row: (row.ok, order.index(row.kind))))

    @property
    def build_failed(self) -> bool:
        return self.build is not None and self.build.outcome == "failed"

    @property
    def warnings(self) -> int:
        return sum(f.severity != "error" for f in self.findings) + (
            len(self.build.warnings) if self.build else 0
        )

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self.findings)


class MergeConflict(Part):
    """A file that both sides changed and git cannot merge; the head's version is reviewed."""

    id: str
    path: str = ""
    text: str


class AskedModel(Part):
    name: str
    hash: str = ""
    dtype: str = ""


class Range(Part):
    """What is reviewed: full commit ids; `head` None is the working tree.

    `base` is the tip that is merged into, `merge_base` where the head left it.
    """

    text: str
    base: str
    merge_base: str
    head: str | None = None

    @property
    def end(self) -> str:
        """The head in words, shortened if it is a commit."""
        if self.head is None:
            return "the working tree"
        return self.head[:12] if re.fullmatch(r"[0-9a-f]{40,}", self.head) else self.head


class Sample(Part):
    """Prompts that no file states: how many were asked, and those whose answer changed."""

    n: Whole = 0
    changed: Many[Row] = ()


class Others(Part):
    """Edits that the change does not touch: how many were judged, and which were not, as the
    store lacks their builds."""

    judged: Whole = 0
    not_built: Many[str] = ()


class Review(Part):
    """What a change of the registry does. `model` is None where no model was asked."""

    model_config = ConfigDict(serialize_by_alias=True)

    version: Literal["review/1"] = Field(default=SCHEMA, alias="schema")
    range: Range
    model: AskedModel | None = None
    settings: Many[str] = ()
    conflicts: Many[MergeConflict] = ()
    edit_conflicts: Many[Conflict] = ()
    edits: Many[EditReview] = ()
    interference: Many[Row] = ()
    unrelated: Sample = Sample()
    nearby: Sample = Sample()
    findings: Many[Diagnostic] = ()
    others: Others = Others()
    shares: dict[Kind, Share] = Field(default_factory=dict)
    texts_run: Whole = 0
    gates: Many[Gate] = ()
    passed: bool
    seconds: float = 0

    @cached_property
    def worst_first(self) -> tuple[EditReview, ...]:
        def place(edit: EditReview) -> tuple[int, int, int, str, str]:
            missed = len(edit.missed) + self.reach(edit)
            action = ACTIONS.index(edit.action)
            return TROUBLES.index(self.trouble(edit)), -missed, action, edit.id, edit.path

        return tuple(sorted(self.edits, key=place))

    @cached_property
    def _reach(self) -> Counter[str]:
        spoiled = [row for row in (*self.interference, *self.unrelated.changed) if not row.ok]
        return Counter(row.by for row in spoiled if row.by)

    def reach(self, edit: EditReview) -> int:
        """How many prompts of other edits, and unrelated ones, this edit spoils."""
        return self._reach[edit.id]

    @cached_property
    def _in_conflict(self) -> frozenset[str]:
        return frozenset(conflict.id for conflict in self.conflicts)

    def trouble(self, edit: EditReview) -> Trouble:
        """The worst that is to be said of an edit."""
        if edit.build_failed or edit.id in self._in_conflict:
            return "unusable"
        if edit.missed or self.reach(edit):
            return "failed"
        if edit.errors:
            return "error"
        return "warning" if edit.warnings else "none"

    def fine(self, edit: EditReview) -> bool:
        return self.trouble(edit) in ("none", "warning")

    def state(self, edit: EditReview) -> str:
        """How an edit stands, in words: `2 of 17 answers are not as expected, 1 warning`."""
        parts = []
        if edit.id in self._in_conflict:
            parts.append("in conflict")
        if edit.build_failed:
            parts.append("the build failed")
        if edit.missed:
            are = "is" if len(edit.missed) == 1 else "are"
            answers = count(len(edit.rows), "answer")
            parts.append(f"{len(edit.missed)} of {answers} {are} not as expected")
        if self.reach(edit):
            parts.append(f"answers {count(self.reach(edit), 'prompt')} that it should not")
        parts += [count(edit.errors, "error")] if edit.errors else []
        parts += [count(edit.warnings, "warning")] if edit.warnings else []
        if parts:
            return ", ".join(parts)
        if edit.rows:
            n = len(edit.rows)
            all_of = {1: "the answer is", 2: "both answers are"}.get(n, f"all {n} answers are")
            return f"{all_of} as expected"
        if edit.status != "active" and edit.action != "removed":
            return f"{edit.status}: not in use, nothing was asked"
        return "nothing found" if self.model is None else "nothing was asked"

    @property
    def measured(self) -> dict[Kind, Share]:
        return measured(self.shares)

    @property
    def gates_in_order(self) -> tuple[Gate, ...]:
        """Those that failed first, then those that saw nothing."""
        order = ("failed", "nothing measured", "passed")
        return tuple(sorted(self.gates, key=lambda gate: order.index(gate.state)))

    def headline(self) -> str:
        """`2 edits added, 1 changed, 1 removed: 2 gates failed`"""
        return f"{self.what()}: {self.verdict()}"

    def what(self) -> str:
        """`2 edits added, 1 changed, 1 removed`"""
        actions = Counter(edit.action for edit in self.edits)
        parts = [f"{actions[action]} {action}" for action in ACTIONS if actions[action]]
        if not parts:
            return "no edit changed"
        n, _, action = parts[0].partition(" ")
        return ", ".join([f"{count(int(n), 'edit')} {action}", *parts[1:]])

    def verdict(self) -> str:
        """`passed`, or what failed."""
        if self.passed:
            return "passed"
        failed = sum(gate.state == "failed" for gate in self.gates)
        if failed:
            return f"{count(failed, 'gate')} failed"
        return f"{count(len(self.conflicts), 'conflict')}" if self.conflicts else "not passed"

    def lead(self) -> str:
        """What was done, in a sentence or two."""
        if self.model is None:
            return (
                "Only the claims were read and checked; no model was asked, so nothing is said "
                "here about its answers."
            )
        asked = sum(share.n for share in self.measured.values())
        parts = [f"{count(asked, 'prompt')} of the changed edits"]
        if self.others.judged:
            parts.append(f"those of {count(self.others.judged, 'other edit')}")
        parts += [f"{self.unrelated.n} that concern no edit"] if self.unrelated.n else []
        parts += [f"{self.nearby.n} on other matters of their subjects"] if self.nearby.n else []
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        return (
            f"{self.model.name} was asked {listed}, once as it answers before this change "
            "(on the base branch) and once as it answers after it (merged)."
        )

    def not_judged(self) -> str | None:
        """How many other edits could not be judged, if any."""
        n = len(self.others.not_built)
        if not n:
            return None
        what = "1 other edit was" if n == 1 else f"{n} other edits were"
        return f"{what} not judged, as no build is in the store:"

    def made(self) -> list[tuple[str, str]]:
        """How the review was made, as (name, value)."""
        lines = [
            ("range", self.range.text),
            ("base", self.range.base),
            ("merge base", self.range.merge_base),
            ("head", self.range.head or self.range.end),
        ]
        if self.model is not None:
            lines += [
                ("model", self.model.name),
                ("model hash", self.model.hash),
                ("number format", self.model.dtype),
                ("texts run through the model", str(self.texts_run)),
            ]
        return [*lines, ("seconds", f"{self.seconds:.1f}")]


def measured(shares: Mapping[Kind, Share]) -> dict[Kind, Share]:
    """The shares of the kinds of prompts of which some were asked, in the usual order."""
    return {kind: share for kind in KINDS if (share := shares.get(kind)) and share.n}


def as_review(value: Mapping[str, Any] | Review) -> Review:
    return value if isinstance(value, Review) else read_review(value)


def read_review(value: Mapping[str, Any]) -> Review:
    """The review that a JSON object holds.

    Raises:
        InputError: it is not a review, or of a version that this program does not know.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"this is not a review: its schema is {schema!r}, not {SCHEMA!r}",
            hint="give the JSON that `sake review --json` writes",
        )
    try:
        return Review.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        wrong = str(first["input"])[:40]
        raise InputError(f"review: {place[1:]}: {first['msg']}, not {wrong!r}") from error


def worst_findings(findings: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    """The errors first, then by place."""
    return sorted(findings, key=lambda f: (f.severity != "error", str(f.path), f.line, f.column))
