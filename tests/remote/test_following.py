"""What is current follows the pointer, and nothing that is wrong with it changes anything."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import InputError, ModelMismatchError, SakeError, SetupError
from sake_registry.remote.following import Follower
from sake_registry.remote.pointer import write_pointer
from sake_registry.runtime.bundle import Bundle, load_bundle
from tests import tiny_models, workshop
from tests.bundle.synthetic import EDITS, write
from tests.remote.conftest import Remote

NEVER = 3600.0
"""Seconds between two looks, where a test looks itself."""


def ids(path: Path) -> tuple[str, ...]:
    """What the tests make of a bundle: the ids of its edits."""
    with BundleFile(path) as file:
        return tuple(edit.id for edit in file.manifest.edits)


following = partial(Follower[tuple[str, ...]], take=ids, every=NEVER)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Bundles that differ in their edits, by name; and what is none."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {}
    for number, name in enumerate(("three", "two", "one")):
        write(folder / name, EDITS[number:])
        made[name] = (folder / name).read_bytes()
    return {**made, "cut": made["three"][:-1], "html": b"<html>"}


HELD = {"three": ("ada-3", "bob", "cyd"), "two": ("bob", "cyd"), "one": ("cyd",)}


def put_pointer(remote: Remote, bundle: str, note: str = "") -> None:
    remote.put("p.json", json.dumps({"bundle": bundle, "note": note}).encode())


def disable(remote: Remote, *edits: str) -> None:
    text = json.dumps({"disabled": dict.fromkeys(edits, "ticket 1")})
    remote.put("overrides.json", text.encode())


def until(happened: Callable[[], bool]) -> None:
    """Wait for what threads do."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@pytest.fixture
def filled(anywhere: Remote, bundles: dict[str, bytes]) -> Remote:
    for name, data in bundles.items():
        anywhere.put(f"{name}.h5", data)
    put_pointer(anywhere, "three.h5")
    return anywhere


def test_a_pointer_is_followed(filled: Remote) -> None:
    with following(filled / "p.json") as follower:
        assert follower.current == HELD["three"]
        assert (follower.generation, follower.problem) == (1, None)
        follower.look_at_pointer()
        assert follower.generation == 1
        put_pointer(filled, "two.h5")
        follower.look_at_pointer()
        assert follower.current == HELD["two"]
        assert (follower.generation, follower.problem) == (2, None)
        put_pointer(filled, "three.h5")
        follower.look_at_pointer()
        assert follower.current == HELD["three"]
        put_pointer(filled, "three.h5", note="once more, whatever lies there now")
        follower.look_at_pointer()
        assert (follower.generation, follower.now.refused) == (4, 0)


def test_threads_follow_by_themselves(filled: Remote) -> None:
    with Follower(filled / "p.json", ids, every=0.01) as follower:
        disable(filled, "bob")
        until(lambda: follower.disabled == {"bob"})
        put_pointer(filled, "two.h5")
        until(lambda: follower.current == HELD["two"])
        disable(filled)
        until(lambda: not follower.disabled)
        put_pointer(filled, "html.h5")
        until(lambda: follower.problem is not None)
    put_pointer(filled, "one.h5")
    disable(filled, "cyd")
    time.sleep(0.1)
    assert (follower.current, follower.disabled) == (HELD["two"], frozenset())
    follower.stop()


def test_a_bad_bundle_is_refused_and_not_tried_again(filled: Remote) -> None:
    taken: list[Path] = []

    def take(path: Path) -> tuple[str, ...]:
        taken.append(path)
        if ids(path) == HELD["one"]:
            raise ModelMismatchError("it is of another model", hint="compile for this one")
        return ids(path)

    with Follower(filled / "p.json", take, NEVER, pause=NEVER) as follower:
        for bundle, why in {
            "cut.h5": "cut.h5",
            "html.h5": "html.h5 is not a sound bundle: it is not an HDF5 file",
            "none.h5": "none.h5 (put it there, then the pointer)" if "//" in filled.url else "none",
            "one.h5": "it is of another model (compile for this one)",
        }.items():
            put_pointer(filled, bundle)
            refused = follower.now.refused
            follower.look_at_pointer()
            assert follower.problem is not None
            assert why in follower.problem
            assert follower.current == HELD["three"]
            # It serves on, is not tried again, and that is still said.
            put_pointer(filled, "three.h5")
            follower.look_at_pointer()
            assert follower.problem is None
            put_pointer(filled, bundle)
            follower.look_at_pointer()
            assert why in (follower.problem or "")
            assert follower.now.refused == refused + 1
        assert len(taken) == 2
        assert follower.generation == 1
        put_pointer(filled, "two.h5")
        follower.look_at_pointer()
        assert follower.current == HELD["two"]


