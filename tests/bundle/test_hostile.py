"""Files made to harm: sound HDF5, sealed again, and each refused by the check that it is for."""

from __future__ import annotations

import copy as copies
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sake_registry.bundle.format import VERSION
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError
from sake_registry.settings import METHOD_VERSION
from tests.bundle.synthetic import (
    EMBEDDER,
    SPACE,
    WIDTH,
    Arrays,
    Change,
    ManifestJson,
    forge,
    hash_of,
    values,
)

MEGABYTES = 1 << 20


def refused(path: Path, says: str) -> str:
    """The message with which a file is refused before an edit's payload is asked for."""
    tracemalloc.start()
    try:
        with pytest.raises(BundleFormatError) as info:
            BundleFile(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * MEGABYTES
    finally:
        tracemalloc.stop()
    assert str(path) in info.value.message
    assert says in info.value.message
    return info.value.message


def test_a_forged_bundle_without_a_change_is_sound(good: Path, tmp_path: Path) -> None:
    forged = forge(good, tmp_path / "forged.h5", lambda arrays, manifest: None)
    assert values(forged) == values(good)


# -- objects that a bundle does not have -------------------------------------------------------

HARMS: dict[str, tuple[str, Callable[[h5py.File], object]]] = {}


def harm(name: str, says: str) -> Callable[[Callable[[h5py.File], object]], None]:
    """A way to harm an opened bundle, and what the refusal says."""

    def register(function: Callable[[h5py.File], object]) -> None:
        HARMS[name] = says, function

    return register


def put(file: h5py.File, path: str, **options: Any) -> None:
    """Put another dataset in a dataset's place."""
    del file[path]
    file.create_dataset(path, **options)


def same(file: h5py.File, path: str, **options: Any) -> None:
    """Store a dataset's numbers in another way."""
    put(file, path, data=file[path][()], **options)


@harm("an external link", "'scale' is a link")
def _(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).parent / "other.h5", "w") as other:
        other["scale"] = file["maps/scale"][()]
    del file["maps/scale"]
    file["maps/scale"] = h5py.ExternalLink("other.h5", "/scale")


@harm("an external link to a group", "'maps' is a link")
def _(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).parent / "other.h5", "w") as other:
        file.copy("maps", other)
    del file["maps"]
    file["maps"] = h5py.ExternalLink("other.h5", "/maps")


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


@harm("external storage", "'maps/scale' keeps its data in another file")
def _(file: h5py.File) -> None:
    rows = file["maps/scale"][()]
    raw = Path(file.filename).parent / "raw"
    raw.write_bytes(rows.tobytes())
    put(file, "maps/scale", shape=rows.shape, dtype="<f4", external=[(raw, 0, rows.nbytes)])


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


@harm("a group in a dataset's place", "'maps/scale' is no dataset")
def _(file: h5py.File) -> None:
    del file["maps/scale"]
    file.create_group("maps/scale")


@harm("a dataset in a group's place", "'router' is no group")
def _(file: h5py.File) -> None:
    put(file, "router", data=np.zeros(3))


@harm("a type in a dataset's place", "'maps/scale' is no dataset")
def _(file: h5py.File) -> None:
    del file["maps/scale"]
    file["maps/scale"] = np.dtype("<f4")


@harm("a group that holds itself", "'maps/scale' is no dataset")
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


