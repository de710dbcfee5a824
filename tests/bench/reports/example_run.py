"""A benchmark run made by hand: every part of the format, hostile text, and what is missing.

The figures are invented; they only look like a run.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

from sake_bench.results import Run

HOSTILE = "<script>window.stolen = 1</script> & \"quoted\" | 'x' \x00 [link](http://a.example) *b*"
PROTOCOL = {
    "first-token": "The answer's first token is the first token of the new object.",
    "full-object": "The greedy answer begins with the whole new object or an alias of it.",
    "given": "the right edit's map is always applied; no router decides",
    "own-centre": "The router decides, but knows only the edit that is meant.",
    "all-edits": "All edits are loaded and the router decides among them, as in use.",
    "interval": "95 %, bootstrap over edits, 2000 resamples",
}
# method → the scopes it is measured in, accuracy, generality, specificity, doubt
METHODS: dict[str, tuple[tuple[str, ...], float, float, float, float]] = {
    "base": (("none",), 0.02, 0.025, 1.0, 0.0),
    "sake": (("given", "own-centre", "all-edits"), 0.99, 0.9, 0.97, 0.98),
    "sake-paper": (("given", "own-centre", "all-edits"), 0.9, 0.805, 0.961, 0.87),
    "uniform": (("given", "own-centre", "all-edits"), 0.89, 0.78, 0.963, 0.8),
    "actadd": (("given", "own-centre", "all-edits"), 0.78, 0.42, 0.9, 0.6),
    "icl": (("given",), 0.7, 0.43, 0.453, 0.01),
    "rome": (("alone",), 0.98, 0.82, 0.945, 0.075),
    "memit": (("alone", "together"), 0.97, 0.8, 0.98, 0.1),
    "compmemit": (("alone", "together"), 0.95, 0.79, 0.97, 0.08),
}
COUNTS = {"acc": 1, "gen": 2, "spec": 10, "unchanged": 10, "di": 1, "dii": 1, "relapse": 1}
PENALTY = {"given": 0.0, "own-centre": 0.03, "all-edits": 0.06, "together": 0.05}
RELATIONS = {
    "P103": "mother tongue",
    "P17": "country",
    "P176": "manufacturer",
    "P27": "country of citizenship",
    "P30": "continent",
    "P36": "capital",
    "P364": "original language of film or TV show, a long name that must be shortened",
    "P413": "position played on team",
}


def read(run: dict[str, Any]) -> Run:
    """The run as its file is read."""
    return Run.read(json.dumps(run))


def example_run() -> dict[str, Any]:
    """A run on CounterFact with nine methods."""
    scores = [score for name in METHODS for score in _scores(name)]
    return {
        "schema": "bench/1",
        "model": {"name": "smollm2-135m", "hash": "c4ab8141" * 8, "dtype": "float32"},
        "data": {
            "name": "counterfact",
            "file": "counterfact.json",
            "sha256": "0f" * 32,
            "records": 100,
            "limit": 100,
            "seed": 0,
            "conflicts": ["record 337: says otherwise than record 12 (Lyon, twin city)"],
            "problems": [HOSTILE],
            "prompts": {"min": 9, "median": 14, "max": 22},
            "implications": "answers taken from the records' tests",
        },
        "protocol": PROTOCOL,
        "methods": [_method(name) for name in METHODS],
        "scores": scores,
        "relations": _relations(),
        "threshold_curves": [_curve(name, s) for name in ("sake", "sake-paper") for s in SUCCESS],
        "prompt_curve": [_prompts()],
        "projections": [
            _projection("cf-0-danielle-darrieux", "Danielle Darrieux · mother tongue", 1),
            _projection("cf-1-hostile", HOSTILE, 2),
        ],
        "environment": {
            "commit": "c8dcd4a0c8dcd4a0",
            "clean": True,
            "date": "2026-11-22",
            "seconds": {"compile": 612.25, "score": 1801.5},
            "versions": {"python": "3.11.9", "torch": "2.7.1"},
        },
    }


def ripple_run() -> dict[str, Any]:
    """A small run on RippleEdits: conditions, few edits, no curves, no pictures."""
    scores = []
    for name, level in (("base", 0.1), ("sake", 0.55)):
        scope = "none" if name == "base" else "all-edits"
        for i, (metric, n, edits) in enumerate(
            (("ci", 141, 94), ("cii", 60, 35), ("sa", 300, 300), ("rs", 800, 280), ("lg", 40, 30))
        ):
            for condition in ("applied", "not applied"):
                less = 0.0 if condition == "applied" else 0.2
                scores.append(
                    _score(name, scope, metric, "first-token", level + 0.05 * i - less / 2, n)
                    | {"condition": condition, "edits": edits}
                )
        nothing = {"value": None, "low": None, "high": None, "n": 0}
        scores.append(_score(name, scope, "forgetfulness", "first-token", 0.5, 1) | nothing)
    run = example_run()
    return run | {
        "data": run["data"] | {"name": "rippleedits", "conflicts": [], "problems": []},
        "methods": [
            method | {"edits": 300, "failed": {}}
            for method in run["methods"]
            if method["name"] in ("base", "sake")
        ],
        "scores": scores,
        "relations": [],
        "threshold_curves": [],
        "prompt_curve": [],
        "projections": [],
    }


def asked_run() -> dict[str, Any]:
    """`example_run` with what is measured only when asked for; no chat template."""
    run = example_run()
    more = []
    for name, level in (("base", 0.05), ("sake", 0.8)):
        scope = "none" if name == "base" else "all-edits"
        for metric, value in (
            ("question", level), ("question-new", level + 0.1), ("question-old", 0.9 - level),
            ("other-relation", 0.93 if name == "sake" else 1.0),
        ):  # fmt: skip
            more.append(_score(name, scope, metric, None, value, 200))
        for metric, n in (("acc", 31), ("gen", 62)):
            part = _score(name, scope, metric, "full-object", level - 0.03, n)
            more.append(part | {"condition": "several tokens", "edits": 31})
        for metric, n in (("sa-listed", 60), ("sa-unlisted", 44)):
            for condition in ("applied", "not applied"):
                alias = _score(name, scope, metric, "first-token", level / 2, n)
                more.append(alias | {"condition": condition})
    points = [
        {"loaded": k, "acc": _figure(0.99, 100), "gen": _figure(0.9, 200), "spec": none}
        for k, none in ((1, _figure(None, 0)), (700, _figure(0.97, 1000)))
    ]
    curve = {"method": "sake", "scope": "all-edits", "success": "first-token", "points": points}
    return run | {
        "scores": [*run["scores"], *more],
        "load_curves": [curve],
        "data": run["data"] | {"left_out": [f"chat: {HOSTILE} has no chat template"]},
    }


SUCCESS = ("first-token", "full-object")


def _edits(name: str) -> int:
    return 40 if name in ("rome", "compmemit") else 100


def _method(name: str) -> dict[str, Any]:
    failed = {"cf-3-x": "the covariance is singular", "cf-9-y": HOSTILE} if name == "rome" else {}
    steered = name in ("sake", "sake-paper", "uniform")
    return {
        "name": name,
        "description": {
            "base": "The unedited model.",
            "sake": "Transport maps with the project's defaults and the anchored router.",
            "rome": "One rank-one change of a layer's weights for each edit.",
        }.get(name, f"The method {name}, from its paper."),
        "edits": _edits(name),
        "failed": failed,
        "threshold": {"sake": 5.3, "sake-paper": 4.6}.get(name),
        "calibrated": "Chosen on 50 other records for the best mean of Gen and Spec."
        if steered
        else None,
        "settings": {
            "reg": 0.01,
            "prompts": 60,
            "router": {"kind": "centre", "sources": ["a", "b"]},
        }
        if steered
        else {},
    }


def _scores(name: str) -> list[dict[str, Any]]:
    scopes, acc, gen, spec, doubt = METHODS[name]
    found = []
    for scope in scopes:
        less = PENALTY.get(scope, 0.0)
        for success in SUCCESS:
            whole = 0.0 if success == "first-token" or name == "base" else 0.04
            for metric, value in (
                ("acc", acc - less),
                ("gen", gen - less),
                ("di", doubt),
                ("dii", doubt * 0.9),
            ):
                value = max(0.0, value - whole)
                found.append(
                    _score(name, scope, metric, success, value, COUNTS[metric] * _edits(name))
                )
        found.append(_score(name, scope, "spec", "first-token", spec, 10 * _edits(name)))
        for metric, value in (
            ("unchanged", spec - 0.02),
            ("relapse", 1 - acc),
            ("collateral", 0.9 - 0.9 * spec),
        ):
            if name == "base":
                value = {"unchanged": 1.0, "relapse": 0.86, "collateral": 0.0}[metric]
            found.append(_score(name, scope, metric, None, max(0.0, value), _edits(name)))
        fluency = _score(name, scope, "fluency", None, 0.5, _edits(name))
        found.append(fluency | {"value": 5.31, "low": 5.2, "high": 5.42})
    return found


def _score(
    method: str, scope: str, metric: str, success: str | None, value: float, n: int
) -> dict[str, Any]:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.0) / n)
    return {
        "method": method,
        "scope": scope,
        "metric": metric,
        "success": success,
        "condition": None,
        "value": round(value, 4),
        "low": round(max(0.0, value - half), 4),
        "high": round(min(1.0, value + half), 4),
        "n": n,
        "edits": _edits(method),
    }


def _relations() -> list[dict[str, Any]]:
    chance = random.Random(0)
    return [
        {
            "method": method,
            "scope": "none" if method == "base" else "all-edits",
            "metric": metric,
            "success": "first-token",
            "relation": relation,
            "label": label,
            "value": round(chance.uniform(0.5, 1.0), 3),
            "n": chance.randint(2, 30),
        }
        for metric in ("gen", "acc")
        for method in ("base", "sake", "sake-paper", "uniform")
        for relation, label in RELATIONS.items()
        if (method, relation) != ("uniform", "P36")
    ]


def _curve(method: str, success: str) -> dict[str, Any]:
    best = 5.3 if method == "sake" else 4.6
    lift = 0.05 if method == "sake" else 0.0
    points = []
    for i in range(13):
        threshold = round(best - 1.8 + 0.3 * i, 2)
        reach = 1 / (1 + math.exp(-(threshold - best + 0.5) * 2.2))
        harm = 1 / (1 + math.exp(-(threshold - best - 1.1 - 6 * lift) * 2.6))
        points.append(
            {
                "threshold": threshold,
                "acc": round(0.55 + 0.44 * reach, 4),
                "gen": round((0.86 + lift) * reach, 4),
                "spec": round(1 - 0.5 * harm, 4),
            }
        )
    return {
        "method": method,
        "success": success,
        "points": points,
        "chosen": best,
        "calibrated": "chosen on 50 other records",
        "n": {"acc": 100, "gen": 200, "spec": 1000},
    }


def _prompts() -> dict[str, Any]:
    points = []
    for prompts in (5, 10, 20, 30, 40, 50, 60):
        rise = 1 - math.exp(-prompts / 14)
        points.append(
            {
                "prompts": prompts,
                "acc": _figure(0.6 + 0.32 * rise, 100),
                "gen": _figure(0.35 + 0.48 * rise, 200),
            }
        )
    return {"method": "sake-paper", "scope": "given", "success": "first-token", "points": points}


def _figure(value: float | None, n: int) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": n}
    score = _score("sake", "given", "acc", None, value, n)
    return {key: score[key] for key in ("value", "low", "high", "n")}


def _projection(edit: str, claim: str, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)

    def cloud(x: float, y: float, size: float) -> list[list[float]]:
        return [
            [round(chance.gauss(x, size), 3), round(chance.gauss(y, size * 0.7), 3)]
            for _ in range(60)
        ]

    return {
        "edit": edit,
        "claim": claim,
        "method": "sake",
        "explained": [0.41, 0.2],
        "source": cloud(-6, 1, 1.4),
        "target": cloud(5, -1, 1.8),
        "mapped": cloud(5.1, -0.8, 1.5),
    }
