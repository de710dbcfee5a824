"""Finds names in running text as whole names, and masks them.

"Guinea" stands in "The capital of Guinea is", but not in "Papua New Guinea",
"Guinea-Bissau" or "Guineas": a name inside a longer one names something else.

Accents, typographic marks and the full stops of initials do not matter ("Jose Mourinho",
"JRR Tolkien"). Case does not for names of several words, and for no name in text that is written
without case; else an apple would be Apple.

Time grows with the text, and not faster, whatever stands in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from sake_registry.names import joints, languages, order, scripts
from sake_registry.names.companies import with_legal_form
from sake_registry.names.letters import fold, letters_of, unmarked, without_marks
from sake_registry.names.words import (
    ABBREVIATED,
    ASKED,
    BEFORE,
    BESIDE,
    DETERMINERS,
    FIRST_NAMES,
    FUNCTION,
    IN_NAMES,
    LINKING,
    LONGER,
    NUMBERS,
    PARTICLES,
    PLANS,
    TITLES_BEHIND,
    WHOLES,
    is_common,
    is_kind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUBJECT = "<subject>"
"""What stands for the subject's name in a prompt."""
BETWEEN = "\0"
"""A word of a name to `find`, for one to three further names or initials in a person's name."""
COMMA = ",\1"
"""A comma of a name to `find` that has to be there; any other may be missing."""

SHORT = "\2"
"""Ends a name to `find` that is a part of another: it is not meant where more stands behind it that
may be of a name."""

# -- what is searched, and for what ------------------------------------------------------------

SHORTEST = 4  # letters of a name that is told from a mere word, or stands for a longer one
_NEAR = 100  # characters: as far as is looked around a name
_LONGEST = 256  # characters of a name that is also found in other spacing and with other stops
_BEGINS, _ENDS = re.compile(scripts.BEGIN), re.compile(scripts.END)
_OTHER_SPACE = re.compile(r"[^\S ]|  ")
INITIALS = re.compile(r"(?:[^\W\d_]\.){1,16}[^\W\d_]?|[^\W\d_]|[A-Z]{2,3}")
_ACRONYM = re.compile(r"[A-Z]{4,6}")  # more than initials: has all of its full stops, or none
_FREE = re.compile(r"[\s.,]+")  # what may differ between a name and what is written for it
# A full stop is part of "U.S.", if the name or its other letters have one, and never half of it.
_STOP = r"(?:\.|(?!\.))"
_LAST_STOP = rf"(?:(?<=\.\w){_STOP}|(?<!\.\w)(?!\.\w))"
_WORD_OF_PERSON = re.compile(r"((?:[^\W\d_]\.)+|[^\W\d_]+(?:['-][^\W\d_]+)*)[^\S\n]+")
_NICKNAME = re.compile(r"[\"“']([^\"“”'\n]{2,40})[\"”'][^\S\n]+")
_MOST = 3  # further names between a first and a last name


@dataclass(frozen=True)
class _Name:
    """A name as it is searched for; `text` is plain, in its case, with single spaces.

    `words`: what a text must have, the rarest (longest) first; `body`: what it has where spaces
    are single ones, None where full stops are free; `pattern`: where it stands, in folded text;
    `short`: whether it is a part of a longer name.
    """

    text: str
    words: tuple[str, ...]
    body: str | None
    pattern: str
    short: bool = False

    @cached_property
    def letters(self) -> str:
        return _FREE.sub("", self.text)

    @cached_property
    def tight(self) -> str:
        """What a text without spaces, stops and commas has that has it."""
        return fold(self.letters)

    @cached_property
    def distinctive(self) -> list[str]:
        return distinctive_words(self.text)

    @cached_property
    def is_common(self) -> bool:
        """Whether it is one common word, that is meant only where its case says so."""
        return len(self.distinctive) < 2 and all(map(is_common, self.distinctive))


def distinctive_words(name: str) -> list[str]:
    """The words that are not such as any sentence has."""
    bare = re.sub(r"(?<![.,])[.,]++(?=\s|$)", "", name)
    return [word for word in fold(bare).split() if word not in FUNCTION]


def joined(name: str) -> str:
    """A folded name as it may be found in other joints; empty where it is not."""
    if BETWEEN in name or name.endswith(SHORT) or len(name) > _LONGEST:
        return ""
    return fold(without_marks(name.replace(COMMA, ",")))


