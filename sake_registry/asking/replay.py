"""`sake replay`: what a bundle's router would make of a log of prompts, edit by edit.

How a team judges thresholds on its own traffic, before anything fires. No language model is asked;
only a bundle that compares prompts by the model's own states has it loaded.

Guarantees: each line of the log is decided on or counted among those that have no prompt; time
grows linearly with the log, and memory by one number for each prompt that names a subject.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from sake_registry.asking.prompts import FORM, Line, open_prompts, read_prompts
from sake_registry.asking.routers import embed_with
from sake_registry.errors import InputError, ModelMismatchError
from sake_registry.models.loading import locate
from sake_registry.models.states import space_of
from sake_registry.progress import SILENT
from sake_registry.runtime.bundle import load_bundle, utc_now
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sake_registry.edits.registry import Registry
    from sake_registry.progress import Progress
    from sake_registry.routing.router import Decision, Router
    from sake_registry.runtime.bundle import Bundle

BATCH = 64
"""Prompts that are decided on at once."""
SHOWN = 400
"""Characters of a prompt that are shown: its end, which is what is asked."""
NAMED = 5
"""Lines without a prompt that are named; all are counted."""
_QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


class Unusable(Value):
    """A line of the log that has no prompt, and why."""

    line: int
    problem: str


class Example(Value):
    """A prompt of the log, and what was decided of it; `…` stands for what is left out."""

    line: int
    prompt: str
    distance: float
    threshold: float
    why: str
    narrow: bool


class Distances(Value):
    """Quantiles of distances: the least, 10 %, the median, 90 %, the greatest."""

    least: float
    low: float
    median: float
    high: float
    greatest: float


class Changed(Value):
    """What another threshold would change about an edit: prompts that it would fire for as well,
    and that it would fire for no longer."""

    gained: int
    lost: int
    examples: tuple[Example, ...]


class EditReplay(Value):
    """What an edit would do.

    Attributes:
        fires: prompts that it would fire for; `narrow` of them by little.
        fires_at: the distances of those.
        misses: prompts that it was the nearest edit for, and would not fire; `narrow_misses` of
            them by little.
        misses_at: the distances of those.
        reasons: how often it would not, by why.
        furthest: fires that were nearest to the bound.
        nearest: misses that were nearest to the bound, or within it and held back.
        changed: by another threshold, where one was asked for.
    """

    edit: str
    fires: int
    narrow: int
    fires_at: Distances | None
    misses: int
    narrow_misses: int
    misses_at: Distances | None
    reasons: dict[str, int]
    furthest: tuple[Example, ...]
    nearest: tuple[Example, ...]
    changed: Changed | None = None


class Replay(Value):
    """What a bundle would make of a log.

    Attributes:
        key, content: of the bundle.
        prompts: lines with one; the others that are not blank are `unusable`, the first of which
            are named.
        near: prompts that some edit was a candidate for.
        fired: prompts that an edit would fire for, `share` of all, `narrow` of them by little.
        threshold: the other one that was asked for.
        fired_then: prompts that an edit would fire for under it.
        edits: those that were a candidate, by how often they would fire.
    """

    log: Path
    bundle: Path
    key: str
    content: str
    prompts: int
    near: int
    fired: int
    share: float
    narrow: int
    unusable: int
    first_unusable: tuple[Unusable, ...]
    threshold: float | None
    fired_then: int | None
    edits: tuple[EditReplay, ...]


def replay(
    log: Path,
    bundle: Path,
    registry: Callable[[], Registry],
    *,
    threshold: float | None = None,
    examples: int = 3,
    progress: Progress = SILENT,
) -> Replay:
    """What a bundle's router would make of the prompts of a log.

    Args:
        log: prompts, line by line (`asking.prompts`); `-` for the standard input.
        registry: gives the registry at hand; asked for where the model's own states are compared.
        threshold: also what another threshold for all edits would change.
        examples: so many prompts are shown of each kind.

    Raises:
        InputError: the log cannot be read, or has no prompt; the threshold is not of the router.
        BundleFormatError, ModelMismatchError: the bundle cannot be used.
        ModelNotFoundError: what compares prompts is not on this machine.
    """
    now = utc_now()
    with open_prompts(log) as file, load_bundle(bundle) as opened:
        router = _router(opened, registry)
        other = None if threshold is None else _bounded(router, threshold)
        tally = _Tally(examples)
        progress.begin("deciding", _lines_of(file))
        lines, last = read_prompts(file), 0
        while some := list(islice(lines, BATCH)):
            asked = [line for line in some if not line.problem]
            texts = [line.prompt for line in asked]
            decided = router.decide(texts, now=now)
            then = other.decide(texts, now=now) if other else decided
            for line, decision, later in zip(asked, decided, then, strict=True):
                tally.add(line, decision, later)
            tally.leave_out(line for line in some if line.problem)
            progress.advance(some[-1].number - last)
            last = some[-1].number
        if not tally.prompts:
            raise _no_prompt(log, tally)
        return Replay(
            log=log,
            bundle=bundle,
            key=opened.manifest.key,
            content=opened.manifest.content_hash,
            prompts=tally.prompts,
            near=tally.near,
            fired=tally.fired,
            share=tally.fired / tally.prompts,
            narrow=tally.narrow,
            unusable=tally.unusable,
            first_unusable=tuple(tally.first_unusable),
            threshold=threshold,
            fired_then=None if threshold is None else tally.fired_then,
            edits=tally.edits(changed=threshold is not None),
        )


def _no_prompt(log: Path, tally: _Tally) -> InputError:
    if not tally.first_unusable:
        return InputError(f"{log} is empty", hint=FORM)
    first = tally.first_unusable[0]
    return InputError(f"{log}:{first.line}: {first.problem}; no line has a prompt", hint=FORM)


def _lines_of(file: BinaryIO) -> int:
    """How many lines a file has; 0 where that is not known before they are read."""
    if not file.seekable():
        return 0
    start = file.tell()
    lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    file.seek(start)
    return lines


def _router(bundle: Bundle, registry: Callable[[], Registry]) -> Router:
    representation, manifest = bundle.representation, bundle.manifest
    if representation == "embedder":
        return bundle.router()
    settings = registry().settings
    located = locate(settings)
    if space_of(representation, located) != space_of(representation, manifest.model):
        raise ModelMismatchError(
            f"{bundle.path} compares prompts by the {manifest.embedder.name} of "
            f"{manifest.model.name} ({manifest.model.hash[:12]}, {manifest.model.dtype}); this "
            f"model is {located.source.name} ({located.hash[:12]}, {located.dtype})",
            hint=f"name the model that it was compiled for: --model {manifest.model.name}",
        )
    return bundle.router_by(embed_with(settings, representation, located))


def _bounded(router: Router, threshold: float) -> Router:
    most = 1.0 if any(e.kind == "detector" for e in router.entries.values()) else math.inf
    if not 0 < threshold <= most:
        raise InputError(
            f"a threshold of {threshold:g}: it is above 0"
            + (", and a probability, at most 1" if most == 1 else ""),
            hint="`sake inspect` shows the thresholds of a bundle",
        )
    return router.bounded(threshold)


class _Nearest:
    """The examples with the smallest numbers; of equal ones the first."""

    def __init__(self, number: int) -> None:
        self._number, self._heap = number, list[tuple[float, int, Example]]()

    def add(self, by: float, line: Line, decision: Decision) -> None:
        if not self._number or (len(self._heap) == self._number and -by <= self._heap[0][0]):
            return
        shown = line.prompt if len(line.prompt) <= SHOWN else "…" + line.prompt[1 - SHOWN :]
        example = Example(
            line=line.number, prompt=shown, distance=decision.distance or 0.0,
            threshold=decision.threshold or 0.0, why=decision.why, narrow=decision.narrow,
        )  # fmt: skip
        push = heapq.heappush if len(self._heap) < self._number else heapq.heappushpop
        push(self._heap, (-by, -line.number, example))

    def all(self) -> tuple[Example, ...]:
        return tuple(example for *_, example in sorted(self._heap, key=lambda row: row[:2])[::-1])


class _OfEdit:
    """What is counted of an edit."""

    def __init__(self, examples: int) -> None:
        self.fires_at, self.misses_at = array("d"), array("d")
        self.narrow = self.narrow_misses = self.gained = self.lost = 0
        self.reasons: Counter[str] = Counter()
        self.furthest, self.nearest, self.changed = (_Nearest(examples) for _ in range(3))


class _Tally:
    """What is counted of a log."""

    def __init__(self, examples: int) -> None:
        self.prompts = self.near = self.fired = self.narrow = self.fired_then = self.unusable = 0
        self.first_unusable: list[Unusable] = []
        self._edits: dict[str, _OfEdit] = defaultdict(lambda: _OfEdit(examples))

    def leave_out(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.unusable += 1
            if len(self.first_unusable) < NAMED:
                self.first_unusable.append(Unusable(line=line.number, problem=line.problem))

    def add(self, line: Line, now: Decision, then: Decision) -> None:
        """Count a prompt.

        Args:
            now: what is decided of it.
            then: what another threshold decides; the same if there is none.
        """
        self.prompts += 1
        self.fired_then += then.edit is not None
        if now.edit != then.edit:
            self._add_change(line, now, then)
        if now.nearest is None:
            return
        self.near += 1
        edit = self._edits[now.nearest]
        distance, bound = now.distance or 0.0, now.threshold or 0.0
        if now.edit is not None:
            self.fired += 1
            self.narrow += now.narrow
            edit.narrow += now.narrow
            edit.fires_at.append(distance)
            edit.furthest.add(bound - distance, line, now)
        else:
            edit.narrow_misses += now.narrow
            edit.misses_at.append(distance)
            edit.reasons[now.reason.said(now.detail)] += 1
            edit.nearest.add(distance - bound, line, now)

    def _add_change(self, line: Line, now: Decision, then: Decision) -> None:
        for decision, gains in ((then, True), (now, False)):
            if decision.edit is None:
                continue
            edit = self._edits[decision.edit]
            edit.gained += gains
            edit.lost += not gains
            # Those first that change by the least other threshold.
            bound, distance = now.threshold or 0.0, now.distance or 0.0
            edit.changed.add(abs(distance - bound), line, now)

    def edits(self, *, changed: bool) -> tuple[EditReplay, ...]:
        """What each edit would do, by how often it would fire."""
        counted = sorted(self._edits.items(), key=lambda row: (-len(row[1].fires_at), row[0]))
        return tuple(
            EditReplay(
                edit=name,
                fires=len(edit.fires_at),
                narrow=edit.narrow,
                fires_at=_distances(edit.fires_at),
                misses=len(edit.misses_at),
                narrow_misses=edit.narrow_misses,
                misses_at=_distances(edit.misses_at),
                reasons=dict(edit.reasons.most_common()),
                furthest=edit.furthest.all(),
                nearest=edit.nearest.all(),
                changed=Changed(gained=edit.gained, lost=edit.lost, examples=edit.changed.all())
                if changed
                else None,
            )
            for name, edit in counted
        )


def _distances(numbers: array[float]) -> Distances | None:
    if not numbers:
        return None
    least, low, median, high, greatest = np.quantile(numbers, _QUANTILES).tolist()
    return Distances(least=least, low=low, median=median, high=high, greatest=greatest)
