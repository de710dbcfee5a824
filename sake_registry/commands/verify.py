"""`sake verify`: what signatures prove of a bundle or of a pointer."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State, emit_json, json_option, say, styled


@click.command("verify")
@click.argument("place", metavar="PLACE")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A public key that counts, PEM; else those of SAKE_TRUST_KEYS, or of [trust].",
)
@json_option
@click.pass_obj
def command(state: State, /, place: str, keys: tuple[Path, ...], as_json: bool) -> None:
    """Say what is proven of PLACE, a bundle or a pointer, and what is not.

    PLACE is a path or a URL. Exit 1 if something speaks against using it.

    \b
    sake verify production.json --key release.pub
    sake verify bundles/smollm2-135m-0123abcd-4567cdef8901.h5
    """
    from sake_registry.remote.signing import read_key
    from sake_registry.remote.verifying import verify
    from sake_registry.settings import find_root, load_settings

    root = find_root(state.folder)
    paths = keys or load_settings(root).trusted_keys(root)
    verdict = verify(place, {str(path): read_key(path) for path in paths})
    if as_json:
        emit_json("verify/1", verdict)
    else:
        say(f"{verdict.place} → {verdict.bundle}" if verdict.is_pointer else verdict.place)
        for title, colour, sentences in (
            ("proven", "green", verdict.proven),
            ("said by who signed it", "cyan", verdict.said),
            ("not proven", "yellow", verdict.open),
            ("wrong", "red", verdict.wrong),
        ):
            if sentences:
                say(styled(f"{title}:", fg=colour, bold=True))
            for sentence in sentences:
                say(f"  {sentence}")
    if not verdict.passed:
        raise click.exceptions.Exit(1)
