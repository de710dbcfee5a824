"""Activations of an edit's texts, in batches, without the output embedding.

Guarantees (DESIGN, invariant 5): a forward batch holds texts of one edit only, sorted by length
in a fixed order, padded on the right; the same edit gives the same batches, whatever else is
compiled. The last position is taken from the attention mask, not from the padding side.

A text is read together with the object that should follow: a causal model's state before the
object does not see it, and one pass gives the states before each of the object's tokens, and the
one behind it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from sake_registry.extraction.contexts import Contexts, fill
from sake_registry.models.reading import read_tails
from sake_registry.models.tokens import continued, object_tokens
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.extraction.texts import PromptGroup
    from sake_registry.models.loading import LoadedModel
    from sake_registry.models.site import Site
    from sake_registry.progress import Progress

CLEAR = 1.5
"""Logits by which a model gives each token of an object more than any other, to say it clearly:
4.5 times the probability of the next. Further target contexts gain hardly anything then
(docs/decisions/0020-cheaper-compile.md)."""
_ROWS = 128
"""Rows of one head product: with a large vocabulary each takes half a megabyte or one."""
MOST_STEPS = 24
"""Tokens of an object that are looked at: after so many, a model goes on or has lost the way."""


@dataclass(frozen=True)
class GroupActivations:
    """Site activations of one group of n prompts, float32 on the CPU.

    `plain` and `target` have shape (n, steps, width): the state before each of `said`, the ones
    before it given. `forced` is (k·n, width), with the prompts in each of k forced contexts one
    after the other, before the first token only. `margin` (n, steps) is how much more the unedited
    model gives the token than any other in the pair's target context, in its logits; `context`
    (n,) which context that was, -1 where none could be filled.

    `tokens` are the object's; of a long one, and without `whole`, the first ones are looked at.
    Where the unedited model would run on after one of the prompts ("sitcom", "s"), `closing` is
    the token with which it most often ends the object in its target contexts; else None.
    """

    tokens: tuple[int, ...]
    plain: Tensor
    forced: Tensor
    target: Tensor
    margin: Tensor
    context: Tensor
    closing: int | None = None

    def __post_init__(self) -> None:
        n, steps, width = self.plain.shape
        if self.closing is None:
            fits = 1 <= steps <= len(self.tokens)
        else:
            fits = steps == len(self.tokens) + 1
        if not fits or self.target.shape != self.plain.shape:
            raise ValueError(
                f"target has shape {tuple(self.target.shape)}, plain {tuple(self.plain.shape)}, "
                f"for {len(self.tokens)} tokens"
            )
        if self.forced.dim() != 2 or self.forced.shape[1] != width or len(self.forced) % n:
            raise ValueError(f"forced has shape {tuple(self.forced.shape)}, not (k·{n}, {width})")
        if self.margin.shape != (n, steps) or self.context.shape != (n,):
            raise ValueError("one margin per pair and step, and one context per pair, are needed")

    @property
    def said(self) -> tuple[int, ...]:
        """The tokens that are led to: the object's that are looked at, and the closing one."""
        if self.closing is None:
            return self.tokens[: self.plain.shape[1]]
        return *self.tokens, self.closing

    @property
    def worked(self) -> Tensor:
        """(n, steps): whether the unedited model says the token next in the target context."""
        return self.margin > 0


@dataclass(frozen=True)
class _Tried:
    """A pair in the target context of a number: the margin of each token, (steps,), and the
    states, (steps or one more, width)."""

    context: int
    margin: Tensor
    rows: Tensor

    @property
    def rank(self) -> tuple[int, float]:
        """How many tokens the model says, and the smallest margin."""
        fails = (self.margin <= 0).nonzero()
        return int(fails[0]) if len(fails) else len(self.margin), float(self.margin.min())

    @property
    def clear(self) -> bool:
        return float(self.margin.min()) >= CLEAR


def margins(site: Site, hidden: Tensor, tokens: Tensor | int) -> Tensor:
    """How much more the model gives a token than any other, in logits; above 0 it says it.

    Args:
        hidden: (rows, width) site activations, as the model has them or as a map left them, on
            any device.
        tokens: (rows,) token ids, or one for all.

    Returns:
        (rows,) float32, on the output embedding's device.
    """
    return margins_and_rivals(site, hidden, tokens, 1)[0]


