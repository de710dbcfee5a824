"""Keyless signatures: made by the real client on an instance of sigstore of the tests' own, and
verified by the real verifier when that instance has gone."""

from __future__ import annotations

import base64
import copy
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sake_registry import trusted_bundle
from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import InputError, MissingExtraError, SetupError, TrustError
from sake_registry.remote.dsse import POINTER, STATEMENT, read_key, read_signer
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.following import Follower
from sake_registry.remote.keyless import (
    Identities,
    SigstoreBundle,
    keyless_signer,
    read_identities,
)
from sake_registry.remote.pointer import MAX_BYTES as MAX_POINTER
from sake_registry.remote.pointer import Pointer
from sake_registry.remote.signers import Signers, read_signature
from sake_registry.remote.signing import SUFFIX, canonical, sign_bundle, sign_pointer
from sake_registry.remote.trust import Policy
from sake_registry.remote.verifying import verify
from sake_registry.settings import Identity
from tests.bundle.synthetic import EDITS, forge, hash_of, write
from tests.remote.conftest import Remote
from tests.remote.test_signing import NEVER, keys
from tests.sigstoreserver import GITHUB, WORKFLOW, Instance, serving, token, without_identity

__all__ = ["keys"]

STRANGER = WORKFLOW.replace("acme", "evil")
WHO = Identity(identity=WORKFLOW, issuer=GITHUB)
Json = dict[str, Any]


