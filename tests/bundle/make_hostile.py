"""Makes the hostile bundles of `tests/bundle/hostile/`: sound HDF5, sealed again, each wrong in
one thing, and each refused by the check that it is for.

    python -m tests.bundle.make_hostile

writes a file for each case, and `index.json`, which says of each with what words it is refused.
They are compressed (`.h5.xz`): two hundred files that are nearly the same. To add a case, add it
here and run the script; so too after a new version of the format or of the method. What hangs on
the machine (files with holes, files beside the bundle) is made by `test_hostile.py` itself.
"""

from __future__ import annotations

import copy as copies
import json
import lzma
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sake_registry.bundle.format import VERSION
from sake_registry.bundle.writer import EditPayload
from sake_registry.settings import METHOD_VERSION
from tests.bundle.synthetic import (
    EDITS,
    EMBEDDER,
    SPACE,
    WIDTH,
    Arrays,
    Change,
    ManifestJson,
    forge,
    hash_of,
    write,
)

FOLDER = Path(__file__).parent / "hostile"
INDEX = "index.json"


@dataclass(frozen=True)
class Case:
    """A hostile bundle: what makes it from a sound one (good, path), and what its refusal says.

    `first_use` is the edit whose maps are refused where the bundle itself can be opened.
    """

    make: Callable[[Path, Path], object]
    says: tuple[str, ...]
    first_use: str | None = None


CASES: dict[str, Case] = {}


def add(name: str, case: Case) -> None:
    """Register a case under a name that a file may have."""
    plain = re.sub(r"[^a-z0-9.=-]+", "-", name.lower()).strip("-.")[:70]
    alike = sum(re.fullmatch(re.escape(plain) + r"(--\d+)?", known) is not None for known in CASES)
    CASES[f"{plain}--{alike + 1}" if alike else plain] = case


def forged(
    name: str,
    *says: str,
    change: Change | None = None,
    later: Change | None = None,
    meta: bytes | None = None,
    first_use: str | None = None,
) -> None:
    """A case that is changed and sealed again; see `forge`."""
    add(name, Case(lambda good, path: forge(good, path, change, later, meta), says, first_use))


def harm(name: str, *says: str) -> Callable[[Callable[[h5py.File], object]], None]:
    """A case that harms an opened bundle."""

    def register(function: Callable[[h5py.File], object]) -> None:
        def make(good: Path, path: Path) -> None:
            path.write_bytes(good.read_bytes())
            with h5py.File(path, "r+", libver="latest") as file:
                function(file)

        add(name, Case(make, says))

    return register


def put(file: h5py.File, path: str, **options: Any) -> None:
    """Put another dataset in a dataset's place."""
    del file[path]
    file.create_dataset(path, **options)


def same(file: h5py.File, path: str, **options: Any) -> None:
    """Store a dataset's numbers in another way."""
    put(file, path, data=file[path][()], **options)


# -- objects that a bundle does not have -------------------------------------------------------


@harm("a dangling external link", "'meta' is a link")
def _(file: h5py.File) -> None:
    del file["meta"]
    file["meta"] = h5py.ExternalLink("/etc/passwd", "/meta")


@harm("a soft link", "'target_mean' is a link")
def _(file: h5py.File) -> None:
    del file["maps/target_mean"]
    file["maps/target_mean"] = h5py.SoftLink("/maps/source_mean")


@harm("a soft link to itself", "'router' is a link")
def _(file: h5py.File) -> None:
    del file["router"]
    file["router"] = h5py.SoftLink("/router")


@harm("a virtual dataset", "'maps/scale' is stored in a way")
def _(file: h5py.File) -> None:
    rows = len(file["maps/scale"])
    layout = h5py.VirtualLayout(shape=(rows,), dtype="<f4")
    layout[:] = h5py.VirtualSource("other.h5", "scale", shape=(rows,))
    del file["maps/scale"]
    file.create_virtual_dataset("maps/scale", layout)


@harm("chunks", "'maps/basis' is stored in a way")
def _(file: h5py.File) -> None:
    same(file, "maps/basis", chunks=True)


@harm("compression", "'meta' is stored in a way")
def _(file: h5py.File) -> None:
    same(file, "meta", compression="gzip")


@harm("checksums of HDF5's own", "'router/points' is stored in a way")
def _(file: h5py.File) -> None:
    same(file, "router/points", fletcher32=True)


@harm("another dataset", "'extra' is not part of a bundle")
def _(file: h5py.File) -> None:
    file["extra"] = np.zeros(3)


@harm("another dataset in a group", "'maps/extra' is not part of a bundle")
def _(file: h5py.File) -> None:
    file["maps/extra"] = np.zeros(3)


@harm("another group", "'code' is not part of a bundle")
def _(file: h5py.File) -> None:
    file.create_group("code")


@harm("a group in a group", "'router/more' is not part of a bundle")
def _(file: h5py.File) -> None:
    file.create_group("router/more")


@harm("another name for the same object", "'again' is not part of a bundle")
def _(file: h5py.File) -> None:
    file["again"] = file["meta"]


