"""`sake check`: every error of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say, show_findings

if TYPE_CHECKING:
    from sake_registry.diagnostics import Diagnostic


@click.command("check")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="github: annotations of a pull request's lines.",
)
@json_option
@click.pass_obj
def command(state: State, form: str, as_json: bool) -> None:
    """Check all edit files; exit 1 if one has an error.

    How bad a finding is can be set in sake.toml, under [checks].

    \b
    sake check
    sake check --json | jq .findings
    sake check --format github
    """
    from sake_registry.wording import count

    registry = state.registry()
    errors = len(registry.errors)
    warnings = len(registry.findings) - errors
    counts = f"{count(errors, 'error')}, {count(warnings, 'warning')}"
    summary = f"{count(registry.files, 'file')}: {counts}"
    if as_json or form == "json":
        emit_json(
            "check/1",
            {
                "files": registry.files,
                "errors": errors,
                "findings": [finding.model_dump(mode="json") for finding in registry.findings],
            },
        )
    elif form == "github":
        for finding in registry.findings:
            say(annotation(finding))
        say(summary, err=True)
    else:
        show_findings(registry.findings)
        say(summary)
        if registry.findings:
            worst = (registry.errors or registry.findings)[0].code
            say(f"`sake explain {worst}` tells more; every code has such a page", err=True)
    if errors:
        raise click.exceptions.Exit(1)


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
