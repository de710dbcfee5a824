"""The quality that `make bench-quick` holds: a change may not lose unnoticed what was won.

Ten records of our own and the real model, in float32 whatever the machine prefers. Beside the
records lies what was measured; a count may fall behind it as far as chance alone takes ten
records (`room`), and no further.
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from typing import Any

import pytest

from sake_bench.config import find_config, read_config
from sake_bench.run import run
from sake_registry.models.sources import cache_folder
from sake_registry.settings import load_settings

pytestmark = pytest.mark.model

QUICK = read_config(find_config("quick"))
assert QUICK.data is not None
MEASURED = json.loads((QUICK.data.parent / "measured.json").read_text("utf-8"))
CHANCE = 0.05


def room(count: int, n: int) -> int:
    """The least of n successes that is still no finding where `count` were measured.

    Of a binomial with the measured share, one success and one failure added to it (Laplace: ten
    of ten is no certainty), fewer come with a chance of at most one in twenty.
    """
    share = (count + 1) / (n + 2)
    below, least = 0.0, 0
    while True:
        below += comb(n, least) * share**least * (1 - share) ** (n - least)
        if below > CHANCE:
            return least
        least += 1


@pytest.mark.parametrize(
    ("count", "n", "least"),
    [(10, 10, 8), (9, 10, 6), (7, 10, 4), (10, 20, 6), (18, 20, 15), (50, 50, 47)],
)
def test_ten_records_have_the_room_of_ten_records(count: int, n: int, least: int) -> None:
    assert room(count, n) == least


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    request = QUICK.request(cache_folder() / "bench-quick")
    assert {row["method"] for row in MEASURED} <= {*request.methods}
    methods = tuple(dict.fromkeys(row["method"] for row in MEASURED))
    settings = load_settings(None, QUICK.options | {"device": "cpu"})
    assert settings.dtype == "float32"
    request = replace(request, methods=methods)
    return run(request, settings).model_dump(mode="json")


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    MEASURED,
    ids=lambda b: " ".join(str(b[key]) for key in ("method", "scope", "metric", "success")),
)
def test_quality_holds(result: dict[str, Any], row: dict[str, Any]) -> None:
    where = ("method", "scope", "metric", "success")
    wanted = {key: row[key] for key in where} | {"condition": None}
    (score,) = [s for s in result["scores"] if wanted.items() <= s.items()]
    assert score["n"] == row["n"]
    count = round(score["value"] * score["n"])
    if row["better"] == "higher":
        assert count >= room(row["count"], row["n"])
    else:
        assert row["n"] - count >= room(row["n"] - row["count"], row["n"])
