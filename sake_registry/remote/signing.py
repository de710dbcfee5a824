"""What is signed of a bundle or of a pointer, and held against it.

Of a bundle it is an in-toto statement, and the signature lies beside the file, as `X.h5.sig.json`;
of a pointer it is the other fields of the pointer, and the signature is its field `signature`. By
whom, and in which form, is `signers`.

Guarantees:
- A signature of a bundle is none of a pointer, and the other way round: it covers the kind of what
  is signed.
- A statement claims what was given for it: without a review it claims no gate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from sake_registry.bundle.format import Hash
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import InputError, TrustError
from sake_registry.models.sources import sha256
from sake_registry.remote.dsse import POINTER, STATEMENT, compact
from sake_registry.remote.signers import read_signature
from sake_registry.values import Value

if TYPE_CHECKING:
    from pathlib import Path

    from sake_registry.bundle.format import Manifest
    from sake_registry.remote.pointer import Pointer
    from sake_registry.remote.signers import Signature, Signer, Signers

SUFFIX = ".sig.json"
"""What the name of a bundle's signature has behind the bundle's."""


class Claimed(Value):
    """A version of an edit: its id, and the key of what it was compiled from."""

    id: str
    key: Hash


class ClaimedModel(Value):
    """The exact model that a bundle was compiled for."""

    name: str
    hash: Hash
    dtype: str


class ClaimedGate(Value):
    """A gate of a review, and how it came out."""

    name: str
    state: str


class ClaimedReview(Value):
    """What `sake review` said: of which commits, on which model (its hash), gate by gate."""

    base: str
    head: str | None
    model: str | None
    gates: tuple[ClaimedGate, ...]

    def in_state(self, state: str) -> list[str]:
        return [gate.name for gate in self.gates if gate.state == state]


class Predicate(Value):
    """What is said of a bundle, beside that it is this file.

    Attributes:
        content: its content hash. It stands here and not among the subject's digests: two files of
            one content may differ in their settings and dates.
        commit: of the registry, that it was compiled from; None outside git.
        dirty: whether there were uncommitted changes.
        reviewers: those whom the commits name, by edit.
        review: None where none was given.
        time: when it was signed (UTC), by the clock of who signed.
    """

    content: Hash
    key: Hash
    partial: bool
    model: ClaimedModel
    method: int
    edits: tuple[Claimed, ...]
    commit: str | None
    dirty: bool | None
    reviewers: dict[str, tuple[str, ...]]
    review: ClaimedReview | None
    time: datetime

    @classmethod
    def of(cls, manifest: Manifest, review: ClaimedReview | None, time: datetime) -> Self:
        """What a bundle's manifest says of it."""
        noted = manifest.provenance
        commit, dirty, reviewers = (noted.get(name) for name in ("commit", "dirty", "reviewers"))
        return cls(
            content=manifest.content_hash,
            key=manifest.key,
            partial=manifest.partial,
            model=ClaimedModel(
                name=manifest.model.name, hash=manifest.model.hash, dtype=manifest.model.dtype
            ),
            method=manifest.method,
            edits=tuple(Claimed(id=edit.id, key=edit.key) for edit in manifest.edits),
            commit=commit if isinstance(commit, str) else None,
            dirty=dirty if isinstance(dirty, bool) else None,
            reviewers=reviewers if isinstance(reviewers, dict) else {},
            review=review,
            time=time,
        )


class Digests(Value):
    sha256: Hash


class Subject(Value):
    """A file, by its bytes; its name is for people."""

    name: str
    digest: Digests