@harm("a name with control characters", "'\ufffd[31m\ufffd' is not part of a bundle")
def _(file: h5py.File) -> None:
    file.create_group(b"\x1b[31m\x07")


@harm("a name that is no text", "'utf-8' codec can't decode")
def _(file: h5py.File) -> None:
    file.create_group(b"\xff\xfe")


@harm("a missing dataset", "'maps/scale' is missing")
def _(file: h5py.File) -> None:
    del file["maps/scale"]


@harm("a missing group", "'index/activations' is missing")
def _(file: h5py.File) -> None:
    del file["index"]


@harm("a missing seal", "'seal' is missing")
def _(file: h5py.File) -> None:
    del file["seal"]


@harm("half of the activations", "'activations/worked' is missing")
def _(file: h5py.File) -> None:
    del file["activations/worked"]


@harm("a group in a dataset's place", "'maps/scale' is not a dataset")
def _(file: h5py.File) -> None:
    del file["maps/scale"]
    file.create_group("maps/scale")


@harm("a dataset in a group's place", "'router' is not a group")
def _(file: h5py.File) -> None:
    put(file, "router", data=np.zeros(3))


@harm("a type in a dataset's place", "'maps/scale' is not a dataset")
def _(file: h5py.File) -> None:
    del file["maps/scale"]
    file["maps/scale"] = np.dtype("<f4")


@harm("a group that holds itself", "'maps/scale' is not a dataset")
def _(file: h5py.File) -> None:
    del file["maps/scale"]
    file["maps/scale"] = file["maps"]


@harm("a group that is the root", "'router/activations' is not part of a bundle")
def _(file: h5py.File) -> None:
    del file["router"]
    file["router"] = file["/"]


@harm("a dataset that is another's", "'maps/scale' has 6 dimensions")
def _(file: h5py.File) -> None:
    put(file, "maps/scale", shape=(1,) * 6, dtype="<f4")


TYPES: dict[str, Any] = {
    "double precision": "<f8",
    "half precision": "<f2",
    "the other byte order": ">f4",
    "integers": "<i4",
    "booleans": bool,
    "text of fixed length": "S4",
    "text of any length": h5py.string_dtype(),
    "lists of any length": h5py.vlen_dtype(np.dtype("<f4")),
    "references": h5py.ref_dtype,
    "compounds": np.dtype([("a", "<f4")]),
    "arrays": np.dtype(("<f4", (2,))),
    "opaque": np.dtype("V4"),
    "complex": "<c8",
}


def retyped(path: str, dtype: Any) -> Callable[[h5py.File], None]:
    return lambda file: put(file, path, shape=file[path].shape, dtype=dtype)


for _name, _dtype in TYPES.items():
    harm(f"type {_name}", "'maps/scale' holds")(retyped("maps/scale", _dtype))
for _members in ({"RED": 0, "GREEN": 1}, {"RED": 0}):
    harm(f"type enumeration of {len(_members)}", "'activations/worked' holds")(
        retyped("activations/worked", h5py.enum_dtype(_members, basetype="u1"))
    )


def reshaped(path: str, shape: tuple[int, ...] | None) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        dtype = file[path].dtype
        put(file, path, data=h5py.Empty(dtype) if shape is None else np.zeros(shape, dtype))

    return change


for _path, _shape, _says in (
    ("maps/scale", (11, 1), "has 2 dimensions, not 1"),
    ("maps/scale", (), "has 0 dimensions, not 1"),
    ("maps/scale", None, "has 0 dimensions, not 1"),
    ("maps/basis", (66,), "has 1 dimensions, not 2"),
    ("maps/scale", (12,), "'maps/scale' has 12 rows or columns, not 11"),
    ("maps/source_mean", (6, WIDTH), "has 6 rows or columns, not 8"),
    ("index/steps", (9,), "has 9 rows or columns, not 7"),
    ("router/projection", (EMBEDDER, SPACE + 1), f"has {SPACE + 1} rows or columns, not"),
    ("activations/target", (40, WIDTH), "has 40 rows or columns, not 39"),
    ("seal", (33,), "has 33 rows or columns, not 32"),
    ("seal", (0,), "has 0 rows or columns, not 32"),
    ("probe/activations", (9, WIDTH), "has 9 rows or columns, not 8"),
    ("index/groups", (0,), "'index/groups' claims 0 rows"),
    ("index/activations", (7, 3), "has 3 rows or columns, not 2"),
    ("maps/basis", (11, WIDTH + 1), f"has {WIDTH + 1} rows or columns, not {WIDTH}"),
):
    harm(f"shape {_path} {_shape}", _path, _says)(reshaped(_path, _shape))


# -- what nobody reads ------------------------------------------------------------------------

CODE = pickle.dumps(print)


@harm("an attribute of the file", "'/' has 1 attribute")
def _(file: h5py.File) -> None:
    file.attrs["author"] = "somebody"


@harm("an attribute of a group", "'/maps' has 1 attribute")
def _(file: h5py.File) -> None:
    file["maps"].attrs["note"] = 7


