"""The manifest alone: read without the router's data, and still verified."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from sake_registry.bundle.reader import BundleFile, read_manifest
from sake_registry.errors import BundleFormatError, InputError
from tests.bundle import synthetic


def test_it_is_the_manifest_of_the_bundle(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    written = synthetic.write(path)
    assert read_manifest(path) == written
    with BundleFile(path) as bundle:
        assert bundle.manifest == written


def test_data_of_the_router_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    written = synthetic.write(path)
    with h5py.File(path, "r+") as file:
        file["router/points"][0, 0] += 1
    with pytest.raises(BundleFormatError, match="the router of 'ada-3'"):
        BundleFile(path)
    assert read_manifest(path) == written


@pytest.mark.parametrize("dataset", ["meta", "digests", "index/groups", "index/steps"])
def test_what_is_under_the_seal_is_verified(tmp_path: Path, dataset: str) -> None:
    path = tmp_path / "a.h5"
    synthetic.write(path)
    with h5py.File(path, "r+") as file:
        data = file[dataset][()]
        data.reshape(-1)[-1] ^= 1
        file[dataset][()] = data
    with pytest.raises(BundleFormatError):
        read_manifest(path)


@pytest.mark.parametrize("dataset", ["router/projection", "router/background"])
def test_the_metric_is_under_the_seal(tmp_path: Path, dataset: str) -> None:
    path = tmp_path / "a.h5"
    synthetic.write(path)
    with h5py.File(path, "r+") as file:
        file[dataset][-1, -1] += 1
    with pytest.raises(BundleFormatError, match="its index or manifest is damaged"):
        read_manifest(path)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bundle"):
        read_manifest(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(BundleFormatError):
        read_manifest(tmp_path / "a.h5")
