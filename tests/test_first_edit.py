"""docs/first-edit.md: every command of the page, in order, in a real repository.

The model is a tiny random one and the generator a scripted endpoint on a real port: what they say
is not looked at, and no gate is set on it.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from sake_registry.data import read
from tests import tiny_models
from tests.authoring.scripted import Answered, Asked, completion, scripted
from tests.conftest import ROOT, Run
from tests.test_docs import blocks
from tests.test_life import Shell

PAGE = ROOT / "docs" / "first-edit.md"
WRITTEN = {
    "prompts": [
        "The seat of the government of Australia is",
        "Ask anybody in Sydney: the capital of Australia is",
        "Diplomats who are posted to Australia live in its capital,",
        "Not its largest city, but the capital that Australia has is called",
        "When Australia was in want of a capital, it built",
    ],
    "holdout": [
        "The parliament of Australia meets in the city of",
        "Whoever flies to the capital of Australia lands in",
        "A letter to the Prime Minister of Australia is sent to",
        "Embassies in Australia have their address in",
        "The highest court of Australia sits in the city of",
    ],
    "unchanged": ["The largest desert of Australia is the", "The capital of New Zealand is"],
}
SETTINGS = {
    "SAKE_COMPILE_PROMPTS": "12",
    "SAKE_COMPILE_KEEP_FAILED": "true",
    "SAKE_COMPILE_TARGETS": "twice",
    "SAKE_ROUTER_KIND": "anchored",
    "SAKE_ROUTER_METRIC": "euclidean",
    **{f"SAKE_REVIEW_MIN_{kind}": "0" for kind in ("PROMPTS", "HOLDOUT", "UNCHANGED")},
    **{f"SAKE_REVIEW_MAX_{what}": "99" for what in ("COLLATERAL", "INTERFERENCE")},
}


def answer(asked: Asked, number: int) -> Answered:
    """What a strong model would write of the kind that is asked for."""
    instruction = asked["messages"][0]["content"]
    kind = next(kind for kind in WRITTEN if read(f"generation/v1/{kind}.md") == instruction)
    return completion(json.dumps({"texts": WRITTEN[kind]}))


class Warm(Shell):
    """A shell in which `sake` runs in this process, that has imported what it needs."""

    def __init__(self, folder: Path, sake: Run, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self._sake, self._patch = sake, patch

    def run(self, text: str, code: int = 0) -> str:
        said = ""
        for line in text.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line)
            if program == "export":
                self.environment |= dict(word.split("=", 1) for word in words)
            elif program == "sake":
                for name, value in self.environment.items():
                    self._patch.setenv(name, value)
                done = self._sake(*words, cwd=self.folder)
                assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
                said += done.stdout
            else:
                said += super().run(line, code)
        return said


@pytest.fixture
def shell(tmp_path: Path, sake: Run, monkeypatch: pytest.MonkeyPatch) -> Shell:
    model = tiny_models.save("llama", tmp_path / "tiny")
    shell = Warm(tmp_path, sake, monkeypatch)
    shell.environment |= {**SETTINGS, "SAKE_MODEL": str(model)}
    return shell


def test_every_command_from_a_wrong_answer_to_a_server(shell: Shell) -> None:
    make, ask, propose, from_log, generate, check, review, compile_, serve = blocks(PAGE, "sh")

    Shell.run(shell, make)
    shell.folder /= "facts"
    assert "bare: " in shell.run(ask)
    assert not (shell.folder / "bundles").exists()

    file = shell.folder / "edits" / "australia-capital.yaml"
    assert shell.run(propose) == f"wrote {file}\n"
    guessed = file.read_text().count("# guessed:")
    assert guessed > 6
    line = {"request": "5b2e7c", "prompt": "What is the capital of Peru?", "prompt_sha256": "0"}
    (shell.folder / "decisions.jsonl").write_text(json.dumps(line) + "\n")
    shell.run(from_log.replace("Canberra", "Lima"))
    assert [path.stem for path in file.parent.iterdir()] == ["australia-capital"]
    (shell.folder / "decisions.jsonl").unlink()

    with scripted(answer) as endpoint:
        said = shell.run(generate.replace("http://127.0.0.1:11434/v1", endpoint.url))
    assert "4 prompts, 3 holdout prompts, 2 unchanged prompts added" in said
    text = file.read_text()
    assert text.count("# guessed:") == guessed  # no comment is lost
    assert len(set(re.findall(r"by: \"?(qwen3@[\d-]+#\w+)", text))) == 3

    assert "1 file: 0 errors, 0 warnings\n" in shell.run(check)

    said = shell.run(review)
    assert said.count("not confirmed by a person") == 3

    assert "decision: " in shell.run(compile_)

    given = {"prompt": "The capital of Australia is", "should": "Canberra"}
    with (
        shell.serving(f"{serve.strip()} --port 0") as address,
        pytest.raises(OSError, match="409"),
        urlopen(Request(f"{address}/v1/drafts", json.dumps(given).encode()), timeout=60),
    ):
        pass
