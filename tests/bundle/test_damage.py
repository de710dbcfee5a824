"""A flipped byte is refused or changes no value read; a file cut short is refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import h5py
import pytest

from sake_registry.bundle.format import BY_PATH
from sake_registry.bundle.newest import newest_bundles
from sake_registry.bundle.reader import BundleFile, read_manifest
from sake_registry.errors import BundleFormatError, InputError, LockedError
from tests.bundle.flips import outcome
from tests.bundle.synthetic import values
from tests.conftest import Run

MASKS = (0xFF, 0x01, 0x80)


def regions(path: Path) -> dict[str, range]:
    """Where in the file each dataset's bytes lie."""
    with h5py.File(path) as file:
        datasets = {name: file[name].id for name in BY_PATH}
        return {
            name: range(found.get_offset(), found.get_offset() + found.get_storage_size())
            for name, found in datasets.items()
        }


def refuse(path: Path, match: str = "is not a sound bundle") -> BundleFormatError:
    """The error with which a file is refused, at opening or at reading."""
    with pytest.raises(BundleFormatError, match=match) as info, BundleFile(path) as bundle:
        bundle.verify()
    assert str(path) in info.value.message
    assert "sake compile" in (info.value.hint or "")
    assert info.value.exit_code == 1
    return info.value


