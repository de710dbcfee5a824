"""What is wrong is answered, in OpenAI's shape, and loses nothing."""

from __future__ import annotations

import functools
import json
import logging
import socket
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from openai import APIStatusError

from sake_registry.commands.console import configure_logging
from sake_registry.serving.asked import Asked, Begun, Ended, Event, Failed, Prompt
from sake_registry.serving.batching import BatchLimits
from sake_registry.serving.sampling import Sampling
from tests.serving.conftest import MODEL, TOKEN, Running, Start, World
from tests.serving.hosting import until
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
ASKED: dict[str, Any] = {"model": MODEL, "prompt": "It is", "max_tokens": 2}
LONG = {**ASKED, "prompt": OUT_OF_SCOPE[0], "max_tokens": 480, "temperature": 0}
TALKED: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "It is"}]}


def refused(server: Running, path: str, body: bytes | dict[str, Any], status: int) -> str:
    """The message of a request that is refused so; the server then answers as before."""
    code, head, told = server.call(path, body)
    assert code == status, told
    error = told["error"]
    assert set(error) == {"message", "type", "param", "code", "request_id"}
    assert error["request_id"] == head["x-request-id"]
    assert server.call(COMPLETIONS, ASKED)[0] == 200
    return str(error["message"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"model": "tiny", "prompt": "x", "seed": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"prompt": "x"}', "'model': Field required"),
        (b'{"model": "tiny"}', "'prompt': Field required"),
        (b'{"model": "tiny", "prompt": "\\ud800"}', "not text"),
        (b'{"model": "tiny", "prompt": "x", "temperature": NaN}', "temperature"),
    ],
)
def test_a_malformed_body(server: Running, body: bytes, said: str) -> None:
    assert said in refused(server, COMPLETIONS, body, 400)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("prompt", "", "empty"),
        ("prompt", [], "prompt"),
        ("prompt", 5, "prompt"),
        ("prompt", [1, 2], "prompt"),
        ("prompt", ["x"] * 17, "prompt"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 10_000, "at most 511"),
        ("max_tokens", "5", "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("temperature", -1, "temperature"),
        ("temperature", 2.5, "temperature"),
        ("top_p", 0, "top_p"),
        ("n", 0, "'n'"),
        ("n", 17, "'n'"),
        ("seed", 1 << 64, "seed"),
        ("stop", [""], "stop"),
        ("stop", ["a", "b", "c", "d", "e"], "stop"),
        ("stream", "yes", "stream"),
        ("logprobs", 5, "'logprobs' is not supported"),
        ("echo", True, "'echo' is not supported"),
        ("presence_penalty", 0.5, "'presence_penalty' is not supported"),
        ("logit_bias", {"5": 1}, "'logit_bias' is not supported"),
        ("best_of", 3, "'best_of' is not supported"),
        ("suffix", "end", "'suffix' is not supported"),
        ("sake", {"edit": "none"}, "sake.edit"),
        ("sake", {"edits": "some"}, "sake.edits"),
        ("sake", {"edits": ["nothing-such"]}, "no edit 'nothing-such' is loaded"),
    ],
)
def test_a_field_that_cannot_be_meant(server: Running, field: str, value: Any, said: str) -> None:
    assert said in refused(server, COMPLETIONS, {**ASKED, field: value}, 400)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("messages", [], "messages"),
        ("messages", [{"role": "user"}], "messages.0.content"),
        ("messages", [{"role": "wizard", "content": "x"}], "messages.0.role"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages.0.content"),
        ("tools", [{"type": "function"}], "'tools' is not supported"),
        ("response_format", {"type": "json_object"}, "'response_format' is not supported"),
        ("logprobs", True, "'logprobs' is not supported"),
    ],
)
def test_a_chat_that_cannot_be_had(server: Running, field: str, value: Any, said: str) -> None:
    assert said in refused(server, CHAT, {**TALKED, field: value}, 400)


