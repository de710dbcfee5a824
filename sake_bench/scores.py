"""From replies to scores: what each metric counts, with its protocol.

Pure functions of the questions, the replies and the unedited model's replies.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sake_bench.intervals import estimate
from sake_bench.scoring import (
    SUCCESSES,
    Marks,
    Success,
    Told,
    comes_back,
    entropy,
    judge,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sake_bench.datasets.records import Axis, Record, Test
    from sake_bench.methods import Heard, Question, Scope
    from sake_bench.replies import Reply

CONTINUATION = 40
"""Tokens of the continuations that `relapse` and `fluency` read, and of answers to questions."""
ANSWER = 10
"""Tokens of every other reply, unless an accepted name is longer."""
LONG: tuple[Axis, ...] = ("acc", "gen")
QUESTIONS: tuple[Axis, ...] = ("question", "chat")
"""Axes that are answered in sentences."""
SEVERAL = "several tokens"
"""The condition that a new object has more than one token after the prompt."""
_CLAIMS: tuple[Axis, ...] = ("acc", "gen", "di", "dii")
"""Axes on which the new object is what is wanted instead of the old one."""
_RIPPLE: tuple[Axis, ...] = ("ci", "cii", "sa", "rs", "lg", "forgetfulness")

PROTOCOL = {
    "first-token": "the first greedy token begins an accepted name; where the old object begins "
    "with the same token nothing can be told, and the test is not scored",
    "full-object": "the greedy text begins with the whole of an accepted name",
    "given": "the edit that is meant always applies",
    "own-centre": "the router knows only the edit that is meant",
    "all-edits": "the router knows all edits and is not told which one is meant",
    "alone": "weights: one edit at a time; there is no router",
    "together": "weights: all edits at once; there is no router",
    "acc": "the edit's own prompt gives the new object",
    "gen": "paraphrases that were not compiled give the new object",
    "spec": "the first token after prompts on other subjects, true for them, is the unedited "
    "model's",
    "unchanged": "no edit fires after the same prompts: a method with a router then computes what "
    "the model does, to the bit (proved apart); of changed weights the activations are compared",
    "collateral": f"the first {ANSWER} greedy tokens after unrelated prompts (neighbourhoods of "
    "other records) differ from the unedited model's",
    "relapse": f"the old object stands in the first {CONTINUATION} tokens after the edit's "
    "prompt or a paraphrase",
    "fluency": f"weighted entropy of bigrams and trigrams of the same {CONTINUATION} tokens, bits",
    "other-relation": "for prompts on the edit's subject that ask for another relation (the data's "
    "own templates) no edit fires: the model computes the same",
    "question": f"within {CONTINUATION} tokens after the fact asked as a question the new object "
    "(or an accepted name of it) stands as a whole word, and the old one does not (within the "
    "subject's name, or the other object's, neither counts)",
    "question-new": "the new object stands there, whether or not the old one does",
    "question-old": "the old object stands there, whether or not the new one does",
    "chat": "the same question as a user's turn in the model's chat template",
    "chat-new": "as question-new, in a chat",
    "chat-old": "as question-old, in a chat",
    "sa-listed": "Subject Aliasing under the names that the edit file states: every second one",
    "sa-unlisted": "Subject Aliasing under the names that it does not state",
    "loads": "edits loaded at once: a prompt counts where the right edit fires and its first token "
    "is right; another edit that fires is wrong, for spec a change",
    f"condition {SEVERAL}": "only objects of more than one token after the prompt",
    "condition applied": "only tests whose conditions hold: the unedited model knows what the "
    "test takes for granted (for Subject Aliasing: the edit itself succeeds)",
    "interval": "95 %, bootstrap over edits, 2000 resamples, seed 0",
}


@dataclass(frozen=True)
class Asked:
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


def mark(tokenizer: Any, asked: Sequence[Asked], heard: Sequence[Heard]) -> list[Marks]:
    """A mark for each reply; of prompts that must stay: whether it is what it was."""
    found = []
    for a, h in zip(asked, heard, strict=True):
        bare = h.bare or a.bare
        if a.test is None or a.test.axis == "neighbourhood":
            first = h.reply.tokens[:1] == bare.tokens[:1]
            marks = Marks(first, h.reply.tokens[:ANSWER] == bare.tokens[:ANSWER])
        elif a.test.axis == "other-relation":
            marks = Marks(h.reply.tokens[:1] == bare.tokens[:1], h.untouched)
        elif a.test.axis in QUESTIONS:
            marks = Marks(None, _told(a, h).right)
        else:
            claim = a.test.axis in _CLAIMS
            old = [a.record.old] if claim and a.record.old else []
            accepted = a.record.new_names if claim else a.test.query.names
            marks = judge(tokenizer, a.question.prompt, h.reply, accepted, old)
        found.append(marks)
    return found


def _told(a: Asked, h: Heard) -> Told:
    record = a.record
    return told(h.reply.text, record.new_names, filter(None, [record.old]), record.subject)


def as_rows(
    name: str, scope: Scope, asked: Sequence[Asked], heard: Sequence[Heard], marks: Sequence[Marks]
) -> Iterator[dict[str, Any]]:
    """Every reply with its marks, as plain values."""
    for a, h, m in zip(asked, heard, marks, strict=True):
        yield {
            "method": name,
            "scope": scope,
            "edit": a.record.id,
            "axis": a.test.axis if a.test else "unrelated",
            "prompt": a.question.prompt,
            "before": (h.bare or a.bare).text,
            "after": h.reply.text,
            "expected": None if a.test is None else list(a.test.query.names[:3]),
            "fired": h.edit,
            "first": m.first,
            "full": m.full,
        }


def scores(
    name: str,
    scope: Scope,
    asked: Sequence[Asked],
    heard: Sequence[Heard],
    marks: Sequence[Marks],
    known: Mapping[int, Mapping[Success, bool | None]],
) -> list[dict[str, Any]]:
    """Every metric of one method under one scope, with its interval.

    Args:
        known: whether each test's conditions hold on the unedited model, by the test's identity.
    """
    sheet = _Sheet(name, scope)
    axes: tuple[Axis, ...] = ("acc", "gen", "di", "dii", "portability")
    held = {
        a.record.id: m for a, m in zip(asked, marks, strict=True) if a.test and a.test.axis == "acc"
    }
    for a, h, m in zip(asked, heard, marks, strict=True):
        edit, test = a.record.id, a.test
        if test is None:
            if scope != "given":
                sheet.add("collateral", None, None, edit, not m.full)
            continue
        if test.axis == "neighbourhood":
            sheet.add("spec", "first-token", None, edit, m.first)
            sheet.add("unchanged", None, None, edit, h.untouched)
        elif test.axis == "locality":
            bare = h.bare or a.bare
            same = h.reply.tokens[:ANSWER] == bare.tokens[:ANSWER]
            sheet.add("locality", None, None, edit, same)
        elif test.axis == "other-relation" and scope != "given":
            sheet.add("other-relation", None, None, edit, h.untouched)
        elif test.axis in QUESTIONS:
            said = _told(a, h)
            sheet.add(test.axis, None, None, edit, said.right)
            sheet.add(f"{test.axis}-new", None, None, edit, said.new)
            if a.record.old:
                sheet.add(f"{test.axis}-old", None, None, edit, said.old)
        for success in SUCCESSES:
            if test.axis in axes:
                sheet.add(test.axis, success, None, edit, m.under(success))
            elif test.axis in _RIPPLE:
                fair = known.get(id(test), {}).get(success)
                if test.on_edit:
                    fair = held[edit].under(success)
                for metric in _ripple_metrics(a):
                    sheet.add(metric, success, "not applied", edit, m.under(success))
                    if fair:
                        sheet.add(metric, success, "applied", edit, m.under(success))
        if test.axis in LONG and a.several:
            sheet.add(test.axis, "full-object", SEVERAL, edit, m.full)
        if test.axis in LONG and a.record.old:
            sheet.add(
                "relapse",
                None,
                None,
                edit,
                comes_back(h.reply.text, [a.record.old], a.record.subject),
            )
        if test.axis in LONG:
            sheet.add("fluency", None, None, edit, entropy(h.reply.text))
    wanted = {m for a in asked if a.test and a.test.axis in _RIPPLE for m in _ripple_metrics(a)}
    return sheet.scores(wanted)


def _ripple_metrics(asked: Asked) -> tuple[str, ...]:
    """The metrics that a test of RippleEdits counts for."""
    assert asked.test is not None
    axis = asked.test.axis
    if axis != "sa" or asked.listed is None:
        return (axis,)
    return axis, "sa-listed" if asked.listed else "sa-unlisted"


def relations(
    name: str,
    scope: Scope,
    asked: Sequence[Asked],
    marks: Sequence[Marks],
    labels: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Accuracy and generality by relation; `labels` are the relations' readable names."""
    found: dict[tuple[str, Success, str], list[bool]] = defaultdict(list)
    for a, m in zip(asked, marks, strict=True):
        if a.test and a.test.axis in ("acc", "gen"):
            for success in SUCCESSES:
                mark = m.under(success)
                if mark is not None:
                    found[a.test.axis, success, a.record.relation].append(mark)
    return [
        {
            "method": name,
            "scope": scope,
            "metric": axis,
            "success": success,
            "relation": relation,
            "label": labels[relation],
            "value": round(sum(given) / len(given), 6),
            "n": len(given),
        }
        for (axis, success, relation), given in sorted(found.items())
    ]


class _Sheet:
    """Marks of one method under one scope, by metric, protocol, condition and edit."""

    def __init__(self, method: str, scope: Scope) -> None:
        self._head = {"method": method, "scope": scope}
        self._values: dict[tuple[str, str | None, str | None], dict[str, list[float]]] = {}

    def add(
        self, metric: str, success: str | None, condition: str | None, edit: str,
        value: float | bool | None,
    ) -> None:  # fmt: skip
        of_metric = self._values.setdefault((metric, success, condition), {})
        if value is not None:
            of_metric.setdefault(edit, []).append(float(value))

    def scores(self, axes: Iterable[str]) -> list[dict[str, Any]]:
        for axis in axes:  # a condition that held nowhere is a score with n = 0
            for success in SUCCESSES:
                self._values.setdefault((axis, success, "applied"), {})
        return [
            {
                **self._head, "metric": metric, "success": success, "condition": condition,
                **asdict(estimate(values)),
            }
            for (metric, success, condition), values in sorted(self._values.items(), key=str)
        ]  # fmt: skip
