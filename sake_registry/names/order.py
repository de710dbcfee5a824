"""Names by their words alone, in whatever order these stand.

"Voxgarden Team plan" and "the Team plan of Voxgarden", "Ada Brandt's bakery" and "the bakery of
Ada Brandt" are one name. Only a name of three distinctive words and more says enough without its
order, and between its words nothing stands but what links them.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.names.joints import minor_words
from sake_registry.names.letters import fold, unmarked, without_marks
from sake_registry.names.words import ARTICLES, FUNCTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORD = re.compile(r"\w+")
_FEWEST, _MOST = 3, 12
"""Distinctive words of a name that is found so: fewer say too little."""
_OWNING = "s"
_MOST_BETWEEN = 5
"""Linking words that stand in it, at most."""


class Word(NamedTuple):
    """A word of a folded text, and from where to where it stands."""

    text: str
    start: int
    end: int


def words(folded: str) -> list[Word]:
    """The words of a folded text."""
    return [Word(match[0], match.start(), match.end()) for match in _WORD.finditer(folded)]


@lru_cache(maxsize=1 << 14)
def distinctive(name: str) -> frozenset[str]:
    """The words of a name by which it is known in any order; none where they say too little."""
    parts = _WORD.findall(fold(unmarked(without_marks(name))))
    said = [part for part in parts if part not in FUNCTION and part != _OWNING]
    return frozenset(said) if _FEWEST <= len(set(said)) == len(said) <= _MOST else frozenset()


def find(text: Sequence[Word], name: str) -> Iterator[tuple[int, int]]:
    """Where the words of a name stand together in a text, each once."""
    needed = distinctive(name)
    place = 0
    while needed and place < len(text):
        end = _end(text, place, needed) if text[place].text in needed else None
        if end is not None:
            yield text[place].start, text[end].end
        place = place + 1 if end is None else end + 1


def _end(text: Sequence[Word], start: int, needed: frozenset[str]) -> int | None:
    """Which word is the last of a name that begins at a word; None where none does."""
    left, between = set(needed), 0
    for place in range(start, min(len(text), start + len(needed) + _MOST_BETWEEN)):
        word = text[place].text
        if word in left:
            left.remove(word)
            if not left:
                return place
        elif word in needed or word not in _linking() or between == _MOST_BETWEEN:
            return None
        else:
            between += 1
    return None


@cache
def _linking() -> frozenset[str]:
    """What may stand between the words of a name that is written in another order."""
    return minor_words() | {fold(article) for article in ARTICLES} | {_OWNING}
