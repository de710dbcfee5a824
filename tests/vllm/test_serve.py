"""vLLM's own server with the plugin, and the official client."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from sake_bench.timings.vllm_serving import free_port, metric, started
from sake_registry.bundle.reader import BundleFile
from sake_registry.remote.pointer import write_pointer
from tests.vllm.conftest import OLDER, World, environment
from tests.vllm.narrowing import narrowed

pytestmark = [pytest.mark.vllm, pytest.mark.model]

TOKEN = "a-token-of-tests-alone"
CAPITAL, TELEPHONE = "The capital of Australia is", "The telephone was invented by"
SOON = 15.0
"""Seconds that a switch may take on a busy machine."""


@dataclass
class Server:
    """A running server."""

    url: str
    metrics: str
    folder: Path
    log: Path
    client: openai.OpenAI

    def text(self, prompt: str, **more: Any) -> str:
        made = self.client.completions.create(
            model="smollm2", prompt=prompt, max_tokens=8, temperature=0, extra_body=more
        )
        return made.choices[0].text

    def edited(self, prompt: str = CAPITAL, word: str = "Canberra") -> bool:
        return word in self.text(prompt)

    def call(self, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        asked = urllib.request.Request(
            f"{self.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    pointer, log = folder / "production.json", folder / "decisions.jsonl"
    write_pointer(pointer, str(world.bundle.path))
    metrics, output = free_port(), folder / "output"
    variables = environment(OLDER, pointer, log) | {
        "SAKE_METRICS_PORT": str(metrics),
        "SAKE_ADMIN_TOKEN": TOKEN,
        "VLLM_PLUGINS": "sake",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
    }
    names = ("--served-model-name", "smollm2", "--max-num-seqs", "16")
    with started(world.folder, output, variables, *names) as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        yield Server(url, f"http://127.0.0.1:{metrics}", folder, log, client)


def soon(holds: Callable[[], bool], seconds: float = SOON) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_answers_are_edited_and_a_request_may_ask_for_others(server: Server) -> None:
    assert server.edited()
    assert server.edited(TELEPHONE, "Tesla")
    assert "Canberra" not in server.text(CAPITAL, vllm_xargs={"sake_edits": "none"})
    assert "Canberra" not in server.text(CAPITAL, vllm_xargs={"sake_edits": ["telephone-inventor"]})
    chat = server.client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "What is the capital of Australia?"}],
        max_tokens=12,
        temperature=0,
    )
    assert "Canberra" in (chat.choices[0].message.content or "")
    streamed = server.client.completions.create(
        model="smollm2", prompt=CAPITAL, max_tokens=8, temperature=0, stream=True
    )
    assert "Canberra" in "".join(part.choices[0].text for part in streamed)
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["edit"] for line in lines} == {"australia-capital", "telephone-inventor", None}
    assert "prompt" not in lines[0]
    assert metric(server.metrics, 'sake_fires_total{edit="australia-capital"}') >= 3
    assert metric(server.metrics, 'sake_decisions_total{outcome="bare"}') == 1
    assert metric(server.metrics, "sake_tokens_total") > 20


def test_the_kill_switch_by_file_and_by_call(server: Server) -> None:
    overrides = server.folder / "overrides.json"
    overrides.write_text('{"disabled": {"australia-capital": "a test"}}')
    soon(lambda: not server.edited())
    assert server.edited(TELEPHONE, "Tesla")
    overrides.write_text('{"disabled": {}}')
    soon(server.edited)

    status, listed = server.call("/v1/edits")
    assert status == 200
    assert len(listed["data"]) == 100
    assert server.call("/v1/edits/australia-capital/disable", {"reason": "x"}, "wrong")[0] == 401
    assert server.call("/v1/edits/no-such/disable", {"reason": "x"})[0] == 404
    assert server.call("/v1/edits/australia-capital/disable", {"reason": "x" * 99999})[0] == 413
    assert server.call("/v1/edits/australia-capital/disable", {"reason": "wrong"})[0] == 200
    assert json.loads(overrides.read_text()) == {"disabled": {"australia-capital": "wrong"}}
    soon(lambda: not server.edited())
    assert metric(server.metrics, "sake_disabled_edits") == 1
    assert server.call("/v1/edits/australia-capital/enable", {})[0] == 200
    soon(server.edited)


def test_a_swap_leaves_the_prefix_cache_alone(server: Server, world: World, tmp_path: Path) -> None:
    long = "The weather in the mountains changes quickly, and nobody likes to be late. " * 6
    prompt = f"{long}{CAPITAL}"

    def hits() -> float:
        before = metric(server.url, "vllm:prefix_cache_hits_total")
        assert server.edited(prompt) == edited
        return metric(server.url, "vllm:prefix_cache_hits_total") - before

    edited = True
    hits()
    cached = hits()
    assert cached >= 64
    other, pointer = tmp_path / "other.h5", server.folder / "production.json"
    narrowed(world.real, other, "australia-capital", key="0" * 64)
    write_pointer(pointer, str(other))
    soon(lambda: not server.edited(), 30)
    edited = False
    assert hits() == cached

    # No bundle, and one of a model that computes something else: the one that is there serves on.
    (tmp_path / "broken.h5").write_bytes(b"no bundle")
    write_pointer(pointer, str(tmp_path / "broken.h5"))
    refused = 'sake_bundle_swaps_total{outcome="refused"}'
    soon(lambda: metric(server.metrics, refused) == 1, 30)
    with BundleFile(world.real) as file:
        probe = file.probe.copy()
    narrowed(world.real, tmp_path / "model.h5", probe=probe * 1.01)
    write_pointer(pointer, str(tmp_path / "model.h5"))
    soon(lambda: metric(server.metrics, refused) == 2, 30)
    assert "the model does not compute what" in (server.folder / "output").read_text()
    assert not server.edited()
    assert server.edited(TELEPHONE, "Tesla")
    write_pointer(pointer, str(world.bundle.path))
    soon(server.edited, 30)
    edited = True
    assert hits() == cached
