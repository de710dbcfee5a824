"""The commands and the program of docs/production.md, run on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sake_registry.remote.pointer import write_pointer
from tests.conftest import ROOT, Run
from tests.serving.conftest import TOKEN, World
from tests.serving.test_command import served
from tests.test_docs import blocks, commands
from tests.workshop import IN_SCOPE

PAGE = ROOT / "docs" / "production.md"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's commands are run: with a pointer."""
    write_pointer(tmp_path / "production.json", str(world.both))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAKE_ADMIN_TOKEN", TOKEN)
    return tmp_path


def in_python(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    """What the page's program prints."""
    (text,) = blocks(PAGE, "python")
    assert text.count(MODEL) == 1
    exec(compile(text.replace(MODEL, str(world.loaded.located.folder)), PAGE.name, "exec"), {})
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_the_program_answers_with_edits_and_without(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    said = in_python(world, capsys)
    assert "Canberra" in said
    assert said.strip().endswith("None"), "nothing is wrong with the pointer"
    Path("overrides.json").write_text(json.dumps({"disabled": {"australia-capital": "a test"}}))
    assert "Canberra" not in in_python(world, capsys).partition("[Decision")[0]


def page_command(world: World, index: int) -> list[str]:
    """The arguments of a `sake serve` of the page, for the tiny model, under the page's name."""
    found = [arguments for arguments in commands(PAGE) if arguments[0] == "serve"][index][1:]
    model = str(world.loaded.located.folder)
    given = [model if word == MODEL else word for word in found]
    named = ["--name", MODEL.rpartition("/")[2].lower()]
    return [*given, *named, "--decision-budget-ms", "60000"]  # a loaded machine is no finding


def test_the_server_and_what_is_asked_of_it(world: World, folder: Path) -> None:
    with served(*page_command(world, 0), folder=folder) as (_, url):
        (calls,) = [text for text in blocks(PAGE, "sh") if text.startswith("curl")]
        assert calls.count("http://127.0.0.1:8000") == 6
        script = calls.replace("http://127.0.0.1:8000", url).replace("curl -s", "curl -sf -w '\\n'")
        done = subprocess.run(
            ["sh", "-e", "-c", script], capture_output=True, text=True, check=False, env=os.environ
        )
    assert done.returncode == 0, done.stdout + done.stderr
    answer, off, on, edits, health, *metrics = done.stdout.splitlines()
    assert "Canberra" in json.loads(answer)["choices"][0]["text"]
    assert json.loads(answer)["sake"]["edit"] == "australia-capital"
    assert (json.loads(off)["state"], json.loads(on)["state"]) == ("disabled", "enabled")
    assert {edit["state"] for edit in json.loads(edits)["data"]} == {"enabled"}
    assert json.loads(health)["problem"] is None
    assert 'sake_fires_total{edit="australia-capital"} 1.0' in metrics


def test_the_log_of_shadow_mode_is_replayed(
    world: World, folder: Path, sake: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAKE_MODEL", str(world.loaded.located.folder))
    with served(*page_command(world, 1), folder=folder) as (_, url):
        body = {"model": MODEL.rpartition("/")[2].lower(), "prompt": IN_SCOPE[0], "max_tokens": 4}
        subprocess.run(
            ["curl", "-sf", f"{url}/v1/completions", "-d", json.dumps(body)],
            check=True, capture_output=True,
        )  # fmt: skip
    (replay,) = [arguments for arguments in commands(PAGE) if arguments[0] == "replay"]
    place = replay.index("--bundle") + 1
    done = sake(*replay[:place], str(world.both), *replay[place + 1 :], "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["prompts"], said["fired"]) == (1, 1)
    assert said["edits"][0]["edit"] == "australia-capital"
