"""`sake check`: every error of every file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, show_findings
from sake_registry.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.diagnostics import Diagnostic
    from sake_registry.edits.registry import Registry


@click.command("check")
@click.argument(
    "paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="github: annotations of a pull request's lines.",
)
@json_option
@click.pass_obj
def command(state: State, paths: tuple[Path, ...], form: str, as_json: bool) -> None:
    """Check all edit files; exit 1 if one has an error.

    With PATHs, files or folders, only what is found in them is shown and counts; contradictions
    with edits elsewhere are among it.
    How bad a finding is can be set in sake.toml, under [checks].

    \b
    sake check
    sake check edits/darrieux-tongue.yaml
    sake check --json | jq .findings
    sake check --format github
    """
    from sake_registry.wording import count

    registry = state.registry()
    findings, files = list(registry.findings), registry.files
    if paths:
        findings, files = _chosen(registry, paths)
    wrong = [finding for finding in findings if finding.severity == "error"]
    counts = f"{count(len(wrong), 'error')}, {count(len(findings) - len(wrong), 'warning')}"
    summary = f"{count(files, 'file')}: {counts}"
    if as_json or form == "json":
        emit_json(
            "check/1",
            {
                "files": files,
                "errors": len(wrong),
                "findings": [finding.model_dump(mode="json") for finding in findings],
            },
        )
    elif form == "github":
        for finding in findings:
            say(annotation(finding))
        say(summary, err=True)
    else:
        show_findings(findings)
        say(summary)
        if findings:
            worst = [*wrong, *findings][0].code
            say(f"`sake explain {worst}` tells more; every code has such a page", err=True)
    if wrong:
        raise click.exceptions.Exit(1)


def _chosen(registry: Registry, paths: Sequence[Path]) -> tuple[list[Diagnostic], int]:
    """The findings at or below these paths, and how many edit files are there.

    Raises:
        InputError: there is none at one of them.
    """
    from sake_registry.edits.inventory import working_tree

    folder = registry.root / registry.settings.edits
    inventory = working_tree(registry.root, registry.settings.edits)
    files = {(registry.root / path).resolve() for path in inventory.files}
    unseen = {(registry.root / part.path).resolve() for part in inventory.unseen}
    places = {path.resolve() for path in paths}
    for place in places:
        known = files | unseen or {folder.resolve()}
        if not any(place == file or place in file.parents for file in known):
            raise InputError(
                f"{place} is not an edit file of the registry, nor a folder of some",
                hint=f"the registry's edits are the .yaml files below {folder}",
            )

    def inside(path: Path) -> bool:
        return not places.isdisjoint((path, *path.parents))

    findings = [finding for finding in registry.findings if inside(finding.path.resolve())]
    return findings, sum(map(inside, files)) if registry.files else 0


def annotation(finding: Diagnostic) -> str:
    """A finding as a workflow command of GitHub, which shows it beside its line."""
    import os

    properties = {"file": os.path.relpath(finding.path).replace(os.sep, "/")}
    if finding.line:
        properties |= {"line": str(finding.line), "col": str(finding.column)}
    properties["title"] = finding.code
    named = f"{finding.field}: {finding.message}" if finding.field else finding.message
    message = f"{named}\n{finding.hint}" if finding.hint else named
    listed = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::{finding.severity} {listed}::{_escaped(message)}"


def _escaped(text: str, further: str = "") -> str:
    for character in f"%\r\n{further}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
