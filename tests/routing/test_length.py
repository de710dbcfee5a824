"""Time grows with the text: each hostile shape is doubled, and what is done for it is counted.

Counted are function calls of the interpreter, the texts that are embedded and their characters:
seconds would tell of the machine. What one call takes, a pattern's steps, is bounded by a limit
that only something quadratic exceeds.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from sake_bench.timings.length import FILES, NAMES, SHAPES, router
from sake_registry import names
from sake_registry.edits.files import parse_edit
from sake_registry.routing.representation import (
    LONGEST_CLAUSE,
    LOOKED_AT,
    MOST_CLAUSES,
    clauses,
    looked_at,
    masked_clause,
)
from sake_registry.routing.router import MOST_TEXTS

SHORT = 4096
LIMIT = 20
"""Seconds for a text whose quadratic steps would take many minutes."""


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, are called."""
    count = 0

    def counted(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    work()  # fills the caches
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture
def limited() -> Any:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done in {LIMIT} processor seconds")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_prompt_is_at_most_twice_the_work(shape: str) -> None:
    decider, embedded = router()
    made = SHAPES[shape]
    counts = [calls(partial(decider.decide, made(n))) for n in (SHORT, 2 * SHORT, 4 * SHORT)]
    for shorter, longer in pairwise(counts):
        assert longer <= 2.2 * shorter + 200
    assert len(set(embedded)) <= 3 * MOST_TEXTS
    assert max(map(len, embedded), default=0) <= max(LONGEST_CLAUSE, LOOKED_AT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("limited")
def test_finding_and_cutting_are_linear_without_the_cap_too(shape: str) -> None:
    text = SHAPES[shape](1 << 17)
    spans = names.find(text, NAMES)
    assert len(clauses(text, spans)) <= MOST_CLAUSES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("limited")
def test_a_megabyte_is_decided(shape: str) -> None:
    decider, embedded = router()
    decider.decide(SHAPES[shape](1 << 20))
    assert len(embedded) <= MOST_TEXTS


@pytest.mark.parametrize("shape", FILES)
@pytest.mark.usefixtures("limited")
def test_twice_the_file_is_at_most_twice_the_work(shape: str) -> None:
    made = FILES[shape]
    path = Path("edit.yaml")
    counts = [
        calls(partial(parse_edit, made(n).encode(), path))
        for n in (2 * SHORT, 4 * SHORT, 8 * SHORT)
    ]
    for shorter, longer in pairwise(counts):
        assert longer <= 2.2 * shorter + 2000
    parse_edit(made(1 << 18).encode(), path)


@pytest.mark.usefixtures("limited")
def test_marks_in_any_number_are_normalised_in_linear_time() -> None:
    assert len(names.letters.composed("e" + "\u0301\u0323" * (1 << 18))) <= 31
    assert names.find("Beyonce\u0301 sang", ["Beyoncé"]) == [(0, 8)]


def test_many_subjects_in_one_prompt_embed_few_texts() -> None:
    decider, embedded = router()
    decider.decide("\n".join(f"{name} and Rome met." for name in NAMES * 200))
    assert len(embedded) <= MOST_TEXTS


def test_the_texts_nearest_to_the_end_are_compared() -> None:
    text = "The capital " * 50 + "In Australia the capital of Australia is"
    compared = clauses(text, names.find(text, ["Australia"]))
    assert len(compared) == MOST_CLAUSES
    assert compared[-1] == "In X the capital of X is"


def test_a_long_prompt_is_looked_at_from_the_beginning_of_a_clause() -> None:
    question = "The capital of Australia is"
    text = "It rained in Papua New Guinea. " * 4000 + question
    end = looked_at(text)
    assert len(end) <= LOOKED_AT
    assert end.startswith((" It rained", "It rained"))
    assert masked_clause(end, names.find(end, ["Australia"])) == "The capital of X is"
    assert looked_at(question) == question
    assert names.find(looked_at("Papua New Guinea " * 4000), ["Guinea"]) == []
