"""`sake test`: does the edited model say what the edit files claim, and nothing else new?

Every prompt, holdout, implication and unchanged prompt is answered greedily by the bare and the
edited model, with the whole bundle loaded and real routing (scope `all-edits`). A row passes if
the text begins with the whole new object or an alias of it (`full-object`); an unchanged row if
its tokens are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_serializer

from sake_registry.asking.answers import TOKENS, answer, begins_with, needed
from sake_registry.asking.rows import Kind, Row, Share, questions, row, shares
from sake_registry.asking.tested import keep
from sake_registry.compiler.plan import find_bundle, stale
from sake_registry.errors import StateError, StorageError
from sake_registry.models.loading import load, locate
from sake_registry.progress import SILENT
from sake_registry.runtime.bundle import load_bundle
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sake_registry.asking.answers import Continuation
    from sake_registry.asking.rows import Question
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress
    from sake_registry.settings import TestSettings


class Protocol(Value):
    """How rows were asked and when they pass; an answer has `tokens` at the least, and as many as
    show its object's end."""

    success: Literal["full-object"] = "full-object"
    scope: Literal["all-edits"] = "all-edits"
    tokens: int = TOKENS


class KindShare(Share):
    """The share of a kind's rows that passed; None if there are none."""

    share: float | None


class TestReport(Value):
    """The rows of a test run; `missed` are the floors that were not met, `findings` what else was
    noticed."""

    __test__ = False  # not a pytest test, whatever its name

    bundle: Path
    protocol: Protocol = Protocol()
    shares: dict[Kind, KindShare]
    missed: tuple[str, ...]
    findings: tuple[str, ...]
    rows: tuple[Row, ...]

    @field_serializer("rows")
    def _with_decisions(self, rows: tuple[Row, ...]) -> list[dict[str, Any]]:
        stated = {"edit", "kind", "prompt", "before", "after", "expected", "ok"}
        decided = ("group", "nearest", "distance", "threshold", "reason")
        return [
            {
                **row.model_dump(include=stated),
                "decision": {"edit": row.by, **{name: getattr(row, name) for name in decided}},
                "decision_text": row.decision_text,
            }
            for row in rows
        ]

    def counts(self, kind: Kind, edit: str | None = None) -> tuple[int, int]:
        """(rows that passed, rows) of a kind."""
        of_kind = shares(row for row in self.rows if edit in (None, row.edit))[kind]
        return of_kind.passed, of_kind.n

    def share(self, kind: Kind) -> float | None:
        """The share of rows of a kind that passed; None if there are none."""
        return self.shares[kind].share


def test_registry(
    registry: Registry,
    ids: Sequence[str] = (),
    *,
    model: str | None = None,
    bundle: Path | None = None,
    progress: Progress = SILENT,
) -> TestReport:
    """Test edits of a registry on a bundle.

    Args:
        ids: the edits to test; all active ones if empty.
        bundle: the bundle; the registry's for the model if None.

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
        findings += [
            f"{id_}: {text}"
            for id_ in (edit.id for edit in held)
            if (text := opened.file.info(id_).few_prompts)
        ]
        by_edit = [questions(edit) for edit in held]
        progress.begin("asking", sum(map(len, by_edit)))
        progress.advance(0, "the bare and the edited model")
        rows = []
        with opened.attach(loaded.model, loaded.tokenizer, source=located.folder) as edited:
            for of_edit in by_edit:
                tokens = [needed(loaded.tokenizer, q.prompt, q.accepted) for q in of_edit]
                answers = answer(edited, [q.prompt for q in of_edit], tokens, progress)
                for question, (before, after) in zip(of_edit, answers, strict=True):
                    rows.append(_row(question, before, after))
                    findings += _answered_otherwise(question, before)
        try:
            keep(registry.store, path, opened.manifest, rows)
        except (StateError, StorageError) as error:  # what was found is told all the same
            findings.append(f"what was found is not kept: {error.message}")
    findings += _already_known(held, rows)
    return _report(path, rows, findings, registry.settings.test)


test_registry.__test__ = False  # type: ignore[attr-defined]  # not a pytest test either


def _report(
    path: Path, rows: Sequence[Row], findings: Sequence[str], floors: TestSettings
) -> TestReport:
    by_kind: dict[Kind, KindShare] = {}
    missed = []
    for kind, of_kind in shares(rows).items():
        value = of_kind.value if of_kind.n else None
        by_kind[kind] = KindShare(passed=of_kind.passed, n=of_kind.n, share=value)
        floor = getattr(floors, f"min_{kind}")
        if value is not None and value < floor:
            missed.append(
                f"{kind}: {of_kind} passed ({value:.1%}); the floor is {floor:.0%} "
                f"([test] min_{kind} in sake.toml)"
            )
    return TestReport(
        bundle=path, shares=by_kind, missed=tuple(missed), findings=tuple(findings),
        rows=tuple(rows),
    )  # fmt: skip


def _row(question: Question, before: Continuation, after: Continuation) -> Row:
    if question.kind == "unchanged":
        ok = before.tokens == after.tokens
    else:
        ok = begins_with(after.text, question.accepted)
    decided = after.decision
    return row(question, before.text, after.text, decided, ok=ok, by=decided.edit)


def _answered_otherwise(question: Question, before: Continuation) -> Iterator[str]:
    """Where an edit file is wrong about the unedited model's answer to an unchanged prompt."""
    stated = question.accepted if question.kind == "unchanged" else ()
    if stated and not begins_with(before.text, stated):
        yield (
            f"{question.edit}: the unedited model does not answer '{question.prompt}' with "
            f"'{stated[0]}' but with '{before.text.strip()[:30]}'"
        )


def _already_known(edits: Iterable[Edit], rows: Sequence[Row]) -> Iterator[str]:
    """Edits whose new object the unedited model says everywhere by itself."""
    for edit in edits:
        asked = [r for r in rows if r.edit == edit.id and r.kind in ("prompts", "holdout")]
        if asked and all(begins_with(row.before, edit.fact.new.all) for row in asked):
            yield (
                f"{edit.id}: the unedited model already says '{edit.new}' to "
                f"{count(len(asked), 'prompt')} of {len(asked)}: retire this edit "
                "(`status: withdrawn`)"
            )
