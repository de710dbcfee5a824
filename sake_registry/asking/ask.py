"""`sake ask`: one prompt to the bare and the edited model, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.asking.answers import answer
from sake_registry.compiler.plan import find_bundle, stale
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import pad, pad_token
from sake_registry.runtime.bundle import load_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from sake_registry.edits.registry import Registry
    from sake_registry.routing.router import Decision


@dataclass(frozen=True)
class Asked:
    """Greedy texts, the decision, and the likeliest next tokens with their probabilities;
    `findings` say where the bundle is not what the registry says now."""

    prompt: str
    before: str
    after: str
    decision: Decision
    top_before: tuple[tuple[str, float], ...]
    top_after: tuple[tuple[str, float], ...]
    bundle: Path
    findings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "bundle": str(self.bundle),
            "findings": list(self.findings),
            "prompt": self.prompt,
            "before": self.before,
            "after": self.after,
            "decision": self.decision.model_dump(mode="json"),
            "top_before": [{"token": t, "probability": p} for t, p in self.top_before],
            "top_after": [{"token": t, "probability": p} for t, p in self.top_after],
        }


def ask(
    registry: Registry,
    prompt: str,
    *,
    model: str | None = None,
    bundle: Path | None = None,
    tokens: int = 20,
    top: int = 5,
) -> Asked:
    """Ask the bare and the edited model.

    Raises:
        InputError: nothing is compiled.
        BundleFormatError, ModelMismatchError: the bundle cannot be used.
    """
    located = locate(registry.settings, model)
    path = bundle or find_bundle(registry, located)
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    tokenizer = loaded.tokenizer

    def likeliest(logits: torch.Tensor) -> tuple[tuple[str, float], ...]:
        found = logits[0, -1].float().softmax(-1).topk(min(top, logits.shape[-1]))
        return tuple(
            (str(tokenizer.decode([token])), float(p))
            for p, token in zip(found.values, found.indices.tolist(), strict=True)
        )

    with (
        load_bundle(path) as opened,
        opened.attach(loaded.model, tokenizer, source=located.folder) as edited,
        torch.no_grad(),
    ):
        old = stale(opened.manifest, registry, located)
        (given,) = answer(edited, [prompt], tokens)
        ids, mask = pad([tokenizer(prompt).input_ids], pad_token(tokenizer))
        ids, mask = ids.to(loaded.model.device), mask.to(loaded.model.device)
        bare = loaded.model(input_ids=ids, attention_mask=mask).logits
        steered, _ = edited(ids, mask, decisions=[given.decision])
        return Asked(
            prompt=prompt,
            before=given.before,
            after=given.after,
            decision=given.decision,
            top_before=likeliest(bare),
            top_after=likeliest(steered.logits),
            bundle=path,
            findings=tuple(f"{id_}: {text}" for id_, text in old.items()),
        )
