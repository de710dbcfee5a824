"""A bundle whose router compares the model's own states: the model decides, bare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList

from sake_registry import compile_registry, open_registry
from sake_registry.asking.caught import registry_router
from sake_registry.commands import inspect_
from sake_registry.commands.console import State
from sake_registry.errors import BundleFormatError, InputError, ModelNotFoundError
from sake_registry.models import embedder
from sake_registry.models.loading import load, locate
from sake_registry.runtime.bundle import Bundle, load_bundle
from tests import tiny_models
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled, make_registry

EVERY = (*IN_SCOPE, *OUT_OF_SCOPE)
WIDTHS = {"hidden": 16, "middle": 32}
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6}


def states(own: str) -> dict[str, object]:
    return {"router.representation": own, "router.threshold": 0.01}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry for a model whose site is narrower than its layers."""
    folder = tiny_models.save("opt-projecting", tmp_path_factory.mktemp("model") / "tiny-opt")
    return make_registry(tmp_path_factory.mktemp("registry"), folder)


@pytest.fixture(scope="module", params=WIDTHS)
def own(request: pytest.FixtureRequest, root: Path) -> Compiled:
    registry = open_registry(root, states(request.param))
    done = compile_registry(registry)
    assert done.bundle is not None
    return Compiled(root, load_bundle(done.bundle), load(locate(registry.settings)))


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any prompt embedder."""

    def missing(name: str, **_: object) -> Path:
        raise ModelNotFoundError(f"no {name} here")

    monkeypatch.setattr(embedder, "locate_embedder", missing)


def attached(compiled: Compiled, **options: Any) -> Any:
    return compiled.bundle.attach(compiled.model, compiled.tokenizer, **options)


def test_the_bundle_says_what_its_points_are(own: Compiled) -> None:
    of, representation = own.bundle.manifest.embedder, own.bundle.representation
    assert of.width == WIDTHS[representation]
    said = {"hidden": "last hidden state of", "middle": "state of the middle layer of"}
    assert of.name == f"{said[representation]} {own.bundle.manifest.model.name}"
    done = CliRunner().invoke(inspect_.command, [str(own.bundle.path)], obj=State(own.root))
    assert f"prompts are compared by the {of.name}, {of.width} dimensions" in done.stdout


def test_without_the_model_it_refuses_and_says_what_to_do(own: Compiled) -> None:
    with pytest.raises(InputError, match="without the model it cannot decide") as caught:
        own.bundle.route(EVERY)
    assert "bundle.attach(model, tokenizer).decide(prompts)" in str(caught.value.hint)


@pytest.mark.usefixtures("bare_machine")
def test_the_live_model_decides_and_no_embedder_is_needed(own: Compiled) -> None:
    with attached(own) as edited:
        found = edited.decide(EVERY)
        assert [d.edit for d in found] == ["australia-capital", "tolstoy-tongue", None, None]
        # Its own prompts come back to where they were compiled, batched there and alone here.
        assert all(d.distance is not None and d.distance < 1e-3 for d in found[:2])
        assert [edited.decide([prompt])[0] for prompt in EVERY] == found
        edited.disable("tolstoy-tongue")
        assert edited.decide(EVERY)[1].reason == "disabled"
    with pytest.raises(Exception, match="detached"):
        edited.decide(EVERY)


@pytest.mark.usefixtures("bare_machine")
def test_with_no_edit_in_scope_logits_are_the_bare_models(own: Compiled) -> None:
    batch = own.batch(*OUT_OF_SCOPE)
    scoped = own.batch(IN_SCOPE[0])
    with torch.no_grad():
        before, unedited = own.model(**batch).logits, own.model(**scoped).logits
        with attached(own) as edited:
            out, decisions = edited(**batch)
            changed, _ = edited(**scoped)
            assert torch.equal(own.model(**batch).logits, before)
        assert [d.edit for d in decisions] == [None, None]
        assert torch.equal(out.logits, before)
        assert not torch.equal(changed.logits, unedited)
        assert torch.equal(own.model(**batch).logits, before)
    assert not any(module._forward_pre_hooks for module in own.model.modules())


class Deciding(LogitsProcessor):
    """Asks for decisions at every token of a generation."""

    def __init__(self, edited: Any) -> None:
        self.edited, self.found = edited, list[Any]()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.found.append([d.edit for d in self.edited.decide(EVERY)])
        return scores


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"use_cache": False}])
def test_deciding_while_it_generates_changes_nothing(
    own: Compiled, options: dict[str, Any]
) -> None:
    with attached(own) as edited:
        expected = edited.generate(list(EVERY), **GREEDY, **options)
        deciding = Deciding(edited)
        found = edited.generate(
            list(EVERY), logits_processor=LogitsProcessorList([deciding]), **GREEDY, **options
        )
        decided = [d.edit for d in edited.decide(EVERY)]
    assert [d.edit for d in expected.decisions] == decided
    assert torch.equal(found.sequences, expected.sequences)
    assert deciding.found
    assert all(asked == decided for asked in deciding.found)


def test_the_same_facts_in_another_dtype(own: Compiled) -> None:
    folder = own.loaded.located.folder
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    # What tells questions apart here is a random model: only its own prompts are near enough.
    with own.bundle.attach(model, own.tokenizer) as edited:
        near = edited.decide(IN_SCOPE)
    with attached(own) as edited:
        far = edited.decide(["The government of Australia sits in", *OUT_OF_SCOPE[1:]])
    assert [d.nearest for d in near] == ["australia-capital", "tolstoy-tongue"]
    assert all(d.distance is not None and d.distance < far[1].distance for d in near)


def test_another_representation_runs_no_texts_and_has_other_keys(root: Path) -> None:
    usual = compile_registry(open_registry(root))
    stated = compile_registry(open_registry(root, {"router.representation": "embedder"}))
    assert stated.plan.key == usual.plan.key
    assert stated.plan.path == usual.plan.path
    keys = {p.id: p.keys for p in usual.plan.edits}
    for own in WIDTHS:
        other = compile_registry(open_registry(root, states(own)))
        assert other.texts_run == 0
        assert other.plan.key != usual.plan.key
        for planned in other.plan.edits:
            mine, theirs = planned.keys, keys[planned.id]
            assert mine is not None
            assert theirs is not None
            assert (mine.activations, mine.maps) == (theirs.activations, theirs.maps)
            assert mine.edit != theirs.edit


def test_conflicts_ask_the_model_with_the_bundle_and_without(root: Path) -> None:
    registry = open_registry(root, states("middle"))
    compile_registry(registry)
    router, _, path = registry_router(registry)
    assert path is not None
    fresh, _, none = registry_router(open_registry(root, states("middle") | {"bundles": "none"}))
    assert none is None
    for one in (router, fresh):
        assert [d.edit for d in one.decide(IN_SCOPE)] == ["australia-capital", "tolstoy-tongue"]


def lying(bundle: Bundle, router: object) -> Bundle:
    """The bundle with other settings of the router."""
    made = load_bundle(bundle.path)
    settings = {**made.manifest.settings, "router": router}
    made.file.manifest = made.manifest.model_copy(update={"settings": settings})
    return made


@pytest.mark.parametrize("named", ["soul", 5, None, ["hidden"], {"hidden": 1}])
def test_a_representation_that_is_not_known_is_refused(own: Compiled, named: object) -> None:
    with (
        lying(own.bundle, {"representation": named}) as bundle,
        pytest.raises(BundleFormatError, match="which this version does not know"),
    ):
        bundle.attach(own.model, own.tokenizer)
    assert not any(module._forward_pre_hooks for module in own.model.modules())


def test_points_of_another_width_than_the_models_are_refused(own: Compiled) -> None:
    other = {"hidden": "middle", "middle": "hidden"}[own.bundle.representation]
    with (
        lying(own.bundle, {"representation": other}) as bundle,
        pytest.raises(BundleFormatError, match="dimensions"),
    ):
        bundle.attach(own.model, own.tokenizer)


@pytest.mark.parametrize("metric", ["contrast", "cosine", "mahalanobis"])
def test_each_metric_is_learnt_in_the_models_own_space(
    root: Path, metric: str, tmp_path: Path
) -> None:
    def compiled(own: str) -> Sequence[Any]:
        settings = {
            "router.kind": "anchored", "router.metric": metric, "router.representation": own
        }  # fmt: skip
        registry = open_registry(root, settings | {"store": str(tmp_path)})
        done = compile_registry(registry)
        assert done.bundle is not None
        loaded = load(locate(registry.settings))
        with (
            load_bundle(done.bundle) as bundle,
            bundle.attach(loaded.model, loaded.tokenizer) as edited,
        ):
            assert bundle.metric().kind == metric
            return [d.edit for d in edited.decide(IN_SCOPE)]

    for own in WIDTHS:
        assert compiled(own) == ["australia-capital", "tolstoy-tongue"]
    learnt = list((tmp_path / "metric").rglob("*.safetensors"))
    assert len(learnt) == len(WIDTHS)
