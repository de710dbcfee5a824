"""Bundles that are published, and pointers that are promoted: on a path, in memory, in S3."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from sake_registry import places
from sake_registry.bundle.reader import read_manifest
from sake_registry.errors import (
    BundleError,
    BundleFormatError,
    ConflictError,
    InputError,
    SetupError,
    StateError,
)
from sake_registry.remote.following import Follower
from sake_registry.remote.pointer import read_pointer
from sake_registry.remote.publishing import (
    Promotion,
    Record,
    carry_out,
    delete,
    history,
    plan_deletion,
    plan_promotion,
    plan_rollback,
    pointers,
    publish,
)
from tests.bundle.synthetic import EDITS, forge, write

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    write(tmp_path / "one.h5", EDITS)
    return tmp_path / "one.h5"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    write(tmp_path / "two.h5", EDITS[1:])
    return tmp_path / "two.h5"


def content(bundle: Path) -> str:
    return read_manifest(bundle).content_hash


def put(place: str, data: bytes) -> None:
    with fsspec.open(place, "wb") as file:
        file.write(data)


def promote(place: str, source: str, name: str, **options: Any) -> Promotion:
    promotion = plan_promotion(place, name, source, **options)
    carry_out(promotion)
    return promotion


def test_a_bundle_is_published_once_and_what_is_in_it_stands_beside_it(
    place: str, one: Path
) -> None:
    result = publish(one, place)
    assert (result.content, result.created) == (content(one), True)
    assert result.url.endswith(f"/bundles/{content(one)}.h5")
    record = Record.model_validate_json(places.read_small(result.manifest, 1 << 20))
    assert [edit.id for edit in record.edits] == [e.id for e in read_manifest(one).edits]
    assert record.sha256 == places.sha256(result.url)
    assert publish(one, place).created is False

    # The dates of edits are in no content: another file with the same one has a name of its own.
    dated = forge(one, one.with_stem("dated"), later=lambda arrays, manifest: (
        manifest["edits"][0].update(valid_until="2026-12-31")))  # fmt: skip
    other = publish(dated, place)
    assert other.created and other.content == result.content
    assert other.url.endswith(f"/{content(one)}-{other.sha256[:12]}.h5")
    assert not publish(dated, place).created
    promote(place, content(one), "production")
    [change] = promote(place, other.url.rpartition("/")[2][:-3], "production").edits
    assert change.action == "changed"


def test_a_pointer_is_promoted_rolled_back_and_followed(place: str, one: Path, two: Path) -> None:
    publish(one, place)
    publish(two, place)
    first = promote(place, content(one)[:12], "staging", lasts=timedelta(30), note="12", now=NOW)
    assert {edit.action for edit in first.edits} == {"added"}
    pointer = read_pointer(f"{place}/pointers/staging.json")
    assert (pointer.number, pointer.content, pointer.previous) == (1, content(one), None)
    assert (pointer.time, pointer.expires, pointer.note) == (NOW, NOW + timedelta(30), "12")
    assert read_pointer(f"{place}/pointers/staging/1.json") == pointer.model_copy(
        update={"bundle": read_pointer(f"{place}/pointers/staging/1.json").bundle}
    )
    promote(place, "staging", "production")
    with Follower(f"{place}/pointers/production.json", content, 1e6) as follower:
        second = promote(place, content(two), "production")
        [change] = second.edits
        assert (change.id, change.action) == (read_manifest(one).edits[0].id, "removed")
        follower.look_at_pointer()
        assert follower.current == content(two)
        third = plan_rollback(place, "production")
        assert [edit.action for edit in third.edits] == ["added"]
        carry_out(third)
        follower.look_at_pointer()
        assert follower.current == content(one)
        assert follower.now.pointer.number == 3
    with pytest.raises(StateError, match="led to no bundle before this one"):
        plan_rollback(place, "production")  # what was rolled back is not what was before
    carry_out(plan_rollback(place, "production", 2))
    assert [entry.number for entry in history(place, "production")] == [4, 3, 2, 1]
    assert [entry.content for entry in history(place, "production")] == [
        content(two), content(one), content(two), content(one),
    ]  # fmt: skip
    assert [(s.name, s.newest, s.behind) for s in pointers(place)] == [
        ("production", 4, False), ("staging", 1, False),
    ]  # fmt: skip


def test_a_pointer_is_deleted_with_the_bundles_that_were_its_own(
    place: str, one: Path, two: Path
) -> None:
    for bundle in (one, two):
        publish(bundle, place, b"{}")
        promote(place, content(bundle), "pr-12")
    promote(place, content(two), "production")
    promote(place, content(one), "pr-12")
    deletion = plan_deletion(place, "pr-12")
    assert (deletion.number, deletion.bundles) == (3, (content(one),))
    delete(deletion)
    assert [state.name for state in pointers(place)] == ["production"]
    assert set(places.listing(f"{place}/bundles")) == {
        f"{content(two)}.{kind}" for kind in ("h5", "json", "review.json")
    }
    assert set(places.listing(f"{place}/pointers/pr-12")) == {"3.json"}
    # Whoever followed it follows it when it is made again.
    again = promote(place, "production", "pr-12")
    assert (again.pointer.number, again.before) == (4, None)
    assert {edit.action for edit in again.edits} == {"added"}


def test_of_two_who_promote_one_wins_and_the_other_is_told(
    place: str, one: Path, two: Path
) -> None:
    publish(one, place)
    publish(two, place)
    mine = plan_promotion(place, "production", content(one))
    theirs = plan_promotion(place, "production", content(two))
    carry_out(theirs)
    with pytest.raises(ConflictError, match="'production' was changed meanwhile: number 1 is"):
        carry_out(mine)
    assert read_pointer(f"{place}/pointers/production.json").content == content(two)


def test_many_who_promote_at_once_lose_no_number(tmp_path: Path, one: Path, two: Path) -> None:
    """And a reader finds no pointer that is half-written, nor is led back."""
    place = str(tmp_path / "shared")
    hashes = [publish(bundle, place).content for bundle in (one, two)]
    promote(place, hashes[0], "production")
    lost, wrong, done = [0, 0], list[object](), threading.Event()

    def promoter(which: int) -> None:
        for _ in range(15):
            try:
                promote(place, hashes[which], "production")
            except ConflictError:
                lost[which] += 1

    def reader() -> None:
        while not done.is_set():
            try:
                if read_pointer(f"{place}/pointers/production.json").content not in hashes:
                    wrong.append("another")
            except InputError as error:
                wrong.append(error)

    promoters = [threading.Thread(target=promoter, args=[which]) for which in range(2)]
    reading = threading.Thread(target=reader)
    for thread in (*promoters, reading):
        thread.start()
    for thread in promoters:
        thread.join()
    done.set()
    reading.join()
    assert wrong == []
    entries = history(place, "production")
    assert len(entries) == 31 - sum(lost)
    assert [entry.number for entry in entries] == list(range(len(entries), 0, -1))
    assert [entry.previous for entry in entries[:-1]] == [entry.content for entry in entries[1:]]
    last = read_pointer(f"{place}/pointers/production.json")
    assert (last.number, last.content) == (entries[0].number, entries[0].content)


@pytest.mark.parametrize("swaps", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_loader_that_follows_ends_on_the_last_of_many_swaps(
    place: str, one: Path, two: Path, swaps: int
) -> None:
    hashes = [publish(bundle, place).content for bundle in (one, two)]
    promote(place, hashes[0], "production")
    problems = set[str | None]()
    with Follower(f"{place}/pointers/production.json", content, 0.001) as follower:
        for number in range(1, swaps + 1):
            promote(place, hashes[number % 2], "production")
            problems.add(follower.problem)
        follower.look_at_pointer()
        now = follower.now
    assert (now.current, now.pointer.number) == (hashes[swaps % 2], swaps + 1)
    assert now.generation > 1  # others were taken on the way, and none was refused
    assert (problems, now.refused) == ({None}, 0)


def test_what_an_interrupted_promotion_left_is_said_and_mended(
    place: str, one: Path, two: Path
) -> None:
    publish(one, place)
    publish(two, place)
    promote(place, content(one), "production")
    before = places.read_small(f"{place}/pointers/production.json", 1 << 20)
    promote(place, content(two), "production")
    put(f"{place}/pointers/production.json", before)  # as if it had been killed before that
    assert [state.behind for state in pointers(place)] == [True]
    promote(place, "production", "production")
    assert read_pointer(f"{place}/pointers/production.json").content == content(two)
    assert [state.behind for state in pointers(place)] == [False]


@pytest.mark.parametrize("damage", ["bundle", "history", "record"])
def test_what_was_tampered_with_is_not_promoted(
    place: str, one: Path, two: Path, damage: str
) -> None:
    result = publish(one, place)
    promote(place, result.content, "staging")
    if damage == "bundle":
        data = bytearray(one.read_bytes())
        data[-200] ^= 1
        put(result.url, bytes(data))
        with pytest.raises((BundleError, BundleFormatError)):
            plan_promotion(place, "production", "staging")
    elif damage == "history":
        put(f"{place}/pointers/staging/2.json", places.read_small(
            f"{place}/pointers/staging/1.json", 1 << 20))  # fmt: skip
        with pytest.raises(InputError, match="says that it is staging 1"):
            plan_promotion(place, "production", "staging")
    else:  # a record is no more than a note: what is promoted is read from the bundle
        put(result.manifest, b"{}")
        plan = plan_promotion(place, "staging", publish(two, place).content)
        assert [edit.action for edit in plan.edits] == ["removed"]


@pytest.mark.parametrize(
    ("do", "what"),
    [
        (lambda place: plan_promotion(place, "production", "stagin"), "no pointer 'stagin' in"),
        (lambda place: plan_promotion(place, "production", "abcdef0"), "no pointer 'abcdef0' in"),
        (lambda place: plan_promotion(place, "../x", "staging"), "no pointer can be called '../x'"),
        (lambda place: plan_rollback(place, "nothing"), "no pointer 'nothing' was promoted"),
        (lambda place: plan_rollback(place, "staging", 7), "'staging' has no number 7"),
        (lambda place: history(place, "Staging"), "no pointer can be called 'Staging'"),
    ],
)
def test_what_is_not_there_is_said(
    tmp_path: Path, one: Path, do: Callable[[str], Any], what: str
) -> None:
    place = str(tmp_path / "shared")
    promote(place, publish(one, place).content, "staging")
    with pytest.raises(InputError) as caught:
        do(place)
    assert what in caught.value.message
    assert caught.value.hint


def test_where_nothing_can_be_written_it_is_said(one: Path) -> None:
    with pytest.raises(SetupError, match="nothing is written over http"):
        publish(one, "http://127.0.0.1:9/x")


def test_a_backend_that_lets_one_file_be_created_twice_is_refused(
    tmp_path: Path, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "shared")
    plan = plan_promotion(place, "production", publish(one, place).content)
    monkeypatch.setattr(places, "create", lambda place, content: True)
    with pytest.raises(SetupError, match="a file can be created there twice"):
        carry_out(plan)
    assert json.dumps([state.name for state in pointers(place)]) == "[]"
