"""Attaching proves itself (invariant 3), and a bundle runs only on its model (invariant 4)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sake_registry.errors import ModelMismatchError, UnsupportedModelError
from sake_registry.models.reading import prove
from sake_registry.models.site import Site
from tests import tiny_models
from tests.workshop import Compiled


def fresh(compiled: Compiled) -> Any:
    return AutoModelForCausalLM.from_pretrained(compiled.loaded.located.folder).eval()


def compile_module(model: Any) -> Any:
    return torch.compile(model, backend="eager")


def compile_in_place(model: Any) -> Any:
    model.compile(backend="eager")
    return model


def compile_forward(model: Any) -> Any:
    model.forward = torch.compile(model.forward, backend="eager")
    return model


def compile_head(model: Any) -> Any:
    model.lm_head.forward = torch.compile(model.lm_head.forward, backend="eager")
    return model


@pytest.mark.parametrize(
    "compiling", [compile_module, compile_in_place, compile_forward, compile_head]
)
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own future
def test_a_compiled_model_is_refused(llama: Compiled, compiling: Any) -> None:
    model = compiling(fresh(llama))
    with torch.no_grad():
        model(**llama.batch("The capital of Australia is"))
    with pytest.raises(UnsupportedModelError, match="compiled"):
        llama.bundle.attach(model, llama.tokenizer, source=llama.loaded.located.folder)


def test_a_refused_attach_leaves_no_hook(llama: Compiled) -> None:
    model = fresh(llama)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[3, 4] += 5.0
    before = dict(vars(model))
    with pytest.raises(ModelMismatchError):
        llama.bundle.attach(model, llama.tokenizer)
    assert not model.lm_head._forward_pre_hooks and not model.lm_head._forward_hooks
    assert vars(model) == before


@pytest.mark.parametrize(
    "weight",
    ["model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.q_proj.weight",
     "model.norm.weight"],
)  # fmt: skip
def test_one_merged_weight_is_found_by_the_probe(llama: Compiled, weight: str) -> None:
    """Identity says the same files; what runs is not what they say."""
    model = fresh(llama)
    with torch.no_grad():
        model.get_parameter(weight).view(-1)[7] += 2.0
    with pytest.raises(ModelMismatchError, match=r"% off, 0.1% is allowed"):
        llama.bundle.attach(model, llama.tokenizer)


def test_another_checkpoint_is_found_by_its_identity_and_both_are_named(
    llama: Compiled, tmp_path: Path
) -> None:
    folder = tiny_models.save("llama", tmp_path / "another", seed=1)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with pytest.raises(ModelMismatchError) as caught:
        llama.bundle.attach(model, tiny_models.tokenizer())
    message = str(caught.value)
    assert llama.bundle.manifest.model.hash[:12] in message
    assert str(folder) in message
    assert "checkpoint" in message


def test_another_architecture_is_a_mismatch_whatever_it_calls_itself(
    llama: Compiled, tmp_path: Path
) -> None:
    model = tiny_models.make("gpt2")
    model.config._name_or_path = str(llama.loaded.located.folder)
    with pytest.raises(ModelMismatchError):
        llama.bundle.attach(model, llama.tokenizer)


def test_a_model_of_unknown_origin_is_known_by_its_tensors(llama: Compiled) -> None:
    model = fresh(llama)
    model.config._name_or_path = ""
    with llama.bundle.attach(model, llama.tokenizer) as edited:
        assert edited.enabled == llama.bundle.ids
    with torch.no_grad():
        model.model.embed_tokens.weight[0, 0] += 1
    with pytest.raises(ModelMismatchError, match="source=FOLDER"):
        llama.bundle.attach(model, llama.tokenizer)


class CallsHeadTwice(torch.nn.Module):
    """A model that hides what the head does: it is called once more than the output shows."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings()

    def forward(self, **inputs: Any) -> Any:
        self.inner(**inputs)
        return self.inner(**inputs)


class AddsBehindTheHead(CallsHeadTwice):
    """The answer is not what the output embedding says."""

    def forward(self, **inputs: Any) -> Any:
        out = self.inner(**inputs)
        out.logits = -out.logits
        return out


class MixesRows(CallsHeadTwice):
    """One row's hidden state reaches another row's logits."""

    def forward(self, **inputs: Any) -> Any:
        out = self.inner(**inputs)
        out.logits = out.logits + out.logits.mean(0, keepdim=True) * 1e-3
        return out


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [(CallsHeadTwice, "2 times"), (AddsBehindTheHead, "does not lead"), (MixesRows, "one row")],
)
def test_a_site_that_is_none_is_refused(wrapper: Any, message: str) -> None:
    site = Site(wrapper(tiny_models.make("llama")).eval())
    with pytest.raises(UnsupportedModelError, match=message):
        prove(site, tiny_models.tokenizer())


@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_the_site_is_the_input_of_the_head(kind: str) -> None:
    site = Site(tiny_models.make(kind))
    assert prove(site, tiny_models.tokenizer()) == tiny_models.WIDTHS[kind]
    site.remove()
    assert not site.head._forward_pre_hooks and not site.head._forward_hooks


def test_a_model_without_a_head_is_refused() -> None:
    from transformers import AutoModel

    with pytest.raises(UnsupportedModelError, match="output embedding"):
        Site(AutoModel.from_config(tiny_models.make("gpt2").config))


def test_a_tokenizer_without_a_padding_token_will_do(llama: Compiled) -> None:
    """As GPT-2's, Llama-2's and GPT-NeoX's have none."""
    tokenizer = copy.deepcopy(llama.tokenizer)
    tokenizer.pad_token = None
    assert tokenizer.pad_token_id is None
    with llama.bundle.attach(fresh(llama), tokenizer) as edited:
        out = edited.generate(["The capital of Australia is", "A"], max_new_tokens=2)
    assert out.decisions[0].edit == "australia-capital"


def test_a_model_in_training_mode_is_refused(llama: Compiled) -> None:
    with pytest.raises(UnsupportedModelError, match=r"model\.eval\(\)"):
        llama.bundle.attach(fresh(llama).train(), llama.tokenizer)


def test_soft_capped_logits_in_bfloat16_are_no_reason_to_refuse() -> None:
    for seed in range(12):
        site = Site(tiny_models.make("gemma2", seed).to(torch.bfloat16))
        assert prove(site, tiny_models.tokenizer()) == 32
