"""`sake review`: what a change of the registry does, as plain values for reports.

The claims need no model; the answers need one and the extra. Both come from git's blobs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.edits.registry import root_of
from sake_registry.history.repository import Repository
from sake_registry.review.claims import claim
from sake_registry.review.gates import answer_gates, claim_gates
from sake_registry.review.sides import reviewed, sides
from sake_registry.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sake_registry.review.answers import Answered, Findings
    from sake_registry.review.sides import Sides

SCHEMA = "review/1"


def read_sides(
    start: Path | str, text: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Sides:
    """Both sides of what a range names (see `review.sides.reviewed`).

    Args:
        start: the registry at or above this folder; none of its edit files is read, but for a
            review of the working tree.
        overrides: flags, by dotted name.

    Raises:
        InputError: there is no registry, or the range names nothing.
        SettingsError: a side's `sake.toml` is wrong.
        SetupError, StateError: there is no repository, or not all of it.
    """
    root = root_of(Path(start))
    settings = load_settings(root, overrides)
    repository = Repository(root, settings.edits, settings.checks)
    return sides(repository, reviewed(repository, text, settings.review.base), overrides)


def review(
    read: Sides,
    *,
    model: bool = True,
    everything: bool = False,
    compiling: Callable[[str, int], None] = lambda edit, texts: None,
    asking: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Review a change: the value that `reports.review` renders, and `--json` gives.

    Args:
        read: what `read_sides` gave.
        model: ask the model; without it, only what the claims say.
        everything: compile the edits that did not change as well, where the store lacks them.
        compiling, asking: told of progress.

    Raises:
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
    """
    started = time.monotonic()
    merged = {edit.id: edit for edit in read.after.edits}
    edits = [claim(change, merged.get(change.id)) for change in read.changes]
    findings = [finding.as_json() for finding in read.findings]
    told = {(f["code"], f["path"], f["message"]) for edit in edits for f in edit["findings"]}
    findings = [f for f in findings if (f["code"], f["path"], f["message"]) not in told]
    errors = sum(
        f["severity"] == "error"
        for f in [*findings, *(f for edit in edits for f in edit["findings"])]
    )
    contradictions = sum(conflict.severity == "error" for conflict in read.edit_conflicts)
    gates = claim_gates(errors, len(read.conflicts), contradictions)
    value: dict[str, Any] = {
        "range": read.reviewed.as_json(),
        "model": None,
        "settings": list(read.settings),
        "conflicts": [vars(conflict) for conflict in read.conflicts],
        "edit_conflicts": [conflict.as_json() for conflict in read.edit_conflicts],
        "edits": edits,
        "interference": [],
        "unrelated": {"n": 0, "changed": []},
        "nearby": {"n": 0, "changed": []},
        "findings": findings,
        "others": {"judged": 0, "not_built": []},
        "shares": {},
        "texts_run": 0,
    }
    if model and (read.changes or read.settings):
        from sake_registry.review.answers import ask_both, shares

        found = ask_both(read, everything=everything, compiling=compiling, asking=asking)
        value |= _answers(found, edits)
        every = shares([row for rows in found.rows.values() for row in rows])
        value["shares"] = every
        gates += answer_gates(
            read.gates.review,
            every,
            failed=sum(b["outcome"] == "failed" for b in found.builds.values()),
            interference=len(found.interference),
            collateral=len(found.collateral),
        )
    value["gates"] = [gate.as_json() for gate in gates]
    value["passed"] = all(gate.ok for gate in gates)
    value["seconds"] = round(time.monotonic() - started, 1)
    return {"schema": SCHEMA, **value}


def _answers(found: Findings, edits: list[dict[str, Any]]) -> dict[str, Any]:
    from sake_registry.review.answers import shares

    for edit in edits:
        rows = found.rows.get(edit["id"], [])
        edit["build"] = found.builds.get(edit["id"])
        edit["rows"] = [row.as_json() for row in rows]
        edit["shares"] = shares(rows)
    located = found.model

    def listed(rows: list[Answered]) -> list[dict[str, Any]]:
        return [{"edit": row.row.edit, **row.as_json()} for row in rows]

    return {
        "model": {"name": located.source.name, "hash": located.hash, "dtype": located.dtype},
        "interference": listed(found.interference),
        "unrelated": {"n": found.unrelated, "changed": [a.as_json() for a in found.collateral]},
        "nearby": {"n": found.nearby, "changed": listed(found.near)},
        "others": {"judged": found.judged, "not_built": found.not_built},
        "texts_run": found.texts_run,
    }