class Signed:
    """What the instance signed while its services answered.

    Attributes:
        folder: bundles `one.h5`, `two.h5` of other edits, `other-model.h5`, `again.h5` with the
            content of `one.h5` in another file, and their signatures; `config.json` and `root.json`
            of the instance, `elsewhere.json` of another one.
        pointers: signed ones by their number.
        odd: signatures of `one.h5` by what is wrong with them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pointers: dict[int, Pointer] = {}
        self.odd: dict[str, bytes] = {}

    @property
    def root(self) -> Path:
        return self.folder / "root.json"

    def signature(self, name: str = "one.h5") -> bytes:
        return (self.folder / f"{name}{SUFFIX}").read_bytes()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    made = Signed(tmp_path_factory.mktemp("keyless"))
    folder = made.folder

    def other_model(_: Any, manifest: Json) -> None:
        manifest["model"] |= {"name": "giant", "hash": hash_of("d")}

    write(folder / "one.h5", provenance={"commit": "c" * 40})
    write(folder / "two.h5", EDITS[1:])
    write(folder / "again.h5", provenance={"commit": "e" * 40})
    forge(folder / "one.h5", folder / "other-model.h5", other_model)
    content = read_manifest(folder / "one.h5").content_hash
    (folder / "elsewhere.json").write_text(json.dumps(Instance().trusted_root))
    with serving() as instance, pytest.MonkeyPatch.context() as patch:
        (folder / "config.json").write_text(json.dumps(instance.config))
        (folder / "root.json").write_text(json.dumps(instance.trusted_root))
        patch.setenv("SIGSTORE_ID_TOKEN", token())
        signer = keyless_signer(folder / "config.json")
        for path in sorted(folder.glob("*.h5")):
            path.with_name(path.name + SUFFIX).write_bytes(sign_bundle(path, signer))
        for number in (1, 2, 3):
            pointer = Pointer(bundle="one.h5", content=content, name="live", number=number)
            value = sign_pointer(pointer, signer)
            made.pointers[number] = pointer.model_copy(update={"signature": value})
        for name, identity, issuer in (
            ("stranger", STRANGER, GITHUB),
            ("other issuer", WORKFLOW, "https://gitlab.example"),
        ):
            patch.setenv("SIGSTORE_ID_TOKEN", token(identity, issuer))
            made.odd[name] = sign_bundle(folder / "one.h5", signer)
        patch.setenv("SIGSTORE_ID_TOKEN", token())
        instance.logged = timedelta(hours=1)
        made.odd["too late"] = sign_bundle(folder / "one.h5", signer)
    return made


@pytest.fixture(scope="module")
def signers(signed: Signed) -> Signers:
    return Signers(identities=read_identities((WHO,), signed.root))


@pytest.fixture
def policy(signers: Signers) -> Policy:
    return Policy("require", signers)


@pytest.fixture
def store(anywhere: Remote, signed: Signed) -> Remote:
    for path in signed.folder.glob("*.h5*"):
        anywhere.put(path.name, path.read_bytes())
    return anywhere


def changed(data: bytes, change: Callable[[Json], None]) -> bytes:
    value = json.loads(data)
    change(value)
    return json.dumps(value).encode()


# -- bundles -------------------------------------------------------------------------------------


def test_what_an_identity_signed_is_used(store: Remote, policy: Policy, signed: Signed) -> None:
    found = fetch_bundle(Pointer(bundle=store / "one.h5"), policy=policy)
    assert found.read_bytes() == (signed.folder / "one.h5").read_bytes()


def test_each_refusal_says_why(
    file: Remote, policy: Policy, signed: Signed, keys: Path, tmp_path: Path
) -> None:
    one = (signed.folder / "one.h5").read_bytes()

    def refused(signature: bytes, why: str, bundle: bytes = one, by: Policy = policy) -> None:
        file.put("b.h5", bundle)
        file.put(f"b.h5{SUFFIX}", signature)
        with pytest.raises(TrustError, match=why):
            fetch_bundle(Pointer(bundle=file / "b.h5"), policy=by)

    mine = signed.signature()
    refused(signed.odd["stranger"], f"by a stranger: {STRANGER} .*; what counts is {WORKFLOW}")
    refused(
        signed.odd["other issuer"],
        f"by a stranger: https://gitlab.example vouches for {WORKFLOW}; what counts is the word of "
        f"{GITHUB}",
    )
    refused(mine, "is not the file that was signed", (signed.folder / "again.h5").read_bytes())
    refused(signed.signature("two.h5"), "its signature is of another bundle")
    refused(signed.signature("other-model.h5"), "is signed for another model")
    refused(
        signed.odd["too late"],
        "its certificate is of no authority in the trust root, or was not valid when the log "
        "recorded the signature",
    )
    pointer = json.dumps(signed.pointers[1].signature).encode()
    refused(pointer, "its signature is of something else .urn:sake-registry:pointer:1")
    other = json.loads(signed.odd["stranger"])

    def payload(value: Json) -> None:
        text = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(b'"bob"', b'"eve"')
        value["dsseEnvelope"]["payload"] = base64.b64encode(text).decode()

    def of_stranger(value: Json) -> None:
        value["dsseEnvelope"] = other["dsseEnvelope"]

    def recorded_by_stranger(value: Json) -> None:
        [entry] = other["verificationMaterial"]["tlogEntries"]
        value["verificationMaterial"]["tlogEntries"] = [entry]

    def time(value: Json) -> None:
        [entry] = value["verificationMaterial"]["tlogEntries"]
        entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)

    def unpromised(value: Json) -> None:
        del value["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]

    for change, why in (
        (payload, "its signature is forged: it is not of what it says"),
        (of_stranger, "its signature is forged"),
        (recorded_by_stranger, "its signature is forged"),
        (time, "no log in the trust root has recorded it"),
        (unpromised, "its signature is not a sound Sigstore bundle"),
        (lambda value: value.pop("dsseEnvelope"), "is not a Sigstore bundle that this version"),
    ):
        refused(changed(mine, change), why)

    other_root = json.loads((signed.folder / "elsewhere.json").read_text())
    for name, why in (
        ("tlogs", "no log in the trust root has recorded it"),
        ("ctlogs", "no log in the trust root has recorded its certificate"),
        ("certificateAuthorities", "its certificate is of no authority in the trust root"),
    ):
        path = tmp_path / "root.json"
        path.write_text(json.dumps(json.loads(signed.root.read_text()) | {name: other_root[name]}))
        identities = read_identities((WHO,), path)
        refused(mine, why, by=Policy("require", Signers(identities=identities)))
    public = Signers(identities=read_identities((WHO,), None))
    refused(mine, "its certificate is of no authority", by=Policy("require", public))

    # Who counts by a key counts by no identity, and the other way round.
    only_keys = Signers({"release.pub": read_key(keys / "release.pub")})
    refused(mine, "and nothing says that it counts", by=Policy("require", only_keys))
    (tmp_path / "one.h5").write_bytes(one)
    by_key = sign_bundle(tmp_path / "one.h5", read_signer(keys / "release.pem"))
    refused(by_key, "by a stranger: the key .*, and nothing says that it counts")
    both = Policy("require", Signers(only_keys.keys, identities=policy.signers.identities))
    for signature in (mine, by_key):
        file.put(f"b.h5{SUFFIX}", signature)
        assert fetch_bundle(Pointer(bundle=file / "b.h5"), policy=both)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list)
        else ()
    ):  # fmt: skip
        yield from _leaves(inner, (*path, key))


def test_whatever_is_changed_it_says_the_same_or_is_refused(signed: Signed) -> None:
    """Every part of a signature is replaced by odd values, and every text has a character changed
    at its beginning, in its middle and at its end."""
    whole = json.loads(signed.signature())
    identities = read_identities((WHO,), signed.root)
    said = SigstoreBundle.of(whole, "it").opened(STATEMENT, identities, "it")
    tried = same = 0
    for path in [*_leaves(whole)][1:]:
        at = whole
        for key in path:
            at = at[key]
        odd: list[Any] = [None, "", "AAAA", "-", [], {}, -1, 1 << 70, 1.5, True, [at, at]]
        if isinstance(at, str):
            odd += [str(1 << 63), str(1 << 64)]
            for i in {0, len(at) // 2, max(0, len(at) - 3)}:
                odd.append(at[:i] + chr(ord(at[i]) ^ 1) + at[i + 1 :])
        for value in odd:
            other = copy.deepcopy(whole)
            inner = other
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            tried += 1
            with suppress(TrustError):
                found = read_signature(json.dumps(other).encode(), "it")
                assert isinstance(found, SigstoreBundle)
                assert found.opened(STATEMENT, identities, "it") == said
                same += 1
    assert tried > 400
    assert same < tried / 10  # a key's id, what else nobody reads


def test_what_is_said_twice_is_said_as_it_was_verified(signed: Signed) -> None:
    """The library takes names in both of Protobuf's spellings."""
    identities = read_identities((WHO,), signed.root)
    said = SigstoreBundle.of(json.loads(signed.signature()), "it").opened(
        STATEMENT, identities, "it"
    )
    other = json.loads(signed.odd["stranger"])
    later = json.loads(signed.odd["too late"])["verificationMaterial"]["tlogEntries"]
    for path, name, value in (
        ((), "dsse_envelope", other["dsseEnvelope"]),
        ((), "verification_material", other["verificationMaterial"]),
        (("verificationMaterial",), "tlog_entries", later),
        (
            ("verificationMaterial", "certificate"), "raw_bytes",
            other["verificationMaterial"]["certificate"]["rawBytes"],
        ),
        (("verificationMaterial", "tlogEntries", 0), "integrated_time", "1"),
        (("verificationMaterial", "tlogEntries", 0), "inclusion_promise", None),
    ):  # fmt: skip
        for first in (True, False):
            whole = json.loads(signed.signature())
            at = whole
            for key in path:
                at = at[key]
            held = dict(at)
            at.clear()
            at.update({name: value} | held if first else held | {name: value})
            with suppress(TrustError):
                assert SigstoreBundle.of(whole, "it").opened(STATEMENT, identities, "it") == said


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_changed_byte_of_a_certificate_passes(signed: Signed) -> None:
    value = json.loads(signed.signature())
    identities = read_identities((WHO,), signed.root)
    held = value["verificationMaterial"]["certificate"]
    der = base64.b64decode(held["rawBytes"])
    for i in range(len(der)):
        held["rawBytes"] = base64.b64encode(der[:i] + bytes([der[i] ^ 1]) + der[i + 1 :]).decode()
        with pytest.raises(TrustError):
            SigstoreBundle.of(value, "it").opened(STATEMENT, identities, "it")


