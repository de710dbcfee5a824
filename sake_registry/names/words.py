"""Words that tell where a name begins and ends; all of them folded."""

from __future__ import annotations

from sake_registry.data import sections

_SECTIONS = sections("name_words.txt")


def _words(section: str) -> frozenset[str]:
    return frozenset(word for line in _SECTIONS[section] for word in line.split())


FUNCTION = _words("function")
TITLES = _words("titles")
BEFORE = FUNCTION | TITLES
ARTICLES = ("The", "A", "An")  # as they begin names
DETERMINERS = _words("determiners")
BESIDE = BEFORE | _words("verbs")
LONGER = _words("longer")
IN_NAMES = _words("in names")
PARTICLES = _words("particles")
NUMBERS = _words("numbers")
SUFFIXES = NUMBERS | _words("suffixes")
ABBREVIATED = _words("abbreviated")
FIRST_NAME_FOLLOWS = _words("first name follows")
EVENTS = _words("events")
_KINDS = _words("kinds")

OTHER_FIRST_NAMES: dict[str, tuple[str, ...]] = {}
"""From a first name to its short forms, and from a short form to the names it is of."""
for _long, *_short in map(str.split, _SECTIONS["short forms"]):
    for _one in _short:
        OTHER_FIRST_NAMES[_long] = (*OTHER_FIRST_NAMES.get(_long, ()), _one)
        OTHER_FIRST_NAMES[_one] = (*OTHER_FIRST_NAMES.get(_one, ()), _long)


def is_kind(word: str) -> bool:
    """Whether a folded word is a common noun that ends names, or its plural."""
    one = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
    return word in _KINDS or one in _KINDS
