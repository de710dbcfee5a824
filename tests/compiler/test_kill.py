"""Nothing half-written: killed at any moment, the next run finishes with the same result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sake_registry import compile_registry, open_registry
from tests.conftest import ROOT
from tests.workshop import make_registry


def start(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "-C", str(root), "compile"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def written(store: Path) -> int:
    """How many files a store has so far."""
    return sum(len(files) for *_, files in os.walk(store))


def kill_and_finish(kills: int, root: Path, reference: Path, model: str | Path) -> None:
    """Killed when it has written a number of files drawn at random, however fast that goes."""
    undisturbed = compile_registry(open_registry(reference))
    moments = random.Random(0).choices(range(1, written(open_registry(reference).store)), k=kills)
    killed = 0
    for number, moment in enumerate(moments):
        here = make_registry(root / str(number), model)
        store = open_registry(here).store
        process = start(here)
        while process.poll() is None and written(store) < moment:
            time.sleep(0.001)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        result = compile_registry(open_registry(here))
        assert result.plan.key == undisturbed.plan.key
        assert result.manifest is not None
        assert undisturbed.manifest is not None
        assert result.manifest.content_hash == undisturbed.manifest.content_hash
        assert list(here.rglob(".partial-*")) == []
    assert killed >= kills // 2


def test_killed_twice_on_a_tiny_model(tmp_path: Path, model_folder: Path) -> None:
    reference = make_registry(tmp_path / "reference", model_folder)
    kill_and_finish(2, tmp_path, reference, model_folder)


@pytest.mark.slow
def test_killed_ten_times_on_a_real_model(tmp_path: Path) -> None:
    reference = make_registry(tmp_path / "reference", "smollm2-135m")
    kill_and_finish(10, tmp_path, reference, "smollm2-135m")
