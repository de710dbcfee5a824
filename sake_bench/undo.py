"""Whether the model is what it was when edits are taken off, to the bit.

Its logits after prompts are read before edits are attached, while they are, and after they were
detached; in between the edited model has answered every prompt. The batches are the same each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sake_bench.results import Undo
from sake_registry.models.reading import pad, pad_token
from sake_registry.runtime.generation import greedy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.models.loading import LoadedModel
    from sake_registry.runtime.bundle import Bundle

BATCH = 16
ANSWER = 10
"""Tokens that the edited model answers each prompt with."""
_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.inference_mode()
def undo(loaded: LoadedModel, name: str, bundle: Bundle, prompts: Sequence[str]) -> Undo:
    """Attach the bundle of the method `name`, answer, detach, and compare."""
    model, tokenizer = loaded.model, loaded.tokenizer
    device = next(model.parameters()).device
    ordered = sorted(prompts, key=len)
    batches = []
    for start in range(0, len(ordered), BATCH):
        texts = ordered[start : start + BATCH]
        ids, mask = pad([tokenizer(t).input_ids for t in texts], pad_token(tokenizer), left=True)
        batches.append((texts, ids.to(device), mask.to(device)))

    def bare() -> Tensor:
        return torch.cat(
            [_bits(model(input_ids=ids, attention_mask=mask).logits) for _, ids, mask in batches]
        )

    before = bare()
    attached, fired = [], 0
    with bundle.attach(model, tokenizer, source=loaded.located.folder) as edited:
        for texts, ids, mask in batches:
            decisions = edited.decide(texts)
            fired += sum(decision.edit is not None for decision in decisions)
            output, _ = edited(ids, mask, decisions=decisions)
            attached.append(_bits(output.logits))
            edited.generate(
                ids, attention_mask=mask, decisions=decisions, **greedy(ANSWER, tokenizer)
            )
    after = bare()
    same = (torch.cat(attached) == before).all(dim=1)
    return Undo(
        method=name,
        edits=len(bundle.ids),
        prompts=len(ordered),
        logits=before.numel(),
        differing=int((after != before).sum()),
        same_attached=round(float(same.float().mean()), 6),
        fired=round(fired / len(ordered), 6),
    )


def _bits(logits: Tensor) -> Tensor:
    """The last position's logits, (rows, vocabulary), as whole numbers of the same bits."""
    last = logits[:, -1].cpu().contiguous()
    return last.view(_WHOLE[last.element_size()])
