"""Shares and means with their 95 % interval: a bootstrap over edits.

Tests of one edit hang together (they share a map and a router entry), so whole edits are drawn,
not single tests. The generator is seeded: equal marks give equal intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sake_bench.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESAMPLES = 2000
SEED = 0


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
        return Estimate(value=None, low=None, high=None, n=0, edits=0)
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, edits, size=(RESAMPLES, edits))
    means = np.array(sums)[drawn].sum(1) / np.array(counts)[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(
        value=_round(sum(sums) / n), low=_round(low), high=_round(high), n=n, edits=edits
    )


def _round(value: float) -> float:
    return round(float(value), 6)
