"""`sake revert`: take edits back, in one commit."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option, say, warn
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sake_registry.history.plans import Candidate, RevertPlan

_SHOWN = 9
_DONE = {
    "revert": "reverted",
    "restore": "restored",
    "remove": "removed",
    "withdraw": "withdrawn",
}


def writing_options(function: Callable[..., None]) -> Callable[..., None]:
    """`--no-commit`, `--dry-run`."""
    dry = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
    return click.option("--no-commit", is_flag=True, help="Change the files, commit nothing.")(
        dry(function)
    )


@click.command("revert")
@click.argument("ids", nargs=-1, shell_complete=complete_ids)
@click.option("--to", metavar="REV", help="Bring back what was there in this commit.")
@click.option("--remove", is_flag=True, help="Remove the edits.")
@click.option("--touched-by", metavar="REV", help="All edits that this commit touched.")
@click.option("--reason", metavar="TEXT", help="Why, for the commit's message.")
@click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask: take the previous of several versions, and revert a revert.",
)
@writing_options
@json_option
@click.pass_obj
def command(
    state: State,
    ids: tuple[str, ...],
    to: str | None,
    remove: bool,
    touched_by: str | None,
    reason: str | None,
    yes: bool,
    no_commit: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take back the latest change of the edits IDS, in one commit.

    What counts as a change is what can change an answer; an edit that never was another one is
    removed. To revert a revert is asked about. The commit touches these files alone, whatever
    else is staged.

    \b
    sake revert darrieux-tongue --reason "the source was withdrawn"
    sake revert darrieux-tongue --to HEAD~3 --dry-run
    sake revert --touched-by 1a2b3c4
    """
    given = {"--to": to is not None, "--remove": remove, "--touched-by": touched_by is not None}
    picked = [option for option, is_given in given.items() if is_given]
    if len(picked) > 1:
        raise click.UsageError(f"{picked[0]} and {picked[1]} cannot both say what is meant")
    if not ids and touched_by is None:
        raise click.UsageError("give the ids of edits, or --touched-by REV")
    from sake_registry.history.reverting import plan_revert, previous, refuse

    choose = previous if yes else _ask if sys.stdin.isatty() else refuse
    plan = plan_revert(
        state.registry(), ids, to=to, remove=remove, touched_by=touched_by, reason=reason,
        choose=choose,
    )  # fmt: skip
    carry_out(plan, "revert", no_commit=no_commit, dry_run=dry_run, as_json=as_json)


def _ask(id_: str, candidates: Sequence[Candidate]) -> Candidate:
    """Let the user choose on the terminal."""
    from sake_registry.history.reverting import again

    if candidates[0].undone:
        say(f"{id_} was taken back already, {again(candidates[0])}", err=True)
    say(f"{id_} has {count(len(candidates), 'earlier version')}:", err=True)
    shown = candidates[:_SHOWN]
    for number, candidate in enumerate(shown, 1):
        say(f"  {number}  {candidate}", err=True)
    if len(candidates) > len(shown):
        say(f"  before them: `sake log {id_}` and --to REV", err=True)
    allowed = click.IntRange(1, len(shown))
    default = None if candidates[0].undone else 1  # a bare Enter reverts no revert
    number = click.prompt("which one shall come back?", default=default, type=allowed, err=True)
    return shown[int(number) - 1]


def carry_out(
    plan: RevertPlan, verb: str, *, no_commit: bool, dry_run: bool, as_json: bool
) -> None:
    """Do what was planned, and say what was done."""
    from sake_registry.errors import SakeError
    from sake_registry.history.reverting import apply

    for note in plan.notes:
        warn(note)
    commit = None if dry_run else apply(plan, commit=not no_commit)
    bundles: list[str] = []
    if not dry_run:
        from sake_registry.upkeep.bundles import after_change

        try:
            bundles = after_change(plan.registry, [step.id for step in plan.edits])
        except SakeError as error:  # the edits are back, whatever is wrong with bundles
            warn(f"nothing can be said of the bundles: {error.message}")
    if as_json:
        outcome = {"commit": commit, "dry_run": dry_run, "bundles": bundles}
        emit_json(f"{verb}/1", {**plan.model_dump(mode="json"), **outcome})
        return
    _show(plan, dry_run=dry_run)
    if dry_run:
        say("the commit would say:")
        for line in plan.message.splitlines():
            say(f"  | {line}".rstrip())
    elif commit:
        say(f"commit {commit[:10]}: {plan.message.partition(chr(10))[0]}")
    else:
        paths = " ".join(shlex.quote(step.path) for step in plan.edits)
        root = shlex.quote(str(plan.registry.root))
        say("nothing is committed; to commit it:", err=True)
        say(f"  git -C {root} add --force -- {paths}", err=True)
        say(f"  git -C {root} commit --only -- {paths}", err=True)
    for line in bundles:
        say(line)


def _show(plan: RevertPlan, *, dry_run: bool) -> None:
    for step in plan.edits:
        verb = f"would {step.action}" if dry_run else _DONE[step.action]
        say(f"{verb} {step.id}  ({step.path})")
        say(f"  {step.change.claim}")
        for line in step.lines if step.change.before and step.change.after else ():
            say(f"  {line}")
        if step.target:
            date = f"{step.target.date:%Y-%m-%d}"
            say(f"  as in {step.target.short}  {date}  {step.target.subject}")
        for commit in step.also:
            say(f"  also takes back: {commit.short}  {commit.subject}")
