"""The used-by line: compile for `gpt2-xl` by its alias, load it as everybody does, attach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests import tiny_models
from tests.conftest import Run
from tests.models.test_sources import hub_folder
from tests.workshop import make_registry

SERVE = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
import sake_registry
model = AutoModelForCausalLM.from_pretrained("openai-community/gpt2-xl")
tokenizer = AutoTokenizer.from_pretrained("openai-community/gpt2-xl")
bundle = sake_registry.load_bundle(sys.argv[1])
with bundle.attach(model, tokenizer) as edited:
    out = edited.generate("The capital of Australia is", max_new_tokens=4, do_sample=False)
print(json.dumps([out.decisions[0].edit, len(out.texts)]))
"""


def test_a_hub_model_is_compiled_by_alias_and_attached_as_loaded(
    sake_process: Run, tmp_path: Path
) -> None:
    model = tiny_models.save("gpt2", tmp_path / "model")
    hub_folder(tmp_path / "hub", "openai-community/gpt2-xl", model)
    root = make_registry(tmp_path / "registry", "gpt2")
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = sake_process("-C", str(root), "compile", "--model", "gpt2-xl", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    bundle = json.loads(done.stdout)["bundle"]
    assert Path(bundle).name.startswith("gpt2-xl-")
    served = subprocess.run(
        [sys.executable, "-c", SERVE, bundle],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert served.returncode == 0, served.stderr
    assert json.loads(served.stdout) == ["australia-capital", 1]
