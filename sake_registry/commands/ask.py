"""`sake ask`: prompts to the bare and the edited model, one or line after line."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    model_options,
    report_error,
    say,
    styled,
    table,
    warn,
)
from sake_registry.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sake_registry.asking.ask import Answer, BareAnswer
    from sake_registry.asking.prompts import Line


@click.command("ask")
@click.argument("prompt", metavar="[PROMPT|-]", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="Prompts, one a line.",
)
@click.option("--chat", is_flag=True, help="A prompt is a user's turn, in the model's template.")
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
    prompt: str | None,
    file: Path | None,
    chat: bool,
    bundle: Path | None,
    bare: bool,
    tokens: int,
    top: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Complete PROMPT with the bare and the edited model.

    The decision says which edit fired, or why none did. Without PROMPT, or with `-`, the model
    stays loaded and answers stdin, line after line, each as if asked alone; end with Ctrl-D. With
    --json such answers are one object a line. Lines are read as by `sake replay`.

    \b
    sake ask "The capital of Australia is"
    sake ask
    sake ask --chat "What is the capital of Australia?"
    sake ask --file prompts.txt --json | jq .after
    grep Peru prompts.txt | sake ask -
    sake ask --bare "The capital of Peru is"
    """
    if bare and bundle:
        raise click.UsageError("--bare has no bundle")
    if prompt is not None and file:
        raise click.UsageError("give PROMPT or --file")
    if prompt == "-":
        prompt = None
    registry = state.registry(options).sound()  # before torch is imported

    def opened() -> Any:
        """The model, loaded to be asked."""
        from sake_registry.asking.ask import asking, asking_bare

        how: dict[str, Any] = {"tokens": tokens, "top": top, "chat": chat}
        return asking_bare(registry, **how) if bare else asking(registry, bundle=bundle, **how)

    def show(answered: Any, *, notes: bool = True) -> None:
        if bare:
            _show_bare(answered)
        else:
            _show(answered, notes=notes)

    if prompt is not None:
        with opened() as answer:
            answered = answer(prompt)
        emit_json("ask/1", answered) if as_json else show(answered)
        return
    from sake_registry.asking.prompts import open_prompts, read_prompts

    notes, wrong = True, 0  # what is noted of the bundle is the same for every line
    with open_prompts(file or Path("-")) as source:
        terminal, lines = source.isatty(), read_prompts(source)
        lines = _typed(lines) if terminal else _some(lines)
        with opened() as answer:
            for line in lines:
                try:
                    if line.problem:
                        raise InputError(line.problem)
                    answered = answer(line.prompt)
                except InputError as error:
                    wrong += 1
                    message = error.message if terminal else f"line {line.number}: {error.message}"
                    report_error(InputError(message, hint=error.hint))
                    continue
                if as_json:
                    emit_json("ask/1", answered, line=True)
                else:
                    show(answered, notes=notes)
                    notes = False
    if wrong and not terminal:
        raise click.exceptions.Exit(1)


def _some(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines, of which one at least has to be there: a model is loaded for no prompt at all."""
    first = next(lines, None)
    if first is None:
        raise click.UsageError("no prompt: give PROMPT, --file, or prompts on stdin, one a line")
    return chain([first], lines)


def _typed(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines of a terminal, each asked for."""
    while True:
        say("> ", err=True, end="")
        line = next(lines, None)
        if line is None:
            say("", err=True)  # behind the last "> "
            return
        yield line


def _show_bare(answer: BareAnswer) -> None:
    prompt, text = _below(answer.prompt, answer.before)
    say(f"bare:     {prompt}", styled(text, bold=True), lines=True)
    rows = [(repr(token.token), f"{token.probability:.1%}") for token in answer.top_before]
    table(("next token", ""), rows)


def _show(answer: Answer, *, notes: bool) -> None:
    """An answer; with `notes`, also which bundle it is of, and where that is out of date."""
    prompt, before, after = _below(answer.prompt, answer.before, answer.after)
    say(f"before:   {prompt}", styled(before, dim=True), lines=True)
    say(f"after:    {prompt}", styled(after, bold=True), lines=True)
    say(f"decision: {answer.decision}")
    if notes:
        say(f"bundle:   {answer.bundle}", err=True)
        for finding in answer.findings:
            warn(finding)
    rows = [
        (repr(a.token), f"{a.probability:.1%}", repr(b.token), f"{b.probability:.1%}")
        for a, b in zip(answer.top_before, answer.top_after, strict=True)
    ]
    table(("next token before", "", "after", ""), rows)


def _below(*texts: str) -> Iterator[str]:
    """Texts whose lines stand below one another, and none passes for the next line of the page."""
    return (text.replace("\n", "\n          ") for text in texts)
