"""The store: what is put is what is got, what is damaged is missing, and one writes at a time."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sake_registry import store as store_module
from sake_registry.errors import LockedError
from sake_registry.files import TEMPORARY
from sake_registry.store import Store, StoredModel
from tests.conftest import ROOT

KEY = "ab" + "0" * 62


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are the same, to the bit."""

    def bits(tensor: torch.Tensor) -> tuple[Any, ...]:
        raw = tensor.contiguous().reshape(-1).view(torch.uint8)
        return tensor.dtype, tensor.shape, raw.numpy().tobytes()

    return {n: bits(t) for n, t in one.items()} == {n: bits(t) for n, t in other.items()}


TENSORS = {
    "float32": torch.tensor([[1 / 3, -0.0, 3.4e38], [1e-45, 0.0, float("inf")]]),
    "float64": torch.tensor([1 / 3], dtype=torch.float64),
    "float16": torch.tensor([0.1, 6e4], dtype=torch.float16),
    "bfloat16": torch.tensor([0.1, 3e38], dtype=torch.bfloat16),
    "bool": torch.tensor([True, False]),
    "int64": torch.tensor([-(2**63), 2**63 - 1]),
    "scalar": torch.tensor(0.5),
    "no rows": torch.zeros(0, 7),
    "nothing": torch.zeros(0),
    "transposed": torch.arange(12.0).reshape(3, 4).T,
    "a part": torch.arange(12.0)[3:7],
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_as_it_was_put(store: Store, name: str) -> None:
    store.put("activations", KEY, {"t": TENSORS[name]}, None)
    found = store.get("activations", KEY)
    assert found is not None
    (tensor,) = found[0].values()
    assert (tensor.dtype, tensor.shape) == (TENSORS[name].dtype, TENSORS[name].shape)
    assert torch.equal(tensor, TENSORS[name])
    assert equal(found[0], {"t": TENSORS[name]})


def test_many_tensors_come_back_each_under_its_name(store: Store) -> None:
    store.put("maps", KEY, TENSORS, {"kept": [0, 2]})
    found = store.get("maps", KEY)
    assert found is not None
    assert equal(found[0], TENSORS)


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        0,
        [],
        {},
        "NO",
        {"groups": [{"old": None, "new": "Œuvre – ∂\n\"'", "reg": 1e-10}], "kept": [0, 2]},
        {"deep": [[[{"a": [True, False, 3.10]}]]]},
    ],
    ids=repr,
)
def test_a_note_comes_back_as_it_was_put(store: Store, note: Any) -> None:
    store.put("routes", KEY, {"points": torch.ones(2, 3)}, note)
    found = store.get("routes", KEY)
    assert found is not None
    assert found[1] == note


def test_an_object_without_tensors_is_an_object(store: Store) -> None:
    store.put("probe", KEY, {}, {"a": 1})
    assert store.get("probe", KEY) == ({}, {"a": 1})


