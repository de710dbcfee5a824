"""`sake review`: what a change does to the model's answers, for the reviewer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import (
    State,
    emit_json,
    json_option,
    json_text,
    model_options,
    say,
    show_markdown,
    warn,
    watching,
)
from sake_registry.commands.promote import Days
from sake_registry.commands.publish import place_of_bundles
from sake_registry.commands.sign import Signing

if TYPE_CHECKING:
    from datetime import timedelta

    from sake_registry.review.report import Review


@click.command("review")
@click.argument("range_", metavar="[BASE...HEAD]", required=False)
@click.option("--no-model", is_flag=True, help="Only what the claims say; needs no model.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Compile the edits that did not change, too, where their builds are missing.",
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comment for the pull request here.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the whole report here, one page.",
)
@click.option(
    "--json-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here."
)
@click.option(
    "--link", metavar="URL", help="Where the whole report will be found, for the comment."
)
@click.option(
    "--files", metavar="URL", help="Where HEAD's files are shown: the comment's rows lead there."
)
@click.option(
    "--publish",
    metavar="URL/NAME",
    help="Publish what merging makes at URL, and let the pointer NAME lead to it.",
)
@click.option(
    "--expires",
    type=Days(),
    default="14d",
    show_default=True,
    metavar="30d|12h",
    help="How long that pointer may be followed.",
)
@click.option(
    "--preview",
    metavar="URL",
    help="Where that pointer will be found, for the comment; where it is unless given.",
)
@model_options
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    range_: str | None,
    no_model: bool,
    everything: bool,
    markdown: Path | None,
    html: Path | None,
    json_file: Path | None,
    link: str | None,
    files: str | None,
    publish: str | None,
    expires: timedelta,
    preview: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what a change does to answers; exit 1 if a gate fails.

    From the point where HEAD left BASE; other edits are judged on what merging makes of both.
    BASE alone reviews the working tree. Without a range: the default branch against HEAD. Gates
    are under [review] in sake.toml, and are those of BASE.

    \b
    sake review main...HEAD
    sake review --no-model --markdown review.md
    sake review --publish s3://bucket/previews/pr-12
    """
    place, _, name = (publish or "").rpartition("/")
    if publish and not (place and name):
        raise click.UsageError(
            "--publish needs a place and a name, like s3://bucket/previews/pr-12"
        )
    if publish and no_model:
        raise click.UsageError("--publish needs the model that --no-model leaves out")
    from sake_registry.errors import SakeError
    from sake_registry.files import seen_from, write_text
    from sake_registry.review.markdown import comment
    from sake_registry.review.run import read_sides, review
    from sake_registry.wording import count

    read = read_sides(state.folder, range_, options)
    failed: SakeError | None = None
    with tempfile.TemporaryDirectory(prefix="sake-preview-") as folder:
        merged = Path(folder) if publish else None
        with watching(quiet=as_json) as progress:
            value = review(
                read, model=not no_model, everything=everything or publish is not None,
                into=merged, progress=progress,
            )  # fmt: skip
        if merged:
            try:
                found = _publish(state, read.before.root, merged, value, place, name, expires)
            except SakeError as error:  # the review is shown all the same
                failed, preview = error, None
            else:
                preview = preview if found and preview else found
    outputs: dict[Path, str] = {}
    if html is not None:
        from sake_registry.review.html import page

        outputs[html] = page(value, preview)
    if markdown is not None:
        outputs[markdown] = comment(value, link=link, files=files, preview=preview)
    if json_file is not None:
        outputs[json_file] = json_text(value.model_dump(mode="json"))
    for path, text in outputs.items():
        write_text(path, text, read.before.root if seen_from(read.before.root, path) else None)
    if as_json:
        emit_json(value.version, value.model_dump(mode="json", exclude={"version"}))
    elif markdown is None:
        show_markdown(comment(value, link=link, files=files, preview=preview))
    for path in outputs:
        say(f"wrote {path}", err=True)
    if read.uncommitted:
        edits = count(len(read.uncommitted), "edit")
        base = read.reviewed.text.partition("..")[0] or "HEAD"
        warn(
            f"{edits} changed and not committed, so not reviewed: `sake review {base}` reviews that"
        )
    if left_out := len(value.others.not_built):
        are = "is" if left_out == 1 else "are"
        was = "was" if left_out == 1 else "were"
        warn(
            f"{count(left_out, 'other edit')} {are} not built here and {was} not judged: "
            "`sake compile` on the base branch, or --all"
        )
    for gate in value.gates:
        if gate.state == "failed":
            say(f"gate {gate.name}: {gate.text}", err=True)
    if failed:
        raise failed
    if not value.passed:
        raise click.exceptions.Exit(1)


def _publish(
    state: State,
    root: Path,
    merged: Path,
    review: Review,
    place: str,
    name: str,
    expires: timedelta,
) -> str | None:
    """Publish the bundle that a review left in the folder `merged`, and let a pointer lead to it.

    Returns:
        Where the pointer lies; None, and a warning, where the review made no bundle.

    Raises:
        SakeError: it cannot be published.
    """
    from sake_registry.bundle.newest import bundle_files
    from sake_registry.files import below, seen_from
    from sake_registry.places import local_path, shown
    from sake_registry.remote.publishing import carry_out, plan_promotion, publish
    from sake_registry.remote.signing import sign_bundle

    place = place_of_bundles(state, place, writing=True)
    if (path := local_path(place)) and seen_from(root, path):
        for inner in ("bundles", f"pointers/{name}"):  # no link of the repository leads elsewhere
            below(root, path / inner)
    bundles = list(bundle_files(merged))
    if not bundles:
        warn("nothing was published: the review made no bundle")
        return None
    signer = Signing().signer(state)
    said = json_text(review.model_dump(mode="json")).encode()
    signature = sign_bundle(bundles[0], signer) if signer else None
    published = publish(bundles[0], place, said, signature)
    source = published.url.rpartition("/")[2].removesuffix(bundles[0].suffix)
    change = plan_promotion(place, name, source, lasts=expires, note=review.range.text)
    carry_out(change, signer)
    found = shown(f"{place}/pointers/{name}.json")
    say(f"published {found}, number {change.pointer.number}", err=True)
    return found
