"""`sake generate`: texts of edits that a language model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option, say, warn, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sake_registry.authoring.generation import Generated, Outcome
    from sake_registry.edits.registry import Registry


def _languages(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    return tuple(code.strip() for code in (value or "").split(",") if code.strip())


def generating_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How much is asked for, and of what."""
    for option in reversed(
        [
            click.option(
                "--prompts", metavar="N", type=click.IntRange(0, 60), help="New prompts. [8]"
            ),
            click.option(
                "--holdout", metavar="N", type=click.IntRange(0, 60), help="New holdout. [6]"
            ),
            click.option(
                "--implications", metavar="N", type=click.IntRange(0, 30),
                help="New implications. [2]",
            ),
            click.option(
                "--unchanged", metavar="N", type=click.IntRange(0, 60),
                help="New unchanged prompts. [6]",
            ),
            click.option("--aliases", is_flag=True, help="Other names, too."),
            click.option(
                "--reversed", is_flag=True,
                help="The fact the other way round, too: as the draft of another edit.",
            ),
            click.option(
                "--languages", metavar="CODES", callback=_languages,
                help="Languages, like de,fr; the file's own if not given.",
            ),
            click.option(
                "--with-model", is_flag=True,
                help="Drop what does not work on the registry's model.",
            ),
            click.option("--replay", is_flag=True, help="Make no call: use what is recorded."),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@click.command("generate")
@click.argument("ids", nargs=-1, required=True, shell_complete=complete_ids)
@generating_options
@click.option("--dry-run", is_flag=True, help="Show the texts, and change no file.")
@json_option
@click.pass_obj
def command(
    state: State, /, ids: tuple[str, ...], dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Have a language model write texts of the edits IDS, and add those that pass to their files.

    The model stands behind an endpoint of OpenAI's form: SAKE_GENERATOR_BASE_URL,
    SAKE_GENERATOR_MODEL, and SAKE_GENERATOR_API_KEY where it wants one. Each text is marked with
    the model, the day and the call, which .sake/generations keeps. Texts that leak an object, do
    not name the subject, are there already, or that `sake check` would find fault with are dropped.

    \b
    sake generate darrieux-tongue --prompts 8 --holdout 6
    sake generate uk-pm fr-pm --languages en,fr --aliases --dry-run
    """
    run(state.registry(), ids, dry_run=dry_run, as_json=as_json, **options)


def run(
    registry: Registry,
    ids: Sequence[str],
    *,
    dry_run: bool = False,
    as_json: bool = False,
    with_model: bool = False,
    replay: bool = False,
    **wanted: Any,
) -> None:
    """Generate, and show what was made.

    Raises:
        GeneratorError: the run ended early; what was kept is written and shown.
    """
    from sake_registry.authoring.endpoint import Endpoint
    from sake_registry.authoring.generation import Wanted, generate
    from sake_registry.errors import GeneratorError

    asked = Wanted(**{name: value for name, value in wanted.items() if value is not None})
    with (
        Endpoint.of(registry.settings, registry.root, replay=replay) as endpoint,
        watching(quiet=as_json) as progress,
    ):
        result = generate(
            registry, ids, endpoint, asked,
            with_model=with_model, dry_run=dry_run, progress=progress,
        )  # fmt: skip
    if as_json:
        emit_json("generate/1", result)
    else:
        _show(result)
    if result.stopped:
        message, _, hint = result.stopped.partition("\n  ")
        raise GeneratorError(message, hint=hint or None)


def _show(result: Generated) -> None:
    from sake_registry.wording import count

    for outcome in result.outcomes:
        _show_outcome(outcome, written=result.written)
    if not result.compared:
        warn("near-duplicates were looked for by their wording alone: that by meaning needs the "
             "extra 'models'")  # fmt: skip
    if any(text.kind == "implications" for one in result.outcomes for text in one.added):
        say("reversed relations are out of an edit's reach: --reversed drafts an edit of their own",
            err=True)  # fmt: skip
    say(f"{result.generator}: {result.cost}")
    grown = sum(bool(outcome.added) for outcome in result.outcomes)
    if result.written and grown:
        say(f"next: read {count(grown, 'file')} before anybody else does, "
            "`git diff`, then `sake check`", err=True)  # fmt: skip


def _show_outcome(outcome: Outcome, *, written: bool) -> None:
    from sake_registry.wording import count

    numbers = ", ".join(count(n, *_NOUNS[kind]) for kind, n in outcome.counts.items()) or "nothing"
    say(f"{outcome.edit}: {numbers} {'added' if written else 'would be added'}  ({outcome.path})")
    for text in outcome.added:
        answers = f"  [{text.old or '(nothing)'} → {text.new}]" if text.new else ""
        remark = f"  ({text.remark})" if text.remark else ""
        if remark or not written:
            say(f"  {_NOUNS[text.kind][0]}: {text.text}{answers}{remark}")
    if outcome.drafted:
        say(
            f"  the other way round, a draft: {outcome.drafted}{'' if written else ', not written'}"
        )
    for warning in outcome.warnings:
        warn(warning)
    for reason, n in outcome.reasons.items():
        say(f"  dropped {n}: {reason}")
    for short in outcome.short:
        say(f"  fewer than asked for: {short}")


_NOUNS = {
    "prompts": ("prompt",), "holdout": ("holdout prompt",), "implications": ("implication",),
    "unchanged": ("unchanged prompt",),
    "subject": ("alias of the subject", "aliases of the subject"),
    "old": ("alias of the old object", "aliases of the old object"),
    "new": ("alias of the new object", "aliases of the new object"),
}  # fmt: skip
