"""`sake publish`, `promote`, `pointers`, `rollback` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.bundle.reader import read_manifest
from sake_registry.remote.pointer import read_pointer
from tests.bundle.synthetic import EDITS, write
from tests.conftest import Run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def there(tmp_path: Path) -> str:
    return str(tmp_path / "there")


def bundle(path: Path, first: int) -> str:
    write(path, EDITS[first:])
    return read_manifest(path).content_hash


def test_from_a_bundle_to_production_and_back(sake: Run, tmp_path: Path, there: str) -> None:
    one, two = bundle(tmp_path / "one.h5", 0), bundle(tmp_path / "two.h5", 1)
    for name in ("one", "two"):
        done = sake("publish", str(tmp_path / f"{name}.h5"), "--to", there)
        assert done.returncode == 0, done.stderr
    assert f"{there}/bundles/{two}.h5: " in done.stdout
    assert f"sake promote {two[:12]} NAME" in done.stderr

    shown = sake("promote", one[:12], "staging", "--to", there)  # nobody is there to say yes
    assert shown.returncode == 5
    assert f"staging (new) → 1, content {one[:12]}" in shown.stdout
    assert "no review was published with it" in shown.stdout
    assert "nobody said yes" in shown.stderr
    assert sake("pointers", "--to", there).stdout == ""

    for source, name in ((one[:12], "staging"), ("staging", "production"), (two, "production")):
        done = sake("promote", source, name, "--to", there, "--note", "ticket 12", "--yes")
        assert done.returncode == 0, done.stderr
    assert f"1 removed\n  removed  {EDITS[0].info.id}: " in done.stdout
    assert f"production 2: {two}\n" in done.stdout

    done = sake("rollback", "production", "--to", there, "--expires", "30d", "--yes", "--json")
    value = json.loads(done.stdout)
    assert (value["schema"], value["done"], value["name"]) == ("rollback/1", True, "production")
    assert [edit["action"] for edit in value["edits"]] == ["added"]
    pointer = read_pointer(f"{there}/pointers/production.json")
    assert (pointer.number, pointer.content) == (3, one)
    assert pointer.expires and pointer.time
    assert (pointer.expires - pointer.time).days == 30

    rows = [line.split() for line in sake("pointers", "--to", there).stdout.splitlines()]
    assert [row[:3] for row in rows if row[1:2] in (["1"], ["3"])] == [
        ["production", "3", one[:12]], ["staging", "1", one[:12]],
    ]  # fmt: skip
    value = json.loads(sake("pointers", "production", "--to", there, "--json").stdout)
    assert [entry["content"] for entry in value["history"]] == [one, two, one]

    refused = sake("pointers", "production", "--delete", "--to", there)
    assert refused.returncode == 5
    assert "nobody said yes" in refused.stderr
    assert sake("pointers", "--delete", "--to", there).returncode == 2
    done = sake("pointers", "production", "--delete", "--yes", "--to", there, "--json")
    assert json.loads(done.stdout)["deleted"] == {
        "name": "production", "number": 3, "bundles": [two],
    }  # fmt: skip


def test_nothing_is_written_because_the_repository_says_so(
    sake: Run, registry: Path, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(registry / "one.h5", 0)
    done = sake("publish", "one.h5", cwd=registry)
    assert done.returncode == 1
    assert "nothing says where bundles are published" in done.stderr
    (registry / "sake.toml").write_text('[remote]\nbundles = "there"\n')
    done = sake("publish", "one.h5", cwd=registry)
    assert done.returncode == 1
    assert "only sake.toml says that bundles are published to there" in done.stderr
    assert not Path(there).exists()
    monkeypatch.setenv("SAKE_REMOTE_BUNDLES", there)
    assert sake("publish", "one.h5", cwd=registry).returncode == 0
    monkeypatch.delenv("SAKE_REMOTE_BUNDLES")
    assert sake("pointers", cwd=registry).returncode == 0  # read is what it says


@pytest.mark.parametrize("url", ["s3://me:word@bucket/x", "https://h/x?sig=s", "http://[::1"])
def test_a_place_holds_no_secret(sake: Run, url: str) -> None:
    done = sake("pointers", "--to", url)
    assert done.returncode == 1
    assert "--to: a URL" in done.stderr
    assert "word" not in done.stderr
