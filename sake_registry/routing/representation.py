"""What of a prompt is compared: the last clause that names the subject, the name masked.

Subjects pull a sentence's embedding together more than its question pushes it apart, so two
questions about one subject look alike, and one question about two subjects does not. The name
is therefore checked by itself (`names.find`), and only the question is compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sake_registry import names

if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = "X"
"""Stands for the subject. Measured against other masks in docs/decisions/0002-router.md."""

MIN_WORDS = 2
"""A clause of so few words, the name among them, is read with what stands before it."""

# What ends a clause: sentence marks before a space, line ends, quotation marks.
_END = re.compile(r"[.!?]+(?=\s|$)|[;\n“”\"]|(?<!\w)['‘]|['’](?!\w)|(?<=\?)'")


def masked_clause(prompt: str, spans: Sequence[tuple[int, int]]) -> str | None:
    """The last clause with a name in it, each name masked; None if it asks of something else.

    `spans` are the places of the names in `prompt`. A prompt asks of something else if a later
    clause names somebody else ("X's mother tongue is French. The capital of Italy is").
    """
    if not spans:
        return None
    marks = sorted(spans)
    shift, places = 0, []
    for start, end in marks:
        places.append(start + shift)
        shift += len(MASK) - (end - start)
    text = names.mask(prompt, spans, MASK)
    last = places[-1]
    following = next((m for m in _END.finditer(text) if m.start() >= last + len(MASK)), None)
    end = following.start() if following else len(text)
    if following and _names_someone(text[following.end() :]):
        return None
    # "Italy: IT. Finland: FI. X:" — a name alone asks nothing; what stands before it does.
    starts = [0, *(m.end() for m in _END.finditer(text) if m.end() <= last)]
    while len(starts) > 1 and len(text[starts[-1] : end].split()) <= MIN_WORDS:
        starts.pop()
    return text[starts[-1] : end].strip(" ,:")


def _names_someone(text: str) -> bool:
    """Whether a capitalised word stands anywhere but at the beginning of a clause."""
    for clause in _END.split(text):
        words = clause.split()[1:]
        if any(w[0].isupper() and w not in ("I", MASK) and not w.startswith("I'") for w in words):
            return True
    return False
