"""What happens to a live model before, in and after an edited call: wrapped, changed, copied, asked
by others meanwhile. Each works as stated, or is refused with its message."""

from __future__ import annotations

import copy
import gc
import io
import pickle
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from sake_registry.errors import InputError, ModelMismatchError, UnsupportedModelError
from tests.workshop import IN_SCOPE, Compiled

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 4}


def fresh(compiled: Compiled) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(compiled.loaded.located.folder)
    return model.eval()


def ids_of(compiled: Compiled, prompt: str = IN_SCOPE[0]) -> torch.Tensor:
    ids: torch.Tensor = compiled.tokenizer(prompt, return_tensors="pt").input_ids
    return ids


def hooks(model: Any) -> int:
    return len(model.get_output_embeddings()._forward_pre_hooks)


def test_a_handle_that_is_dropped_takes_its_hook_with_it(llama: Compiled) -> None:
    model = fresh(llama)
    before = dict(vars(model))
    for _ in range(3):
        edited = llama.bundle.attach(model, llama.tokenizer)
        assert hooks(model) == 1
        del edited  # by its last reference: no cycle waits for the collector
    assert hooks(model) == 0
    assert vars(model) == before
    texts = llama.bundle.attach(model, llama.tokenizer).generate(IN_SCOPE[0], **GREEDY).texts
    gc.collect()
    assert texts
    assert hooks(model) == 0


@pytest.mark.parametrize(
    "ids",
    [torch.tensor([5, 6, 7]), torch.zeros(1, 1, 3).long(), torch.zeros(1, 0).long(),
     torch.zeros(1, 3), torch.tensor([[5, 10**6]]), torch.tensor([[-1, 5]])],
    ids=["1-d", "3-d", "empty", "float", "beyond", "negative"],
)  # fmt: skip
def test_ids_that_are_none_are_wrong_input(llama: Compiled, ids: torch.Tensor) -> None:
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        for call in (edited, edited.generate):
            with pytest.raises(InputError, match="token ids are"):
                call(ids)
        with pytest.raises(InputError, match="token ids are"):
            edited(None)  # type: ignore[arg-type]


def test_a_pipeline_is_no_model_and_a_handle_is_none(llama: Compiled) -> None:
    pipeline: Any = transformers.pipeline
    pipe = pipeline("text-generation", model=llama.model, tokenizer=llama.tokenizer)
    with pytest.raises(InputError, match="TextGenerationPipeline") as caught:
        llama.bundle.attach(pipe, llama.tokenizer)
    assert "pipeline.model" in (caught.value.hint or "")
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        with pytest.raises(UnsupportedModelError, match="no model of transformers") as refused:
            pipeline("text-generation", model=edited, tokenizer=llama.tokenizer)
        assert "edited.generate" in (refused.value.hint or "")
        assert not hasattr(edited, "config")
        with pytest.raises(AttributeError, match="no attribute 'no_such'"):
            edited.no_such  # type: ignore[attr-defined]  # noqa: B018


def test_a_method_that_another_puts_back_does_no_harm(llama: Compiled) -> None:
    """As one who patches `generate` meanwhile does, and undoes it after the bundle is detached."""
    model, ids = fresh(llama), ids_of(llama)
    bare = model.generate(ids, **GREEDY)
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        steered = edited.generate(ids, **GREEDY).sequences
        ours = model.generate
        model.generate = bare.clone
    model.generate = ours
    assert torch.equal(model.generate(ids, **GREEDY), bare)
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        assert torch.equal(edited.generate(ids, **GREEDY).sequences, steered)
    assert torch.equal(model.generate(ids, **GREEDY), bare)


class Asks(LogitsProcessor, StoppingCriteria, BaseStreamer):
    """Calls the model in the middle of a generation, by a pass and by a generation."""

    def __init__(self, model: Any, ids: torch.Tensor, bare: tuple[Any, Any]) -> None:
        self.model, self.ids, self.bare, self.calls = model, ids, bare, 0

    def ask(self) -> None:
        self.calls += 1
        logits = self.model(self.ids).logits
        assert torch.equal(logits, self.bare[0])
        assert torch.equal(self.model.generate(self.ids, **GREEDY), self.bare[1])

    def put(self, value: Any) -> None:
        self.ask()

    def end(self) -> None:
        self.ask()


class AsksAsProcessor(Asks):
    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.ask()
        return scores


class AsksAsCriterion(Asks):
    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self.ask()
        return torch.zeros(len(input_ids), dtype=torch.bool)


