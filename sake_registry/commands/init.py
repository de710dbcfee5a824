"""`sake init`: make a registry, or give one its workflows."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State, say


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--schema", is_flag=True, help="Only rewrite the JSON Schema for editors.")
@click.option(
    "--ci",
    type=click.Choice(["github"]),
    help="Write workflows that check, compile and review pull requests.",
)
@click.option("--force", is_flag=True, help="With --ci: overwrite workflows that differ.")
@click.pass_obj
def command(state: State, folder: Path, schema: bool, ci: str | None, force: bool) -> None:
    """Make a registry in FOLDER.

    It gets sake.toml, edits/, the JSON Schema for editors, and a .gitignore.
    With --schema or --ci, what is asked for is written for the registry that is there; --ci
    makes one where there is none.

    \b
    sake init facts/
    sake init --ci github
    """
    if schema and ci:
        raise click.UsageError("--schema and --ci exclude each other")
    if force and not ci:
        raise click.UsageError("--force goes with --ci")

    from sake_registry.authoring.scaffold import init_registry, write_schema
    from sake_registry.settings import FILE_NAME

    folder = state.folder / folder
    is_new = not schema and not (ci and (folder / FILE_NAME).exists())
    written = [write_schema(folder)] if schema else init_registry(folder) if is_new else []
    if ci:
        from sake_registry.authoring.workflows import write_workflows

        written += write_workflows(folder, force=force)
    for path in written:
        say(f"wrote {path}")
    if is_new:
        say(
            "next: commit this; then, from an answer that is wrong, "
            "sake propose --prompt … --answer … --should …",
            err=True,
        )
    elif ci:
        say(
            "next: commit them; reviews are posted once they are on the default branch"
            if written
            else "the workflows are there already",
            err=True,
        )
