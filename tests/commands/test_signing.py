"""`sake sign`, `sake verify`, and `--key` of `publish`, `promote`, `rollback`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sake_registry.bundle.reader import read_manifest
from sake_registry.remote.pointer import write_pointer
from tests.bundle.synthetic import EDITS, write
from tests.conftest import Run
from tests.remote.test_certificates import NAME, Authority, pem


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the two halves of a key, `k.pem` and `k.pub`, and a bundle, `b.h5`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    Path("k.pem").write_bytes(private)
    Path("k.pub").write_bytes(public)
    write(Path("b.h5"))


def test_a_published_bundle_and_its_pointers_are_signed(
    sake: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = read_manifest(Path("b.h5")).content_hash
    assert sake("sign", "b.h5", "--key", "k.pem").returncode == 0
    assert sake("publish", "b.h5", "--to", "there").stdout.endswith(", signed\n")
    live = "there/pointers/live.json"

    def verify() -> tuple[int, list[str]]:
        done = sake("verify", live, "--key", "k.pub", "--json")
        verdict = json.loads(done.stdout)
        assert verdict["schema"] == "verify/1"
        assert verdict["passed"] == (done.returncode == 0)
        return done.returncode, verdict["wrong"]

    assert sake("promote", content, "live", "--to", "there", "--yes").returncode == 0
    assert verify() == (1, ["there/pointers/live.json is not signed"])
    monkeypatch.setenv("SAKE_SIGNING_KEY", Path("k.pem").read_text())
    write(Path("c.h5"), EDITS[1:])
    assert sake("publish", "c.h5", "--to", "there").stdout.endswith(", signed\n")
    other = read_manifest(Path("c.h5")).content_hash
    assert sake("promote", other, "live", "--to", "there", "--yes").returncode == 0
    assert verify() == (0, [])
    assert sake("rollback", "live", "--to", "there", "--yes").returncode == 0
    assert verify() == (0, [])
    said = sake("verify", "there/pointers/live/3.json", "--key", "k.pub").stdout
    assert "signed that 'live', number 3 of" in said

    # As an artefact, signature and all, and from there to another place.
    monkeypatch.delenv("SAKE_SIGNING_KEY")
    assert ", signed\n" in sake("publish", "b.h5", "--oci", "layout").stdout
    done = sake("publish", "layout", "--to", "elsewhere", "--json")
    assert json.loads(done.stdout)["signed"] is True
    assert sake("verify", f"elsewhere/bundles/{content}.h5", "--key", "k.pub").returncode == 0

    # What lies beside a bundle that was made anew is not published with it.
    write(Path("b.h5"), EDITS[2:])
    done = sake("publish", "b.h5", "--to", "there")
    assert done.returncode == 1
    assert "the signature beside b.h5 is of another file" in done.stderr


def test_a_pointer_that_was_written_by_hand_is_signed_in_its_place(sake: Run) -> None:
    content = read_manifest(Path("b.h5")).content_hash
    sake("sign", "b.h5", "--key", "k.pem")
    pointer = Path("live.json")
    write_pointer(pointer, "b.h5", content=content)
    done = sake("sign", "live.json", "--key", "k.pem")
    assert done.returncode == 1
    assert "a pointer without name, number would pass for another" in done.stderr
    value = json.loads(pointer.read_text()) | {"name": "live", "number": 1}
    pointer.write_text(json.dumps(value))
    assert sake("sign", "live.json", "--key", "k.pem").returncode == 0
    assert json.loads(pointer.read_text())["bundle"] == "b.h5"
    assert sake("verify", "live.json", "--key", "k.pub").returncode == 0
    assert sake("sign", "live.json", "--key", "k.pem", "--review", "r").returncode == 2


def test_a_key_may_come_with_its_certificate(sake: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    key = generate_private_key(SECP256R1())
    Path("k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    authority = Authority("acme")
    Path("chain.pem").write_bytes(pem(authority.certify(key)))
    Path("ca.pem").write_bytes(pem([authority.certificate]))
    by = ("--key", "k.pem", "--certificate", "chain.pem")
    said = json.loads(sake("sign", "b.h5", *by, "--json").stdout)
    assert said["identity"] == NAME
    assert sake("verify", "b.h5", "--identity", NAME, "ca.pem").returncode == 0
    # As a registry has it, from any folder in it.
    Path("keys").mkdir()
    Path("ca.pem").rename("keys/ca.pem")
    Path("sake.toml").write_text(
        f'[trust]\nidentities = [{{ identity = "{NAME}", issuer = "keys/ca.pem" }}]\n'
    )
    assert sake("verify", "../b.h5", cwd=Path("keys")).returncode == 0
    monkeypatch.setenv("SAKE_TRUST_IDENTITIES", f"me@acme.example {Path('keys/ca.pem').resolve()}")
    done = sake("verify", "b.h5")
    assert done.returncode == 1
    assert f"by a stranger: the certificate of {NAME}; what counts is me@" in done.stdout
    assert sake("sign", "b.h5", "--keyless", "--certificate", "chain.pem").returncode == 2
    done = sake("sign", "b.h5", "--certificate", "chain.pem")
    assert "there is no key to sign with" in done.stderr


def test_a_key_that_git_tracks_signs_nothing(sake: Run) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    assert sake("sign", "b.h5", "--key", "k.pem").returncode == 0
    subprocess.run(["git", "add", "k.pem"], check=True)
    done = sake("sign", "b.h5", "--key", "k.pem")
    assert done.returncode == 5
    assert "k.pem is in git: whoever can clone it can sign" in done.stderr


def test_what_a_review_says_is_signed(sake: Run) -> None:
    gates = [
        {"name": "errors", "state": "passed"},
        {"name": "min_holdout", "state": "nothing measured"},
    ]
    range_ = {"text": "a...b", "base": "a" * 40, "merge_base": "a" * 40, "head": "b" * 40}
    review = {"schema": "review/1", "range": range_, "gates": gates, "passed": True}
    Path("r.json").write_text(json.dumps(review))
    assert sake("sign", "b.h5", "--key", "k.pem", "--review", "r.json").returncode == 0
    said = sake("verify", "b.h5", "--key", "k.pub").stdout
    assert (
        "aaaaaaaaaaaa...bbbbbbbbbbbb, gates with the state 'nothing measured': min_holdout" in said
    )
    assert "it is of bbbbbbbbbbbb, and the bundle is of commit cccccccccccc" in said
    Path("r.json").write_text("{}")
    done = sake("sign", "b.h5", "--key", "k.pem", "--review", "r.json")
    assert done.returncode == 1
    assert "this is not a review" in done.stderr
