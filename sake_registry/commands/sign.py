"""`sake sign`: say who vouches for a bundle or for a pointer."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import State, emit_json, json_option, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from sake_registry.remote.signers import Signer
    from sake_registry.remote.signing import ClaimedReview

_MAX_REVIEW = 1 << 28


@dataclass(frozen=True)
class Signing:
    """Who signs, as flags have it."""

    key: Path | None = None
    certificate: Path | None = None
    keyless: bool = False

    def signer(self, state: State) -> Signer | None:
        """Who signs; None where neither a flag nor SAKE_SIGNING_KEY says so.

        Raises:
            InputError, StateError: it is no private key, or git tracks it, or the certificate is
                not of it; or nobody vouches for who this process is.
            SetupError: what a signature needs is not installed, or cannot be reached.
        """
        from sake_registry.remote.dsse import KEY_VARIABLE, read_signer

        if self.keyless:
            if self.key or self.certificate:
                raise click.UsageError("--keyless excludes --key and --certificate")
            from sake_registry.remote.keyless import keyless_signer

            return keyless_signer(_services(state))
        if self.key is None and self.certificate is None and not os.environ.get(KEY_VARIABLE):
            return None
        if self.key is not None:
            _refuse_tracked(self.key)
        signer = read_signer(self.key)
        if self.certificate is None:
            return signer
        from sake_registry.remote.certificates import certified_signer

        return certified_signer(signer, self.certificate)


def signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--key`, `--certificate` and `--keyless`, handed on as one `signing`."""
    file = click.Path(dir_okay=False, path_type=Path)

    @click.option(
        "--key", type=file, help="A private key to sign with, PEM; else that in SAKE_SIGNING_KEY."
    )
    @click.option(
        "--certificate",
        type=file,
        help="The key's certificate, then those of the authorities above it, PEM.",
    )
    @click.option(
        "--keyless",
        is_flag=True,
        help="Sign without a key, by sigstore: as this CI's job, or whom SIGSTORE_ID_TOKEN names.",
    )
    @functools.wraps(function)
    def collected(
        *arguments: Any, key: Path | None, certificate: Path | None, keyless: bool, **others: Any
    ) -> Any:
        return function(*arguments, signing=Signing(key, certificate, keyless), **others)

    return collected


@click.command("sign")
@click.argument("place", metavar="PLACE")
@signing_options
@click.option(
    "--review",
    "review",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What `sake review --json-file` wrote: its gates are signed, too.",
)
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    place: str,
    signing: Signing,
    review: Path | None,
    as_json: bool,
) -> None:
    """Sign PLACE, a bundle (path or URL) or a pointer (.json, path).

    The signature of a bundle says what it is, of which commit, and who reviewed what; it is
    written beside it, as PLACE.sig.json. That of a pointer is put into it. The password of a key
    is read from SAKE_SIGNING_KEY_PASSWORD. With --keyless, sigstore certifies who signs,
    and its log, which is public, records it.

    \b
    sake sign bundles/smollm2-135m-0123abcd-4567cdef8901.h5 --key release.pem
    sake sign production.json --keyless
    """
    from sake_registry.places import shown
    from sake_registry.remote.dsse import read_signer
    from sake_registry.remote.signers import read_signature
    from sake_registry.remote.signing import SUFFIX

    is_pointer = shown(place).endswith(".json")
    if is_pointer and review is not None:
        raise click.UsageError("--review goes with a bundle: a pointer has no gates")
    signer = signing.signer(state) or read_signer(None)
    data: bytes | dict[str, Any]
    if is_pointer:
        written, data = place, _sign_pointer(place, signer)
    else:
        written = place + SUFFIX
        data = _sign_bundle(place, signer, claimed(review) if review else None)
    made = read_signature(data, shown(place))
    if as_json:
        said = {"signed": shown(place), "signature": shown(written), **made.signed_by}
        emit_json("sign/1", said)
    else:
        say(f"signed {shown(place)} by {made.signer}: {shown(written)}")


def _services(state: State) -> Path | None:
    """The client trust config whose services sign; None for the public instance's.

    Raises:
        InputError: a file of the repository alone names one, which would get the token that says
            who this process is.
    """
    from sake_registry.errors import InputError
    from sake_registry.settings import find_root, load_settings

    settings = load_settings(find_root(state.folder))
    place = settings.trust.root
    if place and not settings.is_given("trust.root"):
        raise InputError(
            f"only sake.toml names the trust root {place}, and nobody signs by services because a "
            "file of the repository says so",
            hint=f"say it yourself: SAKE_TRUST_ROOT='{place}'",
        )
    return Path(place) if place else None


def _sign_bundle(place: str, signer: Signer, review: ClaimedReview | None) -> bytes:
    from sake_registry.errors import InputError
    from sake_registry.places import download, local_path, shown, write
    from sake_registry.remote.fetching import MAX_BUNDLE_BYTES
    from sake_registry.remote.signing import SUFFIX, sign_bundle

    with tempfile.TemporaryDirectory() as folder:
        name = PurePosixPath(shown(place)).name
        path = local_path(place)
        if path is None:
            path = Path(folder) / "bundle.h5"
            try:
                download(place, path, MAX_BUNDLE_BYTES)
            except FileNotFoundError as error:
                raise InputError(f"no bundle {shown(place)}", hint="publish it first") from error
        data = sign_bundle(path, signer, review=review, name=name)
    write(place + SUFFIX, data)
    return data


def _sign_pointer(place: str, signer: Signer) -> dict[str, Any]:
    from sake_registry.errors import InputError
    from sake_registry.places import local_path, read_small, shown, write
    from sake_registry.remote.pointer import MAX_BYTES, read_pointer
    from sake_registry.remote.signing import sign_pointer

    pointer = read_pointer(place)
    if local_path(place) is None:
        raise InputError(
            f"{shown(place)} is signed when it is written: others may read it already",
            hint="sake promote --key KEY, or --keyless",
        )
    value = json.loads(read_small(place, MAX_BYTES))  # as it stands there, paths and all
    signature = value["signature"] = sign_pointer(pointer, signer)
    write(place, json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n")
    return signature


def claimed(path: Path) -> ClaimedReview:
    """What is signed of a review: its commits, its model, how each gate came out."""
    from sake_registry.errors import InputError
    from sake_registry.files import read_bounded
    from sake_registry.remote.signing import ClaimedGate, ClaimedReview
    from sake_registry.review.report import read_review

    try:
        review = read_review(json.loads(read_bounded(path, _MAX_REVIEW)))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: no review: {error}", hint="name what `sake review --json-file` wrote"
        ) from error
    return ClaimedReview(
        base=review.range.base,
        head=review.range.head,
        model=review.model.hash if review.model else None,
        gates=tuple(ClaimedGate(name=gate.name, state=gate.state) for gate in review.gates),
    )


def _refuse_tracked(key: Path) -> None:
    """A private key that a repository holds is everybody's who can clone it."""
    from sake_registry import git
    from sake_registry.errors import SakeError, StateError

    try:
        held = git.read(key.parent, "ls-files", "-z", "--", key.name)
    except SakeError:  # no repository, no git
        return
    if held:
        raise StateError(
            f"{key} is in git: whoever can clone it can sign",
            hint="make another key, outside the repository, and take this one's public half out "
            "of every policy",
        )
