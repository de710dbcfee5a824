"""What a scheduler does to the rows of a step, and what a request may ask for."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.vllm.conftest import NEWER, OLDER, Answer, Run, World
from tests.vllm.narrowing import narrowed

pytestmark = [pytest.mark.vllm, pytest.mark.model]

SCOPED = ("The capital of Australia is", "The telephone was invented by")
PROMPTS = (*SCOPED, "Water boils at", "The capital of France is")
GREEDY = {"temperature": 0, "max_tokens": 12}
LEAD = "The train was late again, and as everybody in the room agreed, tea is best when it is hot. "


def ids_of(world: World, *texts: str) -> list[list[int]]:
    return [world.tokenizer(text).input_ids for text in texts]


def greedy(world: World, **more: Any) -> dict[str, Any]:
    return {"prompts": ids_of(world, *PROMPTS), "sampling": {**GREEDY, **more}}


def set_aside(world: World) -> dict[str, Any]:
    """Requests that a block of the cache nearly has room for, each."""
    return {"prompts": ids_of(world, *(LEAD + text for text in PROMPTS[:3])), "sampling": GREEDY}


@pytest.fixture(scope="module")
def bare(world: World, answer: Answer) -> Run:
    """What vLLM answers without the plugin."""
    run = answer([greedy(world, prompt_logprobs=1)], bundle=None)
    assert run.answers["layer"] == "LogitsProcessor"
    return run


@pytest.fixture(scope="module")
def run(world: World, answer: Answer) -> Run:
    """What it answers with it, in a cache that has room for all."""
    sampled = {"temperature": 0.9, "seed": 7, "n": 3, "max_tokens": 4}
    return answer(
        [
            greedy(world),
            greedy(world),  # from the prefix cache
            greedy(world, prompt_logprobs=1),
            greedy(world, extra_args={"sake_edits": "none"}),
            greedy(world, extra_args={"sake_edits": "telephone-inventor"}),
            greedy(world, extra_args={"sake_edits": 7}),
            set_aside(world),
            {"prompts": ids_of(world, *PROMPTS), "sampling": sampled},
        ]
    )


def test_what_a_request_asks_for(run: Run, bare: Run) -> None:
    edited = run.texts(0)
    assert "Canberra" in edited[0] and "Tesla" in edited[1]
    assert edited[:2] != bare.texts()[:2]
    assert edited[2:] == bare.texts()[2:]
    assert run.texts(1) == edited
    assert run.texts(2) == edited
    for with_edits, without in zip(
        run.answers["rounds"][2], bare.answers["rounds"][0], strict=True
    ):
        assert with_edits["prompt_logprobs"] == without["prompt_logprobs"]
    samples = run.answers["rounds"][7][0]["texts"]
    assert len(samples) == 3
    assert all("Canberra" in text for text in samples)
    assert run.texts(3) == bare.texts()
    assert run.texts(4) == [bare.texts()[0], edited[1], *bare.texts()[2:]]
    assert run.texts(5) == bare.texts()
    reasons = {line["reason"] for line in run.log if line["mode"] == "bare"}
    assert reasons == {
        "the request asked for the bare model",
        'sake_edits is neither "none" nor ids of edits',
    }


@pytest.mark.parametrize("runner", [OLDER, NEWER])
def test_a_request_that_is_set_aside_goes_on_where_it_was(
    runner: str, world: World, run: Run, answer: Answer
) -> None:
    # Behind its object an answer is still guarded, so that its history counts to the end.
    asked = set_aside(world)
    assert all(24 < len(ids) < 32 for ids in asked["prompts"])
    sizes = {"block_size": 32, "max_model_len": 96, "num_gpu_blocks_override": 5}
    narrow = answer([asked], runner=runner, engine=sizes)
    assert narrow.answers["preempted"] > 0
    assert run.answers["preempted"] == 0
    assert narrow.texts() == run.texts(6)
    # Each is decided on once; in which order, the runner says.
    roomily = {line["prompt_sha256"]: line["edit"] for line in run.log}
    assert len(narrow.log) == len(asked["prompts"])
    for line in narrow.log:
        assert line["edit"] == roomily[line["prompt_sha256"]]
    assert {line["edit"] for line in narrow.log} == {
        "australia-capital", "telephone-inventor", None,
    }  # fmt: skip


def test_a_swap_is_taken_by_new_requests_alone(
    world: World, answer: Answer, tmp_path: Path
) -> None:
    pointer, other = tmp_path / "production.json", tmp_path / "other.h5"
    narrowed(world.real, other, "australia-capital", key="0" * 64)
    pointer.write_text(json.dumps({"bundle": str(world.real)}))
    prompt = ids_of(world, SCOPED[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    swap = {
        "prompts": prompt, "sampling": GREEDY, "pointer": str(pointer),
        "says": json.dumps({"bundle": str(other)}), "steps": 1, "metrics": port,
    }  # fmt: skip
    run = answer(
        [{"prompts": prompt, "sampling": GREEDY}, swap],
        bundle=pointer,
        env={"SAKE_METRICS_PORT": str(port)},
    )
    before, after = run.texts(1)
    assert before == run.texts(0)[0]
    assert "Canberra" in before
    assert "Canberra" not in after
    assert [line["edit"] for line in run.log] == ["australia-capital", "australia-capital", None]
    assert run.log[1]["bundle"] != run.log[2]["bundle"]


def test_shadow_mode_decides_and_changes_nothing(world: World, bare: Run, answer: Answer) -> None:
    shadow = answer([greedy(world)], env={"SAKE_MODE": "shadow"})
    assert [line["mode"] for line in shadow.log] == ["shadow"] * len(PROMPTS)
    assert [line["edit"] for line in shadow.log][:2] == ["australia-capital", "telephone-inventor"]
    assert shadow.texts() == bare.texts()


def test_where_deciding_takes_too_long_nothing_fires(
    world: World, bare: Run, answer: Answer
) -> None:
    slow = answer([greedy(world)], env={"SAKE_BUDGET": "1e-9"})
    assert [(line["edit"], line["mode"]) for line in slow.log] == [(None, "bare")] * len(PROMPTS)
    assert {line["reason"] for line in slow.log} == {"deciding took longer than 1e-09 s"}
    assert slow.texts() == bare.texts()


def test_a_request_with_an_adapter_is_bare_and_the_others_are_edited(
    world: World, answer: Answer, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    write_adapter(world, adapter)
    prompts = ids_of(world, *PROMPTS)
    asked = {"prompts": prompts, "sampling": GREEDY}
    adapted = asked | {"adapter": ["small", 1, str(adapter)]}
    lora = {"enable_lora": True, "max_lora_rank": 8, "max_loras": 1}
    # In this version of vLLM what follows an adapter on a CPU is answered by it, adapter or none.
    run = answer([asked, adapted], engine=lora)
    bare = answer([asked, adapted], engine=lora, bundle=None)
    assert run.answers["layer"] == "LogitsProcessorWithLoRA"
    assert "Canberra" in run.texts(0)[0]
    assert run.texts(0)[2:] == bare.texts(0)[2:]
    assert run.texts(1) == bare.texts(1) != bare.texts(0)
    assert {line["reason"] for line in run.log[4:8]} == {"the adapter small answers"}


def write_adapter(world: World, folder: Path) -> None:
    """An adapter of the output embedding and of a layer, in the form of PEFT, that changes much."""
    config = world.model.config
    width, words = config.hidden_size, config.vocab_size
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator)

    prefix = "base_model.model"
    tensors = {
        f"{prefix}.lm_head.lora_A.weight": matrix(4, width),
        f"{prefix}.lm_head.lora_B.weight": matrix(words, 4),
        f"{prefix}.model.layers.3.self_attn.q_proj.lora_A.weight": matrix(4, width),
        f"{prefix}.model.layers.3.self_attn.q_proj.lora_B.weight": matrix(width, 4),
    }
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 4,
                "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "lm_head"],
                "base_model_name_or_path": str(world.folder),
            }
        )
    )  # fmt: skip
