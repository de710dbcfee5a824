"""Edits that get in each other's way, as far as their files tell. No torch, no model.

`find_conflicts` compares what edits state: the facts themselves, and every prompt with the answer
that its file expects. What only the router can tell is found in `asking.caught`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Literal, get_args

from sake_registry import names
from sake_registry.diagnostics import graded
from sake_registry.edits.checks import (
    MOST_NAMED,
    apart,
    check_together,
    following,
    plainly,
    same_fact,
    same_relation,
    valid_together,
)
from sake_registry.edits.ignoring import find_ignores, without_ignored
from sake_registry.edits.yamltext import dotted, read
from sake_registry.names import NameIndex, Naming
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sake_registry.diagnostics import Level
    from sake_registry.edits.schema import Edit
    from sake_registry.edits.yamltext import Document, Loc

Kind = Literal["contradiction", "implication", "caught", "unchanged", "twice", "chain"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Severity = Literal["error", "warning", "information"]
HEADINGS: dict[Kind, str] = {
    "contradiction": "edits that contradict each other",
    "implication": "implications that another edit denies",
    "caught": "prompts that another edit answers",
    "unchanged": "unchanged prompts that another edit changes",
    "twice": "one fact in two edits",
    "chain": "edits that follow one another",
}
_SEVERITIES = ("error", "warning", "information")
_OF_FACT = ("prompts", "holdout")


class Side(Value):
    """What one edit says, and where; line and column count from 1."""

    edit: str
    path: str
    line: int
    column: int
    field: str
    says: str

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


class Conflict(Value):
    """Two edits that disagree about a prompt.

    `code` is that of the finding of `sake check` which says the same. A prompt that the router
    gives to the wrong edit was decided at `distance`, where `threshold` is the bound.
    """

    kind: Kind
    severity: Severity
    prompt: str
    sides: tuple[Side, Side]
    message: str
    hint: str
    code: str = ""
    distance: float | None = None
    threshold: float | None = None

    @property
    def ids(self) -> tuple[str, str]:
        return self.sides[0].edit, self.sides[1].edit

    @property
    def gist(self) -> tuple[str, ...]:
        """What makes it the same conflict in another version of the registry."""
        return (self.kind, self.prompt, *(f"{s.edit} {s.field} {s.says}" for s in self.sides))


@dataclass(frozen=True)
class Statement:
    """A prompt of an edit and the answers that its file accepts.

    `stem` is the prompt as it is written, with `<subject>`; of one that stays unchanged, the
    answers are those it states, if any.
    """

    edit: Edit
    loc: Loc
    stem: str
    answers: tuple[str, ...]

    @property
    def kind(self) -> str:
        return str(self.loc[0])

    @property
    def text(self) -> str:
        return self.edit.fill(self.stem)

    @property
    def says(self) -> str:
        if self.kind != "unchanged":
            return self.answers[0]
        return f"as it was: {self.answers[0]}" if self.answers else "as it was"


def statements(edit: Edit) -> Iterator[Statement]:
    """Every prompt that an edit's file states, in the file's order."""
    for kind, prompts in (("prompts", edit.prompts), ("holdout", edit.holdout)):
        for i, prompt in enumerate(prompts):
            yield Statement(edit, (kind, i), prompt.text, edit.fact.new.all)
    for i, implied in enumerate(edit.implications):
        yield Statement(edit, ("implications", i, "prompt"), implied.prompt, implied.new.all)
    for i, kept in enumerate(edit.unchanged):
        answers = (kept.answer,) if kept.answer else ()
        yield Statement(edit, ("unchanged", i), kept.prompt, answers)


class Places:
    """Where in its file an edit says something; each file is read once."""

    def __init__(self, content: Callable[[Path], bytes] = lambda path: path.read_bytes()) -> None:
        self.content = content
        self._documents: dict[Path, Document] = {}

    def document(self, path: Path) -> Document:
        if path not in self._documents:
            self._documents[path] = read(self.content(path), path)
        return self._documents[path]

    def side(self, edit: Edit, loc: Loc, says: str) -> Side:
        assert edit.path is not None
        line, column = self.document(edit.path).position(loc)
        return Side(
            edit=edit.id,
            path=str(edit.path),
            line=line,
            column=column,
            field=dotted(loc),
            says=says,
        )


def agree(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether two lists of names share one."""
    return not {alike(name) for name in first}.isdisjoint(alike(name) for name in second)


@lru_cache(maxsize=4096)
def alike(text: str) -> str:
    """Text as it is compared: case, accents, spaces and a final mark do not count."""
    return plainly(names.fold(text))


