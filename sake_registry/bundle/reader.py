"""Reading a bundle, which is untrusted input (DESIGN, invariant 10).

Guarantees:
- Every name, type, rank and size is known before a byte of data is read. Links, external
  storage, filters, attributes, unknown objects, and shapes without the bytes they claim are
  refused, and so are bytes before, behind or beside the datasets that are not HDF5's own.
- The manifest is strict JSON of a limited size: no key stands twice, and no value is taken for
  one of another kind.
- What is read at opening (manifest, index, router data, digests) is verified then; an edit's
  maps and activations are verified against its digest when they are first used. Maps, router
  points and the metric are finite.
- A damaged or hostile file raises `BundleFormatError`, whatever HDF5 itself makes of it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np
from pydantic import ValidationError

from sake_registry.bundle.format import (
    BY_PATH,
    DATASETS,
    DETECTOR_WIDTH,
    LIMITS,
    MAX_ROWS,
    PARTS,
    SEALED,
    STRUCTURE,
    VERSION,
    EditInfo,
    Manifest,
    content_hash,
    manifest_limits,
    manifest_size,
    map_arrays,
    part_digest,
    router_arrays,
    seal,
)
from sake_registry.errors import BundleFormatError, InputError, LockedError
from sake_registry.settings import METHOD_VERSION
from sake_registry.wording import count, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from sake_registry.bundle.format import Array

_HINT = "compile it again: `sake compile`"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD = 64
_BASES = {0: 24, 1: 28, 2: 12, 3: 12}
"""Where a superblock of each version has its base address; 16 bytes on is the file's end."""
_BEGINNING = re.compile(
    rb'\s*\{\s*"format"\s*:\s*"sake-bundle"\s*,\s*"version"\s*:\s*(.*)', re.DOTALL
)
_HEAD_OF_MANIFEST = 1 << 14
_IN_USE = ("already open for", "file locking flag", "unable to lock file")
"""What HDF5 says of a file that is being written, or that this process has open otherwise."""


