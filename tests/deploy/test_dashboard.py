"""The dashboard and the alerts ask for what the servers count, and can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from sake_registry.remote.following import Follower
from sake_registry.runtime.bundle import Bundle, load_bundle
from sake_registry.serving.metrics import Metrics
from tests.deploy.dockerfiles import DEPLOY
from tests.test_docs import write_synthetic

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"]
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_VLLM = {
    "http_requests_total": {"handler", "method", "status"},
    "vllm:e2e_request_latency_seconds_bucket": {"le", "model_name", "engine"},
}
"""What vLLM itself counts; tests/vllm holds this against it."""


@dataclass(frozen=True)
class Loaded:
    bundle: Bundle


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every series of a server with a bundle, with its labels."""
    path = tmp_path_factory.mktemp("bundle") / "synthetic.h5"
    write_synthetic(path)
    metrics = Metrics()
    metrics.fires.labels("a-first").inc()
    metrics.requests.labels("/v1/completions", "200").inc()
    metrics.request_seconds.labels("/v1/completions").observe(0.1)
    with Follower(path, lambda path: Loaded(load_bundle(path))) as follower:
        metrics.watch(lambda: follower.now)
        samples = [one for family in metrics.registry.collect() for one in family.samples]
        follower.current.bundle.close()
    # Prometheus adds who was asked.
    return {one.name: {*one.labels, "job", "instance"} for one in samples}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression with where it stands, its variables filled in."""
    found = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    found += [(rule["alert"], rule["expr"]) for group in ALERTS for rule in group["rules"]]
    for place, text in found:
        yield place, re.sub(r"\$__(rate_interval|range)", "5m", text).replace("$job", ".+")


def selectors(text: str) -> list[tuple[str, set[str]]]:
    """The series that an expression reads, each with the labels that it names."""
    found: list[tuple[str, set[str]]] = []
    grouped: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((str(node.name), {one.name for one in node.matchers.matchers}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(text), visit)
    return [(name, labels | grouped) for name, labels in found]


def test_every_query_asks_for_what_is_counted(exported: dict[str, set[str]]) -> None:
    known = {
        **OF_PROMETHEUS,
        **exported,
        **{name: labels | {"job"} for name, labels in OF_VLLM.items()},
    }
    asked = set()
    for place, text in expressions():
        series = selectors(text)
        assert series, place
        for name, labels in series:
            assert name in known, f"{place}: {name}"
            assert labels <= known[name], f"{place}: {name}{labels - known[name]}"
            asked.add(name)
    own = {name.removesuffix("_bucket") for name in asked if name.startswith("sake_")}
    parts = ("_sum", "_count", "_created")
    families = {name.removesuffix("_bucket") for name in exported if not name.endswith(parts)}
    assert own == families, "everything that is counted is shown"


def test_a_query_for_what_is_not_counted_is_seen() -> None:
    (one,) = selectors('sum by (kind) (rate(sake_requests_total{rute="x"}[5m]))')
    assert one == ("sake_requests_total", {"kind", "rute"})
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql_parser.parse("sum by (job) (rate(x[5m])")


def test_every_query_is_for_the_servers_that_were_chosen() -> None:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    for query in queries:
        assert query.count("{") == query.count('job=~"$job"'), query
    (variable,) = DASHBOARD["templating"]["list"]
    assert variable["name"] == "job"
    assert "sake_decisions_total" in variable["query"]["query"]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len({*ids}) == len(ids)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_says_what_it_shows_and_in_what_unit(panel: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z].{20,}\.", panel["description"])
    unit = panel["fieldConfig"]["defaults"]["unit"]
    seconds = any("_seconds" in target["expr"] for target in panel["targets"])
    assert unit in {"s", "reqps", "percentunit", "short", "none"}
    assert (unit == "s") == seconds


def test_no_host_of_a_machine_stands_in_the_dashboard() -> None:
    assert "http" not in Path(DEPLOY / "grafana" / "dashboard.json").read_text("utf-8").replace(
        "http_requests_total", ""
    )
