"""What names the bundle that production loads: a small JSON file, here or elsewhere.

    {"bundle": "bundles/smollm2-135m-0123abcd-4567cdef8901.h5", "content": "9f86d0…", "note": "#12"}

`bundle` is a path relative to the pointer, or a URL. With `content`, the bundle's content hash, no
other bundle is taken; with `sha256` no other file, which tells apart what the content leaves out:
the dates between which edits are valid, and the provenance. A pointer that was promoted
(`publishing`) says as well how it is called, its number, when it was written, until when it holds
and what it replaced, and may be signed.

Guarantees: a pointer is read strictly, and one in another's place is refused.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationError

from sake_registry.bundle.format import Hash
from sake_registry.errors import InputError
from sake_registry.files import write_text
from sake_registry.places import beside, local_path, read_small, shown
from sake_registry.runtime.overrides import json_object
from sake_registry.values import Value
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 16
_HINT = 'its form: {"bundle": "PATH OR URL", "content": "its content hash", "note": "free text"}'


def _text(value: Any) -> Any:
    """A number is no time: pydantic would take it for seconds."""
    if not isinstance(value, str | datetime):
        raise ValueError("a time like 2026-11-29T12:00:00Z is expected")
    return value


Instant = Annotated[
    AwareDatetime, BeforeValidator(_text), AfterValidator(lambda time: time.astimezone(UTC))
]
"""A moment, in UTC."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""How a pointer is called; `<name>.json` is its file."""
Number = Annotated[int, Field(ge=1, lt=1 << 53, strict=True)]


class Pointer(Value):
    """What a pointer says. Two are equal if they say the same, however they are signed.

    Attributes:
        bundle: a URL, or a path; relative to the pointer's folder in the file, absolute when read.
        content: the content hash that the bundle must have; None for whatever lies there.
        sha256: that of the bundle's file, in hex.
        note: for people.
        name: how the pointer is called.
        number: that of the change that wrote it: 1 is the first, and it only grows.
        time: when it was written.
        expires: from when on it is too old to be followed.
        previous: the content hash of what it replaced.
        signature: one over `statement` (`signers`); whoever trusts it has verified it.
    """

    bundle: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=4096)]
    content: Hash | None = None
    sha256: Hash | None = None
    note: Annotated[str, Field(max_length=4096)] = ""
    name: Name | None = None
    number: Number | None = None
    time: Instant | None = None
    expires: Instant | None = None
    previous: Hash | None = None
    signature: dict[str, Any] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pointer) and self._said == other._said

    def __hash__(self) -> int:
        return hash((self.bundle, self.content, self.number))

    @property
    def _said(self) -> dict[str, Any]:
        return self.model_dump(exclude={"signature"})

    @property
    def statement(self) -> dict[str, Any]:
        """What a signature is over, as JSON: all but where the bundle lies, which `content` and
        `sha256` pin wherever that is."""
        return self.model_dump(mode="json", exclude={"bundle", "signature"}, exclude_defaults=True)

    @property
    def text(self) -> str:
        """The pointer as a file says it."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


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
    path = PurePosixPath(local_path(place) or shown(place))
    # A numbered one of its history lies in the folder of its name.
    if pointer.name not in (None, path.stem, path.parent.name):
        raise InputError(
            f"{shown(place)}: it is the pointer '{pointer.name}', in another's place",
            hint=f"promote what is meant: sake promote {pointer.name} {path.stem}",
        )
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
    write_text(path, Pointer(bundle=bundle, content=content, note=note).text)