@harm("an attribute of a dataset", "'/maps/scale' has 1 attribute")
def _(file: h5py.File) -> None:
    file["maps/scale"].attrs["unit"] = "m"


@harm("an attribute without a value", "'/seal' has 1 attribute")
def _(file: h5py.File) -> None:
    file["seal"].attrs["nothing"] = h5py.Empty("f4")


@harm("a pickle in an attribute", "'/meta' has 1 attribute")
def _(file: h5py.File) -> None:
    file["meta"].attrs["state"] = np.void(CODE)


@harm("two thousand attributes", "'/index' has 2000 attributes")
def _(file: h5py.File) -> None:
    for number in range(2000):
        file["index"].attrs[f"a{number}"] = number


def with_hole(good: Path, path: Path) -> None:
    """Room for anything in front of the last dataset, where none is; each session ends the file."""

    def add_hole(file: h5py.File) -> None:
        file["hole"] = np.ones(1 << 18, np.uint8)

    def add_last(file: h5py.File) -> None:
        file["last"] = file["maps/basis"][()]

    def leave_hole(file: h5py.File) -> None:
        del file["hole"], file["maps/basis"]
        file.move("last", "maps/basis")

    path.write_bytes(good.read_bytes())
    for change in (add_hole, add_last, leave_hole):
        with h5py.File(path, "r+", libver="latest") as file:
            change(file)


add("a hole in front of a dataset", Case(with_hole, ("of its bytes are of no dataset",)))


def around(before: bytes = b"", after: bytes = b"") -> Callable[[Path, Path], object]:
    """The bundle with other bytes in front of it and behind it."""
    return lambda good, path: path.write_bytes(before + good.read_bytes() + after)


def in_user_block(good: Path, path: Path) -> None:
    """A bundle of which HDF5 itself says that it begins behind something else."""
    with (
        h5py.File(good) as file,
        h5py.File(path, "w", libver="latest", userblock_size=512) as other,
    ):
        for name in file:
            file.copy(name, other)
    with path.open("r+b") as raw:
        raw.write(b"#!/bin/sh\nrm -rf ~\n")


FRONT = ("it has something in front of its HDF5 data",)
add("a user block", Case(in_user_block, FRONT))
add("a script in front", Case(around(b"#!/bin/sh\nexit\n".ljust(512, b"\n")), FRONT))
add("zeros in front", Case(around(bytes(2048)), FRONT))
for _name, _tail in (
    ("zip", b"PK\x05\x06" + bytes(18)),
    ("pickle", CODE),
    ("newline", b"\n"),
    ("zeros", bytes(4096)),
    ("bundle", b"\x89HDF\r\n\x1a\n" + bytes(100)),
):
    add(f"behind its end a {_name}", Case(around(after=_tail), ("and its superblock says 0 to",)))

# -- sizes that are not there ------------------------------------------------------------------

TERA = 1 << 40


def contiguous(file: h5py.File, path: str, shape: tuple[int, ...], early: bool = False) -> None:
    """A dataset stored in one piece: allocated when it is written to, or early and never filled,
    so that the file is long and has holes."""
    dtype = file[path].dtype
    del file[path]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)
    if early:
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    kind, space = h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, path.encode(), kind, space, plan)


