"""`sake review`: what a change does to the model's answers, for the reviewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    """
    from sake_registry.files import seen_from, write_text
    from sake_registry.review.markdown import comment
    from sake_registry.review.run import read_sides, review
    from sake_registry.wording import count

    read = read_sides(state.folder, range_, options)
    with watching(quiet=as_json) as progress:
        value = review(read, model=not no_model, everything=everything, progress=progress)
    outputs: dict[Path, str] = {}
    if html is not None:
        from sake_registry.review.html import page

        outputs[html] = page(value)
    if markdown is not None:
        outputs[markdown] = comment(value, link=link, files=files)
    if json_file is not None:
        outputs[json_file] = json_text(value.model_dump(mode="json"))
    for path, text in outputs.items():
        write_text(path, text, read.before.root if seen_from(read.before.root, path) else None)
    if as_json:
        emit_json(value.version, value.model_dump(mode="json", exclude={"version"}))
    elif markdown is None:
        show_markdown(comment(value, link=link, files=files))
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
    if not value.passed:
        raise click.exceptions.Exit(1)
