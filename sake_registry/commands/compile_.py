"""`sake compile`: build what is missing, write the bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import (
    State,
    emit_json,
    fit_options,
    fit_settings,
    json_option,
    model_options,
    report_error,
    say,
    show_findings,
    warn,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sake_registry.compiler.run import Compiled
    from sake_registry.edits.registry import Registry


@click.command("compile")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@click.option("--only", is_flag=True, help="A partial bundle of just these edits.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Leave out edits that fail or cannot be seen.",
)
@click.option("--no-activations", is_flag=True, help="A slim bundle: maps and routes alone.")
@click.option(
    "--on",
    default="local",
    show_default=True,
    metavar="WHERE",
    help="Where edits are built: local, ray, ray://HOST:PORT, slurm.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="So many at a time; on Ray, as many as its CPUs allow.",
)
@fit_options
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    ids: tuple[str, ...],
    only: bool,
    keep_going: bool,
    no_activations: bool,
    on: str,
    workers: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile the registry's edits for a model and write the bundle.

    What was built before is taken from the store; interrupted, the next run goes on. With IDS,
    only these are built.

    \b
    sake compile
    sake compile --model gpt2-xl --dtype bfloat16
    sake compile --on ray --workers 8
    """
    if only and not ids:
        raise click.UsageError("--only needs edit ids")
    registry = state.registry(fit_settings(options))
    registry = registry.sound(without_unseen=keep_going)  # before torch is imported
    if not registry.edits:
        show_findings(registry.findings)  # a wrong folder of edits would look like this

    from sake_registry.compiler.executors import executor_of
    from sake_registry.compiler.plan import make_plan
    from sake_registry.compiler.run import compile_registry
    from sake_registry.models.loading import locate
    from sake_registry.wording import count

    executor = executor_of(on, workers)
    plan = make_plan(registry, locate(registry.settings), ids, only=only, slim=no_activations)
    with watching(quiet=as_json) as progress:
        result = compile_registry(
            registry,
            ids,
            only=only,
            slim=no_activations,
            keep_going=keep_going,
            plan=plan,
            provenance=origin(registry, {planned.id for planned in plan.edits if planned.edit}),
            progress=progress,
            executor=executor,
        )
    if as_json:
        emit_json("compile/1", result.report.model_dump(mode="json"))
    else:
        _show(result)
        drafts = sum(edit.lifecycle.status == "draft" for edit in registry.edits)
        if drafts and not ids:
            say(
                f"{count(drafts, 'draft')} left out: `status: active` in its file puts one in force"
            )
    for error in result.failures.values():
        report_error(error)
    if result.failures and result.bundle is None:
        cure = "" if keep_going else " (--keep-going leaves them out)"
        say(f"no bundle: {count(len(result.failures), 'edit')} failed{cure}", err=True)
        raise click.exceptions.Exit(1)


def origin(registry: Registry, ids: Collection[str] | None = None) -> dict[str, Any]:
    """What a bundle of these edits, all active ones unless given, says of where it is from."""
    from sake_registry.history.provenance import provenance
    from sake_registry.history.reviewers import reviewers

    edits = registry.settings.edits
    held = {edit.id for edit in registry.active} if ids is None else ids
    said: dict[str, Any] = {**provenance(registry.root, [edits, "sake.toml"])}
    if reviewed := reviewers(registry.root, edits, held):
        said["reviewers"] = reviewed
    return said


def _show(result: Compiled) -> None:
    from sake_registry.wording import count

    outcomes = list(result.outcomes.values())
    words = ("built", "refitted", "reused", "removed", "failed", "still to build")
    done = ", ".join(f"{outcomes.count(word)} {word}" for word in words if word in outcomes)
    say(
        f"{done or 'nothing to do'} · {count(result.texts_run, 'text')} through the model · "
        f"{result.seconds:.1f} s"
    )
    if result.manifest and result.texts_run:
        for edit in result.manifest.edits:
            fact = edit.groups[0]
            say(
                f"  {edit.id}: {count(fact.written, 'prompt')} written, {fact.added} added, "
                f"{fact.worked} of {fact.written + fact.added} pairs worked"
            )
    if result.manifest:
        for edit in result.manifest.edits:
            for text in edit.notes:
                warn(f"{edit.id}: {text}")
    if result.missing:
        say(f"no bundle yet, still to build: {', '.join(result.missing)}")
    elif result.bundle:
        assert result.manifest is not None
        say(f"bundle {result.bundle}")
        say(f"  key {result.plan.key[:12]} · content {result.manifest.content_hash[:12]}")
