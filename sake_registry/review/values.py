"""A typed view on the JSON of a review (`review/1`), and the words both its reports share.

Reading is strict (see `reading`): a value of the wrong kind is an error that names its place. The
order of edits is the order in which a reviewer should look: what cannot be used, what answers
otherwise than expected, what the checks found, and last what is fine.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from sake_bench.reports.markup import clean
from sake_bench.reports.reading import Fields, wrong
from sake_bench.reports.scores import percent
from sake_registry.errors import InputError
from sake_registry.routing.reasons import Reason
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = "review/1"
ACTIONS = ("added", "changed", "moved", "removed")
OUTCOMES = ("built", "reused", "failed", "not in a bundle")
KINDS = ("prompts", "holdout", "implications", "unchanged")
KIND_SENTENCES = {
    "prompts": "The edit's own prompts: the new object is expected.",
    "holdout": "Other wordings of the same question, which the edit was not compiled from.",
    "implications": "Questions whose answer follows from the edit.",
    "unchanged": "Questions the edit does not concern: the answer must stay what it was.",
}
WORDS = {
    **KIND_SENTENCES,
    "distance": "How far the wording of a prompt is from the nearest edit's own prompts. "
    "At most as far as the threshold, the edit answers; beyond it, the model answers as always.",
    "interference": "Prompts of edits that this change does not touch, but that now answer "
    "differently.",
    "unrelated": "Prompts that concern no edit. None of their answers should change.",
    "nearby": "Other questions about the subject of a changed edit. Few of their answers should "
    "change; list those that must not under “unchanged”.",
    "pair": "A prompt before and after its fact changed; what an edit learns from. A pair worked "
    "if the model, told the new fact, says it.",
    "gate": "A bound from sake.toml that decides whether the review is passed.",
}
"""What the words of a report mean, each in a line for someone who knows only the facts."""

Trouble = Literal["unusable", "failed", "error", "warning", "none"]
TROUBLES: tuple[Trouble, ...] = ("unusable", "failed", "error", "warning", "none")
"""The worst first."""

"""The reason of a decision for an edit."""

# What turns the direction of text around or hides in it is shown by its number instead: a
# reviewer must see what the model will be given. Joiners that scripts need are left alone.
_UNSEEN = re.compile("[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
# What an address may hold as it is; all else is percent-encoded.
_IN_ADDRESS = "!#$%&'*+,/:;=?@~[]-._"


@dataclass(frozen=True)
class Share:
    passed: int
    n: int

    def __str__(self) -> str:
        return f"{self.passed} of {self.n}"

    @property
    def value(self) -> float:
        return self.passed / self.n if self.n else 1.0


@dataclass(frozen=True)
class Row:
    """A prompt before and after. `by`: the edit that answered after, if any."""

    kind: str
    prompt: str
    before: str
    after: str
    expected: str
    ok: bool
    by: str | None
    distance: float | None
    threshold: float | None
    reason: str = ""
    edit: str = ""
    """The edit it belongs to; empty for an unrelated prompt."""


@dataclass(frozen=True)
class Finding:
    code: str
    severity: str
    path: str
    line: int
    column: int
    field: str
    message: str
    hint: str

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True)
class Build:
    outcome: str
    error: str | None
    warnings: tuple[str, ...]
    worked: int
    pairs: int

    def __str__(self) -> str:
        if self.outcome == "failed":
            return f"the build failed: {self.error or 'no reason was given'}"
        if self.outcome == "not in a bundle" or not self.pairs:
            return self.outcome
        how = "" if self.outcome == "built" else "taken from the store; "
        return f"{how}{self.worked} of {count(self.pairs, 'pair')} worked"


@dataclass(frozen=True)
class EditReview:
    """What happens to one edit."""

    id: str
    action: str
    path: str
    claim: str
    sentence: str
    status: str
    lines: tuple[str, ...]
    reason: str | None
    sources: tuple[str, ...]
    findings: tuple[Finding, ...]
    build: Build | None
    rows: tuple[Row, ...]
    shares: Mapping[str, Share]

    @property
    def missed(self) -> tuple[Row, ...]:
        """The rows that answer otherwise than expected."""
        return tuple(row for row in self.rows if not row.ok)

    @property
    def failed_first(self) -> tuple[Row, ...]:
        return tuple(sorted(self.rows, key=lambda row: (row.ok, KINDS.index(row.kind))))

    @property
    def warnings(self) -> int:
        return sum(f.severity != "error" for f in self.findings) + (
            len(self.build.warnings) if self.build else 0
        )

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self.findings)


@dataclass(frozen=True)
class Conflict:
    id: str
    path: str
    text: str


@dataclass(frozen=True)
class EditConflict:
    """A prompt on which two edits disagree: of each (id, where it says it, what it says)."""

    severity: str
    prompt: str
    sides: tuple[tuple[str, str, str], tuple[str, str, str]]
    message: str
    hint: str


@dataclass(frozen=True)
class Gate:
    name: str
    limit: float | None
    value: float | None
    ok: bool
    text: str
    hint: str
    """What to do; empty where the gate holds."""


@dataclass(frozen=True)
class Model:
    name: str
    hash: str
    dtype: str


@dataclass(frozen=True)
class Range:
    text: str
    base: str
    merge_base: str
    head: str

    @property
    def end(self) -> str:
        """The head, shortened if it is a commit."""
        return self.head[:12] if re.fullmatch(r"[0-9a-f]{40,}", self.head) else self.head


@dataclass(frozen=True)
class Sample:
    """Prompts that no file states: how many were asked, and those whose answer changed."""

    n: int
    changed: tuple[Row, ...]


@dataclass(frozen=True)
class Review:
    """What a change of the registry does. `model` is None where no model was asked."""

    range: Range
    model: Model | None
    settings: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    edit_conflicts: tuple[EditConflict, ...]
    edits: tuple[EditReview, ...]
    interference: tuple[Row, ...]
    unrelated: Sample
    nearby: Sample
    findings: tuple[Finding, ...]
    judged: int
    """How many other edits were judged; `not_built` were not, as the store lacks their builds."""
    not_built: tuple[str, ...]
    shares: Mapping[str, Share]
    gates: tuple[Gate, ...]
    passed: bool
    seconds: float
    texts_run: int

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
        failed = edit.build is not None and edit.build.outcome == "failed"
        if failed or edit.id in self._in_conflict:
            return "unusable"
        if edit.missed or self.reach(edit):
            return "failed"
        if edit.errors:
            return "error"
        return "warning" if edit.warnings else "none"

    def state(self, edit: EditReview) -> str:
        """How an edit stands, in words: `2 of 17 answers are not as expected, 1 warning`."""
        found = []
        if edit.id in self._in_conflict:
            found.append("in conflict")
        if edit.build is not None and edit.build.outcome == "failed":
            found.append("the build failed")
        if edit.missed:
            are = "is" if len(edit.missed) == 1 else "are"
            asked = count(len(edit.rows), "answer")
            found.append(f"{len(edit.missed)} of {asked} {are} not as expected")
        if self.reach(edit):
            found.append(f"answers {count(self.reach(edit), 'prompt')} that it should not")
        found += [count(edit.errors, "error")] if edit.errors else []
        found += [count(edit.warnings, "warning")] if edit.warnings else []
        if found:
            return ", ".join(found)
        if edit.rows:
            n = len(edit.rows)
            who = {1: "the answer is", 2: "both answers are"}.get(n, f"all {n} answers are")
            return f"{who} as expected"
        if edit.status != "active" and edit.action != "removed":
            return f"{edit.status}: not in use, nothing was asked"
        return "nothing found" if self.model is None else "nothing was asked"

    def headline(self) -> str:
        """`2 edits added, 1 changed, 1 removed: 2 gates failed`"""
        return f"{self.what()}: {self.verdict()}"

    def what(self) -> str:
        """`2 edits added, 1 changed, 1 removed`"""
        found = Counter(edit.action for edit in self.edits)
        parts = [f"{found[action]} {action}" for action in ACTIONS if found[action]]
        if not parts:
            return "no edit changed"
        n, _, action = parts[0].partition(" ")
        return ", ".join([f"{count(int(n), 'edit')} {action}", *parts[1:]])

    def verdict(self) -> str:
        """`passed`, or what failed."""
        if self.passed:
            return "passed"
        failed = sum(not gate.ok for gate in self.gates)
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
        asked = sum(share.n for share in self.shares.values())
        parts = [f"{count(asked, 'prompt')} of the changed edits"]
        if self.judged:
            parts.append(f"those of {count(self.judged, 'other edit')}")
        parts += [f"{self.unrelated.n} that concern no edit"] if self.unrelated.n else []
        parts += [f"{self.nearby.n} on other matters of their subjects"] if self.nearby.n else []
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        return (
            f"{self.model.name} was asked {listed}, once as it answers before this change "
            "(on the base branch) and once as it answers after it (merged)."
        )

    def others(self) -> str | None:
        """Which other edits could not be judged, if any."""
        if not self.not_built:
            return None
        n = len(self.not_built)
        what = "1 other edit was" if n == 1 else f"{n} other edits were"
        return f"{what} not judged, as no build is in the store:"

    def made(self) -> list[tuple[str, str]]:
        """How the review was made, as (name, value)."""
        lines = [
            ("range", self.range.text),
            ("base", self.range.base),
            ("merge base", self.range.merge_base),
            ("head", self.range.head),
        ]
        if self.model is not None:
            lines += [
                ("model", self.model.name),
                ("model hash", self.model.hash),
                ("number format", self.model.dtype),
                ("texts run through the model", str(self.texts_run)),
            ]
        return [*lines, ("seconds", f"{self.seconds:.1f}")]


def as_review(value: Mapping[str, Any] | Review) -> Review:
    return value if isinstance(value, Review) else read_review(value)


def read_review(value: Mapping[str, Any]) -> Review:
    """The review that a JSON object holds.

    Raises:
        InputError: it is none, or of a version that this program does not know.
    """
    read = Fields(value, "review")
    schema = value.get("schema")
    if schema != SCHEMA:
        raise InputError(
            f"this is no review: its schema is {schema!r}, not {SCHEMA!r}",
            hint="give the JSON that `sake review --json` writes",
        )
    where = read.object("range")
    model = read.maybe_object("model")
    others = read.maybe_object("others")
    return Review(
        range=Range(
            where.text("text"),
            where.text("base"),
            where.text("merge_base"),
            where.maybe_text("head") or "the working tree",
        ),
        model=_model(model) if model else None,
        settings=read.texts("settings"),
        conflicts=tuple(
            Conflict(c.text("id"), c.text("path", ""), c.text("text"))
            for c in read.objects("conflicts")
        ),
        edit_conflicts=tuple(_edit_conflict(c) for c in read.objects("edit_conflicts")),
        edits=tuple(_edit(edit) for edit in read.objects("edits")),
        interference=tuple(_row(row, row.text("edit")) for row in read.objects("interference")),
        unrelated=_sample(read, "unrelated"),
        nearby=_sample(read, "nearby"),
        findings=_findings(read),
        judged=others.whole("judged", 0) if others else 0,
        not_built=others.texts("not_built") if others else (),
        shares=_shares(read),
        gates=tuple(_gate(gate) for gate in read.objects("gates")),
        passed=read.flag("passed"),
        seconds=read.number("seconds", 0),
        texts_run=read.whole("texts_run", 0),
    )


def _edit_conflict(read: Fields) -> EditConflict:
    def side(read: Fields) -> tuple[str, str, str]:
        path, line = read.text("path", ""), read.whole("line", 0)
        return read.text("edit"), f"{path}:{line}" if line else path, read.text("says")

    sides = [side(one) for one in read.objects("sides")]
    if len(sides) != 2:
        raise wrong("review", "edit_conflicts.sides", "two edits", len(sides))
    return EditConflict(
        severity=read.text("severity"),
        prompt=read.text("prompt"),
        sides=(sides[0], sides[1]),
        message=read.text("message"),
        hint=read.text("hint", ""),
    )


def _edit(read: Fields) -> EditReview:
    build, name = read.maybe_object("build"), read.text("id")
    return EditReview(
        id=name,
        action=read.one_of("action", ACTIONS),
        path=read.text("path", ""),
        claim=read.text("claim"),
        sentence=read.text("sentence", ""),
        status=read.text("status", "active"),
        lines=read.texts("lines"),
        reason=read.maybe_text("reason"),
        sources=read.texts("sources"),
        findings=_findings(read),
        build=_build(build) if build else None,
        rows=tuple(_row(row, name) for row in read.objects("rows")),
        shares=_shares(read),
    )


def _model(read: Fields) -> Model:
    return Model(read.text("name"), read.text("hash", ""), read.text("dtype", ""))


def _build(read: Fields) -> Build:
    return Build(
        outcome=read.one_of("outcome", OUTCOMES),
        error=read.maybe_text("error"),
        warnings=read.texts("warnings"),
        worked=read.whole("worked", 0),
        pairs=read.whole("pairs", 0),
    )


def _row(read: Fields, edit: str) -> Row:
    return Row(
        kind=read.one_of("kind", KINDS),
        prompt=read.text("prompt"),
        before=read.text("before", ""),
        after=read.text("after", ""),
        expected=read.text("expected", ""),
        ok=read.flag("ok"),
        by=read.maybe_text("by"),
        distance=read.maybe_number("distance"),
        threshold=read.maybe_number("threshold"),
        reason=read.text("reason", ""),
        edit=edit,
    )


def _sample(read: Fields, name: str) -> Sample:
    found = read.maybe_object(name)
    if found is None:
        return Sample(0, ())
    changed = tuple(_otherwise(row) for row in found.objects("changed"))
    return Sample(max(found.whole("n"), len(changed)), changed)


def _otherwise(read: Fields) -> Row:
    """A prompt that no file states, and whose answer changed."""
    before = read.text("before", "")
    return Row(
        kind="unchanged",
        prompt=read.text("prompt"),
        before=before,
        after=read.text("after", ""),
        expected=before,
        ok=False,
        by=read.maybe_text("by"),
        distance=read.maybe_number("distance"),
        threshold=read.maybe_number("threshold"),
    )


def _findings(read: Fields) -> tuple[Finding, ...]:
    found = (
        Finding(
            code=f.text("code"),
            severity=f.text("severity", "error"),
            path=f.text("path", ""),
            line=f.whole("line", 0),
            column=f.whole("column", 0),
            field=f.text("field", ""),
            message=f.text("message"),
            hint=f.text("hint", ""),
        )
        for f in read.objects("findings")
    )
    return tuple(sorted(found, key=lambda f: (f.severity != "error", f.path, f.line, f.column)))


def _shares(read: Fields) -> Mapping[str, Share]:
    """By kind, in the order of `KINDS`; a kind of which nothing was asked is left out."""
    shares = read.maybe_object("shares")
    if shares is None:
        return {}
    found = {}
    for kind in KINDS:
        share = shares.maybe_object(kind)
        if share is None or not share.whole("n"):
            continue
        found[kind] = Share(share.whole("passed"), share.whole("n"))
        if found[kind].passed > found[kind].n:
            raise wrong("review", f"shares.{kind}", "no more passed than asked", found[kind])
    return found


def _gate(read: Fields) -> Gate:
    name, ok = read.text("name"), read.flag("ok")
    return Gate(
        name=name,
        limit=read.maybe_number("limit"),
        value=read.maybe_number("value"),
        ok=ok,
        text=read.text("text", ""),
        hint="" if ok else read.text("hint", what_to_do(name)),
    )


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
    (("error", "warning", "finding"), "Mend what the checks say; `sake check` shows each place."),
)


def what_to_do(gate: str) -> str:
    """The advice for a gate that failed, by what its name speaks of."""
    for words, advice in WHAT_TO_DO:
        if any(word in gate for word in words):
            return advice
    return "See below what was found; the bound is set in sake.toml under [review]."


def decided(row: Row) -> str:
    """Who answered and why: `this edit (4.20 ≤ 5.30)`, `no edit (6.10 > 5.30)`."""
    if row.by is None and row.reason == Reason.IN_SCOPE:
        return "no edit"  # The decision is that of before, when the edit was still there.
    who = row.reason if row.by is None and row.reason == Reason.NOT_NAMED else "no edit"
    if row.by is not None:
        who = "this edit" if row.by == row.edit else row.by
    inside, too_far = [], False
    if row.distance is not None and row.threshold is not None:
        too_far = row.distance > row.threshold
        inside.append(f"{row.distance:.2f}\u00a0{'>' if too_far else '≤'}\u00a0{row.threshold:.2f}")
    # Where the figures say it all, the reason says nothing more.
    if row.reason and row.by is None and not too_far and row.reason != who:
        inside.append(row.reason)
    return f"{who} ({'; '.join(inside)})" if inside else who


def share_words(share: Share) -> str:
    """`17 of 20 (85.0 %)`"""
    return f"{share} ({percent(share.value)} %)"


def address(text: str) -> str | None:
    """A web address as a link may hold it; None if the text is none, or misleads about its host."""
    text = clean(text).strip()
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.username:
            return None
    except ValueError:
        return None
    if re.search(r"\s", text) or _UNSEEN.search(text):
        return None
    return quote(text, safe=_IN_ADDRESS)


def visible(text: str) -> str:
    """The text with what hides in it, or turns it around, shown by its number."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", clean(text))


def glossary(review: Review) -> Sequence[tuple[str, str]]:
    """The words that this review uses and what they mean."""
    asked = review.model is not None
    used = [kind for kind in KINDS if kind in review.shares]
    if asked:
        used += ["distance", "interference", "unrelated", "nearby", "pair"]
        used += ["gate"] if review.gates else []
    return [(word, WORDS[word]) for word in used]
