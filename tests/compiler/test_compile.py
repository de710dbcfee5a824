"""The compile is a function of its input, and does only what it must (invariants 5 and 7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from transformers import AutoTokenizer

from sake_registry import compile_registry, make_plan, open_registry, test_registry
from sake_registry.asking.tested import newest
from sake_registry.bundle.reader import BundleFile
from sake_registry.commands import cli
from sake_registry.commands import compile_ as compile_command
from sake_registry.compiler.choosing import COMPLEMENTS, SHARES
from sake_registry.compiler.executors import worker
from sake_registry.compiler.run import Compiled
from sake_registry.errors import (
    BuildError,
    BundleFormatError,
    EditFileError,
    InputError,
    LockedError,
)
from sake_registry.models.loading import locate
from sake_registry.runtime.bundle import load_bundle
from sake_registry.settings import learned_text
from sake_registry.store import Store
from tests.compiler.conftest import Compile
from tests.workshop import CAPITAL, EDITS, IN_SCOPE, OUT_OF_SCOPE, TONGUE


def actions(root: Path, overrides: dict[str, object] | None = None) -> dict[str, tuple[str, str]]:
    registry = open_registry(root, overrides)
    plan = make_plan(registry, locate(registry.settings))
    return {planned.id: (planned.action, planned.reason) for planned in plan.edits}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextmanager
def tolstoy_failing() -> Iterator[None]:
    real = worker.build

    def failing(edit, *arguments):  # type: ignore[no-untyped-def]
        if edit.id == "tolstoy-tongue":
            raise BuildError("tolstoy-tongue: no pair worked")
        return real(edit, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "build", failing)
        yield


def test_the_plan_says_what_and_why_and_does_nothing(root: Path, compile_: Compile) -> None:
    assert set(actions(root).values()) == {("build", "new")}
    assert not (root / ".sake").exists()
    assert not (root / "bundles").exists()
    compile_()
    assert set(actions(root).values()) == {("reuse", "unchanged")}
    assert set(actions(root, {"compile.reg": 0.5}).values()) == {
        ("refit", "the fit's settings changed")
    }
    assert set(actions(root, {"router.threshold": 3.0}).values()) == {
        ("refit", "the router's settings or the edit's unchanged prompts changed")
    }
    change(root / "edits" / "tolstoy-tongue.yaml", "grew up speaking", "grew up talking")
    assert actions(root) == {
        "australia-capital": ("reuse", "unchanged"),
        "tolstoy-tongue": ("build", "its texts, the model or the extraction changed"),
    }
    (root / "edits" / "tolstoy-tongue.yaml").unlink()
    assert actions(root)["tolstoy-tongue"] == ("remove", "its file is gone")
    change(
        root / "edits" / "australia-capital.yaml",
        "schema: 1",
        "schema: 1\nlifecycle: {status: draft}",
    )
    assert actions(root)["australia-capital"] == ("remove", "status: draft")


def test_a_second_compile_runs_nothing_and_gives_the_same_bundle(compile_: Compile) -> None:
    first, second = compile_(), compile_()
    assert first.texts_run > 0
    assert first.built == ["australia-capital", "tolstoy-tongue"]
    assert (second.texts_run, second.built) == (0, [])
    assert second.bundle == first.bundle
    assert second.manifest == first.manifest


def test_only_what_changed_is_run(root: Path, compile_: Compile) -> None:
    whole = compile_().texts_run
    assert compile_({"compile.reg": 0.5}).texts_run == 0
    assert compile_({"router.threshold": 3.0}).texts_run == 0
    assert compile_({"compile.solver": "uniform"}).texts_run == 0
    change(root / "edits" / "tolstoy-tongue.yaml", "grew up speaking", "grew up talking")
    assert 0 < compile_().texts_run < whole


def test_notes_and_dates_change_no_key_but_dates_reach_the_bundle(
    root: Path, compile_: Compile
) -> None:
    first = compile_()
    path = root / "edits" / "tolstoy-tongue.yaml"
    path.write_text(path.read_text() + "tags: [people]\nprovenance: {reason: because}\n")
    assert compile_().plan.current
    path.write_text(path.read_text() + "lifecycle: {valid_until: 2030-01-01}\n")
    third = compile_()
    assert third.plan.key == first.plan.key
    assert third.texts_run == 0
    assert third.manifest is not None
    assert first.manifest is not None
    assert third.manifest.content_hash == first.manifest.content_hash
    assert str(third.manifest.edits[1].valid_until) == "2030-01-01"


def payload(compiled: Compiled, edit: str) -> list[bytes]:
    assert compiled.bundle is not None
    with BundleFile(compiled.bundle) as file:
        arrays = [a for g in file.maps(edit) for step in g for _, a in sorted(step.items())]
        arrays += [file.points(edit)]
        arrays += [a for m in file.activations(edit) for _, a in sorted(m.items())]
        return [np.ascontiguousarray(a).tobytes() for a in arrays]


def test_edits_are_independent_and_going_back_gives_the_first_bundle_again(
    root: Path, compile_: Compile
) -> None:
    first = compile_()
    path = root / "edits" / "australia-capital.yaml"
    original = path.read_text()
    path.unlink()
    alone = compile_()
    assert alone.texts_run == 0
    assert payload(alone, "tolstoy-tongue") == payload(first, "tolstoy-tongue")
    assert alone.plan.key != first.plan.key
    path.write_text(original.replace("Canberra", "Melbourne"))
    changed = compile_()
    assert changed.texts_run > 0
    path.write_text(original)
    back = compile_()
    assert back.texts_run == 0
    assert back.plan.key == first.plan.key
    assert first.manifest is not None
    assert back.manifest is not None
    assert back.manifest.content_hash == first.manifest.content_hash
    assert payload(back, "australia-capital") == payload(first, "australia-capital")


def test_the_same_registry_elsewhere_gives_the_same_bytes(
    compile_: Compile, tmp_path_factory: pytest.TempPathFactory, model_folder: Path
) -> None:
    from sake_registry import compile_registry
    from tests.workshop import make_registry

    here = compile_()
    root = make_registry(tmp_path_factory.mktemp("elsewhere"), model_folder)
    # Built one by one, in the other order.
    for id_ in ("tolstoy-tongue", "australia-capital"):
        there = compile_registry(open_registry(root), [id_])
    assert there.plan.key == here.plan.key
    assert there.manifest is not None
    assert here.manifest is not None
    assert there.manifest.content_hash == here.manifest.content_hash


def test_ids_limit_what_is_built_and_only_makes_a_partial_bundle(compile_: Compile) -> None:
    some = compile_(None, "tolstoy-tongue")
    assert (some.built, some.bundle, some.missing) == (
        ["tolstoy-tongue"], None, ["australia-capital"],
    )  # fmt: skip
    partial = compile_(None, "tolstoy-tongue", only=True)
    assert partial.texts_run <= 8  # the probe alone
    assert partial.manifest is not None
    assert partial.manifest.partial
    assert [edit.id for edit in partial.manifest.edits] == ["tolstoy-tongue"]
    with pytest.raises(InputError, match="did you mean 'tolstoy-tongue'"):
        compile_(None, "tolstoi-tongue")


def test_a_slim_bundle_has_the_same_content(compile_: Compile) -> None:
    whole, slim = compile_(), compile_(slim=True)
    assert whole.bundle is not None
    assert slim.bundle is not None
    assert slim.texts_run == 0
    assert whole.manifest is not None
    assert slim.manifest is not None
    assert slim.manifest.content_hash == whole.manifest.content_hash
    assert slim.bundle.stat().st_size < whole.bundle.stat().st_size
    with BundleFile(slim.bundle) as file:
        assert not file.has_activations
        file.verify()


def test_an_edit_that_fails_says_why_and_the_others_are_built(
    root: Path, compile_: Compile
) -> None:
    strict = {"compile.keep_failed": False}
    result = compile_(strict)
    assert set(result.failures) == {"australia-capital", "tolstoy-tongue"}
    assert result.bundle is None
    error = result.failures["australia-capital"]
    assert isinstance(error, BuildError)
    assert re.search("'Canberra' in only [0-3] of 12 target contexts, 4 are", error.message)
    assert "add prompts" in (error.hint or "")
    assert not (root / "bundles").exists()
    # What was collected for it is kept: other settings fit it without a forward pass.
    assert compile_().texts_run <= 8
    going = compile_(strict, keep_going=True)
    assert (going.bundle, list(going.failures)) == (None, list(result.failures))
    assert set(going.outcomes.values()) == {"failed"}


def test_keep_going_leaves_the_failed_one_out(root: Path, compile_: Compile) -> None:
    compile_()
    change(root / "edits" / "tolstoy-tongue.yaml", "new: Polish", "new: Czech")
    with tolstoy_failing():
        stopped = compile_()
        assert (stopped.bundle, list(stopped.failures)) == (None, ["tolstoy-tongue"])
        result = compile_(keep_going=True)
    assert list(result.failures) == ["tolstoy-tongue"]
    assert result.manifest is not None
    assert [edit.id for edit in result.manifest.edits] == ["australia-capital"]
    assert result.outcomes == {"australia-capital": "reused", "tolstoy-tongue": "failed"}
    assert result.plan.path == result.bundle
    assert not result.manifest.partial


def test_outcomes_are_what_was_done_not_what_was_planned(root: Path, compile_: Compile) -> None:
    some = compile_(None, "tolstoy-tongue")
    assert some.outcomes == {"australia-capital": "still to build", "tolstoy-tongue": "built"}
    assert some.report.outcomes == some.outcomes
    assert set(compile_().outcomes.values()) == {"built", "reused"}
    (root / "edits" / "australia-capital.yaml").unlink()
    change(root / "edits" / "tolstoy-tongue.yaml", "new: Polish", "new: Czech")
    with tolstoy_failing():
        assert compile_().outcomes == {"tolstoy-tongue": "failed"}
    assert compile_().outcomes == {"australia-capital": "removed", "tolstoy-tongue": "built"}


def test_removals_are_kept_with_keep_going(root: Path, compile_: Compile) -> None:
    third = root / "edits" / "gone.yaml"
    third.write_text(TONGUE.replace("Leo Tolstoy", "Anton Chekhov"))
    compile_()
    third.unlink()
    change(root / "edits" / "tolstoy-tongue.yaml", "new: Polish", "new: Czech")
    with tolstoy_failing():
        result = compile_(keep_going=True)
    assert result.outcomes == {
        "australia-capital": "reused", "gone": "removed", "tolstoy-tongue": "failed",
    }  # fmt: skip


def test_a_damaged_bundle_is_written_anew(compile_: Compile) -> None:
    first = compile_()
    assert first.bundle is not None
    with BundleFile(first.bundle) as file:
        data = file.activations("tolstoy-tongue")[0]["target"].tobytes()
    sound = first.bundle.read_bytes()
    place = sound.index(data)
    damaged = bytearray(sound)
    damaged[place] ^= 1
    first.bundle.write_bytes(bytes(damaged))
    again = compile_()
    assert again.texts_run == 0
    assert again.bundle == first.bundle
    with BundleFile(first.bundle) as file:
        file.verify()


def test_a_partial_bundle_of_what_is_now_everything_is_written_as_whole(
    root: Path, compile_: Compile
) -> None:
    partial = compile_(None, "tolstoy-tongue", only=True)
    assert partial.manifest is not None
    assert partial.manifest.partial
    (root / "edits" / "australia-capital.yaml").unlink()
    whole = compile_()
    assert whole.bundle == partial.bundle
    assert whole.manifest is not None
    assert not whole.manifest.partial


def test_activations_that_overflow_are_an_edit_that_fails(
    compile_: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sake_registry import transport
    from sake_registry.compiler import build

    real = build.collect

    def overflowing(*arguments: Any, **options: Any) -> Any:
        rows = real(*arguments, **options)
        return [replace(group, target=group.target * float("inf")) for group in rows]

    with monkeypatch.context() as patch:
        patch.setattr(build, "collect", overflowing)
        error = compile_(None, "tolstoy-tongue").failures["tolstoy-tongue"]
    assert "activations are not finite" in error.message
    assert "--dtype" in (error.hint or "")

    def failing(*arguments: Any, **options: Any) -> Any:
        raise torch.linalg.LinAlgError("svd did not converge")  # type: ignore[attr-defined]

    with monkeypatch.context() as patch:
        patch.setattr(transport.Samples, "fit", failing)
        result = compile_(None, "australia-capital")
    assert "did not converge" in result.failures["australia-capital"].message


def test_after_keep_going_the_edits_in_the_bundle_are_tested(root: Path, compile_: Compile) -> None:
    with tolstoy_failing():
        compile_(keep_going=True)
    report = test_registry(open_registry(root))
    assert {row.edit for row in report.rows} == {"australia-capital"}
    kept = newest(open_registry(root).store)
    assert {id_: list(edit.rows) for id_, (_, edit) in kept.items()} == {
        "australia-capital": list(report.rows)
    }
    assert "tolstoy-tongue: not in the bundle: `sake compile`" in report.findings
    with pytest.raises(InputError, match="no edit 'tolstoy-tongue' in"):
        test_registry(open_registry(root), ["tolstoy-tongue"])


def test_the_command_says_what_was_done_and_why_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["-C", str(root), "compile", *arguments])

    totals = []

    @contextmanager
    def counted(*, quiet: bool) -> Iterator[Any]:
        class Watch:
            def begin(self, phase: str, total: int) -> None:
                totals.append(total)

            def advance(self, steps: int = 1, label: str = "") -> None:
                pass

        yield Watch()

    monkeypatch.setattr(compile_command, "watching", counted)
    done = run("tolstoy-tongue")
    assert done.exit_code == 0
    assert done.stdout.startswith("1 built, 1 still to build · ")
    assert run().stdout.startswith("1 built, 1 reused · ")
    assert run().stdout.startswith("2 reused · 0 texts")
    # Twelve prompts plain, forced, and in a target context; of the implication four, in three.
    assert totals == [36, 36 + 20, 0]
    settings = root / "sake.toml"
    settings.write_text(settings.read_text().replace("keep_failed = true", ""))
    for arguments, cure in (((), True), (("--keep-going",), False)):
        done = run(*arguments)
        assert done.exit_code == 1
        assert done.stdout.startswith("2 failed · ")
        assert done.stderr.count("add prompts that end right before the object") == 2
        assert "no bundle: 2 edits failed" in done.stderr
        assert ("(--keep-going leaves them out)" in done.stderr) == cure


def test_a_damaged_object_is_built_again(root: Path, compile_: Compile) -> None:
    first = compile_()
    assert first.bundle is not None
    first.bundle.unlink()
    for path in Store(root / ".sake/store").folder.glob("*/*/*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
    again = compile_()
    assert again.texts_run > 0
    assert first.manifest is not None
    assert again.manifest is not None
    assert again.manifest.content_hash == first.manifest.content_hash


@pytest.mark.parametrize("kind", ["activations", "maps", "routes"])
def test_objects_in_each_others_places_make_no_bundle_of_each_others_content(
    root: Path, compile_: Compile, kind: str
) -> None:
    first = compile_()
    assert first.bundle is not None and first.manifest is not None
    first.bundle.unlink()
    one, other = (root / ".sake/store" / kind).glob("*/*.safetensors")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    again = compile_()
    assert set(again.outcomes.values()) == {"built" if kind == "activations" else "refitted"}
    assert sorted(again.built) == ["australia-capital", "tolstoy-tongue"]
    assert again.manifest is not None
    assert again.manifest.content_hash == first.manifest.content_hash


@pytest.mark.parametrize("kind", ["activations", "maps", "routes"])
def test_a_damaged_object_of_an_edit_that_is_not_asked_for_is_still_to_build(
    root: Path, compile_: Compile, kind: str
) -> None:
    first = compile_()
    assert first.bundle is not None
    first.bundle.unlink()
    (planned,) = (p for p in first.plan.edits if p.id == "australia-capital")
    assert planned.keys is not None
    key = {
        "activations": planned.keys.activations, "maps": planned.keys.maps,
        "routes": planned.keys.edit,
    }[kind]  # fmt: skip
    Store(root / ".sake/store").path(kind, key).write_bytes(b"damaged")  # type: ignore[arg-type]
    some = compile_(None, "tolstoy-tongue")
    assert (some.bundle, some.missing) == (None, ["australia-capital"])
    assert some.outcomes == {"australia-capital": "still to build", "tolstoy-tongue": "reused"}
    assert compile_().bundle is not None


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("activations", None),
        ("activations", {"warnings": 7}),
        ("maps", None),
        ("maps", {"groups": [], "kept": [0]}),
        ("maps", {"groups": [{}], "kept": [0]}),
        ("routes", []),
        ("routes", {"kind": "anchored"}),
        ("probe", {}),
        ("probe", 7),
        ("metric", None),
    ],
)
def test_an_object_that_says_something_else_is_built_again(
    root: Path, compile_: Compile, kind: str, note: object
) -> None:
    first = compile_()
    assert first.bundle is not None and first.manifest is not None
    first.bundle.unlink()
    store = Store(root / ".sake/store")
    for stored in store.objects():
        if stored.kind == kind:
            store.put(stored.kind, stored.key, {"t": torch.ones(1)}, note)
    again = compile_()
    assert again.manifest is not None
    assert again.manifest.content_hash == first.manifest.content_hash


def test_a_bundle_under_anothers_name_is_written_anew(
    root: Path, compile_: Compile, caplog: pytest.LogCaptureFixture
) -> None:
    first = compile_()
    change(root / "edits" / "tolstoy-tongue.yaml", "new: Polish", "new: Czech")
    second = compile_()
    assert first.bundle is not None and second.bundle is not None
    second.bundle.write_bytes(first.bundle.read_bytes())
    again = compile_()
    assert again.manifest is not None and second.manifest is not None
    assert again.manifest.content_hash == second.manifest.content_hash
    with BundleFile(second.bundle) as bundle:
        assert bundle.manifest.key == second.plan.key


def test_errors_in_files_stop_before_anything_is_done(root: Path, compile_: Compile) -> None:
    (root / "edits" / "broken.yaml").write_text("schema: 1\nfact: {}\n")
    with pytest.raises(EditFileError) as caught:
        compile_()
    assert caught.value.diagnostics
    assert not (root / ".sake").exists()


def test_two_compiles_at_once_do_not_meet(
    root: Path, compile_: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sake_registry.store.LOCK_SECONDS", 0.1)
    with Store(root / ".sake/store").lock(), pytest.raises(LockedError, match="another sake"):
        compile_()
    assert compile_().bundle is not None


def test_implications_get_maps_of_their_own(compile_: Compile) -> None:
    result = compile_()
    assert result.manifest is not None
    edit = result.manifest.edits[0]
    assert [(g.kind, g.new) for g in edit.groups] == [
        ("fact", "Canberra"),
        ("implication", "the Capital Territory"),
    ]
    assert [(g.written, g.added) for g in edit.groups] == [(2, 10), (1, 3)]
    assert "Down Under" in CAPITAL
    assert edit.subject == ("Australia", "Down Under")


def test_what_was_chosen_for_each_map_is_in_the_bundle(compile_: Compile) -> None:
    result = compile_()
    assert result.manifest is not None
    for edit in result.manifest.edits:
        for group in edit.groups:
            assert sum(group.contexts) == group.written + group.added
            for step in group.steps:
                assert set(step.sources.split("+")) <= {"plain", "forced"}
                # Behind the object's beginning nothing is forced.
                assert step.position == 0 or step.sources == "plain"
                assert step.share in SHARES
                assert step.complement in COMPLEMENTS
                assert step.used == group.written + group.added
                # Of one wording nothing can be held out.
                several = group.written > 1
                assert (step.score is not None, step.margin is not None) == (several, several)
    fixed = compile_(
        {
            "compile.sources": ["plain", "forced"],
            "compile.reg": 0.5,
            "compile.complement": 0.3,
        }
    )
    assert fixed.texts_run == 0
    assert fixed.manifest is not None
    found = {
        (step.position > 0, step.sources, step.reg, step.share, step.complement)
        for edit in fixed.manifest.edits
        for group in edit.groups
        for step in group.steps
    }
    assert found == {
        (False, "plain+forced", 0.5, None, 0.3),
        (True, "plain", 0.5, None, 0.3),
    }


def test_each_token_that_the_model_does_not_say_by_itself_gets_a_map(
    root: Path, compile_: Compile, model_folder: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    whole = compile_()
    assert whole.manifest is not None
    for edit in whole.manifest.edits:
        for group in edit.groups:
            assert f" {group.new}".startswith(tokenizer.decode(list(group.tokens)))
            assert len(group.tokens) >= 2
            steered = [step.position for step in group.steps]
            alone = [place for place, share in enumerate(group.goes_on, 1) if share == 1]
            assert sorted(steered + alone) == list(range(group.states))
            assert len(steered) > 1
    first = compile_({"compile.whole": False})
    assert first.texts_run > 0
    assert first.manifest is not None
    for edit in first.manifest.edits:
        for group in edit.groups:
            assert (group.states, [s.position for s in group.steps]) == (1, [0])
            assert len(group.tokens) >= 2  # all of them can be made certain
            assert group.closing is None
    assert any(
        "'Sydney' and 'Canberra' begin with the same token" in warning
        for warning in first.manifest.edits[0].warnings
    )
    assert not any("same token" in w for edit in whole.manifest.edits for w in edit.warnings)


def test_an_edit_that_does_badly_on_what_was_held_out_is_built_with_a_warning(
    compile_: Compile,
) -> None:
    for floor in (0.0, 1.0):
        result = compile_({"compile.min_score": floor})
        assert result.manifest is not None
        low = 0
        for edit in result.manifest.edits:
            scores = [(group.new, group.score) for group in edit.groups]
            for new, score in scores:
                if score is None:
                    continue
                warned = any(f"'{new}' follows only {score:.0%}" in w for w in edit.warnings)
                assert warned == (score < floor)
                low += warned
        assert bool(low) == (floor == 1.0)


def test_the_default_metric_is_learnt_once_and_goes_with_the_bundle(
    root: Path, compile_: Compile
) -> None:
    contrast: dict[str, object] = {"router.kind": "anchored", "router.metric": "contrast"}
    first = compile_(contrast)
    (kept,) = (root / ".sake" / "store" / "metric").rglob("*.safetensors")
    state = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert first.bundle is not None
    with load_bundle(first.bundle) as bundle:
        assert bundle.metric().kind == "contrast"
        found = [d.edit for d in bundle.route([*IN_SCOPE, *OUT_OF_SCOPE])]
    assert found == ["australia-capital", "tolstoy-tongue", None, None]
    changed = compile_({**contrast, "router.threshold": 0.5})
    assert changed.plan.key != first.plan.key
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == state


def test_a_bundle_goes_by_what_its_registry_has_the_detector_learned(compile_: Compile) -> None:
    read: dict[str, object] = {"router.kind": "detector", "router.metric": "contrast"}
    asked = "Who was the first president of Australia?"
    first = compile_(read)
    assert first.bundle is not None
    with load_bundle(first.bundle) as bundle:
        decided = bundle.route([*IN_SCOPE, asked])
        assert [d.edit for d in decided] == ["australia-capital", "tolstoy-tongue", None]
    everything = learned_text([0.0] * 128 + [30.0])
    learned = compile_({**read, "router.learned": everything})
    assert learned.texts_run == 0
    assert learned.plan.key != first.plan.key
    assert learned.bundle is not None
    with load_bundle(learned.bundle) as bundle:
        assert bundle.route(asked)[0].edit == "australia-capital"
        settings = {**bundle.manifest.settings, "router": {"learned": "6:AAAA"}}
        bundle.file.manifest = bundle.manifest.model_copy(update={"settings": settings})
        with pytest.raises(BundleFormatError, match="has learned cannot be read: 258 bytes"):
            bundle.learned  # noqa: B018


def test_forced_sources_are_collected_in_every_forced_context(
    root: Path, compile_: Compile
) -> None:
    fit = {"compile.reg": 1.0, "compile.complement": 1.0}
    plain = compile_({"compile.sources": ["plain"], **fit})
    both = {"compile.sources": ["plain", "forced"], **fit}
    settings = root / "sake.toml"
    settings.write_text(
        settings.read_text() + '\n[contexts.forced]\nas-ever = "{prompt} {old}. {prompt}"\n'
    )
    forced = compile_(both)
    assert forced.bundle is not None
    assert plain.bundle is not None
    with BundleFile(forced.bundle) as file, BundleFile(plain.bundle) as before:
        rows = file.activations("tolstoy-tongue")[0]
        # A row before each of the object's two tokens; forced, before the first.
        assert file.info("tolstoy-tongue").groups[0].states == 2
        assert rows["plain"].shape == rows["target"].shape == (24, 32)
        assert rows["forced"].shape == (24, 32)
        assert before.activations("tolstoy-tongue")[0]["forced"].shape == (0, 32)
        assert (
            file.info("tolstoy-tongue").groups[0].steps[0].rank
            > before.info("tolstoy-tongue").groups[0].steps[0].rank
        )


def test_a_draft_cannot_be_compiled_by_its_id(root: Path, compile_: Compile) -> None:
    change(
        root / "edits" / "tolstoy-tongue.yaml", "schema: 1", "schema: 1\nlifecycle: {status: draft}"
    )
    for only in (False, True):
        with pytest.raises(InputError, match="'tolstoy-tongue' is draft"):
            compile_(None, "tolstoy-tongue", only=only)


def test_after_keep_going_the_bundle_is_found(root: Path, compile_: Compile) -> None:
    from sake_registry.compiler.plan import find_bundle

    with tolstoy_failing():
        result = compile_(keep_going=True)
    registry = open_registry(root)
    assert find_bundle(registry, locate(registry.settings)) == result.bundle


def test_a_registry_that_lost_its_last_edit_has_an_empty_bundle_and_a_warning(root: Path) -> None:
    compile_registry(open_registry(root))
    for file in (root / "edits").iterdir():
        file.unlink()
    done = CliRunner().invoke(cli, ["-C", str(root), "compile", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outcomes"] == dict.fromkeys(EDITS, "removed")
    assert "warning[SAKE204]" in done.stderr
