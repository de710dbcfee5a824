"""A bundle as an OCI artefact: the layout as the image specification has it, and read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import InputError
from sake_registry.remote.oci import export, held
from tests.bundle.synthetic import EDITS, write


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write(tmp_path / "one.h5", EDITS, provenance={"commit": "c" * 40})
    return tmp_path / "one.h5"


@pytest.fixture
def layout(tmp_path: Path, bundle: Path) -> Path:
    export(bundle, tmp_path / "layout", b'{"schema": "review/1"}')
    return tmp_path / "layout"


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    """What a descriptor names, held against it."""
    kind, _, digest = descriptor["digest"].partition(":")
    data = (layout / "blobs" / kind / digest).read_bytes()
    assert (kind, hashlib.sha256(data).hexdigest()) == ("sha256", digest)
    assert len(data) == descriptor["size"]
    return data


def files(layout: Path) -> dict[str, bytes]:
    return {str(p.relative_to(layout)): p.read_bytes() for p in layout.rglob("*") if p.is_file()}


def test_the_layout_is_what_the_specification_says(layout: Path, bundle: Path) -> None:
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (
        2, "application/vnd.oci.image.index.v1+json",
    )  # fmt: skip
    [entry] = index["manifests"]
    content = read_manifest(bundle).content_hash
    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": content}
    manifest = json.loads(blob(layout, entry))
    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, entry["mediaType"])
    assert manifest["artifactType"] == entry["artifactType"]
    # What an artefact without a configuration has in its place.
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert blob(layout, manifest["config"]) == b"{}"
    assert manifest["annotations"]["org.opencontainers.image.revision"] == "c" * 40
    named = {
        layer["annotations"]["org.opencontainers.image.title"]: blob(layout, layer)
        for layer in manifest["layers"]
    }
    assert named.keys() == {f"{content}.{kind}" for kind in ("h5", "json", "review.json")}
    assert named[f"{content}.h5"] == bundle.read_bytes()
    assert json.loads(named[f"{content}.json"])["content"] == content
    blobs = [name for name in files(layout) if name.startswith("blobs/")]
    assert len(blobs) == 2 + len(named)


def test_it_is_read_back_and_equal_bundles_give_equal_artefacts(
    layout: Path, bundle: Path, tmp_path: Path
) -> None:
    found = held(layout)
    assert found.bundle.read_bytes() == bundle.read_bytes()
    assert (found.signature, found.review) == (None, b'{"schema": "review/1"}')
    before = files(layout)
    export(bundle, layout, found.review)
    assert files(layout) == before
    export(found.bundle, tmp_path / "again", found.review)
    assert files(tmp_path / "again") == before

    index = json.loads((layout / "index.json").read_bytes())
    other = index["manifests"][0] | {"annotations": {"org.opencontainers.image.ref.name": "live"}}
    (layout / "index.json").write_text(json.dumps({**index, "manifests": [other, other]}))
    assert held(layout) == found  # under another tag, too
    export(bundle, layout, found.review)
    assert len(json.loads((layout / "index.json").read_bytes())["manifests"]) == 3

    write(tmp_path / "two.h5", EDITS[1:])
    export(tmp_path / "two.h5", layout)
    assert files(layout).items() >= {k: v for k, v in before.items() if k != "index.json"}.items()
    with pytest.raises(InputError, match="holds 2 bundles"):
        held(layout)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda layout, bundle: bundle.write_bytes(bundle.read_bytes()[:-1] + b"?"), "is not what"),
        (lambda layout, bundle: bundle.unlink(), "is not what its name says"),
        (lambda layout, bundle: damage_index(layout, digest="sha256:../../x"), "digest"),
        (lambda layout, bundle: damage_index(layout, digest=f"sha256:{'0' * 64}"), "is not what"),
        (lambda layout, bundle: damage_index(layout, size="1"), "size"),
        (lambda layout, bundle: (layout / "index.json").write_text('{"manifests": 1}'), "list"),
        (lambda layout, bundle: (layout / "index.json").write_text("[]"), "index.json"),
        (lambda layout, bundle: (layout / "index.json").write_text("{}"), "holds 0 bundles"),
        (lambda layout, bundle: (layout / "index.json").unlink(), "cannot be read"),
    ],
)
def test_what_is_damaged_or_hostile_is_refused(
    layout: Path, damage: Callable[[Path, Path], Any], what: str
) -> None:
    damage(layout, held(layout).bundle)
    with pytest.raises(InputError, match=what) as caught:
        held(layout)
    assert caught.value.hint


def damage_index(layout: Path, **changes: Any) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= changes
    (layout / "index.json").write_text(json.dumps(index))