@pytest.mark.parametrize("where", ["processor", "criterion", "streamer"])
def test_calls_of_the_model_within_an_edited_call_are_bare(llama: Compiled, where: str) -> None:
    model, ids = llama.model, ids_of(llama)
    with torch.no_grad():
        bare = (model(ids).logits, model.generate(ids, **GREEDY))
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        plain = edited.generate(ids, **GREEDY).sequences
        assert not torch.equal(plain, bare[1])
        options: dict[str, Any] = {
            "processor": lambda a: {"logits_processor": LogitsProcessorList([a])},
            "criterion": lambda a: {"stopping_criteria": StoppingCriteriaList([a])},
            "streamer": lambda a: {"streamer": a},
        }
        kind = {"processor": AsksAsProcessor, "criterion": AsksAsCriterion}.get(where, Asks)
        asks = kind(model, ids, bare)
        assert torch.equal(edited.generate(ids, **options[where](asks), **GREEDY).sequences, plain)
        assert asks.calls > 1


def test_an_edited_call_within_an_edited_call_is_edited_by_its_own(llama: Compiled) -> None:
    seen: list[torch.Tensor] = []
    ids, other = ids_of(llama), ids_of(llama, IN_SCOPE[1])
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        inner = edited.generate(other, **GREEDY).sequences
        outer = edited.generate(ids, **GREEDY).sequences

        class Within(LogitsProcessor):
            def __call__(self, input_ids: Any, scores: Any) -> Any:
                seen.append(edited.generate(other, **GREEDY).sequences)
                return scores

        processors = LogitsProcessorList([Within()])
        assert torch.equal(
            edited.generate(ids, logits_processor=processors, **GREEDY).sequences, outer
        )
    assert seen
    assert all(torch.equal(one, inner) for one in seen)


def test_guidance_steers_the_conditional_pass_alone(llama: Compiled) -> None:
    """The pass without the prompt is the processor's own, and bare."""
    ids = ids_of(llama)
    options: dict[str, Any] = {
        "guidance_scale": 1.5, "output_logits": True, "output_scores": True,
        "return_dict_in_generate": True, "do_sample": False, "max_new_tokens": 1,
    }  # fmt: skip
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited, torch.no_grad():
        out = edited.generate(ids, **options)
        bare = llama.model(ids[:, -1:]).logits[:, -1].log_softmax(-1)
    conditional = out.output.logits[0].log_softmax(-1)
    assert out.decisions[0].edit
    torch.testing.assert_close(out.output.scores[0], 1.5 * (conditional - bare) + bare)


def test_an_exception_within_leaves_no_state(llama: Compiled) -> None:
    ids = ids_of(llama)

    class Fails(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            raise KeyboardInterrupt

    bare = llama.model.generate(ids, **GREEDY)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        plain = edited.generate(ids, **GREEDY).sequences
        with pytest.raises(KeyboardInterrupt):
            edited.generate(ids, logits_processor=LogitsProcessorList([Fails()]), **GREEDY)
        assert torch.equal(llama.model.generate(ids, **GREEDY), bare)
        assert torch.equal(edited.generate(ids, **GREEDY).sequences, plain)


@pytest.mark.parametrize(
    "options", [{"cache_implementation": "static"}, {"use_cache": False}, {"num_beams": 2}]
)
def test_every_pass_is_seen(llama: Compiled, options: dict[str, Any]) -> None:
    ids = ids_of(llama)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        plain = edited.generate(ids, **GREEDY).sequences
        out = edited.generate(ids, **options, **GREEDY)
        if "num_beams" not in options:
            assert torch.equal(out.sequences, plain)


@pytest.mark.parametrize("name", ["dola_layers", "force_words_ids", "inputs_embeds"])
def test_other_ways_of_generating_are_refused(llama: Compiled, name: str) -> None:
    with (
        llama.bundle.attach(llama.model, llama.tokenizer) as edited,
        pytest.raises(UnsupportedModelError, match=name),
    ):
        edited.generate(ids_of(llama), **{**GREEDY, name: torch.zeros(1, 2, 32)})


def test_a_forward_pass_over_a_cache_or_embeddings_is_refused(llama: Compiled) -> None:
    ids = ids_of(llama)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited, torch.no_grad():
        cache = llama.model(ids[:, :-1], use_cache=True).past_key_values
        with pytest.raises(UnsupportedModelError, match="cache hides"):
            edited(ids[:, -1:], past_key_values=cache)
        with pytest.raises(UnsupportedModelError, match="inputs_embeds"):
            edited(ids, inputs_embeds=torch.zeros(1, 2, 32))


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own future
def test_a_model_that_is_compiled_after_attaching_is_refused(llama: Compiled) -> None:
    model = fresh(llama)
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        model.compile(backend="eager")
        for call in (edited, edited.generate):
            with pytest.raises(UnsupportedModelError, match="compiled"):
                call(ids_of(llama))


def test_a_model_that_changes_after_attaching_is_proved_again(llama: Compiled) -> None:
    model, ids = fresh(llama), ids_of(llama)
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        model.train()
        with pytest.raises(UnsupportedModelError, match="training mode"):
            edited.generate(ids, **GREEDY)
        model.eval().to(torch.bfloat16)
        assert edited.generate(ids, **GREEDY).decisions[0].edit  # within bfloat16's tolerance
        assert edited(ids)[1][0].edit
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.mul_(3)
        for call in (edited, edited.generate):
            with pytest.raises(ModelMismatchError, match="% off"):
                call(ids)


def test_a_copy_of_an_attached_model_is_bare(llama: Compiled) -> None:
    model, ids = fresh(llama), ids_of(llama)
    bare = model.generate(ids, **GREEDY)
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        stored = io.BytesIO()
        torch.save(model, stored)
        stored.seek(0)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                      torch.load(stored, weights_only=False)):  # fmt: skip
            assert torch.equal(other.generate(ids, **GREEDY), bare)
            with llama.bundle.attach(other, llama.tokenizer) as again:
                steered = again.generate(ids, **GREEDY).sequences
            assert torch.equal(steered, edited.generate(ids, **GREEDY).sequences)
            assert torch.equal(other.generate(ids, **GREEDY), bare)


