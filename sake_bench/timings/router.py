"""What the router takes beside the embedder, at 10,000 edits of 60 prompts each.

    python -m sake_bench.timings.router [--edits 10000] [--rounds 5]

Subjects are made up, with few first names so that the index has to choose; points are random.
The metric is the default with its real background. The embedder is a table of what it said
before, and is timed by itself. Every prompt is new to the router.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sake_bench.filling import subjects
from sake_bench.timings.measure import interleaved, ratio
from sake_registry.bundle.format import Route
from sake_registry.models.embedder import Embedder, locate_embedder
from sake_registry.routing.metric import learn
from sake_registry.routing.router import COUNTER, Router, RouterEntry

ROWS = {0: 44, 1: 6, 2: 6, COUNTER: 4}
"""Prompts of an edit by group: the fact's, of two implications, and what stays unchanged."""
POOL = 200
"""So many edits' points are drawn, and shared: all of them would fill the memory twice."""
PROMPTS, BATCH = 320, 32
STEMS = (
    "The mother tongue of <subject> is",
    "Where was <subject> born?",
    "<subject> worked in",
    "I don't believe you. Think again: the capital of <subject> is",
    "<subject> grew up by the sea and went to school there. As an adult, <subject> spoke",
    "User: Which language does <subject> speak?\nAssistant:",
    "The weather in the mountains is often",  # names no subject
)


def entries(known: Sequence[str], width: int) -> list[RouterEntry]:
    torch.manual_seed(0)
    pool = normalize(torch.randn(POOL, sum(ROWS.values()), width), dim=2)
    return [
        RouterEntry(
            f"edit-{number:05d}", "anchored", 0.62,
            tuple(
                Route(group=group, names=(name,), need="any", rows=rows)
                for group, rows in ROWS.items()
            ),
            pool[number % POOL], topics=("mother tongue",),
        )
        for number, name in enumerate(known)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    embedder = Embedder(locate_embedder("minilm"))
    metric = learn(embedder.embed, "contrast")
    drawn = random.Random(0)
    known = subjects(given.edits, drawn)
    table: dict[str, Tensor] = {}

    def looked_up(texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in table]
        if new:
            table.update(zip(new, embedder.embed(new), strict=True))
        return torch.stack([table[text] for text in texts])

    loaded = entries(known, len(embedder.embed(["width"])[0]))
    began = time.perf_counter()
    router = Router(loaded, looked_up, metric)
    made = time.perf_counter() - began
    router.decide([stem.replace("<subject>", known[0]) for stem in STEMS])  # fills the table

    def prompts() -> Iterator[str]:
        while True:
            yield drawn.choice(STEMS).replace("<subject>", drawn.choice(known))

    coming = prompts()

    def one_by_one() -> None:
        for prompt in itertools.islice(coming, PROMPTS):
            router.decide([prompt])

    def batches() -> None:
        for _ in range(PROMPTS // BATCH):
            router.decide(list(itertools.islice(coming, BATCH)))

    compared = random.Random(1).choices(list(table), k=PROMPTS // 10)

    def embedding() -> None:
        for text in compared:
            embedder.embed([text])

    times = interleaved(given.rounds, single=one_by_one, batch=batches, embedder=embedding)
    times["embedder"] = [10 * seconds for seconds in times["embedder"]]  # as of all prompts
    print(
        f"router, {given.edits} edits of {sum(ROWS.values())} prompts, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"  made in {made:.1f} s")
    labels = {
        "single": "one prompt by itself, beside the embedder",
        "batch": f"a prompt in a batch of {BATCH}, beside the embedder",
        "embedder": "the embedder, one text by itself",
    }
    for name, label in labels.items():
        each = sorted(1000 * seconds / PROMPTS for seconds in times[name])
        print(f"  {label}: {statistics.median(each):.2f} ms ({each[0]:.2f} to {each[-1]:.2f})")
    print(f"  one by one, faster than the embedder: {ratio(times['embedder'], times['single'])}")


if __name__ == "__main__":
    main()
