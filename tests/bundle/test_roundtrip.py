"""What is written is what is read, and what identifies it depends on nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from sake_registry.bundle.format import BY_PATH, EditInfo
from sake_registry.bundle.reader import BundleFile
from sake_registry.bundle.writer import MetricPayload, edit_digests
from sake_registry.errors import BundleFormatError, InputError
from sake_registry.runtime.bundle import load_bundle
from tests.bundle.synthetic import (
    EDITS,
    EMBEDDER,
    WIDTH,
    edit,
    exact,
    exact_maps,
    hash_of,
    metric,
    values,
    values_of,
    write,
)


def test_everything_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    manifest = write(tmp_path / "b.h5")
    with BundleFile(tmp_path / "b.h5") as bundle:
        assert bundle.manifest == manifest
        assert bundle.has_activations
        for payload in EDITS:
            name = payload.info.id
            assert values_of(bundle, name) == {
                "info": payload.info,
                "points": exact(payload.points),
                "maps": exact_maps(group.maps for group in payload.groups),
                "activations": [
                    {n: exact(a) for n, a in g.activations.items()} for g in payload.groups
                ],
            }


def test_every_float32_survives_but_those_that_are_no_number(tmp_path: Path) -> None:
    extremes = np.array([0.0, -0.0, 1e-45, 3.4028235e38, -1.1754944e-38, 1 / 3], "<f4")
    payload = edit("ada", 1, [(1, 2, True)])
    payload.groups[0].maps[0]["basis"][0] = extremes
    payload.groups[0].activations["target"][1] = extremes
    write(tmp_path / "b.h5", [payload])
    with BundleFile(tmp_path / "b.h5") as bundle:
        assert bundle.maps("ada")[0][0]["basis"][0].tobytes() == extremes.tobytes()
        assert bundle.activations("ada")[0]["target"][1].tobytes() == extremes.tobytes()


def test_a_slim_bundle_differs_in_its_activations_alone(good: Path, tmp_path: Path) -> None:
    slim = tmp_path / "slim.h5"
    assert write(slim, activations=False) == write(tmp_path / "full.h5")
    with BundleFile(slim) as thin, BundleFile(good) as full:
        assert thin.manifest.content_hash == full.manifest.content_hash
        assert thin.digests == full.digests
        assert not thin.has_activations
        assert thin.activations("ada-3") == []
        for payload in EDITS:
            name = payload.info.id
            expected = {**values_of(full, name), "activations": []}
            assert values_of(thin, name) == expected
    with h5py.File(slim) as file:
        assert "activations" not in file


def test_a_bundle_without_edits_is_a_bundle(tmp_path: Path) -> None:
    write(tmp_path / "none.h5", [])
    with BundleFile(tmp_path / "none.h5") as bundle:
        bundle.verify()
        assert bundle.manifest.edits == ()
        assert bundle.digests == {}
        assert bundle.probe.shape == (8, WIDTH)


def test_an_edit_without_groups_is_read(tmp_path: Path) -> None:
    bare = edit("bare", 5, [])
    write(tmp_path / "b.h5", [bare, EDITS[1]])
    with BundleFile(tmp_path / "b.h5") as bundle:
        assert bundle.maps("bare") == []
        assert bundle.points("bare").shape == (2, EMBEDDER)
        assert len(bundle.maps("bob")) == 1


def test_the_order_of_the_edits_does_not_matter(tmp_path: Path) -> None:
    files = []
    for number, order in enumerate(permutations(EDITS)):
        path = tmp_path / f"{number}.h5"
        write(path, order)
        files.append(path.read_bytes())
    assert len(set(files)) == 1


def test_removing_an_edit_leaves_every_other_alone(good: Path, tmp_path: Path) -> None:
    everything = values(good)
    for removed in EDITS:
        path = tmp_path / f"without-{removed.info.id}.h5"
        write(path, [payload for payload in EDITS if payload is not removed])
        rest = values(path)
        assert rest["digests"] == {
            name: value for name, value in everything["digests"].items() if name != removed.info.id
        }
        assert rest["manifest"].content_hash != everything["manifest"].content_hash
        for payload in EDITS:
            if payload is not removed:
                assert rest[payload.info.id] == everything[payload.info.id]
        with BundleFile(path) as bundle, pytest.raises(InputError, match=removed.info.id):
            bundle.maps(removed.info.id)


def test_putting_an_edit_back_gives_the_earlier_file(good: Path, tmp_path: Path) -> None:
    write(tmp_path / "b.h5", EDITS[:2])
    assert (tmp_path / "b.h5").read_bytes() != good.read_bytes()
    write(tmp_path / "b.h5", EDITS)
    assert (tmp_path / "b.h5").read_bytes() == good.read_bytes()


def test_provenance_versions_and_settings_change_no_hash(good: Path, tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "b.h5",
        provenance={"commit": "d" * 40, "dirty": True},
        versions={"torch": "9", "threads": "64"},
        settings={"compile": {"batch_size": 3}},
    )
    with BundleFile(good) as bundle, BundleFile(tmp_path / "b.h5") as other:
        assert other.manifest == manifest != bundle.manifest
        assert other.manifest.key == bundle.manifest.key
        assert other.manifest.content_hash == bundle.manifest.content_hash
        assert other.digests == bundle.digests


def test_an_object_of_several_tokens_has_its_maps_in_their_order(good: Path) -> None:
    with BundleFile(good) as bundle:
        first, _ = bundle.info("ada-3").groups
        assert [step.position for step in first.steps] == [0, 2]
        assert [step.complement for step in first.steps] == [1.0, 0.75]
        assert [[len(m["scale"]) for m in maps] for maps in bundle.maps("ada-3")] == [[3, 1], [0]]
        # A row for each pair and token; the model is forced to the old object's first only.
        rows = bundle.activations("ada-3")[0]
        assert {name: len(array) for name, array in rows.items()} == {
            "plain": 12, "forced": 4, "target": 12, "worked": 12, "context": 12,
        }  # fmt: skip


def test_the_score_of_a_group_is_the_lowest_of_its_maps() -> None:
    (group,) = edit("ada", 1, [((2, 1, 1), 3, True)]).info.groups
    first, second, third = group.steps
    assert group.score == 0.9
    steps = (first, second.model_copy(update={"score": 0.25}), third)
    assert group.model_copy(update={"steps": steps}).score == 0.25
    assert group.model_copy(update={"steps": (second, third)}).score is None
    # What ends the object is no part of it.
    ends = first.model_copy(update={"position": 3, "score": 0.25})
    closed = group.model_copy(update={"steps": (first, ends), "closing": 7})
    assert closed.score == 0.9


@pytest.mark.parametrize(
    "payload",
    [
        metric("contrast", birth=2, death=1),
        metric("contrast"),
        metric("mahalanobis"),
        metric("euclidean"),
        metric("cosine", birth=2),
    ],
    ids=lambda payload: f"{payload.info.kind}-{len(payload.background)}",
)
def test_the_metric_is_read_back_with_and_without_projection_and_background(
    tmp_path: Path, payload: MetricPayload
) -> None:
    write(tmp_path / "b.h5", metric=payload)
    with BundleFile(tmp_path / "b.h5") as bundle:
        bundle.verify()
        assert bundle.manifest.metric == payload.info
        expected = exact(payload.projection), exact(payload.background)
        assert tuple(map(exact, bundle.metric)) == expected


def edit_changed(info: EditInfo, **changes: Any) -> EditInfo:
    return info.model_copy(update=changes)


def route_changed(info: EditInfo, **changes: Any) -> EditInfo:
    route = info.routes[0].model_copy(update=changes)
    return edit_changed(info, routes=(route, *info.routes[1:]))


def group_changed(info: EditInfo, **changes: Any) -> EditInfo:
    return edit_changed(info, groups=(info.groups[0].model_copy(update=changes),))


def step_changed(info: EditInfo, **changes: Any) -> EditInfo:
    first, second = info.groups[0].steps
    return group_changed(info, steps=(first, second.model_copy(update=changes)))


INFOS: dict[str, Callable[[EditInfo], EditInfo]] = {
    "threshold": lambda info: edit_changed(info, threshold=4.5),
    "implied": lambda info: edit_changed(info, implied=4.5),
    "topics": lambda info: edit_changed(info, topics=("birth",)),
    "kind": lambda info: edit_changed(info, kind="centre"),
    "ends": lambda info: route_changed(info, ends=("on",)),
    "links": lambda info: route_changed(info, links=("mother",)),
    "asks": lambda info: edit_changed(info, asks="mother"),
    "tokens": lambda info: group_changed(info, tokens=(7, *info.groups[0].tokens[1:])),
    "closing": lambda info: group_changed(info, closing=7),
    "old object": lambda info: group_changed(info, old="older"),
    "new object": lambda info: group_changed(info, new="newer"),
    "complement": lambda info: step_changed(info, complement=0.5),
    "position": lambda info: step_changed(info, position=2),
}


@pytest.mark.parametrize("name", INFOS)
def test_whatever_an_edit_does_is_in_its_digest(name: str) -> None:
    payload = edit("ada", 1, [((2, 1, None), 3, True)])
    changed = INFOS[name](payload.info)
    assert changed != payload.info
    assert edit_digests(replace(payload, info=changed)) != edit_digests(payload)


@pytest.mark.parametrize("part", ["maps", "activations", "points", "routes", "key"])
def test_every_part_of_an_edit_is_in_its_digest_and_in_no_other(tmp_path: Path, part: str) -> None:
    first, second = edit("ada", 1, [(2, 3, True)]), edit("bob", 2, [(2, 3, True)])
    before = write(tmp_path / "before.h5", [first, second])
    if part == "key":
        second = edit("bob", 2, [(2, 3, True)], key=hash_of("e"))
    elif part == "routes":
        second = edit("bob", 2, [(2, 3, True)], threshold=4.5)
    elif part == "points":
        second.points[0, 0] += 1
    elif part == "maps":
        second.groups[0].maps[0]["scale"][1] += 1
    else:
        second.groups[0].activations["context"][1] += 1
    after = write(tmp_path / "after.h5", [first, second])
    assert before.content_hash != after.content_hash
    with BundleFile(tmp_path / "before.h5") as old, BundleFile(tmp_path / "after.h5") as new:
        assert old.digests["ada"] == new.digests["ada"]
        assert old.digests["bob"] != new.digests["bob"]


def test_digests_do_not_depend_on_the_layout_of_an_array_in_memory() -> None:
    payload = edit("ada", 1, [(3, 4, True)])
    expected = edit_digests(payload)
    for name, array in payload.groups[0].activations.items():
        payload.groups[0].activations[name] = np.asfortranarray(array)  # type: ignore[index]
    assert edit_digests(payload) == expected


def test_the_file_holds_the_datasets_of_the_format_and_nothing_else(good: Path) -> None:
    found: list[str] = []
    with h5py.File(good) as file:
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in found:
            assert file[name].dtype.str == BY_PATH[name].dtype
            assert dict(file[name].attrs) == {}
    assert sorted(found) == sorted(BY_PATH)


@pytest.mark.parametrize("edits", [0, 1, 400])
def test_the_room_that_is_reserved_on_the_disk_is_enough_and_is_given_back(
    tmp_path: Path, edits: int
) -> None:
    write(tmp_path / "b.h5", [edit(f"e-{n}", n, [(1, 2, True)]) for n in range(edits)])
    with h5py.File(tmp_path / "b.h5") as file:
        data = sum(file[name].nbytes for name in BY_PATH)
    assert 0 < (tmp_path / "b.h5").stat().st_size - data < 16 * 1024


def test_two_edits_of_one_id_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="'bob' stands twice"):
        write(tmp_path / "b.h5", [*EDITS, EDITS[1]])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_edit_is_an_error_that_offers_the_nearest(good: Path) -> None:
    with (
        BundleFile(good) as bundle,
        pytest.raises(InputError, match="did you mean 'ada-3'") as info,
    ):
        bundle.maps("ada-4")
    assert not isinstance(info.value, BundleFormatError)


def test_reading_takes_no_lock_and_two_readers_do_not_meet(good: Path) -> None:
    with BundleFile(good) as one, BundleFile(good) as two:
        assert values_of(one, "cyd") == values_of(two, "cyd")


def test_loading_leaves_the_collector_of_cycles_as_it_was(good: Path) -> None:
    def loaded() -> tuple[bool, int]:
        with load_bundle(good):
            return gc.isenabled(), gc.get_freeze_count()

    assert loaded() == (True, 0)
    gc.disable()
    try:
        assert loaded() == (False, 0)
    finally:
        gc.enable()
    gc.freeze()
    try:
        enabled, frozen = loaded()
        assert enabled and frozen > 0
    finally:
        gc.unfreeze()