@pytest.mark.parametrize("name", sorted(BY_PATH))
def test_a_flipped_byte_of_a_dataset_is_refused(name: str, good: Path, tmp_path: Path) -> None:
    region, original = regions(good)[name], values(good)
    places = {region[0], region[len(region) // 2], region[-1]}
    results = {
        (place, mask): outcome(good.read_bytes(), original, tmp_path / "x.h5", place, mask)
        for place in places
        for mask in MASKS
    }
    assert set(results.values()) == {"refused"}, results


def test_a_flipped_payload_is_refused_by_the_edit_that_it_belongs_to(
    good: Path, copy: Path
) -> None:
    damaged = bytearray(good.read_bytes())
    damaged[regions(good)["maps/basis"][0]] ^= 0x01  # the first row is ada-3's
    copy.write_bytes(damaged)
    with BundleFile(copy) as bundle:
        with pytest.raises(BundleFormatError, match="the maps of 'ada-3' are not what"):
            bundle.maps("ada-3")
        assert len(bundle.activations("ada-3")) == 2
        assert len(bundle.maps("cyd")) == 3


@pytest.mark.parametrize(
    ("of_structure", "of_all"), [(120, 60), pytest.param(900, 300, marks=pytest.mark.slow)]
)
def test_flips_of_headers_and_gaps_neither_crash_nor_hang_nor_change_a_value(
    good: Path, tmp_path: Path, of_structure: int, of_all: int
) -> None:
    inside = {place for region in regions(good).values() for place in region}
    size = good.stat().st_size
    structure = [place for place in range(size) if place not in inside]
    chance = random.Random(7)
    places = [
        *structure[:64],  # the superblock, and what follows it
        *chance.sample(structure, of_structure),
        *chance.sample(range(size), of_all),
    ]
    pairs = [(place, chance.choice((*MASKS, chance.randrange(1, 256)))) for place in places]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bundle.flips", str(good), str(tmp_path / "x.h5")],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-200:], done.stderr[-500:])
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == len(pairs)
    assert [row for row in rows if row[2] not in ("refused", "same")] == []
    # Both outcomes are met: checksums refuse, and gaps are read by nobody.
    assert min(Counter(row[2] for row in rows).values()) > 10


def test_a_file_cut_short_is_refused_at_every_length(good: Path, copy: Path) -> None:
    content = good.read_bytes()
    chance = random.Random(3)
    lengths = {0, 1, 7, 8, 47, 48, 512, len(content) - 1, len(content) // 2}
    lengths |= {region.stop - 1 for region in regions(good).values()}
    lengths |= set(chance.sample(range(len(content)), 60))
    for length in sorted(lengths):
        copy.unlink()
        copy.write_bytes(content[:length])
        refuse(copy)


@pytest.mark.parametrize("more", [b"\0", b"more" * 1000])
def test_bytes_after_the_end_are_refused(good: Path, copy: Path, more: bytes) -> None:
    copy.write_bytes(good.read_bytes() + more)
    refuse(copy, "and its superblock says 0 to")


def test_maps_in_another_order_are_refused(good: Path, copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        rows = file["maps/scale"][()]
        file["maps/scale"][()] = rows[::-1]
    refuse(copy, "the maps of 'ada-3'")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"schema: 1\nfact: a text file\n", "it is not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 cannot read it"),
        (b"\0" * 4096, "it is not an HDF5 file"),
        (b"", "it is empty"),
        (b"\x80\x04\x95", "it is not an HDF5 file"),
    ],
)
def test_what_is_no_hdf5_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    refuse(tmp_path / "x.h5", says)


def test_a_pointer_of_git_lfs_says_what_fetches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    path.write_text(pointer)
    with pytest.raises(BundleFormatError, match="it is a pointer of Git LFS") as info:
        BundleFile(path)
    assert "git lfs pull" in (info.value.hint or "")


WRITER = """
import sys, h5py
file = h5py.File(sys.argv[1], "r+", libver="latest")
if sys.argv[2] == "writes":
    file["x"] = b"x" * 100_000
    file.flush()
if sys.argv[2] == "swmr":
    file.swmr_mode = True
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["holds", "writes", "swmr", "killed"])
def test_a_file_that_another_program_writes_to_is_in_use(copy: Path, how: str) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, str(copy), how]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "open\n"
            if how == "killed":
                process.kill()
                process.wait()
            for read in (BundleFile, read_manifest):
                with pytest.raises(LockedError, match=r"copy\.h5 is in use") as info:
                    read(copy)
                assert info.value.exit_code == 5
                assert "wait until it is done" in (info.value.hint or "")
            assert newest_bundles(copy.parent) == []  # one such file stands in nobody's way
        finally:
            process.kill()


SAYS = {
    "empty": "x.h5 is not a sound bundle: it is empty\n  compile it again: `sake compile`",
    "text": "x.h5 is not a sound bundle: it is not an HDF5 file\n  compile it again",
    "pointer": "x.h5 is not a sound bundle: it is a pointer of Git LFS, not the file itself",
    "folder": "no bundle x.h5: it is not a file",
    "pipe": "no bundle x.h5: it is not a file",
    "device": "no bundle x.h5: it is not a file",
    "missing": "no bundle x.h5",
    "tail": "x.h5 is not a sound bundle: it has 100",
    "front": "x.h5 is not a sound bundle: it has something in front of its HDF5 data",
    "held": "x.h5 is in use: another program has it open for writing\n  wait until",
}


@pytest.mark.parametrize("kind", SAYS)
def test_the_command_says_what_each_thing_is(
    sake: Run, good: Path, tmp_path: Path, kind: str
) -> None:
    path, content = tmp_path / "x.h5", good.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind != "missing":
        path.write_bytes({
            "empty": b"", "text": b"hello\n", "tail": content + b"PK" * 50, "held": content,
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n",
            "front": b"#!/bin/sh\n".ljust(1024) + content,
        }[kind])  # fmt: skip
    says = SAYS[kind].replace("100", str(len(content) + 100))
    with h5py.File(path, "r+") if kind == "held" else nullcontext():
        done = sake("inspect", "x.h5", cwd=tmp_path)
    assert done.returncode == (5 if kind == "held" else 1)
    assert f"error: {says}" in done.stderr
    assert done.stdout == ""


def test_a_file_that_this_process_writes_to_is_in_use(copy: Path) -> None:
    with h5py.File(copy, "r+"), pytest.raises(LockedError, match="is in use"):
        BundleFile(copy)
    BundleFile(copy).close()


@pytest.mark.parametrize("what", ["a pipe", "a device", "a link to nothing", "a link to itself"])
def test_what_is_not_a_file_is_not_opened(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.h5"
    if what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"a device": "/dev/zero", "a link to nothing": "y"}.get(what, "x.h5"))
    with pytest.raises(InputError, match=r"no bundle .*x\.h5") as info:
        BundleFile(path)
    assert ("it is not a file" in info.value.message) == (what in ("a pipe", "a device"))
    assert newest_bundles(tmp_path) == []


def test_an_empty_hdf5_file_is_refused(tmp_path: Path) -> None:
    h5py.File(tmp_path / "x.h5", "w").close()
    refuse(tmp_path / "x.h5", "'digests' is missing")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_a_folder_or_nothing_is_no_bundle(tmp_path: Path, make: object) -> None:
    make(tmp_path / "x.h5")  # type: ignore[operator]
    with pytest.raises(InputError, match=r"no bundle .*x\.h5") as info:
        BundleFile(tmp_path / "x.h5")
    assert info.value.exit_code == 1


def test_a_refused_file_is_not_kept_open(copy: Path, good: Path) -> None:
    whole = good.read_bytes()
    copy.write_bytes(whole[:5000])
    refuse(copy)
    copy.write_bytes(whole)  # the same inode
    assert values(copy) == values(good)
