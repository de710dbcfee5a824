"""`sake publish`: put a bundle where others load it from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import State, emit_json, json_option, say, warn
from sake_registry.commands.sign import Signing, claimed, signing_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from sake_registry.edits.registry import Registry
    from sake_registry.remote.signers import Signer


def place_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--to`: where bundles are published."""
    return click.option("--to", metavar="URL", help="A folder, or a URL like s3://bucket/folder.")(
        function
    )


def place_of_bundles(state: State, to: str | None, *, writing: bool = False) -> str:
    """Where bundles are published, as the flag, a variable or the registry at hand says.

    Raises:
        InputError: nothing says it; or a file of the repository alone does, and it is to be
            written to.
    """
    from sake_registry.errors import InputError, SettingsError
    from sake_registry.places import local_path
    from sake_registry.settings import find_root, load_settings

    root = find_root(state.folder)
    try:
        settings = load_settings(root, {"remote.bundles": to})
    except SettingsError as error:
        raise SettingsError(
            error.message.replace("--bundles:", "--to:"), hint=error.hint
        ) from error
    place, given = settings.remote.bundles, settings.is_given("remote.bundles")
    if not place:
        raise InputError(
            "nothing says where bundles are published",
            hint="--to URL, or SAKE_REMOTE_BUNDLES=URL: a folder, or a URL like s3://bucket/folder",
        )
    if writing and not given:
        raise InputError(
            f"only sake.toml says that bundles are published to {place}, and nothing is written "
            "elsewhere because a file of the repository says so",
            hint=f"say it yourself: --to '{place}', or SAKE_REMOTE_BUNDLES='{place}'",
        )
    if root is not None and not given and (path := local_path(place)) is not None:
        place = str(root / path)
    return place


@click.command("publish")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@place_option
@click.option(
    "--oci",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Instead of publishing it, write it there as an OCI artefact, in an image layout.",
)
@click.option(
    "--review",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `sake review --json` said of it.",
)
@signing_options
@json_option
@click.pass_obj
def command(
    state: State,
    bundle: Path | None,
    to: str | None,
    oci: Path | None,
    review: Path | None,
    signing: Signing,
    as_json: bool,
) -> None:
    """Put BUNDLE where others load it from: bundles/<content hash>.h5.

    Without BUNDLE, the newest one of the registry is put there. What is there is never replaced.
    Nothing loads it before `sake promote` lets a pointer lead to it. Its signature goes with it:
    the one that is made with --key or --keyless, or else BUNDLE.sig.json. BUNDLE may be the image
    layout of an OCI artefact, with what is in it.

    \b
    sake publish --to s3://bucket/edits
    sake publish --oci layout
    sake publish bundles/smollm2-135m-0123abcd-4567cdef8901.h5 --to /srv/edits
    """
    from sake_registry.remote.oci import Artefact, Held, export, held, is_layout
    from sake_registry.remote.publishing import publish

    if to and oci:
        raise click.UsageError("--to and --oci exclude each other")
    place = "" if oci else place_of_bundles(state, to, writing=True)
    bundle = bundle or _newest(state.registry())
    given = held(bundle) if is_layout(bundle) else Held(bundle=bundle)
    bundle, said = given.bundle, _read(review) if review else given.review
    signer = signing.signer(state)
    signature = _signature(bundle, signer, review) or given.signature
    result = (
        export(bundle, oci, said, signature) if oci else publish(bundle, place, said, signature)
    )
    if as_json:
        emit_json("publish/1", result)
        return
    from sake_registry.places import shown
    from sake_registry.wording import count

    if isinstance(result, Artefact):
        edits = count(result.edits, "edit")
        say(f"{oci}:{result.tag}: {edits}, {result.bytes / 1e6:.1f} MB, {result.digest}"
            + (", signed" if result.signed else ""))  # fmt: skip
        say(f"  oras cp --from-oci-layout {oci}:{result.tag} REGISTRY/NAME:TAG", err=True)
        return
    say(
        f"{shown(result.url)}: {count(result.edits, 'edit')}, {result.bytes / 1e6:.1f} MB"
        + ("" if result.created else ", was there already")
        + (", signed" if result.signed else "")
    )
    say(f"  content {result.content[:12]} · sake promote {result.content[:12]} NAME", err=True)


def _signature(bundle: Path, signer: Signer | None, review: Path | None) -> bytes | None:
    """The signature that somebody makes, or else lies beside a bundle; None if there is none."""
    from sake_registry.files import read_bounded
    from sake_registry.remote.dsse import MAX_BYTES
    from sake_registry.remote.signing import SUFFIX, sign_bundle

    if signer is not None:
        return sign_bundle(bundle, signer, review=claimed(review) if review else None)
    try:
        return read_bounded(bundle.with_name(bundle.name + SUFFIX), MAX_BYTES)
    except FileNotFoundError:
        return None


def _newest(registry: Registry) -> Path:
    """The newest whole bundle of the registry, with a warning where it is not what the registry
    says now."""
    from sake_registry.bundle.newest import newest_bundles
    from sake_registry.errors import InputError
    from sake_registry.upkeep.bundles import bundle_states

    held = newest_bundles(registry.bundles)
    if len(held) != 1:
        what = "bundles of several models" if held else "no bundle"
        raise InputError(
            f"{what} in {registry.bundles}",
            hint="name the one that is meant" if held else "`sake compile` makes one",
        )
    [found] = bundle_states(registry, held)
    if not found.current:
        warn(f"{found.path} is not what the registry says now: `sake status`")
    return found.path


def _read(review: Path) -> bytes:
    import json

    from sake_registry.errors import InputError
    from sake_registry.review.report import read_review

    try:
        data = review.read_bytes()
        read_review(json.loads(data))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{review} cannot be read: {error}", hint="give what `sake review --json` wrote"
        ) from error
    return data
