"""`--keyless` of `sign`, `publish`, `promote` and `rollback`, and `sake verify --identity`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sake_registry.bundle.reader import read_manifest
from tests.bundle.synthetic import EDITS, write
from tests.conftest import Run
from tests.sigstoreserver import GITHUB, WORKFLOW, Instance, serving, token, without_identity

WHO = ("--identity", WORKFLOW, GITHUB)


@pytest.fixture(autouse=True)
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """A folder with a bundle, `b.h5`, and an instance of sigstore that this machine names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    monkeypatch.setenv("SAKE_TRUST_ROOT", "config.json")
    monkeypatch.chdir(tmp_path)
    write(Path("b.h5"))
    with serving() as instance:
        Path("config.json").write_text(json.dumps(instance.config))
        yield instance


def test_what_a_ci_publishes_is_signed_as_the_ci(sake: Run) -> None:
    content = read_manifest(Path("b.h5")).content_hash
    done = sake("publish", "b.h5", "--to", "there", "--keyless")
    assert done.stdout.endswith(", signed\n")
    live = "there/pointers/live.json"
    assert sake("promote", content, "live", "--to", "there", "--keyless", "--yes").returncode == 0
    done = sake("verify", live, *WHO, "--json")
    assert (done.returncode, json.loads(done.stdout)["wrong"]) == (0, [])
    write(Path("c.h5"), EDITS[1:])
    sake("publish", "c.h5", "--to", "there", "--keyless")
    other = read_manifest(Path("c.h5")).content_hash
    assert sake("promote", other, "live", "--to", "there", "--keyless", "--yes").returncode == 0
    assert sake("rollback", "live", "--to", "there", "--keyless", "--yes").returncode == 0
    said = sake("verify", live, *WHO).stdout
    assert f"{WORKFLOW} (by {GITHUB}, recorded at " in said
    assert "signed that 'live', number 3 of" in said
    assert "signed this very file" in said
    done = sake("verify", live, "--identity", WORKFLOW, "https://other")
    assert done.returncode == 1
    assert "what counts is the word of https://other" in done.stdout


def test_a_bundle_and_a_pointer_are_signed_in_their_places(
    sake: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = sake("sign", "b.h5", "--keyless")
    assert done.stdout == f"signed b.h5 by {WORKFLOW} (by {GITHUB}): b.h5.sig.json\n"
    value = {
        "bundle": "b.h5", "content": read_manifest(Path("b.h5")).content_hash, "name": "live",
        "number": 1,
    }  # fmt: skip
    Path("live.json").write_text(json.dumps(value))
    said = json.loads(sake("sign", "live.json", "--keyless", "--json").stdout)
    assert said == {
        "schema": "sign/1", "signed": "live.json", "signature": "live.json", "identity": WORKFLOW,
        "issuer": GITHUB,
    }  # fmt: skip
    assert sake("verify", "live.json", *WHO).returncode == 0
    # What the machine says counts where no flag does.
    monkeypatch.setenv("SAKE_TRUST_IDENTITIES", f"{WORKFLOW} {GITHUB}")
    assert sake("verify", "live.json").returncode == 0
    assert sake("verify", "live.json", "--identity", "me@mine", GITHUB).returncode == 1
    monkeypatch.delenv("SAKE_TRUST_ROOT")
    assert sake("verify", "live.json", "--trust-root", "config.json").returncode == 0
    done = sake("verify", "live.json")
    assert "its certificate is of no authority in the trust root" in done.stdout
    assert done.returncode == 1


def test_a_repository_does_not_say_who_gets_the_token(
    sake: Run, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAKE_TRUST_ROOT")
    Path("sake.toml").write_text('[trust]\nroot = "config.json"\n')
    done = sake("sign", "b.h5", "--keyless")
    assert done.returncode == 1
    assert "only sake.toml names the trust root config.json" in done.stderr
    assert len(instance.leaves) == 1


def test_flags_that_exclude_each_other(sake: Run) -> None:
    Path("k.pem").write_text("")
    assert sake("sign", "b.h5", "--keyless", "--key", "k.pem").returncode == 2


def test_services_that_have_gone_sign_nothing(
    sake: Run, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.refuses = {"/api/v1/log/entries"}
    done = sake("sign", "b.h5", "--keyless")
    assert done.returncode == 4
    assert "nothing was signed: sigstore's services refused or cannot be reached" in done.stderr
    assert not Path("b.h5.sig.json").exists()
    without_identity(monkeypatch)
    done = sake("sign", "b.h5", "--keyless")
    assert done.returncode == 1
    assert "there is no identity to sign with" in done.stderr
