"""Words that tell where a name begins and ends; all of them folded."""

from __future__ import annotations

import re
from functools import cache

from sake_registry.data import questions, sections

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
ASKED = _words("asked")
PLANS = _words("plans")
WHOLES = _words("wholes")
TITLES_BEHIND = _words("titles behind a name")
LINKING = _words("linking")
LEGAL_FORMS = _words("legal forms")

OTHER_FIRST_NAMES: dict[str, tuple[str, ...]] = {}
"""From a first name to its short forms, and from a short form to the names it is of."""
for _long, *_short in map(str.split, _SECTIONS["short forms"]):
    for _one in _short:
        OTHER_FIRST_NAMES[_long] = (*OTHER_FIRST_NAMES.get(_long, ()), _one)
        OTHER_FIRST_NAMES[_one] = (*OTHER_FIRST_NAMES.get(_one, ()), _long)

FIRST_NAMES = _words("first names") | OTHER_FIRST_NAMES.keys()
_ENDINGS = (
    "",
    "s",
    "es",
    "d",
    "ed",
    "er",
    "ers",
    "ing",
    "y",
    "ly",
    "n",
    "en",
    "ness",
    "less",
    "ful",
)
# Not "Lindqvist".
_SUFFIX = re.compile(
    r"(?!\w+(?:kv|qv)ist)\w{3,}(?:tion|ment|ness|able|ible|less|ship|hood|ism|ist|ists|tions|ments)"
)


@cache
def _common() -> frozenset[str]:
    """Common English words: listed, or written small in common questions."""
    listed = {w for lines in sections("common_words.txt").values() for w in " ".join(lines).split()}
    asked = {
        w for lines in questions().values() for w in re.findall(r"\b[a-z]+\b", " ".join(lines))
    }
    return frozenset(listed | asked | FUNCTION | BESIDE | _KINDS)


def is_common(word: str) -> bool:
    """Whether a folded word is a common word of English, or one with an ending."""
    common = _common()
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    stems += [f"{stem}e" for stem in stems]
    stems += [stem[:-1] for stem in stems if stem[-1:] == stem[-2:-1]]
    return any(stem in common for stem in stems) or bool(_SUFFIX.fullmatch(word))


@cache
def _vocabulary() -> tuple[frozenset[str], frozenset[str]]:
    listed = sections("vocabulary.txt")
    return frozenset(listed["small"]), frozenset(listed["names"])


def is_noun(word: str) -> bool:
    """Whether a folded word may be a noun of some language, and no name: it is frequent, and
    written small."""
    return word in _vocabulary()[0] or is_common(word) or is_kind(word)


def is_coined(word: str) -> bool:
    """Whether a folded word is neither a frequent one of some language, nor a name that many
    have."""
    one = word.removesuffix("s")
    known = any(form in some for some in _vocabulary() for form in (word, one))
    return not (known or word in FIRST_NAMES or is_common(word) or is_kind(word))


def is_kind(word: str) -> bool:
    """Whether a folded word is a common noun that ends names, or its plural."""
    one = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
    return word in _KINDS or one in _KINDS
