"""Findings about many edits of one fact are summed up: their number grows with the edits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sake_registry.edits.checks import MOST_NAMED
from sake_registry.edits.conflicts import find_conflicts
from sake_registry.edits.registry import open_registry
from tests.conftest import Run

MANY = 200
ALONE = MOST_NAMED * (MOST_NAMED + 1) // 2
"""Findings of the first edits, which have few enough others to name each."""


def fill(registry: Path, new: str) -> None:
    for number in range(MANY):
        (registry / "edits" / f"mayor-{number:03d}.yaml").write_text(
            "schema: 1\nfact: {subject: Rome, relation: mayor, new: " + new.format(number)
            + "}\nprompts:\n- The mayor of <subject> is\n"
        )  # fmt: skip


@pytest.mark.parametrize(
    ("new", "code", "status"), [("Person {}", "SAKE202", 1), ("Person", "SAKE203", 0)]
)
def test_two_hundred_edits_of_one_fact(
    registry: Path, sake: Run, new: str, code: str, status: int
) -> None:
    fill(registry, new)
    (registry / "edits" / "darrieux.yaml").unlink()
    opened = open_registry(registry)
    counts = Counter(finding.code for finding in opened.findings)
    assert counts[code] == ALONE + MANY - 1 - MOST_NAMED
    assert any(f"in {MANY - 2} more files" in f.message for f in opened.findings)
    assert sake("check", cwd=registry).returncode == status

    conflicts = find_conflicts(opened.edits)
    assert len(conflicts) <= MANY * MOST_NAMED
    assert any(f"{MANY - 1 - MOST_NAMED} more edits" in c.message for c in conflicts)
