"""How a name changes in running text, by language: what is glued to it, and its endings.

"Толстого" names Толстой, "삼성의" 삼성, "ولبنان" لبنان, "Lenas" Lena. Letters of most scripts tell
which rules hold. A line in Latin letters is of the languages of which it has most common words;
in an English one, names have no endings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.data import sections
from sake_registry.names.letters import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE, _FURTHER = "languages.txt", "name_variants.txt"
_SCRIPTS = {
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "greek": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u05d0-\u05ea]"),
    "ar": re.compile("[\u0620-\u06ff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
}
_LATIN = re.compile("[a-z]")
_WORD = re.compile(r"\w+")
_LINE = re.compile(r"[^\n]+")
_SHORTEST = {"ko": 2}
_FEWEST = 3  # letters of a word of a name that has endings, or something glued to it
_ENGLISH = "en"


@dataclass(frozen=True, eq=False)
class Language:
    """What is glued before and behind a name, and how it may begin and end instead.

    `beginnings` and `endings`: as the name has it, and as the text does.
    """

    before: tuple[str, ...]
    behind: tuple[str, ...]
    beginnings: tuple[tuple[str, str], ...]
    endings: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]
    shortest: int

    @cached_property
    def has_rules(self) -> bool:
        return any((self.before, self.behind, self.beginnings, self.endings, self.heads))

    @cached_property
    def _by_ending(self) -> dict[str, list[str]]:
        by_ending: defaultdict[str, list[str]] = defaultdict(list)
        for of_name, written in self.endings:
            by_ending[written].append(of_name)
        return dict(by_ending)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._by_ending), default=0)

    def bare(self, word: str) -> Iterator[tuple[str, int, int]]:
        """The words of names of which a word of a text may be a form, and where in it they are."""
        size = len(word)
        for before in ("", *(b for b in self.before if word.startswith(b))):
            rest = word[len(before) :]
            for behind in ("", *(b for b in self.behind if rest.endswith(b))):
                yield rest[: len(rest) - len(behind)], len(before), size - len(behind)
        for of_name, written in self.beginnings:
            if word.startswith(written):
                yield of_name + word[len(written) :], 0, size
        for length in range(1, min(size - 1, self._longest) + 1):
            for of_name in self._by_ending.get(word[-length:], ()):
                yield word[: size - length] + of_name, 0, size

    @cached_property
    def apart_before(self) -> re.Pattern[str] | None:
        """What is glued before a name with a hyphen."""
        words = "|".join(map(re.escape, self.before))
        return re.compile(rf"(?<!\w)(?:{words})-$") if words else None

    @cached_property
    def apart_behind(self) -> re.Pattern[str] | None:
        """What is glued behind a name with a hyphen or an apostrophe."""
        glued = [re.escape(text) for text in self.behind if not text.isalpha()]
        if self.heads:
            heads = "|".join(map(re.escape, self.heads))
            glued.append(rf"-[^\W_]{{0,20}}?(?:{heads})(?:e?[ns]|e[rs]?)?")
        return re.compile(rf"(?:{'|'.join(glued)})(?!\w)") if glued else None


@cache
def language(code: str, *, further: bool = False) -> Language:
    """The rules of a language or script of the file; empty where it has none.

    Args:
        further: whether with the endings of words of names of several words, if there are any.
    """
    more = sections(_FURTHER).get(f"{code}: endings", ()) if further else ()
    if further and not more:
        return Language((), (), (), (), (), _FEWEST)

    def listed(kind: str) -> tuple[str, ...]:
        entries = (fold(word) for word in _words(f"{code}: {kind}"))
        return tuple(dict.fromkeys(sorted(entries, key=len, reverse=True)))

    def pairs(kind: str) -> tuple[tuple[str, str], ...]:
        lines = (*sections(_FILE).get(f"{code}: {kind}", ()), *(more if kind == "endings" else ()))
        rows = (line.split(": ") for line in lines)
        return tuple(
            (fold(of_name).strip("-"), fold(written))
            for of_name, all_written in rows
            for written in all_written.split()
        )

    return Language(
        listed("before"), listed("behind"), pairs("beginnings"), pairs("endings"), listed("heads"),
        _SHORTEST.get(code, _FEWEST),
    )  # fmt: skip


def _words(section: str) -> Iterator[str]:
    for line in sections(_FILE).get(section, ()):
        yield from line.split()


@cache
def common_words() -> dict[str, tuple[str, ...]]:
    """From a common word in Latin letters to the languages that have it."""
    languages: defaultdict[str, list[str]] = defaultdict(list)
    for title in sections(_FILE):
        code, _, kind = title.partition(": ")
        if kind == "words":
            for word in dict.fromkeys(map(fold, _words(title))):
                languages[word].append(code)
    return {word: tuple(codes) for word, codes in languages.items()}


def of_line(line: str) -> list[str]:
    """The languages of which a folded line has most common words; of equals, all."""
    known, counts = common_words(), Counter[str]()
    for word, number in Counter(_WORD.findall(line)).items():
        for code in known.get(word, ()):
            counts[code] += number
    most = max(counts.values(), default=0)
    return [code for code, count in counts.items() if count == most]


def is_common(word: str, codes: list[str]) -> bool:
    """Whether a folded word is a common one of these languages."""
    return not set(codes).isdisjoint(common_words().get(word, ()))


class Place(NamedTuple):
    """Where a word of a name may stand: in which word of a part, where its letters are, and where
    the whole word ends."""

    number: int
    start: int
    end: int
    begins: int
    ends: int


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a folded text where the rules of a language hold."""

    text: str
    start: int
    end: int
    language: Language

    @cached_property
    def places(self) -> dict[str, list[Place]]:
        """Where words of names may stand, in whatever form."""
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for number, word in enumerate(_WORD.finditer(self.text, self.start, self.end)):
            begins, ends = word.span()
            for bare, start, end in self.language.bare(word[0]):
                if len(bare) >= self.language.shortest or bare.isdigit() or bare == word[0]:
                    places[bare].append(Place(number, begins + start, begins + end, begins, ends))
        return dict(places)

    def matches(self, name: str) -> Iterator[tuple[int, int, int, int]]:
        """Where a folded name stands, and where that begins and ends with what is glued to it."""
        words = [word.span() for word in _WORD.finditer(name)]
        if len(name) == 1 or not words or words[0][0]:
            return
        closing = name[words[-1][1] :]  # "Банк «Лев»"
        of_words = [self.places.get(name[start:end], []) for start, end in words]
        gaps = [name[a[1] : b[0]] for a, b in pairwise(words)]
        following = [{p.number: p for p in ps if p.start == p.begins} for ps in of_words[1:]]
        for first in of_words[0]:
            last = self._last_word(first, gaps, following)
            if last and not closing:
                yield first.start, last.end, *self._around(first.begins, last.ends)
            elif last and last.end == last.ends and self.text.startswith(closing, last.ends):
                end = last.ends + len(closing)
                yield first.start, end, first.begins, end

    def _last_word(
        self, last: Place, gaps: list[str], following: list[dict[int, Place]]
    ) -> Place | None:
        for gap, places in zip(gaps, following, strict=True):
            place = places.get(last.number + 1)
            if not place or last.end != last.ends or not self._is_gap(gap, last, place):
                return None
            last = place
        return last

    def _is_gap(self, gap: str, last: Place, place: Place) -> bool:
        between = self.text[last.ends : place.begins]
        return between == gap or (gap == " " and (
            between.isspace() or (between == "-" and bool(self.language.heads))
        ))  # fmt: skip

    def _around(self, start: int, end: int) -> tuple[int, int]:
        """With what is glued with a hyphen or an apostrophe."""
        before, behind = self.language.apart_before, self.language.apart_behind
        apart = before.search(self.text, max(0, start - 8), start) if before else None
        glued = behind.match(self.text, end) if behind else None
        return apart.start() if apart else start, glued.end() if glued else end


def parts(folded: str) -> tuple[list[Part], list[Part]]:
    """Where the rules of a language hold in a folded text, and where its further ones do."""
    places = [([code], 0, len(folded)) for code, has in _SCRIPTS.items() if has.search(folded)]
    for line in _LINE.finditer(folded) if _LATIN.search(folded) else ():
        places.append((of_line(line[0]), *line.span()))

    def having(*, further: bool) -> list[Part]:
        return [
            Part(folded, start, end, rules)
            for codes, start, end in places
            for rules in (language(code, further=further) for code in codes)
            # A final "s" may be the plural where the line may be English.
            if rules.has_rules and not (_ENGLISH in codes and ("", "s") in rules.endings)
        ]

    return having(further=False), having(further=True)