def test_what_was_not_put_is_missing_without_a_warning(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.get("maps", KEY) is None
    assert not store.has("maps", KEY)
    assert caplog.records == []
    assert not store.folder.exists()


def test_kinds_and_keys_are_apart(store: Store) -> None:
    other = KEY[:-1] + "1"
    for number, (kind, key) in enumerate([("maps", KEY), ("maps", other), ("routes", KEY)]):
        store.put(kind, key, {"t": torch.full((1,), number)}, number)  # type: ignore[arg-type]
    notes = [store.get("maps", KEY), store.get("maps", other), store.get("routes", KEY)]
    assert [found and found[1] for found in notes] == [0, 1, 2]
    assert store.has("maps", KEY)
    assert not store.has("probe", KEY)


def test_putting_again_replaces_and_leaves_nothing_else(store: Store) -> None:
    store.put("maps", KEY, TENSORS, {"a": 1})
    store.put("maps", KEY, {"t": torch.ones(1)}, {"a": 2})
    found = store.get("maps", KEY)
    assert found is not None
    assert equal(found[0], {"t": torch.ones(1)})
    assert found[1] == {"a": 2}
    assert [path for path in store.folder.rglob("*") if path.is_file()] == [store.path("maps", KEY)]


def test_an_object_stays_readable_while_it_is_put_again(store: Store) -> None:
    store.put("maps", KEY, {"t": torch.zeros(1000)}, 1)
    found = store.get("maps", KEY)
    assert found is not None
    store.put("maps", KEY, {"t": torch.ones(1000)}, 2)
    assert found[0]["t"].abs().sum() == 0


# -- what is there -----------------------------------------------------------------------------


def test_every_object_is_listed_with_its_size_and_nothing_else_is(store: Store) -> None:
    assert store.objects() == []
    other = "cd" + "1" * 62
    store.put("replies", KEY, {}, None)
    store.put("maps", other, {"t": torch.ones(3)}, None)
    store.put("maps", KEY, {"t": torch.ones(3)}, None)
    folder = store.path("maps", KEY).parent
    for name in (
        "notes.txt",
        "short.safetensors",
        f"{other}.safetensors",
        ".partial-x.safetensors",
    ):
        (folder / name).write_text("no object of this place")
    found = store.objects()
    assert [(o.kind, o.key) for o in found] == [("maps", KEY), ("maps", other), ("replies", KEY)]
    assert all(o.path.is_file() and o.bytes == o.path.stat().st_size for o in found)


def test_removed_objects_are_gone_and_the_others_are_not(store: Store) -> None:
    near = KEY[:-1] + "1"
    for key in (KEY, near, "cd" + "1" * 62):
        store.put("maps", key, {"t": torch.ones(3)}, None)
    first, second, third = store.objects()
    with store.lock():
        store.remove([first, third])
        store.remove([first])  # somebody was faster
    assert store.objects() == [second]
    assert not third.path.parent.exists()


def test_models_are_remembered_once_for_each_dtype(store: Store) -> None:
    assert store.models() == []
    store.remember_model("org/model", "a" * 64, "float32")
    store.remember_model("another-name", "a" * 64, "float32")
    store.remember_model("org/model", "a" * 64, "bfloat16")
    assert store.models() == [
        StoredModel(name="org/model", hash="a" * 64, dtype="bfloat16"),
        StoredModel(name="org/model", hash="a" * 64, dtype="float32"),
    ]


def test_a_record_in_anothers_place_is_left_out_and_written_anew(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.remember_model("one", "a" * 64, "float32")
    store.remember_model("other", "b" * 64, "float32")
    one, other = sorted((store.folder / "models").iterdir())
    one.write_bytes(other.read_bytes())
    assert [model.name for model in store.models()] == ["other"]
    assert "it is of bbbb" in caplog.text
    store.remember_model("one", "a" * 64, "float32")
    assert [model.name for model in store.models()] == ["one", "other"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"', '{"name": "x", "hash": "y"}', "\0"])
def test_a_record_that_is_none_is_passed_over_and_said_so(
    store: Store, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    store.remember_model("org/model", "a" * 64, "float32")
    (store.folder / "models" / "other.json").write_text(text)
    assert [model.name for model in store.models()] == ["org/model"]
    assert "not a record of a model" in caplog.text


# -- damage ------------------------------------------------------------------------------------


@pytest.fixture
def put(store: Store) -> tuple[dict[str, torch.Tensor], Any]:
    """A small object in the store."""
    value = {"0.plain": torch.arange(6.0).reshape(2, 3), "0.worked": torch.tensor([True, False])}
    store.put("activations", KEY, value, {"warnings": ["é"]})
    return value, {"warnings": ["é"]}


def test_an_object_with_any_byte_flipped_is_missing_and_said_so(
    store: Store, put: tuple[dict[str, torch.Tensor], Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = store.path("activations", KEY)
    sound = path.read_bytes()
    for mask in (0xFF, 0x01, 0x80):
        for place in range(len(sound)):
            damaged = bytearray(sound)
            damaged[place] ^= mask
            path.unlink()
            path.write_bytes(damaged)
            caplog.clear()
            found = store.get("activations", KEY)
            if found is None:
                (record,) = caplog.records
                assert record.levelno == logging.WARNING
                assert str(path) in record.getMessage()
                assert "built again" in record.getMessage()
            else:  # a byte that nobody reads
                assert (equal(found[0], put[0]), found[1]) == (True, put[1]), (place, mask)


def test_no_byte_of_the_data_or_the_note_is_left_unread(
    store: Store, put: tuple[dict[str, torch.Tensor], Any]
) -> None:
    path = store.path("activations", KEY)
    sound = path.read_bytes()
    note = sound.index("é".encode())
    for place in [note, note + 1, *range(len(sound) - 26, len(sound))]:
        damaged = bytearray(sound)
        damaged[place] ^= 0x01
        path.unlink()
        path.write_bytes(damaged)
        assert store.get("activations", KEY) is None


def test_verifying_finds_the_damage_that_getting_finds(
    store: Store, put: tuple[dict[str, torch.Tensor], Any]
) -> None:
    (found,) = store.objects()
    assert store.damage(found) is None
    sound = found.path.read_bytes()
    for mask in (0xFF, 0x01):
        for place in range(len(sound)):
            damaged = bytearray(sound)
            damaged[place] ^= mask
            found.path.unlink()
            found.path.write_bytes(damaged)
            missing = store.get("activations", KEY) is None
            assert (store.damage(found) is not None) == missing, (place, mask)
    found.path.write_bytes(sound[:-1])
    assert store.damage(found) == "its content is not what was written"
    found.path.write_bytes(sound[:100])
    assert "cannot be read" in (store.damage(found) or "")
    found.path.unlink()
    assert store.damage(found) is None  # another process removed it


def test_verifying_knows_every_dtype_and_needs_no_torch(store: Store) -> None:
    store.put("maps", KEY, TENSORS, {"note": "é"})
    store.put("probe", KEY, {}, None)
    code = (
        "import sys\nfrom pathlib import Path\nfrom sake_registry.store import Store\n"
        f"store = Store(Path({str(store.folder)!r}))\n"
        "print([store.damage(found) for found in store.objects()], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[None, None] False"


def test_an_object_cut_short_is_missing(
    store: Store, put: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.path("activations", KEY)
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.unlink()
        path.write_bytes(sound[:length])
        assert store.get("activations", KEY) is None
    assert len(caplog.records) == len(sound)


def test_a_folder_in_an_objects_place_is_missing(
    store: Store, put: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.path("activations", KEY)
    path.unlink()
    path.mkdir()
    assert store.get("activations", KEY) is None
    assert "built again" in caplog.text


def test_a_safetensors_file_that_is_no_object_is_missing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import save_file

    path = store.path("maps", KEY)
    path.parent.mkdir(parents=True)
    for metadata in (None, {"note": "1"}, {"digest": "0" * 64}):
        save_file({"t": torch.ones(2)}, path, metadata=metadata)
        assert store.get("maps", KEY) is None
    assert len(caplog.records) == 3


def test_a_damaged_object_is_mended_by_putting_it_again(
    store: Store, put: tuple[dict[str, torch.Tensor], Any]
) -> None:
    store.path("activations", KEY).write_bytes(b"damaged")
    assert store.get("activations", KEY) is None
    store.put("activations", KEY, *put)
    found = store.get("activations", KEY)
    assert found is not None
    assert equal(found[0], put[0])


# -- what is stored says what it is ------------------------------------------------------------

OTHER = "cd" + "1" * 62


def test_objects_in_each_others_places_are_damaged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    places = [("maps", KEY), ("maps", OTHER), ("routes", KEY)]
    for number, (kind, key) in enumerate(places):
        store.put(kind, key, {"t": torch.full((2,), number)}, {"n": number})  # type: ignore[arg-type]
    one, other, third = (store.path(kind, key) for kind, key in places)  # type: ignore[arg-type]
    first, second, routes = one.read_bytes(), other.read_bytes(), third.read_bytes()
    for path, content, says in (
        (one, second, "maps/cd"),
        (other, first, "maps/ab"),
        (third, first, "maps/ab"),
        (one, routes, "routes/ab"),
    ):
        sound = path.read_bytes()
        path.write_bytes(content)
        caplog.clear()
        (stored,) = (found for found in store.objects() if found.path == path)
        assert store.get(stored.kind, stored.key) is None
        assert f"it is another object, {says}" in caplog.text
        assert f"it is another object, {says}" in (store.damage(stored) or "")
        path.write_bytes(sound)
        assert store.damage(stored) is None


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), data[start:]


def with_header(path: Path, header: object, payload: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + payload)


@pytest.mark.parametrize("field", ["kind", "key", "note", "digest"])
@pytest.mark.parametrize("value", [None, 7, "", "other", [], {}])
def test_an_object_that_does_not_say_what_it_is_is_damaged(
    store: Store,
    put: tuple[dict[str, torch.Tensor], Any],
    caplog: pytest.LogCaptureFixture,
    field: str,
    value: Any,
) -> None:
    (stored,) = store.objects()
    header, payload = header_of(stored.path)
    if value is None:
        del header["__metadata__"][field]
    else:
        header["__metadata__"][field] = value
    with_header(stored.path, header, payload)
    assert store.get("activations", KEY) is None
    assert store.damage(stored)
    assert "built again" in caplog.text


@pytest.mark.parametrize(
    "note", ["", "{", "NaN x", "[" * 100_000, 7, None], ids=lambda note: repr(note)[:20]
)
def test_a_note_that_is_none_is_damage_though_the_digest_fits(
    store: Store, put: object, caplog: pytest.LogCaptureFixture, note: Any
) -> None:
    (stored,) = store.objects()
    header, payload = header_of(stored.path)
    meta = header.pop("__metadata__")
    meta["note"] = note
    del meta["digest"]
    meta["digest"] = store_module._digest(meta, header, memoryview(payload))
    with_header(stored.path, {**header, "__metadata__": meta}, payload)
    assert store.get("activations", KEY) is None
    assert "cannot be read" in (store.damage(stored) or "")
    assert "is damaged, and built again" in caplog.text


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"7", b"null", b"{", b"\xff", b"{}", b'{"__metadata__": 7}', b"[" * 200_000,
     b'{"__metadata__": {"kind": "maps"}}', b'{"t": 1}'],
    ids=lambda header: repr(header[:30]),
)  # fmt: skip
def test_a_header_that_is_none_is_damage(store: Store, put: object, header: bytes) -> None:
    (stored,) = store.objects()
    with_header(stored.path, header, b"")
    assert store.get("activations", KEY) is None
    assert store.damage(stored)
    with stored.path.open("r+b") as file:
        file.write(b"\xff" * 8)  # longer than any file
    assert store.get("activations", KEY) is None
    assert store.damage(stored)


def test_an_object_of_an_earlier_sake_is_said_to_be_one(store: Store, put: object) -> None:
    (stored,) = store.objects()
    header, payload = header_of(stored.path)
    meta = header["__metadata__"]
    header["__metadata__"] = {"note": meta["note"], "digest": meta["digest"]}
    with_header(stored.path, header, payload)
    assert store.get("activations", KEY) is None
    assert "an earlier sake wrote it" in (store.damage(stored) or "")


def test_what_cannot_be_made_of_an_object_is_damage(
    store: Store, put: object, caplog: pytest.LogCaptureFixture
) -> None:
    def parse(tensors: dict[str, torch.Tensor], note: Any) -> torch.Tensor:
        return tensors[note["name"]]

    assert store.read("activations", KEY, parse) is None
    assert "KeyError" in caplog.text


def test_a_pipe_in_an_objects_place_is_not_waited_for(store: Store, put: object) -> None:
    (stored,) = store.objects()
    stored.path.unlink()
    os.mkfifo(stored.path)
    assert store.get("activations", KEY) is None
    assert store.damage(stored) == "it is not a file"


@pytest.mark.parametrize("start", [bytes(8), b"\xff" * 8])
def test_a_long_file_without_a_header_is_not_read(store: Store, put: object, start: bytes) -> None:
    (stored,) = store.objects()
    with stored.path.open("wb") as file:
        file.write(start)
        file.truncate(1 << 40)  # it has holes, and no machine has so much memory
    assert store.get("activations", KEY) is None
    assert store.damage(stored) == "it has no header"


def test_objects_and_folders_that_vanish_while_they_are_listed(store: Store) -> None:
    keys = [f"{n:02x}" + "0" * 62 for n in range(60)]
    for key in keys:
        store.put("maps", key, {}, None)

    def vanish() -> None:
        for key in keys:
            shutil.rmtree(store.path("maps", key).parent)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(vanish)
        while not done.done():
            for stored in store.objects():
                assert store.damage(stored) is None
        done.result()
    assert store.objects() == []


def test_a_store_that_is_a_file_or_holds_other_things_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert Store(tmp_path / "file").objects() == []
    store = Store(tmp_path / "store")
    (store.folder / "maps").mkdir(parents=True)
    (store.folder / "maps" / "zz").write_text("text")
    assert store.objects() == []
    store.path("maps", KEY).mkdir(parents=True)
    (found,) = store.objects()
    assert store.damage(found) == "it is not a file"


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([2.0, 1.0])},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"a": torch.tensor([1.0, 2.0]).view(torch.int32)},
        {"a": torch.tensor([1.0]), "b": torch.tensor([2.0])},
        {},
    ],
    ids=repr,
)
def test_the_digest_covers_names_types_shapes_bytes_and_the_note(
    store: Store, other: dict[str, torch.Tensor]
) -> None:
    def digest(tensors: dict[str, torch.Tensor], note: Any = None) -> str:
        store.put("maps", KEY, tensors, note)
        return str(header_of(store.path("maps", KEY))[0]["__metadata__"]["digest"])

    same = {"a": torch.tensor([1.0, 2.0])}
    assert digest(same) == digest(same)
    assert digest(same) not in (digest(other), digest(same, "note"))
    one, two = torch.ones(2), torch.zeros(3)
    assert digest({"a": one, "b": two}) == digest({"b": two, "a": one})


# -- the lock ----------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from sake_registry.store import Store
store = Store(Path(sys.argv[1]))
with store.lock():
    (store.folder / "maps").mkdir(exist_ok=True)
    (store.folder / "maps" / sys.argv[2]).write_text("half")
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holder(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store until it is told or killed, with a file half-written."""
    command = [sys.executable, "-c", HOLDER, str(store.folder), f"{TEMPORARY}half"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def take(store: Store) -> bool:
    """Whether the lock can be had."""
    try:
        with store.lock():
            return True
    except LockedError:
        return False


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.1)


def test_a_second_process_is_locked_out_until_the_first_is_done(
    store: Store, impatient: None
) -> None:
    with holder(store) as process:
        with pytest.raises(LockedError) as info, store.lock():
            pass
        assert info.value.exit_code == 5
        assert info.value.message == f"another sake is compiling into {store.folder}"
        assert "wait until it is done" in (info.value.hint or "")
        # Being locked out, it leaves alone what the other is writing.
        assert (store.folder / "maps" / f"{TEMPORARY}half").exists()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert process.poll() is None
        assert take(store)


def test_a_lock_waits_a_moment_for_a_holder_that_is_nearly_done(store: Store) -> None:
    with holder(store) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert take(store)


def test_a_lock_dies_with_its_process_and_what_it_left_is_removed(
    store: Store, impatient: None
) -> None:
    with holder(store) as process:
        assert not take(store)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert (store.folder / "maps" / f"{TEMPORARY}half").exists()
        assert take(store)
        assert list((store.folder / "maps").iterdir()) == []


def test_a_lock_is_released_by_an_exception(store: Store) -> None:
    with pytest.raises(ValueError, match="no"), store.lock():
        raise ValueError("no")
    assert take(store)


def test_a_lock_excludes_its_own_process_too(store: Store, impatient: None) -> None:
    with store.lock():
        assert not take(Store(store.folder))
    assert take(store)


def test_reading_needs_no_lock(store: Store, put: object) -> None:
    with holder(store):
        assert store.get("activations", KEY) is not None


def test_objects_survive_the_removal_of_leftovers(store: Store, put: object) -> None:
    left = store.path("activations", KEY).parent / f"{TEMPORARY}x.safetensors"
    left.write_bytes(b"half")
    with store.lock():
        assert not left.exists()
        assert store.get("activations", KEY) is not None
