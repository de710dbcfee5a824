"""The bundle that a place or a pointer leads to, as a file of this machine: the gate of loading.

Guarantees:
- A bundle is handed out only when every digest in it is right, also one that was in the cache;
  and only when this machine's policy on signatures lets it pass (`trust`).
- What a pointer says of its bundle (content, SHA-256) is held to.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.bundle.newest import SUFFIX, bundle_files
from sake_registry.bundle.reader import BundleFile
from sake_registry.digests import digest
from sake_registry.errors import BundleError, BundleFormatError, InputError
from sake_registry.files import remove, replacing
from sake_registry.models.sources import cache_folder, sha256
from sake_registry.places import absolute, download, local_path, shown
from sake_registry.remote.pointer import Pointer, read_pointer
from sake_registry.remote.signers import Signers
from sake_registry.remote.signing import check_statement
from sake_registry.remote.trust import Policy
from sake_registry.settings import Identity, Trusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.bundle.format import Manifest
    from sake_registry.remote.signing import Statement

MAX_BUNDLE_BYTES = 1 << 36
"""Of a bundle that lies elsewhere: 64 GiB."""
KEPT = 8
"""So many bundles from elsewhere stay in the cache folder, those that were used last."""


def trusted_bundle(
    place: str | Path,
    *,
    keys: Sequence[str | Path] | None = None,
    identities: Sequence[tuple[str, str]] | None = None,
    trust_root: str | Path | None = None,
) -> Path:
    """The bundle at a place, or the one that a pointer (`*.json`) there leads to, if it may be
    loaded.

    >>> with load_bundle(trusted_bundle("production.json", keys=["release.pub"])) as bundle: ...

    A program that loads a bundle once calls it; one that serves follows the pointer (`Follower`),
    which also refuses one that is older than what it has followed.

    Args:
        place: a path, or a URL that fsspec reads.
        keys: files of public keys.
        identities: who may sign without a key, each with its issuer. One of the keys or of the
            identities must have signed; what SAKE_TRUST asks for counts, if neither are given.
        trust_root: a file of the instance of sigstore that proves the identities; the public one's
            unless given.

    Raises:
        TrustError: nobody signed it whose signature counts.
        InputError: there is none, it is damaged, or has another content than the pointer says.
        SetupError: it cannot be reached, or the cache folder cannot be written.
    """
    policy = None
    if keys is not None or identities is not None:
        trusted = Trusted(
            keys=tuple(map(Path, keys or ())),
            identities=tuple(Identity(identity=one, issuer=by) for one, by in identities or ()),
            root=None if trust_root is None else Path(trust_root),
        )
        policy = Policy("require", Signers.of(trusted))
    place = str(place)
    if not shown(place).endswith(".json"):
        return fetch_bundle(Pointer(bundle=absolute(place)), policy=policy)
    return fetch_bundle(read_pointer(place), place=place, policy=policy)


def fetch_bundle(
    pointer: Pointer,
    folder: Path | None = None,
    *,
    place: str | None = None,
    policy: Policy | None = None,
) -> Path:
    """The bundle that a pointer names, as a file of this machine, if it may be loaded.

    Args:
        folder: where bundles from elsewhere are kept, by their content; in the user's cache folder
            unless given.
        place: where the pointer lies; None where there is none, and the bundle itself was named.
        policy: on signatures; this machine's unless given.

    Raises:
        InputError: there is none.
        BundleError: it is damaged, hostile, or has another content than the pointer says.
        TrustError: nobody signed it whose signature counts, and the policy requires that.
        SetupError: it cannot be reached, or the cache folder cannot be written.
    """
    if policy is None:
        policy = Policy.of_machine()
    if place is not None:
        policy.check_pointer(pointer, place)
    if (path := local_path(pointer.bundle)) is not None:
        with BundleFile(path):  # that there is a bundle comes before whether it is signed
            statement = policy.statement(pointer.bundle)
        with policy.weighing():
            verify_bundle(path, pointer, statement)
        return path
    statement = policy.statement(pointer.bundle)
    folder = folder or cache_folder() / "bundles"
    # Not by the content alone: it leaves out the dates between which edits are valid.
    kept = folder / f"{digest(['pointer', pointer.bundle, pointer.statement])}{SUFFIX}"
    if pointer.content is None or not _is_sound(kept, pointer, statement):
        with replacing(kept) as temporary:
            try:
                download(pointer.bundle, temporary, MAX_BUNDLE_BYTES)
            except FileNotFoundError as error:
                raise InputError(
                    f"no bundle {shown(pointer.bundle)}", hint="put it there, then the pointer"
                ) from error
            with policy.weighing():
                verify_bundle(temporary, pointer, statement)
    _keep(kept, folder)
    return kept


def verify_bundle(path: Path, pointer: Pointer, statement: Statement | None) -> Manifest:
    """Verify every digest of a bundle, and that it is what a pointer says.

    Args:
        path: where it lies on this machine.
        statement: what is signed of it.

    Raises:
        InputError, BundleError: as of `fetch_bundle`.
        TrustError: it is not the bundle that was signed; all else is right.
    """
    where = shown(pointer.bundle)
    try:
        with BundleFile(path) as file:
            manifest = file.manifest
            content = manifest.content_hash
            if content != (pointer.content or content):
                raise BundleError(
                    f"{where}: its content is {content[:12]}, and the pointer says "
                    f"{pointer.content and pointer.content[:12]}",
                    hint="put the bundle there that is meant, or correct the pointer",
                )
            file.verify()
    except BundleFormatError as error:
        # Not by the name of a file of the cache.
        said = error.message.replace(str(path), where)
        raise BundleFormatError(said, hint=error.hint) from error
    if pointer.sha256 is None and statement is None:
        return manifest
    found = sha256(path)
    if found != (pointer.sha256 or found):
        raise BundleError(
            f"{where}: its file has SHA-256 {found[:12]}, and the pointer says "
            f"{pointer.sha256 and pointer.sha256[:12]}",
            hint="put the bundle there that is meant, or correct the pointer",
        )
    if statement is not None:
        check_statement(statement, manifest, found, where)
    return manifest


def _is_sound(path: Path, pointer: Pointer, statement: Statement | None) -> bool:
    try:
        verify_bundle(path, pointer, statement)
    except InputError:  # it is not here yet, or was damaged
        return False
    return True


def _keep(path: Path, folder: Path) -> None:
    """Mark a bundle as used, and remove those that were not used for long. An open one stays
    readable."""
    path.touch()
    ages = {}
    for other in bundle_files(folder):
        with suppress(OSError):  # another process removed it
            ages[other] = other.stat().st_mtime_ns
    for old in sorted(ages, key=ages.__getitem__, reverse=True)[KEPT:]:
        remove(old, folder)
