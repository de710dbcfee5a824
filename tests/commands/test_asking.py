"""`sake ask`: one prompt, prompts of a file or a pipe, a terminal; each as if asked alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sake_registry import compile_registry, open_registry
from sake_registry.wording import visible
from tests import tiny_models, workshop
from tests.commands.test_main import on_a_terminal
from tests.conftest import Run

PROMPT, OTHER = "The capital of Australia is", "The weather on Tuesday was"
SHORT = ("--tokens", "4", "--top", "2")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled registry for a tiny model that has a template for chats."""
    folder = tmp_path_factory.mktemp("asking")
    model = tiny_models.save("gpt2", folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tokenizer.save_pretrained(model)
    root = workshop.make_registry(folder / "registry", model)
    compile_registry(open_registry(root))
    return root


def answers(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_lines_are_answered_each_as_if_asked_alone(here: Path, sake: Run) -> None:
    alone = [
        json.loads(sake("ask", prompt, *SHORT, "--json", cwd=here).stdout)
        for prompt in (PROMPT, OTHER)
    ]
    assert [answer["decision"]["edit"] for answer in alone] == ["australia-capital", None]
    assert alone[0]["before"] != alone[0]["after"]
    assert alone[1]["before"] == alone[1]["after"]
    typed = f'{PROMPT}\n\n{{"prompt": "{OTHER}"}}\n'
    piped = sake("ask", "-", *SHORT, "--json", cwd=here, input=typed)
    assert piped.returncode == 0, piped.stderr
    assert answers(piped.stdout) == alone
    (here / "prompts.txt").write_text(f"{PROMPT}\n{{}}\n{OTHER}\n")
    file = sake("ask", "--file", "prompts.txt", *SHORT, "--json", cwd=here)
    assert file.returncode == 1  # a line has no prompt: it is named, and the others are answered
    assert "line 2: " in file.stderr
    assert answers(file.stdout) == alone
    shown = sake("ask", "--file", "prompts.txt", "--bare", *SHORT, cwd=here)
    assert f"bare:     {OTHER}{visible(str(alone[1]['before']))}\n" in shown.stdout


def test_a_chat_is_asked_in_the_models_template(here: Path, sake: Run) -> None:
    chat = json.loads(sake("ask", "--chat", PROMPT, *SHORT, "--json", cwd=here).stdout)
    text = json.loads(sake("ask", f"user: {PROMPT}\n", *SHORT, "--json", cwd=here).stdout)
    assert chat["prompt"] == PROMPT
    assert chat | {"prompt": ""} == text | {"prompt": ""}


def test_the_bundle_is_spoken_of_once(here: Path, sake: Run) -> None:
    file = next((here / "edits").glob("*.yaml"))
    before = file.read_text()
    file.write_text(before.replace("<subject>", "the land of <subject>", 1))
    try:
        done = sake("ask", *SHORT, cwd=here, input=f"{PROMPT}\n{OTHER}\n")
    finally:
        file.write_text(before)
    assert done.stdout.count("decision: ") == 2
    assert done.stderr.count("bundle: ") == 1
    assert done.stderr.count(f"{file.stem}: ") == 1


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('no users') }}", "{{ 'a' + 1 }}", "{{ 'no users'.index('x') }}"],
)
def test_a_template_that_refuses_a_prompt_is_no_fault_of_the_program(
    here: Path, sake: Run, template: str
) -> None:
    """Whatever a template raises: of jinja's own errors and of Python's."""
    file = here.parent / "model" / "chat_template.jinja"
    before = file.read_text()
    file.write_text(template)
    try:
        done = sake("ask", "--bare", "--chat", PROMPT, *SHORT, cwd=here)
    finally:
        file.write_text(before)
    assert done.returncode == 1
    assert "error: the model's chat template refuses these messages: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [((), 2, "no prompt: give PROMPT"), (("-",), 2, "no prompt: give PROMPT"),
     ((PROMPT, "--file", "-"), 2, "give PROMPT or --file"),
     (("-", "--file", "prompts.txt"), 2, "give PROMPT or --file"),
     ((" ",), 1, "an empty prompt"), (("a " * 600,), 1, "more than the model's 512")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(
    here: Path, sake: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = sake("ask", *arguments, cwd=here)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


def test_a_terminal_is_answered_line_after_line(here: Path) -> None:
    code, shown = on_a_terminal(here, "ask", *SHORT, typed=f"{PROMPT}\n{OTHER}\n\x04")
    assert code == 0, shown
    assert shown.count("decision: ") == 2
    assert shown.count("> ") >= 3