@pytest.mark.parametrize("name", TYPES)
def test_another_element_type_is_refused(name: str, copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        put(file, "maps/scale", shape=file["maps/scale"].shape, dtype=TYPES[name])
    refused(copy, "'maps/scale' holds")


@pytest.mark.parametrize("members", [{"RED": 0, "GREEN": 1}, {"RED": 0}])
def test_an_enumeration_in_the_place_of_bytes_is_refused(
    copy: Path, members: dict[str, int]
) -> None:
    with h5py.File(copy, "r+") as file:
        kind = h5py.enum_dtype(members, basetype="u1")
        put(file, "activations/worked", shape=file["activations/worked"].shape, dtype=kind)
    refused(copy, "'activations/worked' holds")


@pytest.mark.parametrize("name", HARMS)
def test_what_a_bundle_does_not_have_is_refused(name: str, copy: Path) -> None:
    says, function = HARMS[name]
    with h5py.File(copy, "r+", libver="latest") as file:
        function(file)
    assert refused(copy, says).isprintable()


@pytest.mark.parametrize(
    ("path", "shape", "says"),
    [
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
    ],
)
def test_another_shape_is_refused(
    copy: Path, path: str, shape: tuple[int, ...] | None, says: str
) -> None:
    with h5py.File(copy, "r+") as file:
        dtype = file[path].dtype
        if shape is None:
            put(file, path, data=h5py.Empty(dtype))
        else:
            put(file, path, data=np.zeros(shape, dtype))
    assert path in refused(copy, says)


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
    if early:
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    kind, space = h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, path.encode(), kind, space, plan)


@pytest.mark.parametrize(
    ("path", "shape", "says"),
    [
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
    ],
)
def test_a_length_that_the_file_does_not_hold_is_refused(
    copy: Path, path: str, shape: tuple[int, ...], says: str
) -> None:
    with h5py.File(copy, "r+") as file:
        contiguous(file, path, shape)
    refused(copy, says)


@pytest.mark.parametrize("resized", [False, True])
def test_a_length_in_chunks_that_are_not_there_is_refused(copy: Path, resized: bool) -> None:
    with h5py.File(copy, "r+") as file:
        shape = file["maps/scale"].shape if resized else (TERA,)
        put(file, "maps/scale", shape=shape, dtype="<f4", chunks=(1024,), maxshape=(None,))
        if resized:
            file["maps/scale"].resize((TERA,))
    refused(copy, "'maps/scale' is stored in a way")


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("router/points", (1 << 31, EMBEDDER)),
        ("maps/basis", (1 << 31, WIDTH)),
        ("index/points", ((1 << 34),)),
        ("digests", (1 << 27, 3, 32)),
        ("router/projection", (1 << 16, 1 << 16)),
        ("router/background", (1 << 20, 1 << 12)),
    ],
)
def test_a_long_file_full_of_holes_is_refused_before_it_is_read(
    copy: Path, path: str, shape: tuple[int, ...]
) -> None:
    with h5py.File(copy, "r+") as file:
        try:
            contiguous(file, path, shape, early=True)
            if path == "maps/basis":
                contiguous(file, "maps/scale", shape[:1], early=True)
            if path == "router/projection":
                contiguous(file, "router/background", (0, shape[1]))
            if path == "router/background":
                contiguous(file, "router/projection", (EMBEDDER, shape[1]), early=True)
            file.flush()
        except OSError as error:
            pytest.skip(f"no files with holes here: {error}")
    assert copy.stat().st_size > 10_000 * MEGABYTES
    assert copy.stat().st_blocks * 512 < MEGABYTES
    says = {
        "router/points": "'index/points'",
        "maps/basis": "'index/basis'",
        "router/projection": "its metric's topics",
        "router/background": "its metric's topics",
    }
    refused(copy, says.get(path, f"'{path}' claims"))


# -- a manifest and an index that do not say what is there --------------------------------------


def index(path: str, *numbers: int, column: int | None = None) -> Change:
    """Other offsets in an index."""

    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        found = arrays[f"index/{path}"] = arrays[f"index/{path}"].copy()
        found[slice(None) if column is None else (slice(None), column)] = numbers

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
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
    ],
)
def test_offsets_that_do_not_fit_are_refused(
    good: Path, tmp_path: Path, change: Change, says: str
) -> None:
    refused(forge(good, tmp_path / "forged.h5", later=change), says)


