"""A bundle as an OCI artefact, in an image layout: what registries of containers carry.

    oci-layout, index.json         the layout, and which artefacts are in it
    blobs/sha256/<digest>          the bundle, what stands beside it when it is published, and a
                                   manifest that names them

What carries images carries it (`oras cp --from-oci-layout FOLDER:TAG REGISTRY/NAME:TAG`), and
`oras pull` gives the files by the names that they have where bundles are published.

Guarantees:
- Equal bundles give equal artefacts: nothing depends on when or where they were written.
- Other artefacts of a layout stay. Blobs are there before the index names them.
- What is read is held against the digests by which it is named; sizes are bounded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sake_registry.bundle.format import Hash
from sake_registry.bundle.newest import SUFFIX
from sake_registry.errors import InputError
from sake_registry.files import read_bounded, replacing, write_bytes
from sake_registry.models.sources import sha256
from sake_registry.remote.dsse import MAX_BYTES as MAX_SIGNATURE
from sake_registry.remote.publishing import MAX_REVIEW_BYTES, record_of
from sake_registry.remote.signing import SUFFIX as SIGNATURE
from sake_registry.remote.signing import check_subject
from sake_registry.runtime.overrides import json_object
from sake_registry.values import Value
from sake_registry.wording import count

ARTIFACT = "application/vnd.sake-registry.bundle.v1"
BUNDLE = "application/x-hdf5"
RECORD = "application/vnd.sake-registry.published.v1+json"
SIGNED = "application/vnd.dsse.envelope.v1+json"
REVIEW = "application/vnd.sake-registry.review.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TAG = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"
REVISION = "org.opencontainers.image.revision"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
MAX_JSON = 1 << 22
"""Of an index or a manifest, in bytes: registries take no more."""
_HINT = "give a folder that `sake publish --oci` or `oras cp --to-oci-layout` wrote"


class Descriptor(Value):
    """A blob of a layout: what it is, its digest, its size in bytes."""

    model_config = ConfigDict(extra="ignore", serialize_by_alias=True)

    media: str = Field(alias="mediaType")
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, strict=True)]
    annotations: dict[str, str] = Field(default_factory=dict)


_DESCRIPTORS = TypeAdapter(list[Descriptor])


class Artefact(Value):
    """An artefact that was written: its tag, which is the bundle's content hash, and the digest of
    its manifest, by which a registry knows it."""

    folder: Path
    tag: Hash
    digest: str
    bytes: int
    edits: int
    signed: bool


class Held(Value):
    """What an artefact holds: the bundle's file, and what goes with it."""

    bundle: Path
    signature: bytes | None = None
    review: bytes | None = None


def export(
    bundle: Path, folder: Path, review: bytes | None = None, signature: bytes | None = None
) -> Artefact:
    """Write a bundle into an image layout, which is made where there is none.

    Args:
        review, signature: as of `publishing.publish`.

    Raises:
        BundleFormatError, InputError: as of `publishing.record_of`, or the folder holds an index
            that is none.
        TrustError: the signature is of another file.
        StorageError, StateError: it cannot be written.
    """
    record = record_of(bundle)
    if signature is not None:
        check_subject(signature, record.sha256, str(bundle))
    index = _index(folder) if (folder / "index.json").exists() else []
    tag, name = record.content, f"{record.content}{SUFFIX}"
    parts = (
        (BUNDLE, name, bundle),
        (RECORD, f"{tag}.json", record.text.encode()),
        (SIGNED, f"{name}{SIGNATURE}", signature),
        (REVIEW, f"{tag}.review.json", review),
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": _put(folder, EMPTY, b"{}").model_dump(),
        "layers": [
            _put(folder, media, content, {TITLE: title}).model_dump()
            for media, title, content in parts
            if content is not None
        ],
        "annotations": {REVISION: record.commit} if record.commit else {},
    }
    placed = _put(folder, MANIFEST, _json(manifest), {TAG: tag})
    entry = {**placed.model_dump(), "artifactType": ARTIFACT}
    others = [other for other in index if other.get("annotations", {}).get(TAG) != tag]
    write_bytes(folder / "oci-layout", LAYOUT)
    write_bytes(
        folder / "index.json",
        _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]}),
    )
    return Artefact(
        folder=folder, tag=tag, digest=placed.digest, bytes=record.bytes,
        edits=len(record.edits), signed=signature is not None,
    )  # fmt: skip


def is_layout(path: Path) -> bool:
    """Whether a path is the folder of an image layout."""
    return (path / "oci-layout").is_file()


def held(folder: Path) -> Held:
    """What a layout with one bundle holds.

    Raises:
        InputError: it holds none, or several, or something in it is not what its digest says.
    """
    found = {}  # by digest: one artefact may have several tags
    for placed in _descriptors(folder / "index.json", _index(folder)):
        path = _blob(folder, placed.digest)
        value = json_object(_read(path, MAX_JSON), str(path), MAX_JSON, _HINT)
        if value.get("artifactType") == ARTIFACT:
            found[placed.digest] = _descriptors(path, value.get("layers"))
    layers = {part.media: _blob(folder, part.digest) for parts in found.values() for part in parts}
    if len(found) != 1 or BUNDLE not in layers:
        raise InputError(f"{folder} holds {count(len(found), 'bundle')}", hint=_HINT)
    bundle = layers[BUNDLE]
    if not bundle.is_file() or sha256(bundle) != bundle.name:
        raise _damaged(bundle)
    return Held(
        bundle=bundle,
        signature=_read(layers[SIGNED], MAX_SIGNATURE) if SIGNED in layers else None,
        review=_read(layers[REVIEW], MAX_REVIEW_BYTES) if REVIEW in layers else None,
    )


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _put(
    folder: Path, media: str, content: bytes | Path, annotations: dict[str, str] | None = None
) -> Descriptor:
    if isinstance(content, bytes):
        size, found = len(content), hashlib.sha256(content).hexdigest()
    else:
        size, found = content.stat().st_size, sha256(content)
    with replacing(_blob(folder, found)) as temporary:
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            shutil.copyfile(content, temporary)
    return Descriptor(
        mediaType=media, digest=f"sha256:{found}", size=size, annotations=annotations or {}
    )


def _read(path: Path, limit: int) -> bytes:
    """A small blob, which is what its name says."""
    try:
        data = read_bounded(path, limit)
    except OSError as error:
        raise _damaged(path) from error
    if hashlib.sha256(data).hexdigest() != path.name:
        raise _damaged(path)
    return data


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is not what its name says", hint="copy the artefact anew")


def _index(folder: Path) -> list[dict[str, Any]]:
    """The entries of a layout's index."""
    path = folder / "index.json"
    try:
        value = json_object(read_bounded(path, MAX_JSON), str(path), MAX_JSON, _HINT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", hint=_HINT) from error
    entries: list[dict[str, Any]] = value.get("manifests", [])
    _descriptors(path, entries)
    return entries


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _descriptors(place: Path, value: Any) -> list[Descriptor]:
    try:
        return _DESCRIPTORS.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputError(f"{place}: {what}", hint=_HINT) from error
