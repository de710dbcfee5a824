"""Whether what an edit is compiled from is also what it is tested with.

Guarantees of `meets`: it is symmetric; it does not see case, punctuation and white space; and
text before a prompt (a lead-in) does not make it another prompt. In doubt two prompts meet: a
prompt lost costs little, a test that was trained on is none.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from sake_registry import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sake_bench.datasets.records import Record, Test
    from sake_registry.edits.schema import Edit

_FEWEST = 3
"""Words: what fewer words have in common at the end of two prompts is chance."""

# What ends with a preposition runs on into what follows: "The mayor of the city of" is no lead-in.
_RUNS_ON = frozenset("of in by from to at for with on".split())
_ARTICLES = frozenset(("a", "an", "the"))

_MARK = "."
_MARKS = re.compile(r"[.!?:;…\n]")
# The end of a sentence, but not of what stands inside names: "F. Murray Abraham is".
_SENTENCE_END = re.compile(r"(?:(?<=[^\W\d_A-Z]{3})\.|[!?…])['\"”’)\]]*\s+|\n+")


@lru_cache(maxsize=65_536)
def _marked(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared, and a mark where a sentence may end.

    The possessive 's is a word of its own.
    """
    plain = unicodedata.normalize("NFKC", _MARKS.sub(f" {_MARK} ", text))
    plain = unicodedata.normalize("NFKC", plain.casefold())
    # What is punctuation (P), space (Z) or not seen (C, a zero-width space) parts words.
    kept = (c if c == _MARK or unicodedata.category(c)[0] not in "PZC" else " " for c in plain)
    return tuple("".join(kept).replace(_MARK, f" {_MARK} ").split())


@lru_cache(maxsize=65_536)
def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in _marked(text) if word != _MARK)


@lru_cache(maxsize=65_536)
def _last_sentence(text: str) -> str:
    return _SENTENCE_END.split(text.rstrip(" .!?:;…\n"))[-1]


def meets(prompt: str, test: str) -> bool:
    """Whether two filled prompts are one, or differ only in lead-in, case, punctuation, space.

    They differ only in their lead-in if one ends with the other, or if their last sentences are
    the same. Two things are no lead-in: what a preposition joins to the prompt ("The mayor of
    the birthplace of Ada is", "The birthplace of Ada is"), and, before a prompt of fewer than
    three words, what does not end a sentence.
    """
    a, b = _words(prompt), _words(test)
    if not a or not b:
        return prompt.strip() == test.strip()
    if a == b:
        return True
    long, short = (prompt, b) if len(a) > len(b) else (test, a)
    if _words(long)[-len(short) :] == short:
        before = _before(long, len(short))
        return before == _MARK or (len(short) >= _FEWEST and before not in _RUNS_ON)
    last = _last_sentence(prompt)
    same = _words(last) == _words(_last_sentence(test))
    # Without a name it says nothing of its own: "Where is Rome? It is in the country of".
    return same and len(_words(last)) >= _FEWEST and bool(names.proper_names(last))


def _before(text: str, count: int) -> str:
    """The word, or the mark, before the last `count` words of a text; articles do not count."""
    words = list(_marked(text))
    while count:
        count -= words.pop() != _MARK
    while words and words[-1] in _ARTICLES:
        words.pop()
    return words[-1] if words else ""


def is_tested(text: str, record: Record) -> bool:
    """Whether a filled prompt of a record meets one of its tests, its own prompt (`acc`) apart.

    The prompt has to name the subject: what a test shares with it at its end is then no chance,
    be it ever so short. So this sees a little more than `meets`.
    """
    short = _words(text)
    for test in record.tests:
        prompt = test.query.prompt
        if test.axis == "acc":
            continue
        ends = bool(short) and _words(prompt)[-len(short) :] == short
        if meets(text, prompt) or (ends and _before(prompt, len(short)) not in _RUNS_ON):
            return True
    return False


def held_in(record: Record) -> tuple[Test, ...]:
    """The tests that the record's own prompt meets: no method can hold them out.

    An aliasing test may differ from the own prompt in punctuation alone ("J.R.R. Tolkien").
    """
    return tuple(
        test
        for test in record.tests
        if test.axis != "acc" and meets(record.filled, test.query.prompt)
    )


def compiled(edit: Edit) -> Iterator[str]:
    """Every text of an edit that a bundle is made from, filled in; each once, in order.

    The subject has its main name in all of them: its other names serve the router.
    """
    texts = (
        *(prompt.text for prompt in edit.prompts),
        *(implication.prompt for implication in edit.implications),
        *(unchanged.prompt for unchanged in edit.unchanged),
    )
    yield from dict.fromkeys(edit.fill(text) for text in texts)


def overlaps(edit: Edit, tests: Iterable[str]) -> list[tuple[str, str]]:
    """What an edit is compiled from and also tested with: pairs of compiled text and test.

    Args:
        tests: filled prompts. The edit's own prompt is compiled by every method, so leave a
            test of it out (the axis `acc`).
    """
    tests = tuple(dict.fromkeys(tests))
    return [(text, test) for text in compiled(edit) for test in tests if meets(text, test)]
