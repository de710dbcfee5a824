"""`sake site`: the registry as pages for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, report_error, say, warn

if TYPE_CHECKING:
    from sake_registry.catalog.folder import Built


@click.command("site")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the pages; site in the registry if not given.",
)
@click.option("--pointer", metavar="PATH|URL", help="What production follows.")
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What a server's /metrics says: how often each edit fired.",
)
@click.option("--serve", is_flag=True, help="Show it here, made again when an edit changes.")
@click.option(
    "--port",
    default=8001,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Of --serve; 0 takes any.",
)
@json_option
@click.pass_obj
def command(
    state: State,
    out: Path | None,
    pointer: str | None,
    metrics: Path | None,
    serve: bool,
    port: int,
    as_json: bool,
) -> None:
    """Write the registry as pages: every edit, what it does, how it stands.

    They are searched as one types, and opened from the folder or from any web server. Answers are
    those of the newest `sake test`. No model is loaded.

    \b
    sake site --out public
    sake site --serve
    """
    if serve and as_json:
        raise click.UsageError("--serve and --json exclude each other")
    from sake_registry.catalog.folder import Built, Site

    site = Site(state.folder, out, pointer=pointer, metrics=metrics)
    if not serve:
        built = site.build()
        if as_json:
            emit_json("site/1", built)
        else:
            _tell(built)
            say(f"open {built.out / 'index.html'}", err=True)
        return
    from sake_registry.catalog.watching import rebuilt, serving

    with serving(site.out, port) as url:
        say(f"{url} (Ctrl-C ends it)", err=True)
        for result in rebuilt(site):
            _tell(result) if isinstance(result, Built) else report_error(result)


def _tell(built: Built) -> None:
    from sake_registry.wording import count

    for note in built.notes:
        warn(note)
    removed = f", {count(built.removed, 'file')} removed" if built.removed else ""
    say(f"{count(built.edits, 'edit')}: {count(built.written, 'file')} written{removed}")
