"""`sake test`: does the edited model say what the edit files claim, and nothing else new?

Every prompt, holdout, implication and unchanged prompt is answered greedily by the bare and the
edited model, with the whole bundle loaded and real routing (scope `all-edits`). A row passes if
the text begins with the whole new object or an alias of it (`full-object`); an unchanged row if
its tokens are the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sake_registry.asking.answers import answer, begins_with
from sake_registry.compiler.plan import find_bundle, stale
from sake_registry.models.loading import load, locate
from sake_registry.runtime.bundle import load_bundle
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.settings import TestSettings

Kind = Literal["prompts", "holdout", "implications", "unchanged"]
KINDS: tuple[Kind, ...] = ("prompts", "holdout", "implications", "unchanged")
TOKENS = 10


@dataclass(frozen=True)
class Row:
    """One prompt: what was said before and after, what was expected, what was decided."""

    edit: str
    kind: Kind
    prompt: str
    before: str
    after: str
    expected: str
    ok: bool
    decision: dict[str, Any]
    decision_text: str


@dataclass(frozen=True)
class TestReport:
    """The rows of a test run, and what else was noticed."""

    bundle: Path
    rows: tuple[Row, ...]
    findings: tuple[str, ...]
    floors: TestSettings

    def counts(self, kind: Kind, edit: str | None = None) -> tuple[int, int]:
        """(rows that passed, rows) of a kind."""
        rows = [r for r in self.rows if r.kind == kind and edit in (None, r.edit)]
        return sum(row.ok for row in rows), len(rows)

    def share(self, kind: Kind) -> float | None:
        """The share of rows of a kind that passed; None if there are none."""
        passed, total = self.counts(kind)
        return passed / total if total else None

    @property
    def missed(self) -> list[str]:
        """The floors that were not met, in words."""
        found = []
        for kind in KINDS:
            share, floor = self.share(kind), getattr(self.floors, f"min_{kind}")
            if share is not None and share < floor:
                passed, total = self.counts(kind)
                found.append(
                    f"{kind}: {passed} of {total} passed ({share:.1%}); the floor is {floor:.0%} "
                    f"([test] min_{kind} in sake.toml)"
                )
        return found

    def as_json(self) -> dict[str, Any]:
        shares = {}
        for kind in KINDS:
            passed, total = self.counts(kind)
            shares[kind] = {"passed": passed, "n": total, "share": self.share(kind)}
        return {
            "bundle": str(self.bundle),
            "protocol": {"success": "full-object", "scope": "all-edits", "tokens": TOKENS},
            "shares": shares,
            "missed": self.missed,
            "findings": list(self.findings),
            "rows": [asdict(row) for row in self.rows],
        }


def test_registry(
    registry: Registry,
    ids: Sequence[str] = (),
    *,
    model: str | None = None,
    bundle: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TestReport:
    """Test edits of a registry on a bundle.

    Args:
        ids: the edits to test; all active ones if empty.
        bundle: the bundle; the registry's for the model if None.
        progress: called with the number of prompts answered and of all.

    Raises:
        EditFileError, InputError: what was given is wrong, or nothing is compiled.
        BundleFormatError, ModelMismatchError: the bundle cannot be used.
    """
    registry.sound()
    edits = registry.select(ids)
    located = locate(registry.settings, model)
    path = bundle or find_bundle(registry, located)
    with load_bundle(path) as opened:
        held = [edit for edit in edits if edit.id in opened.ids]
        if ids or not held:
            opened.known(edit.id for edit in edits)
        loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
        findings = [
            f"{id_}: {text}"
            for id_, text in stale(opened.manifest, registry, located).items()
            if not ids or id_ in ids
        ]
        wanted = {edit.id: wanted_rows(edit) for edit in held}
        total = sum(len(mine) for mine in wanted.values())
        done, rows = 0, []

        def ran(n: int) -> None:
            nonlocal done
            done += n
            progress(done, total)

        with opened.attach(loaded.model, loaded.tokenizer, source=located.folder) as edited:
            for edit in held:
                mine = wanted[edit.id]
                answers = answer(edited, [prompt for _, prompt, _ in mine], TOKENS, ran)
                for (kind, prompt, expected), given in zip(mine, answers, strict=True):
                    ok = given.same if kind == "unchanged" else begins_with(given.after, expected)
                    rows.append(
                        Row(
                            edit=edit.id,
                            kind=kind,
                            prompt=prompt,
                            before=given.before,
                            after=given.after,
                            expected=expected[0] if kind != "unchanged" else given.before.strip(),
                            ok=ok,
                            decision=given.decision.model_dump(mode="json"),
                            decision_text=str(given.decision),
                        )
                    )
                    if kind == "unchanged" and expected and not begins_with(given.before, expected):
                        findings.append(
                            f"{edit.id}: the unedited model does not answer '{prompt}' with "
                            f"'{expected[0]}' but with '{given.before.strip()[:30]}'"
                        )
    findings += _already_known(held, rows)
    return TestReport(path, tuple(rows), tuple(findings), registry.settings.test)


test_registry.__test__ = False  # type: ignore[attr-defined]  # no pytest test, whatever its name
TestReport.__test__ = False  # type: ignore[attr-defined]


def wanted_rows(edit: Edit) -> list[tuple[Kind, str, tuple[str, ...]]]:
    """(kind, prompt, accepted answers) of everything that an edit file lets test."""
    new = edit.fact.new.all
    rows: list[tuple[Kind, str, tuple[str, ...]]] = []
    rows += [("prompts", edit.fill(p.text), new) for p in edit.prompts]
    rows += [("holdout", edit.fill(p.text), new) for p in edit.holdout]
    rows += [("implications", edit.fill(i.prompt), i.new.all) for i in edit.implications]
    for unchanged in edit.unchanged:
        accepted = (unchanged.answer,) if unchanged.answer else ()
        rows.append(("unchanged", edit.fill(unchanged.prompt), accepted))
    return rows


def _already_known(edits: Sequence[Edit], rows: Sequence[Row]) -> list[str]:
    findings = []
    for edit in edits:
        asked = [r for r in rows if r.edit == edit.id and r.kind in ("prompts", "holdout")]
        if asked and all(begins_with(row.before, edit.fact.new.all) for row in asked):
            findings.append(
                f"{edit.id}: the unedited model already says '{edit.new}' to "
                f"{count(len(asked), 'prompt')} of {len(asked)}: retire this edit "
                "(`status: withdrawn`)"
            )
    return findings
