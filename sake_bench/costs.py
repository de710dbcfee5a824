"""What a request costs under each method: asked alone, nothing known of it beforehand.

The methods take turns on each request, so that what else the machine does meets all alike, and
what is counted is CPU time. An accelerator's is not in it: there is no figure on one.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import mean, median
from typing import TYPE_CHECKING

from sake_bench.results import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sake_bench.methods import Question

    Serving = AbstractContextManager[Callable[[Question], int]]


def costs(methods: Mapping[str, Serving], questions: Sequence[Question]) -> tuple[Cost, ...]:
    """A figure for each method; `base` is among them.

    Args:
        methods: by name what makes it ready: a context that gives a function which answers one
            request and says how many tokens its prompt had.
    """
    spent: dict[str, list[tuple[int, float]]] = {name: [] for name in methods}
    with ExitStack() as stack:
        serve = {name: stack.enter_context(method) for name, method in methods.items()}
        for answer in serve.values():  # what is loaded at first use is no request's
            answer(questions[0])
        for question in questions:
            for name, answer in serve.items():
                start = time.process_time()
                tokens = answer(question)
                spent[name].append((tokens, time.process_time() - start))
    return tuple(
        Cost(
            method=name,
            requests=len(rows),
            tokens=round(mean(tokens for tokens, _ in rows), 1),
            cpu_ms=round(1000 * median(seconds for _, seconds in rows), 1),
            times_base=round(
                median(
                    mine / base for (_, mine), (_, base) in zip(rows, spent["base"], strict=True)
                ),
                2,
            ),
        )
        for name, rows in spent.items()
    )
