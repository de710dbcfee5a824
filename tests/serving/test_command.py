"""`sake serve` as a program: what it refuses, how it starts, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from openai import OpenAI

from sake_registry.remote.pointer import write_pointer
from tests.commands.test_imports import loaded_by
from tests.conftest import ROOT, Run
from tests.serving.conftest import TOKEN, World
from tests.workshop import IN_SCOPE


@pytest.fixture
def registry_of(world: World) -> Path:
    """The registry that the world's bundles were compiled from."""
    return world.both.parent.parent


@contextmanager
def served(*arguments: str, folder: Path = ROOT) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`sake serve` on any port: its process, and its address."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("serving "):
                break
        else:
            pytest.fail("".join(said))
        yield process, line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_it_serves_until_it_is_told_to_stop(world: World, tmp_path: Path) -> None:
    write_pointer(tmp_path / "production.json", str(world.both))
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    arguments = [
        "--bundle", str(tmp_path / "production.json"), "--model", str(world.loaded.located.folder),
        "--name", "named", "--log", str(tmp_path / "log.jsonl"), "--log-prompts",
        "--admin-token-file", str(token), "--max-prompt-tokens", "50", "--max-tokens", "20",
        "--decision-budget-ms", "60000",  # a loaded machine is no finding
    ]  # fmt: skip
    with served(*arguments) as (process, url):
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        answer: Any = client.completions.create(
            model="named", prompt=IN_SCOPE[0], max_tokens=8, temperature=0
        )
        assert "Canberra" in answer.choices[0].text
        with urlopen(f"{url}/v1/edits") as edits:
            assert json.loads(edits.read())["switchable"]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["prompt"] == IN_SCOPE[0]


def test_in_a_registry_it_serves_the_newest_bundle_and_the_registry_s_overrides(
    registry_of: Path, tmp_path: Path
) -> None:
    overrides = registry_of / "overrides.json"
    overrides.write_text(json.dumps({"disabled": {"australia-capital": "wrong"}}))
    try:
        log = f"--log={tmp_path / 'log.jsonl'}"
        with served("--shadow", log, folder=registry_of) as (_, url):
            with urlopen(f"{url}/v1/edits") as edits:
                told = json.loads(edits.read())
            with urlopen(f"{url}/health") as health:
                assert json.loads(health.read())["mode"] == "shadow"
    finally:
        overrides.unlink()
    assert {edit["id"]: edit["reason"] for edit in told["data"]}["australia-capital"] == "wrong"
    assert not told["switchable"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", "0.0.0.0"], 1, "set SAKE_ADMIN_TOKEN"),
        (["--host", "::"], 1, "set SAKE_ADMIN_TOKEN"),
        (["--host", "example.test"], 1, "set SAKE_ADMIN_TOKEN"),
        (["--admin-token-file", "nowhere"], 1, "the token cannot be read"),
        (["--bare", "--bundle", "x.h5"], 2, "--bare has no bundle"),
        (["--bundle", "nowhere.h5"], 1, "no bundle"),
        (["--bundle", "nowhere.json"], 1, "no pointer"),
        ([], 1, "no registry at or above"),
    ],
)
def test_what_cannot_be_served_is_refused(
    world: World, sake: Run, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    model = ["--model", str(world.loaded.located.folder), "--port", "0"]
    done = sake("serve", *model, *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_a_pointer_that_cannot_be_reached(world: World, sake_process: Run, tmp_path: Path) -> None:
    """Of a process, which lets its sockets go."""
    model = ["--model", str(world.loaded.located.folder), "--port", "0"]
    done = sake_process("serve", *model, "--bundle", "http://127.0.0.1:9/p.json", cwd=tmp_path)
    assert (done.returncode, "cannot be reached" in done.stderr) == (4, True)


def test_a_short_token_and_a_taken_port(world: World, sake: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    done = sake("serve", "--admin-token-file", "token", cwd=tmp_path)
    assert (done.returncode, "at least 16 characters" in done.stderr) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = sake("serve", "--bundle", str(world.both), "--port", port, cwd=tmp_path)
    assert (done.returncode, "--port chooses another" in done.stderr) == (4, True)


def test_a_server_s_variables_are_no_misspelt_settings(registry: Path, sake_process: Run) -> None:
    variables = {"SAKE_ADMIN_TOKEN": TOKEN, "SAKE_BUNDLE": "x.h5", "SAKE_ADMIN_TOKENS": "x"}
    done = sake_process("list", cwd=registry, env={**os.environ, **variables})
    assert re.findall(r"\S+ is not a setting", done.stderr) == [
        "SAKE_ADMIN_TOKENS is not a setting"
    ]


def test_help_loads_no_server() -> None:
    code = (
        "import sys, json\n"
        "from sake_registry.commands.serve import command\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    roots = {str(name).partition(".")[0] for name in loaded_by(code)}
    assert not roots & {"torch", "fastapi", "uvicorn", "fsspec", "prometheus_client", "pydantic"}
