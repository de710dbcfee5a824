"""Tiny random models of several architectures, made from configs, with a small real tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
CONFIGS: dict[str, Any] = {
    "gpt2": lambda v: GPT2Config(vocab_size=v, n_embd=32, n_layer=2, n_head=4, n_positions=512),
    "llama": lambda v: LlamaConfig(vocab_size=v, num_key_value_heads=2, **_SMALL),
    # Soft-capped logits, tied weights.
    "gemma2": lambda v: Gemma2Config(
        vocab_size=v, num_key_value_heads=2, head_dim=8, final_logit_softcapping=5.0, **_SMALL
    ),
    "qwen2": lambda v: Qwen2Config(vocab_size=v, num_key_value_heads=2, **_SMALL),
    "opt": lambda v: OPTConfig(
        vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        word_embed_proj_dim=32, max_position_embeddings=512,
    ),
    # Projects before the output embedding: the site is narrower than the hidden size.
    "opt-projecting": lambda v: OPTConfig(
        vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        word_embed_proj_dim=16, max_position_embeddings=512, do_layer_norm_before=False,
    ),
    "gpt-neox": lambda v: GPTNeoXConfig(vocab_size=v, **_SMALL),
}  # fmt: skip
WIDTHS = dict.fromkeys(CONFIGS, 32) | {"opt-projecting": 16}


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE, trained on this file and the demo's kind of sentences."""
    text = [Path(__file__).read_text(encoding="utf-8")] + [
        f"The mother tongue of {name} is {tongue}. The capital of {name} is {tongue}."
        for name in ("Danielle Darrieux", "Leo Tolstoy", "France", "Australia")
        for tongue in ("French", "English", "Russian", "Polish", "Sydney", "Canberra")
    ]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trained.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<end>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token="<end>", pad_token="<pad>", bos_token="<end>"
    )


def make(kind: str, seed: int = 0) -> Any:
    """A tiny random model of an architecture, in evaluation mode, float32."""
    torch.manual_seed(seed)
    config = CONFIGS[kind](len(tokenizer()))
    config.bos_token_id = config.eos_token_id = tokenizer().eos_token_id
    config.pad_token_id = tokenizer().pad_token_id
    model = AutoModelForCausalLM.from_config(config).eval()
    # Random weights of the default size give nearly equal logits: spread them.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    return model


def save(kind: str, folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """`make`, saved as `save_pretrained` does it, with the tokenizer."""
    make(kind, seed).to(dtype).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
