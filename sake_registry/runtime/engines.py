"""Engines: what puts a bundle on a live model. A package brings one by the entry point
`sake_registry.engines`: a callable that takes the bundle, a model, its tokenizer and options."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sake_registry.errors import SetupError
from sake_registry.wording import did_you_mean

GROUP = "sake_registry.engines"
# In a checkout that is not installed, or was installed by an earlier version, there is no entry
# point of ours to be found.
_BUILT_IN = EntryPoint("huggingface", "sake_registry.runtime.huggingface:Edited", GROUP)


def find_engine(name: str) -> Any:
    """The engine of a name, imported now.

    Raises:
        SetupError: no installed package brings it, or it cannot be imported.
    """
    engines = {engine.name: engine for engine in (*entry_points(group=GROUP), _BUILT_IN)}
    if name not in engines:
        raise SetupError(
            f"no engine '{name}' is installed",
            hint=did_you_mean(name, engines),
        )
    try:
        return engines[name].load()
    except (ImportError, AttributeError) as error:
        raise SetupError(
            f"the engine '{name}' ({engines[name].value}) cannot be loaded: {error}",
            hint="install the package that brings it anew, with its extras",
        ) from error
