"""What a registry is on another model: which edits it still needs, and which of them hold there.

The edits are compiled for the model and tested on it, as for any; what is new here is the verdict
on each. A bundle for the model is left behind, so that the move itself compiles nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sake_registry.asking.answers import begins_with, continue_greedily, needed
from sake_registry.asking.rows import KINDS, Kind, Row, Share, questions, shares
from sake_registry.asking.testing import test_registry
from sake_registry.compiler.run import compile_registry
from sake_registry.models.loading import load, locate
from sake_registry.progress import SILENT
from sake_registry.review.charts import templates
from sake_registry.values import Value
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.models.loading import LocatedModel
    from sake_registry.progress import Progress
    from sake_registry.settings import TestSettings

Verdict = Literal["needs work", "holds", "no longer needed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""An edit that the model still needs needs work or holds. The first are shown first."""
BATCH = 16


class EditUpgrade(Value):
    """One edit on the new model.

    `says` is the model's own answer to the edit's first prompt, `known` of how many prompts and
    holdout it says the new object by itself; `passed` is what the edited model passed, and `why`
    says what does not hold, or what the compiler warned of.
    """

    id: str
    claim: str
    verdict: Verdict
    says: str
    known: Share
    passed: dict[Kind, Share]
    why: tuple[str, ...] = ()


class Upgrade(Value):
    """A registry on a model, edit by edit, those that need work first. `bundle` is None where no
    edit could be compiled."""

    model: str
    model_hash: str
    dtype: str
    bundle: Path | None
    edits: tuple[EditUpgrade, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many edits have each verdict."""
        of = Counter(edit.verdict for edit in self.edits)
        return {verdict: of[verdict] for verdict in VERDICTS}

    @property
    def headline(self) -> str:
        """`6 still needed (5 hold, 1 needs work), 2 no longer needed`."""
        work, hold, known = self.counts.values()
        words = f"{hold} {'holds' if hold == 1 else 'hold'}, {work} need{'s' * (work == 1)} work"
        return f"{work + hold} still needed ({words}), {known} no longer needed"


def upgrade(
    registry: Registry,
    *,
    model: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Upgrade:
    """Compile and test the active edits of a registry for a model, and judge each.

    Args:
        model: the model; that of the settings if None.
        provenance: what the bundle says of its origin.

    Raises:
        EditFileError: the registry has errors.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        StorageError: the store or the bundle cannot be written.
    """
    registry.sound()
    located = locate(registry.settings, model)
    compiled = compile_registry(
        registry, model=model, keep_going=True, provenance=provenance, progress=progress
    )
    rows: list[Row] = []
    warnings: dict[str, tuple[str, ...]] = {}
    if compiled.bundle and compiled.manifest:
        rows += test_registry(registry, model=model, bundle=compiled.bundle, progress=progress).rows
        warnings = {edit.id: edit.warnings for edit in compiled.manifest.edits}
    failed = {id_: error.message for id_, error in compiled.failures.items()}
    unbuilt = [edit for edit in registry.active if edit.id in failed]
    rows += _bare(registry, located, unbuilt)
    by_edit: dict[str, list[Row]] = {edit.id: [] for edit in registry.active}
    for row in rows:
        by_edit[str(row.edit)].append(row)
    judged = [
        judge(
            edit, by_edit[edit.id], registry.settings.test,
            failure=failed.get(edit.id), warnings=warnings.get(edit.id, ()),
        )
        for edit in registry.active
    ]  # fmt: skip
    return Upgrade(
        model=located.source.name,
        model_hash=located.hash,
        dtype=located.dtype,
        bundle=compiled.bundle,
        edits=tuple(sorted(judged, key=lambda edit: VERDICTS.index(edit.verdict))),
    )


def judge(
    edit: Edit,
    rows: Sequence[Row],
    floors: TestSettings,
    *,
    failure: str | None = None,
    warnings: Sequence[str] = (),
) -> EditUpgrade:
    """The verdict on one edit.

    Not needed is one whose new object the bare model says to every prompt and holdout. Of the
    others, one holds that was built and passes the floors of `sake test` by itself.

    Args:
        rows: what was asked of it; only `before` counts where it was not built.
        failure: why it could not be built.
        warnings: the compiler's.
    """
    asked = [row for row in rows if row.kind in ("prompts", "holdout")]
    known = Share(
        passed=sum(begins_with(row.before, edit.fact.new.all) for row in asked), n=len(asked)
    )
    passed = {} if failure else {k: share for k, share in shares(rows).items() if share.n}
    why = [f"not built: {failure}"] if failure else []
    for kind, share in passed.items():
        floor = getattr(floors, f"min_{kind}")
        if share.value < floor:
            why.append(f"{kind}: {share} passed, the floor is {floor:.0%}")
    verdict: Verdict = "needs work" if why else "holds"
    if known.n and known.passed == known.n:
        verdict, why = "no longer needed", []
    return EditUpgrade(
        id=edit.id,
        claim=edit.claim,
        verdict=verdict,
        says=shorten(asked[0].before) if asked else "",
        known=known,
        passed=passed,
        why=(*why, *warnings),
    )


def page(value: Upgrade) -> str:
    """The verdicts as one HTML page, complete: nothing is loaded from anywhere."""
    return (
        templates()
        .get_template("upgrade.html.j2")
        .render(upgrade=value, kinds=KINDS, verdicts=VERDICTS)
    )


def _bare(registry: Registry, located: LocatedModel, edits: Sequence[Edit]) -> list[Row]:
    """What the bare model says to the prompts and holdout of edits that could not be built."""
    asked = [q for edit in edits for q in questions(edit) if q.kind in ("prompts", "holdout")]
    if not asked:
        return []
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    tokens = [needed(loaded.tokenizer, q.prompt, q.accepted) for q in asked]
    prompts = [(q.prompt, None) for q in asked]
    said = continue_greedily(loaded.model, loaded.tokenizer, prompts, tokens, BATCH)
    return [
        Row(edit=q.edit, kind=q.kind, prompt=q.prompt, before=answer.text, ok=False)
        for q, answer in zip(asked, said, strict=True)
    ]
