"""The gates of a review: what decides its exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_registry.settings import ReviewSettings


@dataclass(frozen=True)
class Gate:
    """One gate: its setting, what was asked for and found, and the verdict in words."""

    name: str
    limit: float
    value: float | None
    ok: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def claim_gates(errors: int, conflicts: int, contradictions: int = 0) -> list[Gate]:
    """Gates that need no model.

    Args:
        errors: findings of the checks that are errors.
        conflicts: files that git cannot merge.
        contradictions: prompts to which two edits state two answers.
    """
    wrong = f"{count(errors, 'error')} in the files" if errors else "no errors in the files"
    both = count(conflicts, "file") if conflicts else "no files"
    both += " changed on both sides that git cannot merge"
    denied = count(contradictions, "new contradiction") if contradictions else "no contradictions"
    denied += " between edits"
    return [
        Gate("errors", 0, errors, errors == 0, wrong),
        Gate("conflicts", 0, conflicts, conflicts == 0, both),
        Gate("contradictions", 0, contradictions, contradictions == 0, denied),
    ]


def answer_gates(
    settings: ReviewSettings,
    shares: Mapping[str, Mapping[str, int]],
    *,
    failed: int,
    interference: int,
    collateral: int,
) -> list[Gate]:
    """Gates on what the model answers.

    Args:
        shares: of each kind of row, how many passed (`passed`) of how many (`n`).
        failed: edits that could not be built.
        interference: prompts of other edits that are answered differently.
        collateral: unrelated prompts that are.
    """
    built = f"{count(failed, 'edit')} could not be built" if failed else "everything could be built"
    found = [Gate("builds", 0, failed, failed == 0, built)]
    for kind in ("prompts", "holdout", "implications", "unchanged"):
        floor = getattr(settings, f"min_{kind}")
        passed, n = shares[kind]["passed"], shares[kind]["n"]
        if not n:
            text = f"{kind}: none are written, nothing was measured"
            found.append(Gate(f"min_{kind}", floor, None, True, text))
            continue
        share = f"{100 * passed / n:.1f} %"
        text = f"{kind}: {passed} of {n} passed ({share}), at least {100 * floor:g} % must"
        found.append(Gate(f"min_{kind}", floor, passed / n, passed / n >= floor, text))
    for name, value, what in (
        ("max_interference", interference, "prompts of other edits"),
        ("max_collateral", collateral, "unrelated prompts"),
    ):
        most = getattr(settings, name)
        text = f"{what} that are answered differently: {value}, at most {most} may be"
        found.append(Gate(name, most, value, value <= most, text))
    return found
