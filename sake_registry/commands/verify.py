"""`sake verify`: what signatures prove of a bundle or of a pointer."""

from __future__ import annotations

import click

from sake_registry.commands.console import State, emit_json, json_option, say, styled


@click.command("verify")
@click.argument("place", metavar="PLACE")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="A public key that counts, PEM; else those of SAKE_TRUST_KEYS, or of [trust].",
)
@click.option(
    "--identity",
    "identities",
    multiple=True,
    nargs=2,
    metavar="IDENTITY ISSUER",
    help="Who may sign by certificate or without a key, and who vouches for that, a file or a URL; "
    "else those of SAKE_TRUST_IDENTITIES, or of [trust].",
)
@click.option(
    "--trust-root",
    type=click.Path(dir_okay=False),
    help="The trust root of sigstore, JSON; else that of SAKE_TRUST_ROOT, or of [trust].",
)
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    place: str,
    keys: tuple[str, ...],
    identities: tuple[tuple[str, str], ...],
    trust_root: str | None,
    as_json: bool,
) -> None:
    """Say what is proven of PLACE, a bundle or a pointer, and what is not.

    PLACE is a path or a URL. Exit 1 if something speaks against using it.

    \b
    sake verify production.json --key release.pub
    sake verify bundles/smollm2-135m-0123abcd-4567cdef8901.h5
    """
    from sake_registry.remote.signers import Signers
    from sake_registry.remote.verifying import verify
    from sake_registry.settings import find_root, load_settings

    root = find_root(state.folder)
    given = {
        "trust.keys": list(keys) or None,
        "trust.identities": [
            {"identity": identity, "issuer": issuer} for identity, issuer in identities
        ]
        or None,
        "trust.root": trust_root,
    }
    verdict = verify(place, Signers.of(load_settings(root, given).trusted(root)))
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