def find_conflicts(
    edits: Iterable[Edit],
    content: Callable[[Path], bytes] = lambda path: path.read_bytes(),
    levels: Mapping[str, Level] | None = None,
) -> list[Conflict]:
    """Conflicts among the active edits, the worst first.

    Args:
        content: gives the bytes of an edit's file, for positions: not all edits come from a disk.
        levels: how bad findings of `sake check` are by their code (`settings.checks`); they and
            the comments in files that hide a finding hold of the same conflict here.

    Of an edit that is of one fact with more than `MOST_NAMED` others, the last conflict that is
    shown gives the number of those that are not.
    """
    active = sorted((edit for edit in edits if edit.active), key=lambda edit: edit.id)
    places = Places(content)
    met = _met(by_text(active))
    conflicts: list[Conflict] = []
    settled = set()
    alike_pairs: dict[tuple[str, bool, bool], list[tuple[Edit, Edit, str]]] = defaultdict(list)
    for first, second, shared in _about_one_fact(active, met):
        same = agree(first.fact.new.all, second.fact.new.all)
        if not same:
            settled.add((first.id, second.id))  # what else they say otherwise follows from it
        kind = (second.id, same, valid_together(first, second))
        alike_pairs[kind].append((first, second, shared))
    for pairs in alike_pairs.values():
        shown = [c for p in pairs[:MOST_NAMED] for c in _of_one_fact(*p, places, levels or {})]
        if shown and len(pairs) > MOST_NAMED:
            more = count(len(pairs) - MOST_NAMED, "more edit")
            message = f"{shown[-1].message}; so it is with {more}"
            shown[-1] = shown[-1].model_copy(update={"message": message})
        conflicts += shown
    for a, b in met:
        if (a.edit.id, b.edit.id) not in settled:
            conflicts += _of_one_prompt(a, b, places)
    conflicts += _changed_answers(active, places, {frozenset(c.ids) for c in conflicts})
    return in_order(conflicts)


def in_order(conflicts: Iterable[Conflict]) -> list[Conflict]:
    """The worst first, then by kind, edits and place."""

    def place(conflict: Conflict) -> tuple[Any, ...]:
        first = conflict.sides[0]
        return (
            _SEVERITIES.index(conflict.severity), KINDS.index(conflict.kind), conflict.ids,
            first.line, first.column, conflict.sides[1].line,
        )  # fmt: skip

    return sorted(conflicts, key=place)


# -- one fact ------------------------------------------------------------------------------------


def by_text(edits: Iterable[Edit]) -> dict[str, list[Statement]]:
    """Statements by their prompt, filled with each of the subject's names."""
    found: dict[str, list[Statement]] = defaultdict(list)
    for edit in edits:
        for statement in statements(edit):
            filled = (edit.fill(statement.stem, name) for name in edit.fact.subject.all)
            for text in dict.fromkeys(alike(text) for text in filled):
                found[text].append(statement)
    return found


def _met(texts: Mapping[str, Sequence[Statement]]) -> list[tuple[Statement, Statement]]:
    """Statements of two edits with one prompt, of which at most one is to stay unchanged."""
    pairs: dict[tuple[Any, ...], tuple[Statement, Statement]] = {}
    for group in texts.values():
        if len(group) < 2:
            continue
        kept = [s for s in group if s.kind == "unchanged"]
        changed = [s for s in group if s.kind != "unchanged"]
        for pair in (*combinations(changed, 2), *product(changed, kept)):
            a, b = sorted(pair, key=lambda s: (s.edit.id, str(s.loc)))
            if a.edit.id != b.edit.id and valid_together(a.edit, b.edit):
                pairs[a.edit.id, a.loc, b.edit.id, b.loc] = a, b
    return list(pairs.values())


def _about_one_fact(
    edits: Sequence[Edit], met: Sequence[tuple[Statement, Statement]]
) -> Iterator[tuple[Edit, Edit, str]]:
    """Pairs of edits of one fact, each once, and a prompt: one of the first edit's, or one that
    both complete with other objects, by which facts in different words are one."""
    seen = set()
    for first, second in same_fact(edits, alike):
        seen.add((first.id, second.id))
        yield first, second, first.fill(first.prompts[0].text)
    for a, b in met:
        of_facts = a.kind in _OF_FACT and b.kind in _OF_FACT
        if of_facts and (a.edit.id, b.edit.id) not in seen and not agree(a.answers, b.answers):
            seen.add((a.edit.id, b.edit.id))
            yield a.edit, b.edit, a.text


