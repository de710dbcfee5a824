"""Judging replies: pure functions from a reply and what counts as right to a mark.

A mark is True, False, or None where the protocol cannot tell.

- `first-token` (the paper's): the first generated token begins an accepted name. An object's
  tokens are those after the prompt's in the joint text (DESIGN, invariant 11). Where the new
  and the old object begin with the same token, that token tells nothing: a tie, not scored.
- `full-object`: the greedy text begins with the whole of an accepted name.

An answer to a question is a sentence: there the new object counts wherever it stands in it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.asking.answers import begins_with
from sake_registry.models.tokens import object_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sake_bench.datasets.records import Query
    from sake_bench.protocol import Success
    from sake_bench.replies import Reply

Mark = bool | None


@dataclass(frozen=True)
class Marks:
    """A reply's mark under each success protocol."""

    first: Mark
    full: Mark

    def under(self, success: Success) -> Mark:
        return self.first if success == "first-token" else self.full


def judge(
    tokenizer: Any, prompt: str, reply: Reply, accepted: Iterable[str], old: Iterable[str] = ()
) -> Marks:
    """Whether a reply gives one of the accepted names.

    Args:
        old: names of what was said before the edit; they decide what is a tie.
    """
    names = [name for name in accepted if name.strip()]
    right = {object_token(tokenizer, prompt, name) for name in names}
    wrong = {object_token(tokenizer, prompt, name) for name in old if name.strip()}
    first = bool(reply.tokens) and reply.tokens[0] in right
    return Marks(
        first=None if right & wrong else first,
        full=begins_with(reply.text, names),
    )


def met(conditions: Sequence[Query] | None, given: Sequence[Marks], success: Success) -> Mark:
    """Whether a test's conditions hold, given the unedited model's marks on them.

    RippleEdits asks that the model know what the test takes for granted; each of the queries
    must be answered right. None where the data name no conditions.
    """
    if conditions is None:
        return None
    return all(bool(marks.under(success)) for marks in given)


def comes_back(text: str, old: Iterable[str], subject: str = "") -> bool:
    """Whether one of the old object's names stands in a text as a whole word, and not inside the
    subject's name ("Chevrolet Greenbrier")."""
    return says(text, old, [subject])


def says(text: str, names: Iterable[str], others: Iterable[str] = ()) -> bool:
    """Whether one of these names stands in a text as a whole word, in its own case.

    Args:
        others: names of something else: what stands inside one of them does not count ("Ireland"
            in "Northern Ireland").
    """
    others = [other for other in others if other.strip()]
    for name in filter(str.strip, names):
        longer = [other for other in others if name in other and name != other]
        rest = re.sub("|".join(map(_whole, longer)), "", text) if longer else text
        if re.search(_whole(name), rest):
            return True
    return False


def _whole(name: str) -> str:
    return rf"(?<!\w){re.escape(name)}(?!\w)"


@dataclass(frozen=True)
class Mentions:
    """Whether an answer in sentences gives the new object, and whether it gives the old one."""

    new: bool
    old: bool

    @property
    def right(self) -> bool:
        return self.new and not self.old


def mentions(text: str, new: Iterable[str], old: Iterable[str], subject: str = "") -> Mentions:
    """What of a fact's two objects an answer in sentences names.

    Args:
        subject: its name is not a mention of an object ("Chevrolet" in "Chevrolet Greenbrier").
    """
    new, old = tuple(new), tuple(old)
    return Mentions(says(text, new, (*old, subject)), says(text, old, (*new, subject)))


# Chinese and Japanese put no space between words: each of their characters is one.
_UNSPACED = re.compile(r"([぀-ヿ㐀-䶿一-鿿])")
_AROUND = " .,;:!?…\"'`‘’“”«»()[]{}<>*_。、「」『』"
_POSSESSIVE = re.compile(r"['’]\w{1,3}$")
_ARTICLES = frozenset(("a", "an", "the"))


def plain_words(text: str) -> list[str]:
    """The words of a text as they are compared: without case, articles, and what is around them."""
    spaced = _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold())
    words = (_POSSESSIVE.sub("", word.strip(_AROUND)) for word in spaced.split())
    return [word for word in words if word and word not in _ARTICLES]


def contains(text: str, names: Iterable[str]) -> bool:
    """Whether one of these names stands in a text as whole words, whatever its case.

    Articles and the punctuation around words do not count; that within them does:
    "help@acme.example" is not in "help@acme.example.com".
    """
    within = plain_words(text)
    wanted = [words for name in names if (words := plain_words(name))]
    return any(within[i : i + len(words)] == words for words in wanted for i in range(len(within)))


def is_just(text: str, names: Iterable[str]) -> bool:
    """Whether a text is one of these names and nothing else, compared as by `contains`."""
    words = plain_words(text)
    return bool(words) and any(words == plain_words(name) for name in names)


def entropy(text: str) -> float | None:
    """Weighted entropy of a text's bigrams and trigrams, in bits (Meng et al. 2022a, fluency).

    Low where a text repeats itself. None for a text of fewer than three words.
    """
    words = re.findall(r"\w+|[^\w\s]", text)
    if len(words) < 3:
        return None
    total = 0.0
    for n, weight in ((2, 2 / 3), (3, 4 / 3)):
        counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
        all_ = sum(counts.values())
        total += weight * -sum(c / all_ * math.log2(c / all_) for c in counts.values())
    return total / 2
