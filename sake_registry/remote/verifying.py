"""What signatures prove of a bundle or of a pointer, in words, and what they do not.

It looks at what the gate of loading looks at, by the same functions; where that would stop at the
first reason, each is told.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import computed_field

from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import SakeError
from sake_registry.models.sources import sha256
from sake_registry.places import absolute, shown
from sake_registry.remote.age import Seen, check_age
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.pointer import Pointer, read_pointer
from sake_registry.remote.signing import Predicate, check_statement, read_statement
from sake_registry.remote.trust import Policy, check_pointer, signature_beside
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sake_registry.remote.signers import Signers

LISTED = 10
"""Edits, gates or people that a sentence names."""
SHOWN = 12
"""Characters of a hash, a commit or a key that a sentence names."""
_CHECKED_ALONE = Policy(expired="warn")
"""Of signatures nothing is asked: they are verified one by one."""


class Verdict(Value):
    """What was found out about a bundle, or about a pointer and the bundle that it names.

    Attributes:
        proven: what holds, by digests and by signatures that count.
        said: what the signer of the bundle says: as true as the signer is trustworthy.
        wrong: why it is not to be used.
        open: what no signature here can tell.
        statement: what is signed of the bundle, if somebody who counts signed it.
    """

    place: str
    bundle: str
    proven: tuple[str, ...]
    said: tuple[str, ...]
    wrong: tuple[str, ...]
    open: tuple[str, ...]
    statement: Predicate | None

    @property
    def is_pointer(self) -> bool:
        return self.place.endswith(".json")

    @computed_field
    @property
    def passed(self) -> bool:
        return not self.wrong


class _Findings:
    def __init__(self, signers: Signers) -> None:
        self.signers = signers
        self.proven: list[str] = []
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.statement: Predicate | None = None

    def attempt(self, look: Callable[[], None]) -> None:
        """Look at something; what it raises is a reason not to trust."""
        try:
            look()
        except SakeError as error:
            self.wrong.append(error.message)


def verify(place: str, signers: Signers, now: datetime | None = None) -> Verdict:
    """What is proven of a bundle, or of a pointer (`*.json`) and the bundle that it names.

    Args:
        place: a path, or a URL that fsspec reads.
        signers: those whose signatures count.

    Raises:
        InputError: there is nothing, or it is no pointer.
        SetupError: it cannot be reached.
    """
    findings, place = _Findings(signers), str(place)
    now = now or datetime.now(UTC)
    if shown(place).endswith(".json"):
        pointer = read_pointer(place)
        findings.attempt(lambda: _look_at_signature(pointer, place, findings))
        findings.attempt(lambda: _look_at_age(pointer, place, now, findings))
    else:
        pointer = Pointer(bundle=absolute(place))
        findings.open.append("that it is the newest: a bundle has no number, a pointer has one")
    findings.attempt(lambda: _look_at_bundle(pointer, findings))
    return Verdict(
        place=shown(place),
        bundle=shown(pointer.bundle),
        proven=tuple(findings.proven),
        said=tuple(findings.said),
        wrong=tuple(findings.wrong),
        open=tuple(findings.open),
        statement=findings.statement,
    )


def _look_at_signature(pointer: Pointer, place: str, findings: _Findings) -> None:
    who = check_pointer(pointer, place, findings.signers)
    when = f" of {pointer.time:%Y-%m-%d %H:%M} UTC" if pointer.time else ""
    findings.proven.append(
        f"{who} signed that '{pointer.name}', number {pointer.number}{when}, is the "
        f"content {(pointer.content or '')[:SHOWN]}"
    )


def _look_at_age(pointer: Pointer, place: str, now: datetime, findings: _Findings) -> None:
    seen = Seen(place).number
    check_age(pointer, now, seen)
    if seen is None:
        findings.open.append("that the pointer is the newest: this machine has followed none")
    else:
        findings.proven.append(f"it is not older than what this machine has followed ({seen})")
    if pointer.expires is None:
        findings.open.append("that it still holds: it never expires")
    else:
        findings.proven.append(f"it holds until {pointer.expires:%Y-%m-%d %H:%M} UTC")


def _look_at_bundle(pointer: Pointer, findings: _Findings) -> None:
    path = fetch_bundle(pointer, policy=_CHECKED_ALONE)
    manifest = read_manifest(path)
    model, where = manifest.model, shown(pointer.bundle)
    findings.proven.append(
        f"every digest in the bundle is right: content {manifest.content_hash[:SHOWN]}, "
        f"{count(len(manifest.edits), 'edit')} for {model.name} ({model.hash[:SHOWN]})"
    )
    findings.open.append("that your model is that one: attaching the bundle proves it")
    signature = signature_beside(pointer.bundle)
    statement, who = read_statement(signature, findings.signers, where)
    check_statement(statement, manifest, sha256(path), where)
    findings.proven.append(f"{who} signed this very file")
    findings.statement = statement.predicate
    _tell(statement.predicate, findings)


def _tell(said: Predicate, findings: _Findings) -> None:
    """What is said of a bundle that somebody who counts has signed."""
    commit = said.commit and said.commit[:SHOWN]
    tree = {True: " with uncommitted changes", False: "", None: ", perhaps with changes"}
    origin = f"commit {commit}{tree[said.dirty]}" if commit else "no commit"
    findings.said.append(
        f"it was compiled from {origin} and signed at {said.time:%Y-%m-%d %H:%M} UTC"
    )
    findings.said.append(f"it holds {_listed([edit.id for edit in said.edits])}")
    if said.partial:
        findings.said.append("some edits could not be built, and are not in it")
    by: Counter[str] = Counter(name for names in said.reviewers.values() for name in names)
    if by:
        each = [f"{name} ({count(number, 'edit')})" for name, number in by.most_common()]
        findings.said.append(f"edits were reviewed by {_listed(each)}")
    if unreviewed := len({edit.id for edit in said.edits} - said.reviewers.keys()):
        of = f"{unreviewed} of {count(len(said.edits), 'edit')}"
        findings.open.append(f"who reviewed {of}: the commits name nobody")
    findings.open.append("that what its signer says is true: a signature tells who says it")
    if said.review is None:
        findings.open.append("which gates it passed: it was signed without a review")
        return
    review = said.review
    head = review.head[:SHOWN] if review.head else "the working tree"
    for state in dict.fromkeys(gate.state for gate in review.gates):
        gates = [gate.name for gate in review.gates if gate.state == state]
        findings.said.append(
            f"in the review of {review.base[:SHOWN]}...{head}, gates with the state '{state}': "
            f"{_listed(gates)}"
        )
    if review.head is None or review.head != said.commit:
        findings.open.append(
            f"that the review is of what was compiled: it is of {head}, and the bundle is of "
            f"{origin}"
        )
    if review.model is None:
        findings.open.append("what the model answered in the review: none was asked")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