def test_inference_mode_of_the_caller_leaves_nothing_behind(llama: Compiled) -> None:
    ids = ids_of(llama)
    model = fresh(llama)
    with torch.inference_mode():
        edited = llama.bundle.attach(model, llama.tokenizer)
        first = edited.generate(ids, **GREEDY).sequences
    with edited:
        assert torch.equal(edited.generate(ids, **GREEDY).sequences, first)
        logits = edited(ids)[0].logits  # with gradients, as a caller may want them
        logits.sum().backward()


class Packed(torch.nn.Linear):
    """Keeps what it makes of its weight in the first pass, as quantised layers do."""

    kept: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            self.kept = self.weight * 1
        with torch.enable_grad():
            self.kept.detach().requires_grad_().sum()
        self.kept.add_(0)
        return torch.nn.functional.linear(x, self.kept, self.bias)


def test_weights_that_keep_tensors_may_do_so(llama: Compiled) -> None:
    model = fresh(llama)
    model.model.layers[0].self_attn.q_proj.__class__ = Packed
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        assert edited.generate(IN_SCOPE[0], **GREEDY).texts
    with torch.no_grad():
        model.generate(ids_of(llama), **GREEDY)


def test_quantised_weights_are_another_model_and_no_raw_error(llama: Compiled) -> None:
    quanto = pytest.importorskip("optimum.quanto")
    model = fresh(llama)
    quanto.quantize(model, weights=quanto.qint8, exclude="lm_head")  # four bits are compiled for
    quanto.freeze(model)
    with pytest.raises(ModelMismatchError, match="% off"):
        llama.bundle.attach(model, llama.tokenizer)


@pytest.mark.filterwarnings("ignore")  # PEFT warns about its own future
def test_peft_models_work_and_active_adapters_are_named(llama: Compiled) -> None:
    peft = pytest.importorskip("peft")
    ids = ids_of(llama)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        plain = edited.generate(ids, **GREEDY).sequences
    model = peft.get_peft_model(fresh(llama), config).eval()
    with llama.bundle.attach(model, llama.tokenizer) as edited:  # it computes the same so far
        assert torch.equal(edited.generate(input_ids=ids, **GREEDY).sequences, plain)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.add_(1.0)
        with pytest.raises(ModelMismatchError, match="adapters are active in it: default"):
            edited.generate(ids, **GREEDY)
        with model.disable_adapter():
            assert torch.equal(edited.generate(ids, **GREEDY).sequences, plain)
    with pytest.raises(ModelMismatchError, match="adapters are active in it: default"):
        llama.bundle.attach(model, llama.tokenizer)
    model.merge_adapter()
    with pytest.raises(ModelMismatchError, match="adapters are active in it: default"):
        llama.bundle.attach(model, llama.tokenizer)
    with pytest.raises(ModelMismatchError, match="merged adapter"):
        llama.bundle.attach(model.merge_and_unload(), llama.tokenizer)
    prompted = peft.get_peft_model(
        fresh(llama), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    ).eval()
    with pytest.raises((UnsupportedModelError, ModelMismatchError)):
        llama.bundle.attach(prompted, llama.tokenizer)
    assert not hooks(prompted)
