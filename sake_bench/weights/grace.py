"""GRACE (Hartvigsen et al. 2023): a codebook beside one layer, instead of changed weights.

An edit keeps the layer's input at its prompt's last token as a key and a value that the layer puts
out in place of its own where a pass ends within the key's radius. The value is found by gradient
descent. No weight is written: outside `edited` the model is what it was.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from sake_bench.weights.layout import at_rest, discover, hooked, read_points
from sake_bench.weights.requests import own_request, tokenize
from sake_registry.digests import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from sake_bench.weights.requests import Request
    from sake_registry.edits.schema import Edit
    from sake_registry.models.loading import LoadedModel

VERSION = 1
"""Raised whenever the same settings give other replies."""


@dataclass(frozen=True)
class Settings:
    """`layer` counts from the first block; `radius` is a new key's (the paper's ε)."""

    layer: int
    radius: float = 1.0
    rate: float = 1.0
    steps: int = 100
    enough: float = 5e-2


@dataclass
class _Entry:
    key: Tensor
    value: Tensor
    label: str
    radius: float


class Grace:
    """GRACE on a loaded model, with the interface of `WeightEditor`.

    Raises:
        UnsupportedModelError: the model's structure is none of the supported ones.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.layout = discover(loaded.model)
        # Late, as published: at five sixths of the depth.
        self._settings = Settings(layer=len(self.layout.blocks) * 5 // 6)
        self._known: dict[Request, tuple[Tensor, Tensor]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """What the method depends on, as plain values."""
        return {"method": "grace", **asdict(self._settings)}

    @property
    def key(self) -> str:
        """Identity of what the method makes of an edit on this model."""
        return digest([VERSION, self.settings])

    @contextmanager
    def edited(self, edits: Sequence[Edit]) -> Iterator[None]:
        """The model has these edits in its codebook while the block runs.

        Raises:
            InputError: a prompt does not name its subject; the edit is named.
        """
        codebook: list[_Entry] = []
        with at_rest(self.loaded.model):
            for edit in edits:
                key, value = self._found(own_request(edit))
                _keep(codebook, _Entry(key, value, edit.new, self._settings.radius))
        with hooked(*([self._hook(codebook)] if codebook else [])):
            yield

    def _hook(self, codebook: Sequence[_Entry]) -> Any:
        keys = torch.stack([entry.key for entry in codebook])
        values = torch.stack([entry.value for entry in codebook])
        radii = torch.tensor([entry.radius for entry in codebook], device=keys.device)

        def replace(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            distance, nearest = torch.cdist(args[0][:, -1].float(), keys).min(dim=1)
            near = distance <= radii[nearest]
            last = torch.where(near[:, None], values[nearest].to(output.dtype), output[:, -1])
            return torch.cat([output[:, :-1], last[:, None]], dim=1)

        return self.layout.projections[self._settings.layer].register_forward_hook(replace)

    def _found(self, request: Request) -> tuple[Tensor, Tensor]:
        """The key and the value of a request, (keys,) and (width,) float32; found once."""
        if request not in self._known:
            self._known[request] = self._find(request)
        return self._known[request]

    def _find(self, request: Request) -> tuple[Tensor, Tensor]:
        layout, settings, tokenizer = self.layout, self._settings, self.loaded.tokenizer
        row = tokenize(tokenizer, request, answered=True)
        last = row.object - 1
        projection = layout.projections[settings.layer]
        key = read_points(layout, [row.ids[: row.object]], [last], settings.layer)[0][0].float()
        with torch.no_grad():
            own = projection(key.to(next(projection.parameters()).dtype)).float()
        value = own.clone().requires_grad_(True)

        def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            put_in = value.to(output.dtype)[None, None]
            return torch.cat([output[:, :last], put_in, output[:, last + 1 :]], dim=1)

        ids = torch.tensor([row.ids[:-1]], device=layout.device)
        answer = torch.tensor(row.ids[row.object :], device=layout.device)
        optimizer = torch.optim.Adam([value], lr=settings.rate)
        with hooked(projection.register_forward_hook(put)), torch.enable_grad():
            for _ in range(settings.steps):
                out = layout.trunk(input_ids=ids, use_cache=False).last_hidden_state
                loss = functional.cross_entropy(layout.head(out[0, last:]).float(), answer)
                if loss.item() < settings.enough:
                    break
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return key, value.detach()


def _keep(codebook: list[_Entry], new: _Entry) -> None:
    """Add an entry, as the paper does where it comes near another one: with the same label the
    older one's radius grows to it; with another label both are parted halfway."""
    nearest = min(codebook, key=lambda e: float((e.key - new.key).norm()), default=None)
    if nearest is not None:
        distance = float((nearest.key - new.key).norm())
        if distance <= nearest.radius + new.radius:
            if nearest.label == new.label:
                nearest.radius = max(nearest.radius, distance)
                return
            nearest.radius = min(nearest.radius, distance / 2)
            new.radius = distance / 2
    codebook.append(new)