@lru_cache(maxsize=1 << 14)
def _name(name: str) -> _Name:
    if name.endswith(SHORT):
        return replace(_name(name.removesuffix(SHORT)), short=True)
    text = " ".join(unmarked(without_marks(name)).split())
    if BETWEEN in text:
        rest = fold(text).replace(BETWEEN, "").split()
        return _Name(text, tuple(sorted(rest, key=len, reverse=True)), None, "")
    if _ACRONYM.fullmatch(text):
        stops = r"\.\s?".join(fold(text))
        return _Name(text, (), None, f"(?:{fold(text)}|{stops}){_LAST_STOP}")
    if len(text) > _LONGEST:
        return _Name(text.replace(COMMA, ","), (), fold(text.replace(COMMA, ",")), "")
    words, pattern, free = [], "", False
    parts = text.split()
    text = text.replace(COMMA, ",")
    for part, following in pairwise([*parts, ""]):
        needed = part.endswith(COMMA)
        folded = fold(part.replace(COMMA, ","))
        bare = folded.rstrip(".,") or folded
        if INITIALS.fullmatch(part) and (following or len(part) > 1):
            pattern += r"\.?\s*".join(map(re.escape, folded.replace(".", "")))
            if following:
                pattern += r"\.?\s*" if INITIALS.fullmatch(following) else r"(?:\.\s*|\s+)"
            else:
                pattern += _STOP if len(bare) == 1 else _LAST_STOP
            free = True
            continue
        if not needed and (bare in ABBREVIATED or folded == f"{bare},"):
            stop = r"\.?" if following else _STOP if folded != bare else ""
            pattern += re.escape(bare) + (stop if bare in ABBREVIATED else "")
            pattern += ",?" if folded.endswith(",") else ""
            free = True
        else:
            bare = folded
            pattern += re.escape(folded)
        words.append(bare)
        pattern += r"\s+" if following else ""
    words.sort(key=len, reverse=True)
    return _Name(text, tuple(words), None if free else fold(text), pattern)


@lru_cache(maxsize=1024)
def _by_word(names: tuple[str, ...]) -> tuple[dict[str, list[_Name]], list[_Name]]:
    """Names by a word that a text with them has, and those that may be written without it."""
    by_word: dict[str, list[_Name]] = {}
    without: list[_Name] = []
    for known in map(_name, dict.fromkeys(names)):
        keys = scripts.name_keys(known.words[0]) if known.words else ()
        (by_word.setdefault(max(keys, key=len), []) if keys else without).append(known)
    return by_word, without


@lru_cache(maxsize=1024)
def _table(names: tuple[str, ...]) -> joints.Table[_Name]:
    return joints.Table((joined(name), _name(name)) for name in dict.fromkeys(names))


@lru_cache(maxsize=4096)
def _pattern(name: _Name) -> re.Pattern[str]:
    return re.compile(name.pattern)


@dataclass(frozen=True)
class Text:
    """A text as it is searched; `places` lead back to it where it had letters taken apart."""

    plain: str
    folded: str
    places: tuple[int, ...] | None

    @cached_property
    def parts(self) -> tuple[list[languages.Part], list[languages.Part]]:
        return languages.parts(self.folded)

    @cached_property
    def tight(self) -> str:
        return _FREE.sub("", self.folded)

    @cached_property
    def runs(self) -> joints.Runs:
        return joints.Runs(self.folded)

    @cached_property
    def words(self) -> list[order.Word]:
        return order.words(self.folded)

    @cached_property
    def bare(self) -> dict[str, None]:
        """Words of names that it may have, in whatever form."""
        return dict.fromkeys(word for some in self.parts for part in some for word in part.places)

    @cached_property
    def keys(self) -> dict[str, None]:
        return dict.fromkeys((*scripts.keys(self.folded), *self.bare))


@lru_cache(maxsize=256)
def searched(text: str) -> Text:
    """A text as it is searched for any names."""
    text, places = letters_of(text)
    return Text(unmarked(text), fold(text), places)


