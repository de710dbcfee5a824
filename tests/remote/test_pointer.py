"""Pointers: what they may say, and the bundle that they bring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.bundle.reader import BundleFile, read_manifest
from sake_registry.errors import BundleError, BundleFormatError, InputError, StateError
from sake_registry.remote.fetching import KEPT, fetch_bundle
from sake_registry.remote.pointer import (
    Pointer,
    parse_pointer,
    read_pointer,
    write_pointer,
)
from tests.bundle.synthetic import EDITS, write
from tests.remote.conftest import Remote

CONTENT = "a" * 64


def test_what_a_pointer_says(anywhere: Remote) -> None:
    anywhere.put("p.json", b'{"bundle": "b.h5"}')
    assert read_pointer(anywhere / "p.json") == Pointer(bundle=anywhere / "b.h5")
    said = {"bundle": "s3://bucket/b.h5", "content": CONTENT, "note": "ticket 12"}
    anywhere.put("p.json", json.dumps(said).encode())
    assert json.loads(read_pointer(anywhere / "p.json").text) == said
    with pytest.raises(InputError, match=r"no pointer .*none\.json"):
        read_pointer(anywhere / "none.json")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "p.json:1:1: not JSON"),
        ("\ufeff{}", "not JSON"),
        ("[]", "it is not an object"),
        ("{}", "bundle: Field required"),
        ('{"bundle": ""}', "bundle: String should match"),
        ('{"bundle": "a\\u0000b"}', "bundle: String should match"),
        ('{"bundle": 5}', "bundle: Input should be a valid string"),
        ('{"bundle": "b", "content": "abc"}', "content: String should match"),
        ('{"bundle": "b", "contents": "abc"}', "unknown key 'contents'; did you mean 'content'?"),
        ('{"bundle": "b", "bundle": "c"}', "'bundle' stands twice"),
        (json.dumps({"bundle": "b" * 5000}), "bundle: String should have at most"),
        (json.dumps({"bundle": "b", "note": "n" * 70_000}), "larger than 65536 bytes"),
        ('{"bundle": "b", "number": 0}', "number: Input should be greater than or equal to 1"),
        ('{"bundle": "b", "number": "5"}', "number: Input should be a valid integer"),
        ('{"bundle": "b", "time": 5}', "time: Value error, a time like 2026"),
        ('{"bundle": "b", "expires": "2026-11-29T12:00:00"}', "expires: Input should have time"),
        ('{"bundle": "b", "name": "../x"}', "name: String should match"),
        ("[" * 60_000, "not JSON that can be read"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_pointer(text.encode(), "https://me:word@h/p.json")
    assert what in caught.value.message
    assert caught.value.message.startswith("https://h/p.json")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith('its form: {"bundle"')


def test_a_pointer_that_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "p.json"
    write_pointer(path, "b.h5", content=CONTENT, note="é")
    wanted = Pointer(bundle=str(tmp_path / "new" / "b.h5"), content=CONTENT, note="é")
    assert read_pointer(path) == wanted
    write_pointer(path, "c.h5")
    assert json.loads(path.read_text()) == {"bundle": "c.h5"}
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(StateError, match="is a link"):
        write_pointer(link, "d.h5")


def test_what_was_promoted_is_read_in_its_own_place_alone(anywhere: Remote) -> None:
    said = {
        "bundle": "b.h5", "content": CONTENT, "sha256": CONTENT, "name": "p", "number": 3,
        "time": "2026-11-29T12:00:00Z", "expires": "2026-12-29T12:00:00Z", "previous": CONTENT,
    }  # fmt: skip
    envelope = {"payload": "e30=", "signatures": [{"sig": "c2ln"}]}
    anywhere.put("p.json", json.dumps({**said, "signature": envelope}).encode())
    pointer = read_pointer(anywhere / "p.json")
    assert pointer.statement == {key: value for key, value in said.items() if key != "bundle"}
    assert pointer.signature == envelope
    anywhere.put("p.json", json.dumps(said).encode())
    assert read_pointer(anywhere / "p.json") == pointer  # and not told apart by who signed it
    anywhere.put("q.json", json.dumps(said).encode())
    with pytest.raises(InputError, match="in another's place"):
        read_pointer(anywhere / "q.json")


def test_a_local_bundle_stays_where_it_is(good: Path, cache: Path) -> None:
    content = read_manifest(good).content_hash
    assert fetch_bundle(Pointer(bundle=str(good), content=content)) == good
    assert fetch_bundle(Pointer(bundle=good.as_uri())) == good
    assert not cache.exists()
    with pytest.raises(BundleError, match=f"its content is {content[:12]}, and the pointer says"):
        fetch_bundle(Pointer(bundle=str(good), content=CONTENT))
    with pytest.raises(BundleError, match=r"its file has SHA-256 .*, and the pointer says a{12}"):
        fetch_bundle(Pointer(bundle=str(good), content=content, sha256=CONTENT))
    with pytest.raises(InputError, match="no bundle"):
        fetch_bundle(Pointer(bundle=str(good.parent / "none.h5")))


def test_a_bundle_from_elsewhere_is_kept_by_what_the_pointer_says(
    http: Remote,
    good: Path,
    cache: Path,
) -> None:
    assert http.server is not None
    http.put("b.h5", good.read_bytes())
    content = read_manifest(good).content_hash
    pointer = Pointer(bundle=http / "b.h5", content=content)
    path = fetch_bundle(pointer)
    assert path.read_bytes() == good.read_bytes()
    assert path.parent == cache
    assert fetch_bundle(pointer) == path
    assert http.server.asked == ["/b.h5"]
    # Whatever happened to it here, what is handed out is sound.
    path.write_bytes(good.read_bytes()[:-100])
    assert fetch_bundle(pointer).read_bytes() == good.read_bytes()
    assert http.server.asked == ["/b.h5"] * 2
    # The dates of its edits are not in its content: another pointer is another bundle.
    assert fetch_bundle(pointer.model_copy(update={"note": "again"})) != path
    assert http.server.asked == ["/b.h5"] * 3


def test_without_a_content_hash_it_is_fetched_each_time(memory: Remote, tmp_path: Path) -> None:
    pointer = Pointer(bundle=memory / "b.h5")
    for number in range(2):
        manifest = write(tmp_path / "b.h5", EDITS[number:])
        memory.put("b.h5", (tmp_path / "b.h5").read_bytes())
        assert read_manifest(fetch_bundle(pointer)).content_hash == manifest.content_hash


@pytest.mark.parametrize("place", ["maps/basis", "router/points", "activations/plain"])
def test_every_digest_is_verified(
    anywhere: Remote,
    good: Path,
    cache: Path,
    place: str,
) -> None:
    with BundleFile(good) as file:
        at = file._file[place].id.get_offset()
    data = bytearray(good.read_bytes())
    data[at] ^= 1
    anywhere.put("b.h5", bytes(data))
    with pytest.raises(BundleFormatError) as caught:
        fetch_bundle(Pointer(bundle=anywhere / "b.h5"))
    assert anywhere / "b.h5" in caught.value.message
    assert "partial" not in caught.value.message
    assert not [*cache.glob("*")]


def test_what_is_no_bundle_leaves_nothing(anywhere: Remote, cache: Path) -> None:
    anywhere.put("b.h5", b"<html>")
    with pytest.raises(BundleFormatError, match="it is not an HDF5 file"):
        fetch_bundle(Pointer(bundle=anywhere / "b.h5"))
    with pytest.raises(InputError, match=r"no bundle .*none\.h5"):
        fetch_bundle(Pointer(bundle=anywhere / "none.h5"))
    assert not [*cache.glob("*")]


def test_the_cache_keeps_the_last_ones(memory: Remote, good: Path, cache: Path) -> None:
    memory.put("b.h5", good.read_bytes())
    paths = [
        fetch_bundle(Pointer(bundle=memory / "b.h5", note=str(number)))
        for number in range(KEPT + 2)
    ]
    assert {*cache.glob("*.h5")} == {*paths[2:]}