@torch.no_grad()
def margins_and_rivals(
    site: Site, hidden: Tensor, tokens: Tensor | int, rivals: int
) -> tuple[Tensor, Tensor]:
    """As `margins`, and beside them so many of the other tokens that the model gives most,
    (rows, rivals), the nearest first."""
    tokens = torch.as_tensor(tokens).expand(len(hidden))
    cuts = [*range(_ROWS, len(hidden), _ROWS)]
    found, others = [], []
    for some, of_some in zip(hidden.tensor_split(cuts), tokens.tensor_split(cuts), strict=True):
        logits = _logits(site, some)
        wanted = of_some.to(logits.device)[:, None]
        of_token = logits.gather(-1, wanted)[:, 0].float()
        near = logits.scatter_(-1, wanted, float("-inf")).topk(rivals)
        found.append(of_token - near.values[:, 0].float())
        others.append(near.indices)
    return torch.cat(found), torch.cat(others)


def _logits(site: Site, hidden: Tensor) -> Tensor:
    """(rows, vocabulary) in the output embedding's dtype, on its device."""
    return site.logits(_as_head_reads(site, hidden))


def _as_head_reads(site: Site, hidden: Tensor) -> Tensor:
    weight = next(site.head.parameters())
    dtype = weight.dtype if weight.is_floating_point() else hidden.dtype
    return hidden.to(weight.device, dtype)


@torch.no_grad()
def some_logits(site: Site, hidden: Tensor, tokens: Tensor) -> Tensor | None:
    """Logits of some tokens (k,) alone, (rows, k) float32; None where the output embedding is no
    plain linear layer, whose rows cannot be read by themselves."""
    if type(site.head) is not torch.nn.Linear:
        return None
    weight, bias = site.head.weight[tokens], site.head.bias
    read = _as_head_reads(site, hidden)
    return linear(read, weight, None if bias is None else bias[tokens]).float()