def _spans(text: str, name: _Name) -> Iterator[tuple[int, int]]:
    """Where a name stands in folded text between the ends of words.

    A registry has thousands of names, each for a few texts: a pattern is compiled only where
    spaces or full stops may differ.
    """
    if not name.text:
        return
    pattern = (
        _pattern(name)
        if name.body is None or (name.pattern and _OTHER_SPACE.search(text))
        else None
    )
    body = name.body or ""
    place = 0
    while True:
        if pattern:
            match = pattern.search(text, place)
            start, end = match.span() if match else (-1, -1)
        else:
            start = text.find(body, place)
            end = start + len(body)
        if start < 0:
            return
        whole = _BEGINS.match(text, start) and _ENDS.match(text, end)
        if whole:
            yield start, end
        place = end if whole else start + 1


def _spread(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where a name with `BETWEEN` stands in plain text, on one line.

    Names are known by their capitals, so that text without case has none: "paul and john lennon".
    """
    first, between, last = name.partition(f" {BETWEEN} ")
    start = text.find(first) if between else -1
    while start >= 0:
        place = start
        for number in range(1 + _MOST if _BEGINS.match(text, start) else 0):
            word = _WORD_OF_PERSON.match(text, place)
            if number and not word:  # 'Robert "Bob" Marley'
                word = _NICKNAME.match(text, place)
            if not word or (word[1] == first if number else word[1] != first):
                break
            if number and not _is_further(word[1]):
                break
            place = word.end()
            end = place + len(last)
            if text.startswith(last, place) and _ENDS.match(text, end):
                if number:
                    yield start, end
                break
        start = text.find(first, start + 1)


def _is_further(word: str) -> bool:
    """Whether a word may stand between a first and a last name."""
    initial = word.endswith(".")
    return fold(word) in PARTICLES or (word[0].isupper() and (initial or fold(word) not in BESIDE))


# -- finding -----------------------------------------------------------------------------------


def find(text: str, names: Iterable[str], *, judged: bool = False) -> list[tuple[int, int]]:
    """Where one of the names stands as a whole name; longer names win; in order.

    Args:
        judged: whether what stands behind a name, or about one that is written without case, is
            judged by whoever asks: then it is found there too ("Acme Cloud Pro", "whats acme"), and
            so it is in other joints ("acmecloud"), with further endings, and where it stands in no
            other way, in another order ("the Pro plan of Acme").
    """
    looked_at, names = searched(text), tuple(names)
    spans = located(looked_at, names, judged=judged, joined=judged)
    return spans or (in_another_order(looked_at, names) if judged else [])


def stands(text: str, names: Iterable[str], *, judged: bool = False) -> bool:
    """Whether `find` finds one of the names; quicker where it stands as it is written."""
    looked_at, names = searched(text), tuple(names)
    return any(
        located(looked_at, names, judged=judged, joined=joined)
        for joined in ((False, True) if judged else (False,))
    ) or (judged and bool(in_another_order(looked_at, names)))


def in_another_order(looked_at: Text, names: Iterable[str]) -> list[tuple[int, int]]:
    """Where the words of one of the names stand, in whatever order; the first that stands so."""
    for name in names:
        if spans := list(order.find(looked_at.words, name)):
            places = looked_at.places
            return spans if places is None else [(places[a], places[b]) for a, b in spans]
    return []


def located(
    looked_at: Text, names: tuple[str, ...], *, judged: bool, joined: bool
) -> list[tuple[int, int]]:
    """As `find`; `joined`: whether names may stand in other joints, as a `joints.Table` tells."""
    by_word, without = _by_word(names)
    leading = by_word.keys() & looked_at.keys.keys()
    candidates = [n for key in leading for n in by_word[key]] + without
    matches = [
        (known, start, end, False)
        for known in candidates
        for start, end in _matches(looked_at, known, judged=judged)
    ]
    if joined:
        matches += [(*match, True) for match in _in_other_joints(looked_at, names)]
    spans: list[tuple[int, int]] = []
    taken = bytearray(len(looked_at.folded))  # by longer names
    for known, start, end, differs in sorted(matches, key=_longest_first):
        if taken.find(1, start, end) >= 0:
            continue
        if differs:
            named = _is_named_otherwise(looked_at.plain, start, end, known)
        else:
            named = _is_named(looked_at.plain, start, end, known, judged=judged)
        if named:
            end = with_legal_form(looked_at.plain, end)
            taken[start:end] = bytes([1]) * (end - start)
            spans.append((start, end))
    places = looked_at.places
    return sorted(spans if places is None else ((places[a], places[b]) for a, b in spans))


def _longest_first(match: tuple[_Name, int, int, bool]) -> tuple[bool, int, str, int]:
    name, start, _, differs = match
    return differs, -len(name.text), name.text, start


def _in_other_joints(text: Text, names: tuple[str, ...]) -> Iterator[tuple[_Name, int, int]]:
    """Where names stand in other joints than their own: "pine gate" for "Pinegate"."""
    folded = text.folded
    for run, name in text.runs.owners(_table(names)):
        end = joints.closed(folded, run.start, run.end)
        own = fold(name.text)
        written = folded[run.start : end]
        if end is None or written == own or joints.is_chance(written, own):
            continue
        if _BEGINS.match(folded, run.start) and _ENDS.match(folded, end):
            yield name, run.start, end


def _matches(text: Text, name: _Name, *, judged: bool) -> Iterable[tuple[int, int]]:
    """Where a name stands in a text, in any of its forms; whether it is meant is not asked."""
    exact = all(word in text.folded for word in name.words)
    if BETWEEN in name.text:
        return _spread(text.plain, name.text) if exact else ()
    folded = text.folded
    # A pattern is compiled only for a text that may have it.
    exact = exact and (name.body is not None or name.tight in text.tight)
    spans = _spans(folded, name) if exact else ()
    matches = [span for span in spans if scripts.is_whole(folded, *span)]
    parts, further = text.parts
    if judged and len(name.distinctive) > 1:
        parts = [*parts, *further]
    if name.body is None or not parts:
        return matches
    changed = {
        (start, end)
        for part in parts
        for start, end, begins, ends in part.matches(name.body)
        if _BEGINS.match(folded, begins)
        and _ENDS.match(folded, ends)
        and scripts.is_whole(folded, begins, ends)
    }
    return sorted(changed.union(matches))


_WORD_BEFORE = re.compile(r"(^|[.!?:;\n\"'“(¿¡«„]\s*)?([^\W\d_][\w.'-]*)[ \t]+$")
_WORD_AFTER = re.compile(r"[ \t]+([A-Z0-9][\w-]*|[^\W\d_][\w-]*)")
_OPENS = re.compile(r"(?:^|[.!?:;\n\"'“(¿¡«„])\s*$")
_OF_ADDRESS = re.compile(r"[.@/]\w")
# First letters of sentences, and the pronoun: capitals that text without case may have.
_OPENING = re.compile(r"(?:^|[.!?:;]\s|(?<!\w)[\"'“(¿¡«„])\s*\w|\bI\b")
_ELIDED = re.compile(r"(?:^|(?<=[^\w']))([^\W\d_]+)'$")
_LINKED = re.compile(
    rf"([^\W\d_]+)[ \t]+(?:(?:{'|'.join(sorted(LINKING))})[ \t]+(?:(?:the|l[aeo]s?|el)[ \t]+)?|d')$"
)
_TITLED = re.compile(r"(?:^|\W)([A-Z][^\W\d_]*)(,?)[ \t]+$")
# "die Firma Bosch", "das Lied Imagine": a noun, and not a first name.
_GERMAN_NOUN = re.compile(
    r"(?:^|\W)(?i:der|die|das|dem|den|des|eine?|einer|eines|im|am|vom|zum|zur|beim)[ \t]+\w+[ \t]+$"
)


def _is_named(text: str, start: int, end: int, name: _Name, *, judged: bool) -> bool:
    """Whether the match is written as the name is, and no part of a longer one."""
    written, letters = _FREE.sub("", text[start:end]), name.letters
    same = written == letters or BETWEEN in letters  # `_spread` minds the case
    changed = not same and fold(written) != fold(letters)
    if changed:
        same = written[0].isupper() == letters[0].isupper()
    if not same and letters[:1].islower() and written == letters[0].upper() + letters[1:]:
        same = bool(_OPENS.search(text, max(0, start - _NEAR), start))
    owns = (judged and not name.short) or (changed and written[-1] == "s")  # "Lenas Schwester"
    if same and not _is_part(text, start, end, name, owns=owns):
        return True
    distinctive = name.distinctive
    several = len(distinctive) > 1
    if changed and not several and written.isascii():
        return False  # "guineas": it is its capital that tells a name's case from another word
    if _has_no_case(text, start, end):
        return not _is_part_without_case(text, start, end, name, judged=judged)
    if same or _is_part(text, start, end, name, owns=owns):
        return False
    if several:
        return not _is_part_without_case(text, start, end, name, judged=judged)
    return _has_any_case(text, start, end, name)


def _is_named_otherwise(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether a match in other joints is meant as a name, and no part of a longer one."""
    if _has_no_case(text, start, end):
        return not _is_part_without_case(text, start, end, name, judged=True)
    large = not text[start].islower()
    if large or name.text[0].islower():
        return not _is_part(text, start, end, name, owns=True)
    several = len(name.distinctive) > 1
    return several and not _is_part_without_case(text, start, end, name, judged=True)


def _line_around(text: str, start: int, end: int) -> str:
    before = text[max(0, start - _NEAR) : start].rpartition("\n")[2]
    return before + text[start:end] + text[end : end + _NEAR].partition("\n")[0]


def _has_any_case(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether a name of one word is no common word in any case: "iphone", "STARBUCKS".

    What is all capitals may be the first letters of a word ("IT"), and of other languages the
    common words are not known. In an address it is not written for its own sake.
    """
    written, word = text[start:end], fold(name.letters)
    is_word = " " not in name.text and len(word) >= SHORTEST and word.isascii()
    if not is_word or name.letters.isupper() or name.is_common:
        return False
    if text.endswith(("@", ".", "/"), 0, start) or _OF_ADDRESS.match(text, end):
        return False
    inner = any(letter.isupper() or letter.isdigit() for letter in name.letters[1:])
    return inner or written.isupper() or _may_be_english(text, start, end)


def _may_be_english(text: str, start: int, end: int) -> bool:
    codes = _languages(text, start, end)
    return not codes or "en" in codes


def _is_part(text: str, start: int, end: int, name: _Name, *, owns: bool) -> bool:
    """Whether a capitalised neighbour makes the match a part of a longer name.

    Args:
        owns: whether it may stand before what it owns: a genitive, whose noun German writes
            large.
    """
    if not (text[start].isupper() or text[start].isdigit()):
        return False
    goes_on = not owns and _goes_on(text, start, end, name)
    return goes_on or _is_linked(text, start) or _follows_name(text, start, end, name)


def _goes_on(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether a name goes on behind a match."""
    after = _word_after(text, end, name)
    if not after or after == "I" or (fold(after) in ASKED and not name.short):
        return False
    if after[0].isupper() and len(name.distinctive) > 1:
        # In German any noun is large; the common words are of an English name.
        return is_common(fold(after)) or _languages(text, start, end) != ["de"]
    return after[0].isupper() or after[0].isdigit()


def _follows_name(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether a name stands before a match that is of it."""
    near = max(0, start - _NEAR)
    elided = _ELIDED.search(text, near, start)
    if elided:  # "Beverly D'Angelo"
        return elided[1][0].isupper() and not _OPENS.search(text, near, elided.start())
    before = _WORD_BEFORE.search(text, near, start)
    if not before or not before[2][0].isupper():
        return False
    word = before[2].rstrip(".").lower()
    stopped = before[2].endswith(".") and len(word) > 1
    opens = before.start(2) == 0 or before[1] is not None
    if " " in name.text and fold(name.text.split()[0]) not in PARTICLES:
        initial = len(word) == 1 and word not in BEFORE
        longer = (word in LONGER or word in IN_NAMES) and (not stopped or word in ABBREVIATED)
        # "La Panadería Lenta cierra", "Le Théâtre des Trois-Clochers".
        return initial or (longer and not (opens and _is_foreign_word(word, text, start, end)))
    # "France's Darrieux", "… in Rome. Darrieux …"
    if word.endswith("'s") or stopped or word in BEFORE or fold(word) in ASKED:
        return False
    # "Actress De Niro was": a sentence's first word before a full name is none of it.
    if opens and " " in name.text:
        return False
    if fold(word) in FIRST_NAMES:
        return True
    noun = _languages(text, start, end) == ["de"] and _GERMAN_NOUN.search(text, near, start)
    return not (noun or (opens and _is_foreign_word(word, text, start, end)))


def _is_foreign_word(word: str, text: str, start: int, end: int) -> bool:
    """Whether a word is a common one of the line around a match, which is not English."""
    of_line = _languages(text, start, end)
    return "en" not in of_line and languages.is_common(fold(word), of_line)


def _languages(text: str, start: int, end: int) -> list[str]:
    """Of the line around a match; none where it is not known."""
    return languages.of_line(fold(_line_around(text, start, end)))


def _is_linked(text: str, start: int) -> bool:
    """Whether a match ends a longer name: "Kingdom of Egypt", "Albert II, Prince of Monaco"."""
    near = max(0, start - _NEAR)
    linked = _LINKED.search(text, near, start)
    if not linked:
        return False
    word, large = fold(linked[1]), linked[1][0].isupper()
    if word in TITLES_BEHIND:
        titled = _TITLED.search(text, near, linked.start())
        return bool(titled and (large or titled[2]) and fold(titled[1]) not in BEFORE)
    return large and any(word in words for words in (WHOLES, FIRST_NAMES, NUMBERS))


def _word_after(text: str, end: int, name: _Name) -> str:
    """The word behind a match, its legal form and, for a name of several words, its plan."""
    end = with_legal_form(text, end)
    after = _WORD_AFTER.match(text, end)
    if after and len(name.distinctive) > 1 and fold(after[1]) in PLANS:
        after = _WORD_AFTER.match(text, after.end())
    return after[1] if after else ""


def _has_no_case(text: str, start: int, end: int) -> bool:
    """Whether the line around a match is written without case: all capitals, or none inside."""
    near = _line_around(text, start, end)
    rest = _OPENING.sub("", near)
    return near.isupper() or rest == rest.lower()


def _is_part_without_case(text: str, start: int, end: int, name: _Name, *, judged: bool) -> bool:
    """Whether the neighbours may make the match a part of a longer name, or it is a mere word.

    Nothing is seen by capitals here, so that beside a single word all others are suspect.
    """
    distinctive = name.distinctive
    near = max(0, start - _NEAR)
    linked = _LINKED.search(text[near:start].lower())
    if linked and fold(linked[1]) in WHOLES:
        return True
    before = _WORD_BEFORE.search(text, near, start)
    first = fold(before[2]).rstrip(".") if before else ""
    if before and before[2].endswith(".") and first not in ABBREVIATED:
        first = ""
    last = fold(_word_after(text, end, name))
    if len(distinctive) > 1:
        longer = not judged and is_kind(last) and last not in ASKED
        if judged and _is_foreign_word(first, text, start, end):  # "la cordillera sur"
            return longer
        return longer or first in LONGER or first in IN_NAMES
    if not distinctive or len(_FREE.sub("", distinctive[0])) < SHORTEST or is_kind(distinctive[0]):
        return True
    if judged and not name.is_common:
        if first not in FIRST_NAMES and _is_foreign_word(first, text, start, end):
            return False  # "è da orsenigo"
        return any(first in words for words in (FIRST_NAMES, LONGER, IN_NAMES, PARTICLES))
    beside = _beside(english=_may_be_english(text, start, end))
    apart = not first or first.endswith("'s") or first in beside
    if name.is_common and first in DETERMINERS:
        apart = False  # "some guinea"
    mere = not name.is_common and is_common(last) and not is_kind(last)  # "nodejs training"
    return not (apart and (not last or last in beside or mere))


@cache
def _beside(*, english: bool) -> frozenset[str]:
    """Words that may stand beside a name without capitals and are none of it."""
    words = BESIDE | ASKED | languages.common_words().keys()
    return words - (LONGER | IN_NAMES | PARTICLES) | BESIDE if english else words


def mask(text: str, spans: Iterable[tuple[int, int]], by: str) -> str:
    """`text` with each span replaced by `by`."""
    parts, place = [], 0
    for start, end in sorted(spans):
        parts += [text[place:start], by]
        place = end
    return "".join((*parts, text[place:]))


def proper_names(text: str) -> tuple[str, ...]:
    """The capitalised names of a text, its first word apart unless it is one: a guess.

    Serves texts that do not name a known subject ("The wife of the mayor of Berlin is").
    """
    runs: list[list[re.Match[str]]] = []
    for word in re.finditer(r"\w[\w’'-]*", text):
        if not word[0][0].isupper() or (not word.start() and word[0].lower() in BEFORE):
            continue
        if runs and text[runs[-1][-1].end() : word.start()] == " ":
            runs[-1].append(word)
        else:
            runs.append([word])
    return tuple(dict.fromkeys(" ".join(word[0] for word in run) for run in runs))
