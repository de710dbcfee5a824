"""Signatures of each form, who makes them, and whose count.

A signature is a DSSE envelope that a key signed (`dsse`), the same with a certificate of the key
(`certificates`), or a Sigstore bundle, which an identity signed without a key that lasts
(`keyless`). Its content tells which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from sake_registry.errors import TrustError
from sake_registry.remote.certificates import (
    FIELD,
    Certified,
    CertifiedEnvelope,
    read_certified,
)
from sake_registry.remote.dsse import MAX_BYTES, Envelope, read_key
from sake_registry.remote.keyless import Identities, SigstoreBundle, read_identities

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from sake_registry.settings import Trusted

MAX_SIGNS = 256
"""Commas and brackets of a signature: more are there to use up memory."""

Signature: TypeAlias = Envelope | CertifiedEnvelope | SigstoreBundle


class Signer(Protocol):
    """Somebody who can sign."""

    def sign(self, payload: bytes, kind: str) -> dict[str, Any]:
        """The signature of a payload of a kind (`dsse.STATEMENT`, `dsse.POINTER`), as JSON."""
        ...


@dataclass(frozen=True)
class Signers:
    """Those whose signatures count: any one of them is enough.

    Attributes:
        keys: public keys, by what they are called.
        certified: who may sign by a certificate.
        identities: who may sign without a key.
    """

    keys: Mapping[str, SSlibKey] = field(default_factory=dict)
    certified: tuple[Certified, ...] = ()
    identities: Identities = field(default_factory=Identities)

    @classmethod
    def of(cls, trusted: Trusted) -> Self:
        """Those whom settings name.

        Raises:
            InputError: a key, a certificate or a trust root cannot be read.
            MissingExtraError: the extra `sign`, or `keyless`, is not installed.
        """
        keys = {str(path): read_key(path) for path in trusted.keys}
        certified = tuple(
            read_certified(one, one.authority) for one in trusted.identities if one.authority
        )
        keyless = tuple(one for one in trusted.identities if one.authority is None)
        return cls(keys, certified, read_identities(keyless, trusted.root))

    def opened(self, signature: Signature, kind: str, of: str) -> tuple[bytes, str]:
        """What is signed, and who signed it, in words. Nothing of it is looked at before.

        Args:
            kind: what it must be: `dsse.STATEMENT` or `dsse.POINTER`.
            of: what it is the signature of, for messages.

        Raises:
            TrustError: a stranger signed it, or it was changed since, or it is of another kind.
        """
        if isinstance(signature, Envelope):
            return signature.opened(kind, self.keys, of)
        if isinstance(signature, CertifiedEnvelope):
            return signature.opened(kind, self.certified, of)
        return signature.opened(kind, self.identities, of)


def read_signature(data: bytes | Mapping[str, Any], of: str) -> Signature:
    """A signature from a file or a field; nothing is verified.

    Args:
        of: what it is the signature of, for messages.

    Raises:
        TrustError: it is none.
    """
    if isinstance(data, Mapping):
        value: Any = data
    else:
        value = None
        if len(data) <= MAX_BYTES and sum(map(data.count, (b",", b"[", b"{"))) <= MAX_SIGNS:
            with suppress(ValueError):
                value = json.loads(data)
    if not isinstance(value, Mapping):
        raise TrustError(
            f"{of}: its signature is neither a DSSE envelope nor a Sigstore bundle",
            hint="sign it again: sake sign",
        )
    if "mediaType" in value:
        return SigstoreBundle.of(value, of)
    return (CertifiedEnvelope if FIELD in value else Envelope).of(value, of)
