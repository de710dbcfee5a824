"""Where a model keeps what ROME and MEMIT write to: the second projection of each block's MLP.

The structure is discovered, not looked up by the model's name. In the papers' words, the
projection maps a key k (its input) to a value v = W k (+ b), which is added to the residual
stream; so one vector added to its output is the same vector added to the block's output.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.reading import pad

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

_PROJECTIONS = ("down_proj", "c_proj")
_SUPPORTED = (
    "supported is a stack of blocks whose MLP adds the output of its last projection to the "
    "residual stream: mlp.down_proj (Llama) or mlp.c_proj (GPT-2)"
)


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass behind the last block that is read."""


@dataclass(frozen=True)
class Layout:
    """The parts of a causal language model that weight editing touches.

    Attributes:
        model: the whole model.
        trunk: what maps token ids to the input of `head` (blocks and final norm).
        head: the output embedding.
        blocks: the blocks, from the first.
        projections: the second projection of each block's MLP.
    """

    model: nn.Module
    trunk: nn.Module
    head: nn.Module
    blocks: tuple[nn.Module, ...]
    projections: tuple[nn.Module, ...]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def weight(self, layer: int) -> nn.Parameter:
        """The projection's weight as it is stored."""
        weight = self.projections[layer].weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def matrix(self, layer: int) -> Tensor:
        """W of v = W k + b, shape (width, keys): a view, so that writing to it edits the model."""
        weight = self.weight(layer).detach()
        return weight.T if isinstance(self.projections[layer], Conv1D) else weight


def discover(model: nn.Module) -> Layout:
    """Find the blocks and projections of a model.

    Raises:
        UnsupportedModelError: its structure is another one; says what is supported.
    """
    trunk = getattr(model, "base_model", None)
    find_head: Any = getattr(model, "get_output_embeddings", lambda: None)
    head = find_head()
    if not isinstance(trunk, nn.Module) or trunk is model or not isinstance(head, nn.Module):
        raise _unsupported("it has no trunk with an output embedding")
    stacks = [part for part in trunk.children() if isinstance(part, nn.ModuleList) and len(part)]
    if len(stacks) != 1:
        raise _unsupported(f"it has {len(stacks)} stacks of blocks")
    blocks = tuple(stacks[0])
    projections = tuple(_projection(block, i) for i, block in enumerate(blocks))
    return Layout(model, trunk, head, blocks, projections)


def _projection(block: nn.Module, number: int) -> nn.Module:
    mlp = getattr(block, "mlp", None)
    for name in _PROJECTIONS:
        projection = getattr(mlp, name, None)
        if isinstance(projection, nn.Linear | Conv1D) and projection.weight.is_floating_point():
            return projection
    raise _unsupported(f"block {number} has no mlp.{' or mlp.'.join(_PROJECTIONS)}")


def _unsupported(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"the weights of this model cannot be edited: {what}", hint=_SUPPORTED
    )


@contextmanager
def hooked(*handles: Any) -> Iterator[None]:
    """Take hooks off again when the block is left."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def read_keys(layout: Layout, ids: Tensor, mask: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Keys of a right-padded batch at some layers, each (rows, positions, keys).

    Blocks above the last of these layers are not run.
    """
    seen: dict[int, Tensor] = {}

    def hook(layer: int) -> Any:
        def read(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen[layer] = args[0].detach()
            if layer == max(layers):
                raise _Reached

        return layout.projections[layer].register_forward_pre_hook(read)

    with hooked(*[hook(layer) for layer in layers]):
        _run_trunk(layout, ids, mask)
    return [seen[layer] for layer in layers]


@torch.no_grad()
def read_points(
    layout: Layout, rows: Sequence[Sequence[int]], positions: Sequence[int], layer: int
) -> tuple[Tensor, Tensor]:
    """Key and block output of each row at its position, at one layer.

    Returns:
        (keys, hidden): (rows, keys) and (rows, width), float64 on the model's device.
    """
    seen: dict[str, Tensor] = {}

    def key(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen["key"] = args[0].detach()

    def hidden(module: nn.Module, args: Any, output: Any) -> None:
        seen["hidden"] = (output[0] if isinstance(output, tuple) else output).detach()
        raise _Reached

    with hooked(
        layout.projections[layer].register_forward_pre_hook(key),
        layout.blocks[layer].register_forward_hook(hidden),
    ):
        _run_trunk(layout, *pad(rows, 0))
    at = (torch.arange(len(rows)), torch.tensor(positions))
    return seen["key"][at].double(), seen["hidden"][at].double()


def _run_trunk(layout: Layout, ids: Tensor, mask: Tensor) -> None:
    device = layout.device
    try:
        layout.trunk(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    except _Reached:
        return
    raise AssertionError("unreachable: a hook ends every pass")


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients for its parameters, then as it was."""
    training = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in gradients:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in gradients:
            parameter.requires_grad_(flag)
