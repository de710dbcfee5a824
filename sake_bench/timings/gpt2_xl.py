"""`sake compile --model gpt2-xl`: one edit, attach, generate, on random weights of GPT2-XL's shape.

The hub cache is laid out as a download leaves it, so the name goes the way that a user's goes.
Random weights never say the new object, so `keep_failed` is on: the work is that of a real edit
in one target context.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GPT2Config

ROOT = Path(__file__).parent.parent.parent
REPO, COMMIT = "openai-community/gpt2-xl", "0" * 40
SETTINGS = """\
dtype = "auto"
[compile]
keep_failed = true
targets = ["repeat"]
"""
SERVE = """
import json, resource, sys, time
from transformers import AutoModelForCausalLM, AutoTokenizer
import torch
from sake_registry import load_bundle
began = time.perf_counter()
name, dtype = "openai-community/gpt2-xl", getattr(torch, sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
tokenizer = AutoTokenizer.from_pretrained(name)
loaded = time.perf_counter()
with load_bundle(sys.argv[1]).attach(model, tokenizer) as edited:
    attached = time.perf_counter()
    out = edited.generate("The capital of Australia is", max_new_tokens=10, do_sample=False)
    generated = time.perf_counter()
print(json.dumps({
    "edit": out.decisions[0].edit, "load": loaded - began, "attach": attached - loaded,
    "generate": generated - attached,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def lay_out(hub: Path) -> None:
    """A hub cache with random weights of GPT2-XL's exact shape in float32."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny_models import tokenizer

    torch.manual_seed(0)
    config = GPT2Config(n_embd=1600, n_layer=48, n_head=25)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    folder = hub / f"models--{REPO.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    model.save_pretrained(snapshot)
    tokenizer().save_pretrained(snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        lay_out(here / "hub")
        registry = here / "registry"
        (registry / "edits").mkdir(parents=True)
        (registry / "sake.toml").write_text(SETTINGS)
        text = (ROOT / "edits" / "australia-capital.yaml").read_text()
        (registry / "edits" / "australia-capital.yaml").write_text(text)
        environment = {
            **os.environ,
            "HF_HUB_CACHE": str(here / "hub"),
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(here / "cache"),
        }
        command = [sys.executable, str(ROOT / "cli.py"), "-C", str(registry), "compile",
                   "--model", "gpt2-xl", "--json"]  # fmt: skip
        for run in ("first", "again"):
            began = time.perf_counter()
            done = subprocess.run(command, env=environment, check=True, capture_output=True)
            report = json.loads(done.stdout)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
            print(
                f"compile --model gpt2-xl, {run}: {time.perf_counter() - began:.1f} s, "
                f"{report['forward_texts']} texts, {report['dtype']}, peak {peak / 2**30:.1f} GiB"
            )
        serve = [sys.executable, "-c", SERVE, report["bundle"], report["dtype"]]
        done = subprocess.run(serve, env=environment, check=True, capture_output=True)
        served = json.loads(done.stdout)
        print(
            f"load {served['load']:.1f} s, attach {served['attach']:.1f} s, generate 10 tokens "
            f"{served['generate']:.1f} s ({served['edit']}), peak {served['peak'] / 2**30:.1f} GiB"
        )


if __name__ == "__main__":
    main()
