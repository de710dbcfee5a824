"""The start-up probe: what the served model makes of the probe texts, by the runner itself.

The texts are scheduled by hand before the first request, one by one, as vLLM's own warm-up does:
in blocks of the cache that nobody holds yet, and that the scheduler knows nothing of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sake_registry.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sake_registry.runtime.steering import Head
    from sake_registry.runtime.vllm.layer import Call


class Stepping(Protocol):
    """A worker's runner, for steps that nobody asked for."""

    @property
    def blocks(self) -> list[int]:
        """The tokens that a block of the KV cache holds, by group of layers."""
        ...

    def run(self, output: Any, action: Callable[[Call], Tensor]) -> Any:
        """What it makes of a step; its rows go to `action`."""
        ...

    def finish(self, output: Any) -> None:
        """Tell it that requests are over."""
        ...


@dataclass(frozen=True)
class Probe:
    """Site activations of the probe texts, (texts, width) float32; the output embedding, and where
    it is."""

    activations: Tensor
    head: Head
    device: torch.device

    @classmethod
    def run(cls, runner: Stepping, tokenizer: Any, texts: Sequence[str]) -> Probe:
        """Run the texts through a worker's runner; the first once more, disturbed.

        Raises:
            UnsupportedModelError: the tokens that are sampled are not those of the logits that
                the layer returned.
        """
        calls: list[Call] = []
        rows: list[Tensor] = []
        for text in (*texts, texts[0]):
            disturbed = len(rows) == len(texts)
            answered: list[int] = []

            def action(
                call: Call, disturbed: bool = disturbed, answered: list[int] = answered
            ) -> Tensor:
                calls.append(call)
                rows.append(call.rows[0].float().cpu())
                logits = call.logits(1 - call.rows if disturbed else call.rows)
                answered.append(int(logits[0].argmax()))
                return logits

            sampled = _sample(runner, tokenizer(text).input_ids, action)
            if sampled != answered:
                raise UnsupportedModelError(
                    f"vLLM samples {sampled} where the output embedding answers {answered}: its "
                    "rows cannot be steered",
                    hint="supported: vLLM's own text-generating models and runners",
                )
        return cls(torch.stack(rows[: len(texts)]), calls[0].head(), calls[0].rows.device)


def _sample(runner: Stepping, tokens: list[int], action: Any) -> list[int]:
    """The token that the runner samples behind others, greedily."""
    from vllm import SamplingParams
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput

    request = "_sake_probe_"
    blocks, first = [], 1  # block 0 is nobody's
    for size in runner.blocks:
        needed = -(-(len(tokens) + 1) // size)
        blocks.append(list(range(first, first + needed)))
        first += needed
    begin, end = SchedulerOutput.make_empty(), SchedulerOutput.make_empty()
    begin.scheduled_new_reqs = [
        NewRequestData(
            req_id=request,
            prompt_token_ids=tokens,
            mm_features=[],
            sampling_params=SamplingParams(temperature=0, max_tokens=1),
            pooling_params=None,
            block_ids=tuple(blocks),
            num_computed_tokens=0,
            lora_request=None,
            prefill_token_ids=tokens,
        )
    ]
    begin.num_scheduled_tokens = {request: len(tokens)}
    begin.total_num_scheduled_tokens = len(tokens)
    end.finished_req_ids = {request}
    made = runner.run(begin, action)
    runner.finish(end)
    return [int(token) for token in made.sampled_token_ids[0]]
