"""Activations of an edit's texts, in batches, without the output embedding.

Guarantees (DESIGN, invariant 5): a forward batch holds texts of one edit only, sorted by length
in a fixed order, padded on the right; the same edit gives the same batches, whatever else is
compiled. The last position is taken from the attention mask, not from the padding side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.distributions.contexts import Contexts, fill
from sake_registry.models.reading import read_last

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sake_registry.distributions.texts import Group
    from sake_registry.models.loading import LoadedModel
    from sake_registry.models.site import Site


@dataclass(frozen=True)
class GroupActivations:
    """Site activations of one group of n prompts, float32 on the CPU.

    `plain` and `target` have shape (n, width), `forced` (k·n, width) with the prompts in each of
    k forced contexts one after the other. `worked` says of each pair whether the unedited model
    said the new object next in its target context, `context` which context that was (the last
    one tried where none worked).
    """

    plain: Tensor
    forced: Tensor
    target: Tensor
    worked: Tensor
    context: Tensor

    def __post_init__(self) -> None:
        n, width = self.plain.shape
        if self.target.shape != (n, width):
            raise ValueError(f"target has shape {tuple(self.target.shape)}, not {(n, width)}")
        if self.forced.dim() != 2 or self.forced.shape[1] != width or len(self.forced) % n:
            raise ValueError(f"forced has shape {tuple(self.forced.shape)}, not (k·{n}, {width})")
        if self.worked.shape != (n,) or self.context.shape != (n,):
            raise ValueError("one mark per pair is needed")


def object_token(tokenizer: Any, prompt: str, answer: str) -> int:
    """The first token of `answer` after `prompt`, in their joint text (invariant 11)."""
    alone = tokenizer(prompt, add_special_tokens=True).input_ids
    joint = tokenizer(f"{prompt} {answer}", add_special_tokens=True).input_ids
    shared = 0
    while shared < min(len(alone), len(joint)) and alone[shared] == joint[shared]:
        shared += 1
    # Tokenizers that close a text with a special token differ there already.
    return int(joint[min(shared, len(joint) - 1)])


@torch.inference_mode()
def collect(
    groups: Sequence[Group],
    loaded: LoadedModel,
    site: Site,
    contexts: Contexts,
    batch_size: int,
    progress: Callable[[int], None] = lambda n: None,
) -> list[GroupActivations]:
    """Activations of an edit's groups: sources once, targets in one context after the other.

    A prompt whose target context fails to make the model say the new object is tried in the
    next context; the ones that worked are not run again.
    """
    tokenizer = loaded.tokenizer

    def read(texts: list[str]) -> Tensor:
        return read_last(site, tokenizer, texts, batch_size, progress)

    plain = [list(group.prompts) for group in groups]
    forced = [
        [
            text
            for template in _of(contexts, group, "forced")
            for prompt in group.prompts
            if (text := _fill(template, group, prompt, fact=group.fact_old)) is not None
        ]
        if group.old is not None
        else []
        for group in groups
    ]
    parts = [*plain, *forced]
    texts = [text for part in parts for text in part]
    sources = torch.split(read(texts), [len(part) for part in parts])

    pending = [(g, i) for g, group in enumerate(groups) for i in range(len(group.prompts))]
    rows = {member: sources[member[0]][member[1]] for member in pending}
    worked = dict.fromkeys(pending, False)
    used = dict.fromkeys(pending, -1)
    rounds = max(len(_of(contexts, group, "target")) for group in groups)
    for number in range(rounds):
        texts, members = [], []
        for g, i in pending:
            templates = _of(contexts, groups[g], "target")
            if number < len(templates):
                prompt = groups[g].prompts[i]
                text = _fill(templates[number], groups[g], prompt, fact=groups[g].fact_new)
                if text is not None:
                    texts.append(text)
                    members.append((g, i))
        if not texts:
            continue
        hidden = read(texts)
        answers = site.head(hidden).argmax(-1).tolist()
        for member, text, row, answer in zip(members, texts, hidden, answers, strict=True):
            rows[member], used[member] = row, number
            worked[member] = answer == object_token(tokenizer, text, groups[member[0]].new)
        pending = [member for member in pending if not worked[member]]
        if not pending:
            break

    found = []
    for g, group in enumerate(groups):
        members = [(g, i) for i in range(len(group.prompts))]
        found.append(
            GroupActivations(
                plain=_float(sources[g]),
                forced=_float(sources[len(groups) + g]),
                target=_float(torch.stack([rows[member] for member in members])),
                worked=torch.tensor([worked[member] for member in members]),
                context=torch.tensor([used[member] for member in members]),
            )
        )
    return found


def _of(contexts: Contexts, group: Group, kind: str) -> tuple[str, ...]:
    templates: tuple[str, ...] = getattr(
        contexts, kind if group.kind == "fact" else f"implication_{kind}"
    )
    return templates


def _fill(template: str, group: Group, prompt: str, fact: str) -> str | None:
    return fill(template, prompt=prompt, old=group.old, new=group.new, fact=fact)


def _float(rows: Tensor) -> Tensor:
    return rows.float().cpu().contiguous()
