"""`sake help`: what `--help` says, asked for as a verb."""

from __future__ import annotations

import click

from sake_registry.commands.console import say


@click.command("help")
@click.argument("verbs", metavar="[VERB]...", nargs=-1)
@click.pass_context
def command(context: click.Context, verbs: tuple[str, ...]) -> None:
    """Show what a VERB does, as `sake VERB --help` does.

    Without a VERB, show them all.

    \b
    sake help
    sake help check
    """
    here = context.find_root()
    for verb in verbs:
        if not isinstance(here.command, click.Group):
            raise click.UsageError(f"'{here.info_name}' has no verbs of its own", here)
        _, found, _ = here.command.resolve_command(here, [verb])
        assert found is not None  # or it would have been wrong usage
        here = click.Context(found, info_name=verb, parent=here)
    say(here.get_help(), lines=True)
