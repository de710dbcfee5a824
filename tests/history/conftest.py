"""The fixtures of real git repositories."""

from tests.repositories import _own_configuration, make_registry, registry

__all__ = ["_own_configuration", "make_registry", "registry"]
