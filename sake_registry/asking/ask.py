"""`sake ask`: one prompt to the bare and the edited model, side by side, or to the bare one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.asking.answers import answer, continue_greedily
from sake_registry.compiler.plan import find_bundle, stale
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import pad, pad_token
from sake_registry.routing.router import Decision
from sake_registry.runtime.bundle import load_bundle
from sake_registry.values import Value

if TYPE_CHECKING:
    from sake_registry.edits.registry import Registry
    from sake_registry.models.loading import LoadedModel


class NextToken(Value):
    token: str
    probability: float


class BareAnswer(Value):
    """The bare model's greedy text, and the likeliest next tokens."""

    model: str
    prompt: str
    before: str
    top_before: tuple[NextToken, ...]


class Answer(Value):
    """Greedy texts, the decision, and the likeliest next tokens; `findings` say where the bundle is
    not what the registry says now."""

    bundle: Path
    findings: tuple[str, ...] = ()
    prompt: str
    before: str
    after: str
    decision: Decision
    top_before: tuple[NextToken, ...]
    top_after: tuple[NextToken, ...]


def ask(
    registry: Registry,
    prompt: str,
    *,
    model: str | None = None,
    bundle: Path | None = None,
    tokens: int = 20,
    top: int = 5,
) -> Answer:
    """Ask the bare and the edited model.

    Raises:
        InputError: nothing is compiled.
        BundleFormatError, ModelMismatchError: the bundle cannot be used.
    """
    located = locate(registry.settings, model)
    path = bundle or find_bundle(registry, located)
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    tokenizer = loaded.tokenizer
    with (
        load_bundle(path) as opened,
        opened.attach(loaded.model, tokenizer, source=located.folder) as edited,
        torch.no_grad(),
    ):
        ((before, after),) = answer(edited, [prompt], [tokens])
        ids, mask = _encoded(loaded, prompt)
        bare = loaded.model(input_ids=ids, attention_mask=mask).logits
        steered, _ = edited(ids, mask, decisions=[after.decision])
        differences = stale(opened.manifest, registry, located)
        return Answer(
            bundle=path,
            findings=tuple(f"{id_}: {text}" for id_, text in differences.items()),
            prompt=prompt,
            before=before.text,
            after=after.text,
            decision=after.decision,
            top_before=_likeliest(tokenizer, bare, top),
            top_after=_likeliest(tokenizer, steered.logits, top),
        )


def ask_bare(
    registry: Registry, prompt: str, *, model: str | None = None, tokens: int = 20, top: int = 5
) -> BareAnswer:
    """Ask the model as it is: nothing need be compiled.

    Raises:
        ModelNotFoundError: the model cannot be had.
        InputError: the prompt is empty.
    """
    located = locate(registry.settings, model)
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    (said,) = continue_greedily(loaded.model, loaded.tokenizer, [(prompt, None)], [tokens], 1)
    ids, mask = _encoded(loaded, prompt)
    with torch.no_grad():
        logits = loaded.model(input_ids=ids, attention_mask=mask).logits
    return BareAnswer(
        model=located.source.name,
        prompt=prompt,
        before=said.text,
        top_before=_likeliest(loaded.tokenizer, logits, top),
    )


def _encoded(loaded: LoadedModel, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of a prompt, (1, tokens) each, on the model's device."""
    ids, mask = pad([loaded.tokenizer(prompt).input_ids], pad_token(loaded.tokenizer))
    return ids.to(loaded.model.device), mask.to(loaded.model.device)


def _likeliest(tokenizer: Any, logits: torch.Tensor, top: int) -> tuple[NextToken, ...]:
    best = logits[0, -1].float().softmax(-1).topk(min(top, logits.shape[-1]))
    return tuple(
        NextToken(token=str(tokenizer.decode([token])), probability=float(p))
        for p, token in zip(best.values, best.indices.tolist(), strict=True)
    )
