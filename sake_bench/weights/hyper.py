"""Hyperparameters of ROME and MEMIT, per model type, as functions of the depth.

The published values are GPT2-XL's: ROME layer 17 of 48, MEMIT layers 13 to 17, learning rate
0.5, KL factor 0.0625. Other depths take the layers at the same relative height; what differs for
one model stands in `_TUNED`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sake_registry.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Hyper:
    """One method's hyperparameters for one model.

    Attributes:
        layers: the layers that are written to; the value is optimised at the last of them.
        rate: Adam's learning rate.
        steps: Adam's steps, at most.
        enough: the loss at which the optimisation ends early.
        decay: factor of ‖δ‖ / ‖v‖².
        kl: factor of the divergence on "<subject> is a".
        clamp: ‖δ‖ is at most this times the norm of what δ is added to: the projection's output
            (ROME) or the block's (MEMIT).
        prefixes: so many neutral sentences go before the prompt, each by itself.
        covariance: MEMIT's λ, the weight of the keys to be left alone.
    """

    layers: tuple[int, ...]
    rate: float
    steps: int
    decay: float
    clamp: float
    enough: float = 5e-2
    kl: float = 0.0625
    prefixes: int = 20
    covariance: float = 0.0


@dataclass(frozen=True)
class HyperPair:
    rome: Hyper
    memit: Hyper

    @property
    def layers(self) -> tuple[int, ...]:
        """Every layer that either method needs statistics of."""
        return tuple(sorted({*self.rome.layers, *self.memit.layers}))


def _at_relative_height(depth: int, covariance: float) -> HyperPair:
    """Published for GPT2-XL: 17 and 13 to 17 of 48."""
    last = depth * 9 // 25
    return HyperPair(
        rome=Hyper(layers=(last,), rate=0.5, steps=20, decay=0.5, clamp=4.0),
        memit=Hyper(
            layers=tuple(range(max(0, last - 4), last + 1)),
            rate=0.5, steps=20, decay=0.5, clamp=0.75, covariance=covariance,
        ),
    )  # fmt: skip


_TYPES: dict[str, Callable[[int], HyperPair]] = {
    "gpt2": lambda depth: _at_relative_height(depth, covariance=20_000.0),
    "llama": lambda depth: _at_relative_height(depth, covariance=500.0),
}
_TUNED: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
"""What differs for a type of one depth, by (type, depth): nothing was found to serve better."""


def hyper(model_type: str, depth: int) -> HyperPair:
    """The hyperparameters for a model of `depth` blocks.

    Raises:
        UnsupportedModelError: none are known for this type.
    """
    if model_type not in _TYPES:
        raise UnsupportedModelError(
            f"no hyperparameters of ROME and MEMIT are known for models of type '{model_type}'",
            hint=f"known are {', '.join(sorted(_TYPES))}",
        )
    pair, tuned = _TYPES[model_type](depth), _TUNED.get((model_type, depth), {})
    return HyperPair(
        rome=replace(pair.rome, **tuned.get("rome", {})),
        memit=replace(pair.memit, **tuned.get("memit", {})),
    )
