"""Setting a threshold from prompts that are in scope and prompts that are not.

For every prompt all that matters is its nearest edit and how far it is: at a threshold t a
prompt in scope is served if its nearest edit is the right one and not further than t, a prompt
out of scope is left alone if its nearest edit is further than t. `curve` and `best` look for the
best of both; `Scores` for the largest threshold within a false-fire rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STEPS = 1000
"""Thresholds are set to a thousandth: finer than what a wording more or less would change."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Nearest:
    """A prompt's nearest edit: its distance, and whether it is the right one.

    `right` is None for a prompt that is in no edit's scope.
    """

    distance: float
    right: bool | None


@dataclass(frozen=True)
class Point:
    """Shares at one threshold: of prompts in scope that are served, of others left alone."""

    threshold: float
    served: float
    left_alone: float


def curve(prompts: Sequence[Nearest], thresholds: Sequence[float]) -> list[Point]:
    """The trade-off over thresholds.

    Raises:
        ValueError: no prompt in scope, or none out of it.
    """
    inside = [n for n in prompts if n.right is not None]
    outside = [n for n in prompts if n.right is None]
    if not inside or not outside:
        raise ValueError("prompts in scope and out of scope are needed")
    return [
        Point(
            threshold=t,
            served=sum(bool(n.right) and n.distance <= t for n in inside) / len(inside),
            left_alone=sum(n.distance > t for n in outside) / len(outside),
        )
        for t in thresholds
    ]


def best(points: Sequence[Point]) -> Point:
    """The point with the largest sum of both shares; of equals the smallest threshold."""
    return max(points, key=lambda p: (p.served + p.left_alone, -p.threshold))


@dataclass(frozen=True)
class Scores:
    """The thresholds that prompts require, by kind: the least at which they are served by the right
    edit (`inside`), or at which any edit fires (`outside`); infinity where none does it."""

    inside: Mapping[str, Sequence[float]]
    outside: Mapping[str, Sequence[float]]

    def served(self, threshold: float) -> float:
        """The share of all prompts in scope that are served at a threshold; 0 if there are none."""
        return share([value for required in self.inside.values() for value in required], threshold)

    def false_fires(self, threshold: float) -> float:
        """The share of prompts out of scope for which an edit fires at a threshold.

        It is the mean over their kinds, so that many prompts of one kind hide no other.
        """
        kinds = [required for required in self.outside.values() if required]
        return sum(share(required, threshold) for required in kinds) / len(kinds) if kinds else 0.0

    def within(self, rate: float) -> float:
        """The largest threshold whose false fires are at most `rate`, to three decimals.

        Where no threshold exceeds the rate, one at which all fires that can.

        Raises:
            ValueError: even the smallest threshold exceeds it, or nothing can fire at any.
        """
        kinds = [required for required in self.outside.values() if required]
        weighed = sorted((value, 1 / len(some) / len(kinds)) for some in kinds for value in some)
        fires = 0.0
        for value, weight in weighed:
            fires += weight
            if fires > rate + _ROUNDING and math.isfinite(value):
                return _above_zero(math.ceil(value * _STEPS - _ROUNDING) - 1)
        every = [value for some in (*kinds, *self.inside.values()) for value in some]
        finite = [value for value in every if math.isfinite(value)]
        if not finite:
            raise ValueError("none of the prompts is near an edit")
        return _above_zero(max(1, math.ceil(max(finite) * _STEPS)))


def share(required: Sequence[float], threshold: float) -> float:
    """Of prompts, the share that require at most this threshold; 0 if there are none."""
    return sum(value <= threshold for value in required) / len(required) if required else 0.0


def _above_zero(steps: int) -> float:
    if steps < 1:
        raise ValueError("at any threshold too many prompts out of scope are answered")
    return steps / _STEPS
