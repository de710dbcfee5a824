"""`sake init`: make a registry."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--schema", is_flag=True, help="Only write the JSON Schema for editors anew.")
@click.pass_obj
def command(state: State, folder: Path, schema: bool) -> None:
    """Make a registry in FOLDER: sake.toml, edits/, the schema for editors, .gitignore.

    \b
    sake init
    sake init facts/
    """
    from sake_registry.authoring.scaffold import init_registry, write_schema

    folder = state.folder / folder
    written = [write_schema(folder)] if schema else init_registry(folder)
    for path in written:
        click.echo(f"wrote {path}")
    if not schema:
        click.echo("next: sake new ID --subject … --relation … --old … --new …", err=True)
