"""Keyless signatures (https://www.sigstore.dev): by who somebody is, without a key that lasts.

Who signs proves an identity to an issuer of OpenID Connect (a CI has one for its jobs). For that a
certificate authority (Fulcio) gives a key that was made a moment ago a certificate of ten minutes,
and a public log (Rekor) records what it signed. What comes out is a Sigstore bundle, JSON that
holds a DSSE envelope, the certificate and the log's word; it is verified without a network.

Guarantees:
- Nothing of what is signed is looked at before it is verified that the certificate comes from an
  authority of the trust root and was valid when the log recorded the signature, and that it names
  an identity that counts, vouched for by its issuer.
- What is signed is an in-toto statement whose predicate type says of what kind it is: one of a
  bundle is none of a pointer, and neither is an attestation that the same identity signs elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sake_registry.errors import InputError, SetupError, TrustError, importing
from sake_registry.files import read_bounded
from sake_registry.remote.dsse import MAX_BYTES, POINTER, STATEMENT, compact
from sake_registry.settings import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
    from sigstore.oidc import IdentityToken
    from sigstore.verify import Verifier

MAX_ROOT_BYTES = 1 << 20
BUNDLE_PREDICATE = "urn:sake-registry:bundle:1"
POINTER_PREDICATE = "urn:sake-registry:pointer:1"
# By the kind of what is signed.
_PREDICATES = {STATEMENT: BUNDLE_PREDICATE, POINTER: POINTER_PREDICATE}
TOKEN_VARIABLE = "SIGSTORE_ID_TOKEN"
"""Has a token of OpenID Connect; other programs of sigstore read it, too."""
ROOT_VARIABLE = "SAKE_TRUST_ROOT"
_PUBLIC = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
"""The folder in which the library brings what is known of the public instance."""
_ROOTS = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_CONFIGS = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


# -- who counts ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """The identities that count; `verifier` knows the trust root, and is None where none counts."""

    listed: tuple[Identity, ...] = ()
    verifier: Verifier | None = None


def read_identities(listed: tuple[Identity, ...], root: Path | None) -> Identities:
    """Those identities, to be verified by a trust root.

    Args:
        root: a file, sigstore's trusted root or a client trust config; what the library brings of
            the public instance if None.

    Raises:
        InputError: it is none.
        MissingExtraError: the extra `keyless` is not installed.
    """
    if not listed:
        return Identities()
    with importing("keyless signatures", "keyless"):
        from sigstore.errors import Error
        from sigstore.models import ClientTrustConfig, TrustedRoot
        from sigstore.verify import Verifier
    if root is None:
        with as_file(files("sigstore._store") / _PUBLIC / "trusted_root.json") as path:
            return Identities(listed, Verifier(trusted_root=TrustedRoot.from_file(str(path))))
    data, kind = _read_root(root)
    try:
        trusted: TrustedRoot
        if kind == _CONFIGS:
            trusted = ClientTrustConfig.from_json(data.decode()).trusted_root
        else:
            trusted = TrustedRoot.from_file(str(root))
        return Identities(listed, Verifier(trusted_root=trusted))
    except (Error, ValueError) as error:
        raise _no_root(root, f": {error}") from error


def _read_root(path: Path) -> tuple[bytes, str]:
    """What a file of a trust root holds, and its media type."""
    try:
        data = read_bounded(path, MAX_ROOT_BYTES)
        kind = json.loads(data)["mediaType"]
    except OSError as error:
        raise InputError(
            f"{path}: the trust root cannot be read: {error.strerror}", hint="name a file of JSON"
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_root(path) from error
    if kind not in (_ROOTS, _CONFIGS):
        raise _no_root(path)
    return data, kind


def _no_root(path: Path, why: str = "") -> InputError:
    return InputError(
        f"{path} is no trust root of sigstore{why}",
        hint="it is to be a trusted root (trusted_root.json) or a client trust config; without "
        f"{ROOT_VARIABLE} it is that of the public instance",
    )


# -- verifying -----------------------------------------------------------------------------------


class _Part(BaseModel):
    """A part of a Sigstore bundle; of what else is in it the library judges."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class _Certificate(_Part):
    raw_bytes: Annotated[str, Field(max_length=1 << 16)]


class _Entry(_Part):
    integrated_time: int = 0
    inclusion_promise: dict[str, Any] | None = None


class _Material(_Part):
    certificate: _Certificate
    tlog_entries: tuple[_Entry, ...] = ()


class _Envelope(_Part):
    payload: Annotated[str, Field(max_length=MAX_BYTES)]


class _Form(_Part):
    media_type: Literal[
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    ]
    verification_material: _Material
    dsse_envelope: _Envelope


