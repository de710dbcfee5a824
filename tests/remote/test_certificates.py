"""Signatures by certificate: authorities of the tests' own, and the real verifier."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sake_registry import trusted_bundle
from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import InputError, TrustError
from sake_registry.remote.certificates import certified_signer
from sake_registry.remote.dsse import STATEMENT, read_signer
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.pointer import Pointer
from sake_registry.remote.signers import Signers, read_signature
from sake_registry.remote.signing import SUFFIX, sign_bundle, sign_pointer
from sake_registry.remote.trust import Policy
from sake_registry.remote.verifying import verify
from sake_registry.settings import Identity, Trusted
from tests.bundle.synthetic import write
from tests.sigstoreserver import usage

NAME = "release@acme.example"
NOW = datetime.now(UTC)
Key = ec.EllipticCurvePrivateKey


class Authority:
    """What gives certificates: a root, or one that a root certifies."""

    def __init__(self, name: str, above: Authority | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        by = above or self
        self.certificate = (
            self._begun(self.name, by, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(by.key, hashes.SHA256())
        )
        self.chain = [] if above is None else [self.certificate, *above.chain]

    def certify(
        self,
        key: Key,
        name: str | None = NAME,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        days: tuple[int, int] = (-1, 30),
    ) -> list[x509.Certificate]:
        """A certificate, and those above it but the root's."""
        builder = self._begun(x509.Name([]), self, key, days).add_extension(
            x509.ExtendedKeyUsage([purpose]), critical=False
        )
        if name:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=True
            )
        return [builder.sign(self.key, hashes.SHA256()), *self.chain]

    @staticmethod
    def _begun(
        name: x509.Name, by: Authority, key: Key, days: tuple[int, int] = (-2, 300)
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(by.name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=days[0]))
            .not_valid_after(NOW + timedelta(days=days[1]))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )


