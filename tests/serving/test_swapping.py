"""Another bundle, and switches, while requests run."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sake_registry.errors import InputError, ModelMismatchError, SakeError
from sake_registry.files import write_bytes, write_text
from sake_registry.remote.pointer import write_pointer
from sake_registry.serving.batching import BatchLimits
from tests import tiny_models, workshop
from tests.serving.conftest import MODEL, TOKEN, Running, Start, World, keys
from tests.serving.hosting import until
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

CAPITAL, TONGUE = "australia-capital", "tolstoy-tongue"


def key_of(it: Running) -> str:
    return str(it.call("/health")[2]["bundle"])


def test_under_load_every_answer_s_key_explains_its_text(start: Start, world: World) -> None:
    both, one = keys(world)
    prompts = [*IN_SCOPE, *OUT_OF_SCOPE]
    with start(batches=BatchLimits(rows=4)) as it:
        hooks = world.model.get_output_embeddings()._forward_pre_hooks
        bare = {p: it.complete(p, edits="none").choices[0].text for p in prompts}
        edited = {p: it.complete(p).choices[0].text for p in prompts}
        assert bare[IN_SCOPE[1]] != edited[IN_SCOPE[1]]
        stop, answers = threading.Event(), list[tuple[str, Any]]()

        def ask(number: int) -> None:
            for prompt in itertools.cycle(prompts[number % 4 :] + prompts[: number % 4]):
                if stop.is_set():
                    return
                answers.append((prompt, it.complete(prompt)))

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask, number) for number in range(8)]
            for number in range(6):
                path, key = ((world.one, one), (world.both, both))[number % 2]
                write_pointer(it.pointer, str(path))
                until(lambda key=key: key_of(it) == key)
                seen = len(answers)
                until(lambda seen=seen: len(answers) > seen + 10)
            stop.set()
            for future in asking:
                future.result()  # no request failed
        assert it.metric('sake_bundle_swaps_total{outcome="taken"}') == 6
        it.complete(OUT_OF_SCOPE[0])
        assert len(hooks) == 1  # what was replaced is detached
    assert {answer.sake["bundle"] for _, answer in answers} == {both, one}
    for prompt, answer in answers:
        fires = prompt == IN_SCOPE[0] or (prompt == IN_SCOPE[1] and answer.sake["bundle"] == both)
        assert bool(answer.sake["edit"]) == fires
        assert answer.choices[0].text == (edited if fires else bare)[prompt]


def test_a_running_answer_ends_on_the_bundle_and_the_switches_it_began_with(
    start: Start, world: World
) -> None:
    both, one = keys(world)
    with start(seconds=600) as it:
        whole = it.complete(IN_SCOPE[1], 400)
        stream = iter(
            it.client.completions.create(
                model=MODEL, prompt=IN_SCOPE[1], max_tokens=400, temperature=0, stream=True
            )
        )
        pieces = [next(stream), next(stream)]
        write_text(it.overrides, json.dumps({"disabled": {TONGUE: "wrong"}}))
        write_pointer(it.pointer, str(world.one))
        until(lambda: key_of(it) == one and it.call("/health")[2]["disabled"] == 1)
        pieces += stream
        assert pieces[0].sake["bundle"] == both  # type: ignore[attr-defined]
        text = "".join(piece.choices[0].text for piece in pieces)
        assert text == whole.choices[0].text
        after = it.complete(IN_SCOPE[1])
        assert (after.sake["bundle"], after.sake["edit"]) == (one, None)


def other_model(world: World, folder: Path) -> Path:
    saved = tiny_models.save("llama", folder / "other-llama", seed=1)
    compiled = workshop.compiled(folder / "other-registry", saved)
    compiled.bundle.close()
    return compiled.bundle.path


def flipped(world: World, folder: Path) -> Path:
    data = bytearray(world.one.read_bytes())
    data[len(data) // 2] ^= 1
    write_bytes(folder / "flipped.h5", bytes(data))
    return folder / "flipped.h5"


def no_bundle(world: World, folder: Path) -> Path:
    write_text(folder / "text.h5", "no bundle")
    return folder / "text.h5"


def missing(world: World, folder: Path) -> Path:
    return folder / "nowhere.h5"


@pytest.mark.parametrize("bad", [other_model, flipped, no_bundle, missing])
def test_a_bad_bundle_is_refused_and_the_old_one_serves_on(
    start: Start, world: World, tmp_path: Path, bad: Callable[[World, Path], Path]
) -> None:
    path = bad(world, tmp_path)
    both, one = keys(world)
    with start() as it:
        write_pointer(it.pointer, str(path))
        until(lambda: it.call("/health")[2]["problem"])
        assert it.complete(IN_SCOPE[1]).sake["bundle"] == both
        status, _, health = it.call("/health")
        assert (status, health["bundle"]) == (200, both)
        assert path.name in health["problem"]
        assert it.metric('sake_bundle_swaps_total{outcome="refused"}') >= 1
        assert len(world.model.get_output_embeddings()._forward_pre_hooks) == 1
        write_pointer(it.pointer, str(world.one))
        until(lambda: key_of(it) == one)
        assert it.call("/health")[2]["problem"] is None


def test_a_pointer_that_flaps_changes_nothing_else(start: Start, world: World) -> None:
    both = keys(world)[0]
    with start() as it:
        for text in ("{", "", '{"bundle": 5}', "[]"):
            write_text(it.pointer, text)
            until(lambda: it.call("/health")[2]["problem"])
            assert it.complete(IN_SCOPE[0]).sake["bundle"] == both
            it.pointer.unlink()
            until(lambda: "no pointer" in (it.call("/health")[2]["problem"] or ""))
            write_pointer(it.pointer, str(world.both))
            until(lambda: it.call("/health")[2]["problem"] is None)
        assert it.metric('sake_bundle_swaps_total{outcome="taken"}') == 0


def test_at_the_start_a_bad_bundle_is_an_error(start: Start, world: World, tmp_path: Path) -> None:
    hooks = world.model.get_output_embeddings()._forward_pre_hooks
    with pytest.raises(ModelMismatchError), start(place=str(other_model(world, tmp_path))):
        pass
    with pytest.raises(InputError), start(place=str(tmp_path / "nowhere.json")):
        pass
    with pytest.raises(SakeError), start(place="http://127.0.0.1:9/production.json"):
        pass
    assert not hooks


def test_the_kill_switch_is_a_file_and_outlives_the_server(start: Start) -> None:
    with start() as it:
        bare = it.complete(IN_SCOPE[0], edits="none").choices[0].text
        assert it.complete(IN_SCOPE[0]).sake["edit"] == CAPITAL
        write_text(it.overrides, json.dumps({"disabled": {CAPITAL: "wrong, see the ticket"}}))
        until(lambda: it.complete(IN_SCOPE[0]).sake["edit"] is None)
        answer = it.complete(IN_SCOPE[0])
        assert answer.choices[0].text == bare
        assert answer.sake["reason"] == "disabled"
        assert it.complete(IN_SCOPE[1]).sake["edit"] == TONGUE
        (off, on) = it.call("/v1/edits")[2]["data"]
        assert (off["id"], off["state"], off["reason"]) == (
            CAPITAL, "disabled", "wrong, see the ticket",
        )  # fmt: skip
        assert (on["id"], on["state"], on["reason"]) == (TONGUE, "enabled", None)
        # A file that cannot be read switches nothing on again.
        write_text(it.overrides, '{"disabeld": {}}')
        until(lambda: it.call("/health")[2]["problem"])
        assert it.complete(IN_SCOPE[0]).sake["edit"] is None
        status, _, told = it.call(f"/v1/edits/{CAPITAL}/enable", {}, token=TOKEN)
        assert (status, told["error"]["code"]) == (409, "overrides_unusable")
        assert it.overrides.read_text() == '{"disabeld": {}}'
        write_text(it.overrides, json.dumps({"disabled": {CAPITAL: "still wrong"}}))
        until(lambda: it.call("/health")[2]["problem"] is None)
    with start() as it:
        assert it.complete(IN_SCOPE[0]).sake["reason"] == "disabled"


def test_admin_calls_write_the_file_and_are_in_force_at_once(start: Start) -> None:
    with start() as it:
        write_text(it.overrides, json.dumps({"disabled": {"of-another-bundle": "kept"}}))
        until(lambda: it.call("/health")[2]["disabled"] == 1)
        path = f"/v1/edits/{CAPITAL}"
        status, _, told = it.call(f"{path}/disable", {"reason": " wrong \n here"}, token=TOKEN)
        assert (status, told["state"]) == (200, "disabled")
        assert it.complete(IN_SCOPE[0]).sake["edit"] is None
        assert json.loads(it.overrides.read_text()) == {
            "disabled": {"of-another-bundle": "kept", CAPITAL: "wrong here"}
        }
        assert it.call("/v1/edits")[2]["not_in_bundle"] == ["of-another-bundle"]
        assert it.metric("sake_disabled_edits") == 2
        status, _, told = it.call(f"{path}/enable", b"", token=TOKEN, method="POST")
        assert (status, told["state"]) == (200, "enabled")
        assert it.complete(IN_SCOPE[0]).sake["edit"] == CAPITAL
        # What the next bundle may hold can be switched on again before it comes.
        assert it.call("/v1/edits/of-another-bundle/enable", b"", token=TOKEN)[0] == 200
        assert json.loads(it.overrides.read_text()) == {"disabled": {}}


def test_switching_from_many_sides_loses_no_switch(start: Start) -> None:
    with start() as it, ThreadPoolExecutor(8) as pool:

        def switch(number: int) -> int:
            id_ = (CAPITAL, TONGUE)[number % 2]
            return it.call(f"/v1/edits/{id_}/disable", {"reason": str(number)}, token=TOKEN)[0]

        assert set(pool.map(switch, range(24))) == {200}
        assert set(json.loads(it.overrides.read_text())["disabled"]) == {CAPITAL, TONGUE}