@torch.no_grad()
def collect(
    groups: Sequence[PromptGroup],
    loaded: LoadedModel,
    site: Site,
    contexts: Contexts,
    batch_size: int,
    *,
    whole: bool = True,
    progress: Progress = SILENT,
) -> list[GroupActivations]:
    """Activations of an edit's groups: of each prompt plain, forced, and in its target context.

    That is the first in which the smallest margin of the object's tokens is `CLEAR`; where there
    is none, the one in which the unedited model says most of them, and of those the one in which
    the smallest margin is largest. The contexts behind the first clear one are not read. A margin
    is one of the edit's own batches, so the same machine reads the same texts whatever else it
    compiles, and whoever asks it to.

    Args:
        whole: look at every token of an object and at its end, and not only at the first token.
        progress: advanced by the texts that are read, in a phase that the caller began.
    """
    tokenizer = loaded.tokenizer
    objects = [object_tokens(tokenizer, group.prompts[0], group.new)[1] for group in groups]
    tokens = [tuple(ids[: MOST_STEPS if whole else 1]) for ids in objects]
    # Of an object that is cut short, nobody looks at the end.
    given = [
        list(looked_at if whole and len(looked_at) == len(ids) else looked_at[:-1])
        for looked_at, ids in zip(tokens, objects, strict=True)
    ]

    def ids_before(g: int, text: str) -> list[int]:
        """The token ids of a text before the group's object."""
        return object_tokens(tokenizer, text, groups[g].new)[0]

    def read(rows: Sequence[Sequence[int]], tails: Sequence[int]) -> list[Tensor]:
        return read_tails(site, tokenizer, rows, tails, batch_size, progress)

    forced = [
        (g, text)
        for g, group in enumerate(groups)
        for template in contexts.of(group, "forced")
        if group.old is not None
        for prompt in group.prompts
        if (text := _fill(template, group, prompt, fact=group.fact_old)) is not None
    ]
    of_forced = read([ids_before(*member) for member in forced], [1] * len(forced))
    pairs = [(g, prompt) for g, group in enumerate(groups) for prompt in group.prompts]
    bare = [ids_before(g, prompt) + given[g] for g, prompt in pairs]
    # How many states are read of a pair: before the object's tokens, and behind it where its end
    # is looked at.
    sizes = [len(given[g]) + 1 for g, _ in pairs]
    plain: dict[int, Tensor] = {}
    rounds = max(len(contexts.of(group, "target")) for group in groups)
    best: dict[int, _Tried] = {}
    for number in range(rounds):
        rows, tails, places = [], [], []
        for place, (g, prompt) in enumerate(pairs):
            templates = contexts.of(groups[g], "target")
            if number >= len(templates) or (place in best and best[place].clear):
                continue
            text = _fill(templates[number], groups[g], prompt, fact=groups[g].fact_new)
            if text is None:
                continue
            row = ids_before(g, text) + given[g]
            # What a text begins with is read with it: "twice" says the prompt and its object.
            begins = place not in plain and row[: len(bare[place])] == bare[place]
            rows.append(row)
            tails.append(sizes[place] + (len(row) - len(bare[place]) if begins else 0))
            places.append(place)
        if not places:
            continue
        states = read(rows, tails)
        for place, found in zip(places, states, strict=True):
            if len(found) > sizes[place]:
                plain[place] = found[: sizes[place]]
        last = [found[-sizes[place] :] for place, found in zip(places, states, strict=True)]
        wanted = [tokens[pairs[place][0]] for place in places]
        said = torch.cat([of[: len(ids)] for of, ids in zip(last, wanted, strict=True)])
        of_said = margins(site, said, torch.tensor([*chain(*wanted)])).cpu()
        of_places = of_said.split_with_sizes([len(ids) for ids in wanted])
        for place, margin, of in zip(places, of_places, last, strict=True):
            tried = _Tried(number, margin, _float(of))
            if place not in best or tried.rank > best[place].rank:
                best[place] = tried
    left = [place for place in range(len(pairs)) if place not in plain]
    alone = read([bare[place] for place in left], [sizes[place] for place in left])
    plain |= dict(zip(left, alone, strict=True))

    for place, (g, _) in enumerate(pairs):
        # Without an old object, no context that names it can be filled: the pair did not work.
        failed = torch.full((len(tokens[g]),), float("-inf"))
        best.setdefault(place, _Tried(-1, failed, _float(plain[place])))
    result = []
    for g in range(len(groups)):
        places = [place for place, (other, _) in enumerate(pairs) if other == g]
        before = _float(torch.stack([plain[place] for place in places]))
        target = torch.stack([best[place].rows for place in places])
        margin = torch.stack([best[place].margin for place in places])
        context = torch.tensor([best[place].context for place in places])
        of_group = [row for (other, _), row in zip(forced, of_forced, strict=True) if other == g]
        closing = None
        if len(given[g]) == len(tokens[g]):
            closing = _closing(site, tokenizer, tokens[g], before[:, -1], target[context >= 0, -1])
            if closing is None:
                before, target = before[:, :-1].contiguous(), target[:, :-1].contiguous()
            else:
                ends = margins(site, target[:, -1], closing).cpu()
                ends[context < 0] = float("-inf")
                margin = torch.cat((margin, ends[:, None]), dim=1)
        result.append(
            GroupActivations(
                tokens=tuple(objects[g]),
                plain=before,
                forced=_float(torch.cat(of_group))
                if of_group
                else torch.empty(0, before.shape[-1]),
                target=target,
                margin=margin,
                context=context,
                closing=closing,
            )
        )
    return result


def _closing(
    site: Site, tokenizer: Any, tokens: Sequence[int], plain: Tensor, target: Tensor
) -> int | None:
    """The token that ends an object most often in its target contexts, given the states (n, width)
    behind it; None if it need not be led to, after plain prompts, or cannot be."""

    def ends(hidden: Tensor) -> list[int]:
        """What the model says next, where it does not run on."""
        said = _logits(site, hidden).argmax(-1).tolist()
        return [token for token in said if not continued(tokenizer, tokens, [token])]

    if len(ends(plain)) == len(plain):
        return None
    special = set(tokenizer.all_special_ids)  # those end the answer, and not only the object
    counts = Counter(token for token in ends(target) if token not in special)
    return counts.most_common(1)[0][0] if counts else None


def _fill(template: str, group: PromptGroup, prompt: str, fact: str) -> str | None:
    return fill(template, prompt=prompt, old=group.old, new=group.new, fact=fact)


def _float(rows: Tensor) -> Tensor:
    return rows.float().cpu().contiguous()
