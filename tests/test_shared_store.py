"""A store that is shared: on a path, in memory, in S3. What one compiled, another does not."""

from __future__ import annotations

import logging
from pathlib import Path

import fsspec
import pytest
import torch

from sake_registry import Compiled, compile_registry, open_registry
from sake_registry.shared import SharedFiles
from sake_registry.store import Store
from tests import tiny_models
from tests.workshop import make_registry

KEY = "ab" + "0" * 62
NAME = f"maps/ab/{KEY}.safetensors"
TENSORS = {"t": torch.arange(12.0)}


def store(tmp_path: Path, name: str, place: str, *, writable: bool = True) -> Store:
    return Store(tmp_path / name, SharedFiles(place, writable=writable))


def moved(of: Store) -> tuple[int, int]:
    assert of.shared is not None
    return of.shared.brought.files, of.shared.sent.files


def test_what_one_put_another_has(tmp_path: Path, place: str) -> None:
    one = store(tmp_path, "one", place)
    assert not one.has("maps", KEY)
    one.put("maps", KEY, TENSORS, {"of": "one"})
    one.put("replies", KEY, TENSORS, None)
    assert moved(one) == (0, 1)  # replies are how something was measured

    two = store(tmp_path, "two", place)
    assert two.has("maps", KEY) and not two.has("replies", KEY)
    two.exchange([("maps", KEY), ("maps", KEY[::-1]), ("replies", KEY)])
    assert moved(two) == (1, 0)
    found = two.get("maps", KEY)
    assert found is not None and found[1] == {"of": "one"}
    assert moved(two) == (1, 0)  # it was here
    two.put("maps", KEY, TENSORS, {"of": "two"})
    assert moved(two) == (1, 0)  # made once

    # What was built before it was shared is sent, too; what is damaged here is not.
    before = Store(tmp_path / "before")
    before.put("maps", KEY[::-1], TENSORS, 1)
    before.put("routes", KEY, TENSORS, 1)
    before.path("routes", KEY).write_bytes(b"damaged")
    joined = store(tmp_path, "before", place)
    joined.exchange([("maps", KEY[::-1]), ("routes", KEY)])
    assert moved(joined) == (0, 1)
    assert store(tmp_path, "four", place).has("maps", KEY[::-1])

    three = store(tmp_path, "three", place)
    assert three.read("maps", KEY, lambda tensors, note: note) == {"of": "one"}
    assert three.path("maps", KEY).is_file()


@pytest.mark.parametrize("damage", ["a flipped byte", "cut off", "another object", "nothing"])
def test_what_is_not_sound_is_named_and_made_again(
    tmp_path: Path, place: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = store(tmp_path, "one", place)
    one.put("maps", KEY, TENSORS, 1)
    one.put("maps", KEY[::-1], TENSORS, 2)
    data = bytearray(one.path("maps", KEY).read_bytes())
    if damage == "a flipped byte":
        data[-1] ^= 1
    elif damage == "cut off":
        del data[-8:]
    elif damage == "another object":
        data = bytearray(one.path("maps", KEY[::-1]).read_bytes())
    else:
        data = bytearray()
    with fsspec.open(f"{place}/{NAME}", "wb") as file:
        file.write(data)

    two = store(tmp_path, "two", place)
    with caplog.at_level(logging.WARNING):
        two.exchange([("maps", KEY)])
        assert two.get("maps", KEY) is None
    [record] = caplog.records
    assert record.getMessage().startswith(f"{place}/{NAME} is damaged, and built again: it")
    assert not two.path("maps", KEY).exists()
    two.put("maps", KEY, TENSORS, 1)
    assert moved(two) == (1, 1)  # and the sound one takes its place
    assert store(tmp_path, "three", place).get("maps", KEY) is not None


def test_only_who_may_write_writes(tmp_path: Path, place: str) -> None:
    store(tmp_path, "one", place, writable=False).put("maps", KEY, TENSORS, 1)
    assert not store(tmp_path, "two", place).has("maps", KEY)


@pytest.mark.parametrize("place", ["nosuch://bucket/folder", "http://127.0.0.1:9/folder"])
def test_where_it_cannot_be_reached_one_warning_says_so(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = store(tmp_path, "one", place)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            key = f"{number}{KEY[1:]}"
            assert one.get("maps", key) is None
            one.put("maps", key, TENSORS, number)
            assert one.get("maps", key) is not None
    [record] = caplog.records
    assert f"{place}/maps/0b/" in record.getMessage()
    assert record.getMessage().endswith("; going on without it")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")


@pytest.mark.parametrize("place", ["file", "s3"], indirect=True)
@pytest.mark.model
def test_a_cold_machine_compiles_what_changed_and_nothing_else(
    tmp_path: Path, model: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a runner of CI: the same files, an empty store, nothing remembered of the user."""

    def compiled(name: str, *, may_write: bool, change: bool = False) -> Compiled:
        root = make_registry(tmp_path / name, model)
        if may_write:
            monkeypatch.setenv("SAKE_REMOTE_STORE", place)
        else:
            monkeypatch.delenv("SAKE_REMOTE_STORE", raising=False)
            settings = root / "sake.toml"
            settings.write_text(f'{settings.read_text()}\n[remote]\nstore = "{place}"\n')
        if change:
            file = root / "edits" / "tolstoy-tongue.yaml"
            file.write_text(file.read_text().replace("Polish", "Finnish"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"{name}-cache"))
        return compile_registry(open_registry(root))

    first = compiled("first", may_write=True)
    assert first.manifest and first.texts_run > 0

    with monkeypatch.context() as patch:
        patch.setattr("sake_registry.compiler.context.load", None)  # the model is not even loaded
        second = compiled("second", may_write=False)
    assert second.manifest and second.texts_run == 0
    assert second.manifest.content_hash == first.manifest.content_hash

    before = SharedFiles(place, writable=False).names()
    third = compiled("third", may_write=False, change=True)
    assert third.done == {"australia-capital": "reused", "tolstoy-tongue": "built"}
    assert SharedFiles(place, writable=False).names() == before  # sake.toml alone sends nothing
    compiled("fourth", may_write=True, change=True)
    assert len(SharedFiles(place, writable=False).names()) == len(before) + 3
