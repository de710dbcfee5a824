"""In which language a text is, and in what form texts are compared: no model.

A language is known by the scripts of its letters, and in Latin letters by its common words: good
enough to see that a text is in another language than was asked for, and not which it is in.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sake_registry.data import sections
from sake_registry.errors import InputError
from sake_registry.names import SUBJECT, fold
from sake_registry.names.languages import common_words, of_line
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_LATIN = "LATIN"
_MOST_OF = 0.9


class Language(NamedTuple):
    """A language that texts can be asked for in; `scripts` as Unicode names them."""

    code: str
    name: str
    scripts: tuple[str, ...]


@cache
def languages() -> dict[str, Language]:
    """The languages, by code."""
    return {
        code: Language(code, name, tuple(title.upper().split()))
        for title, lines in sections("generation/languages.txt").items()
        for code, name in (line.split(maxsplit=1) for line in lines)
    }


def language(code: str) -> Language:
    """A language by its code.

    Raises:
        InputError: there is none.
    """
    known = languages()
    if code not in known:
        raise InputError(f"'{code}' is no language of texts", hint=did_you_mean(code, known))
    return known[code]


def is_in(text: str, wanted: Language) -> bool:
    """Whether a text may be in a language; where its words tell nothing, it may."""
    scripts = [_script(letter) for letter in text.replace(SUBJECT, " ") if letter.isalpha()]
    other = [script for script in scripts if script != _LATIN]
    if _LATIN not in wanted.scripts:
        fit = sum(script in wanted.scripts for script in scripts)
        has_own = wanted.scripts[0] in other or not other
        return bool(other) and has_own and fit >= _MOST_OF * len(other) and 2 * fit >= len(scripts)
    if len(other) > (1 - _MOST_OF) * len(scripts):
        return False
    said = _languages_of([text])
    listed = {code for codes in common_words().values() for code in codes}
    return not said or wanted.code in said or wanted.code not in listed


def language_of(texts: Iterable[str]) -> Language | None:
    """The one language that most of some texts may be in, as far as that is to be seen."""
    texts = list(texts)
    fit = {code: sum(is_in(text, one) for text in texts) for code, one in languages().items()}
    said = _languages_of(texts)
    best = [code for code, n in fit.items() if n == max(fit.values()) and n]
    best = [code for code in best if code in said] or best
    return languages()[best[0]] if len(best) == 1 else None


def _languages_of(texts: Collection[str]) -> list[str]:
    return of_line(fold(" ".join(text.replace(SUBJECT, " ") for text in texts)))


@cache
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def wording(text: str) -> str:
    """A text as it is compared with others: its words alone."""
    return " ".join(re.findall(r"[^\W_]+", fold(text.replace(SUBJECT, " subject0 "))))


def wraps(text: str, other: str) -> bool:
    """Whether one of two texts is the other with something around it, or both are the same."""
    a, b = wording(text), wording(other)
    return f" {a} " in f" {b} " or f" {b} " in f" {a} "


def shape(text: str) -> tuple[str, ...]:
    """How a text begins and ends, numbers apart."""
    words = [word for word in wording(text).split() if not word.isdigit()]
    return (*words[:2], *words[-1:])