def claimed(path: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    return lambda file: contiguous(file, path, shape)


def in_chunks(file: h5py.File, resized: bool) -> None:
    shape = file["maps/scale"].shape if resized else (TERA,)
    put(file, "maps/scale", shape=shape, dtype="<f4", chunks=(1024,), maxshape=(None,))
    if resized:
        file["maps/scale"].resize((TERA,))


for _path, _shape, _says in (
    ("meta", (TERA,), "'meta' claims"),
    ("meta", ((64 << 20) + 1,), "'meta' claims"),
    ("meta", (64 << 20,), "'meta' claims 67108864 bytes that the file does not hold"),
    ("maps/basis", (TERA, WIDTH), "'maps/basis' claims"),
    ("maps/basis", (1 << 31, WIDTH), "'maps/basis' claims"),
    ("router/points", (1 << 31, EMBEDDER), "'router/points' claims"),
    ("digests", (1 << 30, 3, 32), "'digests' claims"),
    ("index/activations", (1 << 33, 2), "'index/activations' claims"),
    ("maps/source_mean", (8, 1 << 32), "'maps/source_mean' claims"),
    ("router/projection", (1 << 18, SPACE), "'router/projection' claims"),
    ("router/background", ((1 << 20) + 1, SPACE), "'router/background' claims"),
    ("activations/plain", (1 << 58, WIDTH), "'activations/plain' claims"),
):
    harm(f"length {_path} {_shape}", _says)(claimed(_path, _shape))
harm("chunks that are not there", "'maps/scale' is stored in a way")(
    lambda file: in_chunks(file, resized=False)
)
harm("chunks that are not there resized", "'maps/scale' is stored in a way")(
    lambda file: in_chunks(file, resized=True)
)

# -- a manifest and an index that do not say what is there --------------------------------------


def index(path: str, *numbers: int, column: int | None = None) -> Change:
    """Other offsets in an index."""

    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        found = arrays[f"index/{path}"] = arrays[f"index/{path}"].copy()
        found[slice(None) if column is None else (slice(None), column)] = numbers

    return change


for _number, (_change, _says) in enumerate((
    (index("groups", 0, 3, 2, 6), "'index/groups'"),
    (index("groups", 0, 2, 3, 7), "'index/groups'"),
    (index("groups", 1, 2, 3, 6), "'index/groups'"),
    (index("groups", 0, 3, 3, 6), "'index/groups'"),
    (index("steps", 0, 2, 3, 4, 5, 7, 9), "'index/steps'"),
    (index("steps", 0, 1, 3, 4, 5, 7, 8), "'index/steps'"),
    (index("steps", 0, 3, 2, 4, 5, 7, 8), "'index/steps'"),
    (index("basis", 0, 3, 5, 4, 4, 8, 10, 10, 11), "'index/basis'"),
    (index("basis", 0, 4, 4, 4, 4, 8, 10, 10, 11), "'index/basis'"),
    (index("basis", 0, 3, 4, 4, 4, 8, 10, 10, 1 << 62), "'index/basis'"),
    (index("points", 0, -5, 8, 16), "'index/points'"),
    (index("points", 0, 6, 8, 16), "'index/points'"),
    (index("activations", 0, 12, 17, 20, 26, 32, 40, column=0), "'index/activations'"),
    (index("activations", 0, 12, 11, 20, 26, 32, 39, column=0), "'index/activations'"),
    (index("activations", 4, 4, 9, 9, 15, 15, 22, column=1), "'index/activations'"),
    # Differences that overflow to something positive.
    (
        index("activations", 0, 1 << 62, (1 << 63) - 1, -2, 15, 15, 22, column=1),
        "'index/activations'",
    ),
)):  # fmt: skip
    forged(f"offsets {_number} {_says}", _says, later=_change)


def slim(arrays: Arrays, manifest: ManifestJson) -> None:
    for name in [name for name in arrays if name.startswith("activations/")]:
        del arrays[name]
    arrays["index/activations"] = -arrays["index/activations"]


forged("offsets of a slim bundle", "'index/activations'", later=slim)


def at(where: str, value: Any) -> Change:
    """Another value in the manifest: `edits.0.groups.1.old`."""

    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        target: Any = manifest
        *parents, last = [int(part) if part.isdigit() else part for part in where.split(".")]
        for part in parents:
            target = target[part]
        target[last] = value

    change.__name__ = f"{where}={value!r:.20}"
    return change


NAN, INFINITY = float("nan"), float("inf")
WRONG: list[tuple[str, Any]] = [
    ("edits.0.threshold", -1.0),
    ("edits.0.threshold", 0.0),
    ("edits.0.implied", 0.0),
    ("edits.0.implied", -1.0),
    ("edits.0.topics", [1]),
    ("edits.0.groups.0.steps", []),
    ("edits.0.groups.0.steps.0.rank", -3),
    ("edits.0.groups.0.steps.0.position", -1),
    ("edits.0.groups.0.steps.0.complement", 1.5),
    ("edits.0.groups.0.steps.0.complement", -0.25),
    ("edits.0.groups.0.steps.0.score", 2.0),
    ("edits.0.groups.0.steps.0.used", 1 << 70),
    ("edits.0.groups.0.steps.0.scale_min", -0.1),
    ("edits.0.groups.0.steps.0.residual", -1e-9),
    ("edits.0.groups.0.steps.0.reg", "one"),
    ("edits.0.groups.0.steps.0.code", "import os"),
    ("edits.0.groups.0.tokens", []),
    ("edits.0.groups.0.tokens", [100, -1, 102]),
    ("edits.0.groups.0.closing", -1),
    ("edits.0.groups.0.closing", "."),
    ("edits.0.groups.0.goes_on", [1.5, 0.0]),
    ("edits.0.groups.0.old", ""),
    ("edits.0.groups.0.new", " "),
    ("edits.0.routes.0.ends", ["in", 1]),
    ("edits.0.routes.0.links", "mother"),
    ("edits.0.routes.0.texts", [1]),
    ("edits.0.asks", 1),
    ("metric.kind", "manhattan"),
    ("metric.topics", [["birth", 0]]),
    ("metric.topics", [["birth", -1], ["death", 5]]),
    ("metric.topics", [["birth", 1 << 30]]),
    ("metric.topics", [["birth"]]),
    ("metric", None),
    ("edits.0.groups.0.written", -1),
    ("edits.0.groups.0.added", -1),
    ("edits.0.groups.0.worked", -1),
    ("edits.0.groups.0.contexts", [4, -1]),
    ("edits.0.groups.0.kind", "code"),
    ("edits.0.routes.0.rows", 0),
    ("edits.0.routes.0.rows", -1),
    ("edits.0.routes.0.rows", 1 << 40),
    ("edits.0.routes.0.group", -2),
    ("edits.0.routes.0.need", "some"),
    ("edits.0.routes.0.names", [""]),
    ("edits.0.routes.0.names", [" "]),
    ("edits.0.subject", []),
    ("edits.0.new", []),
    ("edits.0.id", "../../etc/passwd"),
    ("edits.0.id", "ada\n"),
    ("edits.0.id", ""),
    ("edits.0.key", "A" * 64),
    ("edits.0.kind", "other"),
    ("edits.0.valid_until", "soon"),
    ("edits.0.code", "import os"),
    ("edits", None),
    ("model.site", "mlp.output"),
    ("method", 0),
    ("model.width", -6),
    ("model.width", 1 << 40),
    ("model.dtype", "int4"),
    ("model.hash", "abc"),
    ("embedder.width", 0),
    ("probe_texts", ["one"]),
    ("partial", None),
    ("surprise", 1),
    ("model.surprise", 1),
    ("format", "hake-bundle"),
    ("key", None),
    # Values of another kind that say what one of the right kind would.
    ("partial", "yes"),
    ("partial", "false"),
    ("partial", 0),
    ("method", float(METHOD_VERSION)),
    ("method", str(METHOD_VERSION)),
    ("method", True),
    ("model.width", float(WIDTH)),
    ("embedder.width", str(EMBEDDER)),
    ("metric.topics", [["birth", 4.0]]),
    ("metric.topics", {"birth": 4}),
    ("provenance", {"dirty": 0}),
    ("provenance", {"reviewers": {"a": "Rosa Rev"}}),
    ("provenance", {"reviewers": {"a": [1]}}),
    ("provenance", {"reviewers": {"a": [""]}}),
    ("versions", {"python": 3.11}),
    ("probe_texts", "12345678"),
    ("probe_texts", [1, 2, 3, 4, 5, 6, 7, 8]),
    ("edits.0.threshold", "1.0"),
    ("edits.0.threshold", True),
    ("edits.0.implied", "2"),
    ("edits.0.implied", [2.0]),
    ("edits.0.subject", "Ada"),
    ("edits.0.new", {"new": "x"}),
    ("edits.0.valid_from", 0),
    ("edits.0.valid_from", 1.5),
    ("edits.0.valid_from", "0"),
    ("edits.0.valid_from", "1577836800"),
    ("edits.0.valid_from", "20260101"),
    ("edits.0.valid_from", "2026-01-01T00:00:00"),
    ("edits.0.valid_from", "2026-02-30"),
    ("edits.0.valid_from", "２026-01-01"),
    ("edits.0.valid_until", True),
    ("edits.0.routes.0.rows", "1"),
    ("edits.0.routes.0.rows", 1.0),
    ("edits.0.routes.0.rows", True),
    ("edits.0.routes.0.group", "0"),
    ("edits.0.routes.0.group", False),
    ("edits.0.groups.0.tokens", [100.0, 101, 102]),
    ("edits.0.groups.0.tokens", ["100", 101, 102]),
    ("edits.0.groups.0.tokens", [True, 101, 102]),
    ("edits.0.groups.0.closing", 7.0),
    ("edits.0.groups.0.closing", False),
    ("edits.0.groups.0.goes_on", ["1.0", 0.25]),
    ("edits.0.groups.0.contexts", {"0": 4}),
    ("edits.0.groups.0.old", 1984),
    ("edits.0.groups.0.steps.0.position", False),
    ("edits.0.groups.0.steps.0.rank", 3.0),
    ("edits.0.groups.0.steps.0.rank", "3"),
    ("edits.0.groups.0.steps.0.complement", "1"),
    ("edits.0.groups.0.steps.0.complement", True),
    ("edits.0.groups.0.steps.0.share", 0.1),
    ("settings", []),
    ("settings", {"answer": 7}),
    ("settings", {"answer": {"guard": "no"}}),
    ("settings", {"answer": {"guard": 0}}),
    ("settings", {"router": None}),
    ("settings", {"router": {"last_names": "false"}}),
    ("settings", {"router": {"representation": ["hidden"]}}),
]


for _where, _value in WRONG:
    says_where = f"its manifest is wrong at {_where}"
    forged(f"wrong {_where}={_value!r}", says_where, later=at(_where, _value))
for _where in (
    "edits.0.threshold",
    "edits.0.implied",
    "edits.0.groups.0.goes_on",
    "edits.0.groups.0.steps.0.complement",
    "edits.0.groups.0.steps.0.margin",
    "edits.0.groups.0.steps.0.residual",
    "edits.0.groups.0.steps.0.scale_max",
    "edits.0.groups.0.steps.0.reg",
    "settings.compile",
):
    for _value in (NAN, INFINITY, -INFINITY):
        forged(f"no number {_where}={_value}", "is not a number", later=at(_where, _value))


def later_version(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["version"] = VERSION + 1
    arrays["future"] = np.zeros(3, "<f4")


forged("a later version", f"it has format version {VERSION + 1}", later=later_version)
forged(
    "other rules",
    f"compiled by method version {METHOD_VERSION + 1}",
    later=at("method", METHOD_VERSION + 1),
)
for _name, _version, _says in (
    ("earlier", VERSION - 1, f"{VERSION - 1}; this sake reads {VERSION}"),
    ("next", VERSION + 1, f"{VERSION + 1}; this sake reads {VERSION}"),
    ("text", str(VERSION), f"'{VERSION}'; this sake reads {VERSION}"),
    ("fraction", float(VERSION), f"{VERSION}.0; this sake reads {VERSION}"),
    ("yes", True, "True"),
    ("list", [VERSION], f"[{VERSION}]"),
    ("none", None, "None"),
    ("endless", "\x1b[31m" + "9" * 5000, "'\\x1b[31m99999"),
):
    forged(f"version {_name}", f"it has format version {_says}", later=at("version", _version))

for _name, _meta, _says in (
    ("empty", b"", "its manifest is not JSON"),
    ("no text", b"\xff\xfe\x00", "its manifest is not JSON"),
    ("other quotes", b"{'format': 1}", "its manifest is not JSON"),
    ("deep lists", b"[" * 50_000, "its manifest is not JSON"),
    ("deep objects", b'{"a":' * 50_000, "its manifest is not JSON"),
    ("deeper lists", b"[" * 200_000, "commas and brackets"),
    ("deeper objects", b'{"a":' * 200_000, "commas and brackets"),
    ("empty lists", b"[" + b"[]," * 100_000 + b"[]]", "commas and brackets"),
    ("zeros", b"[" + b"0," * 100_000 + b"0]", "commas and brackets"),
    ("long", b'"' + b"k" * (2 << 20) + b'"', "its manifest has more than"),
    ("utf-16", '{"format": 1}'.encode("utf-16"), "its manifest is not JSON"),
    ("with a byte order mark", b"\xef\xbb\xbf{}", "its manifest is not JSON"),
    ("twice", b"{}{}", "its manifest is not JSON"),
    ("zeros behind it", b"{}\0\0", "its manifest is not JSON"),
    (
        "long number",
        b'{"format": "sake-bundle", "version": ' + b"9" * 100_000 + b"}",
        "is not JSON",
    ),
    ("null", b"null", "its manifest is wrong"),
    ("a list", b"[]", "its manifest is wrong"),
    ("half a letter", b'{"format": "\\ud800", "version": 2}', "its manifest is wrong"),
    ("a long key", b"{" + b'"' + b"k" * 100_000 + b'": 1}', "its manifest is wrong"),
):
    forged(f"manifest {_name}", _says, meta=_meta)


def spliced(name: str, where: str, text: bytes, *says: str) -> None:
    """A case with a text of its own, JSON or not, for a value of the manifest."""

    def make(good: Path, path: Path) -> None:
        with h5py.File(good) as file:
            manifest: Any = json.loads(file["meta"][()].tobytes())
        at(where, "HERE")({}, manifest)
        forge(good, path, meta=json.dumps(manifest).encode().replace(b'"HERE"', text))

    add(name, Case(make, says))


spliced("manifest settings nested", "settings", b"[" * 400 + b"]" * 400, "its manifest is")
for _where, _text in (
    ("settings", b'{"a": 1, "a": 1}'),
    ("settings", b'{"a": {"b": 1, "c": 2, "\\u0062": 3}}'),
    ("versions", b'{"python": "3.11", "python": "3.12"}'),
    ("model", b'{"name": "a", "name": "b"}'),
    ("edits.0.threshold", b'1.0, "threshold": 2.0'),
    ("edits.0.groups.0.steps.0.rank", b'3, "rank": 3'),
    ("key", b'"HERE", "key": "HERE"'),
):
    spliced(f"stands twice {_where}", _where, _text, "its manifest is not JSON", "stands twice")
for _text in (b"1e999", b"-1e400", b'[1, {"a": 1e309}]'):
    spliced("infinite", "settings.compile", _text, "is not a number")


def twice(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"][1]["id"] = manifest["edits"][0]["id"]


def unsorted(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"][0]["id"] = "zoe"


def one_more(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"].append({**copies.deepcopy(manifest["edits"][2]), "id": "dan"})


def one_less(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"].pop()


def one_group_more(arrays: Arrays, manifest: ManifestJson) -> None:
    groups = manifest["edits"][0]["groups"]
    groups.append(copies.deepcopy(groups[1]))


def group_moved(arrays: Arrays, manifest: ManifestJson) -> None:
    edits = manifest["edits"]
    edits[1]["groups"].append(edits[2]["groups"].pop(0))


def rank_moved(arrays: Arrays, manifest: ManifestJson) -> None:
    first, second = manifest["edits"][0]["groups"][0]["steps"]
    first["rank"], second["rank"] = second["rank"], first["rank"]


def step_moved(arrays: Arrays, manifest: ManifestJson) -> None:
    one, other = manifest["edits"][2]["groups"][1:]
    other["steps"].append(one["steps"].pop())
    other["tokens"], other["goes_on"] = one["tokens"], one["goes_on"]


def one_step_less(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"][0]["groups"][0]["steps"].pop()


def other_content(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["content_hash"] = hash_of("f")


for _name, _change, _says in (
    ("twice", twice, "wrong at edits: Value error, 'ada-3' stands twice or out of order"),
    ("unsorted", unsorted, "wrong at edits: Value error, 'bob' stands twice or out of order"),
    ("one more", one_more, "its manifest and its datasets disagree"),
    ("one less", one_less, "its manifest and its datasets disagree"),
    ("one group more", one_group_more, "'index/groups'"),
    ("group moved", group_moved, "'index/groups'"),
    ("step moved", step_moved, "'index/steps'"),
    ("one step less", one_step_less, "'index/steps'"),
    ("rank moved", rank_moved, "'index/basis'"),
    ("other content", other_content, "its content hash is not that of its edits"),
):
    forged(f"contradicts {_name}", _says, later=_change)
for _where, _value, _says in (
    ("edits.0.groups.0.steps.0.rank", 1 << 31, "'index/basis'"),
    ("model.width", WIDTH + 1, "its manifest and its datasets disagree"),
    ("embedder.width", EMBEDDER + 1, "its manifest and its datasets disagree"),
    ("edits.0.routes.0.rows", 2, "'index/points'"),
    ("edits.0.routes.0.rows", 1 << 31, "'index/points'"),
    ("edits.0.routes", [], "'index/points'"),
    ("edits.1.routes.0.group", 1, "the router of 'bob' are not what its digest says"),
    ("edits.0.key", hash_of("9"), "its content hash is not that of its edits"),
    ("edits.0.threshold", 100.0, "the router of 'ada-3' are not what its digest says"),
    ("edits.0.kind", "centre", "the router of 'ada-3' are not what its digest says"),
    ("edits.0.implied", 3.75, "the router of 'ada-3' are not what its digest says"),
    ("edits.0.implied", None, "the router of 'ada-3' are not what its digest says"),
    ("edits.1.implied", 9.0, "the router of 'bob' are not what its digest says"),
    ("edits.0.topics", [], "the router of 'ada-3' are not what its digest says"),
    ("edits.0.topics", ["death"], "the router of 'ada-3' are not what its digest says"),
    ("edits.1.topics", ["birth"], "the router of 'bob' are not what its digest says"),
    ("edits.1.routes.0.ends", ["on"], "the router of 'bob' are not what its digest says"),
    ("edits.1.routes.0.links", ["on"], "the router of 'bob' are not what its digest says"),
    ("edits.1.routes.0.texts", ["X is"], "the router of 'bob' are not what its digest says"),
    ("edits.1.asks", "birth", "the router of 'bob' are not what its digest says"),
    ("edits.1.routes.0.ends", [], "the router of 'bob' are not what its digest says"),
    ("edits.1.routes.0.names", ["Eve"], "the router of 'bob' are not what its"),
    ("edits.1.routes.0.need", "all", "the router of 'bob' are not what its digest says"),
):
    forged(f"contradicts {_where}={_value!r}", _says, later=at(_where, _value))
for _where, _value, _says in (
    ("edits.1.routes.0.group", 1, "'bob' has a route to a group that it does not have"),
    ("edits.0.routes.0.rows", 2, "'index/points'"),
    ("edits.1.routes.0.ends", ["in", "on"], "'bob' has a route whose words do not fit"),
    ("edits.0.routes.1.ends", ["in"], "'ada-3' has a route whose words do not fit"),
    ("edits.1.routes.0.texts", ["X is"], "'bob' has a route whose texts do not fit"),
    ("edits.1.kind", "detector", "'bob' has points that the detector does not read"),
    ("edits.1.kind", "centre", "'bob' has a route that is not a centre of a group"),
):
    forged(f"digests fit {_where}={_value!r}", _says, change=at(_where, _value))


# -- an object's tokens and maps ---------------------------------------------------------------

STEPS = "edits.0.groups.0.steps"
"""Two maps, at the places 0 and 2 of three tokens."""


def steps_turned(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"][0]["groups"][0]["steps"].reverse()


forged(
    "steps turned",
    "Value error, its maps are not in the order of its tokens",
    change=steps_turned,
)
for _where, _value, _says in (
    (f"{STEPS}.0.position", 1, "its maps are not in the order of its tokens"),
    (f"{STEPS}.1.position", 0, "its maps are not in the order of its tokens"),
    (f"{STEPS}.1.position", 3, "its maps are not those of its tokens"),
    ("edits.0.groups.0.tokens", [200, 201], "its maps are not those of its tokens"),
    ("edits.0.groups.0.goes_on", [1.0], "its maps are not those of its tokens"),
    ("edits.0.groups.0.goes_on", [1.0] * 3, "its maps are not those of its tokens"),
    ("edits.1.groups.0.goes_on", [1.0], "its maps are not those of its tokens"),
):
    forged(f"steps {_where}={_value!r}", f"Value error, {_says}", change=at(_where, _value))


def behind_the_end(arrays: Arrays, manifest: ManifestJson) -> None:
    at("edits.0.groups.0.closing", 7)(arrays, manifest)
    at(f"{STEPS}.1.position", 4)(arrays, manifest)


forged(
    "steps behind the closing token",
    "Value error, its maps are not those of its tokens",
    change=behind_the_end,
)
for _where, _value in (
    (f"{STEPS}.0.complement", 0.5),
    (f"{STEPS}.1.complement", 1.0),
    (f"{STEPS}.1.position", 1),
    ("edits.0.groups.0.tokens.1", 7),
    ("edits.0.groups.0.tokens.2", 7),
    ("edits.0.groups.1.tokens.0", 7),
    ("edits.0.groups.0.closing", 7),
    ("edits.0.groups.0.old", "older"),
    ("edits.0.groups.0.old", None),
    ("edits.0.groups.1.new", "newer"),
):
    forged(
        f"maps {_where}={_value!r}",
        "the maps of 'ada-3' are not what",
        later=at(_where, _value),
        first_use="ada-3",
    )


def steps_exchanged(arrays: Arrays, manifest: ManifestJson) -> None:
    """The maps of one group's two steps, one in the other's place."""
    manifest["edits"][2]["groups"][1]["steps"][0]["rank"] = 0
    manifest["edits"][2]["groups"][1]["steps"][1]["rank"] = 2
    arrays["index/basis"] = np.array([0, 3, 4, 4, 4, 8, 8, 10, 11], "<i8")
    for name in ("maps/source_mean", "maps/target_mean"):
        rows = arrays[name] = arrays[name].copy()
        rows[[5, 6]] = rows[[6, 5]]


forged("maps exchanged", "the maps of 'cyd' are not what", later=steps_exchanged, first_use="cyd")

# -- the router's metric -----------------------------------------------------------------------


def space(projection: tuple[int, int], background: tuple[int, int]) -> Change:
    """A metric of other shapes, with a topic for all of its background."""

    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        arrays["router/projection"] = np.ones(projection, "<f4")
        arrays["router/background"] = np.ones(background, "<f4")
        manifest["metric"]["topics"] = [["all", background[0]]] if background[0] else []

    return change


for _projection, _background in (
    ((EMBEDDER - 1, SPACE), (4, SPACE)),
    ((EMBEDDER + 1, SPACE), (4, SPACE)),
    ((SPACE, EMBEDDER), (0, EMBEDDER)),
    ((EMBEDDER + 1, 0), (0, 0)),
    ((EMBEDDER, EMBEDDER + 1), (0, EMBEDDER + 1)),
    ((0, 0), (4, 0)),
    ((EMBEDDER, 0), (4, 0)),
    ((0, SPACE), (4, SPACE)),
):
    forged(
        f"metric {_projection} {_background}",
        "its metric is not made for its embedder",
        change=space(_projection, _background),
    )
for _number, _topics in enumerate((
    [],
    [["birth", 3]],
    [["birth", 3], ["death", 2]],
    [["birth", 1 << 20], ["death", 1 << 20]],
)):  # fmt: skip
    forged(
        f"topics {_number}",
        "its metric's topics are not those of its background",
        change=at("metric.topics", _topics),
    )


def number(path: str, value: float) -> Change:
    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        arrays[path] = arrays[path].copy()
        arrays[path].flat[0] = value

    return change


for _value in (NAN, INFINITY, -INFINITY):
    for _path in ("router/projection", "router/background"):
        forged(f"{_path} {_value}", "its metric is not finite", change=number(_path, _value))
for _value in (NAN, INFINITY):
    change = number("router/points", _value)
    forged(f"points {_value}", "its router points are not finite", change=change)
for _path, _value, _says in (
    ("maps/source_mean", NAN, "the maps of 'ada-3' are not finite"),
    ("maps/target_mean", INFINITY, "the maps of 'ada-3' are not finite"),
    ("maps/basis", -INFINITY, "the maps of 'ada-3' are not finite"),
    ("maps/scale", NAN, "the maps of 'ada-3' are not finite"),
    ("maps/scale", -0.5, "the maps of 'ada-3' have a negative scale"),
):
    forged(f"{_path} {_value}", _says, change=number(_path, _value), first_use="ada-3")


# -- writing them ------------------------------------------------------------------------------


def rounded(payload: EditPayload) -> EditPayload:
    """An edit of whole numbers: they take little room when compressed."""

    groups = [
        replace(
            group,
            maps=[{name: np.round(array) for name, array in step.items()} for step in group.maps],
            activations={name: np.round(array) for name, array in group.activations.items()},
        )
        for group in payload.groups
    ]
    return replace(payload, groups=groups, points=np.round(payload.points))


def index_of(cases: dict[str, Case]) -> dict[str, Any]:
    """What the index says of each file."""
    return {
        f"{name}.h5.xz": {"says": list(case.says), "first_use": case.first_use}
        for name, case in sorted(cases.items())
    }


def made(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's name and bytes, by way of a scratch folder."""
    good = folder / "good.h5"
    write(good, [rounded(edit) for edit in EDITS])
    for name, case in CASES.items():
        path = folder / f"{name}.h5"
        case.make(good, path)
        yield f"{name}.h5.xz", path.read_bytes()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in made(Path(scratch)):
            (FOLDER / name).write_bytes(lzma.compress(data))
    text = json.dumps(index_of(CASES), indent=1, ensure_ascii=False)
    (FOLDER / INDEX).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
