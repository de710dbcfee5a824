"""Interleaved timing: machines are shared and noisy, so only ratios within one run count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(rounds: int, **functions: Callable[[], object]) -> dict[str, list[float]]:
    """Seconds of each function in each round, A B A B …, after one warm-up of each."""
    for function in functions.values():
        function()
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            found[name].append(time.perf_counter() - began)
    return found


def ratio(slow: list[float], fast: list[float]) -> str:
    """`31.2 times (28.9 to 33.0)`: the median of the rounds' ratios, and their range."""
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return f"{statistics.median(ratios):.1f} times ({ratios[0]:.1f} to {ratios[-1]:.1f})"
