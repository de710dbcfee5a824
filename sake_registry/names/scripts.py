"""What a letter's script says of where names begin and end, and by which keys they are looked up.

Scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no end of a word to be
seen: a name may stand anywhere between whole letters. Words in katakana end where the katakana
ends, all others at what is no letter. Where two of these three kinds meet, a name begins or ends:
"Appleの", "トヨタは".
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal

from sake_registry.data import sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    Kind = Literal["spaced", "katakana", "unspaced"]

# Vowel signs of Indic scripts are of the word, although `\w` does not have them.
_LETTER = r"\w\u0900-\u0963\u0966-\u0dff"
# From here on there are scripts without spaces: `is_whole` looks at them.
_FIRST_UNSPACED = "\u0e00"
_MAYBE_UNSPACED = r"[^\x00-\u0dff]"
_ELIDED = "|".join(
    rf"(?<=\b(?:{words})')"
    for words in (
        "[cdjlmnst]", "qu|un", "all|gli", "dall|dell|nell|sull|coll|dagl|degl|bell|quel",
        "quest|quell", "jusqu", "alcun|ogniu", "lorsqu|puisqu|quoiqu|nessun|ciascu",
    )
)  # fmt: skip
# "'s", and Turkish cases: of two letters or more, that no contraction is ("'re", "'ll", "'d").
_ENDING = (
    r"(?:s|n?[iu]n|[yns][aeiu]|n?[dt][ae](?:n|ki)?|y?l[ae]|l[iu]|l[ae]r[iu]?|[dt][iu]r|ydi|n?c[ae])"
    r"\b"
)
# A hyphen or an apostrophe inside a word joins ("Guinea-Bissau", "O'Brien"), and not where a word
# is elided ("l'Italie") or something ends ("Guinea's", "Türkiye'nin").
BEGIN = rf"(?:(?<![{_LETTER}])|(?<={_MAYBE_UNSPACED}))(?:(?<!\w[-'])|{_ELIDED})"
END = rf"(?:(?![{_LETTER}])|(?={_MAYBE_UNSPACED}))(?!-[^\W_])(?!'(?!{_ENDING})\w)"
"""Patterns of no width for where a name may begin and end, in folded text; see `is_whole`."""

# Vowels and marks of a letter before them; vowels that stand before their letter.
_BEHIND = re.compile(
    "[\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec6-\u0ece\u102b-\u103e\u1056-\u1059\u17b4-\u17d3]"
    "|[々ーぁぃぅぇぉゃゅょァィゥェォッャュョ]|っ(?!て)|(?<=[ぁ-ん])っ"  # not "図書館って"
)
_AHEAD = re.compile("[\u0e40-\u0e44\u0ec0-\u0ec4\u1039\u17d2]")
_DOTS = "·・"  # between the parts of a foreigner's name
_WORD = re.compile(r"\w+")


def _kind(letter: str) -> Kind:
    if letter < _FIRST_UNSPACED or "\u10a0" <= letter < "\u1780":
        return "spaced"
    if "\u30a1" <= letter <= "\u30ff" and letter != "・":
        return "katakana"
    unspaced = letter < "\u1800" or "\u3005" <= letter <= "\u309f" or _is_han(letter)
    return "unspaced" if unspaced else "spaced"


def _is_han(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or letter in "々〆〇"


def _is_kana(letter: str) -> bool:
    return "\u3041" <= letter <= "\u309f"


def is_unspaced(word: str) -> bool:
    """Whether a word begins in katakana or in a script without spaces."""
    return _kind(word[0]) != "spaced"


def _runs(folded: str) -> Iterator[str]:
    """The words of a folded text, cut where the kind of their letters changes."""
    for word in _WORD.findall(folded):
        if max(word) < _FIRST_UNSPACED:
            yield word
        else:
            yield from ("".join(letters) for _, letters in groupby(word, _kind))


def keys(folded: str) -> Iterator[str]:
    """The words of a folded text; where there are no spaces, each letter and each pair of them.

    What is a name's key is also a key of each text with the name.
    """
    if folded.isascii():
        yield from _WORD.findall(folded)
        return
    for run in _runs(folded):
        if is_unspaced(run):
            yield from run
            yield from map("".join, pairwise(run))
        else:
            yield run


def name_keys(folded: str) -> list[str]:
    """The keys of a folded name that say most of it: words, and pairs of letters."""
    if folded.isascii():
        return _WORD.findall(folded)
    pairs = (
        map("".join, pairwise(run)) if is_unspaced(run) and len(run) > 1 else [run]
        for run in _runs(folded)
    )
    return [key for of_run in pairs for key in of_run]


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether a match between `BEGIN` and `END` is whole by the rules of its letters' script.

    It is neither a part of a known longer word ("東京都"), nor one Han letter or kana among others:
    rarely a name, mostly a part.
    """
    around = text[max(0, start - 2) : end + 2]
    if around.isascii() or max(around) < _FIRST_UNSPACED:
        return True
    before, after = text[max(0, start - 2) : start][::-1], text[end : end + 2]
    if not (_is_apart(text[start], before) and _is_apart(text[end - 1], after)):
        return False
    unspaced = _kind(text[end - 1]) != "spaced"
    if unspaced and (_BEHIND.match(text, end) or _is_of_longer(text, start, end)):
        return False
    if _kind(text[start]) != "spaced" and _AHEAD.match(before):
        return False
    if end - start > 1:
        return True
    beside = before[:1] + after[:1]
    among = _is_han if _is_han(text[start]) else lambda letter: _kind(letter) == "unspaced"
    return not ((_is_han(text[start]) or _is_kana(text[start])) and any(map(among, beside)))


def _is_apart(edge: str, beyond: str) -> bool:
    """Whether a name may end with a letter, given the next letters in that direction."""
    kind = _kind(edge)
    if not beyond or not edge.isalnum():
        return True
    if beyond[0] in _DOTS:
        return not (kind != "spaced" and len(beyond) > 1 and _kind(beyond[1]) == kind)
    same = beyond[0].isalnum() and _kind(beyond[0]) == kind
    return kind == "unspaced" or not same


def cuts_a_run(text: str, start: int, end: int) -> bool:
    """Whether a match has letters of its script without spaces beside it."""
    sides = (text[max(0, start - 1) : start + 1], text[end - 1 : end + 1])
    return any(len(side) == 2 and set(map(_kind, side)) == {"unspaced"} for side in sides)


@cache
def _listed(section: str) -> tuple[str, ...]:
    return tuple(" ".join(sections("languages.txt")[section]).split())


@lru_cache(maxsize=4096)
def _longer(name: str) -> list[tuple[str, int]]:
    words = [word for word in _listed("compounds") if name in word and name != word]
    return [(word, word.index(name)) for word in words]


def _is_of_longer(text: str, start: int, end: int) -> bool:
    name, after = text[start:end], text[end : end + 1]
    of_person = len(name) == 2 and name[0] in _letters("family names")
    if of_person and after in _letters("second letters"):
        return True
    return text.startswith(_listed("kinds behind"), end) or any(
        start >= offset and text.startswith(word, start - offset) for word, offset in _longer(name)
    )


@cache
def _letters(section: str) -> frozenset[str]:
    return frozenset("".join(_listed(section)))
