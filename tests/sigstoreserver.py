"""An instance of sigstore of the tests' own: a certificate authority as Fulcio, a log of
certificates, a transparency log as Rekor (its first API), all behind one server of this machine.

Written by the services' specifications and not by the library's code, which signs and verifies
against it as against the public one: https://github.com/sigstore/fulcio (`docs/`), RFC 6962 for the
logs, https://github.com/sigstore/rekor (`openapi.yaml`, `types/dsse`),
https://github.com/transparency-dev/formats (`log/`) for checkpoints.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

GITHUB = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/acme/facts/.github/workflows/sake-publish.yml@refs/heads/main"
_FULCIO = "1.3.6.1.4.1.57264.1"
_SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_LIFE = timedelta(minutes=10)
_ECDSA = ec.ECDSA(hashes.SHA256())


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _length(data: bytes, octets: int) -> bytes:
    return len(data).to_bytes(octets, "big") + data


def token(identity: str = WORKFLOW, issuer: str = GITHUB, life: int = 300) -> str:
    """What an issuer says of who somebody is; this instance believes every signature."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": issuer, "sub": identity, "aud": "sigstore", "iat": now, "nbf": now - 1,
        "exp": now + life,
    }  # fmt: skip
    return jwt.encode(claims, "a secret of this length is long enough", algorithm="HS256")


def without_identity(patch: pytest.MonkeyPatch) -> None:
    """Let nobody vouch for this process, wherever it runs."""
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "BUILDKITE", "GITLAB_CI", "CIRCLECI"):
        patch.delenv(name, raising=False)
    patch.setattr("id._internal.oidc.ambient._GCP_PRODUCT_NAME_FILE", "/none")


