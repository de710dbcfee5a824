"""Small functions that word messages. Imports nothing of the package."""

from __future__ import annotations

import difflib
import re
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


LEAST = 6
"""Characters of a long id that stand for the whole of it."""


def meant(text: str, ids: Iterable[str]) -> list[str]:
    """The ids that a text may stand for: the one that it is, or else those that begin with it.

    These count only for a text of `LEAST` characters.
    """
    known = sorted(set(ids))
    if text in known:
        return [text]
    return [id_ for id_ in known if id_.startswith(text)] if len(text) >= LEAST else []


def count(n: int, noun: str, plural: str | None = None) -> str:
    """`1 edit`, `2 edits`."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def shorten(text: str, width: int = 60) -> str:
    """The text on one line of at most `width` characters, with `…` where it is cut."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


# Controls but tab and line feed, what YAML and Unicode take for a line end, what turns the
# direction of text around, and what is not a character at all.
_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff"
)
CONTROL = re.compile(f"[{_CONTROLS}]")
"""A character that no text holds for its reader's sake."""
# The joiners that some scripts need (U+200C, U+200D) are text.
HIDDEN = re.compile(
    f"[{_CONTROLS}\xad\u061c\u180e\u200b\u200e\u200f\u2060-\u2065\u206a-\u206f\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""A character that a terminal or a page would obey, or would not show."""


def visible(text: str) -> str:
    """The text with what would be obeyed, or would hide in it, shown by its number."""
    return HIDDEN.sub(lambda match: numbered(match[0]), text)


def printable(text: str) -> str:
    """The visible text on one line: a line end of its own, too, is shown by its number."""
    return visible(text).replace("\n", numbered("\n"))


def numbered(character: str) -> str:
    """`⟨U+202E⟩`."""
    return f"⟨U+{ord(character):04X}⟩"
