"""Signatures with a key for which an authority gave a certificate (X.509).

It is a DSSE envelope with the certificate, and those between it and the authority's own, in its
field `certificates`. A policy names who may sign and the authorities that vouch for that, so that a
key can be replaced without telling any loader.

Guarantees:
- Nothing of what is signed is looked at before the certificate is verified: by one of the
  authorities that are named for who it names, for signing code, and valid now. A time that nobody
  proves counts for nothing, so a signature holds as long as its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from sake_registry.errors import InputError, TrustError, importing
from sake_registry.files import read_bounded
from sake_registry.remote.dsse import Envelope

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import Certificate
    from cryptography.x509.verification import ExtensionPolicy

    from sake_registry.remote.dsse import KeySigner
    from sake_registry.settings import Identity

MAX_BYTES = 1 << 18
"""Of a file of certificates."""
MAX_CHAIN = 8
FIELD = "certificates"


@dataclass(frozen=True)
class Certified:
    """Who may sign by a certificate, and the authorities that vouch for that."""

    identity: Identity
    authorities: tuple[Certificate, ...]


@dataclass(frozen=True)
class CertifiedEnvelope:
    """An envelope and the certificates that came with it, not yet verified."""

    envelope: Envelope
    chain: tuple[Certificate, ...]

    @classmethod
    def of(cls, value: Mapping[str, Any], of: str) -> Self:
        """An envelope with certificates from its JSON.

        Args:
            of: what it is the signature of, for messages.

        Raises:
            TrustError: it is none.
            MissingExtraError: the extra `sign` is not installed.
        """
        envelope = Envelope.of({name: value[name] for name in value if name != FIELD}, of)
        texts = value[FIELD]
        with importing("signatures", "sign"):
            from cryptography.x509 import InvalidVersion, load_pem_x509_certificate
        try:
            if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_CHAIN:
                raise ValueError("some certificates are expected")
            pems = [str(text)[:MAX_BYTES].encode() for text in texts]
            return cls(envelope, tuple(map(load_pem_x509_certificate, pems)))
        except (ValueError, InvalidVersion) as error:
            raise TrustError(
                f"{of}: its signature is not one with certificates", hint="sign it: sake sign"
            ) from error

    @property
    def signer(self) -> str:
        """Who is said to have signed, in words; nothing is verified."""
        return f"the certificate of {' and '.join(names(self.chain[0]))[:200] or 'nobody'}"

    @property
    def signed_by(self) -> dict[str, str]:
        """The same, for programs."""
        return {**self.envelope.signed_by, "identity": " ".join(names(self.chain[0]))}

    def unverified(self) -> bytes:
        """What it holds, whoever signed it.

        Raises:
            ValueError: it is not base64.
        """
        return self.envelope.unverified()

    def opened(self, kind: str, certified: tuple[Certified, ...], of: str) -> tuple[bytes, str]:
        """What is signed, and who signed it, in words.

        Args:
            kind: what it must be: `dsse.STATEMENT` or `dsse.POINTER`.
            certified: those who count.
            of: what it is the signature of, for messages.

        Raises:
            TrustError: a stranger signed it, or it was changed since, or no authority that counts
                vouches for who signed it, or not any more, or it is of another kind.
        """
        from securesystemslib.signer import SSlibKey

        leaf = self.chain[0]
        found = names(leaf)
        counting = [one for one in certified if one.identity.identity in found]
        if not counting:
            counts = ", ".join(one.identity.identity for one in certified)
            raise TrustError(
                f"{of} is signed by a stranger: {self.signer}"
                + (f"; what counts is {counts}" if counts else ", and nothing says that it counts"),
                hint="if that name is to count, name it with its authority: "
                "SAKE_TRUST_IDENTITIES='NAME CA.pem', or identities under [trust] in sake.toml",
            )
        self._check_time(leaf, of)
        until = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        name = self._vouched(counting, of).identity.identity
        who = f"{name} (by a certificate that holds until {until})"
        key = SSlibKey.from_crypto(leaf.public_key(), self.envelope.signers[0])
        return self.envelope.opened(kind, {who: key}, of)[0], who

    def _check_time(self, leaf: Certificate, of: str) -> None:
        now = datetime.now(UTC)
        if leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            return
        when = (
            f"has expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M}"
            if now > leaf.not_valid_after_utc
            else f"begins at {leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
        )
        raise TrustError(
            f"{of}: {self.signer}, with which it is signed, {when} UTC",
            hint="sign it again, with a certificate that is valid: sake sign",
        )

    def _vouched(self, counting: list[Certified], of: str) -> Certified:
        """The first of those whose authorities vouch for who signed."""
        from cryptography import x509
        from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

        ca, leaf = _extension_policies()
        why: Exception | None = None
        for one in counting:
            builder = PolicyBuilder().store(Store(list(one.authorities)))
            verifier = builder.extension_policies(ca_policy=ca, ee_policy=leaf)
            try:
                verifier.build_client_verifier().verify(self.chain[0], list(self.chain[1:]))
            except (VerificationError, x509.UnsupportedGeneralNameType, ValueError) as error:
                why = error
            else:
                return one
        raise TrustError(
            f"{of}: no authority that counts vouches for {self.signer} ({why!s:.200})",
            hint="it is to be for signing code, and to come from the authority that the policy "
            "names, with all certificates between them",
        ) from why


def _extension_policies() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """What the certificates of an authority have to say, and that of who signs: as on the web, but
    for signing code, so that no server's certificate signs bundles."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

    def for_code(_: Policy, __: Certificate, usage: x509.ExtendedKeyUsage) -> None:
        if x509.oid.ExtendedKeyUsageOID.CODE_SIGNING not in usage:
            raise ValueError("it is not for signing code")

    ca = ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None
    )
    leaf = ExtensionPolicy.webpki_defaults_ee().require_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, for_code
    )
    return ca, leaf