class BundleFile:
    """An opened, verified bundle file: the manifest, and numbers as numpy arrays.

    Use as a context manager, or call `close()`. Reads from several threads are safe.

    Raises:
        BundleFormatError: not a bundle, damaged, or made to harm.
        InputError: no such file.
        LockedError: another program has it open for writing.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():  # a pipe or a device would never end
            what = ": it is not a file" if self.path.exists() else ""
            raise InputError(f"no bundle {self.path}{what}", hint="`sake compile` makes one")
        self._size = self.path.stat().st_size
        self._datasets: dict[str, h5py.Dataset] = {}
        self._lengths: dict[str, int] = {}
        with self._refusals():
            self._begins()
            # No file locks: a bundle may lie on a read-only mount, and is never written to.
            self._file = h5py.File(self.path, "r", locking=False)
        try:
            with self._refusals():
                self._ends()
                self._inspect()
                self._verify_index()
                self._verify_router()
        except BaseException:
            self.close()
            raise
        self._position = {edit.id: i for i, edit in enumerate(self.manifest.edits)}

    def __enter__(self) -> BundleFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    # -- what a bundle says ------------------------------------------------------------------

    @property
    def has_activations(self) -> bool:
        """Whether the activations are in the file; a slim bundle has none."""
        return "activations/plain" in self._datasets

    @property
    def metric(self) -> tuple[Array, Array]:
        """How the router compares questions, verified: projection (e, p) and background (Q, p)."""
        return self._projection, self._background

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each edit, hexadecimal: over its maps, routes and activations."""
        return {
            edit.id: content_hash([(edit.id, edit.key, self._digests[i].tobytes())])
            for i, edit in enumerate(self.manifest.edits)
        }

    def info(self, edit: str) -> EditInfo:
        return self.manifest.edits[self._at(edit)]

    def points(self, edit: str) -> Array:
        """Router points of an edit, (points, embedder's width); verified at opening."""
        i = self._at(edit)
        return self._points[self._index["index/points"][i] : self._index["index/points"][i + 1]]

    def maps(self, edit: str) -> list[list[dict[str, Array]]]:
        """The factors of the maps of each of an edit's groups, verified, in the order of its steps:
        source_mean, target_mean, basis, scale.

        Raises:
            BundleFormatError: they are not what the digest says.
        """
        with self._refusals():
            i = self._at(edit)
            groups, steps = self._index["index/groups"], self._index["index/steps"]
            basis = self._index["index/basis"]
            maps = []
            for g in range(groups[i], groups[i + 1]):
                maps.append(
                    [
                        {
                            "source_mean": self._read("maps/source_mean", m),
                            "target_mean": self._read("maps/target_mean", m),
                            "basis": self._read("maps/basis", slice(basis[m], basis[m + 1])),
                            "scale": self._read("maps/scale", slice(basis[m], basis[m + 1])),
                        }
                        for m in range(steps[g], steps[g + 1])
                    ]
                )
            self._check(i, "maps", map_arrays(self.manifest.edits[i].groups, maps))
            for factors in (step for group in maps for step in group):
                if not all(map(_is_finite, factors.values())):
                    raise _Refused(f"the maps of '{edit}' are not finite")
                if (factors["scale"] < 0).any():
                    raise _Refused(f"the maps of '{edit}' have a negative scale")
            return maps

    def activations(self, edit: str) -> list[dict[str, Array]]:
        """Activations of each of an edit's groups, verified; empty for a slim bundle.

        Raises:
            BundleFormatError: they are not what the digest says.
        """
        if not self.has_activations:
            return []
        with self._refusals():
            i = self._at(edit)
            groups, offsets = self._index["index/groups"], self._index["index/activations"]
            of_groups = []
            for g in range(groups[i], groups[i + 1]):
                plain, forced = (
                    slice(start, end) for start, end in zip(offsets[g], offsets[g + 1], strict=True)
                )
                of_groups.append(
                    {
                        "plain": self._read("activations/plain", plain),
                        "forced": self._read("activations/forced", forced),
                        "target": self._read("activations/target", plain),
                        "worked": self._read("activations/worked", plain),
                        "context": self._read("activations/context", plain),
                    }
                )
            self._check(
                i,
                "activations",
                {f"{g}/{n}": a for g, m in enumerate(of_groups) for n, a in m.items()},
            )
            return of_groups

    def verify(self) -> None:
        """Read and verify every edit's payload.

        Raises:
            BundleFormatError: the first that is not what its digest says.
        """
        for edit in self.manifest.edits:
            self.maps(edit.id)
            self.activations(edit.id)

    # -- how it is read ----------------------------------------------------------------------

    def _at(self, edit: str) -> int:
        if edit not in self._position:
            near = nearest(edit, self._position)
            hint = f"did you mean '{near}'?" if near else "`sake inspect` lists the edits in it"
            raise InputError(f"no edit '{edit}' in {self.path}", hint=hint)
        return self._position[edit]

    def _refusals(self) -> _Refusals:
        return _Refusals(self.path)

    def _begins(self) -> None:
        """Refuse what is not HDF5 from its first byte on: HDF5 would look for itself in it."""
        with self.path.open("rb") as file:
            self._head = file.read(_HEAD)
            within = (_at(file, 512 << n) for n in range(self._size.bit_length() - 9))
            hidden = not self._head.startswith(_SIGNATURE) and _SIGNATURE in within
        if not self._head:
            raise _Refused("it is empty")
        if self._head.startswith(b"version https://git-lfs.github.com/spec/"):
            raise _Refused("it is a pointer of Git LFS, not the file itself", hint="`git lfs pull`")
        if hidden:
            raise _Refused("it has something in front of its HDF5 data")
        if not self._head.startswith(_SIGNATURE):
            raise _Refused("it is not an HDF5 file")

    def _ends(self) -> None:
        """Refuse what goes on where HDF5's data end: HDF5 would not look at it."""
        begin = _BASES.get(self._head[len(_SIGNATURE)])
        if begin is None:
            raise _Refused("its superblock is of a later HDF5")
        base, end = (int.from_bytes(self._head[i : i + 8], "little") for i in (begin, begin + 16))
        if base or end != self._size:
            raise _Refused(f"it has {self._size} bytes, and its superblock says {base} to {end}")

    def _inspect(self) -> None:
        """Look at every link and header, and read no data but the version."""
        wanted = {dataset.path for dataset in DATASETS if not dataset.optional}
        optional = {dataset.path for dataset in DATASETS if dataset.optional}
        present = set(self._walk())
        if "meta" in present:
            # A later version may hold other datasets: say that it is one, not that it is odd.
            self._datasets["meta"] = self._header("meta")
            self._version()
        if not wanted <= present or not present <= wanted | optional:
            odd = min(wanted - present | present - wanted - optional)
            raise _Refused(f"'{odd}' is {'missing' if odd in wanted else 'not part of a bundle'}")
        if present & optional and not optional <= present:
            raise _Refused(f"'{min(optional - present)}' is missing")
        for path in sorted(present):
            self._datasets[path] = self._header(path)
        data = sum(dataset.id.get_storage_size() for dataset in self._datasets.values())
        if self._size - data > STRUCTURE:
            raise _Refused(f"{self._size - data} of its bytes are of no dataset")

    def _walk(self) -> Iterator[str]:
        groups = {path.partition("/")[0] for path in BY_PATH if "/" in path}
        self._bare(self._file)
        for name in self._file:
            self._hard_link(self._file, name)
            if name not in groups:
                yield name
                continue
            group = self._file.get(name)
            if not isinstance(group, h5py.Group):
                raise _Refused(f"'{name}' is not a group")
            self._bare(group)
            for inner in group:
                self._hard_link(group, inner)
                yield f"{name}/{inner}"

    @staticmethod
    def _bare(place: h5py.Group | h5py.Dataset) -> None:
        if number := h5py.h5a.get_num_attrs(place.id):
            raise _Refused(f"'{place.name}' has {count(number, 'attribute')}")

    @staticmethod
    def _hard_link(group: h5py.Group, name: str) -> None:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise _Refused(f"'{name}' is a link to somewhere else")

    def _header(self, path: str) -> h5py.Dataset:
        expected, dataset = BY_PATH[path], self._file.get(path)
        if not isinstance(dataset, h5py.Dataset):
            raise _Refused(f"'{path}' is not a dataset")
        self._bare(dataset)
        created = dataset.id.get_create_plist()
        if created.get_external_count():
            raise _Refused(f"'{path}' keeps its data in another file")
        if created.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
            raise _Refused(f"'{path}' is stored in a way that bundles are not")
        dtype, shape = dataset.dtype, dataset.shape or ()  # without a shape: HDF5's "null" dataset
        if dtype.str != expected.dtype or h5py.check_enum_dtype(dtype) is not None:
            raise _Refused(f"'{path}' holds {dtype}, not {expected.dtype}")
        if len(shape) != len(expected.shape):
            raise _Refused(f"'{path}' has {len(shape)} dimensions, not {len(expected.shape)}")
        for length, letter in zip(shape, expected.shape, strict=True):
            self._length(path, length, letter)
        size = dtype.itemsize * math.prod(shape)
        if size > self._size or (size and dataset.id.get_storage_size() != size):
            raise _Refused(f"'{path}' claims {size} bytes that the file does not hold")
        return dataset

    def _length(self, path: str, length: int, letter: int | str) -> None:
        base = letter.removesuffix("+1") if isinstance(letter, str) else letter
        more = int(base != letter)
        limit = LIMITS.get(base, MAX_ROWS)
        if not more <= length <= limit + more:
            raise _Refused(f"'{path}' claims {length} rows or columns; the limit is {limit}")
        wanted = base if isinstance(base, int) else self._lengths.setdefault(base, length - more)
        if length != wanted + more:
            raise _Refused(f"'{path}' has {length} rows or columns, not {wanted + more}")

    def _verify_index(self) -> None:
        """Read and verify the manifest, the index and the metric."""
        limits = manifest_limits(*(self._lengths[letter] for letter in "EGM"))
        if self._lengths["B"] > limits[0]:
            raise _Refused(f"its manifest has more than {limits[0]} bytes")
        meta = self._read("meta").tobytes()
        if manifest_size(meta)[1] > limits[1]:
            raise _Refused(f"its manifest has more than {limits[1]} commas and brackets")
        self.manifest = self._parse(meta)
        # What the datasets are long is what the manifest says, before the long ones are read.
        self._verify_lengths()
        arrays = {path: self._read(path) for path in SEALED}
        if self._read("seal").tobytes() != seal(arrays):
            raise _Refused("its index or manifest is damaged")
        edits, lengths = self.manifest.edits, self._lengths
        self._index = {path: arrays[path] for path in arrays if path.startswith("index/")}
        for name, end, said in (
            ("groups", "G", [len(edit.groups) for edit in edits]),
            ("steps", "M", [len(group.steps) for edit in edits for group in edit.groups]),
            ("basis", "R", [s.rank for edit in edits for g in edit.groups for s in g.steps]),
            ("points", "P", [sum(route.rows for route in edit.routes) for edit in edits]),
        ):
            offsets = self._index[f"index/{name}"]
            if offsets[-1] != lengths[end] or not np.array_equal(offsets, np.cumsum([0, *said])):
                raise _Refused(f"'index/{name}' is not what its manifest and its datasets say")
        for column, letter in enumerate("NF"):
            offsets = self._index["index/activations"][:, column]
            end = lengths.get(letter, offsets[-1])
            if offsets[0] != 0 or offsets[-1] != end or (offsets[1:] < offsets[:-1]).any():
                raise _Refused("'index/activations' does not fit the datasets")
        self._digests, self.probe = arrays["digests"], arrays["probe/activations"]
        self._projection = arrays["router/projection"]
        self._background = arrays["router/background"]
        root = content_hash(
            (edit.id, edit.key, self._digests[i].tobytes()) for i, edit in enumerate(edits)
        )
        if root != self.manifest.content_hash:
            raise _Refused("its content hash is not that of its edits")

    def _verify_lengths(self) -> None:
        """Compare the lengths of the datasets with what the manifest says."""
        manifest = self.manifest
        d, e, w, p, rows = (self._lengths[letter] for letter in "dewpQ")
        if (len(manifest.edits), manifest.model.width, manifest.embedder.width) != (
            self._lengths["E"], d, e,
        ):  # fmt: skip
            raise _Refused("its manifest and its datasets disagree")
        if sum(run for _, run in manifest.metric.topics) != rows:
            raise _Refused("its metric's topics are not those of its background")
        # Without a projection, the background lies in the embedder's own space.
        if w not in (0, e) or p > e or (rows and p != e and not w * p):
            raise _Refused("its metric is not made for its embedder")

    def _verify_router(self) -> None:
        """Read and verify what the router decides by."""
        self._points = self._read("router/points")
        if not _is_finite(self._points):
            raise _Refused("its router points are not finite")
        if not (_is_finite(self._projection) and _is_finite(self._background)):
            raise _Refused("its metric is not finite")
        for i, edit in enumerate(self.manifest.edits):
            start, end = self._index["index/points"][i : i + 2]
            self._check(i, "router", router_arrays(edit, self._points[start:end]))
            if any(route.ends and len(route.ends) != route.rows for route in edit.routes):
                raise _Refused(f"'{edit.id}' has a route whose words do not fit its points")
            if edit.kind == "detector" and self._points.shape[1] != DETECTOR_WIDTH:
                raise _Refused(f"'{edit.id}' has points that the detector does not read")
            texts = [len(route.texts) for route in edit.routes]
            if texts != [route.rows if edit.kind == "detector" else 0 for route in edit.routes]:
                raise _Refused(f"'{edit.id}' has a route whose texts do not fit its points")
            if any(route.group >= len(edit.groups) for route in edit.routes):
                raise _Refused(f"'{edit.id}' has a route to a group that it does not have")
            if edit.kind == "centre" and any(r.rows != 1 or r.group < 0 for r in edit.routes):
                raise _Refused(f"'{edit.id}' has a route that is not a centre of a group")

    def _version(self) -> None:
        """Refuse a manifest that begins with another version of the format."""
        begun = _BEGINNING.match(self._read("meta", slice(0, _HEAD_OF_MANIFEST)).tobytes())
        if begun is None:
            return
        try:
            version, _ = json.JSONDecoder().raw_decode(begun[1].decode())
        except (ValueError, RecursionError) as error:
            raise _Refused(f"its manifest is not JSON: {error}") from error
        if type(version) is not int or version != VERSION:
            raise _Refused(f"it has format version {version!r:.100}; this sake reads {VERSION}")

    @staticmethod
    def _parse(meta: bytes) -> Manifest:
        try:
            manifest = Manifest.model_validate_json(meta, strict=True)
        except ValidationError as error:
            _require_plain(meta)
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            raise _Refused(f"its manifest is wrong at {where}: {problem['msg']}") from error
        # The writer's own bytes have each key once; what is spelled otherwise is looked through.
        if manifest.model_dump_json().encode() != meta:
            _require_plain(meta)
        if manifest.method != METHOD_VERSION:
            raise _Refused(
                f"it was compiled by method version {manifest.method}; this sake decides by "
                f"{METHOD_VERSION}"
            )
        return manifest

    def _check(self, edit: int, part: str, arrays: dict[str, Array]) -> None:
        if self._digests[edit, PARTS.index(part)].tobytes() != part_digest(part, arrays):
            name = self.manifest.edits[edit].id
            raise _Refused(f"the {part} of '{name}' are not what its digest says")

    def _read(self, path: str, rows: Any = ()) -> Array:
        values: Array = self._datasets[path][rows]
        return values


