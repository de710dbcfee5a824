"""`sake new`: the first version of an edit file."""

from __future__ import annotations

import sys
from typing import IO

import click

from sake_registry.commands.console import State, say
from sake_registry.errors import InputError


def _required(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """A required text: asked for on a terminal, wrong usage without one."""
    if value:
        return value
    assert parameter.name is not None
    if not sys.stdin.isatty():
        raise click.MissingParameter(ctx=context, param=parameter)
    return str(click.prompt(parameter.name.replace("_", " "), err=True))


@click.command("new")
@click.argument("id")
@click.option("--subject", callback=_required, help="What the fact is about.")
@click.option("--alias", "aliases", multiple=True, help="Another name of the subject.")
@click.option("--relation", callback=_required, help="What is said of it, like 'mother tongue'.")
@click.option("--relation-id", metavar="PID", help="Its Wikidata property, like P103.")
@click.option("--old", help="What the model says now.")
@click.option("--new", callback=_required, help="What it should say.")
@click.option("--prompt", "prompts", multiple=True, help="Text that the object completes at once.")
@click.option(
    "--prompts-from",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE|-",
    help="Prompts, one a line; - is stdin.",
)
@click.option("--reason", help="Why the edit is needed.")
@click.option(
    "--generate", is_flag=True, help="Have a language model write texts, as `sake generate` does."
)
@click.pass_obj
def command(
    state: State,
    id: str,
    subject: str,
    aliases: tuple[str, ...],
    relation: str,
    relation_id: str | None,
    old: str | None,
    new: str,
    prompts: tuple[str, ...],
    prompts_from: IO[str] | None,
    reason: str | None,
    generate: bool,
) -> None:
    """Write a first version of the edit ID.

    It is to be completed: more prompts, a holdout; in an editor, or by `sake generate`.

    \b
    sake new tolstoy-tongue --subject "Leo Tolstoy" --relation "mother tongue" \\
        --old Russian --new Polish --prompt "The mother tongue of Leo Tolstoy was"
    sake new un-seat --subject "United Nations" --relation seat --new Geneva --prompts-from list.txt
    """
    from sake_registry.authoring.scaffold import Draft, new_edit

    try:
        lines = [line.strip() for line in prompts_from] if prompts_from else []
    except UnicodeDecodeError as error:
        raise InputError("the prompts are not UTF-8", hint="save the list as UTF-8") from error
    draft = Draft(
        id=id,
        subject=subject,
        relation=relation,
        new=new,
        old=old,
        aliases=aliases,
        relation_id=relation_id,
        prompts=[*prompts, *(line for line in lines if line)],
        reason=reason,
    )
    path = new_edit(state.registry(), draft)
    say(f"wrote {path}")
    if generate:
        from sake_registry.commands.generate import run

        run(state.registry(), [id])
        return
    say("next: add prompts and holdout in an editor, then `sake check`", err=True)
