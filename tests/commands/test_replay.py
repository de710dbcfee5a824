"""`sake replay`: a log through a bundle's router, with nothing lost and nothing made up."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from sake_registry import compile_registry, open_registry
from sake_registry.asking.prompts import MAX_BYTES, Line, read_prompts
from sake_registry.asking.replay import BATCH, SHOWN, replay
from sake_registry.commands import replay as command
from sake_registry.commands.console import State
from sake_registry.edits.registry import Registry
from sake_registry.errors import InputError, ModelMismatchError
from sake_registry.routing.router import Decision
from tests import tiny_models, workshop
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled

PROMPTS = (
    *IN_SCOPE,
    *OUT_OF_SCOPE,
    "The government of Down Under sits in",
    "Leo Tolstoy grew up speaking",
    "Leo Tolstoy wrote a novel about",
    "When it is winter in Australia, the weather is",
    "The parliament of Australia stands in the state of",
)


def lines(data: bytes) -> list[Line]:
    return list(read_prompts(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("The capital of X is", "The capital of X is"),
        ("  two words \r", "  two words "),
        ('{"prompt": "a\\nb", "edit": null}', "a\nb"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "a"),
        (
            '{"model": "m", "messages": [{"role": "system", "content": "s"}, '
            '{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, '
            '{"role": "user", "content": [{"type": "text", "text": "c"}, '
            '{"type": "image_url", "image_url": {}}]}, {"role": "assistant", "content": "d"}]}',
            "s\na\nb\nc",
        ),
        (
            '{"messages": [{"role": "assistant", "tool_calls": []}, '
            '{"role": "user", "content": "a"}]}',
            "a",
        ),
    ],
)
def test_a_line_that_has_a_prompt(text: str, prompt: str) -> None:
    assert lines(text.encode()) == [Line(1, prompt)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"prompt": ["a", "b"]}', "its prompt is not text"),
        (b'{"prompt": " "}', "its prompt is empty"),
        (b'{"prompt": "a"', "not JSON: Expecting ',' delimiter at column 15"),
        (b'{"text": "a"}', 'a line is a prompt, or has "prompt" or "messages"'),
        (b'{"messages": "a"}', "its messages are not a list of objects"),
        (b'{"messages": ["a"]}', "its messages are not a list of objects"),
        (b'{"messages": [{"content": 5}]}', "the content of a message is not text"),
        (b'{"messages": []}', "its prompt is empty"),
        (b'{"prompt_sha256": "ab"}', "the hash of a prompt, without the prompt"),
        (b'{"a":' * 100_000, "not JSON that can be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "longer than 1048576 bytes"),
        (b"x" * (5 * MAX_BYTES), "longer than 1048576 bytes"),
    ],
)
def test_a_line_that_has_none(text: bytes, problem: str) -> None:
    first, second = lines(text + b"\nnext one")
    assert first.number == 1
    assert problem in first.problem
    assert second == Line(2, "next one")


def test_the_longest_line_and_the_mark_of_its_encoding() -> None:
    longest = b"x" * MAX_BYTES
    assert [len(line.prompt) for line in lines(longest + b"\n" + longest)] == [MAX_BYTES] * 2
    assert lines(b'\xef\xbb\xbf{"prompt": "a"}\n\n \nb') == [Line(1, "a"), Line(4, "b")]


@given(st.lists(st.binary(max_size=40)))
def test_no_line_is_lost(texts: list[bytes]) -> None:
    texts = [text.replace(b"\n", b"") for text in texts]
    found = lines(b"\n".join(texts))
    whole = [
        number
        for number, text in enumerate(texts, 1)
        if text.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip()
    ]
    assert [line.number for line in found] == whole
    assert all(bool(line.prompt) != bool(line.problem) for line in found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)


def no_registry() -> Registry:
    raise AssertionError("no registry is needed")


def many(tmp_path: Path) -> tuple[Path, list[str]]:
    """A log of more prompts than are decided on at once, with lines between that have none."""
    texts = [f"{text}{' now' * (n % 3)}" for n in range(22) for text in PROMPTS]
    path = tmp_path / "log.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"prompt": text}) if number % 2 else text)
            file.write("\n\n{\n" if number % 50 == 0 else "\n")
    assert len(texts) > 3 * BATCH
    return path, texts


def one_by_one(made: Compiled, texts: Sequence[str]) -> list[Decision]:
    known = {text: made.bundle.route(text)[0] for text in dict.fromkeys(texts)}
    return [known[text] for text in texts]


def test_it_counts_what_the_router_decides_of_each_prompt(made: Compiled, tmp_path: Path) -> None:
    path, texts = many(tmp_path)
    report = replay(path, made.bundle.path, no_registry)
    decisions = one_by_one(made, texts)
    fired = [d for d in decisions if d.edit]
    assert 0 < len(fired) < len(texts)
    assert (report.prompts, report.fired) == (len(texts), len(fired))
    assert report.share == len(fired) / len(texts)
    assert report.near == sum(d.nearest is not None for d in decisions)
    assert report.unusable == len(range(0, len(texts), 50))
    assert [line.line for line in report.first_unusable][:2] == [3, 55]
    assert report.key == made.bundle.manifest.key
    assert [edit.fires for edit in report.edits] == sorted(e.fires for e in report.edits)[::-1]
    for edit in report.edits:
        here = [d for d in decisions if d.nearest == edit.edit]
        fires, misses = ([d for d in here if bool(d.edit) == fired] for fired in (True, False))
        assert (edit.fires, edit.misses) == (len(fires), len(misses))
        assert sum(edit.reasons.values()) == len(misses)
        for some, at in ((fires, edit.fires_at), (misses, edit.misses_at)):
            assert at is not None
            distances = [d.distance for d in some if d.distance is not None]
            wanted = np.quantile(distances, [0, 0.1, 0.5, 0.9, 1])
            assert [*at.model_dump().values()] == pytest.approx(wanted, abs=1e-5)
        over = [e.distance - e.threshold for e in edit.nearest]
        assert over == sorted(over)
        assert over[0] == pytest.approx(
            min(d.distance - d.threshold for d in misses if d.distance and d.threshold), abs=1e-5
        )
        under = [e.threshold - e.distance for e in edit.furthest]
        assert under == sorted(under)
        assert len(under) == len(over) == 3


def test_another_threshold_says_what_it_would_change(made: Compiled, tmp_path: Path) -> None:
    path, texts = many(tmp_path)
    now = one_by_one(made, texts)
    bound = sorted(d.distance for d in now if d.distance is not None)[len(texts) // 2]
    own = made.bundle.router()
    for threshold in (1e-3, bound, 1e6):
        entries = [replaced(e, threshold=threshold, implied=None) for e in made.bundle.entries()]
        router = made.bundle.router_over(entries, own._embed)
        known = {text: router.decide(text)[0].edit for text in dict.fromkeys(texts)}
        then = [known[text] for text in texts]
        report = replay(path, made.bundle.path, no_registry, threshold=threshold, examples=1000)
        assert report.fired == sum(d.edit is not None for d in now)
        assert report.fired_then == sum(edit is not None for edit in then)
        for edit in report.edits:
            assert edit.changed is not None
            pairs = [(d.edit, other) for d, other in zip(now, then, strict=True) if d.edit != other]
            assert edit.changed.gained == sum(other == edit.edit for _, other in pairs)
            assert edit.changed.lost == sum(before == edit.edit for before, _ in pairs)
            assert len(edit.changed.examples) == edit.changed.gained + edit.changed.lost
    # What was asked beside left the bundle's own router as it was.
    assert one_by_one(made, texts[:20]) == now[:20]
    with pytest.raises(InputError, match="a threshold of 0: it is above 0"):
        replay(path, made.bundle.path, no_registry, threshold=0)


def test_a_long_prompt_is_shown_by_its_end(made: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("Well. " * 2000 + IN_SCOPE[0])
    (edit,) = replay(path, made.bundle.path, no_registry).edits
    (example,) = (*edit.furthest, *edit.nearest)
    assert len(example.prompt) == SHOWN
    assert example.prompt.startswith("…")
    assert example.prompt.endswith(IN_SCOPE[0])


def test_the_model_s_own_states_need_the_model_that_they_are_of(tmp_path: Path) -> None:
    folder = tiny_models.save("gpt2", tmp_path / "tiny-gpt2")
    root = workshop.make_registry(tmp_path / "registry", folder)
    settings = {"router.representation": "hidden", "router.threshold": 0.01}
    registry = open_registry(root, settings)
    bundle = compile_registry(registry).bundle
    assert bundle is not None
    log = tmp_path / "log.txt"
    log.write_text("\n".join(PROMPTS))
    report = replay(log, bundle, lambda: registry, threshold=10)
    assert report.prompts == len(PROMPTS)
    assert report.fired >= len(IN_SCOPE)
    assert report.fired_then is not None
    assert report.fired_then > report.fired
    another = tiny_models.save("llama", tmp_path / "tiny-llama")
    with pytest.raises(ModelMismatchError, match="compares prompts by the last hidden state of"):
        replay(log, bundle, lambda: open_registry(root, {**settings, "model": str(another)}))


def run(made: Compiled, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command.command, arguments, obj=State(made.root), input=stdin)


def test_on_the_command_line(made: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("\n".join([*PROMPTS, "{"]))
    done = run(made, str(path), "--threshold", "0.5", "--examples", "1")
    assert done.exit_code == 0, done.output
    assert f"{len(PROMPTS)} prompts: an edit would fire for" in done.stdout
    assert "australia-capital fires, nearest to its bound:" in done.stdout
    assert "would gain" in done.stdout
    assert f"log.txt:{len(PROMPTS) + 1}: not JSON" in done.stderr
    elsewhere = State(tmp_path)  # where no registry is
    arguments = ["-", "--bundle", str(made.bundle.path), "--json"]
    done = CliRunner().invoke(command.command, arguments, obj=elsewhere, input="\n".join(PROMPTS))
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert value["schema"] == "replay/1"
    assert (value["prompts"], value["threshold"]) == (len(PROMPTS), None)
    assert {edit["edit"] for edit in value["edits"]} == set(workshop.EDITS)


def test_what_has_no_prompt_is_no_success(made: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for text, message in (
        ("", "log.txt is empty"),
        ("\n\n", "log.txt is empty"),
        ("\n{\n{", "log.txt:2: not JSON: .*; no line has a prompt"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            replay(path, made.bundle.path, no_registry)
    for wrong in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            replay(wrong, made.bundle.path, no_registry)
