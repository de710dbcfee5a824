"""Doing what a plan says: build what is missing, then assemble the bundle."""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sake_registry.bundle.reader import BundleFile
from sake_registry.compiler.assemble import assemble, part_of
from sake_registry.compiler.build import Outcome
from sake_registry.compiler.context import RunContext
from sake_registry.compiler.executors import LOCAL, Executor, Task
from sake_registry.compiler.plan import Plan, PlanReport, make_plan
from sake_registry.errors import BuildError, BundleFormatError, LockedError, SetupError
from sake_registry.files import sweep
from sake_registry.models.loading import locate
from sake_registry.progress import SILENT
from sake_registry.wording import count, shorten

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
    executor: Executor = LOCAL,
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
        executor: where the edits are built.

    Raises:
        EditFileError, InputError, SettingsError: what was given is wrong.
        ModelNotFoundError, UnsupportedModelError: the model cannot be had or steered.
        SetupError: workers cannot be had, or their store is another one.
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
        store.exchange(found for p in plan.edits if p.keys for found in p.keys.objects)
        # An edit that is there is taken from the store once, and no worker is asked for it.
        parts = {
            planned.id: part_of(planned.edit, planned.keys, store)
            for planned in plan.edits
            if planned.edit and planned.keys and planned.action == "reuse"
        }
        tasks = [
            Task(planned.edit, planned.keys)
            for planned in plan.edits
            if planned.edit and planned.keys and planned.id in plan.chosen
            if parts.get(planned.id) is None
        ]
        result.done |= {id_: "reused" for id_ in plan.chosen if parts.get(id_)}
        if tasks:
            with closing(executor.build(run, tasks, progress)) as results:
                for built in results:
                    if isinstance(built.error, BuildError):
                        result.failures[built.id] = built.error
                    elif built.outcome:
                        result.done[built.id] = built.outcome
                    result.texts_run += built.texts
        result.done = dict(sorted(result.done.items()))
        result.failures = dict(sorted(result.failures.items()))
        if result.failures and keep_going:
            plan = result.plan = plan.without(result.failures)
        found = {
            planned.id: parts.get(planned.id) or part_of(planned.edit, planned.keys, store)
            for planned in plan.edits
            if planned.edit and planned.keys and planned.id not in result.failures
        }
        result.missing = [id_ for id_, part in found.items() if part is None]
        if unseen := [id_ for id_ in result.missing if id_ in result.done]:
            raise SetupError(
                f"{shorten(', '.join(unseen))} was built, and is not in {store.folder} as this "
                "machine sees it",
                hint="let the workers share that folder (SAKE_STORE=FOLDER sets another one), or "
                "what is built (SAKE_REMOTE_STORE=URL)",
            )
        # Where every edit failed, there is nothing to put into a bundle.
        sound = not result.failures or (keep_going and any(p.edit for p in plan.edits))
        if sound and not result.missing:
            probe, architecture = run.probe()
            result.manifest = assemble(
                plan, [part for part in found.values() if part], settings, probe, architecture,
                run.metric(), provenance or {},
            )  # fmt: skip
            _tell_machines(result.manifest)
            result.bundle = plan.path
    if store.shared and (moved := store.shared.summary):
        log.info("%s", moved)
    result.seconds = time.monotonic() - started
    return result


def _tell_machines(manifest: Manifest) -> None:
    """Say which edits were built on another machine than the one that wrote the bundle."""
    others = manifest.provenance.get("machines")
    for machine, ids in others.items() if isinstance(others, dict) else ():
        log.warning(
            "%s built elsewhere, so other bytes than this machine would write are to be expected: "
            "%s (by %s)", count(len(ids), "edit"), shorten(", ".join(ids)), machine,
        )  # fmt: skip


def _reviewed_since(plan: Plan, manifest: Manifest, provenance: Mapping[str, Any]) -> bool:
    """Whether reviewers are known whom the bundle does not name, and the store has all the rest
    of it."""
    named = provenance.get("reviewers")
    stored = all(planned.edit is None or planned.action == "reuse" for planned in plan.edits)
    return bool(named) and named != manifest.provenance.get("reviewers") and stored
