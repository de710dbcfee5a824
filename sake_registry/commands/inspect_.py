"""`sake inspect`: what is in a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    say,
    table,
    warn,
)

if TYPE_CHECKING:
    from sake_registry.bundle.format import EditInfo, Manifest
    from sake_registry.bundle.reader import BundleFile

EDITS, NOTES = 10, 3
"""So many edits and notes are shown without `--all`."""


@click.command("inspect")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--all", "whole", is_flag=True, help="Every edit, and every map of it.")
@click.option("--verify", is_flag=True, help="Read and verify every edit's numbers.")
@model_options
@json_option
@click.pass_obj
def command(
    state: State, /, bundle: Path | None, whole: bool, verify: bool, as_json: bool, **options: Any
) -> None:
    """Show what is in BUNDLE: model, edits, maps.

    Without BUNDLE, the newest one of the registry is shown. The edits that did worst stand first;
    --all shows every map.

    \b
    sake inspect
    sake inspect --all
    sake inspect bundles/smollm2-135m-0123abcd-4567cdef8901.h5 --verify
    """
    from sake_registry.bundle.reader import BundleFile

    if bundle is None:
        from sake_registry.compiler.plan import find_bundle
        from sake_registry.models.loading import locate

        registry = state.registry(options).sound()
        bundle = find_bundle(registry, locate(registry.settings))
    with BundleFile(bundle) as opened:
        if verify:
            opened.verify()
        if as_json:
            emit_json(
                "inspect/1",
                {
                    "path": str(bundle),
                    "bytes": bundle.stat().st_size,
                    "verified": verify,
                    "activations": opened.has_activations,
                    **opened.manifest.model_dump(mode="json"),
                },
            )
        else:
            _show(opened, verify, whole=whole)


def _place(position: int, tokens: int) -> str:
    return "end" if position == tokens else f"{position + 1} of {tokens}"


def _representation(manifest: Manifest) -> str:
    name = manifest.embedder.name
    embedded = manifest.setting("router", "representation", "embedder") == "embedder"
    return f"embedder {name}" if embedded else name


def _show(opened: BundleFile, verified: bool, *, whole: bool) -> None:
    manifest = opened.manifest
    model, versions = manifest.model, manifest.versions
    say(f"{opened.path} ({opened.path.stat().st_size / 1e6:.1f} MB)")
    say(f"  model {model.name} · {model.architecture} · {model.dtype} · {model.hash[:12]}")
    say(f"  read and steered at {model.site}, {model.width} dimensions")
    say(
        f"  prompts are compared by the {_representation(manifest)}, "
        f"{manifest.embedder.width} dimensions, {manifest.metric.kind}"
    )
    partial = " · partial" if manifest.partial else ""
    slim = "" if opened.has_activations else " · slim (no activations)"
    content = manifest.content_hash[:12]
    say(f"  key {manifest.key[:12]} · content {content}{partial}{slim}")
    commit = manifest.provenance.get("commit")
    dirty = " with uncommitted changes" if manifest.provenance.get("dirty") else ""
    say(f"  made from commit {str(commit)[:12]}{dirty}" if commit else "  made outside git")
    say(
        f"  by sake {versions.get('sake-registry')}, torch {versions.get('torch')}, "
        f"{versions.get('machine')}, {versions.get('threads')} threads"
    )
    (_maps if whole else _edits)(manifest)
    for edit in manifest.edits if whole else ():
        if reviewed := manifest.reviewers(edit.id):
            say(f"{edit.id}: reviewed by {', '.join(reviewed)}")
    say("every digest verified" if verified else "index verified; --verify reads everything")
    notes = [f"{edit.id}: {text}" for edit in manifest.edits for text in edit.notes]
    for note in notes if whole else notes[:NOTES]:
        warn(note)
    if len(notes) > NOTES and not whole:
        warn(f"… and {len(notes) - NOTES} more: --all shows them")


def _edits(manifest: Manifest) -> None:
    """Sums, and the edits that did worst, a line each."""
    from sake_registry.wording import count

    groups = [group for edit in manifest.edits for group in edit.groups]
    if not groups:
        return
    maps = sum(len(group.steps) for group in groups)
    pairs = sum(group.written + group.added for group in groups)
    worked = sum(group.worked for group in groups)
    reviewed = sum(bool(manifest.reviewers(edit.id)) for edit in manifest.edits)
    say(
        f"  {count(len(manifest.edits), 'edit')}, {reviewed} reviewed; "
        f"{count(len(groups), 'object')}, "
        f"{count(maps, 'map')}; {worked} of {pairs} pairs worked"
    )
    worst = sorted(manifest.edits, key=_score)
    table(
        ("edit", "answer", "prompts", "worked", "held out", "maps", "router"),
        [_row(edit) for edit in worst[:EDITS]],
    )
    if len(worst) > EDITS:
        say(f"… and {count(len(worst) - EDITS, 'edit')} that did as well or better: --all")


def _row(edit: EditInfo) -> tuple[str, ...]:
    """An edit in a line: of all its objects together."""
    written = sum(group.written for group in edit.groups)
    added = sum(group.added for group in edit.groups)
    return (
        edit.id,
        f"{edit.old or '(nothing)'} → {edit.new[0]}",
        f"{written}+{added}",
        f"{sum(group.worked for group in edit.groups)}/{written + added}",
        "–" if _score(edit) > 1 else f"{_score(edit):.0%}",
        str(sum(len(group.steps) for group in edit.groups)),
        f"{edit.kind} {edit.threshold:g}",
    )


def _score(edit: EditInfo) -> float:
    """The lowest share of held-out prompts that an object's maps lead on; 2: none was held out."""
    return min((group.score for group in edit.groups if group.score is not None), default=2.0)


def _maps(manifest: Manifest) -> None:
    """Every map of every edit, a line each."""
    rows = []
    for edit in manifest.edits:
        for group in edit.groups:
            for step in group.steps:
                new, first = step is group.steps[0], group is edit.groups[0]
                rows.append(
                    (
                        edit.id if new and first else "",
                        f"{group.old or '(nothing)'} → {group.new}" if new else "",
                        f"{group.written}+{group.added}" if new else "",
                        _place(step.position, len(group.tokens)),
                        f"{step.worked}/{group.written + group.added}",
                        "+".join(map(str, group.contexts)) if new else "",
                        step.sources,
                        f"{step.reg:.2g}" + (f" ({step.share})" if step.share else ""),
                        f"{step.complement:g}",
                        "–" if step.score is None else f"{step.score:.0%}",
                        str(step.rank),
                        f"{step.scale_min:.2f}–{step.scale_max:.2f}",
                        f"{step.residual:.0e}",
                        f"{edit.kind} {edit.threshold:g}" if new and first else "",
                    )
                )
    table(
        ("edit", "answer", "prompts", "token", "worked", "by context", "sources", "reg", "kept",
         "held out", "rank", "λ", "residual", "router"),
        rows,
    )  # fmt: skip
    if rows:
        say(
            "worked: pairs whose target context made the model say the token; kept: the share kept "
            "of what no pair has shown; held out: prompts left out of the fit after which the map "
            "leads to the token; a token that is not listed follows by itself; end: the token that "
            'ends the object where the model would run on ("sitcom", "s")'
        )
