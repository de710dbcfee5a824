"""`sake promote`: let a pointer lead to another bundle."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import State, emit_json, json_option, say, styled, warn
from sake_registry.commands.publish import place_of_bundles, place_option
from sake_registry.commands.sign import Signing, signing_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sake_registry.history.versions import Version
    from sake_registry.remote.publishing import EditChange, Promotion
    from sake_registry.remote.signers import Signer

SHOWN = 20
_COLOURS = {"added": "green", "changed": "yellow", "removed": "red"}


class Days(click.ParamType):  # type: ignore[type-arg]  # it takes one in later versions of click
    """`30d`, `12h`."""

    name = "days"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        match = re.fullmatch(r"([1-9]\d{0,4})([dh])", str(value))
        if not match:
            self.fail(f"'{value}' is no time like 30d or 12h", param, ctx)
        number = int(match[1])
        return timedelta(days=number) if match[2] == "d" else timedelta(hours=number)


def changing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `promote` and `rollback` share."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would change; change nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--note", default="", metavar="TEXT", help="Why, for those who look."),
        click.option(
            "--expires", type=Days(), metavar="30d|12h", help="How long it may be followed."
        ),
        signing_options,
        place_option,
    ):
        function = option(function)
    return function


@click.command("promote")
@click.argument("source")
@click.argument("name")
@changing_options
@json_option
@click.pass_obj
def command(
    state: State,
    source: str,
    name: str,
    to: str | None,
    expires: timedelta | None,
    note: str,
    signing: Signing,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let the pointer NAME lead to SOURCE: another pointer, or the beginning of a content hash.

    First it is shown what that replaces. Whoever follows pointers/NAME.json loads the other bundle
    at once. Of two who promote at one time, one is told that the other was first.

    \b
    sake promote 9f86d081 staging --to s3://bucket/edits
    sake promote staging production --expires 30d --note "ticket 12" --yes
    """
    from sake_registry.remote.publishing import plan_promotion

    place = place_of_bundles(state, to, writing=True)
    promotion = plan_promotion(place, name, source, lasts=expires, note=note)
    signer = signing.signer(state)
    change(state, promotion, "promote", signer, yes=yes, dry_run=dry_run, as_json=as_json)


def change(
    state: State,
    promotion: Promotion,
    verb: str,
    signer: Signer | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show what a pointer's change would do, ask, sign and make it.

    Raises:
        StateError: nobody said yes, or another was first.
    """
    from sake_registry.errors import StateError
    from sake_registry.remote.publishing import carry_out

    edits = promotion.edits
    commits = _commits(state, promotion, [edit.id for edit in edits[:SHOWN]])
    if not as_json:
        _show(promotion, edits, commits)
    confirmed = yes or (
        not dry_run and sys.stdin.isatty()
        and click.confirm(f"let '{promotion.name}' lead there?", err=True)
    )  # fmt: skip
    if not dry_run and not confirmed:
        raise StateError("nothing was changed: nobody said yes", hint="--yes makes the change")
    if not dry_run:
        carry_out(promotion, signer)
    if as_json:
        value = {
            **promotion.model_dump(mode="json"),
            "edits": [edit.model_dump(mode="json") for edit in edits],
            "commits": {id_: version.commit for id_, version in commits.items()},
            "other_model": promotion.other_model,
            "done": not dry_run,
        }
        emit_json(f"{verb}/1", value)
    elif dry_run:
        say("nothing was changed", err=True)
    else:
        say(f"{promotion.name} {promotion.pointer.number}: {promotion.pointer.content}")


def _show(promotion: Promotion, edits: Sequence[EditChange], commits: dict[str, Version]) -> None:
    """What would be loaded, and what that replaces."""
    from collections import Counter

    from sake_registry.wording import count

    pointer, was = promotion.pointer, promotion.replaces
    old = f"{was.number or 'no number'}, content {(was.content or '?')[:12]}" if was else "new"
    after = promotion.after
    say(f"{promotion.name} ({old}) → {pointer.number}, content {(pointer.content or '?')[:12]}")
    commit = after.commit[:10] if after.commit else "an unknown commit"
    dirty = " and more" if after.provenance.get("dirty") else ""
    say(f"  {count(len(after.edits), 'edit')} for {after.model.name}, from {commit}{dirty}")
    if pointer.expires:
        say(f"  expires {pointer.expires:%Y-%m-%d %H:%M} UTC")
    _show_review(promotion)
    if was and not promotion.before:
        say("  what it led to cannot be had: every edit counts as added")
    counted = Counter[str](edit.action for edit in edits)
    parts = [f"{counted[action]} {action}" for action in _COLOURS if counted[action]]
    say(f"  {', '.join(parts) or 'no edit changes'}")
    for edit in edits[:SHOWN]:
        who = ""
        if version := commits.get(edit.id):
            who = f" ({version.short} {', '.join(version.authors)}: {version.subject})"
        if edit.after and edit.after.reviewers:
            who += f" reviewed by {', '.join(edit.after.reviewers)}"
        say("  ", styled(f"{edit.action:8}", fg=_COLOURS[edit.action]),
            f" {edit.id}: {edit}{who}")  # fmt: skip
    if len(edits) > SHOWN:
        say(f"  and {len(edits) - SHOWN} more: --json lists them")
    if promotion.before and promotion.other_model:
        warn(
            f"it is for another model: {promotion.before.model.name} "
            f"({promotion.before.model.hash[:8]}) → {after.model.name} ({after.model.hash[:8]})"
        )


def _show_review(promotion: Promotion) -> None:
    import json

    from sake_registry.errors import InputError
    from sake_registry.remote.publishing import review_of
    from sake_registry.review.report import read_review

    data = review_of(promotion.pointer)
    if data is None:
        say("  no review was published with it")
        return
    try:
        review = read_review(json.loads(data))
    except (InputError, ValueError) as error:
        warn(f"its review cannot be read: {error}")
        return
    say(f"  review: {review.headline()}")
    if review.model and review.model.hash != promotion.after.model.hash:
        warn("the review asked another model")


def _commits(state: State, promotion: Promotion, ids: Sequence[str]) -> dict[str, Version]:
    """The commits that last changed these edits, as far as the repository at hand knows them."""
    from sake_registry.errors import SakeError
    from sake_registry.history.repository import Repository
    from sake_registry.history.versions import log_of
    from sake_registry.settings import find_root, load_settings

    root, commit = find_root(state.folder), promotion.after.commit
    if root is None or commit is None:
        return {}
    found = {}
    try:
        repository = Repository(root, load_settings(root).edits)
        start = repository.resolve(commit)
        for id_ in ids:
            [log] = log_of(repository, [id_], start)
            found[id_] = log.versions[0]
    except SakeError:  # it is a note beside what is shown
        return found
    return found
