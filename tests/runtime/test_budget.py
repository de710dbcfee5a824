"""What a step of vLLM waits for has a budget of time."""

from __future__ import annotations

import threading

import pytest

from sake_registry.runtime.vllm.budget import Budget, OverBudget


def timed_out() -> None:
    raise TimeoutError


def test_what_a_call_gives_and_what_it_raises() -> None:
    budget = Budget(60)
    assert budget.call(lambda: 1) == 1
    with pytest.raises(KeyError):
        budget.call(lambda: {}["x"])
    with pytest.raises(TimeoutError):
        budget.call(timed_out)  # a timeout of the function's own
    with pytest.raises(OverBudget):  # it has returned, and too late
        Budget(1e-9).call(lambda: 1)
    first, second = (budget.call(threading.get_ident) for _ in range(2))
    assert first == second != threading.get_ident()


def test_a_call_that_takes_longer_holds_up_neither_its_caller_nor_the_next() -> None:
    budget, go_on, ended = Budget(0.05), threading.Event(), threading.Event()

    def slow() -> None:
        go_on.wait(60)
        ended.set()

    with pytest.raises(OverBudget):
        budget.call(slow)
    assert not ended.is_set()
    assert budget.call(lambda: 1) == 1  # while the first one still runs
    go_on.set()
    assert ended.wait(60)
