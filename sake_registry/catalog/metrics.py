"""How often edits fired, from what a server's `/metrics` says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sake_registry.errors import InputError, MissingExtraError
from sake_registry.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 26
_FIRES = "sake_fires_total"
_HINT = "save what a server's /metrics says: curl -s http://127.0.0.1:8000/metrics > FILE"


def fires(path: Path) -> dict[str, int]:
    """Prompts for which each edit fired, by its id: the sum over the servers in a file.

    Raises:
        InputError: there is no such file, or it is not in Prometheus' text format.
        MissingExtraError: the extra that reads it is missing.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ModuleNotFoundError as error:
        raise MissingExtraError("metrics are read by prometheus_client", "serve") from error
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", hint=_HINT) from error
    found: Counter[str] = Counter()
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
        families = list(text_string_to_metric_families(data.decode()))
        if not any(family.name in (_FIRES, "sake_fires") for family in families):
            raise ValueError("they do not count what fired")
        for family in families:
            for sample in family.samples:
                if sample.name == _FIRES:
                    found[sample.labels["edit"]] += int(sample.value)
    except (ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: not the metrics of a server: {error}", hint=_HINT) from error
    return dict(found)
