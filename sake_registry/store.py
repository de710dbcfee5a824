"""Content that took work to compute, kept under the key of what it was computed from.

An object is named tensors with a small note, in one safetensors file that says of what kind and
key it is, and carries a hash over that, its tensors and its note: one in another's place is as
damaged as one with another byte. Objects are never changed, only added; one that does not check
out counts as missing and is built again. Writers hold the store's lock, which the system frees
when a process dies.

A store may share its objects with others' (`shared`). What comes from there is as untrusted as any
file: an object is taken only if its hash is right and it is of the kind and key that were asked
for; else it is named, and built again. That proves that it is what somebody put under this key,
not that it follows from what the key stands for: whoever may write there decides what is compiled
from it. Only what is compiled is shared (`SHARED`): a gate goes by no answer that another machine
gave.

The store remembers the models that it was compiled for, by hash and dtype: without them, nobody
could tell which objects a version of an edit has. Listing and verifying need no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import Field

from sake_registry.digests import digest
from sake_registry.errors import SettingsError, StorageError
from sake_registry.files import below, locked, remove, remove_leftovers, write_bytes, write_text
from sake_registry.places import listing, shown
from sake_registry.values import Value
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from sake_registry.shared import SharedFiles

    Tensors = dict[str, Tensor]

T = TypeVar("T")
log = logging.getLogger(__name__)

Kind = Literal[
    "activations", "maps", "routes", "probe",  # of a compile
    "metric",  # of an embedder or of a model's states: one serves every edit
    "covariance", "replies", "calibration",  # of a benchmark
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
COMPILED: frozenset[Kind] = frozenset({"activations", "maps", "routes", "probe"})
SHARED: frozenset[Kind] = COMPILED | {"metric"}
"""The others say how something was measured: what is measured is measured here."""
LOCK_SECONDS = 2.0
SUFFIX = ".safetensors"
_LONGEST_HEADER = 100_000_000
"""Of safetensors, in bytes."""
_KEY = re.compile(r"[0-9a-f]{64}")


class StoredObject(Value):
    """An object that is in the store: where, and how many bytes it takes. The path of one that is
    shared begins at the URL."""

    kind: Kind
    key: str
    path: Path = Field(exclude=True)
    bytes: int


class StoredModel(Value):
    """A model that the store was compiled for; `name` is what it was called then."""

    name: str
    hash: str
    dtype: str

    @property
    def file(self) -> str:
        """The name of its record's file."""
        return f"{self.hash[:16]}-{self.dtype}.json"


