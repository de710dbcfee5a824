"""What a decision of the scope detector takes, with the distances beside it and its encoder.

    python -m sake_bench.timings.detector [--edits 10000] [--rounds 5]

Subjects are made up; each of 10,000 edits has 20 prompts. Every prompt is new to the router, and
of an edit that it has not looked at before; prompts of about 32 and of about 4,000 tokens are
interleaved. The encoder alone, on the same short prompts, stands beside them, and so does what is
left without it: a prompt that names nobody, and the finding of names in one that names an edit's
subject.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time

import torch

from sake_bench.filling import subjects
from sake_bench.timings.measure import interleaved
from sake_registry.bundle.format import Route
from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import multilingual
from sake_registry.routing.metric import learn
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.settings import DETECTOR_BOUND, MULTILINGUAL

PROMPTS = 40
OWN = tuple(
    f"{opening} of X {verb}"
    for opening in ("The mother tongue", "The native language", "The first language",
                    "The language of the childhood", "The tongue of the parents")
    for verb in ("is", "was", "is known to be", "has always been")
)  # fmt: skip
SHORT = (
    "I was asked at work today and could not say: what is the native language of {}? "
    "A short answer is enough, thank you very much in advance, number {}."
)
SENTENCE = "Nothing of note was said on page {} of the long report. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    encoder = multilingual(locate_embedder(MULTILINGUAL))
    known = subjects(given.edits, random.Random(0))
    points, metric = encoder.embed(OWN), learn(encoder.embed, "contrast")
    entries = (
        RouterEntry(
            f"edit-{number:05d}", "detector", DETECTOR_BOUND,
            (Route(group=0, names=(name,), need="any", rows=len(OWN), texts=OWN),),
            points, asks="mother tongue",
        )
        for number, name in enumerate(known)
    )  # fmt: skip
    began = time.perf_counter()
    router = Router(entries, encoder.embed, metric)
    made = time.perf_counter() - began
    names = itertools.cycle(known)
    number = itertools.count()
    long = "".join(SENTENCE.format(page) for page in range(330))

    def short_prompts() -> None:
        for name in itertools.islice(names, PROMPTS):
            router.decide(SHORT.format(name, next(number)))

    def long_prompts() -> None:
        for name in itertools.islice(names, PROMPTS):
            router.decide(f"{long}{SHORT.format(name, next(number))}")

    def encoding() -> None:
        for name in itertools.islice(names, PROMPTS):
            encoder.embed([SHORT.format(name, next(number))])

    def strangers() -> None:
        for _ in range(PROMPTS):
            router.decide(SHORT.format("the people of that time", next(number)))

    def naming() -> None:
        for name in itertools.islice(names, PROMPTS):
            router.candidates(SHORT.format(name, next(number)))

    times = interleaved(
        given.rounds, short=short_prompts, long=long_prompts, encoder=encoding,
        nobody=strangers, names=naming,
    )  # fmt: skip
    print(f"detector, {given.edits} edits, one thread; made in {made:.1f} s")
    labels = {"short": "a prompt of 32 tokens", "long": "a prompt of 4,000 tokens",
              "encoder": "the encoder alone, 32 tokens",
              "nobody": "a prompt of 32 tokens that names nobody",
              "names": "names alone, 32 tokens"}  # fmt: skip
    for name, label in labels.items():
        each = sorted(1000 * seconds / PROMPTS for seconds in times[name])
        print(f"  {label}: {statistics.median(each):.2f} ms ({each[0]:.2f} to {each[-1]:.2f})")


if __name__ == "__main__":
    main()
