"""What says in a company's name of which legal kind it is: it may be there or not."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from sake_registry.names.letters import fold, unmarked
from sake_registry.names.scripts import is_unspaced
from sake_registry.names.words import LEGAL_FORMS

_SPACE = re.compile(r"(?<=\w)[ \t,]")
_SURELY = frozenset("inc corp ltd llc gmbh plc sarl llp".split())


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Legal forms as they stand behind a name: after a space, and directly."""
    stops = r"(?:[./]|\.\s)?"
    words = "|".join(stops.join(f) if len(f) <= 5 else f for f in sorted(LEGAL_FORMS))
    glued = sorted(filter(is_unspaced, LEGAL_FORMS), key=len, reverse=True)
    unit = rf"(?=[ \t,&])[ \t]*+(?:[,&][ \t]*+)?(?:{words}|sp\.? z ?o\.? ?o|de c\.?v)\b"
    # A full stop is of it where no sentence ends there.
    stop = r"(?:\.(?=[,;:?!)]|[ \t]+(?-i:[^\WA-Z])))?"
    spaced = rf"{unit}(?:\.?{unit})*{stop}"
    return re.compile(spaced, re.IGNORECASE), re.compile(rf"(?:{'|'.join(glued)})+")


def with_legal_form(text: str, end: int) -> int:
    """Where a name in plain text ends with its legal form, if it has one: "Contoso, Inc."."""
    spaced, directly = _patterns()
    if glued := directly.match(text, end):
        return glued.end()
    match = spaced.match(text, end)
    first = match[0].lstrip(" \t,&") if match else ""
    # "as" and "co" small are other words.
    is_legal = first[:1].isupper() or fold(first.partition(" ")[0]).strip(".") in _SURELY
    return match.end() if match and is_legal else end


@lru_cache(maxsize=1024)
def without_legal_form(name: str) -> str:
    """A company's name without its legal form: "Contoso, Inc.", "株式会社日立製作所"."""
    for place in _SPACE.finditer(name):
        if with_legal_form(unmarked(name), place.start()) >= len(name.rstrip(".")):
            return name[: place.start()]
    if name.isascii():
        return name
    _, directly = _patterns()
    before = directly.match(name)
    bare = name[before.end() :].strip() if before else name
    behind = next((m for m in directly.finditer(bare) if m.end() == len(bare)), None)
    bare = bare[: behind.start()].strip() if behind else bare
    return bare if len(bare) > 1 else name
