"""Small functions that word messages. Imports nothing of the package."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the known words when none is near."""
    words = list(known)
    near = nearest(word, words)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(words)}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """`1 edit`, `2 edits`."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def shorten(text: str, width: int = 60) -> str:
    """The text on one line of at most `width` characters, with `…` where it is cut."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def printable(text: str) -> str:
    """Text without what a terminal would obey, or what would end a line."""
    return "".join(c if _shows(c) else "\N{REPLACEMENT CHARACTER}" for c in text)


def _shows(character: str) -> bool:
    # Spaces of every width, and what joins the letters of some scripts, are text.
    joins = character in "\u200c\u200d"
    return character.isprintable() or joins or unicodedata.category(character) == "Zs"
