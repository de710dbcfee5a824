"""sake_registry: a registry of knowledge edits for language models, kept in git.

The public surface; everything else is free to move. Names are resolved when they are first
used, so that importing the package imports neither torch nor the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sake_registry.asking.testing import TestReport, test_registry
    from sake_registry.compiler.plan import Plan, make_plan
    from sake_registry.compiler.run import Compiled, compile_registry
    from sake_registry.diagnostics import Diagnostic
    from sake_registry.edits.files import read_edit
    from sake_registry.edits.registry import Registry, open_registry
    from sake_registry.edits.schema import Edit
    from sake_registry.errors import SakeError
    from sake_registry.models.loading import LoadedModel, LocatedModel, load, locate
    from sake_registry.remote.fetching import trusted_bundle
    from sake_registry.routing.reasons import Reason
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import Bundle, EditedModel, load_bundle
    from sake_registry.runtime.generation import Generation
    from sake_registry.runtime.huggingface import Edited
    from sake_registry.runtime.overrides import Overrides, read_overrides

__all__ = [
    "Bundle",
    "Compiled",
    "Decision",
    "Diagnostic",
    "Edit",
    "Edited",
    "EditedModel",
    "Generation",
    "LoadedModel",
    "LocatedModel",
    "Overrides",
    "Plan",
    "Reason",
    "Registry",
    "SakeError",
    "TestReport",
    "compile_registry",
    "load",
    "load_bundle",
    "locate",
    "make_plan",
    "open_registry",
    "read_edit",
    "read_overrides",
    "test_registry",
    "trusted_bundle",
]

_HOMES = {
    "Bundle": "runtime.bundle",
    "Compiled": "compiler.run",
    "Decision": "routing.router",
    "Diagnostic": "diagnostics",
    "Edit": "edits.schema",
    "Edited": "runtime.huggingface",
    "EditedModel": "runtime.bundle",
    "Generation": "runtime.generation",
    "LoadedModel": "models.loading",
    "LocatedModel": "models.loading",
    "Overrides": "runtime.overrides",
    "Plan": "compiler.plan",
    "Reason": "routing.reasons",
    "Registry": "edits.registry",
    "SakeError": "errors",
    "TestReport": "asking.testing",
    "compile_registry": "compiler.run",
    "load": "models.loading",
    "load_bundle": "runtime.bundle",
    "locate": "models.loading",
    "make_plan": "compiler.plan",
    "open_registry": "edits.registry",
    "read_edit": "edits.files",
    "read_overrides": "runtime.overrides",
    "test_registry": "asking.testing",
    "trusted_bundle": "remote.fetching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
