"""`sake propose`: from a wrong answer to the draft of an edit."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State, emit_json, json_option, say, warn


@click.command("propose")
@click.option("--prompt", metavar="TEXT", help="What was asked, as it was sent.")
@click.option("--answer", default="", metavar="TEXT", help="What the model said.")
@click.option("--should", required=True, metavar="TEXT", help="The object that it should say.")
@click.option("--source", "sources", multiple=True, metavar="URL", help="What shows it.")
@click.option(
    "--subject", metavar="TEXT", help="What the fact is about, as it stands in the prompt."
)
@click.option("--relation", metavar="TEXT", help="What is said of it, like 'mother tongue'.")
@click.option("--old", metavar="TEXT", help="The wrong object alone.")
@click.option(
    "--wording", "wordings", multiple=True, metavar="TEXT",
    help="A text that the object completes at once.",
)  # fmt: skip
@click.option(
    "--log", type=click.Path(path_type=Path), help="The prompt is that of a request in this log …"
)
@click.option(
    "--request",
    metavar="ID",
    help="… of `sake serve`: the request's id, or its first six characters or more.",
)
@click.option(
    "--generate",
    "with_generator",
    is_flag=True,
    help="Have a language model write further texts, as `sake generate` does.",
)
@click.option("--dry-run", is_flag=True, help="Show the file; write nothing.")
@json_option
@click.pass_obj
def command(
    state: State,
    prompt: str | None,
    answer: str,
    should: str,
    sources: tuple[str, ...],
    subject: str | None,
    relation: str | None,
    old: str | None,
    wordings: tuple[str, ...],
    log: Path | None,
    request: str | None,
    with_generator: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Draft an edit from a wrong answer.

    Writes an edit file with `status: draft`, and says what of it was guessed. What an edit in force
    already says is not drafted again; what contradicts it is named.

    \b
    sake propose --prompt "What is the capital of Australia?" --answer Sydney --should Canberra
    sake propose --log decisions.jsonl --request 5b2e7c --should Canberra \\
        --source https://en.wikipedia.org/wiki/Canberra
    """
    if (log is None) != (request is None):
        raise click.UsageError("--log and --request go together")
    if prompt is None and log is None:
        raise click.UsageError("what was asked? --prompt TEXT, or --log FILE --request ID")
    if with_generator and (dry_run or as_json):
        raise click.UsageError("--generate adds to a file that is written, and reports in lines")
    from pydantic import ValidationError

    from sake_registry.authoring.logged import logged_prompt
    from sake_registry.authoring.proposing import WrongAnswer, propose_in
    from sake_registry.errors import InputError
    from sake_registry.files import write_text

    edit = None
    if log is not None and request is not None:
        prompt, edit = logged_prompt(log, request, prompt)
    assert prompt is not None
    try:
        wrong = WrongAnswer(
            prompt=prompt, answer=answer, should=should, sources=sources, subject=subject,
            relation=relation, old=old, wordings=wordings, edit=edit,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"--{first['loc'][0]}: {first['msg']}", hint="give a shorter text"
        ) from error
    registry = state.registry()
    path, proposal = propose_in(registry, wrong)
    if not dry_run:
        write_text(path, proposal.text, registry.root)
    if as_json:
        emit_json("propose/1", {"path": str(path), "written": not dry_run, **proposal.model_dump()})
        return
    if dry_run:
        say(proposal.text.rstrip("\n"), lines=True)
    else:
        say(f"wrote {path}")
    for guess in proposal.guesses:
        say(f"guessed: {guess}", err=True)
    for text in proposal.warnings:
        warn(text)
    if with_generator:
        from sake_registry.commands.generate import run

        run(state.registry(), [proposal.id])
    say(
        "next: look at what was guessed, add what people type (`sake generate` writes it), "
        "`sake check`, then `status: active`",
        err=True,
    )
