"""Answers of vLLM are those of Hugging Face: the same decisions, the same texts, on both runners.

A hundred edits are loaded: those of the demo registry, and copies of them under other names.
`python -m sake_bench.engines` compares more prompts one by one, and in bfloat16.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sake_bench.engines import (
    UNRELATED,
    Answered,
    by_hugging_face,
    differing,
    prompts_of,
    said,
    texts_of,
)
from sake_registry import open_registry
from sake_registry.serving.decisions import finite
from tests.vllm.conftest import NEWER, Answer, Run, World

pytestmark = [pytest.mark.vllm, pytest.mark.model]

TOKENS = 16
GREEDY = {"temperature": 0, "max_tokens": TOKENS}


def compare(
    world: World, expected: Answered, run: Run, prompts: list[list[int]], begin: int = 0
) -> tuple[list[tuple[str, ...]], int]:
    """The prompts whose texts differ, with both texts, and how many fired; decisions are equal, or
    it fails.

    Args:
        begin: the number of the first of these requests in the run.
    """
    lines = run.decided()
    for i, decision in enumerate(expected.decisions):
        line = lines[str(begin + i)]
        assert (line["edit"], line["nearest"]) == (decision.edit, decision.nearest), prompts[i]
        distance = finite(decision.distance)
        assert line["distance"] == (
            None if distance is None else pytest.approx(distance, rel=1e-3, abs=1e-4)
        )
        assert line["reason"] == decision.why
    texts = [said(world.tokenizer, row) for row in run.all_tokens()[begin : begin + len(prompts)]]
    different = [
        (world.tokenizer.decode(prompts[i]), expected.texts[i], texts[i])
        for i in differing(expected.texts, texts)
    ]
    return different, sum(decision.edit is not None for decision in expected.decisions)


def edited(world: World, prompts: list[list[int]], tokens: int = TOKENS, **more: Any) -> Answered:
    return by_hugging_face(
        world.model, world.tokenizer, prompts, tokens, world.bundle, world.folder, **more
    )


def test_two_hundred_prompts_on_the_older_runner_and_a_dozen_of_them_one_by_one(
    world: World, answer: Answer
) -> None:
    prompts = prompts_of(open_registry(world.root), world.tokenizer, 200)
    dozen = prompts[::17]
    together = {"prompts": prompts, "sampling": GREEDY}
    run = answer([together, *({"prompts": [ids], "sampling": GREEDY} for ids in dozen)])
    assert run.answers["runner"].endswith("gpu_model_runner")
    assert run.answers["layer"] == "SteeredLogitsProcessor"
    different, fired = compare(world, edited(world, prompts), run, prompts)
    assert (len(prompts), len(dozen)) == (200, 12)
    assert fired >= 50
    assert len(different) <= 2, different
    different, fired = compare(world, edited(world, dozen, together=1), run, dozen, len(prompts))
    assert fired >= 3
    assert different == []


def test_in_bfloat16_editing_makes_the_engines_differ_no_more(world: World, answer: Answer) -> None:
    prompts = prompts_of(open_registry(world.root), world.tokenizer, 200)[::17]
    bare = {"temperature": 0, "max_tokens": TOKENS, "extra_args": {"sake_edits": "none"}}
    run = answer(
        [{"prompts": prompts, "sampling": how} for how in (GREEDY, bare)],
        engine={"dtype": "bfloat16"},
    )
    model = AutoModelForCausalLM.from_pretrained(world.folder, dtype=torch.bfloat16).eval()
    expected, unedited = (
        by_hugging_face(model, world.tokenizer, prompts, TOKENS, bundle, world.folder)
        for bundle in (world.bundle, None)
    )
    different, fired = compare(world, expected, run, prompts)
    assert fired >= 3
    by_themselves = [said(world.tokenizer, row) for row in run.tokens(1)]
    assert len(different) <= len(differing(unedited.texts, by_themselves)) + 1, different


def test_a_dozen_prompts_on_the_newer_runner_two_of_them_in_chunks(
    world: World, answer: Answer
) -> None:
    long = "The weather in the mountains changes quickly, and nobody likes to be late. " * 6
    registry = open_registry(world.root)
    texts = [t for t in texts_of(registry) if "Australia" in t or "telephone" in t][:8]
    texts += [f"{long}The capital of Australia is", f"{long}Water boils at", *UNRELATED[:2]]
    prompts = [world.tokenizer(text).input_ids for text in texts]
    budget = 64
    assert sum(len(ids) > budget for ids in prompts) == 2
    run = answer(
        [{"prompts": prompts, "sampling": {"temperature": 0, "max_tokens": 6}}],
        runner=NEWER,
        engine={"max_num_batched_tokens": budget, "max_num_seqs": 12},
    )
    assert run.answers["runner"] == "vllm.v1.worker.gpu.model_runner"
    different, fired = compare(world, edited(world, prompts, 6), run, prompts)
    assert fired >= 6
    assert different == []
