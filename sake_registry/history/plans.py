"""What would become of edits that are taken back, as plain values, and the commit's message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, InstanceOf, PlainSerializer, computed_field

from sake_registry.edits.registry import Registry
from sake_registry.history.repository import Commit
from sake_registry.history.snapshots import EditChange
from sake_registry.values import Value
from sake_registry.wording import count, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.history.versions import Version

Action = Literal["revert", "restore", "remove", "withdraw"]
SUBJECT_WIDTH = 72
_BODY_WIDTH = 160


@dataclass(frozen=True)
class Candidate:
    """An earlier version that an edit can go back to, and what would change, in words.

    `undone` is the commit that took this very version back, where that is the latest change: to
    revert it puts what was reverted in force again.
    """

    version: Version
    lines: tuple[str, ...]
    undone: Commit | None = None

    @property
    def option(self) -> str:
        """The option of `sake revert` that chooses it."""
        removed = self.version.parsed is None
        return "--remove" if removed else f"--to {self.version.short}"

    def __str__(self) -> str:
        undone = f" (taken back in {self.undone.short})" if self.undone else ""
        return f"{cited(self.version)}: {shorten('; '.join(self.lines), 100)}{undone}"


def _brief(commits: tuple[Commit, ...]) -> list[dict[str, str]]:
    return [commit.model_dump(include={"commit", "subject"}) for commit in commits]


class EditRevert(Value):
    """What becomes of one edit.

    `change` goes from what is now to what will be; `source` is the commit that made what is now,
    `target` the one that what comes back is taken from. `also` are commits without an effect on
    answers that are taken back with it. `content` is the file's bytes, None to remove it.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    change: EditChange = Field(exclude=True)
    action: Action
    source: str = Field(serialization_alias="from")
    target: Commit | None = Field(exclude=True)
    content: bytes | None = Field(exclude=True)
    also: Annotated[tuple[Commit, ...], PlainSerializer(_brief)] = ()

    @computed_field
    @cached_property
    def id(self) -> str:
        return self.change.id

    @computed_field
    @cached_property
    def path(self) -> str:
        """Relative to the registry's root."""
        return (self.change.before or self.change).path

    @computed_field
    @cached_property
    def to(self) -> str | None:
        """The full id of the target."""
        return self.target.commit if self.target else None

    @computed_field
    @cached_property
    def claim(self) -> str:
        return self.change.claim

    @computed_field
    @cached_property
    def lines(self) -> list[str]:
        """What changes, in words."""
        if self.action == "remove":
            return ["removed"]
        return ["restored"] if self.action == "restore" else self.change.lines

    def summary(self) -> str:
        """The change in a few words: `German → English` where the new object is another one."""
        before = self.change.before.edit if self.change.before else None
        after = self.change.after.edit if self.change.after else None
        if before and after and before.new != after.new:
            return f"{before.new} → {after.new}"
        return "" if self.action in ("remove", "restore", "withdraw") else self.lines[0]


class RevertPlan(Value):
    """What would be done, and the message of the commit; `notes` are for the user to know."""

    registry: InstanceOf[Registry] = Field(exclude=True)
    head: str = Field(exclude=True)
    edits: tuple[EditRevert, ...]
    message: str
    notes: tuple[str, ...]


def message_of(planned: Sequence[EditRevert], reason: str) -> str:
    """Subject, what changes in words, and trailers: one set for each edit, in one block."""
    body, trailers = [], []
    for step in planned:
        body += [f"{step.id}: {step.claim}" if len(planned) > 1 else step.claim]
        if step.target:
            body.append(f"  as in {cited(step.target)}")
        body += [f"  {line}" for line in step.lines]
        body += [f"  also takes back {cited(commit)}" for commit in step.also]
        trailers += [f"Sake-Edit: {step.id}", f"Sake-Action: {step.action}"]
        trailers.append(f"Sake-From: {step.source}")
        trailers += [f"Sake-To: {step.to}"] if step.to else []
        trailers += [f"Sake-Reason: {reason}"] if reason else []
    shown = [printable(shorten(line, _BODY_WIDTH) if line[0] != " " else
             "  " + shorten(line, _BODY_WIDTH)) for line in body]  # fmt: skip
    return "\n".join([_subject(planned), "", *shown, "", *map(printable, trailers)]) + "\n"


def _subject(planned: Sequence[EditRevert]) -> str:
    actions = {step.action for step in planned}
    verb = (actions.pop() if len(actions) == 1 else "revert").capitalize()
    if len(planned) > 1:
        return f"{verb} {count(len(planned), 'edit')}"
    (step,) = planned
    head = f"{verb} edit {step.id}"
    room = SUBJECT_WIDTH - len(head) - len(": ")
    summary = printable(step.summary())  # before it is cut: a number is longer than its character
    if " → " in summary and len(summary) > room:
        first, _, second = summary.partition(" → ")
        each = max(8, (room - len(" → ")) // 2)
        summary = f"{shorten(first, each)} → {shorten(second, each)}"
    return f"{head}: {shorten(summary, max(20, room))}" if summary else head


def cited(commit: Commit) -> str:
    """A commit as a message speaks of it: its short id, day, author and subject."""
    subject = shorten(commit.subject, 50)
    return printable(f"{commit.short} ({commit.date:%Y-%m-%d}, {commit.author}: {subject})")


def one_line(text: str) -> str:
    return " ".join(text.split())
