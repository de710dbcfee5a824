"""What signatures prove of a bundle or of a pointer, in words, and what they do not.

It looks at what the gate of loading looks at, by the same functions, and goes on where that stops:
every reason not to trust is told, not the first alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import computed_field

from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleError, InputError, SetupError, TrustError
from sake_registry.places import shown
from sake_registry.remote.age import Seen, check_age
from sake_registry.remote.fetching import local_copy
from sake_registry.remote.pointer import Pointer, read_pointer
from sake_registry.remote.signing import Predicate, Statement, check_statement
from sake_registry.remote.trust import check_pointer, read_statement_of
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

    from sake_registry.bundle.format import Manifest


class Verdict(Value):
    """What was found out about a bundle, or about a pointer and the bundle that it names.

    Attributes:
        proven: what holds, whoever says otherwise.
        said: what the signer of the bundle says; true as far as the signer is trusted.
        wrong: why it is not to be used.
        open: what no signature here can tell.
    """

    place: str
    bundle: str
    proven: tuple[str, ...]
    said: tuple[str, ...]
    wrong: tuple[str, ...]
    open: tuple[str, ...]
    statement: Predicate | None

    @computed_field
    @property
    def passed(self) -> bool:
        return not self.wrong
