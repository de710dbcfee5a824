"""`sake check`: every error of every file."""

from __future__ import annotations

import click

from sake_registry.commands.console import State, emit_json, json_option, show_findings


@click.command("check")
@json_option
@click.pass_obj
def command(state: State, as_json: bool) -> None:
    """Check all edit files; exit 1 if one has an error.

    \b
    sake check
    sake check --json | jq .findings
    """
    from sake_registry.wording import count

    registry = state.registry()
    errors = len(registry.errors)
    if as_json:
        emit_json(
            "check/1",
            {
                "files": registry.files,
                "errors": errors,
                "findings": [finding.as_json() for finding in registry.findings],
            },
        )
    else:
        show_findings(registry.findings)
        warnings = len(registry.findings) - errors
        found = f"{count(errors, 'error')}, {count(warnings, 'warning')}"
        click.echo(f"{count(registry.files, 'file')}: {found}")
    if errors:
        raise click.exceptions.Exit(1)
