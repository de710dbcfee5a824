"""The value that makes a model say the new object: gradient descent on one vector.

ROME (3.1, step 2) and MEMIT (4.2) both look for a vector δ that, added at the subject's last
token, makes the new object likely behind any prefix, while "<subject> is a" goes on as before.

What comes before the subject's last token is not touched by δ (attention looks back only): its
keys and values are computed once, and a step runs the few tokens behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import DynamicCache

from sake_bench.weights.layout import hooked
from sake_registry.models.reading import pad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from sake_bench.weights.hyper import Hyper
    from sake_bench.weights.layout import Layout
    from sake_bench.weights.requests import Row


@dataclass
class Tails:
    """Rows from their subject's last token on, with what attention keeps of the rest.

    `logits` runs them with δ added to the projection's output at the subject's last token.
    """

    layout: Layout
    ids: Tensor
    mask: Tensor
    positions: Tensor
    past: list[tuple[Tensor, Tensor]]

    @classmethod
    @torch.no_grad()
    def of(cls, layout: Layout, rows: Sequence[Row]) -> Tails:
        """Compute the past of rows once; their last token is not an input if it is an object's."""
        device = layout.device
        ends = [len(row.ids) - (row.object < len(row.ids)) for row in rows]
        tails = [row.ids[row.subject : end] for row, end in zip(rows, ends, strict=True)]
        ids, mask = (part.to(device) for part in pad(tails, 0))
        before = torch.tensor([row.subject for row in rows], device=device)
        positions = before[:, None] + torch.arange(ids.shape[1], device=device)
        past: list[tuple[Tensor, Tensor]] = []
        if int(before.max()):
            heads = [row.ids[: row.subject] for row in rows]
            earlier, earlier_mask = (part.to(device) for part in pad(heads, 0, left=True))
            out = layout.trunk(
                input_ids=earlier,
                attention_mask=earlier_mask,
                position_ids=(earlier_mask.cumsum(-1) - 1).clamp(min=0),
                use_cache=True,
            )
            # A row without a past attends to nothing there: what comes out is not to be used.
            past = [
                (layer.keys.nan_to_num(), layer.values.nan_to_num())
                for layer in out.past_key_values.layers
            ]
            mask = torch.cat([earlier_mask, mask], dim=1)
        return cls(layout, ids, mask, positions, past)

    def logits(self, layer: int, delta: Tensor | None, at: tuple[Tensor, Tensor]) -> Tensor:
        """Float32 logits at (rows, places in the tails), (points, vocabulary)."""

        def add(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            assert delta is not None
            moved = output[:, :1] + delta.to(output.dtype)
            return torch.cat([moved, output[:, 1:]], dim=1)

        projection = self.layout.projections[layer]
        with hooked(*([projection.register_forward_hook(add)] if delta is not None else [])):
            out = self.layout.trunk(
                input_ids=self.ids,
                attention_mask=self.mask,
                position_ids=self.positions,
                past_key_values=DynamicCache(self.past) if self.past else None,
                use_cache=bool(self.past),
            )
        logits: Tensor = self.layout.head(out.last_hidden_state[at])
        return logits.float()


def find_delta(
    layout: Layout, rows: Sequence[Row], about: Row, layer: int, norm: float, hyper: Hyper
) -> Tensor:
    """The vector δ that makes the model say the object of `rows`, (width,) float64.

    Args:
        rows: the prompt with its object behind several prefixes.
        about: "<subject> is a".
        layer: where δ is added to the projection's output.
        norm: of what δ is added to; scales decay and clamp.

    The model must be at rest (`layout.at_rest`).
    """
    device = layout.device
    width = layout.matrix(layer).shape[0]
    tails = Tails.of(layout, [*rows, about])
    points, answers, weights = [], [], []
    for number, row in enumerate(rows):
        wanted = row.ids[row.object :]
        for i, token in enumerate(wanted):
            points.append((number, row.object + i - 1 - row.subject))
            answers.append(token)
            weights.append(1 / (len(wanted) * len(rows)))
    points.append((len(rows), len(about.ids) - 1 - about.subject))
    place = torch.tensor(points, device=device)
    at = (place[:, 0], place[:, 1])
    answer = torch.tensor(answers, device=device)
    weight = torch.tensor(weights, device=device)
    with torch.no_grad():
        before = tails.logits(layer, None, at)[-1].log_softmax(-1)
    delta = torch.zeros(width, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=hyper.rate)
    for _ in range(hyper.steps):
        with torch.enable_grad():
            likely = tails.logits(layer, delta, at).log_softmax(-1)
            said = likely[:-1].gather(-1, answer[:, None])[:, 0]
            kept = functional.kl_div(before, likely[-1], log_target=True, reduction="sum")
            decay = hyper.decay * _length(delta) / norm**2
            loss = -(weight * said).sum() + hyper.kl * kept + decay
        if loss.item() < hyper.enough:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            delta.mul_(min(1.0, hyper.clamp * norm / float(delta.norm())))
    return delta.detach().double()


def _length(delta: Tensor) -> Tensor:
    """The norm, whose gradient at 0 is 0 and not undefined."""
    return delta.square().sum().clamp(min=1e-12).sqrt()
