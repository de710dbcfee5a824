"""Where the engine is put into vLLM: before each worker's own methods.

The four are of `WorkerBase`, what vLLM asks of a worker for any hardware.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from sake_registry.errors import UnsupportedModelError
from sake_registry.runtime.vllm.engine import Engine, refuse
from sake_registry.runtime.vllm.layer import replace_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CHANGING = ("reload_weights", "reset_weights", "update_weights")
"""Methods of a worker that would make another model of the one that was proved."""
_installed: list[Callable[[Engine], object]] = []


def install(begin: Callable[[Engine], object], **options: Any) -> None:
    """Have every worker that is made from now on in this process steered.

    Args:
        begin: is given the engine of a worker whose model is proved, to serve bundles by it.
        options: of `Engine`.

    Raises:
        SetupError: another plugin has replaced vLLM's layer.
    """
    replace_layer()
    # vLLM loads plugins wherever it needs them, and says that it may do so twice.
    if _installed:
        return
    from vllm.v1.worker.worker_base import WorkerBase

    make = WorkerBase.__init__

    @functools.wraps(make)
    def made(worker: Any, *args: Any, **given: Any) -> None:
        make(worker, *args, **given)
        _listen(worker, begin, options)

    WorkerBase.__init__ = made
    _installed.append(begin)


def _listen(worker: Any, begin: Callable[[Engine], object], options: Mapping[str, Any]) -> None:
    refuse(worker.vllm_config)  # before a runner is made of it
    engines: list[Engine] = []
    load, warm_up = worker.load_model, worker.compile_or_warm_up_model
    execute, sample = worker.execute_model, worker.sample_tokens

    @functools.wraps(load)
    def load_model(*args: Any, **given: Any) -> None:
        load(*args, **given)
        engines[:] = [Engine(worker, execute, sample, **options)]

    @functools.wraps(warm_up)
    def compile_or_warm_up_model(*args: Any, **given: Any) -> Any:
        times = warm_up(*args, **given)
        for engine in engines:
            engine.prove()
            begin(engine)
        return times

    @functools.wraps(execute)
    def execute_model(scheduler_output: Any) -> Any:
        return engines[0].execute(scheduler_output)

    @functools.wraps(sample)
    def sample_tokens(grammar_output: Any) -> Any:
        return engines[0].sample(grammar_output)

    def keep(*_args: Any, **_given: Any) -> None:
        raise UnsupportedModelError(
            "the weights of a model that is served with edits cannot be changed",
            hint="start vLLM anew on the other checkpoint, with a bundle that is compiled for it",
        )

    for name in _CHANGING:
        if hasattr(worker, name):
            setattr(worker, name, keep)
    worker.load_model, worker.compile_or_warm_up_model = load_model, compile_or_warm_up_model
    worker.execute_model, worker.sample_tokens = execute_model, sample_tokens
