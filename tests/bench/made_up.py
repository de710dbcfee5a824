"""Made-up records, and benchmark runs on them with their rows."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sake_bench import run as bench
from sake_bench.factory import Request
from sake_bench.intervals import estimate
from sake_registry.progress import SILENT, Progress
from sake_registry.settings import Settings
from tests.bench.datasets.entries import counterfact

METHODS = ("base", "icl", "actadd", "uniform", "sake-paper", "sake")
ROUTED = ("given", "own-centre", "all-edits")
SAID = ("English", "France", "Australia")
SUBJECTS = [
    f"{first} {last}"
    for last in ("Holm", "Krog", "Lund")
    for first in ("Ada", "Bodil", "Carl", "Dagny", "Egil", "Frida")
]
OTHERS = [
    f"{first} {last}"
    for last in ("Moe", "Pihl", "Rask", "Sand", "Thue", "Vinje")
    for first in ("Gerd", "Harald", "Inger", "Jens", "Karen", "Leif")
]
RELATIONS = {
    "P103": ("The mother tongue of {} is", "At home {} always speaks", "{} was raised to speak"),
    "P27": ("{} has a passport of", "Officials list {} as born in", "The state of {} is"),
}


def fact(number: int) -> dict[str, Any]:
    """A CounterFact record that is made up; two relations, three objects."""
    relation = ("P103", "P27")[number % 2]
    prompt, *paraphrases = RELATIONS[relation]
    subject = SUBJECTS[number]
    old, new = SAID[number % 3], SAID[(number + 1 + number // 9) % 3]
    neighbours = [OTHERS[2 * number], OTHERS[2 * number + 1]]
    return counterfact(
        case_id=number,
        prompt=prompt,
        relation_id=relation,
        target_new={"str": new, "id": "Q1"},
        target_true={"str": old, "id": "Q2"},
        subject=subject,
    ) | {
        "paraphrase_prompts": [text.format(subject) for text in paraphrases],
        # A neighbour of every record is the subject of another one.
        "neighborhood_prompts": [
            *(prompt.format(other) for other in neighbours),
            prompt.format(SUBJECTS[(number + 2) % len(SUBJECTS)]),
        ],
    }


# Like the published ones: they do not end in the prompt.
DOUBTS = {
    "SAKE_D1": "{prompt} {target_new}? No, the answer to '{prompt}' is something else, namely",
    "SAKE_D2": "{prompt} {target_new}? But {prompt} {target_true}. The right answer is",
}
FACTS = [fact(number) for number in range(len(SUBJECTS))]


@dataclass
class Runs:
    """Runs of one request, each with its rows."""

    request: Request
    settings: Settings
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, work: Path, progress: Progress = SILENT, **changes: Any) -> Any:
        """A run in a working folder, as it is written."""
        self.rows = []
        request = replace(self.request, work=work, **changes)
        result = bench.run(request, self.settings, progress=progress, rows=self.rows.append)
        return result.model_dump(mode="json")


@dataclass(frozen=True)
class Done:
    """A run, its rows, and what it was of."""

    runs: Runs
    work: Path
    result: dict[str, Any]
    rows: list[dict[str, Any]]

    def score(self, method: str, scope: str, metric: str, *rest: str | None) -> dict[str, Any]:
        success, condition = (*rest, None, None)[:2]
        wanted = (method, scope, metric, success, condition)
        (found,) = (s for s in self.result["scores"] if key(s) == wanted)
        return dict(found)

    def of(self, method: str, scope: str, *axes: str) -> list[dict[str, Any]]:
        return [
            row for row in self.rows
            if (row["method"], row["scope"]) == (method, scope) and row["axis"] in axes
        ]  # fmt: skip


def key(score: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(score[name] for name in ("method", "scope", "metric", "success", "condition"))


def values(rows: list[dict[str, Any]], of: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """An estimate over rows, as a score has it."""
    by_edit: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if of(row) is not None:
            by_edit[row["edit"]].append(float(of(row)))
    return vars(estimate(by_edit))


OLD = {f"cf-{n}-{SUBJECTS[n].lower().replace(' ', '-')}": SAID[n % 3] for n in range(len(SUBJECTS))}


def close(score: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {name: score[name] for name in expected} == expected


def plain(result: dict[str, Any]) -> str:
    """A run as JSON, but for what is of the moment."""
    assert set(result["environment"]) >= {"date", "seconds", "versions"}
    return json.dumps({k: v for k, v in result.items() if k != "environment"})


def relapsed(row: dict[str, Any]) -> bool:
    return OLD[row["edit"]] in re.split(r"\W+", row["after"])


@dataclass
class Telling:
    """Progress that tells one function of every batch."""

    advanced: Callable[[int], None]

    def begin(self, phase: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, label: str = "") -> None:
        if steps:
            self.advanced(steps)