class Instance:
    """Its keys, and what its services do.

    Attributes:
        url: where they answer, once they do.
        before: how long before now a certificate's ten minutes begin.
        logged: how long after now the log says that it recorded something.
        refuses: the paths that are answered with an error.
    """

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:1"
        self.before, self.logged = timedelta(seconds=1), timedelta()
        self.refuses: set[str] = set()
        self.authority, self.certificates_log, self.log = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        self.leaves = [b"what somebody else signed"]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own authority")])
        now = datetime.now(UTC)
        self.root = (
            x509.CertificateBuilder(name, name, self.authority.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()),
                critical=False,
            )
            .sign(self.authority, hashes.SHA256())
        )

    # -- what a client is told of it ----------------------------------------------------------

    @property
    def trusted_root(self) -> dict[str, Any]:
        """Whom a client trusts, as `trusted_root.json`."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": _b64(_sha256(_spki(key)))},
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log)],
            "ctlogs": [log(self.certificates_log)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "tests"},
                    "uri": self.url,
                    "certChain": {
                        "certificates": [{"rawBytes": _b64(self.root.public_bytes(Encoding.DER))}]
                    },
                    "validFor": since,
                }
            ],
            "timestampAuthorities": [],
        }

    @property
    def config(self) -> dict[str, Any]:
        """The same, and where to sign: a client trust config."""

        def service() -> dict[str, Any]:
            return {
                "url": self.url,
                "majorApiVersion": 1,
                "validFor": {"start": "2020-01-01T00:00:00Z"},
                "operator": "tests",
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root,
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service()],
                "oidcUrls": [],
                "rekorTlogUrls": [service()],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    # -- Fulcio -------------------------------------------------------------------------------

    def certified(self, asked: x509.CertificateSigningRequest, claims: dict[str, Any]) -> list[str]:
        """A certificate for who the claims say, and its chain."""
        assert asked.is_signature_valid
        begin = datetime.now(UTC) - self.before
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + _LIFE)
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims["sub"])]),
                critical=True,
            )
        )
        for number, value in (
            (1, claims["iss"].encode()),
            (8, asn1.encode_der(claims["iss"])),
        ):
            oid = ObjectIdentifier(f"{_FULCIO}.{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        # What the log of certificates signs is the certificate without its own signature in it.
        before = builder.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(begin.timestamp() * 1000).to_bytes(8, "big")
        entry = _sha256(_spki(self.authority)) + _length(before, 3)
        said = self.certificates_log.sign(b"\0\0" + stamp + b"\0\1" + entry + b"\0\0", _ECDSA)
        sct = b"\0" + _sha256(_spki(self.certificates_log)) + stamp + b"\0\0\4\3" + _length(said, 2)
        listed = asn1.encode_der(_length(_length(sct, 2), 2))
        made = builder.add_extension(
            x509.UnrecognizedExtension(_SCTS, listed), critical=False
        ).sign(self.authority, hashes.SHA256())
        return [cert.public_bytes(Encoding.PEM).decode() for cert in (made, self.root)]

    # -- Rekor --------------------------------------------------------------------------------

    def recorded(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """The log's entry of a DSSE envelope, in the log's own words."""
        content = proposed["spec"]["proposedContent"]
        envelope, (verifier,) = json.loads(content["envelope"]), content["verifiers"]
        body = _json({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {
                    "algorithm": "sha256",
                    "value": _sha256(content["envelope"].encode()).hex(),
                },
                "payloadHash": {
                    "algorithm": "sha256",
                    "value": _sha256(base64.b64decode(envelope["payload"])).hex(),
                },
                "signatures": [
                    {"signature": one["sig"], "verifier": verifier}
                    for one in envelope["signatures"]
                ],
            },
        })  # fmt: skip
        self.leaves.append(body)
        index, key = len(self.leaves) - 1, _sha256(_spki(self.log))
        path, root = _proof(self.leaves, index)
        note = f"tests - 1\n{len(self.leaves)}\n{_b64(root)}\n"
        signed = _b64(key[:4] + self.log.sign(note.encode(), _ECDSA))
        promised = {
            "body": _b64(body),
            "integratedTime": int((datetime.now(UTC) + self.logged).timestamp()),
            "logID": key.hex(),
            "logIndex": index,
        }
        verification = {
            "inclusionProof": {
                "logIndex": index,
                "treeSize": len(self.leaves),
                "rootHash": root.hex(),
                "hashes": [one.hex() for one in path],
                "checkpoint": f"{note}\n— tests {signed}\n",
            },
            "signedEntryTimestamp": _b64(self.log.sign(_json(promised), _ECDSA)),
        }
        return {_sha256(b"\0" + body).hex(): {**promised, "verification": verification}}


def usage(**uses: bool) -> x509.KeyUsage:
    none = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
         "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(**none | uses)


def _proof(leaves: list[bytes], index: int) -> tuple[list[bytes], bytes]:
    """The path from a leaf to the tree's root, and the root (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return [], _sha256(b"\0" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        path, one = _proof(left, index)
        two = _proof(right, 0)[1]
        return [*path, two], _sha256(b"\1" + one + two)
    path, two = _proof(right, index - split)
    one = _proof(left, 0)[1]
    return [*path, one], _sha256(b"\1" + one + two)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        instance = self.server.instance
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any
        if self.path in instance.refuses:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if self.path == "/api/v2/signingCert":
            given = self.headers["Authorization"].removeprefix("Bearer ")
            claims = jwt.decode(given, options={"verify_signature": False})
            pem = base64.b64decode(asked["certificateSigningRequest"])
            chain = instance.certified(x509.load_pem_x509_csr(pem), claims)
            answer = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
        elif self.path == "/api/v1/log/entries":
            answer = instance.recorded(asked)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        data = _json(answer)
        self.send_response(HTTPStatus.CREATED)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(("127.0.0.1", 0), _Handler)


@contextmanager
def serving() -> Iterator[Instance]:
    """An instance whose services answer."""
    instance = Instance()
    with _Server(instance) as server:
        instance.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield instance
        server.shutdown()
        thread.join()
