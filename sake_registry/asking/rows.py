"""What is asked of a model, and what it answered before and after: one type for test and review.

No torch here: a reviewer without the model reads rows as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from sake_registry.routing.reasons import decision_words
from sake_registry.values import Value

if TYPE_CHECKING:
    from sake_registry.edits.schema import Edit
    from sake_registry.routing.router import Decision

Kind = Literal["prompts", "holdout", "implications", "unchanged"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What an edit file lets test, in the order in which it is shown."""

Whole = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Question:
    """A prompt, whose it is (None: no edit's) and the answers that its file accepts."""

    edit: str | None
    kind: Kind | Literal["unrelated", "nearby"]
    prompt: str
    accepted: tuple[str, ...] = ()


class Row(Value):
    """A prompt before and after. `by` is the edit that answers after, if any; `nearest` is the
    candidate that came nearest all the same, at `distance`, where `threshold` is the bound.

    `edit` is the edit whose prompt it is; None for a prompt that no file states. `line` is where
    its file states it, where that was looked for.
    """

    model_config = ConfigDict(strict=True)

    edit: str | None = None
    kind: Kind | Literal["unrelated", "nearby"]
    prompt: str
    before: str = ""
    after: str = ""
    expected: str = ""
    ok: bool
    by: str | None = None
    group: int | None = None
    nearest: str | None = None
    distance: float | None = None
    threshold: float | None = None
    reason: str = ""
    line: Whole | None = None

    @property
    def decision_text(self) -> str:
        """What the router decided, in words."""
        return decision_words(self.by, self.distance, self.threshold, self.reason)

    @property
    def differs(self) -> bool:
        return self.before.strip() != self.after.strip()


class Share(Value):
    """How many passed, of how many."""

    model_config = ConfigDict(strict=True)

    passed: Whole
    n: Whole

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Share:
        if self.passed > self.n:
            raise ValueError(f"{self.passed} of {self.n} cannot pass")
        return self

    def __str__(self) -> str:
        return f"{self.passed} of {self.n}"

    @property
    def value(self) -> float:
        return self.passed / self.n if self.n else 1.0


def questions(edit: Edit) -> list[Question]:
    """Everything that an edit file lets test, in the file's order."""
    new = edit.fact.new.all
    asked = [Question(edit.id, "prompts", edit.fill(p.text), new) for p in edit.prompts]
    asked += [Question(edit.id, "holdout", edit.fill(p.text), new) for p in edit.holdout]
    asked += [
        Question(edit.id, "implications", edit.fill(implied.prompt), implied.new.all)
        for implied in edit.implications
    ]
    for kept in edit.unchanged:
        accepted = (kept.answer,) if kept.answer else ()
        asked.append(Question(edit.id, "unchanged", edit.fill(kept.prompt), accepted))
    return asked


def row(
    question: Question, before: str, after: str, decision: Decision, *, ok: bool, by: str | None
) -> Row:
    """The row of a question. JSON knows no NaN, which a broken embedder may give as a distance."""
    if question.kind == "unchanged":
        expected = before.strip()
    else:
        expected = question.accepted[0] if question.accepted else ""
    distance = decision.distance
    return Row(
        edit=question.edit, kind=question.kind, prompt=question.prompt,
        before=before, after=after, expected=expected, ok=ok,
        by=by, group=decision.group, nearest=decision.nearest,
        distance=distance if distance is not None and math.isfinite(distance) else None,
        threshold=decision.threshold, reason=decision.why,
    )  # fmt: skip


def shares(rows: Iterable[Row]) -> dict[Kind, Share]:
    """Of each kind: how many rows passed, of how many."""
    verdicts: dict[Kind, list[bool]] = {kind: [] for kind in KINDS}
    for row in rows:
        if row.kind != "unrelated" and row.kind != "nearby":
            verdicts[row.kind].append(row.ok)
    return {kind: Share(passed=sum(oks), n=len(oks)) for kind, oks in verdicts.items()}
