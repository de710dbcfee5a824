"""vLLM's own server with the plugin under load: bundles are swapped and an edit toggled meanwhile.

    python -m sake_bench.timings.vllm_serving [--clients 64] [--seconds 60] [--tokens 8]

In the environment of `make test-vllm`, on the older runner, with the prefix cache on: every prompt
stands behind the same text. First nothing changes, for half of the time; then the pointer is
swapped every 5 s and an edit toggled every second. What was decided of an answer is in the log of
decisions; with that every answer is held against what the server said alone. Clients share the
machine with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from openai import AsyncOpenAI

from sake_bench.engines import ON_CPU
from sake_bench.timings.serving import (
    MODEL,
    OTHERS,
    ROOT,
    SWAP_SECONDS,
    TOGGLE_SECONDS,
    TOGGLED,
    Answer,
    Server,
    Turns,
    bundles,
    latencies,
    options,
    prompts_of,
    repeat,
    show,
    turn,
    unexplained,
)
from sake_registry import load_bundle, open_registry
from sake_registry.files import write_text
from sake_registry.models.loading import locate
from sake_registry.remote.pointer import write_pointer

LEAD = "The weather in the mountains changes quickly, and nobody likes to be late. " * 6
FOLLOWED = 1.0
"""Seconds in which the worker has followed a change when nobody asks anything."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(
    folder: Path, output: Path, variables: Mapping[str, str], *arguments: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """vLLM's server of a model's folder, once it answers: its URL and its process.

    Raises:
        RuntimeError: it ended, or does not answer in ten minutes; with what it printed.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # The wheel for CPUs has another name than `vllm serve` looks for; this is the same server.
    with output.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "vllm.entrypoints.openai.api_server",
                "--model", str(folder), "--port", str(port), "--dtype", "float32",
                "--enforce-eager", "--max-model-len", "512", "--block-size", "32", *arguments,
            ],
            env={**os.environ, **ON_CPU, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", **variables},
            cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + 600
        while True:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(output.read_text()[-4000:])
            with suppress(OSError), urlopen(f"{url}/health"):
                break
            time.sleep(0.2)
        yield url, process
    finally:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
                break


async def ask(client: AsyncOpenAI, prompt: str, tokens: int, edits: str = "all") -> Answer:
    """A streamed answer; what was decided of it is read from the log later."""
    request, began, text = uuid.uuid4().hex, 0.0, ""
    more: Any = {} if edits == "all" else {"vllm_xargs": {"sake_edits": edits}}
    stream = await client.completions.create(
        model=MODEL, prompt=LEAD + prompt, max_tokens=tokens, temperature=0, stream=True,
        extra_headers={"X-Request-Id": request}, extra_body=more,
    )  # fmt: skip
    async for piece in stream:
        began = began or time.monotonic()
        text += piece.choices[0].text
    return Answer(began, time.monotonic(), prompt, "", "", "", text, request)


def tell(answers: Sequence[Answer], log: Path) -> None:
    """Write into answers what the log of decisions says of them."""
    lines = map(json.loads, log.read_text().splitlines())
    by_request = {line["request"].split("-")[1]: line for line in lines}  # cmpl-ID-0-…
    for answer in answers:
        line = by_request[answer.request]
        answer.edit, answer.bundle = line["edit"] or "none", line["bundle"]
        answer.reason = line["reason"]


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples whose names begin so."""
    with urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def measure(given: argparse.Namespace, work: Path) -> dict[str, object]:
    pointer, overrides, log = (
        work / name for name in ("production.json", "overrides.json", "decisions.jsonl")
    )
    log.unlink(missing_ok=True)
    first, second = bundles(work)
    write_pointer(pointer, str(first))
    write_text(overrides, '{"disabled": {}}\n')
    folder = locate(open_registry(work).settings).folder
    variables = {"SAKE_BUNDLE": str(pointer), "SAKE_LOG": str(log), "VLLM_PLUGINS": "sake"}
    options = ["--served-model-name", MODEL, "--max-num-seqs", str(given.clients)]
    with started(folder, work / "vllm.log", variables, *options) as (url, process):
        served = Server(process, url)
        named = prompts_of(first)
        alone: list[Answer] = []
        held: dict[str, set[str]] = {}
        for path in (second, first):
            with load_bundle(path) as opened:
                held[opened.manifest.key] = set(opened.ids)
                key = opened.manifest.key
            write_pointer(pointer, str(path))
            while True:  # until it is taken
                answer = await ask(served.client, OTHERS[0], 1)
                tell([answer], log)
                if answer.bundle == key:
                    break
                await asyncio.sleep(FOLLOWED)
            for prompt in (*named, *OTHERS):
                alone.append(await ask(served.client, prompt, given.tokens))
        bare = [await ask(served.client, p, given.tokens, "none") for p in (*named, *OTHERS)]
        tell(alone, log)
        expected = {("none", "none", one.prompt): one.text for one in bare}
        expected |= {(a.bundle, a.edit, a.prompt): a.text for a in alone if a.edit != "none"}

        async def phase(seconds: float) -> tuple[Turns, float]:
            """What is seen in a phase, and its share of prompt tokens from the prefix cache."""
            names = [f"vllm:prefix_cache_{kind}_total" for kind in ("hits", "queries")]
            before, seen = [metric(url, name) for name in names], Turns()
            await turn(served, seen, named, given, seconds, ask)
            hits, queries = (metric(url, n) - b for n, b in zip(names, before, strict=True))
            tell(seen.answers, log)
            return seen, hits / queries

        await turn(served, Turns(), named, given, 3, ask)  # warm
        steady, steady_hits = await phase(given.seconds / 2)
        switched: list[float] = []

        def off() -> None:
            write_text(overrides, json.dumps({"disabled": {TOGGLED: "toggled"}}))
            switched.append(time.monotonic())

        toggles = [off, lambda: write_text(overrides, '{"disabled": {}}')]
        swaps = [lambda: write_pointer(pointer, str(second)),
                 lambda: write_pointer(pointer, str(first))]  # fmt: skip
        changing = [asyncio.ensure_future(repeat(TOGGLE_SECONDS, toggles)),
                    asyncio.ensure_future(repeat(SWAP_SECONDS, swaps))]  # fmt: skip
        seen, hits = await phase(given.seconds)
        for change in changing:
            change.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*changing)
    wrong = unexplained([*steady.answers, *seen.answers], expected, held)
    off_answers = [answer for answer in seen.answers if answer.reason == "disabled"]
    return {
        "clients": given.clients,
        "seconds": {"steady": given.seconds / 2, "changing": given.seconds},
        "tokens": given.tokens,
        "requests": {"steady": len(steady.answers), "changing": len(seen.answers)},
        "fired": sum(answer.edit != "none" for answer in seen.answers),
        "by_bundle": {key[:12]: sum(a.bundle == key for a in seen.answers) for key in held},
        "failed": len(steady.failures) + len(seen.failures),
        "failures": (steady.failures + seen.failures)[:3],
        "unexplained": len(wrong),
        "examples": wrong[:3],
        "requests_per_second": {"steady": steady.rates, "changing": seen.rates},
        "prefix_cache_hit_rate": {"steady": round(steady_hits, 4), "changing": round(hits, 4)},
        "switched_off": len(switched),
        "seconds_to_the_first_bare_answer": {
            "its_beginning": latencies(switched, sorted(answer.began for answer in off_answers)),
            "its_end": latencies(switched, sorted(answer.at for answer in off_answers)),
        },
    }


def main() -> None:
    show(measure, options(__doc__, 60, "vllm-load").parse_args())


if __name__ == "__main__":
    main()
