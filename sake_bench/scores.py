"""From replies to scores: what each metric counts (its meaning is in `protocol`).

Pure functions of the questions, the replies and the unedited model's replies.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_bench.intervals import estimate
from sake_bench.protocol import ANSWER, ROUTED, SEVERAL, SUCCESSES
from sake_bench.results import KindScore, RelationScore, Score
from sake_bench.scoring import (
    Marks,
    Mentions,
    comes_back,
    contains,
    entropy,
    is_just,
    judge,
    mentions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sake_bench.datasets.records import Axis, Record, Test
    from sake_bench.methods import Question, Response
    from sake_bench.protocol import Scope, Success
    from sake_bench.replies import Reply

LONG: tuple[Axis, ...] = ("acc", "gen")
"""Axes whose replies are long enough to look for the old object's return."""
QUESTIONS: tuple[Axis, ...] = ("question", "chat")
"""Axes that are answered in sentences."""
CHATS: dict[Axis, Axis] = {"question": "chat", "acc": "chat-acc", "gen": "chat-gen"}
"""Axes whose questions are also asked in a chat, and how they are then called."""
FREE: tuple[Axis, ...] = (*LONG, *CHATS.values(), "multi-hop", "reached", "look-alike")
"""Axes whose answers are read as they stand, until the model's own end."""
_CLAIMS: tuple[Axis, ...] = ("acc", "gen", "di", "dii")
"""Axes on which the new object is right and the old one wrong."""
_JUDGED: tuple[Axis, ...] = (*_CLAIMS, "portability")
_RIPPLE: tuple[Axis, ...] = ("ci", "cii", "sa", "rs", "lg", "forgetfulness")


@dataclass(frozen=True)
class Case:
    """One test of a record as a question, and what the unedited model replies.

    Attributes:
        test: None for an unrelated prompt.
        several: the new object has several tokens after the prompt.
        listed: of an aliasing test, whether the edit file states the name it uses; None where it
            states none at all.
    """

    record: Record
    test: Test | None
    question: Question
    bare: Reply
    several: bool = False
    listed: bool | None = None

    @property
    def axis(self) -> Axis | None:
        return self.test.axis if self.test else None


def mark(tokenizer: Any, cases: Sequence[Case], responses: Sequence[Response]) -> list[Marks]:
    """A mark for each reply; of prompts that must stay: whether it is what it was."""
    marks = []
    for case, response in zip(cases, responses, strict=True):
        bare, reply = response.bare or case.bare, response.reply
        if case.test is None or case.axis == "neighbourhood":
            marks.append(Marks(reply.tokens[:1] == bare.tokens[:1], _same(case, response)))
        elif case.axis == "other-relation":
            marks.append(Marks(reply.tokens[:1] == bare.tokens[:1], response.untouched))
        elif case.axis in QUESTIONS:
            marks.append(Marks(None, _mentions(case, response).right))
        elif case.axis == "look-alike":
            marks.append(Marks(reply.tokens[:1] == bare.tokens[:1], response.edit is None))
        elif case.axis in FREE and case.axis not in LONG:
            marks.append(Marks(None, _answered(case, response)))
        else:
            claim = case.axis in _CLAIMS
            old = [case.record.old] if claim and case.record.old else []
            accepted = case.record.new_names if claim else case.test.query.names
            marks.append(judge(tokenizer, case.question.prompt, reply, accepted, old))
    return marks


def _same(case: Case, response: Response) -> bool:
    bare = response.bare or case.bare
    return response.reply.tokens[:ANSWER] == bare.tokens[:ANSWER]


def _mentions(case: Case, response: Response) -> Mentions:
    record = case.record
    old = filter(None, [record.old])
    return mentions(response.reply.text, record.new_names, old, record.subject)


def _answered(case: Case, response: Response) -> bool:
    """Whether a free answer contains what is right, and not the old object."""
    assert case.test is not None
    text, old = response.reply.text, case.record.old
    stale = case.axis == "reached" and old is not None and contains(text, [old])
    return contains(text, case.test.query.names) and not stale


def free(case: Case, response: Response, scope: Scope) -> Iterator[tuple[str, bool]]:
    """The metrics of a free answer, and of whether an edit took part in it."""
    test, axis, record, text = case.test, case.axis, case.record, response.reply.text
    if test is None or axis is None:
        return
    routed = scope in ROUTED and scope != "given"
    if axis in (*LONG, "chat-acc", "chat-gen"):
        yield f"{axis}-contained", contains(text, test.query.names)
        yield f"{axis}-exact", is_just(text, test.query.names)
    elif axis == "multi-hop" and scope != "given":
        right = contains(text, test.query.names)
        yield "multi-hop", right
        if record.new not in test.query.names:
            yield "multi-hop-edit", contains(text, record.new_names) and not right
    elif axis == "reached":
        if routed:
            yield "reach", response.edit == record.id
        yield "answered", _answered(case, response)
    elif axis == "look-alike":
        if routed:
            yield "false-fire", response.edit is not None
        if scope != "given":
            before = (response.bare or case.bare).text
            names = record.new_names
            yield "false-use", contains(text, names) and not contains(before, names)


def kinds(
    name: str, scope: Scope, cases: Sequence[Case], responses: Sequence[Response]
) -> list[KindScore]:
    """The free metrics by kind of test: by class of wording, by language."""
    tallies: dict[str, _Tally] = {}
    for case, response in zip(cases, responses, strict=True):
        if case.test is not None and case.test.kind:
            tally = tallies.setdefault(case.test.kind, _Tally(name, scope))
            for metric, value in free(case, response, scope):
                tally.add(metric, case.record.id, value)
    return [
        KindScore(kind=kind, **score.model_dump())
        for kind, tally in sorted(tallies.items())
        for score in tally.scores(())
    ]


