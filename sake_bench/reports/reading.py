"""Strict reading of JSON objects: a value of the wrong kind is an error that names its place.

Nothing is guessed and nothing converted. Where a reader gives a default, null and a missing name
both mean it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sake_registry.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Fields:
    """An object of a JSON document, and where it stands in it.

    Every method raises `InputError` if what stands under the name is not of its kind.
    """

    __slots__ = ("_document", "_value", "_where")

    def __init__(self, value: Any, document: str, where: str = "") -> None:
        if not isinstance(value, dict):
            raise wrong(document, where, "an object", value)
        self._value: Mapping[str, Any] = value
        self._document, self._where = document, where

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        found = self._found(name, default)
        if not isinstance(found, str):
            raise self._wrong(name, "text", found)
        return found

    def maybe_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def one_of(self, name: str, known: Collection[str]) -> str:
        found = self.text(name)
        if found not in known:
            raise self._wrong(name, f"one of {', '.join(known)}", found)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; an absent one is empty."""
        found = self._list(name)
        for i, item in enumerate(found):
            if not isinstance(item, str):
                raise self._wrong(f"{name}[{i}]", "text", item)
        return tuple(found)

    def flag(self, name: str) -> bool:
        found = self._value.get(name)
        if not isinstance(found, bool):
            raise self._wrong(name, "true or false", found)
        return found

    def number(self, name: str, default: float | None = None) -> float:
        found = self._found(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self._wrong(name, "a number", found)
        if not math.isfinite(found):
            raise self._wrong(name, "a finite number", found)
        return float(found)

    def maybe_number(self, name: str) -> float | None:
        return self.number(name) if self.has(name) else None

    def whole(self, name: str, default: int | None = None) -> int:
        found = self._found(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise self._wrong(name, "a whole number", found)
        return found

    def object(self, name: str) -> Fields:
        return Fields(self._value.get(name), self._document, self._path(name))

    def maybe_object(self, name: str) -> Fields | None:
        return self.object(name) if self.has(name) else None

    def objects(self, name: str) -> tuple[Fields, ...]:
        """A list of objects; an absent one is empty."""
        where = self._path(name)
        return tuple(
            Fields(item, self._document, f"{where}[{i}]") for i, item in enumerate(self._list(name))
        )

    def _list(self, name: str) -> list[Any] | tuple[Any, ...]:
        found = self._found(name, [])
        if not isinstance(found, (list, tuple)):
            raise self._wrong(name, "a list", found)
        return found

    def _found(self, name: str, default: Any) -> Any:
        found = self._value.get(name)
        return default if found is None else found

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _wrong(self, name: str, expected: str, value: Any) -> InputError:
        return wrong(self._document, self._path(name), expected, value)


def wrong(document: str, where: str, expected: str, value: Any) -> InputError:
    """`review: edits[0].id: expected text, not 3`"""
    place = f"{document}: {where}" if where else document
    return InputError(f"{place}: expected {expected}, not {str(value)[:40]!r}")