@dataclass(frozen=True)
class SigstoreBundle:
    """A Sigstore bundle, not yet verified.

    Attributes:
        value: as JSON; what the library verifies.
        claimed: whom its certificate names.
    """

    value: Mapping[str, Any]
    claimed: Identity
    form: _Form

    @property
    def signer(self) -> str:
        """Who is said to have signed, in words; nothing is verified."""
        return str(self.claimed)

    @property
    def signed_by(self) -> dict[str, str]:
        """The same, for programs."""
        return self.claimed.model_dump()

    @classmethod
    def of(cls, value: Mapping[str, Any], of: str) -> Self:
        """A Sigstore bundle from its JSON.

        Args:
            of: what it is the signature of, for messages.

        Raises:
            TrustError: it is none.
            MissingExtraError: the extra `sign`, or `keyless`, is not installed.
        """
        try:
            form = _Form.model_validate(value)
            der = base64.b64decode(form.verification_material.certificate.raw_bytes)
            return cls(value, _identity(der), form)
        except ValueError as error:
            raise TrustError(
                f"{of}: its signature is not a Sigstore bundle that this version understands",
                hint="sign it again: sake sign",
            ) from error

    def unverified(self) -> bytes:
        """What it holds, whoever signed it.

        Raises:
            ValueError: it is not base64.
        """
        return base64.b64decode(self.form.dsse_envelope.payload)

    def opened(self, kind: str, identities: Identities, of: str) -> tuple[bytes, str]:
        """What is signed, and who signed it, in words.

        Args:
            kind: what it must be: `STATEMENT` or `POINTER`.
            identities: those that count.
            of: what it is the signature of, for messages.

        Raises:
            TrustError: a stranger signed it, or it was changed since, or its certificate or the
                log's entry does not hold, or it is of another kind.
        """
        if self.claimed not in identities.listed or identities.verifier is None:
            raise _stranger(self.claimed, identities.listed, of)
        bundle, found, payload = self._verified(identities.verifier, of)
        statement = _object(payload)
        said = statement.get("predicateType", found)
        if found != STATEMENT or said != _PREDICATES[kind]:
            raise TrustError(
                f"{of}: its signature is of something else ({said!s:.100})",
                hint="sign it: sake sign",
            )
        time = _recorded(bundle)
        when = f", recorded at {time:%Y-%m-%d %H:%M} UTC" if time else ""
        who = f"{self.claimed.identity} (by {self.claimed.issuer}{when})"
        return (payload if kind == STATEMENT else compact(statement.get("predicate"))), who

    def _verified(self, verifier: Verifier, of: str) -> tuple[Bundle, str, bytes]:
        from sigstore.models import Bundle
        from sigstore.verify import policy

        who = policy.AllOf(
            [
                policy.Identity(identity=self.claimed.identity),
                policy.OIDCIssuerV2(self.claimed.issuer),
            ]
        )
        try:
            bundle = Bundle.from_json(json.dumps(self.value))
            return bundle, *verifier.verify_dsse(bundle, who)
        # The library reads what strangers send, and its errors have no common class: whatever it
        # stumbles over, nothing is proven.
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise TrustError(
                f"{of}: {_reason(error)} ({said:.200})",
                hint=f"use none of it, and find out who put it there; {ROOT_VARIABLE}=FILE names "
                "the trust root of another instance of sigstore",
            ) from error


def _recorded(bundle: Bundle) -> datetime | None:
    """When what was verified was recorded; None where one of several times would be meant."""
    # As the library has read it, whatever else the text may say.
    [entry] = _Form.model_validate_json(bundle.to_json()).verification_material.tlog_entries
    # Without the log's promise nobody has signed this time.
    if entry.integrated_time and entry.inclusion_promise:
        return datetime.fromtimestamp(entry.integrated_time, UTC)
    stamped = bundle.verification_material.timestamp_verification_data
    times = [stamp.tst_info.gen_time for stamp in stamped.rfc3161_timestamps] if stamped else []
    return times[0].astimezone(UTC) if len(times) == 1 else None


def _object(payload: bytes) -> dict[str, Any]:
    """The JSON object that a payload is; empty if it is something else."""
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _identity(der: bytes) -> Identity:
    """Whom a certificate names.

    Raises:
        ValueError: it is no certificate, or names nobody, or several.
    """
    with importing("keyless signatures", "keyless"):
        from cryptography import x509
        from cryptography.hazmat import asn1
        from cryptography.x509.oid import ObjectIdentifier

    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        issuer = extensions.get_extension_for_oid(ObjectIdentifier("1.3.6.1.4.1.57264.1.8")).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise ValueError(str(error)) from error
    [name] = [
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *names.get_values_for_type(x509.RFC822Name),
    ]
    assert isinstance(issuer, x509.UnrecognizedExtension)
    return Identity(identity=name, issuer=asn1.decode_der(str, issuer.value))


