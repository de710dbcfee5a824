"""Signatures and the policy on them: real ones, made offline with keys of each kind."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sake_registry import trusted_bundle
from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import InputError, SakeError, SetupError, TrustError
from sake_registry.places import download
from sake_registry.remote.dsse import read_key, read_signer
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.following import Follower
from sake_registry.remote.pointer import Pointer
from sake_registry.remote.signers import Signers
from sake_registry.remote.signing import (
    SUFFIX,
    ClaimedGate,
    ClaimedReview,
    sign_bundle,
    sign_pointer,
)
from sake_registry.remote.trust import Policy
from sake_registry.remote.verifying import verify
from tests.bundle.synthetic import EDITS, forge, hash_of, write
from tests.remote.conftest import Remote

NEVER = 3600.0
KINDS: dict[str, Callable[[], Any]] = {
    "release": ed25519.Ed25519PrivateKey.generate,
    "second": partial(ec.generate_private_key, ec.SECP256R1()),
    "stranger": ed25519.Ed25519PrivateKey.generate,
}
REVIEW = ClaimedReview(
    base="b" * 40,
    head="c" * 40,
    model=hash_of("a"),
    gates=(
        ClaimedGate(name="errors", state="passed"),
        ClaimedGate(name="min_holdout", state="failed"),
    ),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys: `NAME.pem` and `NAME.pub`."""
    folder = tmp_path_factory.mktemp("keys")
    for name, make in KINDS.items():
        key = make()
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pem").write_bytes(pkcs8)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Bundles and their signatures by name: `one.h5`, `two.h5` of other edits, `other-model.h5`,
    `again.h5` with the content of `one.h5` in another file."""
    folder = tmp_path_factory.mktemp("signed")

    def other_model(_: Any, manifest: dict[str, Any]) -> None:
        manifest["model"] |= {"name": "giant", "hash": hash_of("d")}

    write(folder / "one.h5", provenance={"commit": "c" * 40, "reviewers": {"bob": ("Ann",)}})
    write(folder / "two.h5", EDITS[1:])
    write(folder / "again.h5", provenance={"commit": "e" * 40})
    forge(folder / "one.h5", folder / "other-model.h5", other_model)
    files = {}
    for path in sorted(folder.glob("*.h5")):
        files[path.name] = path.read_bytes()
        files[path.name + SUFFIX] = sign_bundle(path, read_signer(keys / "release.pem"))
    return files


@pytest.fixture
def policy(keys: Path) -> Policy:
    named = {name: read_key(keys / name) for name in ("release.pub", "second.pub")}
    return Policy("require", Signers(named))


@pytest.fixture
def store(anywhere: Remote, signed: dict[str, bytes]) -> Remote:
    """Somewhere, with all of them."""
    for name, data in signed.items():
        anywhere.put(name, data)
    return anywhere


def fetched(place: str, policy: Policy) -> Path:
    return fetch_bundle(Pointer(bundle=place), policy=policy)


def test_what_was_signed_is_used(store: Remote, policy: Policy, signed: dict[str, bytes]) -> None:
    assert fetched(store / "one.h5", policy).read_bytes() == signed["one.h5"]


def test_each_refusal_says_why(
    store: Remote, policy: Policy, signed: dict[str, bytes], keys: Path, tmp_path: Path
) -> None:
    def refused(bundle: bytes, signature: bytes | None, why: str) -> None:
        store.put("b.h5", bundle)
        store.drop(f"b.h5{SUFFIX}")
        if signature is not None:
            store.put(f"b.h5{SUFFIX}", signature)
        with pytest.raises(TrustError, match=why):
            fetched(store / "b.h5", policy)

    one, signature = signed["one.h5"], signed[f"one.h5{SUFFIX}"]
    refused(one, None, r"b\.h5 is not signed: there is no .*b\.h5\.sig\.json")
    refused(signed["again.h5"], signature, "is not the file that was signed: its SHA-256 is")
    refused(one, signed[f"two.h5{SUFFIX}"], r"b\.h5: its signature is of another bundle")
    refused(
        one, signed[f"other-model.h5{SUFFIX}"],
        r"signed for another model: .* for giant \(dddddddddddd\), and this one is for tiny",
    )  # fmt: skip
    (tmp_path / "one.h5").write_bytes(one)
    by_stranger = sign_bundle(tmp_path / "one.h5", read_signer(keys / "stranger.pem"))
    refused(one, by_stranger, "is signed by a stranger: the key [0-9a-f]{12}; what counts is")

    envelope = json.loads(signature)
    payload = base64.b64decode(envelope["payload"])
    forged = {**envelope, "payload": base64.b64encode(payload.replace(b'"bob"', b'"eve"')).decode()}
    refused(one, json.dumps(forged).encode(), "its signature is forged")
    # The stranger's signature under the trusted key's name.
    stolen = json.loads(by_stranger)
    stolen["signatures"][0]["keyid"] = envelope["signatures"][0]["keyid"]
    refused(one, json.dumps(stolen).encode(), "its signature is forged")
    for data in (b"", b"[]", b"{" * 9999, signature[:-9], b"[" + b"[]," * 999):
        refused(one, data, "its signature is neither a DSSE envelope nor a Sigstore bundle")
    refused(one, b'{"payload": 1}', "its signature is not a DSSE envelope")
    refused(one, b'{"mediaType": 1}', "its signature is not a Sigstore bundle that this version")
    pointer = Pointer(bundle="b.h5", content=hash_of("a"), name="b", number=1)
    of_pointer = sign_pointer(pointer, read_signer(keys / "release.pem"))
    refused(one, json.dumps(of_pointer).encode(), "its signature is of something else")

    # A flipped byte is found before any signature is looked at.
    store.put("b.h5", one[:5000] + bytes([one[5000] ^ 1]) + one[5001:])
    store.put(f"b.h5{SUFFIX}", signature)
    with pytest.raises(InputError, match=r"b\.h5"):
        fetched(store / "b.h5", policy)


def test_a_signature_that_cannot_be_reached_is_not_taken_for_none(
    http: Remote, signed: dict[str, bytes], policy: Policy
) -> None:
    assert http.server is not None
    http.put("one.h5", signed["one.h5"])
    http.server.failing[f"/one.h5{SUFFIX}"] = HTTPStatus.FORBIDDEN
    with pytest.raises(SetupError, match="cannot be reached"):
        fetched(http / "one.h5", policy)


def test_a_policy_may_only_warn_or_not_look(
    file: Remote, signed: dict[str, bytes], policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    file.put("one.h5", signed["one.h5"])
    with caplog.at_level(logging.WARNING):
        assert fetched(file / "one.h5", Policy()).name == "one.h5"
        assert caplog.messages == []
        assert fetched(file / "one.h5", Policy("warn", policy.signers)).name == "one.h5"
        file.put(f"one.h5{SUFFIX}", signed[f"again.h5{SUFFIX}"])
        assert fetched(file / "one.h5", Policy("warn", policy.signers)).name == "one.h5"
    first, second = caplog.messages
    assert "one.h5 is not signed" in first
    assert "one.h5 is not the file that was signed" in second


def test_whatever_does_not_say_otherwise_asks_what_the_machine_asks(
    file: Remote, signed: dict[str, bytes], keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.put("one.h5", signed["one.h5"])
    assert trusted_bundle(file / "one.h5") == Path(file / "one.h5")
    monkeypatch.setenv("SAKE_TRUST", "require")
    monkeypatch.setenv("SAKE_TRUST_KEYS", f"{keys / 'second.pub'},{keys / 'release.pub'}")
    with pytest.raises(TrustError, match="is not signed"):
        trusted_bundle(file / "one.h5")
    with pytest.raises(TrustError, match="is not signed"):
        Follower(file / "one.h5", lambda path: path, NEVER)
    file.put(f"one.h5{SUFFIX}", signed[f"one.h5{SUFFIX}"])
    assert trusted_bundle(file / "one.h5") == Path(file / "one.h5")
    with pytest.raises(TrustError, match="by a stranger"):
        trusted_bundle(file / "one.h5", keys=[keys / "stranger.pub"])


# -- pointers ------------------------------------------------------------------------------------


@pytest.fixture
def put(store: Remote, signed: dict[str, bytes], keys: Path, tmp_path: Path) -> Callable[..., Any]:
    """Writes a signed pointer `live.json`; what `then` changes is changed behind the signature."""
    (tmp_path / "one.h5").write_bytes(signed["one.h5"])
    content = read_manifest(tmp_path / "one.h5").content_hash

    def write_it(
        number: int = 1, then: dict[str, Any] | None = None, by: str = "release", **said: Any
    ) -> None:
        pointer = Pointer(
            **{"bundle": "one.h5", "content": content, "name": "live", "number": number, **said}
        )
        signature = sign_pointer(pointer, read_signer(keys / f"{by}.pem"))
        signed = pointer.model_copy(update={"signature": signature, **(then or {})})
        store.put("live.json", signed.text.encode())

    return write_it


def test_a_signed_pointer_is_followed_and_another_changes_nothing(
    store: Remote, put: Callable[..., Any], policy: Policy
) -> None:
    put()
    with Follower(
        store / "live.json", lambda path: path, NEVER, policy=policy, pause=0
    ) as follower:

        def refused(why: str) -> None:
            follower.look_at_pointer()
            assert why in (follower.problem or "")
            assert (follower.generation, follower.now.pointer.number) == (generation, number)

        put(2, by="second")
        follower.look_at_pointer()
        generation, number = follower.generation, 2
        assert (generation, follower.problem) == (2, None)
        put(3, by="stranger")
        refused("live.json is signed by a stranger")
        put(3, then={"signature": None})
        refused("live.json is not signed")
        put(3, then={"number": 4, "note": "hotfix"})
        refused("live.json was changed after it had been signed: note, number")
        put(1)
        refused("has the number 1, and number 2 was followed before")
        put(3, expires=datetime.now(UTC) - timedelta(seconds=1))
        refused("the pointer 'live' expired at")
        # Where a bundle lies is not signed, and its content is.
        put(3, then={"bundle": "two.h5"})
        refused("two.h5: its content is")
        store.drop(f"one.h5{SUFFIX}")
        put(3)
        refused("one.h5 is not signed")


def test_a_pointer_that_would_pass_for_another_is_not_signed(keys: Path, put: Any) -> None:
    for lacking in ("content", "name", "number"):
        with pytest.raises(InputError, match=f"a pointer without {lacking} would pass for another"):
            put(**{lacking: None})


# -- what is proven, in words --------------------------------------------------------------------


def test_the_verdict_says_what_is_proven_and_what_is_not(
    store: Remote, put: Callable[..., Any], keys: Path, tmp_path: Path
) -> None:
    named = Signers({"release.pub": read_key(keys / "release.pub")})
    if "//" in store.url:
        download(store / "one.h5", tmp_path / "one.h5", 1 << 30)
    signature = sign_bundle(tmp_path / "one.h5", read_signer(keys / "release.pem"), review=REVIEW)
    store.put(f"one.h5{SUFFIX}", signature)
    put(7, expires=datetime(2030, 1, 1, tzinfo=UTC), time=datetime(2026, 11, 1, tzinfo=UTC))
    verdict = verify(store / "live.json", named)
    assert (verdict.passed, verdict.wrong) == (True, ())
    proven, said, open_ = ("\n".join(x) for x in (verdict.proven, verdict.said, verdict.open))
    assert "signed that 'live', number 7 of 2026-11-01 00:00 UTC, is the content" in proven
    assert "it holds until 2030-01-01 00:00 UTC" in proven
    assert "3 edits for tiny (aaaaaaaaaaaa)" in proven
    assert "the key release.pub (" in proven
    assert "from commit cccccccccccc, perhaps with changes" in said
    assert "edits were reviewed by Ann (1 edit)" in said
    assert "bbbbbbbbbbbb...cccccccccccc, gates with the state 'failed': min_holdout" in said
    assert "who reviewed 2 of 3 edits" in open_
    assert "this machine has followed none" in open_
    assert verdict.statement is not None
    assert [edit.id for edit in verdict.statement.edits] == ["ada-3", "bob", "cyd"]

    with Follower(store / "live.json", lambda path: path, NEVER):
        pass
    assert "not older than what this machine has followed (7)" in str(
        verify(store / "live.json", named).proven
    )
    put(6, by="stranger")
    store.drop(f"one.h5{SUFFIX}")
    verdict = verify(store / "live.json", named)
    assert not verdict.passed
    stranger, stale, unsigned = verdict.wrong
    assert "by a stranger" in stranger
    assert "number 7 was followed before" in stale
    assert "one.h5 is not signed" in unsigned


def test_a_reader_that_knows_dsse_alone_verifies_a_signature(
    signed: dict[str, bytes], keys: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    envelope = json.loads(signed[f"one.h5{SUFFIX}"])
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    before = b"DSSEv1 %d %b %d " % (len(kind), kind, len(payload))
    (signature,) = envelope["signatures"]
    key = load_pem_public_key((keys / "release.pub").read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    key.verify(base64.b64decode(signature["sig"]), before + payload)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["name"] == "one.h5"


# -- keys ----------------------------------------------------------------------------------------


def test_keys_that_are_none(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no public key") as raised:
        read_key(keys / "release.pem")
    assert "that is a private key" in str(raised.value.hint)
    with pytest.raises(InputError, match="is no key to sign with") as raised:
        read_signer(keys / "release.pub")
    assert "that is the public half" in str(raised.value.hint)
    with pytest.raises(InputError, match="the key cannot be read"):
        read_key(tmp_path / "none.pub")
    with pytest.raises(InputError, match="there is no key to sign with"):
        read_signer(None, {})


def test_a_key_may_stand_in_a_variable_under_a_password(
    keys: Path, signed: dict[str, bytes]
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    environ = {"SAKE_SIGNING_KEY": sealed.decode(), "SAKE_SIGNING_KEY_PASSWORD": "secret"}
    assert read_signer(None, environ).key.public_key.keytype == "ed25519"
    for password in ("", "wrong"):
        with pytest.raises(SakeError, match="SAKE_SIGNING_KEY is no key to sign with"):
            read_signer(None, environ | {"SAKE_SIGNING_KEY_PASSWORD": password})