def as_rows(
    name: str,
    scope: Scope,
    cases: Sequence[Case],
    responses: Sequence[Response],
    marks: Sequence[Marks],
) -> Iterator[dict[str, Any]]:
    """Every reply with its marks, as plain values."""
    for case, response, m in zip(cases, responses, marks, strict=True):
        yield {
            "method": name,
            "scope": scope,
            "edit": case.record.id,
            "axis": case.axis or "unrelated",
            "kind": case.test.kind if case.test else "",
            "prompt": case.question.prompt,
            "before": (response.bare or case.bare).text,
            "after": response.reply.text,
            "expected": None if case.test is None else list(case.test.query.names[:3]),
            "fired": response.edit,
            "first": m.first,
            "full": m.full,
        }


def scores(
    name: str,
    scope: Scope,
    cases: Sequence[Case],
    responses: Sequence[Response],
    marks: Sequence[Marks],
    known: Mapping[int, Mapping[Success, bool | None]],
) -> list[Score]:
    """Every metric of one method under one scope, with its interval.

    Args:
        known: whether each test's conditions hold on the unedited model, by the test's identity.
    """
    tally = _Tally(name, scope)
    of_edit = {c.record.id: m for c, m in zip(cases, marks, strict=True) if c.axis == "acc"}
    for case, response, m in zip(cases, responses, marks, strict=True):
        edit, test, axis, old = case.record.id, case.test, case.axis, case.record.old
        reply = response.reply
        for metric, value in free(case, response, scope):
            tally.add(metric, edit, value)
        if test is None or axis is None:
            if scope != "given":
                tally.add("collateral", edit, not m.full)
            continue
        if axis == "neighbourhood":
            tally.add("spec", edit, m.first, "first-token")
            tally.add("unchanged", edit, response.untouched)
        elif axis == "locality":
            tally.add("locality", edit, _same(case, response))
        elif axis == "other-relation" and scope != "given":
            tally.add("other-relation", edit, response.untouched)
        elif axis in QUESTIONS:
            answer = _mentions(case, response)
            tally.add(axis, edit, answer.right)
            tally.add(f"{axis}-new", edit, answer.new)
            if old:
                tally.add(f"{axis}-old", edit, answer.old)
        for success in SUCCESSES:
            if axis in _JUDGED:
                tally.add(axis, edit, m.under(success), success)
            elif axis in _RIPPLE:
                fair = known.get(id(test), {}).get(success)
                if test.on_edit:
                    fair = of_edit[edit].under(success)
                for metric in _ripple_metrics(case):
                    tally.add(metric, edit, m.under(success), success, "not applied")
                    if fair:
                        tally.add(metric, edit, m.under(success), success, "applied")
        if axis in LONG:
            if case.several:
                tally.add(axis, edit, m.full, "full-object", SEVERAL)
            if old:
                tally.add("relapse", edit, comes_back(reply.text, [old], case.record.subject))
            tally.add("fluency", edit, entropy(reply.text))
    return tally.scores({m for c in cases if c.axis in _RIPPLE for m in _ripple_metrics(c)})


def _ripple_metrics(case: Case) -> tuple[str, ...]:
    """The metrics that a test of RippleEdits counts for."""
    assert case.axis is not None
    if case.axis != "sa" or case.listed is None:
        return (case.axis,)
    return case.axis, "sa-listed" if case.listed else "sa-unlisted"


def relations(
    name: str,
    scope: Scope,
    cases: Sequence[Case],
    marks: Sequence[Marks],
    labels: Mapping[str, str],
) -> list[RelationScore]:
    """Accuracy and generality by relation; `labels` are the relations' readable names."""
    by_relation: dict[tuple[str, Success, str], list[bool]] = defaultdict(list)
    for case, m in zip(cases, marks, strict=True):
        if case.axis in ("acc", "gen"):
            for success in SUCCESSES:
                mark = m.under(success)
                if mark is not None:
                    by_relation[case.axis, success, case.record.relation].append(mark)
    return [
        RelationScore(
            method=name,
            scope=scope,
            metric=axis,
            success=success,
            relation=relation,
            label=labels[relation],
            value=round(sum(given) / len(given), 6),
            n=len(given),
        )
        for (axis, success, relation), given in sorted(by_relation.items())
    ]


class _Tally:
    """Marks of one method under one scope, by metric, protocol, condition and edit."""

    def __init__(self, method: str, scope: Scope) -> None:
        self._method, self._scope = method, scope
        self._values: dict[
            tuple[str, Success | None, str | None], dict[str, list[float]]
        ] = defaultdict(dict)  # fmt: skip

    def add(
        self,
        metric: str,
        edit: str,
        value: float | bool | None,
        success: Success | None = None,
        condition: str | None = None,
    ) -> None:
        of_metric = self._values[metric, success, condition]
        if value is not None:
            of_metric.setdefault(edit, []).append(float(value))

    def scores(self, conditional: Iterable[str]) -> list[Score]:
        for metric in conditional:  # a condition that held nowhere is a score with n = 0
            for success in SUCCESSES:
                self._values.setdefault((metric, success, "applied"), {})
        return [
            Score.model_validate(
                {
                    "method": self._method,
                    "scope": self._scope,
                    "metric": metric,
                    "success": success,
                    "condition": condition,
                    **estimate(values).model_dump(),
                }
            )
            for (metric, success, condition), values in sorted(self._values.items(), key=str)
        ]
