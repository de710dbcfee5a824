"""Letters as they are compared: without case, marks, width, or typographic variants."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

# What is often left out: accents, Arabic and Hebrew vowels, the line that stretches Arabic letters,
# the dot of Indic letters, and the soft hyphen.
_MARKS = (
    "\u0300-\u036f\u00ad\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u093c\u09bc\u0a3c\u0abc\u0b3c"
)
_MARK = re.compile(f"[{_MARKS}]")
# Normalising sorts the marks of a letter, in time that grows with their square. No letter of any
# language has more marks than Unicode's stream-safe form allows (UAX #15).
_MOST_MARKS = 30
_MANY_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")
# One letter in several characters: with marks, voiced kana, a Korean syllable in its letters.
_VOICING = "\u3099\u309a\uff9e\uff9f"
_CLUSTER = re.compile(
    f"(?s)[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?[{_MARKS}]*"
    f"|.[{_MARKS}]*[{_VOICING}]?[{_MARKS}]*"
)
_HALF_WIDTH = re.compile("[\uff66-\uff9d][\uff9e\uff9f]")
_OF_CLUSTER = re.compile(f"[{_MARKS}{_VOICING}\u1161-\u1175]")
# What is typed plainly and Unicode does not take apart. Not the em dash: it parts clauses.
_PLAIN = {
    written: plain
    for plain, all_written in {
        "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "d": "đð", "D": "ĐÐ", "h": "ħ", "H": "Ħ",
        "t": "ŧ", "T": "Ŧ", "s": "ß", "S": "ẞ", "i": "ı",
        "ه": "ة", "ي": "ىی", "ك": "ک", "ا": "ٱ", "·": "‧∙•", "・": "･",
        "'": "\u2018\u2019\u201b\u00b4\u2032\u02b9\u02bb\u02bc\u02bd",
        "-": "\u2010\u2011\u2012\u2013\u2212\u05be",
    }.items()
    for written in all_written
}  # fmt: skip


@cache
def _plain_character(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    parts = unicodedata.normalize("NFKD", character)
    # Only accents are dropped: "ﬁ" is more than "f", a Hangul syllable more than its first letter.
    return character if _MARK.sub("", parts[1:]) else _PLAIN.get(parts[0], parts[0])


def composed(text: str) -> str:
    """The text in Unicode's form NFC, with at most 30 marks to a letter."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _MANY_MARKS.sub(_with_fewer_marks, text))


def without_marks(name: str) -> str:
    """A name in letters of one character, without what is left of marks."""
    if name.isascii():
        return name
    return _MARK.sub("", composed(_HALF_WIDTH.sub(lambda kana: _letter(kana[0]), name)))


def _with_fewer_marks(run: re.Match[str]) -> str:
    kept, marks = [], 0
    for character in run[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _letter(cluster: str) -> str:
    """The letter of which a cluster has the parts, without the marks that it has no letter for."""
    form: Literal["NFC", "NFKC"] = "NFKC" if "\uff66" <= cluster[0] <= "\uff9d" else "NFC"
    return unicodedata.normalize(form, cluster[: 1 + _MOST_MARKS])[0]


def unmarked(text: str) -> str:
    """Without accents and typographic marks, in its case; as long as `text`."""
    return text if text.isascii() else "".join(map(_plain_character, text))


def fold(text: str) -> str:
    """Without case, accents and typographic marks, character by character: as long as `text`."""
    return text.lower() if text.isascii() else unmarked(text).lower().replace("ς", "σ")


def letters_of(text: str) -> tuple[str, tuple[int, ...] | None]:
    """A text in letters of one character, and where each of them stands in it, None for as is."""
    if not _OF_CLUSTER.search(text):
        return text, None
    clusters = [(match.start(), match[0]) for match in _CLUSTER.finditer(text)]
    letters = "".join(c if len(c) == 1 else _letter(c) for _, c in clusters)
    return letters, (*(start for start, _ in clusters), len(text))