def test_offsets_of_activations_that_a_slim_bundle_lacks_are_checked_as_well(
    good: Path, tmp_path: Path
) -> None:
    def slim(arrays: Arrays, manifest: ManifestJson) -> None:
        for name in [name for name in arrays if name.startswith("activations/")]:
            del arrays[name]
        arrays["index/activations"] = -arrays["index/activations"]

    refused(forge(good, tmp_path / "forged.h5", later=slim), "'index/activations'")


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
]


@pytest.mark.parametrize(("where", "value"), WRONG, ids=lambda v: f"{v!r:.40}")
def test_a_manifest_with_a_wrong_value_is_refused_and_says_where(
    good: Path, tmp_path: Path, where: str, value: Any
) -> None:
    forged = forge(good, tmp_path / "forged.h5", later=at(where, value))
    assert refused(forged, f"its manifest is wrong at {where}").isprintable()


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize(
    "where",
    [
        "edits.0.threshold",
        "edits.0.implied",
        "edits.0.groups.0.goes_on",
        "edits.0.groups.0.steps.0.complement",
        "edits.0.groups.0.steps.0.margin",
        "edits.0.groups.0.steps.0.residual",
        "edits.0.groups.0.steps.0.scale_max",
        "edits.0.groups.0.steps.0.reg",
        "settings.compile",
    ],
)
def test_what_is_no_number_is_refused_wherever_it_stands(
    good: Path, tmp_path: Path, where: str, value: float
) -> None:
    forged = forge(good, tmp_path / "forged.h5", later=at(where, value))
    refused(forged, "is no number")


def test_a_later_version_is_named_whatever_else_is_in_it(good: Path, tmp_path: Path) -> None:
    def later(arrays: Arrays, manifest: ManifestJson) -> None:
        manifest["version"] = VERSION + 1
        arrays["future"] = np.zeros(3, "<f4")

    refused(forge(good, tmp_path / "f.h5", later=later), f"it has format version {VERSION + 1}")


def test_a_bundle_of_other_rules_is_refused(good: Path, tmp_path: Path) -> None:
    forged = forge(good, tmp_path / "f.h5", later=at("method", METHOD_VERSION + 1))
    refused(forged, f"compiled by method version {METHOD_VERSION + 1}")


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (VERSION - 1, f"it has format version {VERSION - 1}; this sake reads {VERSION}"),
        (VERSION + 1, f"it has format version {VERSION + 1}; this sake reads {VERSION}"),
        (str(VERSION), f"it has format version '{VERSION}'; this sake reads {VERSION}"),
        (None, "it has format version None"),
        ("\x1b[31m" + "9" * 5000, "it has format version '\\x1b[31m99999"),
    ],
)
def test_another_version_is_refused_and_named(
    good: Path, tmp_path: Path, version: Any, says: str
) -> None:
    message = refused(forge(good, tmp_path / "f.h5", later=at("version", version)), says)
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        (b"", "its manifest is no JSON"),
        (b"\xff\xfe\x00", "its manifest is no JSON"),
        (b"{'format': 1}", "its manifest is no JSON"),
        (b"[" * 200_000, "its manifest is no JSON"),
        (b'{"a":' * 200_000, "its manifest is no JSON"),
        (b'{"format": "sake-bundle", "version": ' + b"9" * 100_000 + b"}", "is no JSON"),
        (b"null", "its manifest is wrong"),
        (b"[]", "its manifest is wrong"),
        (b'{"format": "\\ud800", "version": 2}', "its manifest is wrong"),
        (b"{" + b'"' + b"k" * 100_000 + b'": 1}', "its manifest is wrong"),
    ],
    ids=lambda v: f"{v!r:.20}",
)
def test_a_manifest_that_is_none_is_refused(
    good: Path, tmp_path: Path, meta: bytes, says: str
) -> None:
    assert len(refused(forge(good, tmp_path / "f.h5", meta=meta), says)) < 1000