def names(certificate: Certificate) -> tuple[str, ...]:
    """Whom a certificate names: e-mail addresses, URIs and domains."""
    from cryptography import x509

    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
    found = [name for kind in kinds for name in said.get_values_for_type(kind)]
    return tuple(name for name in found if name.isprintable())


def read_certified(identity: Identity, path: Path) -> Certified:
    """Who may sign by a certificate of the authorities in a file.

    Raises:
        InputError: it holds no certificates.
        MissingExtraError: the extra `sign` is not installed.
    """
    return Certified(identity, _read(path))


@dataclass(frozen=True)
class CertifiedSigner:
    """Signs with a private key, and hands its certificate along."""

    key: KeySigner
    chain: tuple[Certificate, ...]

    def sign(self, payload: bytes, kind: str) -> dict[str, Any]:
        """A signed DSSE envelope with certificates as JSON."""
        from cryptography.hazmat.primitives.serialization import Encoding

        texts = [one.public_bytes(Encoding.PEM).decode() for one in self.chain]
        return {**self.key.sign(payload, kind), FIELD: texts}


def certified_signer(key: KeySigner, path: Path) -> CertifiedSigner:
    """Who signs with a key and its certificate.

    Args:
        path: PEM, the certificate first, then those between it and the authority's own.

    Raises:
        InputError: it holds no certificates, the first is not of the key, or names nobody.
    """
    from securesystemslib.signer import SSlibKey

    chain = _read(path)
    if SSlibKey.from_crypto(chain[0].public_key()).keyid != key.key.public_key.keyid:
        raise InputError(
            f"{path}: its first certificate is not of the key that signs",
            hint="name the certificate of that key, then those between it and the authority's",
        )
    if not names(chain[0]):
        raise InputError(
            f"{path}: its first certificate names nobody",
            hint="it is to have a subject alternative name: an e-mail address, a URI or a domain",
        )
    return CertifiedSigner(key, chain)


def _read(path: Path) -> tuple[Certificate, ...]:
    with importing("signatures", "sign"):
        from cryptography.x509 import InvalidVersion, load_pem_x509_certificates
    try:
        chain = tuple(load_pem_x509_certificates(read_bounded(path, MAX_BYTES)))
    except OSError as error:
        raise InputError(
            f"{path}: the certificates cannot be read: {error.strerror}", hint="name a file of PEM"
        ) from error
    except (ValueError, InvalidVersion) as error:
        raise InputError(f"{path} holds no certificates", hint="it is to be PEM") from error
    return chain