class _Sealed(BundleFile):
    """A bundle of which only the manifest is asked for."""

    def _verify_router(self) -> None:
        pass


def read_manifest(path: Path | str) -> Manifest:
    """What a bundle says of itself, verified by its seal; the router's data, most of what opening
    a bundle reads, is left alone.

    Raises:
        BundleFormatError: not a bundle, or its manifest or index is damaged.
        InputError: no such file.
    """
    with _Sealed(path) as bundle:
        return bundle.manifest


def _is_finite(values: Array) -> bool:
    """Whether all numbers are finite; one that is none is the least and the largest of them."""
    with np.errstate(invalid="ignore"):
        return not values.size or bool(np.isfinite([values.min(), values.max()]).all())


def _at(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(len(_SIGNATURE))


def _require_plain(meta: bytes) -> None:
    """Refuse what is not JSON, and JSON in which a key stands twice or a constant is no number."""
    try:
        json.loads(meta.decode(), object_pairs_hook=_each_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"its manifest is not JSON: {error}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise ValueError(f"'{twice}' stands twice")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _shown(reason: object) -> str:
    """A reason in one line without control characters: it may quote the file."""
    text = " ".join(str(reason).split())
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200])


class _Refused(Exception):  # noqa: N818 - becomes a BundleFormatError with the path
    """Why a file is refused."""

    def __init__(self, reason: str, hint: str = _HINT) -> None:
        super().__init__(reason)
        self.hint = hint


class _Refusals:
    """Turns a refusal, or whatever HDF5 raises on a damaged file, into a BundleFormatError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _Refused):
            raise BundleFormatError(
                f"{self.path} is not a sound bundle: {_shown(error)}", hint=error.hint
            ) from error
        if isinstance(error, OSError) and any(words in str(error) for words in _IN_USE):
            raise LockedError(
                f"{self.path} is in use: another program has it open for writing",
                hint="wait until it is done; if it was ended while it wrote, `sake compile`",
            ) from error
        # h5py raises any of these, by the structure that is damaged.
        damage = (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError, OverflowError,
                  MemoryError, NotImplementedError, AttributeError)  # fmt: skip
        if isinstance(error, damage):
            raise BundleFormatError(
                f"{self.path} is not a sound bundle: HDF5 cannot read it ({_shown(error)})",
                hint=_HINT,
            ) from error
