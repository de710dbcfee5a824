"""Whether a bundle may be used: what this machine asks of signatures, and what it is told.

Guarantees:
- With `require`, nothing is used that nobody who counts has signed: not the pointer, not the
  bundle. With `warn` it is used, and each reason is logged. With `off`, nothing is looked at.
- What is signed of a pointer is all that it says but where the bundle lies: its name, its number,
  the bundle's content. The bundle is told by its own signature as well.
- What a machine asks for, a repository can make stricter and never weaker (`settings`).
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from sake_registry.errors import SetupError, TrustError
from sake_registry.places import read_small, shown
from sake_registry.remote.dsse import MAX_BYTES, POINTER
from sake_registry.remote.signers import Signature, Signers, read_signature
from sake_registry.remote.signing import SUFFIX, Statement, canonical, indistinct, read_statement
from sake_registry.settings import Expired, TrustLevel, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sake_registry.remote.pointer import Pointer
    from sake_registry.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """What is asked of signatures.

    Attributes:
        level: what becomes of what nobody who counts has signed.
        signers: those who count.
        expired: what becomes of a pointer that has expired.
    """

    level: TrustLevel = "off"
    signers: Signers = field(default_factory=Signers)
    expired: Expired = "refuse"

    @classmethod
    def of(cls, settings: Settings, root: Path | None) -> Self:
        """What settings ask for; keys are read only where signatures are looked at.

        Raises:
            SettingsError: nothing says whose signatures count.
            InputError: a key or a trust root cannot be read.
            MissingExtraError: the extra `sign`, or `keyless`, is not installed.
        """
        trust = settings.trust
        off = trust.policy == "off"
        signers = Signers() if off else Signers.of(settings.trusted(root))
        return cls(trust.policy, signers, trust.expired)

    @classmethod
    def of_machine(cls) -> Self:
        """What SAKE_TRUST and the variables SAKE_TRUST_* ask for, without a registry."""
        return cls.of(load_settings(None), None)

    @contextmanager
    def weighing(self) -> Iterator[None]:
        """Let a reason not to trust what is looked at in this block count as the policy has it."""
        try:
            yield
        except (TrustError, SetupError) as error:
            if self.level == "require":
                raise
            log.warning("%s", error.message)

    def check_pointer(self, pointer: Pointer, place: str) -> None:
        """Let pass a pointer that lies at a place.

        Raises:
            TrustError: nobody who counts signed what it says, under the name that it lies at; and
                the policy requires it.
        """
        if self.level != "off":
            with self.weighing():
                check_pointer(pointer, place, self.signers)

    def statement(self, bundle: str) -> Statement | None:
        """What is signed of the bundle at a place; None where nothing is that counts.

        Raises:
            TrustError: there is no such thing, and the policy requires it.
            SetupError: it cannot be reached, and the policy requires it.
        """
        if self.level != "off":
            with self.weighing():
                signature = signature_beside(bundle)
                return read_statement(signature, self.signers, shown(bundle))[0]
        return None


def signature_beside(bundle: str) -> Signature:
    """The signature that lies beside a bundle.

    Raises:
        TrustError: there is none, or it is none.
        SetupError: it cannot be reached.
    """
    place = bundle + SUFFIX
    try:
        data = read_small(place, MAX_BYTES)
    except FileNotFoundError as error:
        raise TrustError(
            f"{shown(bundle)} is not signed: there is no {shown(place)}",
            hint="who publishes it signs it: sake sign BUNDLE --key KEY, or --keyless",
        ) from error
    return read_signature(data, shown(bundle))


def check_pointer(pointer: Pointer, place: str, signers: Signers) -> str:
    """Verify the signature of a pointer that lies at a place.

    Returns:
        Who signed it, in words.

    Raises:
        TrustError: it is not signed, or by a stranger, or says something else than was signed, or
            does not say enough to be told from others.
    """
    where = shown(place)
    if pointer.signature is None:
        raise TrustError(
            f"{where} is not signed", hint="sign it when it is promoted: --key KEY, or --keyless"
        )
    payload, who = signers.opened(read_signature(pointer.signature, where), POINTER, where)
    if payload != canonical(pointer):
        raise TrustError(
            f"{where} was changed after it had been signed: {_changed(payload, pointer)}",
            hint="promote the bundle that is meant: sake promote",
        )
    if lacking := indistinct(pointer):
        raise TrustError(
            f"{where} is signed without {lacking}, and would pass for another",
            hint="promote the bundle: sake promote",
        )
    return who


def _changed(payload: bytes, pointer: Pointer) -> str:
    """The names of what a pointer says otherwise than was signed."""
    signed, found = json.loads(payload), pointer.statement
    names = sorted(n for n in {*signed, *found} if signed.get(n) != found.get(n))
    return ", ".join(names) or "its form"
