"""docs/production.md says what is: metrics, variables, fields of the log, limits."""

from __future__ import annotations

import re

from sake_registry.serving.decisions import Logged
from sake_registry.serving.metrics import Metrics
from sake_registry.serving.vllm.environment import Environment
from tests.conftest import ROOT
from tests.test_docs import blocks, rows, section

PAGE = ROOT / "docs" / "production.md"


def named(cell: str) -> list[str]:
    """The names in the first cell of a row, whose outer code marks are off."""
    return re.findall(r"\w+", cell)


def test_the_pointer_and_the_overrides_have_their_form() -> None:
    from sake_registry.remote.pointer import parse_pointer
    from sake_registry.runtime.overrides import parse_overrides

    (pointer,) = blocks(PAGE, "json")
    assert parse_pointer(pointer.encode(), "/srv/production.json").bundle.startswith("/srv/bundles")
    (overrides,) = re.findall(r"`(\{\"disabled\".*?\}\})`", PAGE.read_text("utf-8"))
    assert parse_overrides(overrides.encode(), "overrides.json").disabled


def test_every_metric_stands_there_with_its_labels() -> None:
    metrics = Metrics()
    metrics.watch(lambda: None)
    said = {name: set(named(labels)) for name, labels, _ in rows(section(PAGE, "Metrics"))}
    counted = {family.name: family for family in metrics.registry.collect()}
    assert {name.removesuffix("_total") for name in said} == counted.keys()
    for name in said:
        assert (counted[name.removesuffix("_total")].type == "counter") == name.endswith("_total")
    for metric in (metrics.decisions, metrics.fires, metrics.requests, metrics.request_seconds):
        (family,) = metric.collect()
        suffix = "_total" if family.type == "counter" else ""
        assert said[family.name + suffix] == {*metric._labelnames}


def test_every_variable_of_the_plugin_stands_there() -> None:
    said = {row[0] for row in rows(section(PAGE, "With vLLM"))}
    read = {f"SAKE_{name.upper()}" for name in Environment.model_fields}
    assert said == read | {"SAKE_ADMIN_TOKEN"}
    (given,) = re.findall(r"^(SAKE_.*) \\\n  vllm serve", PAGE.read_text("utf-8"), re.M)
    assert {word.partition("=")[0] for word in given.split()} <= said | {"VLLM_PLUGINS"}


def test_every_field_of_the_log_stands_there() -> None:
    said = [name for row in rows(section(PAGE, "The log of decisions")) for name in named(row[0])]
    assert sorted(said) == sorted(Logged.model_fields)


def test_the_limits_are_the_program_s() -> None:
    from sake_registry import places
    from sake_registry.commands.serve import command
    from sake_registry.remote import fetching, following, pointer
    from sake_registry.runtime import overrides
    from sake_registry.serving.preparing import Limits
    from sake_registry.serving.protocol import MAX_ROWS, MAX_STOPS

    text = section(PAGE, "Limits") + section(PAGE, "When something fails")
    for name, value in re.findall(r"`--([\w-]+)`? (\d+)", text):
        (option,) = [p for p in command.params if f"--{name}" in p.opts]
        assert option.default == float(value), name
    assert f"{MAX_ROWS} answers; {MAX_STOPS} stop strings" in text
    assert Limits().body == 1 << 20
    sizes = (pointer.MAX_BYTES, overrides.MAX_BYTES, fetching.MAX_BUNDLE_BYTES)
    assert sizes == (64 << 10, 1 << 20, 64 << 30)
    assert "64 KiB, 1 MiB; 64 GiB" in text
    assert f"after {places.SMALL_SECONDS:g} s, a bundle after {places.IDLE_SECONDS:g} s" in text
    assert f"again after {following.PAUSE:g} s" in text
