"""What signatures prove of a bundle or of a pointer, in words, and what they do not.

It looks at what the gate of loading looks at, by the same functions; where that would stop at the
first reason, each is told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import computed_field

from sake_registry.errors import InputError, SakeError
from sake_registry.places import absolute, shown
from sake_registry.remote.age import Seen, check_age
from sake_registry.remote.fetching import fetch_bundle, verify_bundle
from sake_registry.remote.pointer import Pointer, read_pointer
from sake_registry.remote.signing import Predicate, read_statement
from sake_registry.remote.trust import Policy, check_pointer, read_envelope
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from securesystemslib.signer import SSlibKey

    from sake_registry.bundle.format import Manifest
    from sake_registry.remote.signing import Statement

SHOWN = 12
"""Characters of a hash, a commit or a key that a sentence names."""
_CHECKED_ALONE = Policy(expired="warn")
"""Of signatures nothing is asked: they are verified one by one."""


class Verdict(Value):
    """What was found out about a bundle, or about a pointer and the bundle that it names.

    Attributes:
        proven: what holds, by digests and by signatures of keys that count.
        said: what the signer of the bundle says: as true as the signer is trustworthy.
        wrong: why it is not to be used.
        open: what no signature here can tell.
        statement: what is signed of the bundle, if a key that counts signed it.
    """

    place: str
    bundle: str
    proven: tuple[str, ...]
    said: tuple[str, ...]
    wrong: tuple[str, ...]
    open: tuple[str, ...]
    statement: Predicate | None

    @computed_field
    @property
    def passed(self) -> bool:
        return not self.wrong


class _Findings:
    def __init__(self, keys: Mapping[str, SSlibKey]) -> None:
        self.names = {key.keyid: name for name, key in keys.items()}
        self.keys = tuple(keys.values())
        self.proven: list[str] = []
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.open: list[str] = []

    def key(self, key: SSlibKey) -> str:
        return f"the key {self.names[key.keyid]} ({key.keyid[:SHOWN]})"

    def attempt(self, look: Callable[[], None]) -> None:
        """Look at something; what it raises is a reason not to trust."""
        try:
            look()
        except SakeError as error:
            self.wrong.append(error.message)


def verify(place: str, keys: Mapping[str, SSlibKey], now: datetime | None = None) -> Verdict:
    """What is proven of a bundle, or of a pointer (`*.json`) and the bundle that it names.

    Args:
        place: a path, or a URL that fsspec reads.
        keys: those that count, by their names.

    Raises:
        InputError: there is nothing, or it is no pointer.
        SetupError: it cannot be reached.
    """
    findings, place = _Findings(keys), str(place)
    now = now or datetime.now(UTC)
    if shown(place).endswith(".json"):
        pointer = read_pointer(place)
        findings.attempt(lambda: _look_at_signature(pointer, place, findings))
        findings.attempt(lambda: _look_at_age(pointer, place, now, findings))
    else:
        pointer = Pointer(bundle=absolute(place))
        findings.open.append("that it is the newest: a bundle has no number, a pointer has one")
    statement: list[Statement] = []
    findings.attempt(lambda: statement.append(_statement(pointer, findings)))
    findings.attempt(lambda: _look_at_bundle(pointer, next(iter(statement), None), findings))
    return Verdict(
        place=shown(place),
        bundle=shown(pointer.bundle),
        proven=tuple(findings.proven),
        said=tuple(findings.said),
        wrong=tuple(findings.wrong),
        open=tuple(findings.open),
        statement=statement[0].predicate if statement else None,
    )


def _look_at_signature(pointer: Pointer, place: str, findings: _Findings) -> None:
    key = check_pointer(pointer, place, findings.keys)
    when = f" of {pointer.time:%Y-%m-%d %H:%M} UTC" if pointer.time else ""
    findings.proven.append(
        f"{findings.key(key)} signed that '{pointer.name}', number {pointer.number}{when}, is the "
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


def _statement(pointer: Pointer, findings: _Findings) -> Statement:
    where = shown(pointer.bundle)
    return read_statement(read_envelope(pointer.bundle), findings.keys, where)


def _look_at_bundle(pointer: Pointer, statement: Statement | None, findings: _Findings) -> None:
    path = fetch_bundle(pointer, policy=_CHECKED_ALONE)
    manifest = verify_bundle(path, pointer, None)
    model = manifest.model
    findings.proven.append(
        f"every digest in the bundle is right: content {manifest.content_hash[:SHOWN]}, "
        f"{count(len(manifest.edits), 'edit')} for {model.name} ({model.hash[:SHOWN]})"
    )
    if statement is None:
        return
    verify_bundle(path, pointer, statement)
    findings.proven.append("the bundle is, byte for byte, the file that was signed")
    _tell(statement.predicate, manifest, findings)
