"""What becomes of routing as more edits are loaded: reach, false fires, memory, time.

Each number of edits is loaded and attached by a process of its own, as in use: in one that has
loaded others, memory that they left would not be counted. Real edits come first; beyond them
there are made-up ones (`sake_bench.filling`).
"""

from __future__ import annotations

import gc
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil
import torch

from sake_bench.filling import repeated
from sake_bench.intervals import estimate
from sake_bench.results import ScaleCurve, ScalePoint
from sake_registry.models.loading import load
from sake_registry.progress import SILENT
from sake_registry.runtime.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_bench.datasets.records import Axis
    from sake_bench.methods import Steering
    from sake_bench.results import Estimate
    from sake_bench.scores import Case
    from sake_registry.models.loading import LocatedModel
    from sake_registry.progress import Progress

REACHED: tuple[Axis, ...] = ("acc", "gen", "chat-acc", "chat-gen", "question", "chat", "reached")
"""Axes whose prompts ask for the fact."""
LEFT_ALONE: tuple[Axis | None, ...] = (
    "neighbourhood", "look-alike", "other-relation", "locality", "rs", None
)  # fmt: skip
"""Axes whose prompts ask for something else; None is an unrelated prompt's."""


@dataclass(frozen=True)
class Routed:
    """What a process saw that loaded a bundle, attached it, and decided on prompts one by one.

    Attributes:
        decided: the edit that fires for each prompt, or None.
        seconds: of loading and attaching, the sentence encoder with it.
        cpu_seconds: the processor's of that.
        memory: bytes that the process holds more after it.
        cpu_ms: the processor's milliseconds of a decision, median, the first call left out.
    """

    decided: list[str | None]
    seconds: float
    cpu_seconds: float
    memory: int
    cpu_ms: float


def scale(
    method: Steering,
    sizes: Sequence[int],
    cases: Sequence[Case],
    located: LocatedModel,
    folder: Path,
    *,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> ScaleCurve:
    """The curve of a method whose router knows subjects by name.

    Args:
        sizes: numbers of edits that are loaded.
        cases: tests; those of records whose edit is beyond a number are left out there.
        folder: where bundles are written, and removed again.
    """
    ids = method.bundle.ids
    points = []
    progress.begin("edits loaded:", len(sizes))
    for size in sorted(set(sizes)):
        beyond = set(ids[size:])
        mine = [case for case in cases if case.record.id not in beyond]
        reached = [case for case in mine if case.axis in REACHED]
        left = [case for case in mine if case.axis in LEFT_ALONE]
        prompts = list(dict.fromkeys(case.question.prompt for case in (*reached, *left)))
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            path = repeated(method.bundle.path, Path(temporary) / "loaded.h5", size)
            # Not forked: a copy of this process would begin with its memory and its threads.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                routed = pool.submit(
                    route, located, path, prompts, torch.get_num_threads(), trust_remote_code
                ).result()
        fired = dict(zip(prompts, routed.decided, strict=True))
        points.append(
            ScalePoint(
                loaded=size,
                made_up=max(0, size - len(ids)),
                reach=_share(reached, fired, right=True),
                false_fires=_share(left, fired, right=False),
                seconds=round(routed.seconds, 2),
                cpu_seconds=round(routed.cpu_seconds, 2),
                memory=round(routed.memory / 2**20, 1),
                cpu_ms=round(routed.cpu_ms, 2),
            )
        )
        progress.advance(1, str(size))
    return ScaleCurve(method=method.name, points=tuple(points))


def _share(cases: Sequence[Case], fired: Mapping[str, str | None], *, right: bool) -> Estimate:
    """The share of cases for which the right edit fires, or any does."""
    values: dict[str, list[float]] = {}
    for case in cases:
        edit = fired[case.question.prompt]
        mark = edit == case.record.id if right else edit is not None
        values.setdefault(case.record.id, []).append(float(mark))
    return estimate(values)


def route(
    located: LocatedModel,
    path: Path,
    prompts: Sequence[str],
    threads: int,
    trust_remote_code: bool = False,
) -> Routed:
    """Load a model, then a bundle, attach it, and decide on prompts; best in a new process."""
    torch.set_num_threads(threads)
    loaded = load(located, trust_remote_code=trust_remote_code)
    before = _memory()
    began, worked = time.perf_counter(), time.process_time()
    with load_bundle(path).attach(loaded.model, loaded.tokenizer, source=located.folder) as edited:
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
        memory = _memory() - before
        edited.decide([prompts[0]])  # what is loaded at first use is no prompt's
        decided, spent = [], []
        for prompt in prompts:
            start = time.process_time()
            (decision,) = edited.decide([prompt])
            spent.append(time.process_time() - start)
            decided.append(decision.edit)
    return Routed(decided, seconds, cpu_seconds, memory, 1000 * median(spent))


def _memory() -> int:
    """The bytes that this process holds."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)
