"""The layer that makes logits of the rows that are sampled, and the site before it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vllm.model_executor.custom_op import op_registry_oot
from vllm.model_executor.layers.logits_processor import LogitsProcessor

from sake_registry.errors import SetupError, UnsupportedModelError
from sake_registry.runtime.steering import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import Tensor

    Action = Callable[["Call"], Tensor]

_NAME = "LogitsProcessor"


@dataclass(frozen=True)
class Call:
    """One call of the layer.

    Attributes:
        rows: (n, width) site activations.
        logits: what vLLM makes of rows in this call: (n, vocabulary). Behind an adapter's wrapper
            it counts on all n rows, in order.
    """

    rows: Tensor
    logits: Callable[[Tensor], Tensor]
    _layer: LogitsProcessor
    _embedding: Any
    _bias: Tensor | None

    def head(self) -> Head:
        """The output embedding by itself, for any number of rows; without adapters."""
        embedding = getattr(self._embedding, "base_layer", self._embedding)

        def logits(rows: Tensor) -> Tensor:
            made: Tensor = LogitsProcessor.forward(self._layer, embedding, rows, self._bias)
            return made

        def directions(tokens: Tensor) -> Tensor:
            weight = getattr(embedding, "weight", None)
            if weight is None or not weight.is_floating_point() or weight.dim() != 2:
                raise UnsupportedModelError(
                    "the output embedding is quantised: objects cannot be made exact on it",
                    hint="serve a checkpoint whose output embedding is not quantised, or compile "
                    "with `answer.exact = false`",
                )
            rows: Tensor = weight[tokens].float()
            return rows

        return Head(logits, directions)


class SteeredLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """vLLM's own, which hands a call to an action where there is one."""

    action: Action | None = None

    def forward(
        self,
        lm_head: Any,
        hidden_states: Tensor,
        embedding_bias: Tensor | None = None,
        skip_gather: bool = False,
    ) -> Tensor | None:
        # Behind an adapter's wrapper, `self` is the wrapper, which is no LogitsProcessor.
        layer: Any = getattr(self, "base_layer", self)
        make = partial(
            LogitsProcessor.forward,
            self,
            lm_head,
            embedding_bias=embedding_bias,
            skip_gather=skip_gather,
        )
        if layer.action is None:
            bare: Tensor | None = make(hidden_states)
            return bare
        steered: Tensor = layer.action(Call(hidden_states, make, layer, lm_head, embedding_bias))
        return steered

    # What follows passes `forward` by. No runner asks the served model for it today.

    def get_top_tokens(
        self, lm_head: Any, hidden_states: Tensor, embedding_bias: Tensor | None = None
    ) -> Tensor:
        if self.action is None:
            bare: Tensor = super().get_top_tokens(lm_head, hidden_states, embedding_bias)
            return bare
        return self._made(lm_head, hidden_states, embedding_bias).argmax(-1)

    def get_top_k_tokens(
        self,
        lm_head: Any,
        hidden_states: Tensor,
        k: int,
        embedding_bias: Tensor | None = None,
        *,
        return_log_probs: bool = False,
    ) -> tuple[Tensor, Tensor]:
        if self.action is None:
            bare: tuple[Tensor, Tensor] = super().get_top_k_tokens(
                lm_head, hidden_states, k, embedding_bias, return_log_probs=return_log_probs
            )
            return bare
        logits = self._made(lm_head, hidden_states, embedding_bias).float()
        values, ids = (logits.log_softmax(-1) if return_log_probs else logits).topk(k)
        return ids, values

    def _made(self, lm_head: Any, rows: Tensor, bias: Tensor | None) -> Tensor:
        logits = self.forward(lm_head, rows, bias)
        assert logits is not None, "logits are gathered on one rank only where there are several"
        return logits


def replace_layer() -> None:
    """Have every model that is loaded from now on in this process make its logits by our layer.

    Raises:
        SetupError: another plugin has put its own in that place.
    """
    taken = op_registry_oot.get(_NAME)
    if taken is SteeredLogitsProcessor:
        return
    if taken is not None:
        raise SetupError(
            f"the layer {_NAME} of vLLM is already replaced, by {taken.__module__}."
            f"{taken.__qualname__}: only one plugin can",
            hint="name the plugins to load without that one: VLLM_PLUGINS=sake",
        )
    LogitsProcessor.register_oot(SteeredLogitsProcessor, name=_NAME)


class Site:
    """The input of a served model's output embedding.

    Raises:
        UnsupportedModelError: the model has no such layer, or it is given logits.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._layers = [m for m in model.modules() if isinstance(m, SteeredLogitsProcessor)]
        if not self._layers or any(layer.logits_as_input for layer in self._layers):
            raise UnsupportedModelError(
                f"{type(model).__name__} does not make its logits by vLLM's {_NAME}: its rows "
                "cannot be steered",
                hint="supported: vLLM's own text-generating models, loaded after this plugin",
            )

    @contextmanager
    def acting(self, action: Action) -> Iterator[list[int]]:
        """The first call in the block is handed to `action`, which returns its logits; any other
        one is bare: rows of a prompt whose log-probabilities are asked for.

        Gives a list that holds, after the block, the number of rows of the call that was handed
        over; it is empty if there was none.
        """
        seen: list[int] = []

        def once(call: Call) -> Tensor:
            self._set(None)
            seen.append(len(call.rows))
            return action(call)

        self._set(once)
        try:
            yield seen
        finally:
            self._set(None)

    def _set(self, action: Action | None) -> None:
        for layer in self._layers:
            layer.action = action