def test_what_was_refused_is_tried_again_after_a_pause(
    file: Remote, bundles: dict[str, bytes]
) -> None:
    file.put("one.h5", bundles["one"])
    put_pointer(file, "one.h5")
    with following(file / "p.json", pause=0) as follower:
        put_pointer(file, "two.h5")
        follower.look_at_pointer()
        assert "no bundle" in (follower.problem or "")
        file.put("two.h5", bundles["two"])
        follower.look_at_pointer()
        assert (follower.current, follower.problem) == (HELD["two"], None)


def test_whatever_take_raises_the_old_one_serves_on(
    file: Remote, bundles: dict[str, bytes]
) -> None:
    def take(path: Path) -> tuple[str, ...]:
        if ids(path) != HELD["three"]:
            raise RuntimeError("out of memory")
        return ids(path)

    for name in ("three", "two"):
        file.put(f"{name}.h5", bundles[name])
    put_pointer(file, "three.h5")
    with Follower(file / "p.json", take, every=0.01) as follower:
        put_pointer(file, "two.h5")
        until(lambda: "RuntimeError: out of memory" in (follower.problem or ""))
        put_pointer(file, "three.h5")
        until(lambda: follower.problem is None)
        assert follower.current == HELD["three"]


def test_a_pointer_that_is_gone_or_wrong_changes_nothing(filled: Remote) -> None:
    with following(filled / "p.json") as follower:
        filled.drop("p.json")
        follower.look_at_pointer()
        assert "no pointer" in (follower.problem or "")
        filled.put("p.json", b'{"bundle": ')
        follower.look_at_pointer()
        assert "not JSON" in (follower.problem or "")
        put_pointer(filled, "three.h5")
        follower.look_at_pointer()
        assert follower.problem is None
        assert (follower.current, follower.generation) == (HELD["three"], 1)


def test_a_server_that_cannot_be_reached_changes_nothing(
    http: Remote, bundles: dict[str, bytes]
) -> None:
    assert http.server is not None
    http.put("three.h5", bundles["three"])
    http.put("two.h5", bundles["two"])
    put_pointer(http, "three.h5")
    disable(http, "bob")
    with following(http / "p.json", pause=0) as follower:
        http.server.failing["/p.json"] = HTTPStatus.BAD_GATEWAY
        http.server.failing["/overrides.json"] = HTTPStatus.SERVICE_UNAVAILABLE
        follower.look_at_pointer()
        follower.look_at_overrides()
        assert "p.json: cannot be reached: 502" in (follower.problem or "")
        assert "overrides.json: cannot be reached: 503" in (follower.problem or "")
        assert (follower.current, follower.disabled) == (HELD["three"], {"bob"})
        http.server.failing = {"/two.h5": HTTPStatus.BAD_GATEWAY}
        put_pointer(http, "two.h5")
        follower.look_at_pointer()
        follower.look_at_overrides()
        assert "two.h5: cannot be reached: 502" in (follower.problem or "")
        assert follower.current == HELD["three"]
        http.server.failing = {}
        follower.look_at_pointer()
        assert (follower.current, follower.problem) == (HELD["two"], None)
        http.server.shutdown()
        http.server.server_close()
        follower.look_at_pointer()
        follower.look_at_overrides()
        assert (follower.current, follower.disabled) == (HELD["two"], {"bob"})
        assert (follower.problem or "").count("cannot be reached") == 2


def test_what_was_switched_off_is_never_switched_on_by_accident(filled: Remote) -> None:
    disable(filled, "bob", "cyd")
    with following(filled / "p.json") as follower:
        assert follower.disabled == {"bob", "cyd"}
        for text in (b"", b'{"disabled": ["bob"]}', b'{"disable": {}}', bytes(2 << 20), b"\xff"):
            filled.put("overrides.json", text)
            follower.look_at_overrides()
            assert follower.disabled == {"bob", "cyd"}
            assert "what was disabled stays so" in (follower.problem or "")
        filled.drop("overrides.json")
        follower.look_at_overrides()
        assert follower.disabled == {"bob", "cyd"}
        assert 'has gone: 2 edits stay disabled until it says {"disabled": {}}' in (
            follower.problem or ""
        )
        put_pointer(filled, "two.h5")
        follower.look_at_pointer()
        assert (follower.current, follower.disabled) == (HELD["two"], {"bob", "cyd"})
        filled.put("overrides.json", b'{"disabled": {}}')
        follower.look_at_overrides()
        assert (follower.disabled, follower.problem) == (frozenset(), None)
        filled.drop("overrides.json")
        follower.look_at_overrides()
        assert follower.problem is None


