"""Shares and means with their 95 % interval: a bootstrap over edits.

Tests of one edit hang together (they share a map and a router entry), so whole edits are drawn,
not single tests. The generator is seeded: equal marks give equal intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` things of `edits` edits; all None where there is nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    edits: int


def estimate(values: Mapping[str, Iterable[float]]) -> Estimate:
    """The mean of all values and its interval; `values` by edit."""
    sums, counts = [], []
    for given in values.values():
        numbers = [float(value) for value in given]
        if numbers:
            sums.append(sum(numbers))
            counts.append(len(numbers))
    n, edits = sum(counts), len(counts)
    if not n:
        return Estimate(None, None, None, 0, 0)
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, edits, size=(RESAMPLES, edits))
    means = np.array(sums)[drawn].sum(1) / np.array(counts)[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(_round(sum(sums) / n), _round(low), _round(high), n, edits)


def _round(value: float) -> float:
    return round(float(value), 6)
