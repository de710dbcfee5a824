"""`sake review`: what a change of the registry does, as one value (`review.report.Review`).

The claims need no model; the answers need one and the extra. Both come from git's blobs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.asking.rows import shares
from sake_registry.diagnostics import UNSEEN
from sake_registry.edits.registry import root_of
from sake_registry.history.repository import Repository
from sake_registry.progress import SILENT
from sake_registry.review.claims import claim, stated_lines
from sake_registry.review.gates import answer_gates, claim_gates
from sake_registry.review.report import AskedModel, Others, Review, Sample
from sake_registry.review.sides import reviewed, sides
from sake_registry.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.diagnostics import Diagnostic
    from sake_registry.progress import Progress
    from sake_registry.review.gates import Gate
    from sake_registry.review.report import EditReview
    from sake_registry.review.sides import Sides


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
    into: Path | None = None,
    progress: Progress = SILENT,
) -> Review:
    """Review a change.

    Args:
        read: what `read_sides` gave.
        model: ask the model; without it, only what the claims say.
        everything: compile the edits that did not change as well, where the store lacks them.
        into: a folder to leave the bundle of what merging makes in, if there is one.

    Raises:
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
    """
    started = time.monotonic()
    merged = {edit.id: edit for edit in read.after.edits}
    edits = [claim(change, merged.get(change.id)) for change in read.changes]
    shown = {(f.code, f.path, f.message) for edit in edits for f in edit.findings}
    findings = [f for f in read.findings if (f.code, f.path, f.message) not in shown]
    found = [*findings, *(f for edit in edits for f in edit.findings)]
    gates = _claim_gates(read, found, sum(edit.unconfirmed for edit in edits))
    answered: dict[str, Any] = {}
    if model and (read.changes or read.settings):
        edits, answered, more = _answered(read, edits, everything, into, progress)
        gates += more
    return Review(
        range=read.reviewed,
        settings=read.settings,
        conflicts=read.conflicts,
        edit_conflicts=read.edit_conflicts,
        edits=tuple(edits),
        findings=tuple(findings),
        gates=tuple(gates),
        passed=all(gate.state != "failed" for gate in gates),
        seconds=round(time.monotonic() - started, 1),
        **answered,
    )


def _claim_gates(read: Sides, findings: Sequence[Diagnostic], unconfirmed: int) -> list[Gate]:
    # The checks find contradictions about a fact; `edit_conflicts` are those about a prompt.
    severities = [f.severity for f in findings if f.code == "SAKE202"]
    errors = sum(finding.severity == "error" for finding in findings)
    contradictions = sum(conflict.severity == "error" for conflict in read.edit_conflicts)
    return claim_gates(
        errors,
        len(read.conflicts),
        contradictions + severities.count("error"),
        severities.count("warning"),
        unseen=sum(finding.code == UNSEEN for finding in findings),
        unconfirmed=unconfirmed if read.gates.review.generated == "confirmed" else None,
    )


def _answered(
    read: Sides,
    edits: Sequence[EditReview],
    everything: bool,
    into: Path | None,
    progress: Progress,
) -> tuple[list[EditReview], dict[str, Any], list[Gate]]:
    """The edits with their answers, the rest of what a review says of answers, and its gates."""
    from sake_registry.review.answers import ask_both

    answers = ask_both(read, everything=everything, into=into, progress=progress)
    lines = {change.id: stated_lines(change.after) for change in read.changes if change.after}
    with_answers = [
        edit.model_copy(
            update={
                "build": answers.builds.get(edit.id),
                "rows": tuple(
                    row.model_copy(
                        update={"line": lines.get(edit.id, {}).get((row.kind, row.prompt))}
                    )
                    for row in answers.rows.get(edit.id, ())
                ),
                "shares": shares(answers.in_force(edit.id)),
            }
        )
        for edit in edits
    ]
    total = shares(answers.in_force())
    outcomes = [build.outcome for build in answers.builds.values()]
    gates = answer_gates(
        read.gates.review,
        total,
        built=outcomes.count("built") + outcomes.count("reused"),
        failed=outcomes.count("failed"),
        judged=answers.judged,
        not_built=len(answers.not_built),
        interference=len(answers.interference),
        unrelated=answers.unrelated,
        collateral=len(answers.collateral),
        missed=[row for row in answers.in_force() if not row.ok],
    )
    located = answers.model
    said = {
        "model": AskedModel(name=located.source.name, hash=located.hash, dtype=located.dtype),
        "interference": tuple(answers.interference),
        "unrelated": Sample(n=answers.unrelated, changed=tuple(answers.collateral)),
        "nearby": Sample(n=answers.nearby, changed=tuple(answers.near)),
        "others": Others(judged=answers.judged, not_built=tuple(answers.not_built)),
        "shares": total,
        "texts_run": answers.texts_run,
    }
    return with_answers, said, gates
