"""vLLM itself, in processes of its own, on SmolLM2 and the demo registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sake_bench.engines import ON_CPU
from sake_bench.filling import repeated
from sake_registry import compile_registry, load, load_bundle, locate, open_registry
from sake_registry.runtime.bundle import Bundle
from tests.conftest import CACHE, ROOT

EDITS = 100
"""Loaded in every run: those of the demo registry, and copies of them under other names."""
HERE = Path(__file__).parent
INTERPRETER = HERE / "interpreter"
OLDER, NEWER = "0", "1"


@dataclass
class World:
    """The demo registry, compiled; its model, and a bundle with many more edits."""

    root: Path
    folder: Path
    real: Path
    bundle: Bundle
    model: Any
    tokenizer: Any


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    # Kept between runs: compiling takes minutes.
    root = CACHE / "vllm-registry"
    (root / "edits").mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "edits").glob("*.yaml"):
        (root / "edits" / path.name).write_bytes(path.read_bytes())
    settings = (ROOT / "sake.toml").read_text()
    (root / "sake.toml").write_text(f'device = "cpu"\ndtype = "float32"\n{settings}')
    registry = open_registry(root)
    with FileLock(CACHE / "vllm-registry.lock"):  # another process of tests may compile it as well
        compiled = compile_registry(registry)
    assert compiled.bundle is not None, compiled.failures
    located = locate(registry.settings)
    loaded = load(located)
    wide = tmp_path_factory.mktemp("wide") / "wide.h5"
    repeated(compiled.bundle, wide, EDITS)
    return World(
        root, located.folder, compiled.bundle, load_bundle(wide), loaded.model, loaded.tokenizer
    )


@dataclass
class Run:
    """What a run of vLLM gave."""

    answers: dict[str, Any]
    log: list[dict[str, Any]]
    output: str

    def texts(self, round_: int = 0) -> list[str]:
        return [said["texts"][0] for said in self.answers["rounds"][round_]]

    def tokens(self, round_: int = 0) -> list[list[int]]:
        return [said["tokens"][0] for said in self.answers["rounds"][round_]]

    def all_tokens(self) -> list[list[int]]:
        """Of every round, in the order of the requests; one answer each."""
        return [row for number in range(len(self.answers["rounds"])) for row in self.tokens(number)]

    def decided(self) -> dict[str, dict[str, Any]]:
        """The lines of the log, by the number of the request."""
        return {line["request"].partition("-")[0]: line for line in self.log}


Answer = Callable[..., Run]


@pytest.fixture(scope="session")
def answer(world: World, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Have vLLM answer rounds of prompts: `answer(rounds, runner=OLDER, engine={…}, env={…})`."""

    def run(
        rounds: Sequence[Mapping[str, Any]],
        *,
        runner: str = OLDER,
        bundle: Path | None = world.bundle.path,
        engine: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        fails: bool = False,
    ) -> Run:
        folder = tmp_path_factory.mktemp("run")
        job, answers, log = (folder / name for name in ("job.json", "answers.json", "log.jsonl"))
        options = {
            "model": str(world.folder),
            "dtype": "float32",
            "enforce_eager": True,
            "max_model_len": 512,
            "max_num_seqs": 16,
            "disable_log_stats": False,
            **(engine or {}),
        }
        job.write_text(json.dumps({"engine": options, "rounds": rounds}))
        done = subprocess.run(
            [sys.executable, "-m", "tests.vllm.answering", str(job), str(answers)],
            env={**environment(runner, bundle, log), **(env or {})},
            cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        if fails:
            assert done.returncode != 0, output[-4000:]
            return Run({}, [], output)
        assert done.returncode == 0, output[-6000:]
        lines = log.read_text().splitlines() if log.exists() else []
        return Run(json.loads(answers.read_text()), [json.loads(line) for line in lines], output)

    return run


def environment(runner: str, bundle: Path | None, log: Path | None = None) -> dict[str, str]:
    """The variables of a process of vLLM."""
    variables = {
        **os.environ,
        **ON_CPU,
        "SAKE_BUDGET": "60",  # the machine may be busy
        "VLLM_USE_V2_MODEL_RUNNER": runner,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }
    if bundle is not None:
        variables["SAKE_BUNDLE"] = str(bundle)
    if log is not None:
        variables["SAKE_LOG"] = str(log)
    if runner == NEWER:
        # Its kernels are Triton's, and are interpreted here.
        variables |= {
            "TRITON_INTERPRET": "1",
            "TRITON_DEFAULT_BACKEND": "cpu",
            "PYTHONPATH": str(INTERPRETER),
        }
    return variables


@pytest.fixture(autouse=True)
def _only_where_vllm_is(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("vllm"), "tests of vLLM carry its marker"
