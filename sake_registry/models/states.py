"""The edited model's own states as embeddings of texts, in place of a prompt embedder's.

- `hidden`: the last hidden state, at the site (`lm_head.input`).
- `middle`: the residual stream after the first half of the layers.

Both are read at a text's last position, and bare: within an edited call too nothing is steered,
and the call goes on as if nothing had been read.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.embedder import MAX_TOKENS, open_embedder
from sake_registry.models.reading import pad_token, read_tails
from sake_registry.models.site import Captured, Hook, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from sake_registry.models.embedder import Embed
    from sake_registry.models.loading import LoadedModel, LocatedModel
    from sake_registry.models.reading import Readable
    from sake_registry.settings import Representation

BATCH = 16
NAMES = {"hidden": "last hidden state", "middle": "state of the middle layer"}


class _Identity(Protocol):
    @property
    def embedder(self) -> str: ...


class Identified(Protocol):
    """A located model, or what a bundle says of its own."""

    @property
    def hash(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def identity(self) -> _Identity: ...


def embed_of(
    representation: Representation,
    located: LocatedModel,
    load: Callable[[], tuple[LoadedModel, Site]],
) -> Embed:
    """How the router's settings have texts embedded.

    Args:
        located: the model that is edited.
        load: gives it, loaded, with its site proved; asked only for its own states.

    Raises:
        UnsupportedModelError: the model cannot be loaded, or its layers cannot be told.
    """
    if representation == "embedder":
        return open_embedder(located.embedder_folder).embed
    loaded, site = load()
    return States(site, loaded.tokenizer, representation).embed


def space_of(representation: Representation, model: Identified) -> str:
    """What tells the space of such embeddings from others, for keys."""
    if representation == "embedder":
        return model.identity.embedder
    return f"{representation} {model.hash} {model.dtype}"


class Middle:
    """The residual stream after the first half of a model's layers (`num_hidden_layers // 2`).

    A hook of its own does nothing but for `read`, in the same thread; it goes with the site's.

    Raises:
        UnsupportedModelError: the model's layers cannot be told.
    """

    def __init__(self, site: Site) -> None:
        self._site, self.model = site, site.model
        self._calls = threading.local()
        layers = _layers(self.model)
        # The input of the next layer is the stream; layers return it in many ways, and take it
        # in two.
        following = layers[len(layers) // 2]
        site.hold(following.register_forward_pre_hook(Hook(self._hook), with_kwargs=True))

    def _hook(self, module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        seen = getattr(self._calls, "seen", None)
        if seen is not None:
            seen.append(args[0] if args else options.get("hidden_states"))
            raise Captured

    @torch.no_grad()
    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states of a batch, (rows, positions, width); the later layers are not run.

        Raises:
            UnsupportedModelError: what came to the layer is no such tensor.
        """
        seen: list[Any] = []
        self._calls.seen = seen
        try:
            # No action of an outer call may see this pass, should it ever reach the site.
            with self._site.acting(lambda hidden: None):
                self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        except Captured:
            pass
        finally:
            self._calls.seen = None
        hidden = seen[0] if seen else None
        if not isinstance(hidden, torch.Tensor) or hidden.shape[:2] != input_ids.shape:
            raise _unsupported("its middle layer is not given the hidden states")
        return hidden


class States:
    """Embeddings of texts by a model's own states.

    Args:
        site: of the model, proved.
        tokenizer: the model's.
        representation: `hidden` or `middle`.
        batch_size: texts in one forward pass. In bfloat16 the batch moves a state: with 1, a
            text's embedding does not depend on what else is embedded.

    Raises:
        UnsupportedModelError: `middle`, and the model's layers cannot be told.
    """

    def __init__(
        self,
        site: Site,
        tokenizer: Any,
        representation: Representation,
        batch_size: int = BATCH,
    ) -> None:
        self._tokenizer, self._batch_size = tokenizer, batch_size
        self._place: Readable = Middle(site) if representation == "middle" else site

    def embed(self, texts: Sequence[str]) -> Tensor:
        """States of texts at their last position, (texts, width) float32 on the CPU.

        Of a longer text than 256 tokens the last ones are read, behind its first token, which
        later positions lean on.
        """
        if not texts:
            return torch.empty(0, 0)
        rows = [self._tokenizer(text).input_ids or [pad_token(self._tokenizer)] for text in texts]
        rows = [[*row[:1], *row[1:][1 - MAX_TOKENS :]] for row in rows]
        tails = read_tails(self._place, self._tokenizer, rows, [1] * len(rows), self._batch_size)
        return torch.cat(tails).float().cpu()


def _layers(model: nn.Module) -> nn.ModuleList:
    """The list of a model's layers: the only one of as many modules as its configuration says."""
    config: Any = model.config
    number = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == number]
    if not number or len(lists) != 1:
        raise _unsupported(f"{len(lists)} of its parts are a list of {number} layers")
    return lists[0]


def _unsupported(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"the middle layer of this model cannot be read: {what}",
        hint='choose [router] representation = "hidden" or "embedder"',
    )
