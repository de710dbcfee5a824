"""Guesses how a name is also written: last names and other forms."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from sake_registry.data import sections
from sake_registry.names.companies import without_legal_form
from sake_registry.names.finding import (
    BETWEEN,
    COMMA,
    INITIALS,
    SHORT,
    SHORTEST,
    distinctive_words,
)
from sake_registry.names.letters import composed, fold, unmarked
from sake_registry.names.words import (
    ARTICLES,
    BEFORE,
    EVENTS,
    FIRST_NAME_FOLLOWS,
    FIRST_NAMES,
    FUNCTION,
    IN_NAMES,
    LONGER,
    NUMBERS,
    OTHER_FIRST_NAMES,
    PARTICLES,
    PLANS,
    SUFFIXES,
    TITLES,
    is_coined,
    is_common,
    is_kind,
    is_noun,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_JOINTS = re.compile(r"(?<=[^\W\d_])\.(?=[^\W\d_]{2})|[ ・·-]")
_PREFIXED = re.compile(r"[a-z]-[a-z]{3,}")  # "e-mail"
_JOINING = frozenset("& + and of for the".split())
_COINED = 4  # letters of a word that may be coined
_JOINED = 5  # letters of a name that is written as one word or two
_QUOTED = re.compile(r"(?<=\s)[\"“‘']([^\W\d_][^\"“”‘’']+)[\"”’']\s+")
_CALLED = re.compile(r"[«„“\"「『]\s*([^«»„“”\"「」『』]{2,}[^«»„“”\"「」『』\s])\s*[»“”\"」』]")
_GIVEN = re.compile("[A-Z][a-z]+-[a-z]+")  # "Hye-kyo"
_CAPITALISED = re.compile(r"[A-Z][a-z]+(?:'s)?")
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_YEAR_BEFORE = re.compile(r"(?P<year>[12]\d{3}) (?P<event>\D+)")
_YEAR_BEHIND = re.compile(r"(?P<event>\D+?)(?:,? (?:of |in )?|, ?| \()(?P<year>[12]\d{3})\)?")
_LETTERS = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*\.?")


def last_name(name: str) -> str | None:
    """The last name of what looks like a person's name: a guess, None where it is none.

    A person has two to four words: capitalised letters, initials or particles ("van"), and
    none of the common nouns of places, companies and works ("Hudson Bay").
    """
    words = _person(_without_nickname(name))
    return words[-1] if words else None


def forms(name: str) -> tuple[str, ...]:
    """Other forms in which a name is often written, apart from case and accents: guesses.

    Without what follows a comma or stands in brackets ("Princess Margaret, Countess of
    Snowdon"), without an article ("The Beatles"; a single word has five letters or more). Of a
    person's name without titles, "Jr.", first initials ("J. Robert Oppenheimer") and middle
    names, with the initials of middle names, with `BETWEEN` where it has none, with the short
    form of the first name or what that is short for ("Bob Dylan"), by its nickname in quotes,
    last name first, and with the first name's hyphen left out. Of another name its acronym
    ("World Health Organization"), as one word or two ("YouTube"), and the other way round
    ("Murder of Caesar", "Caesar's murder"); of an event of a year with the year before and behind
    it ("2021 Canadian federal election"). A name that ends in a number has no other form:
    "Final Fantasy" is not "Final Fantasy VII".
    """
    name = " ".join(composed(name).split())
    others = dict.fromkeys((*_by_nickname(name), *_forms(_without_nickname(name))))
    bare = without_legal_form(name)
    if bare != name:
        others |= dict.fromkeys((bare, *forms(bare)))
    others.pop(name, None)
    return tuple(others)


def spellings(name: str) -> Iterator[str]:
    """A name as it is also spelled: "Node JS", "Acme-Cloud", "email", "GPT4", "Yahoo", "A and B".

    A person's words are not joined, nor are single letters.
    """
    if BETWEEN in name or COMMA in name or _person(name):
        return
    bare = name.rstrip("!?")
    others = [bare, bare.replace("'s", "s").replace("’s", "s"), bare.replace(" & ", " and ")]
    words = _JOINTS.split(bare)
    plain = all(word.isalnum() and (len(word) > 1 or word.isdigit()) for word in words)
    few = 2 <= len(words) <= 3 and len("".join(words)) >= SHORTEST
    if few and (plain or _PREFIXED.fullmatch(bare)):
        others += [by.join(words) for by in (" ", "", "-")]
    yield from dict.fromkeys(other for other in others if other not in ("", name))


def judged_forms(name: str) -> Iterator[str]:
    """Forms of which only who judges the whole question may think that they are meant.

    A person's name with an initial ("B. Okello", "Okello, B."); "Calvessa port" for "Port of
    Calvessa", and the other way round; a name of three distinctive words and more without a common
    one that is not the first ("Ludgrove Trust" for "Ludgrove Data Trust"); what stands in quotation
    marks behind its kind ("Северянка" for "комбинат «Северянка»"); a coined name without what it
    is the name of, with `SHORT` ("Wexcombe" for "Wexcombe Depot", "Borowianka" for "Sklep
    Borowianka").
    """
    name = " ".join(composed(name).split())
    called = _CALLED.search(name)
    if called and called[0] != name and not _person(_without_nickname(name)):
        yield called[1]
    if re.search(r"[,(]", name):
        return
    person = [word for word in _person(name) or () if fold(word).rstrip(".") not in TITLES]
    if person:
        if len(person) > 1 and not INITIALS.fullmatch(unmarked(person[0])):
            initial, family = f"{person[0][0]}.", person[-1]
            yield from (f"{initial} {family}", f"{family}{COMMA} {initial}")
        if fold(person[0]) not in FIRST_NAMES:  # it may be nobody's name: "Larkspur Clinic"
            yield from _headed(name)
        return
    yield from _turned_kind(name)
    yield from _shortened(name)
    yield from _headed(name)


def _turned_kind(name: str) -> Iterator[str]:
    kinds = _turned_kinds()
    head, of, whose = name.partition(" of ")
    if of:
        if fold(head.split()[-1]) in kinds and _is_bare(whose):
            yield f"{whose} {head}"
        return
    first, _, rest = name.partition(" ")
    if fold(first) in kinds and _is_bare(rest):
        yield f"{rest} {first}"
    whose, _, last = name.rpartition(" ")
    if fold(last) in kinds and _is_bare(whose):
        yield f"{last} of {whose}"


@cache
def _turned_kinds() -> frozenset[str]:
    return frozenset(" ".join(sections("name_variants.txt")["turned kinds"]).split())


def _shortened(name: str) -> Iterator[str]:
    """Without one common word, where two distinctive ones are left, one of them uncommon."""
    words = name.split()
    if len(distinctive_words(name)) < 3 or len(words) > 8 or fold(words[-1]) in NUMBERS:
        return
    for place in range(1, len(words)):
        word = fold(words[place])
        rest = [*words[:place], *words[place + 1 :]]
        beside = {fold(rest[place - 1]), fold(rest[place]) if place < len(rest) else ""}
        left = distinctive_words(" ".join(rest))
        if word in FUNCTION or not word.isalpha() or not (is_kind(word) or is_common(word)):
            continue
        if beside & (FUNCTION | {"&", "+"}) or all(map(is_common, left)) or len(left) < 2:
            continue
        yield " ".join(rest)


def _headed(name: str) -> Iterator[str]:
    """Without the nouns at its end, or the one at its beginning, where what is left has a coined
    word; what tells one of several apart, as a plan or a number, stays."""
    words = without_legal_form(name).split()
    first = fold(words[0])
    if (is_kind(first) or (is_noun(first) and not is_common(first))) and not (
        first in LONGER or first in IN_NAMES or first in PARTICLES
    ):
        yield from _short(words[1:])
    while len(words) > 1:
        written = words.pop()
        last = fold(written)
        tells_apart = last in PLANS | NUMBERS or (written.isupper() and written.isalpha())
        if last not in _JOINING and (tells_apart or not is_noun(last)):
            return
        yield from _short(words)


def _short(words: Sequence[str]) -> Iterator[str]:
    """Words as the short form of a name, if they are one."""
    if not words or fold(words[-1]) in FUNCTION | _JOINING or fold(words[0]) in FUNCTION | _JOINING:
        return
    if any(len(word) >= _COINED and word.isalpha() and is_coined(fold(word)) for word in words):
        yield " ".join(words) + SHORT


def _forms(name: str) -> Iterator[str]:
    dated = list(_dated(name))
    if dated:  # and never without its year
        yield from dated
        return
    base = re.split(r"\s*,|\s*\(", name, maxsplit=1)[0]
    numbered = fold(name.rpartition(" ")[2]) in NUMBERS
    if numbered or (base != name and len(distinctive_words(base)) < 2):  # "Mercury (planet)"
        return
    yield base
    article, _, rest = base.partition(" ")
    if article in ARTICLES:
        yield from _without_article(article, rest)
        return
    yield from _forms_of_person(base)
    yield from _unhyphenated(base)
    yield from _acronym(base)
    yield from _apart_or_joined(base)
    yield from _turned(base)


def _dated(name: str) -> Iterator[str]:
    """An event of a year with the year before and behind it."""
    match = _YEAR_BEHIND.fullmatch(name) or _YEAR_BEFORE.fullmatch(name)
    if match and len(distinctive_words(match["event"])) > 1:
        event, year = match["event"], match["year"]
        yield f"{year} {event}"
        yield from (f"{event}{by} {year}" for by in (",", "", " of"))


def _without_article(article: str, rest: str) -> Iterator[str]:
    if len(distinctive_words(rest)) > 1:
        # "The Football Association" is one of many with something before their name.
        if not is_kind(fold(rest.rpartition(" ")[2])):
            yield rest
    elif rest:
        yield f"{article.lower()} {rest}"  # `find` does not see through the case of one word
        if len(rest) > SHORTEST and rest[0].isupper() and not is_kind(fold(rest)):
            yield rest


def _forms_of_person(name: str) -> Iterator[str]:
    words = _person(name) or ()
    called = (
        number
        for number, word in enumerate(words)
        if fold(word).rstrip(".") not in TITLES and not INITIALS.fullmatch(unmarked(word))
    )
    words = words[next(called, len(words)) :]
    if len(words) < 2:
        return
    yield " ".join(words)
    # Particles are of the last name ("van Gogh").
    last = len(words) - 1
    while last > 1 and fold(words[last - 1]) in PARTICLES:
        last -= 1
    first, middle, family = words[0], words[1:last], " ".join(words[last:])
    if middle:
        yield f"{first} {family}"
        yield f"{first} {' '.join(f'{word[0].upper()}.' for word in middle)} {family}"
    # "Will Jaden Smith be …?" does not ask of Will Smith
    elif fold(first).rstrip(".") not in BEFORE | SUFFIXES:
        yield f"{first} {BETWEEN} {family}"
    for other in OTHER_FIRST_NAMES.get(fold(first), ()):
        if other not in BEFORE:
            yield f"{other.capitalize()} {family}"
            if not middle:
                yield f"{other.capitalize()} {BETWEEN} {family}"
    if not _GIVEN.fullmatch(unmarked(family)):
        yield f"{family}{COMMA} {' '.join(words[:last])}"


def _unhyphenated(name: str) -> Iterator[str]:
    """A person's name with its given name ("Jean-Paul", "Hye-kyo") as one word and as two."""
    words = _person(name) or ()
    if _GIVEN.fullmatch(unmarked(name.partition(" ")[2])):  # also in "Song Hye-kyo"
        words = tuple(name.split())
    for place, word in enumerate(map(unmarked, words)):
        if "-" in word and (place == 0 or _GIVEN.fullmatch(word)):
            for by in ("", " "):
                yield " ".join((*words[:place], word.replace("-", by), *words[place + 1 :]))


def _without_nickname(name: str) -> str:
    """A person's name without a nickname in quotes inside it."""
    without = _QUOTED.sub("", name)
    return without if _person(without) else name


def _by_nickname(name: str) -> Iterator[str]:
    quoted, words = _QUOTED.search(name), _person(_without_nickname(name))
    if quoted and words:
        yield _without_nickname(name)
        nickname = re.sub(r"^(?:the|an?) ", "", quoted[1], flags=re.IGNORECASE)
        if nickname[:1].isupper() and all(map(_is_of_person, nickname.split())):
            yield f"{nickname} {words[-1]}"


def _capitalised(name: str) -> list[str] | None:
    """The capitalised words of what is surely no person's name; None if it may be one.

    A common noun, a word such as "of", or one that begins names of places is in it, and neither
    a title nor an event.
    """
    words = unmarked(name).split()
    folded = [fold(word) for word in words]
    capitalised = [word for word in words if _CAPITALISED.fullmatch(word)]
    rest = set(words) - set(capitalised)
    other = not (TITLES | FIRST_NAME_FOLLOWS | EVENTS).isdisjoint(folded)
    if not capitalised or not rest <= FUNCTION or other or _person(name):
        return None
    sure = folded[0] in LONGER or any(word in FUNCTION or is_kind(word) for word in folded)
    return capitalised if sure else None


def _acronym(name: str) -> Iterator[str]:
    """Of an acronym how it is written with full stops, of other names their acronym."""
    if re.fullmatch(r"[A-Z]{3,6}", name):
        yield "".join(f"{letter}." for letter in name)
    words = _capitalised(name) or []
    if 3 <= len(words) <= 6:
        yield "".join(word[0] for word in words)


def _apart_or_joined(name: str) -> Iterator[str]:
    """A word with an inner capital as several words, and two words as one."""
    parts = _INNER_CAPITAL.split(name)
    apart = all(len(part) > 1 and fold(part) not in PARTICLES for part in parts)
    if apart and len(parts) > 1 and name.isalpha() and len(name) >= _JOINED:
        yield " ".join(parts)
    words = _capitalised(name) or []
    joined = "".join(words)
    if len(words) == 2 and " ".join(words) == name and joined.isalpha() and len(joined) >= _JOINED:
        yield joined


def _turned(name: str) -> Iterator[str]:
    """What befell somebody, as "Murder of Caesar", "Caesar's murder" and "Caesar murder"."""
    noun, of, whose = name.partition(" of ")
    if of and noun.isalpha() and (noun.islower() or fold(noun) in EVENTS) and _is_bare(whose):
        yield f"{whose} {noun.lower()}"
        yield f"{whose}'s {noun.lower()}"
    whose, _, noun = name.rpartition(" ")
    whose = re.sub("['\u2019]s$", "", whose)
    if noun in EVENTS and _is_bare(whose):
        yield from (f"{noun} of {whose}", f"{whose} {noun}", f"{whose}'s {noun}")


def _is_bare(name: str) -> bool:
    """Whether all words of a name are capitalised or particles, without a number."""
    words = name.split()
    return (
        name[:1].isupper()
        and all(word[0].isupper() or fold(word) in PARTICLES for word in words)
        and not any(map(str.isdigit, name))
    )


@lru_cache(maxsize=1024)
def _person(name: str) -> tuple[str, ...] | None:
    """The words of what looks like a person's name, without "Jr."; None if it does not."""
    words = re.split(r"[,(]", composed(name))[0].split()
    while words and fold(words[-1]).rstrip(".") in SUFFIXES:
        words.pop()
    folded = [fold(word).rstrip(".") for word in words]
    if not 2 <= len(words) <= 4 or folded[0] in LONGER or folded[0] in FIRST_NAME_FOLLOWS:
        return None
    if not all(map(_is_of_person, words)) or not words[0][0].isupper():
        return None
    last = words[-1]
    short = sum(map(str.isalpha, last)) < SHORTEST
    if short or not last[0].isupper() or last.endswith(".") or any(map(is_kind, folded)):
        return None
    # "Acme Cloud" is nobody; "Kate Bush", "George W. Bush" and "Sir Cloud" are.
    evident = (
        folded[0] in FIRST_NAMES
        or folded[0] in TITLES
        or any(len(word) == 1 or word in PARTICLES for word in folded)
    )
    if not evident and is_common(folded[-1]):
        return None
    return tuple(words)


def _is_of_person(word: str) -> bool:
    """Whether a word may be one of a person's name."""
    plain = unmarked(word)
    if re.fullmatch(r"(?:[^\W\d_]\.-?)+|[^\W\d_]", plain):
        return plain[0].isupper()
    if fold(word) in PARTICLES:
        return True
    of_sentences = fold(word) in FUNCTION - {"will", "may"}
    capitalised = plain[0].isupper() and not plain.isupper() and not of_sentences
    return capitalised and bool(_LETTERS.fullmatch(plain))
