"""What each forward pass of `model.generate` continues: the whole text of its rows so far.

With a cache, a forward pass sees only the newest tokens, and beams change places between passes.
`generate` hands the whole text of every row to `prepare_inputs_for_generation` right before each
pass, in the order of that pass: a `Following` listens there, and passes everything on as it is.

It listens to `generate` as well, and so knows whose passes these are. Within a generation others
may call the same model: a stopping criterion, a processor of logits (guidance has one), a
streamer, each by a forward pass or by a generation. None of those is a pass of the outer one.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

_METHODS = ("generate", "prepare_inputs_for_generation")
_CHANGING = threading.Lock()


@dataclass
class Passes:
    """The passes of one thread's outermost generation.

    Attributes:
        rows: token ids (rows, positions) of the latest pass, that is about to be made or made.
        depth: how many generations are under way, one within the other.
        awaited: whether that pass has yet to come to the site.
        taken: how many came there.
        missed: how many did not.
    """

    rows: Tensor | None = None
    depth: int = 0
    awaited: bool = False
    taken: int = 0
    missed: int = 0

    def take(self) -> Tensor | None:
        """The rows of the pass that is at the site; None if it is not one of this generation."""
        if not self.awaited:
            return None
        self.awaited = False
        self.taken += 1
        return self.rows

    def hear(self, rows: Tensor) -> None:
        """A pass is prepared."""
        if self.depth <= 1:
            self.missed += self.awaited
            self.rows, self.awaited = rows, True


class Following:
    """Listens to a model's generations, each thread to its own; shared by all who follow it.

    The loop of a generation is the model's own, or that of the model within a wrapper (PEFT's).

    Raises:
        UnsupportedModelError: the model has no `generate` of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._model = _generating(model)
        with _CHANGING:
            method = vars(self._model).get(_METHODS[0])
            listener = method.shared if isinstance(method, _Method) else None
            # Others may have put a method of theirs in its place, or an earlier one back.
            if listener is None or not listener.listens(self._model):
                listener = _Listener(self._model)
            listener.users += 1
        self._listener: _Listener | None = listener

    def rows(self) -> Tensor | None:
        """Token ids (rows, positions) of the pass that this thread's model is about to make or
        making; None if it is not generating."""
        return None if self._listener is None else self._listener.passes.rows

    @contextmanager
    def call(self) -> Iterator[Passes]:
        """A generation that begins in the block, in this thread, is an outermost one, whatever
        it is called in."""
        assert self._listener is not None
        heard = self._listener.heard
        outer, heard.passes = self._listener.passes, Passes()
        try:
            yield heard.passes
        finally:
            heard.passes = outer

    def remove(self) -> None:
        """Stop listening; the last one to do so leaves the model as it was."""
        with _CHANGING:
            listener, self._listener = self._listener, None
            if listener is None:
                return
            listener.users -= 1
            if listener.users == 0:
                listener.leave(self._model)


class _Listener:
    """Stands before the methods of a model, once for all who follow it."""

    def __init__(self, model: Any) -> None:
        self.users, self.heard = 0, threading.local()
        generate, prepare = (getattr(model, name) for name in _METHODS)

        def generating(*args: Any, **options: Any) -> Any:
            passes = self.passes
            passes.depth += 1
            try:
                return generate(*args, **options)
            finally:
                passes.depth -= 1

        def preparing(input_ids: Any, *args: Any, **options: Any) -> Any:
            self.passes.hear(input_ids)
            return prepare(input_ids, *args, **options)

        self._before = {name: vars(model).get(name) for name in _METHODS}
        self._methods = (
            _Method(self, generate, generating),
            _Method(self, prepare, preparing),
        )
        for name, method in zip(_METHODS, self._methods, strict=True):
            setattr(model, name, method)

    @property
    def passes(self) -> Passes:
        """This thread's."""
        passes: Passes = self.heard.__dict__.setdefault("passes", Passes())
        return passes

    def listens(self, model: Any) -> bool:
        """Whether a model's methods are the ones that tell it."""
        return all(
            vars(model).get(name) is method
            for name, method in zip(_METHODS, self._methods, strict=True)
        )

    def leave(self, model: Any) -> None:
        for name, method in zip(_METHODS, self._methods, strict=True):
            if vars(model).get(name) is method:
                delattr(model, name)
                if self._before[name] is not None:
                    setattr(model, name, self._before[name])


class _Method:
    """A method that is listened to; in a copy of the model, the method as it was."""

    def __init__(self, shared: _Listener, method: Any, listening: Callable[..., Any]) -> None:
        self.shared, self._method, self._listening = shared, method, listening
        # `generate` asks for the signature of the other one.
        functools.update_wrapper(self, method, updated=())

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._listening(*args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._method,)


def _itself(method: Any) -> Any:
    return method


def _generating(model: Any) -> Any:
    """The module whose own loop generates: the model, or what a wrapper has within."""
    from transformers import GenerationMixin

    for module in model.modules():
        if isinstance(module, GenerationMixin):
            return module
    raise UnsupportedModelError(
        "this model does not say what it continues (prepare_inputs_for_generation)",
        hint="supported: the generate of transformers' own models",
    )
