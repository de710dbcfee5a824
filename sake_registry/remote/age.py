"""How old a pointer may be.

Guarantees:
- Who has followed a pointer of some number takes none of a smaller one, nor one without: an older
  one that is put in its place again is no news.
- What was seen is kept for each place in the user's cache folder, not beside the pointer, where
  whoever can write the pointer could write it too; it survives a restart.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sake_registry.digests import digest
from sake_registry.errors import InputError, SakeError
from sake_registry.files import read_bounded, write_text
from sake_registry.models.sources import cache_folder
from sake_registry.places import absolute, shown

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sake_registry.remote.pointer import Pointer

log = logging.getLogger(__name__)

_MAX_BYTES = 1 << 16


class ExpiredError(InputError):
    """A pointer that holds no longer."""


def check_age(pointer: Pointer, now: datetime, seen: int | None) -> None:
    """Refuse a pointer that is too old.

    Args:
        now: the time, with its zone.
        seen: the largest number that was followed at this place; None if there was none.

    Raises:
        ExpiredError: it has expired.
        InputError: its number is smaller than what was seen, or it has none any more.
    """
    name = f"the pointer '{pointer.name}'" if pointer.name else "the pointer"
    if seen is not None and (pointer.number or 0) < seen:
        has = f"has the number {pointer.number}" if pointer.number else "has no number"
        raise InputError(
            f"{name} {has}, and number {seen} was followed before: an older one stands there now",
            hint="to go back, `sake rollback` writes a new number; if the pointers were begun "
            f"anew, remove what this machine has seen of them: {_folder()}",
        )
    if pointer.expires is not None and pointer.expires <= now:
        raise ExpiredError(
            f"{name} expired at {pointer.expires:%Y-%m-%d %H:%M} UTC",
            hint="promote it again: sake promote "
            + (f"{pointer.name} {pointer.name}" if pointer.name else "SOURCE NAME"),
        )


class Seen:
    """The largest number of a pointer that was followed on this machine, by its place."""

    def __init__(self, place: str) -> None:
        self._place = shown(absolute(place))
        self.path = _folder() / f"{digest(['pointer', self._place])}.json"
        self.number = self._read()

    def record(self, number: int | None) -> None:
        """Keep the number of a pointer that is followed now, if it is larger."""
        if number is None or number <= (self.number or 0):
            return
        self.number = number
        if number <= (self._read() or 0):  # another process follows it too
            return
        try:
            write_text(self.path, json.dumps({"pointer": self._place, "number": number}) + "\n")
        except SakeError as error:
            log.warning(
                "%s; after a restart an older pointer could be followed again", error.message
            )

    def _read(self) -> int | None:
        try:
            number = json.loads(read_bounded(self.path, _MAX_BYTES))["number"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            number = None
        if not isinstance(number, int):
            log.warning("%s cannot be read: what was followed before is not known", self.path)
            return None
        return number


def _folder() -> Path:
    return cache_folder() / "pointers"
