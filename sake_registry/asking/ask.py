"""`sake ask`: prompts to the bare and the edited model, side by side, or to the bare one.

The model is loaded once. Each prompt is asked by itself, in no batch: its answer does not depend
on what else is asked.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from sake_registry.compiler.plan import find_bundle, stale
from sake_registry.errors import InputError
from sake_registry.models.chats import chat_ids
from sake_registry.models.loading import load, locate
from sake_registry.models.tokens import text_of
from sake_registry.routing.router import Decision
from sake_registry.runtime.bundle import load_bundle
from sake_registry.runtime.generation import greedy
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sake_registry.edits.registry import Registry


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


def ask(registry: Registry, prompt: str, **options: Any) -> Answer:
    """Ask the bare and the edited model once; `options` and errors as of `asking`."""
    with asking(registry, **options) as answer:
        return answer(prompt)


@contextmanager
def asking(
    registry: Registry,
    *,
    model: str | None = None,
    bundle: Path | None = None,
    tokens: int = 20,
    top: int = 5,
    chat: bool = False,
) -> Iterator[Callable[[str], Answer]]:
    """The bare and the edited model, loaded to be asked; a prompt's answer raises InputError where
    the prompt cannot be asked.

    Args:
        tokens: most tokens of an answer.
        top: how many of the likeliest next tokens.
        chat: a prompt is a user's turn, in the model's own template for chats.

    Raises:
        InputError: nothing is compiled.
        BundleFormatError, ModelMismatchError: the bundle cannot be used.
    """
    located = locate(registry.settings, model)
    path = bundle or find_bundle(registry, located)
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    tokenizer, bare = loaded.tokenizer, cast(Any, loaded.model)
    with (
        load_bundle(path) as opened,
        opened.attach(bare, tokenizer, source=located.folder) as edited,
        torch.no_grad(),
    ):
        differences = stale(opened.manifest, registry, located)
        findings = tuple(f"{id_}: {text}" for id_, text in differences.items())

        def answer(prompt: str) -> Answer:
            text, inputs = _encoded(bare, tokenizer, prompt, tokens, chat=chat)
            (decision,) = edited.decide(text)
            how = greedy(tokens, tokenizer)
            before = bare.generate(**inputs, **how)
            after = edited.generate(**inputs, decisions=[decision], **how)
            steered, _ = edited(**inputs, decisions=[decision])
            return Answer(
                bundle=path,
                findings=findings,
                prompt=prompt,
                before=_said(tokenizer, before, inputs),
                after=_said(tokenizer, after.sequences, inputs),
                decision=decision,
                top_before=_likeliest(tokenizer, bare(**inputs).logits, top),
                top_after=_likeliest(tokenizer, steered.logits, top),
            )

        yield answer


@contextmanager
def asking_bare(
    registry: Registry,
    *,
    model: str | None = None,
    tokens: int = 20,
    top: int = 5,
    chat: bool = False,
) -> Iterator[Callable[[str], BareAnswer]]:
    """The model as it is, loaded to be asked as by `asking`: nothing need be compiled.

    Raises:
        ModelNotFoundError: the model cannot be had.
    """
    located = locate(registry.settings, model)
    loaded = load(located, trust_remote_code=registry.settings.trust_remote_code)
    tokenizer, bare = loaded.tokenizer, cast(Any, loaded.model)

    def answer(prompt: str) -> BareAnswer:
        _, inputs = _encoded(bare, tokenizer, prompt, tokens, chat=chat)
        return BareAnswer(
            model=located.source.name,
            prompt=prompt,
            before=_said(tokenizer, bare.generate(**inputs, **greedy(tokens, tokenizer)), inputs),
            top_before=_likeliest(tokenizer, bare(**inputs).logits, top),
        )

    with torch.no_grad():
        yield answer


def _encoded(
    model: Any, tokenizer: Any, prompt: str, tokens: int, *, chat: bool
) -> tuple[str, dict[str, torch.Tensor]]:
    """The text that is decided on, and what the model reads: ids and mask, (1, tokens) each.

    Raises:
        InputError: the prompt is empty or too long, or the model has no chat template, or its
            template refuses this.
    """
    if chat and not tokenizer.chat_template:
        raise InputError(
            "this model has no chat template", hint="leave out --chat: it completes texts"
        )
    if chat:
        ids = chat_ids(tokenizer, [{"role": "user", "content": prompt}])
    else:
        ids = list(tokenizer(prompt, verbose=False).input_ids)
    if not prompt.strip() or not ids:
        raise InputError("an empty prompt has no answer", hint="write what the model completes")
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if room and len(ids) + tokens > room:
        raise InputError(
            f"{len(ids)} tokens of prompt and {tokens} of answer are more than the model's {room}",
            hint="shorten the prompt, or give fewer --tokens",
        )
    rows = torch.tensor([ids], device=model.device)
    inputs = {"input_ids": rows, "attention_mask": torch.ones_like(rows)}
    return text_of(tokenizer, ids) if chat else prompt, inputs


def _said(tokenizer: Any, sequences: torch.Tensor, inputs: dict[str, torch.Tensor]) -> str:
    """The text of a generated row behind its prompt."""
    new = sequences[0, inputs["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))


def _likeliest(tokenizer: Any, logits: torch.Tensor, top: int) -> tuple[NextToken, ...]:
    best = logits[0, -1].float().softmax(-1).topk(min(top, logits.shape[-1]))
    return tuple(
        NextToken(token=str(tokenizer.decode([token])), probability=float(p))
        for p, token in zip(best.values, best.indices.tolist(), strict=True)
    )
