"""Setting a threshold from prompts that are in scope and prompts that are not.

For every prompt all that matters is its nearest edit and how far it is: at a threshold t a
prompt in scope is served if its nearest edit is the right one and not further than t, a prompt
out of scope is left alone if its nearest edit is further than t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def curve(found: Sequence[Nearest], thresholds: Sequence[float]) -> list[Point]:
    """The trade-off over thresholds.

    Raises:
        ValueError: no prompt in scope, or none out of it.
    """
    inside = [n for n in found if n.right is not None]
    outside = [n for n in found if n.right is None]
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