def test_settings_nested_beyond_measure_are_refused(good: Path, tmp_path: Path) -> None:
    manifest: Any = json.loads(forge_meta(good))
    manifest["settings"] = {"a": "HERE"}
    deep = b"[" * 400 + b"]" * 400
    meta = json.dumps(manifest).encode().replace(b'"HERE"', deep)
    refused(forge(good, tmp_path / "f.h5", meta=meta), "its manifest is")


def forge_meta(path: Path) -> bytes:
    with h5py.File(path) as file:
        meta: bytes = file["meta"][()].tobytes()
        return meta


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (twice, "wrong at edits: Value error, 'ada-3' stands twice or out of order"),
        (unsorted, "wrong at edits: Value error, 'bob' stands twice or out of order"),
        (one_more, "its manifest and its datasets disagree"),
        (one_less, "its manifest and its datasets disagree"),
        (one_group_more, "'index/groups'"),
        (group_moved, "'index/groups'"),
        (step_moved, "'index/steps'"),
        (one_step_less, "'index/steps'"),
        (rank_moved, "'index/basis'"),
        (at("edits.0.groups.0.steps.0.rank", 1 << 31), "'index/basis'"),
        (at("model.width", WIDTH + 1), "its manifest and its datasets disagree"),
        (at("embedder.width", EMBEDDER + 1), "its manifest and its datasets disagree"),
        (at("edits.0.routes.0.rows", 2), "'index/points'"),
        (at("edits.0.routes.0.rows", 1 << 31), "'index/points'"),
        (at("edits.0.routes", []), "'index/points'"),
        (at("edits.1.routes.0.group", 1), "the router of 'bob' are not what its digest says"),
        (other_content, "its content hash is not that of its edits"),
        (at("edits.0.key", hash_of("9")), "its content hash is not that of its edits"),
        (at("edits.0.threshold", 100.0), "the router of 'ada-3' are not what its digest says"),
        (at("edits.0.kind", "centre"), "the router of 'ada-3' are not what its digest says"),
        (at("edits.0.implied", 3.75), "the router of 'ada-3' are not what its digest says"),
        (at("edits.0.implied", None), "the router of 'ada-3' are not what its digest says"),
        (at("edits.1.implied", 9.0), "the router of 'bob' are not what its digest says"),
        (at("edits.0.topics", []), "the router of 'ada-3' are not what its digest says"),
        (at("edits.0.topics", ["death"]), "the router of 'ada-3' are not what its digest says"),
        (at("edits.1.topics", ["birth"]), "the router of 'bob' are not what its digest says"),
        (at("edits.1.routes.0.ends", ["on"]), "the router of 'bob' are not what its digest says"),
        (at("edits.1.routes.0.links", ["on"]), "the router of 'bob' are not what its digest says"),
        (at("edits.1.routes.0.ends", []), "the router of 'bob' are not what its digest says"),
        (at("edits.1.routes.0.names", ["Eve"]), "the router of 'bob' are not what its"),
        (at("edits.1.routes.0.need", "all"), "the router of 'bob' are not what its digest says"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_manifest_that_contradicts_the_data_is_refused(
    good: Path, tmp_path: Path, change: Change, says: str
) -> None:
    refused(forge(good, tmp_path / "forged.h5", later=change), says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at("edits.1.routes.0.group", 1), "'bob' has a route to a group that it does not have"),
        (at("edits.0.routes.0.rows", 2), "'index/points'"),
        (at("edits.1.routes.0.ends", ["in", "on"]), "'bob' has a route whose words do not fit"),
        (at("edits.0.routes.1.ends", ["in"]), "'ada-3' has a route whose words do not fit"),
        (at("edits.1.kind", "centre"), "'bob' has a route that is no centre of a group"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_routes_that_do_not_fit_are_refused_though_all_digests_do(
    good: Path, tmp_path: Path, change: Change, says: str
) -> None:
    refused(forge(good, tmp_path / "forged.h5", change), says)


# -- an object's tokens and maps ---------------------------------------------------------------

STEPS = "edits.0.groups.0.steps"
"""Two maps, at the places 0 and 2 of three tokens."""


def steps_turned(arrays: Arrays, manifest: ManifestJson) -> None:
    manifest["edits"][0]["groups"][0]["steps"].reverse()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (steps_turned, "its maps are not in the order of its tokens"),
        (at(f"{STEPS}.0.position", 1), "its maps are not in the order of its tokens"),
        (at(f"{STEPS}.1.position", 0), "its maps are not in the order of its tokens"),
        (at(f"{STEPS}.1.position", 3), "its maps are not those of its tokens"),
        (at("edits.0.groups.0.tokens", [200, 201]), "its maps are not those of its tokens"),
        (at("edits.0.groups.0.goes_on", [1.0]), "its maps are not those of its tokens"),
        (at("edits.0.groups.0.goes_on", [1.0] * 3), "its maps are not those of its tokens"),
        (at("edits.1.groups.0.goes_on", [1.0]), "its maps are not those of its tokens"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_maps_that_are_not_those_of_an_object_are_refused_though_all_digests_fit(
    good: Path, tmp_path: Path, change: Change, says: str
) -> None:
    refused(forge(good, tmp_path / "forged.h5", change), f"Value error, {says}")


def test_a_map_behind_the_object_needs_a_closing_token(good: Path, tmp_path: Path) -> None:
    closing = at("edits.0.groups.0.closing", 7)

    def moved(place: int) -> Change:
        def change(arrays: Arrays, manifest: ManifestJson) -> None:
            closing(arrays, manifest)
            at(f"{STEPS}.1.position", place)(arrays, manifest)

        return change

    with BundleFile(forge(good, tmp_path / "closed.h5", moved(3))) as bundle:
        group = bundle.info("ada-3").groups[0]
        assert (group.closing, group.states) == (7, len(group.tokens) + 1)
        assert len(bundle.maps("ada-3")[0]) == 2
    refused(
        forge(good, tmp_path / "forged.h5", moved(4)),
        "Value error, its maps are not those of its tokens",
    )


@pytest.mark.parametrize(
    "change",
    [
        at(f"{STEPS}.0.complement", 0.5),
        at(f"{STEPS}.1.complement", 1.0),
        at(f"{STEPS}.1.position", 1),
        at("edits.0.groups.0.tokens.1", 7),
        at("edits.0.groups.0.tokens.2", 7),
        at("edits.0.groups.1.tokens.0", 7),
        at("edits.0.groups.0.closing", 7),
        at("edits.0.groups.0.old", "older"),
        at("edits.0.groups.0.old", None),
        at("edits.0.groups.1.new", "newer"),
    ],
    ids=lambda v: str(v.__name__),
)
def test_what_a_map_is_used_by_is_under_the_digest_of_the_maps(
    good: Path, tmp_path: Path, change: Change
) -> None:
    with BundleFile(forge(good, tmp_path / "forged.h5", later=change)) as bundle:
        with pytest.raises(BundleFormatError, match="the maps of 'ada-3' are not what"):
            bundle.maps("ada-3")
        assert len(bundle.maps("bob")) == 1


def steps_exchanged(arrays: Arrays, manifest: ManifestJson) -> None:
    """The maps of one group's two steps, one in the other's place."""
    manifest["edits"][2]["groups"][1]["steps"][0]["rank"] = 0
    manifest["edits"][2]["groups"][1]["steps"][1]["rank"] = 2
    arrays["index/basis"] = np.array([0, 3, 4, 4, 4, 8, 8, 10, 11], "<i8")
    for name in ("maps/source_mean", "maps/target_mean"):
        rows = arrays[name] = arrays[name].copy()
        rows[[5, 6]] = rows[[6, 5]]


def test_maps_of_one_object_in_another_order_are_refused(good: Path, tmp_path: Path) -> None:
    with (
        BundleFile(forge(good, tmp_path / "forged.h5", later=steps_exchanged)) as bundle,
        pytest.raises(BundleFormatError, match="the maps of 'cyd' are not what"),
    ):
        bundle.maps("cyd")


# -- the router's metric -----------------------------------------------------------------------


def space(projection: tuple[int, int], background: tuple[int, int]) -> Change:
    """A metric of other shapes, with a topic for all of its background."""

    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        arrays["router/projection"] = np.ones(projection, "<f4")
        arrays["router/background"] = np.ones(background, "<f4")
        manifest["metric"]["topics"] = [["all", background[0]]] if background[0] else []

    return change


@pytest.mark.parametrize(
    ("projection", "background"),
    [
        ((EMBEDDER - 1, SPACE), (4, SPACE)),
        ((EMBEDDER + 1, SPACE), (4, SPACE)),
        ((SPACE, EMBEDDER), (0, EMBEDDER)),
        ((EMBEDDER + 1, 0), (0, 0)),
        ((EMBEDDER, EMBEDDER + 1), (0, EMBEDDER + 1)),
        ((0, 0), (4, 0)),
        ((EMBEDDER, 0), (4, 0)),
        ((0, SPACE), (4, SPACE)),
    ],
)
def test_a_metric_that_does_not_fit_the_embedder_is_refused(
    good: Path, tmp_path: Path, projection: tuple[int, int], background: tuple[int, int]
) -> None:
    forged = forge(good, tmp_path / "f.h5", space(projection, background))
    refused(forged, "its metric is not made for its embedder")


@pytest.mark.parametrize(
    "topics",
    [
        [],
        [["birth", 3]],
        [["birth", 3], ["death", 2]],
        [["birth", 1 << 20], ["death", 1 << 20]],
    ],
)
def test_topics_that_are_not_those_of_the_background_are_refused(
    good: Path, tmp_path: Path, topics: list[Any]
) -> None:
    forged = forge(good, tmp_path / "f.h5", at("metric.topics", topics))
    refused(forged, "its metric's topics are not those of its background")


@pytest.mark.parametrize("path", ["router/projection", "router/background"])
@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_a_metric_that_is_no_numbers_is_refused(
    good: Path, tmp_path: Path, path: str, value: float
) -> None:
    refused(forge(good, tmp_path / "f.h5", number(path, value)), "its metric is not finite")


def number(path: str, value: float) -> Change:
    def change(arrays: Arrays, manifest: ManifestJson) -> None:
        arrays[path] = arrays[path].copy()
        arrays[path].flat[0] = value

    return change


@pytest.mark.parametrize("value", [NAN, INFINITY])
def test_router_points_that_are_no_numbers_are_refused(
    good: Path, tmp_path: Path, value: float
) -> None:
    forged = forge(good, tmp_path / "f.h5", number("router/points", value))
    refused(forged, "its router points are not finite")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("maps/source_mean", NAN, "the maps of 'ada-3' are not finite"),
        ("maps/target_mean", INFINITY, "the maps of 'ada-3' are not finite"),
        ("maps/basis", -INFINITY, "the maps of 'ada-3' are not finite"),
        ("maps/scale", NAN, "the maps of 'ada-3' are not finite"),
        ("maps/scale", -0.5, "the maps of 'ada-3' have a negative scale"),
    ],
)
def test_maps_that_are_no_maps_are_refused_at_first_use(
    good: Path, tmp_path: Path, path: str, value: float, says: str
) -> None:
    forged = forge(good, tmp_path / "f.h5", number(path, value))
    with BundleFile(forged) as bundle:
        with pytest.raises(BundleFormatError, match=says):
            bundle.maps("ada-3")
        assert len(bundle.maps("bob")) == 1
