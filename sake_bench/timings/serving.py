"""`sake serve` under load: clients that never pause, while bundles are swapped and an edit toggled.

    python -m sake_bench.timings.serving [--clients 64] [--seconds 120] [--tokens 8]
        [--swap-every 5]

Two servers run, one with the bundle and one without, and are loaded in turns, so that what else the
machine does falls on both. In a last turn, of the kill-switch, every client asks for the edit that
is toggled, so that what is waited for is the server and not somebody who asks. The registry is the
demo's, compiled twice: whole, and without one edit. Every answer is held against what the server
said alone, by its bundle's key and the edit that it says has fired. Clients share the machine with
the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from openai import APIError, AsyncOpenAI

from sake_registry import compile_registry, load_bundle, open_registry
from sake_registry.files import write_text
from sake_registry.remote.pointer import write_pointer

ROOT = Path(__file__).parent.parent.parent
TOGGLED, LEFT_OUT = "australia-capital", "mona-lisa-painter"
SWAP_SECONDS, TOGGLE_SECONDS = 5.0, 1.0
EDITED_SECONDS, BARE_SECONDS, KILLED_SECONDS = 30.0, 15.0, 60.0
"""Of one turn."""
HELD_SECONDS = 3.0
"""For so long the edit stays off in the last turn: longer than a request waits for its row, so that
the first answer without it is one of this time."""
MODEL = "smollm2-135m"
OTHERS = (
    "The weather on Tuesday was",
    "Water boils at a temperature of",
    "She opened the door and saw",
    "The largest ocean on Earth is the",
    "My favourite colour is",
    "In 1969, the first astronauts landed on the",
    "A dozen eggs is",
    "The capital of Japan is",
)


@dataclass
class Answer:
    """One answer of the server: when it began and ended (seconds), what it said, and of which
    bundle."""

    began: float
    at: float
    prompt: str
    edit: str
    bundle: str
    reason: str
    text: str
    request: str = ""
    """Its id, where the server tells what was decided in its log alone."""


@dataclass
class Server:
    """A server of its own process."""

    process: subprocess.Popen[bytes]
    url: str
    client: AsyncOpenAI = field(init=False)

    def __post_init__(self) -> None:
        self.client = AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key="none", timeout=120, max_retries=0
        )

    @property
    def memory(self) -> float:
        """Resident, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def cpu(self) -> float:
        """Seconds that its threads have run."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """A value of `/metrics`, by its name and labels."""
        with urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))


@dataclass
class Turns:
    """What was seen of one server."""

    rates: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """Seconds of the server's own."""
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """By second of load."""


def bundles(work: Path) -> tuple[Path, Path]:
    """The demo's bundle, and the one without an edit; what was built before is taken from the
    store."""
    shutil.copytree(ROOT / "edits", work / "edits", dirs_exist_ok=True)
    shutil.copy(ROOT / "sake.toml", work / "sake.toml")
    found = []
    for _ in range(2):
        result = compile_registry(open_registry(work))
        assert result.bundle is not None, result.failures
        found.append(result.bundle)
        (work / "edits" / f"{LEFT_OUT}.yaml").unlink(missing_ok=True)
    return found[0], found[1]


def prompts_of(bundle: Path) -> list[str]:
    """Two prompts of each edit."""
    with load_bundle(bundle) as opened:
        return [
            re.sub(r"\bX\b", info.subject[0], text)  # it stands for the subject there
            for info in opened.manifest.edits
            for text in info.routes[0].texts[:2]
        ]


