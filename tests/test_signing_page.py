"""docs/signing.md: every command of the page, in order, in a real repository, on a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests import tiny_models, workshop
from tests.conftest import ROOT
from tests.remote.test_certificates import NAME, Authority, pem
from tests.sigstoreserver import GITHUB, WORKFLOW, serving, token
from tests.test_docs import blocks
from tests.test_life import Shell

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "signing.md"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.environment |= {"HOME": str(tmp_path / "home"), "SAKE_COMPILE_PROMPTS": "4"}
    model = tiny_models.save("llama", tmp_path / "tiny")
    shell.folder = workshop.make_registry(tmp_path / "facts", model)
    shell.run("git init -q -b main . && git add sake.toml && git commit -qm 1")
    shell.run("git add edits && git commit -qm 2 -m 'Reviewed-by: Ann Author'")
    return shell


def served(shell: Shell, command: str) -> str:
    """What a server that a block starts says, until it serves or has ended."""
    with subprocess.Popen(
        ["bash", "-euc", f"{command.strip()} --port 0"], cwd=shell.folder, env=shell.environment,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as server:  # fmt: skip
        assert server.stderr is not None
        said = []
        for line in server.stderr:
            said.append(line)
            if line.startswith("serving "):
                os.killpg(server.pid, signal.SIGTERM)
        return "".join(said)


def test_every_command_from_a_key_to_a_server(shell: Shell) -> None:
    key, sign, review, promote, certificate, keyless, serve = blocks(PAGE, "sh")
    (program,) = blocks(PAGE, "python")

    shell.run(key)
    said = shell.run(sign)
    assert "the key keys/release.pub (" in said
    assert "which gates it passed: it was signed without a review" in said
    shell.run(review)
    verdict = shell.json("sake verify bundles/*.h5 --key keys/release.pub")
    head = shell.run("git rev-parse HEAD").strip()
    statement = verdict["statement"]
    assert (statement["commit"], statement["dirty"], statement["review"]["head"]) == (
        head, False, head,
    )  # fmt: skip
    assert [edit["id"] for edit in statement["edits"]] == list(workshop.EDITS)
    assert statement["reviewers"] == {id_: ["Ann Author"] for id_ in workshop.EDITS}
    assert not [sentence for sentence in verdict["open"] if "review is of" in sentence]

    said = shell.run(promote)
    assert "signed that 'production', number 1 of " in said
    assert "the key keys/release.pub (" in said
    assert "serving " in served(shell, serve)

    home = shell.environment["HOME"]
    by, authority = ec.generate_private_key(ec.SECP256R1()), Authority("acme")
    text = by.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path(home, "certified.pem").write_bytes(text)
    Path(home, "certified.crt").write_bytes(pem(authority.certify(by)))
    (shell.folder / "keys" / "ca.crt").write_bytes(pem([authority.certificate]))
    assert f"{NAME} (by a certificate that holds until " in shell.run(certificate)
    with serving() as instance:
        Path(home, "config.json").write_text(json.dumps(instance.config))
        asked = {"SAKE_TRUST_ROOT": f"{home}/config.json", "SIGSTORE_ID_TOKEN": token()}
        shell.environment |= asked
        assert f"{WORKFLOW} (by {GITHUB}, recorded at " in shell.run(keyless)
    for name in asked:
        del shell.environment[name]

    run = {"cwd": home, "capture_output": True, "text": True}
    shell.run(f"cp keys/release.pub {home}")
    done = subprocess.run([sys.executable, "-c", program], check=True, **run)
    assert done.stdout == f"{tuple(workshop.EDITS)}\n"
    shell.run(f"rm {home}/published/bundles/*.sig.json")
    done = subprocess.run([sys.executable, "-c", program], check=False, **run)
    assert "is not signed: there is no" in done.stderr

    shell.run("cp ~/release.pem . && git add release.pem")
    shell.run("sake sign bundles/*.h5 --key release.pem", 5)