class Store:
    """Objects in a folder, by kind and key.

    Args:
        shared: where they are looked for that are not here, and sent.
    """

    def __init__(self, folder: Path, shared: SharedFiles | None = None) -> None:
        self.folder, self.shared = folder, shared

    def path(self, kind: Kind, key: str) -> Path:
        """Where an object lies.

        Raises:
            StateError: a part of the path is a link.
        """
        return below(self.folder, self.folder / _name(kind, key))

    def has(self, kind: Kind, key: str) -> bool:
        """Whether an object is here or shared; `get` alone tells whether it is sound."""
        if self.path(kind, key).is_file():
            return True
        return bool(self.shared and kind in SHARED and self.shared.has(_name(kind, key)))

    def get(self, kind: Kind, key: str) -> tuple[Tensors, Any] | None:
        """Tensors and note of an object, or None if it is missing or damaged."""
        return self.read(kind, key, lambda tensors, note: (tensors, note))

    def read(self, kind: Kind, key: str, parse: Callable[[Tensors, Any], T]) -> T | None:
        """What an object is made into, or None if it is missing or damaged.

        Args:
            parse: makes it of tensors and note; a `KeyError`, `TypeError` or `ValueError` of it
                says that they are not those of such an object.
        """
        from safetensors.torch import load

        def here() -> tuple[bytes, Any]:
            return _verified(self.path(kind, key), kind, key)

        def shared() -> tuple[bytes, Any]:
            return self._shared_object(kind, key)

        for source in (here, shared):
            try:
                with _damage():
                    data, note = source()
                    return parse(load(data), note)
            except FileNotFoundError:
                continue
            except _Damaged as error:
                self._tell(kind, key, error, elsewhere=source is shared)
        return None

    def exchange(self, wanted: Iterable[tuple[Kind, str]]) -> None:
        """Bring those of these objects that are shared and not here, many at once, which takes a
        fraction of the time of one after the other; send those that are here and not shared."""
        if self.shared is None:
            return
        here: dict[str, tuple[Kind, str]] = {}
        names: dict[str, tuple[Kind, str]] = {}
        for kind, key in wanted:
            if kind in SHARED:
                of = here if self.path(kind, key).is_file() else names
                of[_name(kind, key)] = kind, key
        for name in here.keys() - self.shared.names().keys() if self.shared.writable else ():
            with suppress(FileNotFoundError, _Damaged), _damage():
                self.shared.write(name, _verified(self.path(*here[name]), *here[name])[0])
        for name, data in self.shared.read(names):
            kind, key = names[name]
            try:
                with _damage():
                    self._take(data, kind, key)
            except _Damaged as error:
                self._tell(kind, key, error, elsewhere=True)

    def _shared_object(self, kind: Kind, key: str) -> tuple[bytes, Any]:
        """The bytes of an object that is shared, and its note; then it is here as well. Errors as
        of `_verified`."""
        if self.shared is not None and kind in SHARED:
            for _, data in self.shared.read([_name(kind, key)]):
                return data, self._take(data, kind, key)
        raise FileNotFoundError(_name(kind, key))

    def _take(self, data: bytes, kind: Kind, key: str) -> Any:
        """Keep an object that came from elsewhere; its note."""
        note = _checked(data, kind, key)
        # It is of use all the same; who locks the store may take away a file that is being made.
        with suppress(StorageError, FileNotFoundError):
            write_bytes(self.path(kind, key), data, self.folder)
        return note

    def _tell(self, kind: Kind, key: str, damage: _Damaged, *, elsewhere: bool) -> None:
        where = str(self.path(kind, key))
        if elsewhere and self.shared is not None:
            where = shown(self.shared.place(_name(kind, key)))
            self.shared.damaged(_name(kind, key))
        log.warning("%s is damaged, and built again: %s", where, damage)

    def put(self, kind: Kind, key: str, tensors: Mapping[str, Tensor], note: Any) -> None:
        """Write an object, whole or not at all.

        Raises:
            StorageError: the disk is full, read-only, or not ours to write.
        """
        from safetensors.torch import save

        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        text = json.dumps(note, sort_keys=True, ensure_ascii=False)
        meta = {"kind": kind, "key": key, "note": text}
        meta["digest"] = _digest(meta, *_parts(save(contiguous)))
        data = save(contiguous, metadata=meta)
        write_bytes(self.path(kind, key), data, self.folder)
        if self.shared is not None and kind in SHARED:
            self.shared.write(_name(kind, key), data)

    def objects(self) -> list[StoredObject]:
        """What is there, by kind and key; whether it is sound, `damage` alone tells.

        Another process may remove objects meanwhile; those are left out.
        """
        found = []
        for kind in KINDS:
            for folder, *names in os.walk(self.folder / kind):
                for path in (Path(folder, n) for n in chain(*names) if n.endswith(SUFFIX)):
                    if _KEY.fullmatch(path.stem) and path == self.path(kind, path.stem):
                        with suppress(OSError):
                            size = path.stat().st_size
                            found.append(
                                StoredObject(kind=kind, key=path.stem, path=path, bytes=size)
                            )
        return sorted(found, key=lambda stored: (KINDS.index(stored.kind), stored.key))

    def place(self, stored: StoredObject) -> str:
        """Where an object lies, for messages."""
        return str(stored.path)

    def damages(self, objects: Iterable[StoredObject]) -> dict[StoredObject, str]:
        """Those that are damaged, and what is wrong with them."""
        return {found: wrong for found in objects if (wrong := self.damage(found))}

    def damage(self, stored: StoredObject) -> str | None:
        """What is wrong with an object, in words; None if it is as it was put, or is gone."""
        from safetensors import deserialize

        try:
            with _damage():
                data, _ = _verified(stored.path, stored.kind, stored.key)
                deserialize(data)  # type: ignore[no-untyped-call]  # it has no types
        except _Damaged as error:
            return str(error)
        except FileNotFoundError:
            pass
        return None

    def remove(self, objects: Iterable[StoredObject]) -> None:
        """Remove objects. Only under the lock.

        Raises:
            StorageError: the store cannot be written.
        """
        for stored in objects:
            remove(stored.path, self.folder)
            with suppress(OSError):  # other objects are left in it
                stored.path.parent.rmdir()

    def remember_model(self, name: str, hash_: str, dtype: str) -> None:
        """Keep a record of a model that is compiled for. Only under the lock.

        Raises:
            StorageError: the store cannot be written.
        """
        if not any((model.hash, model.dtype) == (hash_, dtype) for model in self.models()):
            record = StoredModel(name=name, hash=hash_, dtype=dtype)
            path = self.folder / "models" / record.file
            write_text(path, record.model_dump_json() + "\n", self.folder)

    def models(self) -> list[StoredModel]:
        """The models that were remembered; what is no record of the model that its name says is
        left out."""
        models = []
        for path in sorted((self.folder / "models").glob("*.json")):
            try:
                model = StoredModel.model_validate_json(path.read_bytes())
                if model.file != path.name:
                    raise ValueError(f"it is of {model.file}")
                models.append(model)
            except (OSError, ValueError) as error:
                log.warning(
                    "%s is not a record of a model (%s): left out", path, shorten(str(error), 120)
                )
        return models

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for writing; what a killed writer left is removed.

        Raises:
            LockedError: another process holds it.
            StorageError: the folder cannot be written.
        """
        with locked(self.folder, "compiling into", LOCK_SECONDS):
            for part in (*KINDS, "models"):
                remove_leftovers(below(self.folder, self.folder / part))
            yield


class SharedStore:
    """What is shared with other stores, to be looked through.

    Raises:
        SettingsError: nothing is shared.
    """

    def __init__(self, store: Store) -> None:
        if store.shared is None:
            raise SettingsError(
                "no store is shared", hint="SAKE_REMOTE_STORE=URL, or `store` under [remote]"
            )
        self._files = store.shared

    @property
    def folder(self) -> str:
        return str(self._files)

    def objects(self) -> list[StoredObject]:
        """What is there; errors as of `places.listing`."""
        found = []
        for name, size in listing(self._files.url).items():
            kind, _, rest = name.partition("/")
            key = rest.rpartition("/")[2].removesuffix(SUFFIX)
            if kind in SHARED and name == _name(kind, key):
                found.append(StoredObject(kind=kind, key=key, path=Path(name), bytes=size))
        return sorted(found, key=lambda stored: (KINDS.index(stored.kind), stored.key))

    def place(self, stored: StoredObject) -> str:
        return shown(self._files.place(stored.path.as_posix()))

    def damages(self, objects: Iterable[StoredObject]) -> dict[StoredObject, str]:
        """As of a `Store`: all of them are read."""
        named = {stored.path.as_posix(): stored for stored in objects}
        damaged = {}
        for name, data in self._files.read(named):
            try:
                with _damage():
                    _checked(data, named[name].kind, named[name].key)
            except _Damaged as error:
                damaged[named[name]] = str(error)
        return damaged

    def remove(self, objects: Iterable[StoredObject]) -> None:
        """Remove objects; whoever compiles meanwhile builds them again.

        Raises:
            SettingsError: only a file of the repository names the place.
            SetupError, StorageError: they cannot be removed.
        """
        for stored in objects:
            if not self._files.writable:
                raise SettingsError(
                    f"only sake.toml says that {self} is shared, and nothing is removed elsewhere "
                    "because a file of the repository says so",
                    hint=f"say it yourself: SAKE_REMOTE_STORE='{self}'",
                )
            self._files.remove(stored.path.as_posix())

    def __str__(self) -> str:
        return self.folder


def _name(kind: Kind, key: str) -> str:
    """The path of an object, from the folder of a store or of what is shared."""
    return f"{kind}/{key[:2]}/{key}{SUFFIX}"


class _Damaged(Exception):  # noqa: N818 - becomes words
    """Why a file is not the object that it stands for."""


@contextmanager
def _damage() -> Iterator[None]:
    """Turns whatever reading a damaged file raises into `_Damaged`, but for a missing one."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise _Damaged(
            f"it cannot be read ({shorten(f'{type(error).__name__}: {error}', 120)})"
        ) from error


