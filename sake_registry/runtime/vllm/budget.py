"""A budget of time for what an engine's step waits for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class OverBudget(Exception):  # noqa: N818  # it is told in the decision, and is no error
    """A call took too long."""


class Budget:
    """Makes calls in a thread of its own, and waits for none longer than it may take.

    A call that takes longer cannot be interrupted: it ends unheard, and the next one has another
    thread.

    Args:
        seconds: most that is waited for a call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._thread = ThreadPoolExecutor(1)

    def call(self, function: Callable[[], T]) -> T:
        """What a function returns; it raises what that raises.

        Raises:
            OverBudget: it did not return in time.
        """
        begun = time.perf_counter()
        future = self._thread.submit(function)
        if not wait([future], self.seconds).done:
            self._thread.shutdown(wait=False)
            self._thread = ThreadPoolExecutor(1)
        elif time.perf_counter() - begun <= self.seconds:
            return future.result()
        raise OverBudget