def _of_one_fact(
    first: Edit, second: Edit, prompt: str, places: Places, levels: Mapping[str, Level]
) -> Iterator[Conflict]:
    sides = [places.side(edit, ("fact", "new"), edit.new) for edit in (first, second)]
    if not valid_together(first, second):
        if in_order := following(first, second, alike):
            before, after = in_order
            yield Conflict(
                kind="chain", severity="information", prompt=prompt, sides=(sides[0], sides[1]),
                message=f"'{after.id}' changes what '{before.id}' says, from '{before.new}' to "
                f"'{after.new}'; they are not valid on the same day",
                hint="nothing is to be done",
            )  # fmt: skip
        return
    severity: Severity
    if agree(first.fact.new.all, second.fact.new.all):
        kind: Kind = "twice"
        severity, code = "warning", "SAKE203"
        message, hint = f"both say '{first.new}'", "keep one of the two files"
    else:
        kind, severity, code = "contradiction", "error", "SAKE202"
        message = f"'{first.new}' and '{second.new}' cannot both come next"
        if same_relation(first, second, alike) or following(first, second, alike):
            hint = apart(first, second, alike)
        else:
            hint = "word the prompt anew in one of the two, or withdraw one"
    checked = check_together([first, second], places.content)
    conflict = Conflict(
        kind=kind, severity=severity, prompt=prompt, sides=(sides[0], sides[1]),
        message=message, hint=hint,
    )  # fmt: skip
    if not checked:  # it sees names in other letters and shared prompts for different things
        yield conflict
    for finding in checked:
        ignores, _ = find_ignores(places.document(finding.path))
        for left in graded(without_ignored([finding], ignores), levels):
            yield conflict.model_copy(update={"severity": left.severity, "code": code})


# -- one prompt ----------------------------------------------------------------------------------


def _of_one_prompt(a: Statement, b: Statement, places: Places) -> Iterator[Conflict]:
    """What two edits that are not of one fact say otherwise of one prompt."""
    if "unchanged" in (a.kind, b.kind):
        kept, changing = (a, b) if a.kind == "unchanged" else (b, a)
        if not agree(kept.answers, changing.answers):
            yield Conflict(
                kind="unchanged", severity="warning", prompt=kept.text,
                sides=(_side(places, kept), _side(places, changing)),
                message=f"'{changing.edit.id}' changes what is to stay as it was",
                hint=f"take it out of the unchanged prompts of '{kept.edit.id}', or out of the "
                f"{changing.kind} of '{changing.edit.id}'",
            )  # fmt: skip
    elif "implications" in (a.kind, b.kind) and not agree(a.answers, b.answers):
        implied, other = (a, b) if a.kind == "implications" else (b, a)
        yield Conflict(
            kind="implication", severity="error", prompt=implied.text,
            sides=(_side(places, implied), _side(places, other)),
            message=f"what '{implied.edit.id}' implies, '{other.edit.id}' denies",
            hint="see which of the two answers is right; mend the other, or take that prompt out",
        )  # fmt: skip


def _side(places: Places, statement: Statement) -> Side:
    return places.side(statement.edit, statement.loc, statement.says)


def _changed_answers(
    edits: Sequence[Edit], places: Places, known: set[frozenset[str]]
) -> Iterator[Conflict]:
    """Unchanged prompts about another edit's subject, whose stated answer is what it changes.

    Only a guess: the two may well be different questions with one answer.
    """
    by_old: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        for name in {alike(name) for name in (edit.fact.old.all if edit.fact.old else ())}:
            by_old[name].append(edit)
    subjects = {edit.id: [Naming(edit.fact.subject.all, "any", judged=True)] for edit in edits}
    index = NameIndex(subjects, derived=False)
    for edit in edits:
        for kept in statements(edit):
            if kept.kind != "unchanged" or not kept.answers:
                continue
            others = by_old.get(alike(kept.answers[0]), ())
            named = index.owners(kept.text) if others else set()
            for other in others:
                if (
                    other.id != edit.id
                    and frozenset((edit.id, other.id)) not in known
                    and valid_together(edit, other)
                    and other.id in named
                ):
                    changing = places.side(other, ("fact", "old"), f"no longer {other.old}")
                    yield Conflict(
                        kind="unchanged", severity="information", prompt=kept.text,
                        sides=(_side(places, kept), changing),
                        message=f"it states '{kept.answers[0]}' of {other.subject}, which "
                        f"'{other.id}' changes",
                        hint="if it asks the same, take it out of the unchanged prompts of "
                        f"'{edit.id}'",
                    )  # fmt: skip
