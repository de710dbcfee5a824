"""What each forward pass of `model.generate` continues: the whole text of its rows so far.

With a cache, a forward pass sees only the newest tokens, and beams change places between passes.
`generate` hands the whole text of every row to `prepare_inputs_for_generation` right before each
pass, in the order of that pass: a `Following` listens there, and passes everything on as it is.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_METHOD = "prepare_inputs_for_generation"
_CHANGING = threading.Lock()


class Following:
    """Listens to a model's generations, each thread to its own; shared by all who follow it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        with _CHANGING:
            listener = vars(model).get(_METHOD)
            if not isinstance(listener, _Listener):
                listener = _Listener(getattr(model, _METHOD), vars(model).get(_METHOD))
                setattr(model, _METHOD, listener)
            listener.users += 1
        self._listener: _Listener | None = listener

    def rows(self) -> Tensor | None:
        """Token ids (rows, positions) of the pass that this thread's model is about to make or
        making; None if it is not generating."""
        return None if self._listener is None else getattr(self._listener.heard, "rows", None)

    def forget(self) -> None:
        """A new call begins: what was heard belongs to an earlier one."""
        if self._listener is not None:
            self._listener.heard.rows = None

    def remove(self) -> None:
        """Stop listening; the last one to do so leaves the model as it was."""
        with _CHANGING:
            listener, self._listener = self._listener, None
            if listener is None:
                return
            listener.users -= 1
            if listener.users == 0 and vars(self._model).get(_METHOD) is listener:
                if listener.before is None:
                    delattr(self._model, _METHOD)
                else:
                    setattr(self._model, _METHOD, listener.before)


class _Listener:
    """Stands before a model's `prepare_inputs_for_generation`; `before` is what an instance had."""

    def __init__(self, method: Any, before: Any) -> None:
        self._method, self.before, self.users = method, before, 0
        self.heard = threading.local()
        # `generate` asks for the method's signature.
        functools.update_wrapper(self, method)

    def __call__(self, input_ids: Any, *args: Any, **options: Any) -> Any:
        self.heard.rows = input_ids
        return self._method(input_ids, *args, **options)