class Statement(Value):
    """An in-toto statement (https://in-toto.io/Statement/v1) of one bundle."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(
        "https://in-toto.io/Statement/v1", alias="_type"
    )
    subject: tuple[Subject]
    predicate_type: Literal["urn:sake-registry:bundle:1"] = Field(
        "urn:sake-registry:bundle:1", alias="predicateType"
    )
    predicate: Predicate

    @property
    def file(self) -> Subject:
        return self.subject[0]


def sign_bundle(
    path: Path, signer: Signer, *, review: ClaimedReview | None = None, name: str = ""
) -> bytes:
    """The signature of a bundle, as it is to lie beside it. Every digest in the bundle is verified.

    Args:
        review: what a review said of it.
        name: what the file is called; its own name unless given.

    Raises:
        InputError: there is no such file.
        BundleFormatError: it is not a sound bundle.
        SetupError: who signs needs a service that does not answer.
    """
    with BundleFile(path) as file:
        file.verify()
        predicate = Predicate.of(file.manifest, review, datetime.now(UTC).replace(microsecond=0))
    subject = Subject(name=name or path.name, digest=Digests(sha256=sha256(path)))
    statement = Statement(subject=(subject,), predicate=predicate)
    signature = signer.sign(compact(statement.model_dump(mode="json")), STATEMENT)
    return compact(signature) + b"\n"


def read_statement(signature: Signature, signers: Signers, of: str) -> tuple[Statement, str]:
    """What somebody who counts says of a bundle, and who that is, in words.

    Raises:
        TrustError: it is nobody's who counts, was changed, or is no statement of a bundle.
    """
    payload, who = signers.opened(signature, STATEMENT, of)
    try:
        return Statement.model_validate_json(payload), who
    except ValidationError as error:
        raise TrustError(
            f"{of}: its signature says nothing of a bundle that this version understands "
            f"({error.errors()[0]['msg']})",
            hint="sign it with this version: sake sign",
        ) from error


def check_statement(statement: Statement, manifest: Manifest, found: str, of: str) -> None:
    """Hold a statement against the bundle that it lies beside.

    Args:
        found: the SHA-256 of the bundle's file.

    Raises:
        TrustError: it is the signature of another bundle, or of one for another model; or the file
            was changed after it had been signed.
    """
    said = statement.predicate
    if said.model.hash != manifest.model.hash:
        raise TrustError(
            f"{of} is signed for another model: the signature is of a bundle for "
            f"{said.model.name} ({said.model.hash[:12]}), and this one is for "
            f"{manifest.model.name} ({manifest.model.hash[:12]})",
            hint="put the bundle's own signature beside it",
        )
    if said.content != manifest.content_hash:
        raise TrustError(
            f"{of}: its signature is of another bundle ({said.content[:12]}, this is "
            f"{manifest.content_hash[:12]})",
            hint="put the bundle's own signature beside it",
        )
    if found != statement.file.digest.sha256:
        raise TrustError(
            f"{of} is not the file that was signed: its SHA-256 is {found[:12]}, and "
            f"{statement.file.digest.sha256[:12]} was signed",
            hint="bring the signed file again; if it was made anew, sign it: sake sign",
        )


def check_subject(signature: bytes, found: str, of: str) -> None:
    """See that a signature says that it is of a file; who made it is not looked at.

    Args:
        found: the SHA-256 of the file.

    Raises:
        TrustError: it is of another, or of none.
    """
    held = read_signature(signature, of)
    try:
        statement = Statement.model_validate_json(held.unverified())
    except ValueError:
        statement = None
    if statement is None or statement.file.digest.sha256 != found:
        raise TrustError(
            f"the signature beside {of} is of another file", hint=f"sign it again: sake sign {of}"
        )


def sign_pointer(pointer: Pointer, signer: Signer) -> dict[str, Any]:
    """What the field `signature` of a pointer is to hold: a signature over all that it says but
    where the bundle lies.

    Raises:
        InputError: it does not say enough to be told from others.
        SetupError: who signs needs a service that does not answer.
    """
    if lacking := indistinct(pointer):
        raise InputError(
            f"a pointer without {lacking} would pass for another, signed or not",
            hint="`sake promote --key KEY` writes them and signs",
        )
    return signer.sign(canonical(pointer), POINTER)


def indistinct(pointer: Pointer) -> str:
    """What a pointer lacks by which it is told from others; empty where it lacks nothing."""
    return ", ".join(
        name for name in ("content", "name", "number") if getattr(pointer, name) is None
    )


def canonical(pointer: Pointer) -> bytes:
    """What is signed of a pointer, as JSON in one form."""
    return compact(pointer.statement)
