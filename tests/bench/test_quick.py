"""The quality that `make bench-quick` holds: a change may not lose unnoticed what was won.

Ten records of our own and the real model; the bounds lie beside the records, a little below
(or above) what was measured when they were written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sake_bench.datasets.reading import read_data
from sake_bench.run import Request, run
from sake_registry.models.sources import cache_folder
from sake_registry.settings import load_settings

QUICK = Path(__file__).parents[2] / "sake_bench" / "timings" / "quick"
BOUNDS = json.loads((QUICK / "bounds.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    file = QUICK / "counterfact.json"
    request = Request(
        data=read_data(file),
        file=file,
        methods=tuple(dict.fromkeys(bound["method"] for bound in BOUNDS["bounds"])),
        work=cache_folder() / "bench-quick",
        threshold=BOUNDS["threshold"],
    )
    return run(request, load_settings(None, {"compile.prompts": BOUNDS["prompts"]}))


@pytest.mark.parametrize(
    "bound",
    BOUNDS["bounds"],
    ids=lambda b: " ".join(str(b[key]) for key in ("method", "scope", "metric", "success")),
)
def test_quality_holds(result: dict[str, Any], bound: dict[str, Any]) -> None:
    where = ("method", "scope", "metric", "success")
    wanted = {key: bound[key] for key in where} | {"condition": None}
    (score,) = [s for s in result["scores"] if wanted.items() <= s.items()]
    assert score["n"] == bound["n"]
    assert bound.get("least", 0) <= score["value"] <= bound.get("most", 1)
