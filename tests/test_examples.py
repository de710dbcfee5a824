"""The programs in examples/ run, and say what they are there to show. Those that answer run in this
process, which has imported what they need."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from sake_registry import compile_registry, open_registry
from tests import tiny_models, workshop
from tests.conftest import ROOT
from tests.repositories import GitRegistry, _own_configuration, make_registry, registry
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

pytestmark = pytest.mark.model

__all__ = ["_own_configuration", "make_registry", "registry"]

EXAMPLES = ROOT / "examples"
PROMPTS = [*IN_SCOPE, *OUT_OF_SCOPE]


def answered(name: str, *arguments: str, stdin: str = "") -> list[str]:
    """The lines that an example prints that runs in this process."""
    out = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        patch.setattr(sys, "stdin", StringIO(stdin))
        patch.setattr(sys, "stdout", out)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return out.getvalue().splitlines()


def run(
    name: str, *arguments: str, folder: Path | None = None, code: int = 0, stdin: str = ""
) -> list[str]:
    """The lines that an example prints."""
    bin_ = Path(sys.executable).parent  # where `sake` is installed
    environ = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder, env=environ, input=stdin, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry for a tiny random model, not compiled."""
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_models.save("llama", folder / "model")
    return workshop.make_registry(folder / "registry", model)


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names == {"attach.py", "batch.py", "review_in_ci.py"}


def test_attach_compiles_and_shows_which_edit_fired(tiny: Path) -> None:
    lines = answered("attach.py", str(tiny), *PROMPTS)
    assert all(line.startswith(prompt) for line, prompt in zip(lines[::2], PROMPTS, strict=True))
    fired = [line.removeprefix("  fired: ") for line in lines[1::2]]
    assert fired[0].startswith("australia-capital (")
    assert fired[1].startswith("tolstoy-tongue (")
    assert not any(line.startswith(("australia-capital", "tolstoy-tongue")) for line in fired[2:])


def test_batch_gives_a_json_line_for_each_prompt(tiny: Path, tmp_path: Path) -> None:
    compile_registry(open_registry(tiny))
    prompts = PROMPTS * 5  # more than one batch
    file = tmp_path / "prompts.txt"
    file.write_text("\n\n".join(prompts))
    from_file = [json.loads(line) for line in answered("batch.py", str(tiny), str(file))]
    assert [answer["prompt"] for answer in from_file] == prompts
    for answer in from_file:
        if answer["edit"] is None:
            assert answer["bare"] == answer["edited"]
    assert {answer["edit"] for answer in from_file} == {"australia-capital", "tolstoy-tongue", None}
    from_stdin = answered("batch.py", str(tiny), stdin="\n".join(prompts))
    assert [json.loads(line) for line in from_stdin] == from_file


def test_a_review_ends_with_its_exit_code(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "sound")
    registry.write("added", subject="Jean Gabin", new="German")
    registry.commit()
    lines = run("review_in_ci.py", "main...sound", "--no-model", folder=registry.root)
    assert lines == ["passed"]
    registry.git("switch", "--quiet", "-c", "wrong")
    registry.write("added", "schema: 1\n")
    registry.commit()
    lines = run("review_in_ci.py", "main...wrong", "--no-model", folder=registry.root, code=1)
    assert lines[0].startswith("failed: errors: ")
    assert lines[-1] == "not passed: the change is not to be merged"
    assert run("review_in_ci.py", "main...none", "--no-model", folder=registry.root, code=1) == []


@pytest.mark.slow
def test_the_demo_is_answered(tmp_path: Path) -> None:
    """On the real model: the two prompts of docs/python.md."""
    shutil.copy(ROOT / "sake.toml", tmp_path)
    shutil.copytree(ROOT / "edits", tmp_path / "edits")
    lines = answered("attach.py", str(tmp_path))
    assert lines[0].startswith("The capital of Australia is' Canberra")
    assert lines[1].startswith("  fired: australia-capital ")
    assert lines[3].startswith("  fired: none ")
    (answer,) = answered("batch.py", str(tmp_path), stdin="The capital of Australia is\n")
    read = json.loads(answer)
    assert (read["bare"].split()[0], read["edited"].split()[0]) == ("Sydney.", "Canberra.")
