"""The site: where activations are read and replaced, the input of the output embedding.

Guarantees (DESIGN, invariants 1, 3, 8):
- One forward pre-hook on `model.get_output_embeddings()` reads and replaces the site, and one
  forward hook there sees what the output embedding makes of it; that is all that is added. No
  weight is written, no module replaced; whatever stands before and after stays the model's.
- The hooks do nothing but for calls made through `Site.acting`, in the same thread. Any other
  call, in this thread or another, is bare.
- A site proves itself before it is used; what cannot be proved is an `UnsupportedModelError`.
- Passes are made under `no_grad`, not in inference mode: a quantised weight may keep what it made
  of itself in a pass, and fail in the next one if that is a tensor of inference mode.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

    Action = Callable[[Tensor], Tensor | None]

SITE_NAME = "lm_head.input"
_SUPPORTED = (
    "supported is any causal language model of transformers, uncompiled, whose output embedding "
    "is a module that each forward pass calls once"
)


_alone = threading.local()
"""Whether a thread's head is called for itself: no business of any site on the model."""


class Captured(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass once the site was read: the output embedding is not needed."""


class Site:
    """The input of a model's output embedding; `remove()` takes the hook off again, and those
    that it was given to `hold`.

    Raises:
        UnsupportedModelError: no output embedding, an encoder-decoder, or a compiled model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.head = _find_head(model)
        self._calls = threading.local()
        self._shape = 0, torch.float32  # of the rows; until a pass was seen
        self._handles = [
            self.head.register_forward_pre_hook(Hook(self._hook)),
            self.head.register_forward_hook(Hook(self._behind)),
        ]

    def hold(self, handle: RemovableHandle) -> None:
        """Take this hook off with the site's own."""
        self._handles.append(handle)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @property
    def attached(self) -> bool:
        """Whether its hook is on the model."""
        return bool(self._handles)

    def require_uncompiled(self) -> None:
        """Raises UnsupportedModelError if `torch.compile` was put on what holds the hook."""
        _refuse_compiled(self.model, self.head)

    def _hook(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        call = self._call
        if call is None or not args:
            return None
        call.firings += 1
        self._shape = args[0].shape[-1], args[0].dtype
        replaced = call.action(args[0])
        return None if replaced is None else (replaced, *args[1:])

    def _behind(self, module: nn.Module, args: tuple[Any, ...], logits: Tensor) -> Tensor | None:
        call = self._call
        return None if call is None or call.finish is None else call.finish(logits)

    @property
    def _call(self) -> SiteCall | None:
        """The call that acts in this thread."""
        if getattr(_alone, "here", False):
            return None
        call: SiteCall | None = getattr(self._calls, "current", None)
        return call

    @contextmanager
    def acting(self, action: Action, finish: Action | None = None) -> Iterator[SiteCall]:
        """Model calls in the block, in this thread, hand the site's input to `action`.

        `action` gets the hidden states, shape (rows, positions, width) as the head gets them,
        and returns a replacement of the same shape, or None to leave them as they are. `finish`
        gets what the head makes of them, (rows, positions, vocabulary), in the same way.
        """
        call, outer = SiteCall(action, finish), getattr(self._calls, "current", None)
        self._calls.current = call
        try:
            yield call
        finally:
            self._calls.current = outer

    def logits(self, hidden: Tensor) -> Tensor:
        """What the head makes of site activations; bare, also during calls that act, be they
        this site's or those of others on the model."""
        outer, _alone.here = getattr(_alone, "here", False), True
        try:
            logits: Tensor = self.head(hidden)
            return logits
        finally:
            _alone.here = outer

    def directions(self, tokens: Tensor) -> Tensor:
        """The output embedding's rows for token ids (k,): (k, width), float32.

        Of a plain linear layer its weight's; of any other (quantised, with an adapter) what its
        gradient says. A pass must have been seen.
        """
        if type(self.head) is torch.nn.Linear:
            return self.head.weight[tokens].float()
        with torch.inference_mode(False), torch.enable_grad():
            width, dtype = self._shape
            at = torch.zeros(
                len(tokens), width, dtype=dtype, device=tokens.device, requires_grad=True
            )
            given = self.logits(at).gather(1, tokens.clone()[:, None]).sum()
            return torch.autograd.grad(given, at)[0].float()

    @torch.no_grad()
    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states of a batch at the site, (rows, positions, width); the head is not run."""
        seen: list[Tensor] = []

        def action(hidden: Tensor) -> None:
            seen.append(hidden)
            raise Captured

        with self.acting(action) as call:
            try:
                self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
            except Captured:
                return seen[0]
        call.require_firing()
        raise AssertionError("unreachable: a call that fired ends in Captured")

    @torch.no_grad()
    def prove(self, input_ids: Tensor, attention_mask: Tensor) -> int:
        """Prove on a right-padded batch of at least two rows that this is the site.

        Returns:
            The width of the site.

        Raises:
            UnsupportedModelError: which of the four properties does not hold.
        """

        def run(action: Action | None) -> tuple[Tensor, int]:
            def forward() -> Tensor:
                out = self.model(
                    input_ids=input_ids, attention_mask=attention_mask, use_cache=False
                )
                logits: Tensor = out.logits
                return logits

            if action is None:
                return forward(), 0
            with self.acting(action) as call:
                return forward(), call.firings

        if self.model.training:
            raise _unsupported("it is in training mode: call model.eval() first")
        seen: list[Tensor] = []
        bare, _ = run(None)

        def hand_back(hidden: Tensor) -> Tensor:
            seen.append(hidden.clone())
            return hidden.clone()

        same, firings = run(hand_back)
        rows = input_ids.shape[0]
        if firings != 1 or seen[0].dim() != 3 or seen[0].shape[:2] != input_ids.shape:
            shape = tuple(seen[0].shape) if seen else "nothing"
            raise _unsupported(
                f"the output embedding was called {firings} times with {shape} for a batch of "
                f"{tuple(input_ids.shape)}"
            )
        if not torch.equal(bare, same):
            raise _unsupported("handing the hidden states back unchanged changes the logits")

        def disturb(hidden: Tensor) -> Tensor:
            hidden = hidden.clone()
            hidden[0] = -hidden[0] + 1
            return hidden

        disturbed, _ = run(disturb)
        changed = [not torch.equal(bare[i], disturbed[i]) for i in range(rows)]
        if changed != [True] + [False] * (rows - 1):
            raise _unsupported("disturbing one row does not change just that row's logits")
        # Soft-capping in bfloat16 makes neighbours equal: what the head answers must be among the
        # model's best, not be the first of them.
        answered = bare.gather(-1, self.head(seen[0]).argmax(-1, keepdim=True))
        if not torch.equal(answered[..., 0], bare.amax(-1)):
            raise _unsupported("the output embedding does not lead to the model's answer")
        return int(seen[0].shape[-1])


class Hook:
    """A hook that does nothing in a copy of the model, however it is copied or stored."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, (_leave_alone,)


def _leave_alone(*_args: Any) -> None:
    return None


class SiteCall:
    """One call of the model: its actions before and behind the head, and how often the hook
    fired."""

    def __init__(self, action: Action, finish: Action | None = None) -> None:
        self.action, self.finish = action, finish
        self.firings = 0

    def require_firing(self) -> None:
        """Raises UnsupportedModelError if the hook never fired: the call was not edited."""
        if not self.firings:
            raise _unsupported("the hook never fired: the call ran without edits")


def _find_head(model: nn.Module) -> nn.Module:
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise _unsupported("it is an encoder-decoder")
    try:
        head = model.get_output_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        head = None
    if head is None:
        raise _unsupported("it has no output embedding")
    _refuse_compiled(model, head)
    assert isinstance(head, torch.nn.Module)
    return head


def _refuse_compiled(model: nn.Module, head: nn.Module) -> None:
    """The head, and every module that it lies in, runs as it stands."""
    around = [model]
    for part in next((name for name, m in model.named_modules() if m is head), "").split(".")[:-1]:
        around.append(getattr(around[-1], part))
    for name, module in (*(("model", m) for m in around), ("output embedding", head)):
        if _is_compiled(module):
            # Measured: a shape that was compiled before the hook came runs on without it.
            raise _unsupported(f"its {name} is compiled: attach the bundle to the uncompiled model")


def _is_compiled(module: nn.Module) -> bool:
    """Whether `torch.compile` was put on a module, in any of its three ways."""
    forward = module.__dict__.get("forward")
    return (
        hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(forward, "_torchdynamo_orig_callable")
    )


def _unsupported(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"this model cannot be steered: {what}", hint=_SUPPORTED)
