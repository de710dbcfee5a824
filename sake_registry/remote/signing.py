"""Signatures: who says what of a bundle or of a pointer.

A signature is a DSSE envelope (https://github.com/secure-systems-lab/dsse), made and verified by
securesystemslib with keys of its kinds: Ed25519, ECDSA, RSA. Of a bundle it holds an in-toto
statement and lies beside the file, as `X.h5.sig.json`; of a pointer it holds the other fields of
the pointer, and is its field `signature`.

Guarantees:
- Nothing of an envelope is looked at before a key that counts has verified it.
- An envelope of a bundle is none of a pointer, and the other way round: the signature covers the
  kind of what is signed.
- A statement claims what was given for it: without a review it claims no gate.
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from sake_registry.bundle.format import Hash
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import InputError, MissingExtraError, TrustError
from sake_registry.files import read_bounded
from sake_registry.models.sources import sha256
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner, SSlibKey

    from sake_registry.bundle.format import Manifest
    from sake_registry.remote.pointer import Pointer

SUFFIX = ".sig.json"
"""What the name of a bundle's signature has behind the bundle's."""
MAX_BYTES = 1 << 26
"""Of a signature: an edit takes about 120 bytes of it."""
MAX_SIGNS = 256
"""Commas and brackets of an envelope: more are there to use up memory."""
MAX_KEY_BYTES = 1 << 16
STATEMENT = "application/vnd.in-toto+json"
POINTER = "application/vnd.sake-registry.pointer+json"
KEY_VARIABLE, PASSWORD_VARIABLE = "SAKE_SIGNING_KEY", "SAKE_SIGNING_KEY_PASSWORD"


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


class _Signature(Value):
    keyid: Annotated[str, Field(max_length=256)] = ""
    sig: Annotated[str, Field(max_length=1 << 14)]


class Envelope(Value):
    """A DSSE envelope, not yet verified."""

    payload: Annotated[str, Field(max_length=MAX_BYTES)]
    payloadType: str  # noqa: N815 - as DSSE spells it
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=16)]

    @classmethod
    def read(cls, data: bytes | Mapping[str, Any], of: str) -> Self:
        """An envelope from a file or a field.

        Args:
            of: what it is the signature of, for messages.

        Raises:
            TrustError: it is none.
        """
        try:
            if not isinstance(data, bytes):
                return cls.model_validate(data)
            if len(data) > MAX_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > MAX_SIGNS:
                raise ValueError("it is too large")
            return cls.model_validate_json(data)
        except ValueError as error:  # a ValidationError is one
            raise TrustError(
                f"{of}: its signature is not a DSSE envelope", hint="sign it again: sake sign"
            ) from error

    @property
    def signers(self) -> tuple[str, ...]:
        """The ids of the keys that are said to have signed; nothing is verified."""
        return tuple(signature.keyid for signature in self.signatures)

    def opened(self, kind: str, keys: Iterable[SSlibKey], of: str) -> tuple[bytes, SSlibKey]:
        """What is signed, and the key that signed it.

        Args:
            kind: what it must be: `STATEMENT` or `POINTER`.
            keys: those that count.
            of: what it is the signature of, for messages.

        Raises:
            TrustError: a stranger signed it, or it was changed since, or it is of another kind.
        """
        from securesystemslib.dsse import Envelope as Dsse
        from securesystemslib.exceptions import Error

        known = {key.keyid: key for key in keys}
        if not known.keys() & set(self.signers):
            strangers = ", ".join(signer[:12] or "without a name" for signer in self.signers)
            counts = ", ".join(id_[:12] for id_ in known)
            raise TrustError(
                f"{of} is signed by a stranger: the key {strangers}"
                + (f"; what counts is {counts}" if known else ", and nothing says that it counts"),
                hint="if that key is to count, name its public half: SAKE_TRUST_KEYS=FILE, or keys "
                "under [trust] in sake.toml",
            )
        try:
            # A copy: securesystemslib changes what it reads.
            envelope = Dsse.from_dict(self.model_dump(mode="json"))
            accepted = envelope.verify(list(known.values()), threshold=1)
        except (Error, ValueError) as error:
            raise TrustError(
                f"{of}: its signature is forged: the key {', '.join(s[:12] for s in self.signers)} "
                "did not sign what it says",
                hint="use none of it, and find out who put it there",
            ) from error
        if envelope.payload_type != kind:
            raise TrustError(
                f"{of}: its signature is of something else ({envelope.payload_type:.100})",
                hint="sign it: sake sign",
            )
        return envelope.payload, known[next(iter(accepted))]


def sealed(payload: bytes, kind: str, signer: CryptoSigner) -> dict[str, Any]:
    """A signed DSSE envelope as JSON."""
    from securesystemslib.dsse import Envelope as Dsse

    envelope = Dsse(payload, kind, {})
    envelope.sign(signer)
    return dict(envelope.to_dict())


def sign_bundle(
    path: Path, signer: CryptoSigner, *, review: ClaimedReview | None = None, name: str = ""
) -> bytes:
    """The signature of a bundle, as it is to lie beside it. Every digest in the bundle is verified.

    Args:
        review: what a review said of it.
        name: what the file is called; its own name unless given.

    Raises:
        InputError: there is no such file.
        BundleFormatError: it is not a sound bundle.
    """
    with BundleFile(path) as file:
        file.verify()
        predicate = Predicate.of(file.manifest, review, datetime.now(UTC).replace(microsecond=0))
    subject = Subject(name=name or path.name, digest=Digests(sha256=sha256(path)))
    statement = Statement(subject=(subject,), predicate=predicate)
    envelope = sealed(_json(statement.model_dump(mode="json")), STATEMENT, signer)
    return _json(envelope) + b"\n"


def read_statement(
    envelope: Envelope, keys: Iterable[SSlibKey], of: str
) -> tuple[Statement, SSlibKey]:
    """What somebody whose key counts says of a bundle, and that key.

    Raises:
        TrustError: it is nobody's whose key counts, was changed, or is no statement of a bundle.
    """
    payload, key = envelope.opened(STATEMENT, keys, of)
    try:
        return Statement.model_validate_json(payload), key
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
    envelope = Envelope.read(signature, of)
    try:
        statement = Statement.model_validate_json(base64.b64decode(envelope.payload))
    except ValueError:
        statement = None
    if statement is None or statement.file.digest.sha256 != found:
        raise TrustError(
            f"the signature beside {of} is of another file", hint=f"sign it again: sake sign {of}"
        )


def sign_pointer(pointer: Pointer, signer: CryptoSigner) -> dict[str, Any]:
    """What the field `signature` of a pointer is to hold: an envelope over all that it says but
    where the bundle lies.

    Raises:
        InputError: it does not say enough to be told from others.
    """
    if lacking := indistinct(pointer):
        raise InputError(
            f"a pointer without {lacking} would pass for another, signed or not",
            hint="`sake promote --key KEY` writes them and signs",
        )
    return sealed(canonical(pointer), POINTER, signer)


def indistinct(pointer: Pointer) -> str:
    """What a pointer lacks by which it is told from others; empty where it lacks nothing."""
    return ", ".join(
        name for name in ("content", "name", "number") if getattr(pointer, name) is None
    )


def canonical(pointer: Pointer) -> bytes:
    """What is signed of a pointer, as JSON in one form."""
    return _json(pointer.statement)


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


# -- keys ----------------------------------------------------------------------------------------


def read_signer(path: Path | None, environ: Mapping[str, str] = os.environ) -> CryptoSigner:
    """A private key: of a PEM file, or of the variable SAKE_SIGNING_KEY, which holds the PEM.

    A password is read from SAKE_SIGNING_KEY_PASSWORD.

    Raises:
        InputError: there is none, it is no private key, or its password is wrong or missing.
        MissingExtraError: the extra `sign` is not installed.
    """
    where = str(path) if path is not None else KEY_VARIABLE
    if path is not None:
        pem = _pem(path)
    elif not (pem := environ.get(KEY_VARIABLE, "").encode()):
        raise InputError(
            "there is no key to sign with",
            hint=f"name a private key: --key FILE, or {KEY_VARIABLE} with the PEM in it",
        )
    with _library():
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from securesystemslib.signer import CryptoSigner
    password = environ.get(PASSWORD_VARIABLE, "").encode() or None
    try:
        return CryptoSigner(load_pem_private_key(pem, password))
    # TypeError: a password is missing, or needless.
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if b" PUBLIC KEY-" in pem:
            hint = "that is the public half: name the private one"
        else:
            hint = f"it is to be PEM, Ed25519, ECDSA or RSA; {PASSWORD_VARIABLE} has its password"
        raise InputError(f"{where} is no key to sign with: {error}", hint=hint) from error


def read_key(path: Path) -> SSlibKey:
    """A public key of a PEM file.

    Raises:
        InputError: there is none, or it is no public key.
        MissingExtraError: the extra `sign` is not installed.
    """
    pem = _pem(path)
    with _library():
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from securesystemslib.signer import SSlibKey
    try:
        return SSlibKey.from_crypto(load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "it is to be PEM, Ed25519, ECDSA or RSA: openssl pkey -in KEY -pubout -out KEY.pub"
        if b"PRIVATE KEY-" in pem:
            hint = f"that is a private key: {hint.partition(': ')[2]} makes the public one"
        raise InputError(f"{path} is no public key", hint=hint) from error


def _pem(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_KEY_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: the key cannot be read: {error.strerror}", hint="name a file of PEM"
        ) from error


@contextmanager
def _library() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(f"signatures need {error.name}", "sign") from error
