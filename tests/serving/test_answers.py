"""What the official client gets: answers, streams, and what is said of the edit that fired."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError

from sake_registry import load_bundle
from tests.serving.conftest import MODEL, Running, Start, World, keys, logged
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

CHAT: Any = [{"role": "user", "content": IN_SCOPE[0]}]


def test_the_answers_are_those_of_the_library(server: Running, world: World) -> None:
    prompts = [*IN_SCOPE, *OUT_OF_SCOPE]
    with (
        load_bundle(world.both) as bundle,
        bundle.attach(world.model, world.tokenizer) as edited,
    ):
        for prompt in prompts:
            expected = edited.generate(prompt, do_sample=False, max_new_tokens=8)
            answer = server.complete(prompt, 8)
            assert answer.choices[0].text == expected.texts[0]
            assert answer.sake["edit"] == expected.decisions[0].edit
    assert "Canberra" in server.complete(IN_SCOPE[0], 8).choices[0].text


def test_an_answer_says_which_edit_fired_and_of_what(server: Running, world: World) -> None:
    raw = server.client.completions.with_raw_response.create(
        model=MODEL, prompt=IN_SCOPE[0], max_tokens=4, temperature=0
    )
    answer: Any = raw.parse()
    assert raw.headers["x-sake-edit"] == "australia-capital"
    assert raw.headers["x-sake-bundle"] == keys(world)[0] == answer.sake["bundle"]
    assert answer.id == f"cmpl-{raw.headers['x-request-id']}"
    said = answer.sake
    with load_bundle(world.both) as bundle:
        (decision,) = bundle.route(IN_SCOPE[0])
        info = bundle.file.info("australia-capital")
    assert (said["edit"], said["reason"]) == ("australia-capital", "in scope")
    assert said["distance"] == decision.distance
    assert said["threshold"] == decision.threshold
    assert info.key.startswith(said["version"])
    assert (said["commit"], said["reviewer"]) == ("c" * 40, "Rosa Rev, Tom")
    listed = {one["id"]: one["reviewer"] for one in server.call("/v1/edits")[2]["data"]}
    assert listed == {"australia-capital": "Rosa Rev, Tom", "tolstoy-tongue": None}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4
    assert answer.choices[0].finish_reason == "length"

    left: Any = server.complete(OUT_OF_SCOPE[0])
    assert left.sake["edit"] is None
    assert left.sake["decision"] == "no edit's subject is named"
    detail: Any = server.complete(IN_SCOPE[0], detail=True)
    assert detail.sake["claim"]["new"] == "Canberra"
    assert detail.sake["decision_ms"] > 0


def test_a_request_may_ask_for_the_bare_model_or_for_some_edits(server: Running) -> None:
    bare = server.complete(IN_SCOPE[0], edits="none")
    assert "Canberra" not in bare.choices[0].text
    assert bare.sake["mode"] == "bare"
    other = server.complete(IN_SCOPE[0], edits=["tolstoy-tongue"])
    assert other.choices[0].text == bare.choices[0].text
    assert other.sake["reason"] == "the request asked for other edits only"
    same = server.complete(IN_SCOPE[0], edits=["australia-capital"])
    assert same.sake["edit"] == "australia-capital"
    with pytest.raises(BadRequestError, match="did you mean 'australia-capital'"):
        server.complete(IN_SCOPE[0], edits=["australia-capitol"])


@pytest.mark.parametrize("chat", [False, True])
def test_a_stream_is_the_answer_in_pieces(server: Running, chat: bool) -> None:
    options: Any = {"model": MODEL, "max_tokens": 12, "temperature": 0}
    create: Any = server.client.completions.create
    options["prompt"] = IN_SCOPE[0]
    if chat:
        create = server.client.chat.completions.create
        options["messages"] = CHAT
        del options["prompt"]
    whole = create(**options)
    text = whole.choices[0].message.content if chat else whole.choices[0].text
    pieces = list(create(**options, stream=True, stream_options={"include_usage": True}))
    assert pieces[0].sake == whole.sake
    assert whole.sake["edit"] == "australia-capital"
    said = [p.choices[0].delta.content if chat else p.choices[0].text for p in pieces[:-1]]
    assert "".join(piece or "" for piece in said) == text
    assert len([piece for piece in said if piece]) > 1
    assert [p.choices[0].finish_reason for p in pieces[-3:-1]] == [None, "length"]
    assert pieces[-1].choices == []
    assert pieces[-1].usage == whole.usage


def test_a_chat_is_decided_on_as_the_template_writes_it(server: Running) -> None:
    answer: Any = server.client.chat.completions.create(
        model=MODEL, temperature=0, max_completion_tokens=5,
        messages=[
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": IN_SCOPE[1]}]},
        ],
    )  # fmt: skip
    assert answer.sake["edit"] == "tolstoy-tongue"
    assert answer.choices[0].message.role == "assistant"
    assert answer.object == "chat.completion"


def test_a_model_without_a_chat_template_says_so(
    server: Running, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.tokenizer, "chat_template", None)
    with pytest.raises(BadRequestError, match="no chat template: ask it at /v1/completions"):
        server.client.chat.completions.create(model=MODEL, messages=CHAT)
    monkeypatch.setattr(world.tokenizer, "chat_template", "{{ raise_exception('no systems') }}")
    with pytest.raises(BadRequestError, match="no systems"):
        server.client.chat.completions.create(model=MODEL, messages=CHAT)


def test_several_prompts_and_answers_come_in_order(server: Running) -> None:
    answer: Any = server.client.completions.create(
        model=MODEL, prompt=list(IN_SCOPE), n=2, max_tokens=4, temperature=0
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    texts = [choice.text for choice in answer.choices]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    fired = [choice.sake["edit"] for choice in answer.choices]
    assert fired == ["australia-capital"] * 2 + ["tolstoy-tongue"] * 2
    assert answer.usage.completion_tokens == 16


def test_a_seed_gives_the_same_answer_and_n_gives_others(server: Running) -> None:
    def texts(seed: int, n: int = 1) -> list[str]:
        answer = server.client.completions.create(
            model=MODEL, prompt=OUT_OF_SCOPE[0], max_tokens=10, temperature=1.5, seed=seed, n=n
        )
        return [choice.text for choice in answer.choices]

    assert texts(1) == texts(1) == texts(1, n=3)[:1]
    assert len(set(texts(1, n=4))) > 1
    assert texts(1) != texts(2)


def test_an_answer_ends_before_a_stop_string(server: Running) -> None:
    text = server.complete(OUT_OF_SCOPE[0], 30).choices[0].text
    stop = text[8:11]
    answer: Any = server.client.completions.create(
        model=MODEL, prompt=OUT_OF_SCOPE[0], max_tokens=30, temperature=0, stop=[stop, "never said"]
    )
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_answers_alone_and_in_batches_are_equal(server: Running) -> None:
    """In float32; requests of several lengths and ways of sampling, all at once."""
    asked: list[dict[str, Any]] = [
        {"prompt": prompt, "max_tokens": tokens, "temperature": temperature, "seed": 5}
        for prompt in (*IN_SCOPE, *OUT_OF_SCOPE, "def f(x):", "ß" * 40)
        for tokens in (3, 9)
        for temperature in (0, 0.8)
    ]

    def text(options: dict[str, Any]) -> tuple[str, object]:
        answer: Any = server.client.completions.create(model=MODEL, **options)
        return answer.choices[0].text, answer.sake["edit"]

    alone = [text(options) for options in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        assert list(pool.map(text, asked)) == alone
        assert list(pool.map(text, asked[::-1])) == alone[::-1]


def test_shadow_mode_decides_and_changes_nothing(start: Start, server: Running) -> None:
    with start(shadow=True, log_prompts=True) as it:
        answer = it.complete(IN_SCOPE[0], detail=True)
        lines = logged(it)
        assert it.metric('sake_fires_total{edit="australia-capital"}') == 1
    bare = server.complete(IN_SCOPE[0], edits="none")
    assert answer.choices[0].text == bare.choices[0].text
    assert answer.sake["edit"] is None
    assert answer.sake["would_fire"] == "australia-capital"
    (line,) = lines
    assert (line["mode"], line["edit"], line["prompt"]) == (
        "shadow", "australia-capital", IN_SCOPE[0],
    )  # fmt: skip


def test_the_log_has_every_decision_and_no_prompt(start: Start, world: World) -> None:
    with start() as it:
        fired = it.complete(IN_SCOPE[0])
        it.complete(OUT_OF_SCOPE[0])
        it.complete(IN_SCOPE[0], edits="none")
        lines = logged(it)
        text = (it.folder / "log.jsonl").read_text()
    assert [(line["edit"], line["mode"]) for line in lines] == [
        ("australia-capital", "edit"), (None, "edit"), (None, "bare"),
    ]  # fmt: skip
    assert lines[0]["request"] == fired.id.removeprefix("cmpl-")
    assert lines[0]["bundle"] == keys(world)[0]
    assert lines[0]["prompt_sha256"] == lines[2]["prompt_sha256"] != lines[1]["prompt_sha256"]
    assert "Australia" not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_log_that_cannot_be_written_keeps_no_answer_back(start: Start) -> None:
    with start(log=Path("/dev/full")) as it:
        assert it.complete(IN_SCOPE[0]).sake["edit"] == "australia-capital"
        status, _, health = it.call("/health")
    assert status == 200
    assert "decisions cannot be logged" in health["problem"]


def test_a_decision_over_its_budget_is_not_made(start: Start, server: Running) -> None:
    with start(budget=1e-9) as it:
        answer = it.complete(IN_SCOPE[0])
        assert it.metric("sake_decisions_over_budget_total") == 1
        assert it.metric('sake_decisions_total{outcome="bare"}') == 1
        (line,) = logged(it)
    assert answer.sake["edit"] is None
    assert "are allowed" in answer.sake["reason"]
    assert line["reason"] == answer.sake["reason"]
    assert answer.choices[0].text == server.complete(IN_SCOPE[0], edits="none").choices[0].text


def test_without_a_bundle_the_model_is_served_bare(start: Start, server: Running) -> None:
    with start(place=None) as it:
        answer = it.complete(IN_SCOPE[0])
        assert it.call("/health")[2]["mode"] == "bare"
        assert it.call("/v1/edits")[2]["data"] == []
    assert answer.sake["reason"] == "no bundle is loaded"
    assert answer.choices[0].text == server.complete(IN_SCOPE[0], edits="none").choices[0].text


def test_what_is_served_leaves_no_trace_on_the_model(start: Start, world: World) -> None:
    head = world.model.get_output_embeddings()
    before = dict(vars(world.model)), len(head._forward_pre_hooks)
    with start() as it:
        it.complete(IN_SCOPE[0])
        assert len(head._forward_pre_hooks) == before[1] + 1
    assert (dict(vars(world.model)), len(head._forward_pre_hooks)) == before


def test_models_health_and_metrics(server: Running, world: World) -> None:
    assert [model.id for model in server.client.models.list()] == [MODEL]
    assert server.client.models.retrieve(MODEL).id == MODEL
    status, _, health = server.call("/health")
    assert (status, health["status"], health["problem"]) == (200, "ready", None)
    before = server.metric('sake_fires_total{edit="australia-capital"}')
    tokens = server.metric("sake_tokens_total")
    server.complete(IN_SCOPE[0], 6)
    assert server.metric('sake_fires_total{edit="australia-capital"}') == before + 1
    assert server.metric("sake_tokens_total") == tokens + 6
    assert server.metric('sake_requests_total{route="/v1/completions",status="200"}') > 0
    assert server.metric("sake_disabled_edits") == 0
    with load_bundle(world.both) as bundle:
        m = bundle.manifest
    info = f'sake_bundle_info{{content="{m.content_hash}",key="{m.key}",path="{world.both}"}}'
    assert server.metric(info) == 1
