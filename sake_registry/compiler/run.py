"""Doing what a plan says: build what is missing, then assemble the bundle."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sake_registry.bundle.reader import BundleFile
from sake_registry.compiler.assemble import assemble, payload
from sake_registry.compiler.build import Outcome, build
from sake_registry.compiler.context import RunContext
from sake_registry.compiler.plan import Plan, PlanReport, make_plan
from sake_registry.errors import BuildError, BundleFormatError, LockedError
from sake_registry.files import sweep
from sake_registry.models.loading import locate
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sake_registry.bundle.format import Manifest
    from sake_registry.edits.registry import Registry
    from sake_registry.progress import Progress

log = logging.getLogger(__name__)

_DONE = {"build": "built", "refit": "refitted", "reuse": "reused", "remove": "removed"}


@dataclass
class Compiled:
    """What compiling did. `bundle` is None where an edit failed or was not asked for."""

    plan: Plan
    bundle: Path | None = None
    manifest: Manifest | None = None
    done: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, BuildError] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    texts_run: int = 0
    seconds: float = 0.0

    @property
    def built(self) -> list[str]:
        """The edits of which something had to be built."""
        return [id_ for id_, outcome in self.done.items() if outcome != "reused"]

    @property
    def outcomes(self) -> dict[str, str]:
        """What was done with each edit: built, refitted, reused, removed, failed, to build."""
        planned = {p.id: _DONE[p.action] for p in self.plan.edits if p.edit or self.bundle}
        missing = dict.fromkeys(self.missing, "still to build")
        return planned | self.done | missing | dict.fromkeys(self.failures, "failed")

    @property
    def report(self) -> CompileReport:
        planned = self.plan.report.model_copy(update={"bundle": self.bundle})
        return CompileReport(
            **dict(planned),
            content_hash=self.manifest.content_hash if self.manifest else None,
            outcomes=self.outcomes,
            built=tuple(self.built),
            failures={id_: error.message for id_, error in self.failures.items()},
            missing=tuple(self.missing),
            forward_texts=self.texts_run,
            seconds=round(self.seconds, 2),
        )


class CompileReport(PlanReport):
    """What a compile is shown as."""

    content_hash: str | None
    outcomes: dict[str, str]
    built: tuple[str, ...]
    failures: dict[str, str]
    missing: tuple[str, ...]
    forward_texts: int
    seconds: float


class _Counted:
    """Progress of one edit's texts: each step is labelled with the edit, and counted."""

    def __init__(self, progress: Progress, edit: str) -> None:
        self._progress, self._edit, self.steps = progress, edit, 0

    def begin(self, phase: str, total: int) -> None:
        self._progress.begin(phase, total)

    def advance(self, steps: int = 1, label: str = "") -> None:
        self.steps += steps
        self._progress.advance(steps, label or self._edit)


def compile_registry(
    registry: Registry,
    ids: Sequence[str] = (),
    *,
    model: str | None = None,
    only: bool = False,
    slim: bool = False,
    keep_going: bool = False,
    plan: Plan | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Compiled:
    """Compile a registry for a model: build what the store lacks, and write the bundle.

    Interrupted at any moment, the next call goes on where it stopped. An edit that fails does
    not keep the others from being built, but no bundle is written then, unless `keep_going`
    leaves the failed ones out.

    Args:
        ids: build only these edits.
        model: another model than the settings'.
        only: a partial bundle of just `ids`.
        slim: leave the activations out of the bundle.
        keep_going: leave failed edits out of the bundle.
        plan: what `make_plan` gave for the same arguments, where it is already made.
        provenance: what is recorded in the bundle beside its keys (git commit, reviewers).
        progress: one phase, `compiling`: the texts that the model reads, labelled by the edit.

    Raises:
        EditFileError, InputError, SettingsError: what was given is wrong.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        LockedError: another process compiles.
        StorageError: the store or the bundle cannot be written.
    """
    started = time.monotonic()
    registry = registry.sound(without_unseen=keep_going)
    if plan is None:
        located = locate(registry.settings, model)
        plan = make_plan(registry, located, ids, only=only, slim=slim)
    settings = registry.settings
    progress.begin("compiling", plan.texts(settings))
    result = Compiled(plan)
    if plan.current and not ids:
        try:
            with BundleFile(plan.path) as bundle:
                bundle.verify()
                manifest = bundle.manifest
        except (BundleFormatError, LockedError) as error:
            log.warning("%s: it is written anew", error.message)
        else:
            if not _reviewed_since(plan, manifest, provenance or {}):
                with suppress(OSError):  # the newest bundle is the one last asked for
                    os.utime(plan.path, follow_symlinks=False)
                    sweep(plan.path.parent)  # a writer may have been killed behind its rename
                result.bundle, result.manifest = plan.path, manifest
                result.seconds = time.monotonic() - started
                return result
    store = registry.open_store()
    with RunContext(settings, plan.located, store) as run, store.lock():
        located = plan.located
        store.remember_model(located.source.name, located.hash, located.dtype)
        store.fetch(found for p in plan.edits if p.keys for found in p.keys.objects)
        for planned in plan.edits:
            if planned.edit is None or planned.keys is None or planned.id not in plan.chosen:
                continue
            counted = _Counted(progress, planned.id)
            try:
                result.done[planned.id] = build(planned.edit, planned.keys, run, counted)
            except BuildError as error:
                result.failures[planned.id] = error
            result.texts_run += counted.steps
        if result.failures and keep_going:
            plan = result.plan = plan.without(result.failures)
        payloads = {
            planned.id: payload(planned.edit, planned.keys, store)
            for planned in plan.edits
            if planned.edit and planned.keys and planned.id not in result.failures
        }
        result.missing = [id_ for id_, found in payloads.items() if found is None]
        # Where every edit failed, there is nothing to put into a bundle.
        sound = not result.failures or (keep_going and any(p.edit for p in plan.edits))
        if sound and not result.missing:
            probe, architecture = run.probe()
            result.manifest = assemble(
                plan, [p for p in payloads.values() if p], settings, probe, architecture,
                run.metric(), provenance or {},
            )  # fmt: skip
            result.bundle = plan.path
    if store.shared and (moved := store.shared.summary):
        log.info("%s", moved)
    result.seconds = time.monotonic() - started
    return result


def _reviewed_since(plan: Plan, manifest: Manifest, provenance: Mapping[str, Any]) -> bool:
    """Whether reviewers are known whom the bundle does not name, and the store has all the rest
    of it."""
    named = provenance.get("reviewers")
    stored = all(planned.edit is None or planned.action == "reuse" for planned in plan.edits)
    return bool(named) and named != manifest.provenance.get("reviewers") and stored
