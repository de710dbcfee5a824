"""Answers of vLLM are those of Hugging Face: the same decisions, the same texts, on both runners.

All in float32, with a hundred edits loaded: those of the demo registry, and copies of them under
other names. Both answer in batches, each in its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sake_registry import open_registry
from sake_registry.edits.schema import Prompt
from sake_registry.models.reading import pad
from sake_registry.models.tokens import text_of
from sake_registry.serving.decisions import finite
from tests.vllm.conftest import NEWER, Answer, Run, World

pytestmark = [pytest.mark.vllm, pytest.mark.model]

TOKENS = 16
TOGETHER = 10
GREEDY = {"temperature": 0, "max_tokens": TOKENS}
LEAD_INS = (
    "The train was late again. {}",
    "Question one was easy, the second one less so.\n{}",
    "As everybody in the room agreed, tea is best hot. {}",
)
UNRELATED = (
    "Water boils at",
    "The opposite of hot is",
    "def main(argv):\n    return",
    "In 1969, the first astronauts landed on the",
)


def plain(world: World) -> Iterator[str]:
    """Prompts of the demo registry: to be reached, and to be left alone."""
    for edit in open_registry(world.root).edits:
        for kind in (edit.prompts, edit.holdout, edit.implications, edit.unchanged):
            for prompt in kind:
                text = prompt.text if isinstance(prompt, Prompt) else prompt.prompt
                yield text.replace("<subject>", edit.fact.subject.text)
    yield from UNRELATED


def asked(world: World, count: int) -> list[list[int]]:
    """Token ids of `count` prompts: plain ones, some behind other text, some in a chat."""
    texts = list(dict.fromkeys(plain(world)))
    texts += [lead.format(text) for lead in LEAD_INS for text in texts]
    chats = [[{"role": "user", "content": text}] for text in texts[::3]]
    ids = [world.tokenizer(text).input_ids for text in texts[: count - len(chats[: count // 4])]]
    for chat in chats[: count // 4]:
        made = world.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_dict=True
        )
        ids.append(list(made["input_ids"]))
    return ids[:count]


def by_hugging_face(world: World, prompts: list[list[int]], tokens: int) -> tuple[list[Any], Any]:
    """The tokens of each prompt's answer, in small batches of alike length; and the decisions."""
    answers: dict[int, list[int]] = {}
    decisions: dict[int, Any] = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with world.bundle.attach(world.model, world.tokenizer, source=world.folder) as edited:
        for start in range(0, len(order), TOGETHER):
            chosen = order[start : start + TOGETHER]
            ids, mask = pad([prompts[i] for i in chosen], world.tokenizer.pad_token_id, left=True)
            out = edited.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False)
            for i, row, decision in zip(chosen, out.sequences, out.decisions, strict=True):
                answers[i], decisions[i] = row[ids.shape[1] :].tolist(), decision
    return [answers[i] for i in range(len(prompts))], [decisions[i] for i in range(len(prompts))]


def compare(
    world: World, run: Run, prompts: list[list[int]], tokens: int
) -> tuple[list[tuple[str, ...]], int]:
    """The prompts whose texts differ, with both texts, and how many fired; decisions are equal, or
    it fails."""
    expected, decisions = by_hugging_face(world, prompts, tokens)
    said = run.decided()
    for i, decision in enumerate(decisions):
        line = said[str(i)]
        assert (line["edit"], line["nearest"]) == (decision.edit, decision.nearest), prompts[i]
        distance = finite(decision.distance)
        assert line["distance"] == (
            None if distance is None else pytest.approx(distance, rel=1e-3, abs=1e-4)
        )
        assert line["reason"] == decision.why
    ends = set(world.tokenizer.all_special_ids)
    different = []
    for ids, *rows in zip(prompts, expected, run.tokens(), strict=True):
        texts = [world.tokenizer.decode([t for t in row if t not in ends]) for row in rows]
        if texts[0] != texts[1]:
            different.append((text_of(world.tokenizer, ids), *texts))
    return different, sum(decision.edit is not None for decision in decisions)


def test_two_hundred_prompts_on_the_older_runner(world: World, answer: Answer) -> None:
    prompts = asked(world, 200)
    run = answer([{"prompts": prompts, "sampling": GREEDY}])
    assert run.answers["runner"].endswith("gpu_model_runner")
    assert run.answers["layer"] == "SteeredLogitsProcessor"
    different, fired = compare(world, run, prompts, TOKENS)
    assert len(prompts) == 200
    assert fired >= 50
    assert len(different) <= 2, different


def test_a_dozen_prompts_on_the_newer_runner_two_of_them_in_chunks(
    world: World, answer: Answer
) -> None:
    long = "The weather in the mountains changes quickly, and nobody likes to be late. " * 6
    texts = [t for t in plain(world) if "Australia" in t or "telephone" in t][:8]
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
    different, fired = compare(world, run, prompts, 6)
    assert fired >= 6
    assert different == []
