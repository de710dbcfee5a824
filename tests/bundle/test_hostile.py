"""Files made to harm: sound HDF5, sealed again, and each refused by the check that it is for.

Most are files in `hostile/`, made by `make_hostile.py`; those that hang on the machine are made
here.
"""

from __future__ import annotations

import json
import lzma
import tracemalloc
from pathlib import Path

import h5py
import pytest

from sake_registry.bundle.format import manifest_limits, manifest_size
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BuildError, BundleFormatError
from tests.bundle.make_hostile import (
    CASES,
    FOLDER,
    INDEX,
    STEPS,
    at,
    contiguous,
    index_of,
    made,
    put,
)
from tests.bundle.synthetic import (
    EMBEDDER,
    WIDTH,
    Arrays,
    Change,
    ManifestJson,
    edit,
    forge,
    values,
    write,
)

MEGABYTES = 1 << 20
HOSTILE = json.loads((FOLDER / INDEX).read_text(encoding="utf-8"))


def refused(path: Path, *says: str) -> str:
    """The message with which a file is refused before an edit's payload is asked for."""
    tracemalloc.start()
    try:
        with pytest.raises(BundleFormatError) as info:
            BundleFile(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * MEGABYTES
    finally:
        tracemalloc.stop()
    assert str(path) in info.value.message
    assert all(words in info.value.message for words in says), info.value.message
    assert info.value.message.isprintable()
    assert len(info.value.message) < 1000
    return info.value.message


def test_a_forged_bundle_without_a_change_is_sound(good: Path, tmp_path: Path) -> None:
    forged = forge(good, tmp_path / "forged.h5", lambda arrays, manifest: None)
    assert values(forged) == values(good)


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_the_check_that_it_is_for(name: str, tmp_path: Path) -> None:
    path, said = tmp_path / "hostile.h5", HOSTILE[name]
    path.write_bytes(lzma.decompress((FOLDER / name).read_bytes()))
    if said["first_use"] is None:
        refused(path, *said["says"])
        return
    (says,) = said["says"]
    with BundleFile(path) as bundle:
        with pytest.raises(BundleFormatError, match=says):
            bundle.maps(said["first_use"])
        assert len(bundle.maps("bob")) == 1


def test_the_files_are_those_that_the_script_names() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*HOSTILE, INDEX}
    assert index_of(CASES) == HOSTILE


@pytest.mark.slow
def test_what_the_script_makes_is_refused_as_the_files_are(tmp_path: Path) -> None:
    for name, data in made(tmp_path):
        path, said = tmp_path / "again.h5", HOSTILE[name]
        path.unlink(missing_ok=True)  # a file of its own each time: HDF5 knows files by inode
        path.write_bytes(data)
        if said["first_use"] is None:
            refused(path, *said["says"])


# -- files beside the bundle -------------------------------------------------------------------


def test_a_link_to_another_file_is_refused_though_the_file_is_there(copy: Path) -> None:
    with h5py.File(copy, "r+") as file, h5py.File(copy.parent / "other.h5", "w") as other:
        other["scale"] = file["maps/scale"][()]
        del file["maps/scale"]
        file["maps/scale"] = h5py.ExternalLink("other.h5", "/scale")
    refused(copy, "'scale' is a link")


def test_a_link_to_a_group_of_another_file_is_refused(copy: Path) -> None:
    with h5py.File(copy, "r+") as file, h5py.File(copy.parent / "other.h5", "w") as other:
        file.copy("maps", other)
        del file["maps"]
        file["maps"] = h5py.ExternalLink("other.h5", "/maps")
    refused(copy, "'maps' is a link")


def test_data_in_another_file_are_refused(copy: Path) -> None:
    raw = copy.parent / "raw"
    with h5py.File(copy, "r+") as file:
        rows = file["maps/scale"][()]
        raw.write_bytes(rows.tobytes())
        put(file, "maps/scale", shape=rows.shape, dtype="<f4", external=[(raw, 0, rows.nbytes)])
    refused(copy, "'maps/scale' keeps its data in another file")


# -- sizes that are not there ------------------------------------------------------------------


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


@pytest.mark.parametrize("where", ["settings", "versions", "edits", "probe_texts"])
@pytest.mark.parametrize("part", [b"[],", b"0,", b'"",', b'{"a":[]},'])
def test_fifty_megabytes_of_nothing_are_refused_before_they_are_read(
    good: Path, tmp_path: Path, where: str, part: bytes
) -> None:
    with h5py.File(good) as file:
        manifest = json.loads(file["meta"][()].tobytes())
    manifest[where] = "HERE"
    filler = b"[" + part * ((49 << 20) // len(part)) + b"0]"
    meta = json.dumps(manifest).encode().replace(b'"HERE"', filler)
    path = forge(good, tmp_path / "x.h5", meta=meta)
    assert path.stat().st_size > 49 * MEGABYTES
    refused(path, "its manifest has more than")


def test_many_edits_allow_no_manifest_of_nothing(tmp_path: Path) -> None:
    """With a thousand edits there may be many bytes, and not in many small pieces."""
    many = [edit(f"e{n:04}", n, [(1, 2, False)]) for n in range(800)]
    good = tmp_path / "many.h5"
    write(good, many)
    with BundleFile(good) as bundle:
        assert len(bundle.manifest.edits) == 800
    with h5py.File(good) as file:
        meta = file["meta"][()].tobytes()
    assert all(
        n * 8 < limit
        for n, limit in zip(manifest_size(meta), manifest_limits(800, 800, 800), strict=True)
    )
    manifest = json.loads(meta)
    manifest["settings"] = "HERE"
    filler = b"{" + b'"a":[' + b"[]," * (45 << 18) + b"0]}"
    forged = forge(
        good, tmp_path / "x.h5", meta=json.dumps(manifest).encode().replace(b'"HERE"', filler)
    )
    with pytest.raises(BundleFormatError, match="commas and brackets"):
        BundleFile(forged)


def test_the_writer_writes_no_manifest_that_the_reader_refuses(tmp_path: Path) -> None:
    names = tuple(f"a name that somebody has, number {n}" for n in range(60_000))
    long = edit("ada", 1, [(1, 2, False)], subject=names)
    with pytest.raises(BuildError, match="more than a bundle of 1 edits may have") as info:
        write(tmp_path / "x.h5", [long])
    assert info.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


# -- a map behind the object -------------------------------------------------------------------


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
