"""Names in running text: found as whole names, and masked. Imports nothing of the package.

"Guinea" stands in "The capital of Guinea is", but not in "Papua New Guinea",
"Guinea-Bissau" or "Guineas": a name inside a longer one names something else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUBJECT = "<subject>"
"""What stands for the subject's name in a prompt."""

# Capitalised words that may stand directly before a name without being a part of it:
# words that begin sentences, and titles.
_BEFORE = frozenset(
    """
    a about according after all although among an and are as at because been before both but by
    can could did do does during each either even every fact for from had has have he her here
    his how however i if imagine in into is it its like many may most near neither no not now of
    on one only or other our over say says she should since so some still such suppose than that
    the their then there these they this those though through thus to under unlike until was we
    were what when where whether which while who whom whose why will with within without would
    yes yet you your
    actor actress archbishop baron baroness bishop captain cardinal chancellor colonel count
    countess dame doctor dr duchess duke emperor empress general governor judge justice king lady
    lord madam major mayor minister miss mr mrs ms pope president prime prince princess prof
    professor queen rev reverend saint senator sergeant singer sir writer
    """.split()
)
_WORD_BEFORE = re.compile(r"(^|[.!?:;\n\"'“‘(]\s*)?([^\W\d_][\w.’'-]*)[ \t]+$")
_NEAR = 100  # characters: as far back as the word before a name is looked for
# A hyphen or an apostrophe inside a word joins ("Guinea-Bissau", "O'Brien"); "'s" does not.
_BEGIN = r"(?<!\w)(?<!\w[-'’])"
_END = r"(?!\w)(?![-][^\W_])(?!['’](?!s\b)\w)"
_BEGINS, _ENDS = re.compile(_BEGIN), re.compile(_END)
_OTHER_SPACE = re.compile(r"[^\S ]|  ")
_WORD_AFTER = re.compile(r"[ \t]+([A-Z0-9][\w-]*|[^\W\d_][\w-]*)")


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    body = r"\s+".join(re.escape(word) for word in name.split())
    return re.compile(rf"{_BEGIN}{body}{_END}")


def _spans(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where a name stands between the ends of words.

    A registry has thousands of names, each for a few texts: a pattern is compiled only for a
    text with other spaces between its words than single ones.
    """
    body = " ".join(name.split())
    if not body or _OTHER_SPACE.search(text):
        yield from (match.span() for match in _pattern(name).finditer(text))
        return
    start = text.find(body)
    while start >= 0:
        end = start + len(body)
        whole = _BEGINS.match(text, start) and _ENDS.match(text, end)
        if whole:
            yield start, end
        start = text.find(body, end if whole else start + 1)


def find(text: str, names: Iterable[str]) -> list[tuple[int, int]]:
    """Where one of the names stands as a whole name; longer names win; in order."""
    named = {name for name in names if name in text or _scattered(text, name)}
    found: list[tuple[int, int]] = []
    for name in sorted(named, key=lambda n: (-len(n), n)) if named else ():
        longer = list(found)
        for start, end in _spans(text, name):
            if any(start < e and s < end for s, e in longer) or _is_part(text, start, end, name):
                continue
            found.append((start, end))
    return sorted(found)


def _scattered(text: str, name: str) -> bool:
    """Whether every word of a name is somewhere in a text, as it is with other spaces between."""
    for word in name.split():  # noqa: SIM110 - `all` takes twice the time, and this is for each text
        if word not in text:
            return False
    return True


def _is_part(text: str, start: int, end: int, name: str) -> bool:
    """Whether a capitalised neighbour makes the match a part of a longer name."""
    if not (name[0].isupper() or name[0].isdigit()):
        return False
    before = _WORD_BEFORE.search(text, max(0, start - _NEAR), start)
    if before and before[2][0].isupper():
        word = before[2].rstrip(".").lower()
        # "France's Danielle Darrieux", "… in Rome. Danielle Darrieux …"
        apart = word.endswith(("'s", "’s")) or (before[2].endswith(".") and len(word) > 1)
        opens = before.start(2) == 0 or before[1] is not None
        # "Actress Danielle Darrieux was": a sentence's first word before a full name is none of it.
        if not (apart or word in _BEFORE or (opens and " " in name)):
            return True
    after = _WORD_AFTER.match(text, end)
    return bool(after and (after[1][0].isupper() or after[1][0].isdigit()) and after[1] != "I")


def mask(text: str, spans: Iterable[tuple[int, int]], by: str) -> str:
    """`text` with each span replaced by `by`."""
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + by + text[end:]
    return text


def proper_names(text: str) -> tuple[str, ...]:
    """The capitalised names of a text, its first word apart unless it is one: a guess.

    Serves texts that do not name a known subject ("The wife of the mayor of Berlin is").
    """
    runs: list[list[re.Match[str]]] = []
    for word in re.finditer(r"\w[\w’'-]*", text):
        if not word[0][0].isupper() or (not word.start() and word[0].lower() in _BEFORE):
            continue
        if runs and text[runs[-1][-1].end() : word.start()] == " ":
            runs[-1].append(word)
        else:
            runs.append([word])
    return tuple(dict.fromkeys(" ".join(word[0] for word in run) for run in runs))
