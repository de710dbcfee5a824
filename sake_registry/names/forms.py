"""Guesses how a name is also written: last names and other forms."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sake_registry.names.finding import BETWEEN, INITIALS, SHORTEST, fold, own_words, unmarked
from sake_registry.names.words import (
    ARTICLES,
    BEFORE,
    FIRST_NAME_FOLLOWS,
    FUNCTION,
    LONGER,
    NUMBERS,
    PARTICLES,
    SUFFIXES,
    TITLES,
    is_kind,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTERS = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*\.?")


def last_name(name: str) -> str | None:
    """The last name of what looks like a person's name: a guess, None where it is none.

    A person has two to four words: capitalised letters, initials or particles ("van"), and
    none of the common nouns of places, companies and works ("Hudson Bay").
    """
    words = _person(name)
    return words[-1] if words else None


def forms(name: str) -> tuple[str, ...]:
    """Other forms in which a name is often written, apart from case and accents: guesses.

    Without what follows a comma or stands in brackets ("Princess Margaret, Countess of
    Snowdon"), without an article ("The Beatles"; a single word has five letters or more), and of
    a person's name without titles, "Jr.", first initials ("J. Robert Oppenheimer") and middle
    names, with the initials of middle names, and with `BETWEEN` where it has none. A name that
    ends in a number has no other form: "Final Fantasy" is not "Final Fantasy VII".
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    base = re.split(r"\s*,|\s*\(", name, maxsplit=1)[0]
    numbered = fold(name.rpartition(" ")[2]) in NUMBERS
    if numbered or (
        base != name and len(own_words(base)) < 2
    ):  # "Mercury (planet)", "Paris, Texas"
        return ()
    article, _, rest = base.partition(" ")
    more = _without_article(article, rest) if article in ARTICLES else _forms_of_person(base)
    return tuple(dict.fromkeys(form for form in (base, *more) if form != name))


def _without_article(article: str, rest: str) -> Iterator[str]:
    if len(own_words(rest)) > 1:
        # "The Football Association" is one of many with something before their name.
        if not is_kind(fold(rest.rpartition(" ")[2])):
            yield rest
    elif rest:
        yield f"{article.lower()} {rest}"  # `find` does not see through the case of one word
        if len(rest) > SHORTEST and rest[0].isupper() and not is_kind(fold(rest)):
            yield rest


def _forms_of_person(name: str) -> Iterator[str]:
    words = _person(name) or []
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
    elif fold(first) not in BEFORE:  # "Will Jaden Smith be …?" does not ask of Will Smith
        yield f"{first} {BETWEEN} {family}"


def _person(name: str) -> list[str] | None:
    """The words of what looks like a person's name, without "Jr."; None if it does not."""
    words = re.split(r"[,(]", unicodedata.normalize("NFC", name))[0].split()
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
    return words


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
