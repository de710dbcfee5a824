"""The exceptions of sake_registry; each branch is one exit code of the command line.

    SakeError
    ├── InputError             1   what was given is wrong
    │   ├── EditFileError          edit files with errors; carries the diagnostics
    │   ├── SettingsError          sake.toml, a SAKE_* variable
    │   ├── BuildError             an edit cannot be built
    │   └── BundleError            a bundle cannot be used
    │       ├── BundleFormatError      not a bundle, damaged, or hostile
    │       ├── ModelMismatchError     a bundle of another model
    │       └── TrustError             what nobody signed whose signature counts
    ├── SetupError             4   the environment lacks something
    │   ├── MissingExtraError      installed without the extra that is needed
    │   ├── ModelNotFoundError     no such model on this machine
    │   ├── UnsupportedModelError  a model that cannot be steered
    │   ├── GeneratorError         what writes texts cannot be reached, or refuses
    │   │   └── ReplyError             it answered what cannot be used
    │   └── StorageError           disk full, read-only, not permitted
    └── StateError             5   the state forbids it
        ├── ConflictError          something is already there
        └── LockedError            another process is at work

Exit 2 is click's own (wrong usage), 3 is a bug, 130 an interruption. The table from
class to exit code is `SakeError.exit_code`; only `commands` reads it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.diagnostics import Diagnostic


class SakeError(Exception):
    """An error that a user can understand and mend.

    `message` says what is wrong and where; `hint` says what to do.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(SakeError):
    """What was given is wrong."""


class EditFileError(InputError):
    """Edit files with errors; `diagnostics` holds every finding of every file."""

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)

    def __str__(self) -> str:
        return "\n".join([*(str(d) for d in self.diagnostics), self.message])


class SettingsError(InputError):
    """`sake.toml` or a `SAKE_*` variable is wrong."""


class BuildError(InputError):
    """An edit cannot be built for this model."""


class BundleError(InputError):
    """A bundle cannot be used."""


class BundleFormatError(BundleError):
    """The file is not a bundle, is damaged, or is made to harm."""


class ModelMismatchError(BundleError):
    """A bundle of another model than the one at hand."""


class TrustError(BundleError):
    """A bundle or a pointer whose signature is missing or wrong, or is nobody's that counts."""


class SetupError(SakeError):
    """The environment lacks something."""

    exit_code = 4


class MissingExtraError(SetupError):
    """The package was installed without what this needs."""

    def __init__(self, message: str, extra: str = "models") -> None:
        super().__init__(message, hint=installing(extra))


@contextmanager
def importing(what: str, extra: str) -> Iterator[None]:
    """A block of imports of what an extra brings.

    Args:
        what: needs it, as the message says.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(f"{what} need {error.name}", extra) from error


def installing(extra: str = "models") -> str:
    """How an extra is installed: the package is on no index."""
    return f"in a checkout of sake_registry: pip install -c constraints.txt '.[{extra}]'"


class ModelNotFoundError(SetupError):
    """The model is neither on this machine nor where models are fetched from."""


class UnsupportedModelError(SetupError):
    """A model, or a way of calling it, that cannot be steered."""


class GeneratorError(SetupError):
    """The language model that writes texts cannot be reached, refuses, or has cost enough."""


class ReplyError(GeneratorError):
    """A reply of that model which is not in the form that was asked for."""


class StorageError(SetupError):
    """The disk is full or read-only, or permission is lacking."""


class StateError(SakeError):
    """The state of the registry forbids it."""

    exit_code = 5


class ConflictError(StateError):
    """Something is already where this would be written."""


class LockedError(StateError):
    """Another process is at work on the same thing."""
