"""What cannot be served with edits is refused before the first request, in words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sake_registry.bundle.reader import BundleFile
from sake_registry.files import write_bytes
from sake_registry.remote.dsse import KEY_VARIABLE, read_signer
from sake_registry.remote.signing import SUFFIX, sign_bundle
from tests.conftest import ROOT
from tests.vllm.conftest import OLDER, Answer, World, environment
from tests.vllm.narrowing import narrowed

pytestmark = [pytest.mark.vllm, pytest.mark.model]

NOTHING: list[Any] = [{"prompts": [[1, 2]], "sampling": {"max_tokens": 1}}]


def test_speculative_decoding(answer: Answer) -> None:
    ngrams = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}
    run = answer(NOTHING, engine={"speculative_config": ngrams}, fails=True)
    assert "edits cannot be served with speculative decoding" in run.output


def test_a_bundle_of_another_model(world: World, answer: Answer, tmp_path: Path) -> None:
    with BundleFile(world.real) as file:
        model = file.manifest.model
    identity = model.identity.model_copy(update={"checkpoint": "0" * 64})
    other = model.model_copy(update={"identity": identity, "hash": "1" * 64})
    narrowed(world.real, tmp_path / "other.h5", model=other)
    run = answer(NOTHING, bundle=tmp_path / "other.h5", fails=True)
    assert "checkpoint 000000000000 there" in run.output


def test_a_bundle_that_nobody_signed(
    world: World, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SAKE_TRUST=require; the same bundle is served once it is signed."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv(KEY_VARIABLE, private.decode())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "release.pub").write_bytes(public)
    bundle = Path(shutil.copy(world.real, tmp_path / "bundle.h5"))
    asked = {"SAKE_TRUST": "require", "SAKE_TRUST_KEYS": str(tmp_path / "release.pub")}
    run = answer(NOTHING, bundle=bundle, env=asked, fails=True)
    assert "bundle.h5 is not signed" in run.output
    write_bytes(bundle.with_name(bundle.name + SUFFIX), sign_bundle(bundle, read_signer(None)))
    run = answer(NOTHING, bundle=bundle, env=asked)
    assert len(run.tokens()[0]) == 1


def test_another_plugin_that_took_the_layer() -> None:
    taken = """
from vllm.model_executor.layers.logits_processor import LogitsProcessor

class Other(LogitsProcessor):
    pass

LogitsProcessor.register_oot(Other, name="LogitsProcessor")
from sake_registry.serving.vllm import register
register()
"""
    done = subprocess.run(
        [sys.executable, "-c", taken],
        env=environment(OLDER, Path("bundle.h5")),
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "the layer LogitsProcessor of vLLM is already replaced, by __main__.Other" in done.stderr
    assert "VLLM_PLUGINS=sake" in done.stderr


def test_a_variable_that_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from sake_registry.serving.vllm import register; register()"],
        env={**environment(OLDER, Path("bundle.h5")), "SAKE_MODE": "shadwo"},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "SAKE_MODE=shadwo" in done.stderr


def test_without_a_bundle_nothing_is_loaded() -> None:
    code = (
        "import sys\nfrom sake_registry.serving.vllm import register\nregister()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'vllm')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(OLDER, None),
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
