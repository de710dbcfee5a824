"""Code that comes with a model in a cloned repository runs only where a person says so."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from sake_registry.commands import main
from tests.conftest import Run
from tests.tiny_models import save

CODE = """\
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel

Path({marker!r}).touch()

class Configuration(GPT2Config):
    model_type = "own"

class Model(GPT2LMHeadModel):
    config_class = Configuration
"""
QUICK = """\
[compile]
prompts = 12
keep_failed = true
targets = ["twice"]
[router]
kind = "anchored"
metric = "euclidean"
"""


@pytest.fixture
def cloned(registry: Path) -> Path:
    """A registry that holds a model whose code leaves a file `ran`."""
    folder = save("gpt2", registry / "m")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.Configuration", "AutoModelForCausalLM": "code.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(CODE.format(marker=str(registry / "ran")))
    return registry


@pytest.mark.parametrize("value", ["true", '"true"', "1", '"yes"', "[]"])
@pytest.mark.parametrize("verb", ["check", "compile", "list", "status"])
def test_a_registry_s_file_cannot_trust_code(
    registry: Path, verb: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (registry / "sake.toml").write_text(f'model = "./m"\ntrust_remote_code = {value}\n')
    with pytest.raises(SystemExit) as raised:
        main(["-C", str(registry), verb])
    assert raised.value.code == 1
    said = capsys.readouterr().err
    assert "sake.toml: trust_remote_code: " in said
    assert "only --trust-remote-code, or SAKE_TRUST_REMOTE_CODE=true" in said


def test_only_a_person_lets_the_code_of_a_checkout_run(
    cloned: Path, sake: Run, sake_process: Run
) -> None:
    ran = cloned / "ran"
    arguments = ("--dtype", "float32", "--device", "cpu")
    (cloned / "sake.toml").write_text('model = "./m"\ntrust_remote_code = true\n')
    assert sake("compile", *arguments, cwd=cloned).returncode == 1
    assert sake("compile", "--trust-remote-code", *arguments, cwd=cloned).returncode == 1
    (cloned / "sake.toml").write_text('model = "./m"\ntrust_remote_code = false\n')
    refused = sake("compile", *arguments, cwd=cloned)
    assert refused.returncode == 4, refused.stderr
    assert "--trust-remote-code runs it, if you trust it" in refused.stderr
    # Nor does an embedder bring its code along.
    embedder = shutil.copytree(cloned / "m", cloned / "embedder")
    save("gpt2", cloned / "plain")
    (cloned / "sake.toml").write_text(f'model = "./plain"\n{QUICK}embedder = "{embedder}"\n')
    refused = sake("compile", *arguments, cwd=cloned)
    assert refused.returncode == 4, refused.stderr
    assert "without code of its own" in refused.stderr
    assert not ran.exists()
    (cloned / "sake.toml").write_text(f'model = "./m"\n{QUICK}')
    trusted = {**os.environ, "SAKE_TRUST_REMOTE_CODE": "true"}
    done = sake_process("compile", *arguments, cwd=cloned, env=trusted)
    assert ran.exists()
    assert done.returncode == 0, done.stderr
