"""DSSE envelopes (https://github.com/secure-systems-lab/dsse) that are signed with keys.

They are made and verified by securesystemslib with keys of its kinds: Ed25519, ECDSA, RSA.

Guarantees:
- Nothing of an envelope is looked at before a key that counts has verified it.
- The signature covers the kind of what is signed.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, ValidationError

from sake_registry.errors import InputError, TrustError, importing
from sake_registry.files import read_bounded
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner, SSlibKey

MAX_BYTES = 1 << 26
"""Of a signature: an edit takes about 120 bytes of it."""
MAX_KEY_BYTES = 1 << 16
STATEMENT = "application/vnd.in-toto+json"
"""The kind of what is signed of a bundle."""
POINTER = "application/vnd.sake-registry.pointer+json"
"""The kind of what is signed of a pointer."""
KEY_VARIABLE, PASSWORD_VARIABLE = "SAKE_SIGNING_KEY", "SAKE_SIGNING_KEY_PASSWORD"
SHOWN = 12
"""Characters of a key's id that a sentence names."""


def compact(value: Any) -> bytes:
    """JSON in one form: keys in order, no spaces."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


class _Signature(Value):
    keyid: Annotated[str, Field(max_length=256)] = ""
    sig: Annotated[str, Field(max_length=1 << 14)]


class Envelope(Value):
    """A DSSE envelope, not yet verified."""

    payload: Annotated[str, Field(max_length=MAX_BYTES)]
    payloadType: str  # noqa: N815 - as DSSE spells it
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=16)]

    @classmethod
    def of(cls, value: Mapping[str, Any], of: str) -> Self:
        """An envelope from its JSON.

        Args:
            of: what it is the signature of, for messages.

        Raises:
            TrustError: it is none.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise TrustError(
                f"{of}: its signature is not a DSSE envelope", hint="sign it again: sake sign"
            ) from error

    @property
    def signers(self) -> tuple[str, ...]:
        """The ids of the keys that are said to have signed; nothing is verified."""
        return tuple(signature.keyid for signature in self.signatures)

    @property
    def signer(self) -> str:
        """Who is said to have signed, in words; nothing is verified."""
        return f"the key {', '.join(id_[:SHOWN] or 'without a name' for id_ in self.signers)}"

    @property
    def signed_by(self) -> dict[str, str]:
        """The same, for programs."""
        return {"key": self.signers[0]}

    def unverified(self) -> bytes:
        """What it holds, whoever signed it.

        Raises:
            ValueError: it is not base64.
        """
        return base64.b64decode(self.payload)

    def opened(self, kind: str, keys: Mapping[str, SSlibKey], of: str) -> tuple[bytes, str]:
        """What is signed, and who signed it, in words.

        Args:
            kind: what it must be: `STATEMENT` or `POINTER`.
            keys: those that count, by what they are called.
            of: what it is the signature of, for messages.

        Raises:
            TrustError: a stranger signed it, or it was changed since, or it is of another kind.
        """
        known = {key.keyid: key for key in keys.values()}
        names = {key.keyid: name for name, key in keys.items()}
        if not known.keys() & set(self.signers):
            counts = ", ".join(id_[:SHOWN] for id_ in known)
            raise TrustError(
                f"{of} is signed by a stranger: {self.signer}"
                + (f"; what counts is {counts}" if known else ", and nothing says that it counts"),
                hint="if that key is to count, name its public half: SAKE_TRUST_KEYS=FILE, or keys "
                "under [trust] in sake.toml",
            )
        from securesystemslib.dsse import Envelope as Dsse
        from securesystemslib.exceptions import Error

        try:
            # A copy: securesystemslib changes what it reads.
            envelope = Dsse.from_dict(self.model_dump(mode="json"))
            accepted = envelope.verify(list(known.values()), threshold=1)
        except (Error, ValueError) as error:
            raise TrustError(
                f"{of}: its signature is forged: {self.signer} did not sign what it says",
                hint="use none of it, and find out who put it there",
            ) from error
        if envelope.payload_type != kind:
            raise TrustError(
                f"{of}: its signature is of something else ({envelope.payload_type:.100})",
                hint="sign it: sake sign",
            )
        key = next(iter(accepted))
        return envelope.payload, f"the key {names[key]} ({key[:SHOWN]})"


@dataclass(frozen=True)
class KeySigner:
    """Signs with a private key."""

    key: CryptoSigner

    def sign(self, payload: bytes, kind: str) -> dict[str, Any]:
        """A signed DSSE envelope as JSON."""
        from securesystemslib.dsse import Envelope as Dsse

        envelope = Dsse(payload, kind, {})
        envelope.sign(self.key)
        return dict(envelope.to_dict())


def read_signer(path: Path | None, environ: Mapping[str, str] = os.environ) -> KeySigner:
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
            hint=f"name a private key: --key FILE, or {KEY_VARIABLE} with the PEM in it; or sign "
            "as who you are, without one: --keyless",
        )
    with importing("signatures", "sign"):
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from securesystemslib.signer import CryptoSigner
    password = environ.get(PASSWORD_VARIABLE, "").encode() or None
    try:
        return KeySigner(CryptoSigner(load_pem_private_key(pem, password)))
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
    with importing("signatures", "sign"):
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