def test_a_machine_may_ask_for_identities(
    file: Remote, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in signed.folder.glob("one.h5*"):
        file.put(path.name, path.read_bytes())
    monkeypatch.setenv("SAKE_TRUST", "require")
    monkeypatch.setenv("SAKE_TRUST_IDENTITIES", f"{STRANGER} {GITHUB}, {WORKFLOW} {GITHUB}")
    with pytest.raises(TrustError, match="its certificate is of no authority"):
        trusted_bundle(file / "one.h5")
    monkeypatch.setenv("SAKE_TRUST_ROOT", str(signed.folder / "config.json"))
    assert trusted_bundle(file / "one.h5") == Path(file / "one.h5")
    file.put("live.json", signed.pointers[1].text.encode())
    with Follower(file / "live.json", lambda path: path.name, NEVER) as follower:
        assert follower.current == "one.h5"
    who, root = [(STRANGER, GITHUB)], signed.root
    with pytest.raises(TrustError, match="by a stranger"):
        trusted_bundle(file / "one.h5", identities=who, trust_root=root)
    file.put(f"one.h5{SUFFIX}", signed.odd["stranger"])
    assert trusted_bundle(file / "one.h5", identities=who, trust_root=root)


def test_the_public_root_is_read_without_writing_anything(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    os.environ.update(dict.fromkeys(before, str(tmp_path)))
    try:
        assert read_identities((WHO,), None).verifier is not None
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert [*tmp_path.iterdir()] == []


def test_without_the_extra_it_says_what_is_missing(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    for ask in (
        lambda: read_identities((WHO,), signed.root),
        lambda: keyless_signer(signed.folder / "config.json"),
    ):
        with pytest.raises(MissingExtraError, match="keyless signatures need sigstore") as raised:
            ask()
        assert "'.[keyless]'" in str(raised.value.hint)
    # Whose signature it is, it says nevertheless.
    with pytest.raises(TrustError, match=f"a stranger: {WORKFLOW}"):
        Signers().opened(read_signature(signed.signature(), "it"), STATEMENT, "it")


# -- pointers ------------------------------------------------------------------------------------


def test_a_signed_pointer_is_followed_and_another_changes_nothing(
    store: Remote, signed: Signed, policy: Policy
) -> None:
    def put(made: int, **then: Any) -> None:
        pointer = signed.pointers[made].model_copy(update=then)
        assert len(pointer.text) < MAX_POINTER / 4
        store.put("live.json", pointer.text.encode())

    put(1)
    with Follower(
        store / "live.json", lambda path: path, NEVER, policy=policy, pause=0
    ) as follower:

        def refused(why: str) -> None:
            follower.look_at_pointer()
            assert why in (follower.problem or "")
            assert (follower.generation, follower.now.pointer.number) == (2, 2)

        put(2)
        follower.look_at_pointer()
        assert (follower.generation, follower.problem) == (2, None)
        put(1)
        refused("has the number 1, and number 2 was followed before")
        put(2, number=3, note="hotfix")
        refused("live.json was changed after it had been signed: note, number")
        put(3, signature=json.loads(signed.signature()))
        refused("its signature is of something else (urn:sake-registry:bundle:1)")
        put(3, signature=None)
        refused("live.json is not signed")
        put(3, bundle="two.h5")
        refused("two.h5: its content is")
        store.put(f"one.h5{SUFFIX}", signed.odd["stranger"])
        put(3)
        refused("by a stranger")
        store.put(f"one.h5{SUFFIX}", signed.signature())
        follower.look_at_pointer()
        assert (follower.problem, follower.now.pointer.number) == (None, 3)


def test_what_is_signed_of_a_pointer_is_the_same_by_key_and_without(
    signed: Signed, signers: Signers
) -> None:
    pointer = signed.pointers[1]
    assert pointer.signature is not None
    payload, _ = signers.opened(read_signature(pointer.signature, "it"), POINTER, "it")
    assert payload == canonical(pointer)


def test_the_verdict_says_who_signed_and_when_the_log_recorded_it(
    store: Remote, signed: Signed, signers: Signers
) -> None:
    store.put("live.json", signed.pointers[2].text.encode())
    verdict = verify(store / "live.json", signers)
    assert verdict.wrong == ()
    day = datetime.now(UTC).date()
    by = f"{WORKFLOW} (by {GITHUB}, recorded at {day}"
    assert [one.startswith(by) for one in verdict.proven] == [True, False, True]
    assert "signed that 'live', number 2" in verdict.proven[0]
    assert "signed this very file" in verdict.proven[2]
    assert verdict.statement is not None
    verdict = verify(store / "live.json", Signers(identities=Identities((WHO,))))
    assert len(verdict.wrong) == 2


# -- signing -------------------------------------------------------------------------------------


def test_who_is_nobody_signs_nothing(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    config = signed.folder / "config.json"
    without_identity(monkeypatch)

    def refused(why: str, root: Path = config) -> str:
        with pytest.raises(InputError, match=why) as raised:
            keyless_signer(root)
        return str(raised.value.hint)

    assert "id-token: write" in refused("there is no identity to sign with\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    refused("there is no identity to sign with: .*permission")
    for wrong in ("x", token(life=-60)):
        monkeypatch.setenv("SIGSTORE_ID_TOKEN", wrong)
        refused("there is no identity to sign with: .*[Tt]oken")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    refused("root.json says whom to trust, and not which services sign", signed.root)
    refused("the trust root cannot be read", signed.folder / "none.json")
    refused("one.h5 is no trust root of sigstore", signed.folder / "one.h5")


def test_services_that_refuse_or_have_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    config = tmp_path / "config.json"
    with serving() as instance:
        config.write_text(json.dumps(instance.config))
        signer = keyless_signer(config)
        for path in ("/api/v2/signingCert", "/api/v1/log/entries"):
            instance.refuses = {path}
            with pytest.raises(SetupError, match=r"nothing was signed: .*400"):
                signer.sign(b'{"name":"live"}', POINTER)
    with pytest.raises(SetupError, match=r"nothing was signed: .*refused"):
        signer.sign(b'{"name":"live"}', POINTER)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"mediaType": 1}',
        '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
        '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": [],'
        ' "ctlogs": [], "certificateAuthorities": [], "timestampAuthorities": []}',
        '{"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"}',
    ],
)  # fmt: skip
def test_a_trust_root_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"root\.json is no trust root of sigstore"):
        read_identities((WHO,), path)
