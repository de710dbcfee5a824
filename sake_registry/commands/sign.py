"""`sake sign`: say who vouches for a bundle or for a pointer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, say

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from sake_registry.remote.signing import ClaimedReview

_MAX_REVIEW = 1 << 28


@click.command("sign")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A private key, PEM; else that in SAKE_SIGNING_KEY.",
)
@click.option(
    "--review",
    "review",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What `sake review --json-file` wrote: its gates are signed, too.",
)
@json_option
@click.pass_obj
def command(
    state: State, /, file: Path, key: Path | None, review: Path | None, as_json: bool
) -> None:
    """Sign FILE, a bundle or a pointer (.json), with a private key.

    The signature of a bundle says what it is, of which commit, and who reviewed what; it is
    written beside it, as FILE.sig.json. That of a pointer is put into it. The password of a key is
    read from SAKE_SIGNING_KEY_PASSWORD.

    \b
    sake sign bundles/smollm2-135m-0123abcd-4567cdef8901.h5 --key release.pem
    sake sign production.json --key release.pem
    """
    from sake_registry.remote.signing import read_signer

    if key is not None:
        _refuse_tracked(key)
    signer = read_signer(key)
    if file.suffix == ".json":
        if review is not None:
            raise click.UsageError("--review goes with a bundle: a pointer has no gates")
        written = _sign_pointer(file, signer)
    else:
        written = _sign_bundle(file, signer, None if review is None else _claimed(review))
    signed = {"signed": str(file), "signature": str(written), "key": signer.public_key.keyid}
    if as_json:
        emit_json("sign/1", signed)
    else:
        say(f"signed {file} with the key {signer.public_key.keyid[:12]}: {written}")


def _sign_bundle(path: Path, signer: CryptoSigner, review: ClaimedReview | None) -> Path:
    from sake_registry.files import write_bytes
    from sake_registry.remote.signing import SUFFIX, sign_bundle

    data = sign_bundle(path, signer, review=review)
    written = path.with_name(path.name + SUFFIX)
    write_bytes(written, data)
    return written


def _sign_pointer(path: Path, signer: CryptoSigner) -> Path:
    from sake_registry.files import read_bounded, write_text
    from sake_registry.remote.pointer import MAX_BYTES, read_pointer
    from sake_registry.remote.signing import sign_pointer

    pointer = read_pointer(path)
    value = json.loads(read_bounded(path, MAX_BYTES))  # as it stands there, paths and all
    value["signature"] = sign_pointer(pointer, signer)
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    return path


def _claimed(path: Path) -> ClaimedReview:
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
