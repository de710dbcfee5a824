"""A flipped byte is refused or changes no value read; a file cut short is refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import pytest

from sake_registry.bundle.format import BY_PATH
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError, InputError
from tests.bundle.flips import outcome
from tests.bundle.synthetic import values

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


def test_flips_of_headers_and_gaps_neither_crash_nor_hang_nor_change_a_value(
    good: Path, tmp_path: Path
) -> None:
    inside = {place for region in regions(good).values() for place in region}
    size = good.stat().st_size
    structure = [place for place in range(size) if place not in inside]
    chance = random.Random(7)
    places = [
        *structure[:64],  # the superblock, and what follows it
        *chance.sample(structure, 900),
        *chance.sample(range(size), 300),
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


def test_bytes_after_the_end_change_nothing_that_is_read(good: Path, copy: Path) -> None:
    copy.write_bytes(good.read_bytes() + b"more" * 1000)
    assert values(copy) == values(good)


def test_maps_in_another_order_are_refused(good: Path, copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        rows = file["maps/scale"][()]
        file["maps/scale"][()] = rows[::-1]
    refuse(copy, "the maps of 'ada-3'")


@pytest.mark.parametrize(
    "content", [b"schema: 1\nfact: a text file\n", b"\x89HDF\r\n\x1a\n", b"\0" * 4096]
)
def test_what_is_no_hdf5_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    refuse(tmp_path / "x.h5")


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