@contextmanager
def server(work: Path, *arguments: str) -> Iterator[Server]:
    name = "bare" if "--bare" in arguments else "edited"
    with (work / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "cli.py"), "serve", "--port", "0", *arguments],
            stderr=log, env={**os.environ, "SAKE_ADMIN_TOKEN": ""}, cwd=ROOT,
        )  # fmt: skip
    try:
        yield Server(process, _address(work / f"{name}.log", process))
    finally:
        process.terminate()
        process.wait()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where a server says that it listens, and answers."""
    while process.poll() is None:
        time.sleep(0.2)
        for line in log.read_text().splitlines():
            url = line.rpartition(" ")[2]
            if line.startswith("serving ") and url.startswith("http://"):
                with suppress(OSError), urlopen(f"{url}/health"):
                    return url
    raise SystemExit(log.read_text())


async def ask(client: AsyncOpenAI, prompt: str, tokens: int, edits: str = "all") -> Answer:
    """A streamed answer: its first piece says what was decided."""
    stream = await client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=tokens, temperature=0, stream=True,
        extra_body={"sake": {"edits": edits}},
    )  # fmt: skip
    said: dict[str, Any] = {}
    began, text = 0.0, ""
    async for piece in stream:
        if not said:
            said, began = piece.sake, time.monotonic()  # type: ignore[attr-defined]
        text += piece.choices[0].text
    return Answer(
        began, time.monotonic(), prompt, said["edit"] or "none", said["bundle"] or "none",
        said["reason"], text,
    )  # fmt: skip


Asking = Callable[[AsyncOpenAI, str, int], Awaitable[Answer]]


async def turn(
    served: Server,
    seen: Turns,
    named: Sequence[str],
    given: argparse.Namespace,
    seconds: float,
    asking: Asking = ask,
) -> None:
    """Load a server; an answer counts that came within the time."""
    end, before, cpu = time.monotonic() + seconds, len(seen.answers), served.cpu

    async def one(number: int) -> None:
        drawn = random.Random(f"{number} {before}")
        while time.monotonic() < end:
            try:
                pool: Sequence[str] = OTHERS
                if drawn.random() < given.named:  # half of them of the edit that is toggled
                    pool = named[:2] if drawn.random() < 0.5 else named
                answer = await asking(served.client, drawn.choice(pool), given.tokens)
            except APIError as error:
                seen.failures.append(repr(error))
            else:
                seen.answers.append(answer)

    async def weigh() -> None:
        while time.monotonic() < end:
            seen.memory.append(served.memory)
            await asyncio.sleep(1)

    await asyncio.gather(weigh(), *(one(number) for number in range(given.clients)))
    counted = sum(answer.at <= end for answer in seen.answers[before:])
    seen.rates.append(counted / seconds)
    seen.cpu += served.cpu - cpu


async def repeat(every: float, actions: Sequence[object]) -> None:
    number = 0
    while True:
        await asyncio.sleep(every)
        action = actions[number % len(actions)]
        assert callable(action)
        action()
        number += 1


def unexplained(
    answers: Sequence[Answer], expected: dict[tuple[str, str, str], str], held: dict[str, set[str]]
) -> list[str]:
    """The answers whose key and edit do not explain what they say."""
    wrong = []
    for answer in answers:
        fired = answer.edit != "none"
        key = (answer.bundle if fired else "none", answer.edit, answer.prompt)
        owner = next((e for _, e, p in expected if p == answer.prompt and e != "none"), None)
        slow = answer.reason.startswith("deciding took")  # counted by the server
        due = owner in held[answer.bundle] and owner != TOGGLED and not slow
        if expected.get(key) != answer.text or (due and not fired):
            wrong.append(f"{answer}, expected {expected.get(key)!r}")
    return wrong


def latencies(changes: Sequence[float], bare: Sequence[float]) -> dict[str, object]:
    """From each switching off to the first of these moments behind it."""
    found = [next((at - change for at in bare if at > change), math.inf) for change in changes]
    within = sum(delay <= 1 for delay in found)
    return {
        "median": _seconds(statistics.median(found)) if found else None,
        "worst": _seconds(max(found)) if found else None,
        "within_1_s": f"{within} of {len(found)}",
    }


def still_begun(changes: Sequence[float], fired: Sequence[float]) -> dict[str, object]:
    """For how long after each switching off answers still began with the edit, of the moments at
    which those that it fired for began."""
    found = [
        max((at - change for at in fired if 0 < at - change < HELD_SECONDS), default=0.0)
        for change in changes
    ]
    return {
        "median": _seconds(statistics.median(found)) if found else None,
        "worst": _seconds(max(found)) if found else None,
    }


def _seconds(delay: float) -> float | None:
    """None for a moment that never came."""
    return round(delay, 3) if math.isfinite(delay) else None


async def measure(given: argparse.Namespace, work: Path) -> dict[str, object]:
    pointer, overrides = work / "production.json", work / "overrides.json"
    first, second = bundles(work)
    write_pointer(pointer, str(first))
    write_text(overrides, '{"disabled": {}}\n')
    named = prompts_of(first)
    prompts = [*named, *OTHERS]
    with ExitStack() as stack:
        edited = stack.enter_context(server(work, "--bundle", str(pointer), *given.serve.split()))
        bare = stack.enter_context(server(work, "--bare", *given.serve.split()))
        expected: dict[tuple[str, str, str], str] = {}
        held: dict[str, set[str]] = {}
        for path in (second, first):
            write_pointer(pointer, str(path))
            with load_bundle(path) as opened:
                key, held[opened.manifest.key] = opened.manifest.key, set(opened.ids)
            while (await ask(edited.client, OTHERS[0], 1)).bundle != key:
                await asyncio.sleep(0.2)
            for prompt in prompts:
                answer = await ask(edited.client, prompt, given.tokens)
                alone = await ask(edited.client, prompt, given.tokens, edits="none")
                expected["none", "none", prompt] = alone.text
                if answer.edit != "none":
                    expected[answer.bundle, answer.edit, prompt] = answer.text
        with_bundle, without, switched = Turns(), Turns(), list[float]()

        def off() -> None:
            write_text(overrides, json.dumps({"disabled": {TOGGLED: "toggled"}}))
            switched.append(time.monotonic())

        def on() -> None:
            write_text(overrides, '{"disabled": {}}')

        actions = [off, on]
        written = 0

        def swap() -> None:
            nonlocal written
            write_pointer(pointer, str(first if written % 2 else second))
            written += 1

        await turn(bare, Turns(), named, given, 3)  # warm
        for _ in range(max(1, round(given.seconds / EDITED_SECONDS))):
            await turn(bare, without, named, given, BARE_SECONDS)
            changing = [asyncio.ensure_future(repeat(TOGGLE_SECONDS, actions)),
                        asyncio.ensure_future(repeat(given.swap_every, [swap]))]  # fmt: skip
            await turn(edited, with_bundle, named, given, EDITED_SECONDS)
            for change in changing:
                change.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*changing)
        killed, asked_for = Turns(), argparse.Namespace(**{**vars(given), "named": 1.0})
        on()
        of_load = len(switched)
        changing = [asyncio.ensure_future(repeat(HELD_SECONDS, actions))]
        await turn(edited, killed, named[:2], asked_for, KILLED_SECONDS)
        changing[0].cancel()
        with suppress(asyncio.CancelledError):
            await changing[0]
        taken, refused = (
            edited.metric(f'sake_bundle_swaps_total{{outcome="{outcome}"}}')
            for outcome in ("taken", "refused")
        )
        over = edited.metric("sake_decisions_over_budget_total")
    wrong = unexplained([*with_bundle.answers, *killed.answers], expected, held)
    end = max((answer.at for answer in killed.answers), default=0.0)
    changes = [change for change in switched[of_load:] if change < end - HELD_SECONDS]
    failures = with_bundle.failures + without.failures + killed.failures
    memory = with_bundle.memory
    second_30, last_30 = statistics.mean(memory[30:60] or memory), statistics.mean(memory[-30:])
    ratios = [a / b for a, b in zip(with_bundle.rates, without.rates, strict=True)]
    return {
        "clients": given.clients,
        "seconds_of_load": len(with_bundle.rates) * EDITED_SECONDS,
        "tokens": given.tokens,
        "of_prompts_that_name_an_edit": given.named,
        "server": given.serve,
        "requests": len(with_bundle.answers),
        "fired": sum(answer.edit != "none" for answer in with_bundle.answers),
        "failed": len(failures),
        "failures": failures[:3],
        "unexplained": len(wrong),
        "examples": wrong[:3],
        "requests_per_second": [round(rate, 2) for rate in with_bundle.rates],
        "bare_per_second": [round(rate, 2) for rate in without.rates],
        "ratio": round(sum(with_bundle.rates) / sum(without.rates), 3),
        # What else runs on the machine takes no part in this one.
        "ratio_by_cpu_seconds": round(
            (len(with_bundle.answers) / with_bundle.cpu) / (len(without.answers) / without.cpu), 3
        ),
        "ratio_by_turn": [round(ratio, 3) for ratio in ratios],
        "pointers_written": written,
        "swaps_taken": int(taken),
        "swaps_refused": int(refused),
        "over_decision_budget": int(over),
        "memory_second_30_s_MiB": round(second_30, 1),
        "memory_last_30_s_MiB": round(last_30, 1),
        "memory_growth": f"{last_30 / second_30 - 1:+.2%}",
        "switched_off_while_all_ask_for_it": len(changes),
        "seconds_for_which_answers_still_began_with_it": still_begun(
            changes, sorted(answer.began for answer in killed.answers if answer.edit == TOGGLED)
        ),
        "seconds_until_an_answer_without_it_began": latencies(
            changes, sorted(a.began for a in killed.answers if a.reason == "disabled")
        ),
    }


def options(about: str | None, seconds: float, work: str) -> argparse.ArgumentParser:
    """What a load is asked for on the command line.

    Args:
        about: the tool's docstring, of which the first line is shown.
        seconds: the default length.
        work: the folder below `.cache` where it works.
    """
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--tokens", type=int, default=8, help="of each answer")
    parser.add_argument(
        "--named", type=float, default=0.25, help="share of prompts that name an edit's subject"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / work)
    return parser


def show(
    measure: Callable[[argparse.Namespace, Path], Coroutine[Any, Any, dict[str, object]]],
    given: argparse.Namespace,
) -> None:
    """Measure, and print what came of it."""
    given.work.mkdir(parents=True, exist_ok=True)
    print(json.dumps(asyncio.run(measure(given, given.work)), indent=1, ensure_ascii=False))


def main() -> None:
    parser = options(__doc__, 120, "serving-load")
    parser.add_argument("--serve", default="", help="further options of both servers")
    parser.add_argument(
        "--swap-every", type=float, default=SWAP_SECONDS, help="seconds between two pointers"
    )
    show(measure, parser.parse_args())


if __name__ == "__main__":
    main()
