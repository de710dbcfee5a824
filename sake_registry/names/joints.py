"""Names by their letters alone, whatever joints stand between these.

"Pinegate", "pine gate" and "Pine-Gate" are one name, "Verge & Lantern" and "verge n lantern",
"T-90" and "T90", "Larne Street Market" and "larne st market".
Runs of whole words of a text are looked up in a table of names: time grows with the text, and
hardly with the names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from sake_registry.data import sections
from sake_registry.names.words import ABBREVIATED, FUNCTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Owner = TypeVar("Owner")

_WORD = re.compile(r"\w+(?:(?<=\d)[.,](?=\d)\w+)*|[&+]")
# What may stand between two words of a name.
_GAP = re.compile(r"\s{0,3}|\s?[-'/_.·][^\S\n]?|\s?[\"“”«»„(]\s?")
_OPENING, _CLOSING = "(«„“", ")»“”"
_MOST = 10  # words of a name that is found so
_LONGEST = 80  # letters of it
_PREFIX = 8  # letters by which a run is looked up first
_FEWEST, _FEWEST_WIDE, _FEWEST_WITH_DIGITS = 6, 4, 3  # letters
_WIDE = "\u1100"  # from here on a letter says as much as several
_JOINT = "&"


class Run(NamedTuple):
    """Words side by side: their letters, and from where to where they stand."""

    letters: str
    start: int
    end: int


class _Word(NamedTuple):
    text: str
    short: str
    start: int
    end: int


def _listed(section: str) -> frozenset[str]:
    return frozenset(" ".join(sections("name_variants.txt")[section]).split())


@cache
def _joints() -> frozenset[str]:
    return _listed("joints")


@cache
def _links() -> frozenset[str]:
    return _listed("links")


@cache
def minor_words() -> frozenset[str]:
    """Words that count for less inside a name."""
    return _joints() | _links()


@cache
def _short() -> dict[str, str]:
    """From a word to one that stands for all ways to write it."""
    shortest: dict[str, str] = {}
    for word, *others in map(str.split, sections("name_variants.txt")["short words"]):
        for other in (word, *others):
            shortest.setdefault(other, shortest.get(word, others[0]))
    return shortest


@cache
def _stopped() -> frozenset[str]:
    """Words that a full stop may follow inside a name."""
    return ABBREVIATED | set(_short().values())


def _words(folded: str) -> list[_Word]:
    short = _short()
    return [
        _Word(text := match[0], short.get(text, text), match.start(), match.end())
        for match in _WORD.finditer(folded)
    ]


def _append(letters: str, word: str) -> str:
    """Two numbers side by side stay two: "Halcyon 9 20" is not "Halcyon 920"."""
    apart = letters[-1].isdigit() and word[0].isdigit()
    return f"{letters} {word}" if apart else letters + word


def _says_enough(letters: str) -> bool:
    if letters.isascii() and letters.isalpha():
        return len(letters) >= _FEWEST
    size = sum(map(str.isalnum, letters))
    if any(map(str.isdigit, letters)) and any(map(str.isalpha, letters)):
        return size >= _FEWEST_WITH_DIGITS
    return size >= (_FEWEST_WIDE if max(letters) >= _WIDE else _FEWEST)


def _letters_of(words: list[str]) -> Iterator[str]:
    """By which letters a name of these words is looked up; none where it says too little.

    With short words and with its own, with joints and without.
    """
    known: dict[str, None] = {}
    joined = not minor_words().isdisjoint(words[1:-1])
    short = _short()
    for written in dict.fromkeys((tuple(words), tuple(short.get(word, word) for word in words))):
        together = "".join(written)
        if together.isalpha() and not joined:  # as most are
            known[together] = None
            continue
        with_joints = without = written[0]
        for number, (word, text) in enumerate(zip(words, written, strict=True)):
            between = 0 < number < len(words) - 1
            if between and word in _joints():
                with_joints += _JOINT
            elif number and not (between and word in _links()):
                with_joints, without = (_append(all_, text) for all_ in (with_joints, without))
        known |= {with_joints: None, without: None}
    for letters in known:
        if len(letters) <= _LONGEST and _says_enough(letters):
            yield letters


class Table(Generic[Owner]):
    """Whom names belong to, by the letters of these.

    Args:
        owned: folded names, and whose they are.
    """

    def __init__(self, owned: Iterable[tuple[str, Owner]]) -> None:
        self.letters: defaultdict[str, list[Owner]] = defaultdict(list)
        for name, owner in owned:
            words = _WORD.findall(name)
            if not 0 < len(words) <= _MOST:
                continue
            for letters in _letters_of(words):
                self.letters[letters].append(owner)
        shorter = {letters[:_PREFIX] for letters in self.letters}
        begins: set[str] = set()
        while shorter:
            begins |= shorter
            shorter = {letters[:-1] for letters in shorter if len(letters) > 1}
        self.begins = frozenset(begins)
        """Beginnings of its letters, of `_PREFIX` letters at most."""


@dataclass(frozen=True)
class Runs:
    """The runs of words of a folded text."""

    folded: str

    @cached_property
    def _words(self) -> list[_Word]:
        return _words(self.folded)

    @cached_property
    def _written(self) -> list[str]:
        return [word.text for word in self._words]

    @cached_property
    def _short(self) -> list[str]:
        return [word.short for word in self._words]

    @cached_property
    def _shortened(self) -> frozenset[int]:
        return frozenset(n for n, word in enumerate(self._words) if word.short != word.text)

    @cached_property
    def _ways(self) -> tuple[bool, ...]:
        """In which ways the words are written: as they are, and with the short ones."""
        return (False, True) if self._shortened else (False,)

    @cached_property
    def _by_first(self) -> dict[str, list[int]]:
        """Where runs begin, by the first letters of their first word."""
        places: dict[str, list[int]] = {}
        for number, word in enumerate(self._words):
            places.setdefault(word.text[:_PREFIX], []).append(number)
            if word.short != word.text:
                places.setdefault(word.short[:_PREFIX], []).append(number)
        return places

    @cached_property
    def _first(self) -> frozenset[str]:
        return frozenset(self._by_first)

    def owners(self, table: Table[Owner]) -> Iterator[tuple[Run, Owner]]:
        """The runs that are names of a table, and whose they are."""
        # An intersection goes through the smaller side.
        leading = self._first & table.begins
        for number in sorted({number for first in leading for number in self._by_first[first]}):
            for short in self._ways:
                for run in self._from(number, table.begins, short=short):
                    for owner in table.letters.get(run.letters, ()):
                        yield run, owner

    def _from(self, number: int, begins: frozenset[str], *, short: bool) -> Iterator[Run]:
        """The runs that begin with a word, as far as names may begin so; `short`: with the short
        words for what they stand for, if there are any."""
        words, joints, links = self._words, _joints(), _links()
        written = self._short if short else self._written
        first = last = words[number]
        letters, differs = written[number], not short or number in self._shortened
        if differs:
            yield Run(letters, first.start, first.end)
        for further in range(number + 1, min(number + _MOST, len(words))):
            word = words[further]
            if letters[:_PREFIX] not in begins or not self._may_join(last, word):
                return
            run = _append(letters, written[further])
            if len(run) > _LONGEST:
                return
            differs = differs or further in self._shortened
            if differs:
                yield Run(run, first.start, word.end)
            last = word
            if word.text in joints:
                letters += _JOINT
            elif word.text not in links:
                letters = run

    def _may_join(self, last: _Word, word: _Word) -> bool:
        gap = self.folded[last.end : word.start]
        if gap == " ":
            return True
        if not _GAP.fullmatch(gap):
            return False
        # Elsewhere a sentence ends there.
        return gap[0:1] != "." or len(gap) == 1 or len(last.text) == 1 or last.text in _stopped()


def is_chance(written: str, name: str) -> bool:
    """Whether mere words of a sentence have the letters of a name: "to get her", "Together"."""
    words = {word.text for word in _words(written)}
    added = words.difference(word.text for word in _words(name)) - _joints() - _links()
    return any(len(word) > 1 and word in FUNCTION for word in added)


def closed(text: str, start: int, end: int) -> int | None:
    """Where a match ends with the bracket or quote that it opens; None where that goes on."""
    opened = sum(text[start:end].count(mark) for mark in _OPENING)
    ended = sum(text[start:end].count(mark) for mark in _CLOSING)
    if opened <= ended:
        return end
    return end + 1 if text[end : end + 1] and text[end] in _CLOSING else None
