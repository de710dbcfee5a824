"""What distances say beside the scope detector: whether a question lies near an edit's own.

The detector reads a whole prompt, and what stands around a question colours what it sees. The
space in which questions are compared (`routing.metric`) knows a few hundred common questions well,
and sees a clause by itself. Both count: what is said here is added to the logarithm of the
detector's odds. The weights are set on development data; docs/decisions/0016-scope-detector.md
has what each of them brings.
"""

from __future__ import annotations

import math
from typing import NamedTuple

AROUND = 3.0
"""Weight of how much nearer a question lies to the edit's own without what stands around it."""
LEAN = 0.1
"""What is added to how much nearer it lies to the edit's own than to any other question."""
ENDS_OTHERWISE = 1.0
"""Taken off where it ends in a preposition in which none of the edit's own ends."""
_LEAST = 1e-6


class Nearness(NamedTuple):
    """Distances of a question in the metric's space.

    Attributes:
        own: from its nearest clause to the nearest of the edit's own questions.
        whole: from the prompt as a whole, as the detector reads it, to that.
        rival: from that clause to the nearest background question that the edit does not ask.
        ends_otherwise: whether it ends in a preposition in which none of the edit's own ends.
    """

    own: float
    whole: float
    rival: float
    ends_otherwise: bool

    def evidence(self, *, around: bool) -> float:
        """What is added to the logarithm of the odds that the fact is asked for.

        Args:
            around: whether a question counts that stands in something else; not where that
                makes a task of it.
        """
        alone = AROUND * (self.whole - self.own) if around else 0.0
        return alone + self.rival - self.own + LEAN - ENDS_OTHERWISE * self.ends_otherwise


def with_evidence(probability: float, evidence: float) -> float:
    """A probability, with what is added to the logarithm of its odds."""
    probability = min(max(probability, _LEAST), 1 - _LEAST)
    return 1 / (1 + math.exp(-math.log(probability / (1 - probability)) - evidence))
