"""How a name changes in running text, by language: what is glued to it, and its endings.

"Толстого" names Толстой, "삼성의" 삼성, "ولبنان" لبنان, "Lenas" Lena. Most letters tell
which rules hold. A line in Latin letters is of the languages of which it has most common words; in
an English one, names have no endings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.data import sections
from sake_registry.names import scripts
from sake_registry.names.letters import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE = "languages.txt"
_SCRIPTS = {
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "greek": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u05d0-\u05ea]"),
    "ar": re.compile("[\u0620-\u06ff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
}
_LATIN = re.compile("[a-z]")
_WORD = re.compile(r"\w+")
_LINE = re.compile(r"[^\n]*[^\W\d_][^\n]*")
_SHORTEST = {"ko": 2}
_FEWEST = 3  # letters of a word that has endings, or something glued to it
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
        return any((self.before, self.behind, self.beginnings, self.endings))

    @cached_property
    def _by_ending(self) -> dict[str, list[str]]:
        by_ending: defaultdict[str, list[str]] = defaultdict(list)
        for of_name, written in self.endings:
            by_ending[written].append(of_name)
        return dict(by_ending)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._by_ending), default=0)

    def forms(self, word: str) -> list[str]:
        """A word of a name and what may stand for it; long ones first."""
        forms = {word}
        if len(word) >= _FEWEST:
            forms |= {
                word[: len(word) - len(of_name)] + written
                for of_name, written in self.endings
                if word.endswith(of_name) and len(word) > len(of_name)
            }
            forms |= {
                written + word[len(of_name) :]
                for of_name, written in self.beginnings
                if word.startswith(of_name)
            }
        return sorted(forms, key=lambda form: (-len(form), form))

    def bare(self, word: str) -> Iterator[str]:
        """The words of names of which a word of a text may be a form."""
        for before in ("", *(b for b in self.before if word.startswith(b))):
            rest = word[len(before) :]
            for behind in ("", *(b for b in self.behind if rest.endswith(b))):
                yield rest[: len(rest) - len(behind)]
        for of_name, written in self.beginnings:
            if word.startswith(written):
                yield of_name + word[len(written) :]
        for length in range(1, min(len(word), self._longest) + 1):
            for of_name in self._by_ending.get(word[-length:], ()):
                yield word[: len(word) - length] + of_name

    @cached_property
    def _around(self) -> tuple[str, str]:
        before = "|".join(map(re.escape, self.before))
        behind = [re.escape(text) for text in self.behind]
        if self.heads:
            heads = "|".join(map(re.escape, self.heads))
            behind.append(rf"-[^\W_]{{0,20}}?(?:{heads})(?:e?[ns]|e[rs]?)?")
        return (
            rf"{scripts.BEGIN}(?:(?:{before})-?)?" if before else scripts.BEGIN,
            (f"(?:{'|'.join(behind)})?" if behind else "") + scripts.END,
        )

    def pattern(self, name: str) -> re.Pattern[str]:
        """Where a folded name stands in any of its forms, as the only group."""
        begin, end = self._around
        space = r"(?:\s+|-)" if self.heads else r"\s+"
        words = ("|".join(map(re.escape, self.forms(word))) for word in name.split())
        return re.compile(f"{begin}({space.join(f'(?:{forms})' for forms in words)}){end}")


@cache
def language(code: str) -> Language:
    """The rules of a language or script of the file; empty where it has none."""

    def listed(kind: str) -> tuple[str, ...]:
        entries = (fold(word) for word in _words(f"{code}: {kind}"))
        return tuple(dict.fromkeys(sorted(entries, key=len, reverse=True)))

    def pairs(kind: str) -> tuple[tuple[str, str], ...]:
        rows = (line.split(": ") for line in sections(_FILE).get(f"{code}: {kind}", ()))
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
    known = common_words()
    counts = Counter(code for word in _WORD.findall(line) for code in known.get(word, ()))
    most = max(counts.values(), default=0)
    return [code for code, count in counts.items() if count == most]


def may_be_english(line: str) -> bool:
    """Whether a folded line is of English, or of no language that is known."""
    codes = of_line(line)
    return not codes or _ENGLISH in codes


class Part(NamedTuple):
    """A part of a text where the rules of a language hold."""

    start: int
    end: int
    language: Language


def parts(folded: str) -> list[Part]:
    """Where the rules of a language hold in a folded text."""
    known = [Part(0, len(folded), language(c)) for c, has in _SCRIPTS.items() if has.search(folded)]
    for line in _LINE.finditer(folded) if _LATIN.search(folded) else ():
        codes = of_line(line[0])
        for rules in map(language, codes):
            # A final "s" may be the plural where the line may be English.
            if rules.has_rules and not (_ENGLISH in codes and ("", "s") in rules.endings):
                known.append(Part(*line.span(), rules))
    return known


def bare_words(folded: str, known: list[Part]) -> frozenset[str]:
    """The words of names that may stand in a text in another form."""
    return frozenset(
        bare
        for part in known
        for word in dict.fromkeys(_WORD.findall(folded, part.start, part.end))
        for bare in part.language.bare(word)
        if len(bare) >= part.language.shortest
    )
