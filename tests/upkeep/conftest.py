"""Reviews work on real git repositories: the fixtures are those of the history's tests."""

from tests.repositories import _own_configuration, make_registry, registry

__all__ = ["_own_configuration", "make_registry", "registry"]
