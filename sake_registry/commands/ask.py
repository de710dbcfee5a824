"""`sake ask`: one prompt, bare and edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    say,
    styled,
    table,
    warn,
)


@click.command("ask")
@click.argument("prompt")
@click.option("--bundle", type=click.Path(path_type=Path), help="Another bundle than the newest.")
@click.option("--bare", is_flag=True, help="Without edits; nothing need be compiled.")
@click.option(
    "--tokens",
    default=20,
    show_default=True,
    type=click.IntRange(1, 4096),
    help="How many tokens to generate.",
)
@click.option(
    "--top",
    default=5,
    show_default=True,
    type=click.IntRange(1, 50),
    help="How many of the likeliest next tokens to show.",
)
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    prompt: str,
    bundle: Path | None,
    bare: bool,
    tokens: int,
    top: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Complete PROMPT with the bare and the edited model.

    The decision says which edit fired, or why none did.

    \b
    sake ask "The capital of Australia is"
    sake ask "The capital of Australia is" --tokens 40 --top 10
    sake ask --bare "The capital of Peru is"
    """
    if bare and bundle:
        raise click.UsageError("--bare has no bundle")
    registry = state.registry(options).sound()  # before torch is imported

    from sake_registry.asking.ask import ask, ask_bare

    if bare:
        said = ask_bare(registry, prompt, tokens=tokens, top=top)
        if as_json:
            emit_json("ask/1", said)
            return
        shown, text = (part.replace("\n", "\n          ") for part in (prompt, said.before))
        say(f"bare:     {shown}", styled(text, bold=True), lines=True)
        next_ = [(repr(token.token), f"{token.probability:.1%}") for token in said.top_before]
        table(("next token", ""), next_)
        return
    answer = ask(registry, prompt, bundle=bundle, tokens=tokens, top=top)
    if as_json:
        emit_json("ask/1", answer.model_dump(mode="json"))
        return
    # Its lines stand below one another, and none passes for the next line of this page.
    prompt, before, after = (
        text.replace("\n", "\n          ") for text in (prompt, answer.before, answer.after)
    )
    say(f"before:   {prompt}", styled(before, dim=True), lines=True)
    say(f"after:    {prompt}", styled(after, bold=True), lines=True)
    say(f"decision: {answer.decision}")
    say(f"bundle:   {answer.bundle}", err=True)
    for finding in answer.findings:
        warn(finding)
    rows = [
        (repr(a.token), f"{a.probability:.1%}", repr(b.token), f"{b.probability:.1%}")
        for a, b in zip(answer.top_before, answer.top_after, strict=True)
    ]
    table(("next token before", "", "after", ""), rows)