def test_what_changes_nothing_is_accepted(server: Running) -> None:
    harmless = {
        "user": "u", "metadata": {"a": "b"}, "store": False, "logprobs": None, "echo": False,
        "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "nothing_known": 1,
    }  # fmt: skip
    assert server.call(COMPLETIONS, {**ASKED, **harmless})[0] == 200
    more = {"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}}
    assert server.call(CHAT, {**TALKED, **more, "max_tokens": 2})[0] == 200


def test_another_model_and_another_route(server: Running) -> None:
    assert "it is 'tiny'" in refused(server, COMPLETIONS, {**ASKED, "model": "gpt-9"}, 404)
    assert "Not Found" in refused(server, "/v1/embeddings", {}, 404)
    assert server.call("/v1/models/gpt-9")[0] == 404
    code, _, told = server.call("/v1/edits", {})
    assert (code, told["error"]["type"]) == (405, "invalid_request_error")


def test_a_prompt_of_256_kilobytes_is_told_its_limit(server: Running) -> None:
    said = refused(server, COMPLETIONS, {**ASKED, "prompt": "word " * 52_429}, 400)
    assert "at most 511 are taken" in said
    said = refused(server, COMPLETIONS, {**ASKED, "prompt": "x" * 262_144}, 400)
    assert "at most 511 are taken" in said
    text = [{"role": "user", "content": "word " * 52_429}]
    assert "at most 511" in refused(server, CHAT, {**TALKED, "messages": text}, 400)


def test_prompt_and_answer_share_the_model_s_context(server: Running) -> None:
    body = {**ASKED, "prompt": "a b c d e f g h " * 25, "max_tokens": 400}
    assert "more than the model's 512" in refused(server, COMPLETIONS, body, 400)


def test_a_long_chat_without_a_length_gets_what_is_left(server: Running) -> None:
    messages = [{"role": "user", "content": "a b c d e f g h " * 25}]
    status, _, told = server.call(CHAT, {**TALKED, "messages": messages, "temperature": 0})
    assert status == 200
    assert told["usage"]["total_tokens"] <= 512


def raw(server: Running, head: str, body: bytes = b"") -> socket.socket:
    """A connection on which this was sent."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(head.encode() + b"\r\n\r\n" + body)
    return connection


def test_no_more_of_a_body_is_read_than_the_limit(server: Running) -> None:
    code, _, told = server.call(COMPLETIONS, b"x" * ((1 << 20) + 1))
    assert (code, told["error"]["code"]) == (413, "body_too_large")
    # One that states its size is refused before it is sent, one that does not when it is too large.
    with raw(server, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999") as c:
        assert b" 413 " in c.recv(1000)
    head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with raw(server, head, chunk * 17) as c:  # and never ends
        assert b" 413 " in c.recv(1000)
    assert server.call(COMPLETIONS, ASKED)[0] == 200


def test_a_request_keeps_its_own_id_if_that_is_one(server: Running) -> None:
    for given, kept in (("abc-1.2_3", True), ("a b", False), ("x" * 65, False)):
        raw = server.client.completions.with_raw_response.create(
            model=MODEL, prompt="It is", max_tokens=1, extra_headers={"X-Request-Id": given}
        )
        assert (raw.headers["x-request-id"] == given) == kept


def test_switching_takes_the_token(server: Running, start: Start) -> None:
    path = "/v1/edits/australia-capital/disable"
    for token in (None, "", "wrong", TOKEN[:-1], TOKEN + "x", "\u00e9" * 20):
        status, head, told = server.call(path, {"reason": "x"}, token=token)
        assert (status, told["error"]["code"]) == (401, "invalid_token")
        assert head["www-authenticate"] == "Bearer"
    assert not server.overrides.exists()
    for body in (b"{", b"[]", b"{}", b'{"reason": " "}', b'{"reason": 5}'):
        assert server.call(path, body, token=TOKEN)[0] == 400
    assert server.call("/v1/edits/nothing/disable", {"reason": "x"}, token=TOKEN)[0] == 404
    assert server.call("/v1/edits/..%2F..%2Fx/disable", {"reason": "x"}, token=TOKEN)[0] == 404
    assert not server.overrides.exists()
    with start(token=None) as it:
        status, _, told = it.call(path, {"reason": "x"}, token=TOKEN)
        assert status == 403
        assert "SAKE_ADMIN_TOKEN" in told["error"]["message"]
        assert it.call("/v1/edits")[2]["switchable"] is False


def test_who_hangs_up_frees_the_rows(start: Start, world: World) -> None:
    """Waiting for a stream, for a whole answer, and in the queue."""
    with start(batches=BatchLimits(rows=1), seconds=600) as it:
        batcher = it.service.batcher
        stream = it.client.completions.create(
            model=MODEL, prompt=OUT_OF_SCOPE[0], max_tokens=480, temperature=0, stream=True
        )
        next(iter(stream))
        assert len(batcher._running) == 1
        body = json.dumps(LONG).encode()
        head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        waiting = raw(it, head, body)
        until(lambda: batcher.waiting == 1)
        waiting.close()
        stream.close()
        until(lambda: not batcher._running and not batcher.waiting)
        answering = raw(it, head, body)
        until(lambda: batcher._running)
        answering.close()
        until(lambda: not batcher._running)
        tokens = it.metric("sake_tokens_total")
        assert tokens < 900  # of 1500 that were asked for
        until(lambda: it.metric('sake_requests_total{route="/v1/completions",status="499"}') == 2)
        assert it.complete(IN_SCOPE[0]).sake["edit"] == "australia-capital"


def test_a_full_queue_says_when_to_come_again(start: Start) -> None:
    with start(batches=BatchLimits(rows=1, waiting=1), seconds=600) as it:
        body = json.dumps(LONG).encode()
        head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        with raw(it, head, body):
            until(lambda: it.service.batcher._running)
            with raw(it, head, body):
                until(lambda: it.service.batcher.waiting == 1)
                with pytest.raises(APIStatusError) as caught:
                    it.complete(IN_SCOPE[0])
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "1"
        until(lambda: it.service.batcher.waiting == 0)
        assert it.complete(IN_SCOPE[0]).sake["edit"] == "australia-capital"


def test_an_answer_ends_when_its_time_is_up(start: Start) -> None:
    with start(batches=BatchLimits(rows=1), seconds=0.5) as it:
        began = time.monotonic()
        answer = it.complete(OUT_OF_SCOPE[0], 480)
        if answer.usage.completion_tokens < 480:
            assert answer.choices[0].finish_reason == "length"
            assert answer.sake["ended"] == "the time was up"
        assert time.monotonic() - began < 60


def test_a_batch_that_fails_fails_alone(
    start: Start,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("sake_registry")
    for name in ("handlers", "level", "propagate"):  # as they were, afterwards
        monkeypatch.setattr(logger, name, getattr(logger, name))
    configure_logging(verbose=False)
    with start() as it:
        forward = world.model.forward

        def failing(*args: Any, **options: Any) -> Any:
            raise RuntimeError("out of memory, say")

        monkeypatch.setattr(world.model, "forward", failing)
        with pytest.raises(APIStatusError) as caught:
            it.complete(OUT_OF_SCOPE[0])
        assert caught.value.status_code == 500
        assert "RuntimeError" in caught.value.message
        assert "out of memory" not in caught.value.message  # the log has that
        said = capsys.readouterr().err
        assert f"requests {caught.value.response.headers['x-request-id']} failed" in said
        assert "in failing" in said
        stream = it.client.completions.create(
            model=MODEL, prompt=OUT_OF_SCOPE[0], max_tokens=5, stream=True
        )
        with pytest.raises(Exception, match="the answer failed"):
            list(stream)
        monkeypatch.setattr(world.model, "forward", forward)
        assert it.complete(IN_SCOPE[0]).sake["edit"] == "australia-capital"
        assert it.call("/health")[0] == 200


def test_a_prompt_that_cannot_be_read_fails_alone(
    start: Start, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that are under way when it joins go on."""
    forward, long = world.model.forward, "a b c d e f g h " * 4

    @functools.wraps(forward)
    def failing(*args: Any, **options: Any) -> Any:
        if options["input_ids"].shape[1] > 30:
            raise RuntimeError("out of memory, say")
        return forward(*args, **options)

    with start(seconds=600) as it:
        whole = it.complete(IN_SCOPE[0], 200).choices[0].text
        monkeypatch.setattr(world.model, "forward", failing)
        stream = iter(
            it.client.completions.create(
                model=MODEL, prompt=IN_SCOPE[0], max_tokens=200, temperature=0, stream=True
            )
        )
        pieces = [next(stream)]
        with pytest.raises(APIStatusError, match="the answer failed: RuntimeError"):
            it.complete(long)
        pieces += stream
        assert "".join(piece.choices[0].text for piece in pieces) == whole
        until(lambda: not it.service.batcher._running)


def test_a_wrong_map_fails_the_rows_that_it_is_for(
    start: Start, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Others that took the pass go on, those of the same bundle too."""
    prompts = [IN_SCOPE[1], *OUT_OF_SCOPE]
    with start(seconds=600) as it:
        create = functools.partial(it.client.completions.create, model=MODEL, stream=True)
        options: list[dict[str, Any]] = [
            {"prompt": prompt, "max_tokens": 150, "temperature": how, "seed": 3}
            for prompt in prompts
            for how in (0, 0.8)
        ]
        whole = ["".join(p.choices[0].text for p in create(**one)) for one in options]
        current = it.service.live.follower.current  # type: ignore[union-attr]
        maps: Any = current.bundle.maps("australia-capital", torch.device("cpu"))[0].maps
        of_another_width = {
            name: getattr(maps[1], name)[..., :-1]
            for name in ("source_mean", "target_mean", "basis")
        }
        maps[1] = replace(maps[1], **of_another_width)  # its answers begin, and fail behind that
        streams = [iter(create(**one)) for one in options]
        begun = [[next(stream), next(stream)] for stream in streams]
        with pytest.raises(APIStatusError, match="the answer failed: RuntimeError"):
            it.complete(IN_SCOPE[0])
        texts = [
            "".join(p.choices[0].text for p in [*pieces, *stream])
            for pieces, stream in zip(begun, streams, strict=True)
        ]
        assert texts == whole
        assert "is made one by one" in caplog.text
        until(lambda: not it.service.batcher._running)


def test_an_edit_that_is_damaged_fails_who_asks_for_it(start: Start, world: World) -> None:
    """Of requests that are decided on together."""
    with start() as it:
        file = it.service.live.follower.current.bundle.file  # type: ignore[union-attr]
        file._digests[file._at("tolstoy-tongue")] ^= 1  # verified when it is first used
        batcher, told = it.service.batcher, dict[str, list[Event]]()
        with batcher._changed:  # so that both wait
            for prompt in IN_SCOPE:
                events = told.setdefault(prompt, [])
                ids = tuple(world.tokenizer(prompt).input_ids)
                batcher.submit(
                    Asked(
                        prompt, (Prompt(ids, prompt),), (Sampling(0),), 3, (), None, events.append
                    )
                )
        until(lambda: all(events and isinstance(events[-1], Ended | Failed)
                          for events in told.values()))  # fmt: skip
        begun, failed = told[IN_SCOPE[0]], told[IN_SCOPE[1]]
        assert isinstance(begun[0], Begun)
        assert begun[0].decided[0].fired == "australia-capital"
        assert isinstance(begun[-1], Ended)
        assert [type(event) for event in failed] == [Failed]
        until(lambda: not batcher._running)
        assert it.service.live.follower.current.users == 0  # type: ignore[union-attr]


def test_who_waits_or_is_answered_is_told_when_the_server_stops(start: Start) -> None:
    with start(batches=BatchLimits(rows=1), seconds=600) as it:
        stream = it.client.completions.create(
            model=MODEL, prompt=OUT_OF_SCOPE[0], max_tokens=480, temperature=0, stream=True
        )
        next(iter(stream))
        it.service.batcher.close()
        with pytest.raises(Exception, match="the server is stopping"):
            list(stream)
        with pytest.raises(APIStatusError, match="the server is stopping"):
            it.complete(IN_SCOPE[0])
        assert it.call("/health")[0] == 503