def pem(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


ROOT = Authority("acme")
ISSUING = Authority("acme's own", ROOT)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write(tmp_path / "b.h5")
    return tmp_path / "b.h5"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """A key, which is `k.pem`, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k.pem").write_bytes(text)
    return key


@pytest.fixture
def sign(bundle: Path, tmp_path: Path) -> Callable[[list[x509.Certificate]], bytes]:
    def signed(chain: list[x509.Certificate]) -> bytes:
        (tmp_path / "chain.pem").write_bytes(pem(chain))
        signer = certified_signer(read_signer(tmp_path / "k.pem"), tmp_path / "chain.pem")
        signature = sign_bundle(bundle, signer)
        bundle.with_name(bundle.name + SUFFIX).write_bytes(signature)
        return signature

    return signed


def who(folder: Path, *authorities: Authority, name: str = NAME) -> Signers:
    path = folder / "ca.pem"
    path.write_bytes(pem([one.certificate for one in authorities or (ROOT,)]))
    return Signers.of(Trusted(identities=(Identity(identity=name, issuer=str(path)),)))


def test_what_a_certified_key_signed_is_used(
    bundle: Path, key: Key, sign: Any, tmp_path: Path
) -> None:
    signers = who(tmp_path)
    for authority in (ISSUING, ROOT):
        sign(authority.certify(key))
        policy = Policy("require", signers)
        assert fetch_bundle(Pointer(bundle=str(bundle)), policy=policy) == bundle
    assert trusted_bundle(bundle, identities=[(NAME, str(tmp_path / "ca.pem"))]) == bundle
    # Another key of the same name: nobody has to be told.
    other = ec.generate_private_key(ec.SECP256R1())
    text = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k.pem").write_bytes(text)
    sign(ISSUING.certify(other))
    verdict = verify(str(bundle), signers)
    assert f"{NAME} (by a certificate that holds until " in verdict.proven[1]
    assert verdict.proven[1].endswith(") signed this very file")


def test_each_refusal_says_why(bundle: Path, key: Key, sign: Any, tmp_path: Path) -> None:
    def refused(why: str, signers: Signers | None = None) -> None:
        policy = Policy("require", signers or who(tmp_path))
        with pytest.raises(TrustError, match=why):
            fetch_bundle(Pointer(bundle=str(bundle)), policy=policy)

    chain = ISSUING.certify(key)
    sign(chain)
    refused(f"by a stranger: the certificate of {NAME}; what counts is me@", who(
        tmp_path, name="me@acme.example"))  # fmt: skip
    refused(f"a stranger: the certificate of {NAME}, and nothing says that it counts", Signers())
    refused(f"no authority that counts vouches for the certificate of {NAME}",
            who(tmp_path, Authority("acme")))  # fmt: skip
    sign(chain[:1])
    refused("no authority that counts vouches for")
    sign(ISSUING.certify(key, days=(-9, -1)))
    refused(f"the certificate of {NAME}, with which it is signed, has expired at")
    sign(ISSUING.certify(key, days=(1, 9)))
    refused("with which it is signed, begins at")
    sign(ISSUING.certify(key, purpose=ExtendedKeyUsageOID.CLIENT_AUTH))
    refused("no authority that counts vouches for .* not for signing code")
    # An authority's own certificate that somebody uses to sign, and one that is no authority.
    leaf = Authority("no authority")
    leaf.key, leaf.chain = key, chain
    leaf.name = chain[0].subject
    sign(leaf.certify(key))
    refused("no authority that counts vouches for")

    place = bundle.with_name(bundle.name + SUFFIX)
    value = json.loads(sign(chain))
    stranger = ec.generate_private_key(ec.SECP256R1())
    other = [one.public_bytes(Encoding.PEM).decode() for one in ISSUING.certify(stranger)]
    place.write_text(json.dumps(value | {"certificates": other}))
    refused("its signature is forged")
    place.write_text(json.dumps(value | {"payload": value["payload"][:-8] + "AAAAAAA="}))
    refused("its signature is forged")
    odd: list[Any] = [None, [], [1], "", ["x"], value["certificates"] * 9, {}]
    for wrong in odd:
        place.write_text(json.dumps(value | {"certificates": wrong}))
        refused("its signature is not one with certificates")
    # Without its certificate it is a key's that nobody names.
    del value["certificates"]
    place.write_text(json.dumps(value))
    refused("by a stranger: the key")


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_changed_byte_of_a_certificate_passes(key: Key, sign: Any, tmp_path: Path) -> None:
    """But the one before its signature, which says how many of the last bits are none."""
    signers, chain = who(tmp_path), ISSUING.certify(key)
    value = json.loads(sign(chain))
    der = chain[0].public_bytes(Encoding.DER)
    padding = der.index(chain[0].signature) - 1
    for i in {*range(len(der))} - {padding}:
        text = base64.encodebytes(der[:i] + bytes([der[i] ^ 1]) + der[i + 1 :]).decode()
        value["certificates"][0] = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        with pytest.raises(TrustError):
            signers.opened(read_signature(value, "it"), STATEMENT, "it")


def test_a_pointer_is_signed_by_certificate(bundle: Path, key: Key, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(pem(ISSUING.certify(key)))
    signer = certified_signer(read_signer(tmp_path / "k.pem"), tmp_path / "chain.pem")
    content = read_manifest(bundle).content_hash
    pointer = Pointer(bundle="b.h5", content=content, name="live", number=1)
    pointer = pointer.model_copy(update={"signature": sign_pointer(pointer, signer)})
    bundle.with_name(bundle.name + SUFFIX).write_bytes(sign_bundle(bundle, signer))
    (tmp_path / "live.json").write_text(pointer.text)
    assert verify(str(tmp_path / "live.json"), who(tmp_path)).wrong == ()
    of_pointer = json.dumps(pointer.signature).encode()
    bundle.with_name(bundle.name + SUFFIX).write_bytes(of_pointer)
    [wrong] = verify(str(tmp_path / "live.json"), who(tmp_path)).wrong
    assert "its signature is of something else" in wrong


def test_what_cannot_sign(key: Key, tmp_path: Path) -> None:
    signer, path = read_signer(tmp_path / "k.pem"), tmp_path / "chain.pem"
    for chain, why in (
        (ISSUING.certify(ec.generate_private_key(ec.SECP256R1())), "is not of the key that signs"),
        (ISSUING.certify(key, name=None), "its first certificate names nobody"),
        ([], "holds no certificates"),
    ):
        path.write_bytes(pem(chain))
        with pytest.raises(InputError, match=why):
            certified_signer(signer, path)
    with pytest.raises(InputError, match="the certificates cannot be read"):
        certified_signer(signer, tmp_path / "none.pem")
