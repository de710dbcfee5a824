"""What names the bundle that production loads: a small JSON file, here or elsewhere.

    {"bundle": "bundles/smollm2-135m-0123abcd-4567cdef8901.h5", "content": "9f86d0…", "note": "#12"}

`bundle` is a path relative to the pointer, or a URL. With `content`, the bundle's content hash, no
other bundle is taken. A bundle that lies elsewhere is brought to the user's cache folder.

Guarantees: a pointer is read strictly, and a bundle is handed out only when every digest in it is
right, also one that was in the cache.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from sake_registry.bundle.format import Hash
from sake_registry.bundle.newest import SUFFIX, bundle_files
from sake_registry.bundle.reader import BundleFile
from sake_registry.digests import digest
from sake_registry.errors import BundleError, BundleFormatError, InputError
from sake_registry.files import remove, replacing, write_text
from sake_registry.models.sources import cache_folder
from sake_registry.remote.places import beside, download, local_path, read_small, shown
from sake_registry.runtime.overrides import json_object
from sake_registry.values import Value
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 16
MAX_BUNDLE_BYTES = 1 << 36
"""Of a bundle that lies elsewhere: 64 GiB."""
KEPT = 8
"""So many bundles from elsewhere stay in the cache folder, those that were used last."""
_HINT = 'its form: {"bundle": "PATH OR URL", "content": "its content hash", "note": "free text"}'


class Pointer(Value):
    """What a pointer says.

    Attributes:
        bundle: a URL, or a path; relative to the pointer's folder in the file, absolute when read.
        content: the content hash that the bundle must have; None for whatever lies there.
        note: for people.
    """

    bundle: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=4096)]
    content: Hash | None = None
    note: Annotated[str, Field(max_length=4096)] = ""


def read_pointer(place: str | Path) -> Pointer:
    """Read a pointer: a path, or a URL that fsspec reads.

    Raises:
        InputError: there is none, or it says something else than its form allows.
        SetupError: it cannot be reached or read.
    """
    place = str(place)
    try:
        data = read_small(place, MAX_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"no pointer {shown(place)}", hint=_HINT) from error
    return parse_pointer(data, place)


def parse_pointer(data: bytes, place: str) -> Pointer:
    """What a pointer says that lies at `place`.

    Raises:
        InputError: it is too large, not JSON, or says something else than its form allows.
    """
    value = json_object(data, shown(place), MAX_BYTES, _HINT)
    for key in value:
        if key not in Pointer.model_fields:
            what = f"unknown key '{key}'; {did_you_mean(key, Pointer.model_fields)}"
            raise InputError(f"{shown(place)}: {what}", hint=_HINT)
    try:
        pointer = Pointer.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputError(f"{shown(place)}: {what}", hint=_HINT) from error
    return pointer.model_copy(update={"bundle": beside(place, pointer.bundle)})


def write_pointer(path: Path, bundle: str, *, content: str | None = None, note: str = "") -> None:
    """Write a pointer, whole or not at all: a reader sees the old one or the new one.

    Args:
        bundle: as it is to stand there: a URL, or a path relative to the pointer's folder.
        content: the bundle's content hash.

    Raises:
        StateError: the path is a link.
        StorageError: it cannot be written.
    """
    pointer = Pointer(bundle=bundle, content=content, note=note)
    said = pointer.model_dump(mode="json", exclude_defaults=True)
    write_text(path, json.dumps(said, ensure_ascii=False, indent=1) + "\n")


def fetch_bundle(pointer: Pointer, folder: Path | None = None) -> Path:
    """The bundle that a pointer names, as a file of this machine, with every digest verified.

    Args:
        folder: where bundles from elsewhere are kept, by their content; in the user's cache folder
            unless given.

    Raises:
        InputError: there is none.
        BundleError: it is damaged, hostile, or has another content than the pointer says.
        SetupError: it cannot be reached, or the cache folder cannot be written.
    """
    if (path := local_path(pointer.bundle)) is not None:
        _verify(path, pointer)
        return path
    folder = folder or cache_folder() / "bundles"
    # Not by the content alone: it leaves out the dates between which edits are valid.
    kept = folder / f"{digest(['pointer', pointer.model_dump(mode='json')])}{SUFFIX}"
    if pointer.content is None or not _is_sound(kept, pointer):
        with replacing(kept) as temporary:
            try:
                download(pointer.bundle, temporary, MAX_BUNDLE_BYTES)
            except FileNotFoundError as error:
                raise InputError(
                    f"no bundle {shown(pointer.bundle)}", hint="put it there, then the pointer"
                ) from error
            _verify(temporary, pointer)
    _keep(kept, folder)
    return kept


def _is_sound(path: Path, pointer: Pointer) -> bool:
    try:
        _verify(path, pointer)
    except InputError:  # it is not here yet, or was damaged
        return False
    return True


def _verify(path: Path, pointer: Pointer) -> None:
    try:
        with BundleFile(path) as file:
            content = file.manifest.content_hash
            if content != (pointer.content or content):
                raise BundleError(
                    f"{shown(pointer.bundle)}: its content is {content[:12]}, and the pointer says "
                    f"{pointer.content and pointer.content[:12]}",
                    hint="put the bundle there that is meant, or correct the pointer",
                )
            file.verify()
    except BundleFormatError as error:
        # Not by the name of a file of the cache.
        said = error.message.replace(str(path), shown(pointer.bundle))
        raise BundleFormatError(said, hint=error.hint) from error


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