def test_a_restart_keeps_what_is_switched_off(filled: Remote) -> None:
    for _ in range(2):
        with following(filled / "p.json") as follower:
            disable(filled, "bob")
            follower.look_at_overrides()
            assert follower.disabled == {"bob"}
    filled.put("overrides.json", b"{")
    with pytest.raises(InputError, match=r"overrides\.json:1:2: not JSON"):
        following(filled / "p.json")


def test_a_start_without_the_overrides_server_is_no_start(
    http: Remote, bundles: dict[str, bytes]
) -> None:
    assert http.server is not None
    http.put("three.h5", bundles["three"])
    put_pointer(http, "three.h5")
    http.server.failing["/overrides.json"] = HTTPStatus.BAD_GATEWAY
    with pytest.raises(SetupError, match=r"overrides\.json: cannot be reached"):
        following(http / "p.json")


def test_the_first_bundle_is_taken_or_it_raises(filled: Remote) -> None:
    put_pointer(filled, "html.h5")
    with pytest.raises(SakeError, match="it is not an HDF5 file"):
        following(filled / "p.json")
    with pytest.raises(InputError, match="no pointer"):
        following(filled / "none.json")


def test_of_a_bundle_itself_the_overrides_are_followed(filled: Remote, tmp_path: Path) -> None:
    with following(filled / "two.h5") as follower:
        assert follower.current == HELD["two"]
        disable(filled, "bob")
        follower.look_at_overrides()
        assert follower.disabled == {"bob"}
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"disabled": {"cyd": "ticket 3"}}')
    with following(filled / "two.h5", overrides=elsewhere) as follower:
        assert follower.disabled == {"cyd"}


