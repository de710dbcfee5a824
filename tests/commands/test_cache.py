"""`sake cache` as a user runs it: its size, whether it is sound, and what nobody needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from sake_registry import open_registry
from sake_registry.compiler.plan import keys_of
from sake_registry.store import Store, StoredModel
from tests.conftest import Run

MODEL = StoredModel(name="org/model", hash="a" * 64, dtype="float32")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is remembered of model files is hashed again: here that is nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def store(registry: Path) -> Store:
    """A store in a repository: the objects of its one edit, and of one that nobody has."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "--quiet", "-m", "1"],
    ):
        subprocess.run(["git", *arguments], cwd=registry, env=environ, check=True)
    opened = open_registry(registry)
    made = Store(opened.store)
    made.remember_model(MODEL.name, MODEL.hash, MODEL.dtype)
    (keys,) = keys_of(opened.edits, MODEL, opened.settings).values()
    for kind, key in (
        ("activations", keys.activations), ("maps", keys.maps), ("routes", keys.edit),
        ("maps", "b" * 64), ("replies", "c" * 64),
    ):  # fmt: skip
        made.put(kind, key, {"t": torch.ones(100)}, None)  # type: ignore[arg-type]
    return made


def asked(sake: Run, registry: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = sake("cache", *arguments, "--json", cwd=registry)
    assert (done.returncode, done.stderr) == (code, "")
    value = json.loads(done.stdout)
    assert value.pop("schema") == "cache/1"
    assert isinstance(value, dict)
    return value


def test_the_size_is_told_by_kind(sake: Run, registry: Path, store: Store) -> None:
    done = sake("cache", cwd=registry)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["maps", "2", "1.3", "kB", "a", "fit"] in rows
    assert f"{store.folder}: 5 objects" in done.stdout
    assert "compiled for org/model (aaaaaaaa, float32)" in done.stdout
    value = asked(sake, registry)
    assert (value["objects"], value["action"]) == (5, "size")
    assert value["bytes"] == sum(found.bytes for found in store.objects())
    assert value["kinds"]["maps"]["objects"] == 2
    assert value["kinds"]["covariance"] == {"objects": 0, "bytes": 0}
    assert value["models"] == [{"name": "org/model", "hash": "a" * 64, "dtype": "float32"}]


def test_an_empty_store_has_no_size_and_is_not_made(sake: Run, registry: Path) -> None:
    for arguments in (["cache"], ["cache", "verify"]):
        done = sake(*arguments, cwd=registry)
        assert done.returncode == 0, done.stderr
        assert "0 objects" in done.stdout
    assert not (registry / ".sake").exists()


def test_verifying_names_what_is_damaged_and_removes_it_when_told(
    sake: Run, registry: Path, store: Store
) -> None:
    done = sake("cache", "verify", cwd=registry)
    assert (done.returncode, done.stdout) == (0, "5 objects, 0 damaged\n")
    path = store.path("replies", "c" * 64)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    cut = store.path("maps", "b" * 64)
    cut.write_bytes(cut.read_bytes()[:-1])
    done = sake("cache", "verify", cwd=registry)
    assert done.returncode == 1
    assert f"{path}: its content is not what was written\n" in done.stdout
    assert f"{cut}: its content is not what was written\n" in done.stdout
    assert done.stdout.endswith("5 objects, 2 damaged\n")
    assert "--delete removes them" in done.stderr
    assert path.is_file() and cut.is_file()
    value = asked(sake, registry, "verify", "--delete", code=1)
    assert (value["objects"], value["deleted"]) == (5, True)
    assert [found["kind"] for found in value["damaged"]] == ["maps", "replies"]
    assert len(store.objects()) == 3
    assert sake("cache", "verify", cwd=registry).returncode == 0


def test_garbage_is_shown_first_and_removed_when_told(
    sake: Run, registry: Path, store: Store
) -> None:
    done = sake("cache", "gc", cwd=registry)
    assert done.returncode == 0, done.stderr
    assert "maps bbbbbbbbbbbb" in done.stdout
    assert "not reached: 1 object" in done.stdout
    assert "kept: 3 objects" in done.stdout
    assert "1 version of edits × 1 version of the settings × 1 model" in done.stdout
    assert re.search(r"^kept: 1 object, .*, of no edit$", done.stdout, re.M)
    assert "nothing was removed" in done.stderr
    value = asked(sake, registry, "gc")
    assert value["unreached"] == [
        {"kind": "maps", "key": "b" * 64, "bytes": store.path("maps", "b" * 64).stat().st_size}
    ]
    assert value["deleted"] is False
    assert len(store.objects()) == 5

    done = sake("cache", "gc", "--delete", cwd=registry)
    assert done.returncode == 0, done.stderr
    assert "removed: 1 object" in done.stdout
    assert ("maps", "b" * 64) not in [(found.kind, found.key) for found in store.objects()]
    assert len(store.objects()) == 4
    assert asked(sake, registry, "gc")["unreached"] == []


def test_what_is_shared_is_shown_verified_and_collected(
    sake: Run, registry: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "no store is shared" in sake("cache", "--remote", cwd=registry).stderr
    shared = tmp_path / "shared"
    shutil.copytree(store.folder, shared)
    (registry / "sake.toml").write_text('[remote]\nstore = "shared"\n')
    value = asked(sake, registry, "--remote")
    assert (value["objects"], value["store"]) == (4, str(shared))  # replies are nobody else's
    assert f"  shared with {shared}, which is read\n" in sake("cache", cwd=registry).stdout
    damaged = Store(shared).path("maps", "b" * 64)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    done = sake("cache", "verify", "--remote", cwd=registry)
    assert (done.returncode, done.stdout) == (
        1, f"{damaged}: its content is not what was written\n4 objects, 1 damaged\n",
    )  # fmt: skip
    [found] = asked(sake, registry, "gc", "--remote")["unreached"]
    assert found["key"] == "b" * 64
    done = sake("cache", "gc", "--remote", "--delete", cwd=registry)
    assert done.returncode == 1
    assert "only sake.toml says that" in done.stderr
    assert damaged.is_file()
    monkeypatch.setenv("SAKE_REMOTE_STORE", str(shared))
    assert sake("cache", "gc", "--remote", "--delete", cwd=registry).returncode == 0
    assert not damaged.exists()
    assert len(store.objects()) == 5


def test_a_file_with_errors_keeps_what_git_has_of_it(
    sake: Run, registry: Path, store: Store
) -> None:
    (registry / "edits" / "darrieux.yaml").write_text("schema: 1\n")
    assert len(asked(sake, registry, "gc")["unreached"]) == 1


def test_what_forbids_it_is_said_and_nothing_is_removed(
    sake: Run, registry: Path, store: Store
) -> None:
    for arguments in (["gc", "--delete"], ["verify", "--delete"]):
        with store.lock():
            done = sake("cache", *arguments, cwd=registry)
        assert (done.returncode, done.stdout) == (5, "")
        assert f"another sake is compiling into {store.folder}" in done.stderr
    (record,) = (store.folder / "models").iterdir()
    record.unlink()
    done = sake("cache", "gc", "--delete", cwd=registry)
    assert (done.returncode, done.stdout) == (5, "")
    assert "nothing says for which models" in done.stderr
    assert "`sake compile`" in done.stderr
    (registry / ".git").rename(registry / "no-git")
    done = sake("cache", "gc", "--delete", cwd=registry)
    assert (done.returncode, done.stdout) == (4, "")
    assert "not in a git repository" in done.stderr
    assert f"rm -r '{store.folder}'" in done.stderr
    assert len(store.objects()) == 5
    for arguments in (["--delete"], ["clean"]):
        assert sake("cache", *arguments, cwd=registry).returncode == 2
