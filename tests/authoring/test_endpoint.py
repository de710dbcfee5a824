"""The client of a language model, against real sockets: what it sends, bounds, repeats, records."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sake_registry.authoring.endpoint import FOLDER, MAX_REPLY_BYTES, Endpoint, parsed
from sake_registry.errors import (
    GeneratorError,
    InputError,
    MissingExtraError,
    ReplyError,
    SettingsError,
)
from sake_registry.settings import Settings, load_settings
from sake_registry.values import Value
from tests.authoring.scripted import Answered, Asked, Scripted, completion, refused, scripted, texts

KEY = "sk-a-key-that-nobody-may-see"


class Texts(Value):
    texts: tuple[str, ...]


def settings(url: str, **more: str) -> Settings:
    environ = {"SAKE_GENERATOR_BASE_URL": url, "SAKE_GENERATOR_MODEL": "strong", **more}
    return load_settings(None, {}, environ)


def endpoint(served: Scripted, root: Path, **more: Any) -> Endpoint:
    return Endpoint(settings(served.url), root, sleep=lambda _: None, **more)


def ask(of: Endpoint, **more: Any) -> tuple[str, ...]:
    return of.ask("Write texts.", "About X.", Texts, **more).value.texts


def records(root: Path) -> list[Path]:
    return sorted((root / FOLDER).glob("*.json"))


def test_a_call_is_made_once_recorded_and_repeated_without_the_endpoint(tmp_path: Path) -> None:
    with (
        scripted(lambda asked, n: texts("one", f"call {n}")) as served,
        endpoint(served, tmp_path, key=KEY) as first,
    ):
        reply = first.ask("Write texts.", "About X.", Texts)
        assert reply.value.texts == ("one", "call 0")
        assert ask(first) == ("one", "call 0")
        assert ask(first, attempt=1) == ("one", "call 1")
    assert (first.cost.calls, first.cost.recorded) == (2, 1)
    assert (first.cost.tokens_read, first.cost.tokens_written) == (200, 100)
    sent = served.asked[0]
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert (sent["temperature"], sent["seed"], sent["max_tokens"]) == (0, 0, 2000)
    form = sent["response_format"]["json_schema"]["schema"]
    assert (form["required"], form["additionalProperties"]) == (["texts"], False)
    model, _, call = reply.by.partition("#")
    assert model.startswith("strong@20")
    assert [path.name.startswith(call) for path in records(tmp_path)].count(True) == 1
    # The endpoint is gone.
    with endpoint(served, tmp_path, replay=True) as again:
        assert again.ask("Write texts.", "About X.", Texts) == reply
        with pytest.raises(GeneratorError, match="not recorded"):
            again.ask("Write other texts.", "About X.", Texts)
    assert again.cost.calls == 0


def test_the_key_goes_where_a_person_says_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "sk-another")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: sk-another")
    told = (texts(KEY), refused(429, f"slow down, {KEY}"), refused(400, f"no, {KEY}"))
    with scripted(lambda asked, n: told[min(n, 2)]) as served:
        with endpoint(served, tmp_path, key=KEY) as given:
            assert ask(given) == ("[the key]",)
            with pytest.raises(GeneratorError) as error:
                ask(given, attempt=1)
        toml = f'[generator]\nbase_url = "{served.url}"\nmodel = "strong"\n'
        (tmp_path / "sake.toml").write_text(toml)
        with Endpoint(load_settings(tmp_path, {}, {}), tmp_path, key=KEY) as of_file:
            told = (refused(401, "who are you?"),) * 3
            with pytest.raises(GeneratorError, match="401") as unknown:
                ask(of_file, attempt=2)
    assert served.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in served.headers[-1]
    assert "was not sent" in (unknown.value.hint or "")
    assert "sk-another" not in str(served.headers)
    shown = str(error.value) + str(unknown.value) + caplog.text
    assert "[the key]" in shown
    assert KEY not in shown + "".join(path.read_text() for path in records(tmp_path))
    with pytest.raises(InputError, match="SAKE_GENERATOR_API_KEY"):
        Endpoint(settings("http://h/v1"), tmp_path, key="two\nlines")


def later(*first: Answered) -> Callable[[Asked, int], Answered]:
    return lambda asked, n: first[n] if n < len(first) else texts("at last")


def test_what_may_be_answered_later_is_asked_again_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []
    cut = completion("never whole")
    cut.only = 20
    with (
        scripted(later(refused(429, "busy", **{"Retry-After": "7"}), refused(500, "oh"), cut)) as s,
        Endpoint(settings(s.url), tmp_path, sleep=waited.append) as asked,
        caplog.at_level(logging.WARNING),
    ):
        assert ask(asked) == ("at last",)
    assert asked.cost.calls == 4
    assert waited == [7, 2, 4]
    said = [record.getMessage() for record in caplog.records]
    assert ["429" in said[0], "500" in said[1], "broke off" in said[2]] == [True] * 3
    assert all(f"({n} of 3)" in text for n, text in enumerate(said, 1))


def test_it_gives_up_and_says_what_to_do(tmp_path: Path) -> None:
    with (
        scripted(lambda asked, n: refused(503, "gone")) as served,
        endpoint(served, tmp_path) as asked,
        pytest.raises(GeneratorError, match="503: gone, 4 times") as error,
    ):
        ask(asked)
    assert "goes on from there" in (error.value.hint or "")
    assert records(tmp_path) == []
    with endpoint(served, tmp_path) as nobody, pytest.raises(GeneratorError, match="reached"):
        ask(nobody)


def test_a_slow_answer_is_not_waited_for(tmp_path: Path) -> None:
    held = threading.Event()
    slow = texts("too late")
    slow.wait = held
    with scripted(lambda asked, n: slow) as served:
        at_hand = settings(served.url, SAKE_GENERATOR_TIMEOUT="0.2", SAKE_GENERATOR_RETRIES="0")
        with Endpoint(at_hand, tmp_path) as asked, pytest.raises(GeneratorError) as error:
            ask(asked)
        held.set()
    assert "has not answered in" in str(error.value)


def test_parameters_that_an_endpoint_does_not_take_are_left_out(tmp_path: Path) -> None:
    """One that names what it refuses, and one that does not."""

    def choosy(asked: Asked, n: int) -> Answered:
        for name in ("temperature", "max_tokens"):
            if name in asked:
                return refused(400, f"Unsupported parameter: '{name}'")
        return refused(422, "cannot") if "response_format" in asked else texts("plain")

    with scripted(choosy) as served, endpoint(served, tmp_path) as asked:
        assert ask(asked) == ("plain",)
        assert ask(asked, attempt=1) == ("plain",)
    assert len(served.asked) == 5  # what was learned holds
    assert served.asked[-1].keys() == {"messages", "model", "seed", "max_completion_tokens"}


def test_the_form_is_left_out_where_an_endpoint_breaks_on_it_and_says_nothing(
    tmp_path: Path,
) -> None:
    def breaking(asked: Asked, n: int) -> Answered:
        return refused(500, "") if "response_format" in asked else texts("plain")

    with scripted(breaking) as served, endpoint(served, tmp_path) as asked:
        assert ask(asked) == ("plain",)
    assert ["response_format" in sent for sent in served.asked] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answered(b"x" * (MAX_REPLY_BYTES + 10)), "more than"),
        (Answered(b"{}", headers={"Content-Encoding": "gzip"}), "encoding"),
        (Answered(b"<html>hello</html>"), "OpenAI's API"),
        (Answered(b'{"choices": []}'), "OpenAI's API"),
        (refused(302, "elsewhere", Location="http://127.0.0.1:1/"), "302"),
        (refused(404, "no such model"), "404"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(tmp_path: Path, answer: Answered, said: str) -> None:
    with (
        scripted(lambda asked, n: answer) as served,
        endpoint(served, tmp_path) as asked,
        pytest.raises(GeneratorError, match=said),
    ):
        ask(asked)
    assert records(tmp_path) == []


def test_calls_and_tokens_are_bounded(tmp_path: Path) -> None:
    for name, most in (("CALLS", "2"), ("TOKENS", "300")):
        with scripted(lambda asked, n: texts("a")) as served:
            at_hand = settings(served.url, **{f"SAKE_GENERATOR_MAX_{name}": most})
            with Endpoint(at_hand, tmp_path / name) as asked:
                ask(asked)
                ask(asked, attempt=1)
                with pytest.raises(GeneratorError, match=f"max_{name.lower()} is {most}"):
                    ask(asked, attempt=2)
        assert len(served.asked) == 2


def test_json_is_found_in_text_and_its_end_may_be_missing() -> None:
    assert parsed('Sure!\n```json\n{"texts": ["a"]}\n```', Texts).texts == ("a",)
    assert parsed('{"texts": ["a", "b", "c', Texts).texts == ("a", "b")
    for wrong in (
        "no",
        '{"texts": 1}',
        '{"text',
        '{"texts": [1]}',
        '{"a":' * 9000,
        "{" + "9" * 9999,
    ):
        with pytest.raises(ReplyError):
            parsed(wrong, Texts)


def test_a_record_that_somebody_changed_is_refused(tmp_path: Path) -> None:
    with scripted(lambda asked, n: texts("a")) as served:
        with endpoint(served, tmp_path) as asked:
            ask(asked)
        (path,) = records(tmp_path)
        for change in (
            {"call": {**json.loads(path.read_text())["call"], "task": "x"}},
            {"more": 1},
        ):
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
            with pytest.raises(GeneratorError, match="rm "):
                ask(asked)
    assert len(served.asked) == 1


def test_an_address_holds_no_secret_and_has_to_be_set(tmp_path: Path) -> None:
    for url in ("http://u:p@h/v1", "https://h/v1?key=1", "ftp://h", "h/v1", "http://[/v1"):
        with pytest.raises(SettingsError, match="SAKE_GENERATOR_BASE_URL"):
            settings(url)
    with pytest.raises(SettingsError, match="SAKE_GENERATOR_MODEL"):
        settings("http://h/v1", SAKE_GENERATOR_MODEL="two\nlines")
    with pytest.raises(SettingsError, match=r"generator\.model is empty"):
        Endpoint(Settings(), tmp_path)


def test_without_the_client_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match="openai") as error:
        Endpoint(settings("http://h/v1"), tmp_path)
    assert error.value.exit_code == 4
    assert "'.[generate]'" in (error.value.hint or "")
    Endpoint(settings("http://h/v1"), tmp_path, replay=True)