def _verified(path: Path, kind: Kind, key: str) -> tuple[bytes, Any]:
    """The bytes of an object's file, and its note.

    Raises:
        FileNotFoundError: there is no file.
        _Damaged: the file is of another object, or not as it was written.
    """
    if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
        raise _Damaged("it is not a file")
    with path.open("rb") as file:
        start = file.read(8)
        if not 0 < int.from_bytes(start, "little") <= _LONGEST_HEADER:
            raise _Damaged("it has no header")  # and the rest may be long
        data = start + file.read()
    return data, _checked(data, kind, key)


def _checked(data: bytes, kind: Kind, key: str) -> Any:
    """The note of an object's bytes; errors as of `_verified`."""
    header, payload = _parts(data)
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict) or not {"kind", "key", "note", "digest"} <= meta.keys():
        raise _Damaged("it does not say what it is: an earlier sake wrote it, or none")
    if meta.pop("digest") != _digest(meta, header, payload):
        raise _Damaged("its content is not what was written")
    if (meta["kind"], meta["key"]) != (kind, key):
        name = f"{meta['kind']}/{meta['key']}"
        raise _Damaged(f"it is another object, {shorten(name, 30)}")
    return json.loads(meta["note"])


def _parts(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header of a safetensors file, and the bytes that follow it."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start].decode())
    if not isinstance(header, dict):
        raise _Damaged("it has no header")
    return header, memoryview(data)[start:]


def _digest(meta: dict[str, str], header: dict[str, Any], payload: memoryview) -> str:
    """Hash of what an object is: kind, key, note, and its tensors' names, types, shapes, bytes."""
    return digest([meta, header, hashlib.sha256(payload).hexdigest()])
