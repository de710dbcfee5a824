"""What a letter's script says of where names begin and end, and by which keys they are looked up.

Scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no end of a word to be
seen: a name may stand anywhere between whole letters. Words in katakana end where the katakana
ends, all others at what is no letter. Where two of these three kinds meet, a name begins or ends:
"Appleの", "トヨタは".
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from sake_registry.data import sections

if TYPE_CHECKING:
    from collections.abc import Iterator

# Classes of characters as they stand in a pattern's brackets.
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SOUTH_EAST = "\u0e01-\u0e5b\u0e81-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\uaa60-\uaa7f"
_UNSPACED = f"{_HAN}\u3041-\u309f{_SOUTH_EAST}"
# Vowel signs of Indic scripts are of the word, although `\w` does not have them.
_LETTER = r"\w\u0900-\u0963\u0966-\u0dff"
# Vowels and marks of a letter before them, and the vowels that stand before their letter.
_BEHIND = (
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec6-\u0ece\u102b-\u103e\u1056-\u1059\u17b4-\u17d3"
    "\u3005\u30fc\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087"
)
_AHEAD = "\u0e40-\u0e44\u0ec0-\u0ec4\u1039\u17d2"
_DOTS = "·・"  # between the parts of a foreigner's name

_SECTIONS = sections("languages.txt")
_ELIDED = "".join(rf"|(?<=\b{word}')" for word in " ".join(_SECTIONS["elisions"]).split())
# Of two letters or more, that no other language's contractions are: "'re", "'ll", "'d".
_ENDINGS = "|".join(
    ["s", *(e[1:] for e in " ".join(_SECTIONS["tr: behind"]).split() if e[0] == "'" and len(e) > 2)]
)
_LONE = rf"(?:(?<![{_LETTER}])|(?<=[{_KATAKANA}{_UNSPACED}]))"
_END_OF_LONE = rf"(?![{_LETTER}])|(?=[{_KATAKANA}{_UNSPACED}])"
BEGIN = (
    rf"(?:(?=[{_KATAKANA}])(?<![{_KATAKANA}])(?<![{_KATAKANA}][{_DOTS}])"
    rf"|(?=[{_UNSPACED}])(?<![{_AHEAD}])(?<![{_UNSPACED}][{_DOTS}])"
    # A hyphen or an apostrophe inside a word joins ("Guinea-Bissau", "O'Brien"), and not where a
    # word is elided ("l'Italie") or something ends ("Guinea's", "Türkiye'nin").
    rf"|(?![{_KATAKANA}{_UNSPACED}]){_LONE}(?:(?<!\w[-']){_ELIDED}))"
)
END = (
    rf"(?:(?<=[{_KATAKANA}])(?![{_KATAKANA}])(?![{_DOTS}][{_KATAKANA}])"
    rf"|(?<=[{_UNSPACED}])(?![{_BEHIND}])(?![{_DOTS}][{_UNSPACED}])"
    rf"|(?<![{_KATAKANA}{_UNSPACED}])(?:{_END_OF_LONE})(?!-[^\W_])(?!'(?!(?:{_ENDINGS})\b)\w))"
)
"""Patterns of no width for where a name may begin and end, in folded text."""

_RUN = re.compile(rf"[{_KATAKANA}{_UNSPACED}]+|[^\W{_KATAKANA}{_UNSPACED}]+")
_IS_UNSPACED = re.compile(rf"[{_KATAKANA}{_UNSPACED}]")
_INSIDE_RUN = re.compile(rf"(?<=[{_UNSPACED}])(?=[{_UNSPACED}])")
_LONE_LETTER = re.compile(
    rf"(?:(?<=[{_HAN}])[{_HAN}]|[{_HAN}](?=[{_HAN}])"
    rf"|(?<=[{_UNSPACED}])[\u3041-\u309f]|[\u3041-\u309f](?=[{_UNSPACED}]))"
)


def is_unspaced(word: str) -> bool:
    """Whether a word is written in a script without spaces."""
    return bool(_IS_UNSPACED.match(word))


def keys(folded: str) -> Iterator[str]:
    """The words of a folded text; where there are no spaces, each letter and each pair of them.

    What is a name's key is also a key of each text with the name.
    """
    for run in _RUN.findall(folded):
        if is_unspaced(run):
            yield from run
            yield from map("".join, pairwise(run))
        else:
            yield run


def name_keys(folded: str) -> list[str]:
    """The keys of a folded name that say most of it: words, and pairs of letters."""
    return [
        key
        for run in _RUN.findall(folded)
        for key in (map("".join, pairwise(run)) if is_unspaced(run) and len(run) > 1 else [run])
    ]


def cuts_a_run(text: str, start: int, end: int) -> bool:
    """Whether a match has letters of its script without spaces beside it."""
    return bool(_INSIDE_RUN.match(text, start) or _INSIDE_RUN.match(text, end))


def is_mere_letter(text: str, start: int, end: int) -> bool:
    """Whether one Han letter or kana is matched among others: rarely a name, mostly a part."""
    return end - start == 1 and bool(_LONE_LETTER.match(text, start))