@pytest.mark.parametrize("place", ["p.json", "three.h5"])
def test_another_bundle_in_the_place_of_one_is_noticed(
    filled: Remote, bundles: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """And verified like any new one, when two looks have seen the same."""
    monkeypatch.setattr("sake_registry.remote.following.ELSEWHERE", 0.0)
    with following(filled / place, pause=NEVER) as follower:

        def look(times: int = 2) -> tuple[str, ...]:
            for _ in range(times):
                follower.look_at_pointer()
            return follower.current

        assert look() == HELD["three"]
        filled.put("three.h5", bundles["two"])
        assert look(1) == HELD["three"]
        assert look(1) == HELD["two"]
        assert (look(), follower.generation) == (HELD["two"], 2)
        filled.put("three.h5", bundles["cut"])
        assert look() == HELD["two"]
        assert "three.h5 is not a sound bundle" in (follower.problem or "")
        look()
        assert follower.now.refused == 1  # the same is not tried again
        filled.drop("three.h5")
        assert look() == HELD["two"]
        filled.put("three.h5", bundles["one"])
        assert look() == HELD["one"]
        assert (follower.generation, follower.problem) == (3, None)


def test_one_of_a_stated_content_is_held_to_it(file: Remote, bundles: dict[str, bytes]) -> None:
    file.put("it.h5", bundles["three"])
    with BundleFile(Path(file / "it.h5")) as opened:
        content = opened.manifest.content_hash
    file.put("p.json", json.dumps({"bundle": "it.h5", "content": content}).encode())
    with following(file / "p.json") as follower:
        file.put("it.h5", bundles["two"])
        for _ in range(2):
            follower.look_at_pointer()
        assert follower.current == HELD["three"]
        assert f"and the pointer says {content[:12]}" in (follower.problem or "")


def test_a_bundle_that_is_being_taken_delays_no_kill_switch(
    file: Remote, bundles: dict[str, bytes]
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def take(path: Path) -> tuple[str, ...]:
        if ids(path) == HELD["two"]:
            begun.set()
            go_on.wait(60)
        return ids(path)

    for name in ("three", "two"):
        file.put(f"{name}.h5", bundles[name])
    put_pointer(file, "three.h5")
    with Follower(file / "p.json", take, every=0.01) as follower:
        put_pointer(file, "two.h5")
        assert begun.wait(60)
        disable(file, "bob")
        until(lambda: follower.disabled == {"bob"})
        assert follower.current == HELD["three"]
        go_on.set()
        until(lambda: follower.current == HELD["two"])
        assert follower.disabled == {"bob"}


def test_a_file_of_this_machine_is_not_read_again_and_again(
    file: Remote, bundles: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sake_registry.remote.following as module

    file.put("three.h5", bundles["three"])
    put_pointer(file, "three.h5")
    reads: list[str] = []
    read_small = module.read_small

    def counted(place: str, limit: int) -> bytes:
        reads.append(place)
        return read_small(place, limit)

    monkeypatch.setattr(module, "read_small", counted)
    monkeypatch.setattr(module, "_SETTLED", 0.0)
    with following(file / "p.json") as follower:
        for _ in range(10):
            follower.look_at_pointer()
        assert len(reads) == 1 + 2  # and the overrides, which are not there, at the start


def test_two_writes_within_the_clock_s_grain_are_both_seen(
    file: Remote, bundles: dict[str, bytes]
) -> None:
    path = Path(file / "p.json")
    for name in ("two", "one"):
        file.put(f"{name}.h5", bundles[name])
    path.write_text('{"bundle": "two.h5"}')
    with following(path) as follower:
        for name in ("one", "two", "one"):
            before = path.stat()
            path.write_text(f'{{"bundle": "{name}.h5"}}'.ljust(20))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            follower.look_at_pointer()
            assert follower.current == HELD[name]


STATES = st.one_of(
    st.sampled_from(["three", "two", "one", "cut", "html", "absent"]),
    st.sampled_from(["{", "[]", '{"bundle": 1}', '{"bundel": "two.h5"}', "gone", "\ud800"]),
)


@given(st.lists(STATES, max_size=8))
@hypothesis_settings(max_examples=40)
def test_whatever_stands_there_the_last_good_one_is_current(
    bundles: dict[str, bytes], states: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bundle, data in bundles.items():
            (folder / f"{bundle}.h5").write_bytes(data)
        place, wanted = folder / "p.json", "three"
        write_pointer(place, "three.h5")
        with following(place, pause=0) as follower:
            for state in states:
                if state in (*bundles, "absent"):
                    write_pointer(place, f"{state}.h5")
                elif state == "gone":
                    place.unlink(missing_ok=True)
                else:
                    place.write_bytes(state.encode(errors="surrogatepass"))
                follower.look_at_pointer()
                good = state in HELD
                wanted = state if good else wanted
                assert follower.current == HELD[wanted]
                assert (follower.problem is None) == good


@pytest.mark.parametrize("swaps", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_swap_shows_a_half_state(file: Remote, bundles: dict[str, bytes], swaps: int) -> None:
    """Bundle and pointer are of one moment, whoever reads while they are swapped."""
    for name in ("two", "one"):
        file.put(f"{name}.h5", bundles[name])
    put_pointer(file, "one.h5")
    wrong: list[object] = []
    done = threading.Event()
    follower = following(file / "p.json")

    def read() -> None:
        last = 0
        while not done.is_set():
            now = follower.now
            name = Path(now.pointer.bundle).stem
            # Every swap is to the other one: odd generations are of the first.
            parity = "one" if now.generation % 2 else "two"
            if now.current != HELD[name] or name != parity or now.generation < last:
                wrong.append(now)
            last = now.generation
            time.sleep(0.0002)  # the writer has its turn

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with follower:
        for number in range(swaps):
            write_pointer(Path(file / "p.json"), "one.h5" if number % 2 else "two.h5")
            follower.look_at_pointer()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert (follower.generation, follower.now.refused) == (swaps + 1, 0)


def test_a_bundle_of_another_model_is_refused_on_a_live_model(tmp_path: Path) -> None:
    """What production does: attach proves the model and the probe before anything is current."""
    made = workshop.compiled(tmp_path, tiny_models.save("gpt2", tmp_path / "tiny-gpt2"))
    write(tmp_path / "another.h5")

    def take(path: Path) -> Bundle:
        bundle = load_bundle(path)
        with bundle.attach(made.model, made.tokenizer):
            return bundle

    place = tmp_path / "p.json"
    write_pointer(place, str(made.bundle.path))
    with Follower(place, take, NEVER) as follower:
        write_pointer(place, "another.h5")
        follower.look_at_pointer()
        assert "another.h5 is for tiny" in (follower.problem or "")
        assert follower.current.path == made.bundle.path
        assert follower.now.refused == 1