def _stranger(claimed: Identity, listed: tuple[Identity, ...], of: str) -> TrustError:
    issuers = [one.issuer for one in listed if one.identity == claimed.identity]
    if issuers:
        return TrustError(
            f"{of} is signed by a stranger: {claimed.issuer} vouches for {claimed.identity}; what "
            f"counts is the word of {', '.join(issuers)}",
            hint="use none of it, and find out who put it there",
        )
    counts = "; ".join(one.identity for one in listed)
    return TrustError(
        f"{of} is signed by a stranger: {claimed}"
        + (f"; what counts is {counts}" if counts else ", and nothing says that it counts"),
        hint="if that identity is to count, name it: SAKE_TRUST_IDENTITIES='IDENTITY ISSUER', or "
        "identities under [trust] in sake.toml",
    )


def _reason(error: Exception) -> str:
    """What the library's error means for a signature."""
    from sigstore.errors import CertValidationError
    from sigstore.models import InvalidBundle

    if isinstance(error, InvalidBundle):
        return "its signature is not a sound Sigstore bundle"
    if isinstance(error, CertValidationError):
        return (
            "its certificate is of no authority in the trust root, or was not valid when the log "
            "recorded the signature"
        )
    for said, reason in (
        ("invalid log entry", "no log in the trust root has recorded it"),
        ("failed to verify SCT", "no log in the trust root has recorded its certificate"),
        ("not enough sources of verified time", "nothing proves when it was signed"),
    ):
        if str(error).startswith(said):
            return reason
    return "its signature is forged: it is not of what it says"


# -- signing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeylessSigner:
    """Signs as who its process is."""

    config: ClientTrustConfig

    def sign(self, payload: bytes, kind: str) -> dict[str, Any]:
        """A Sigstore bundle as JSON. A pointer is made the predicate of an in-toto statement.

        Raises:
            InputError: there is no identity any more.
            SetupError: the certificate authority or the log does not answer, or refuses.
        """
        from sigstore.dsse import Statement
        from sigstore.sign import SigningContext

        if kind == POINTER:
            payload = _pointer_statement(payload)
        # Late: a token and its certificate hold for some minutes.
        token = read_token()
        try:
            with SigningContext.from_trust_config(self.config).signer(token) as signer:
                signed = signer.sign_dsse(Statement(payload)).to_json()
        except Exception as error:  # the errors of its clients have no common class
            why = str(error) or str(error.__cause__ or type(error).__name__)
            raise SetupError(
                f"nothing was signed: sigstore's services refused or cannot be reached: {why:.300}",
                hint=f"try again; {ROOT_VARIABLE}=FILE names another instance of sigstore",
            ) from error
        return dict(json.loads(signed))


def _pointer_statement(payload: bytes) -> bytes:
    said = json.loads(payload)
    return compact(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                {
                    "name": f"{said['name']}.json",
                    "digest": {"sha256": hashlib.sha256(payload).hexdigest()},
                }
            ],
            "predicateType": POINTER_PREDICATE,
            "predicate": said,
        }
    )


def keyless_signer(root: Path | None, environ: Mapping[str, str] = os.environ) -> KeylessSigner:
    """Who signs without a key.

    Args:
        root: a client trust config that names the services; the public instance's, which is looked
            up there, if None.

    Raises:
        InputError: there is no identity to sign with, or no such config.
        SetupError: the public instance cannot be reached.
        MissingExtraError: the extra `keyless` is not installed.
    """
    with importing("keyless signatures", "keyless"):
        from sigstore.errors import Error
        from sigstore.models import ClientTrustConfig
    read_token(environ)
    if root is None:
        try:
            return KeylessSigner(ClientTrustConfig.production())
        except (Error, OSError) as error:
            raise SetupError(
                f"sigstore's public instance cannot be reached: {error}",
                hint=f"{ROOT_VARIABLE}=FILE names another instance, by its client trust config",
            ) from error
    data, kind = _read_root(root)
    if kind != _CONFIGS:
        raise InputError(
            f"{root} says whom to trust, and not which services sign",
            hint="name a client trust config: it has both",
        )
    try:
        return KeylessSigner(ClientTrustConfig.from_json(data.decode()))
    except (Error, ValueError) as error:
        raise _no_root(root, f": {error}") from error


def read_token(environ: Mapping[str, str] = os.environ) -> IdentityToken:
    """The identity of this process: what SIGSTORE_ID_TOKEN holds, or what the CI vouches for.

    Raises:
        InputError: there is none, or it does not hold.
    """
    from sigstore.oidc import IdentityError, IdentityToken, detect_credential

    try:
        token = environ.get(TOKEN_VARIABLE) or detect_credential()
        if token:
            return IdentityToken(token)
        why = ""
    except IdentityError as error:
        why = f": {error}"
    raise InputError(
        f"there is no identity to sign with{why}",
        hint="in GitHub's CI the job needs `permissions: id-token: write`; elsewhere "
        f"{TOKEN_VARIABLE} has a token for the audience sigstore: `python -m sigstore "
        "get-identity-token` asks a person for one",
    )
