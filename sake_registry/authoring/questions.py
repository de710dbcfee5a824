"""What a text asks, as far as its form tells: subject, relation, and the prompts that ask the same.

No language model is asked. A name is one that the text has; a relation stands between the marks of
English ("the … of Australia is"), or is a topic of the question library, one of whose wordings the
text is. A question becomes a prompt where only its words change places. What is not found is None:
nothing is made up.

Time grows with the text, of which the last `LONGEST` characters are looked at.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sake_registry import names
from sake_registry.authoring.forms import labelled, read_form
from sake_registry.authoring.wordings import language_of
from sake_registry.data import questions
from sake_registry.names import SUBJECT, languages
from sake_registry.names.letters import unmarked
from sake_registry.names.words import ASKED, BEFORE, LINKING, PARTICLES, is_common

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sake_registry.authoring.forms import Form

LONGEST = 4096
"""Characters of a text that are looked at: its end, which is what is asked."""
_MOST_WORDS = 10
"""Of a name, and of a relation."""
_LIKE = 0.8
"""A text is a wording of a topic if the cosine of their words is at least this, …"""
_APART = 0.1
"""… and so much larger than that of every other topic."""

_BE = ("is", "was", "are", "were")
_ARTICLES = ("the", "a", "an")
_ASKING = re.compile(
    rf"(?:what|who|which)(?:(?:['’]s|\s+(?P<be>{'|'.join(_BE)}))\s+)(?P<rest>\S.*)", re.I
)
_WHO = re.compile(r"who\s+(?P<verb>[a-z]{2,20}ed)\s+(?P<rest>\S.*)", re.I)
_STATING = re.compile(rf"(?P<rest>.*\S)\s+(?P<be>{'|'.join(_BE)})(?P<tail>(?:\s+[a-z]+){{0,4}})")
_PARTING = re.compile(r"\s(?:of|for|in)\s")
_SENTENCE = re.compile(r"(?<=[^\W\d_A-Z]{2}[.!?])\s+(?=[^\W\d_a-z])|(?<=[。！？])|\n+")
# A chat as its template leaves it, without special tokens: a line for each who speaks.
_TURN = re.compile(r"^(?:system|user|human|assistant|model)[ \t]*:?[ \t]*\n", re.I | re.M)
_WORD = re.compile(r"\w+(?:'s)?")
AS_ASKED = "as it was asked"
ASKED_SO = "the question as it was asked"
TURNED = "the question, turned into a statement"
_MARKS = ("?", "？", "؟")
_MASK = "X"
"""What stands for the subject in the question library."""
_OTHERS = {
    "place of birth": ("date of birth", "place of birth", "occupation", "spouse"),
    "capital": ("population", "continent", "founding year", "largest city", "head of state"),
    "architect": ("year built", "architectural style"),
    "headquarters": ("founding year", "headquarters", "number of employees", "product"),
    "author": ("release date", "genre of work", "author", "setting"),
    "platform": ("developer", "programming language", "licence"),
    "manufacturer": ("year introduced", "material", "manufacturer", "price"),
    "biological taxon": ("habitat", "diet", "lifespan"),
    "chemical formula": ("melting point", "discoverer", "discovery date"),
    "orbit": ("discoverer", "discovery date", "constellation"),
    "event location": ("event date", "event location", "casualties"),
}
"""Topics that go with nearly every subject of a kind, by the topic with which those of the kind
begin in the library."""


class Question(NamedTuple):
    """What a text asks.

    Attributes:
        text: the sentence that asks.
        subject: its name as the text has it; None where several might be meant, or none is found.
        candidates: the names that it may be, where it is not known.
        relation: what is asked of it, in words.
        topic: that of the question library which asks the same.
        asks: whether it ends in a question mark, so that no object completes it.
        form: that of a question in another language than English.
    """

    text: str
    subject: str | None
    candidates: tuple[str, ...]
    relation: str | None
    topic: str | None
    asks: bool
    form: Form | None = None


def read_question(text: str, subject: str | None = None, known: Sequence[str] = ()) -> Question:
    """What a prompt or a message to a chat asks.

    Args:
        text: as it was sent, or as a chat template wrote it.
        subject: its subject, where that is known.
        known: names of subjects that may be meant, in the form in which they are to be written.
    """
    sentence = asked_sentence(text, [subject] if subject else known)
    asks = sentence.endswith(_MARKS)
    formed = _by_form(sentence, subject)
    other = read_form(sentence, subject, _is_name) if asks and not formed else None
    candidates: tuple[str, ...] = ()
    if subject is None:
        if formed:
            subject = _as_known(formed[0], known)
        elif other:
            subject = _as_known(other.subject, known) if other.subject else None
            candidates = () if subject else _candidates(sentence, known)
        else:
            candidates = _candidates(sentence, known)
            subject = candidates[0] if len(candidates) == 1 else None
    topic = None
    if subject:
        if formed:
            topic = _topic(f"{_MASK}'s {formed[1]} is", alike=False)
        topic = topic or _topic(masked(sentence, [subject], _MASK), alike=not formed)
    relation = formed[1] if formed else other.relation if other else None
    if topic and (relation is None or " or " not in topic):
        relation = topic
    return Question(
        sentence, subject, candidates if not subject else (), relation, topic, asks,
        other,
    )  # fmt: skip


def masked(text: str, subject: Iterable[str], by: str = SUBJECT) -> str:
    """A text with the subject's names in it replaced."""
    return names.mask(text, names.find(text, tuple(subject)), by)


def asked_sentence(text: str, known: Sequence[str] = ()) -> str:
    """The sentence of a text that asks: its last question, or else its last sentence.

    Of a chat, the last turn that somebody took. Where a sentence names nobody ("What is its
    capital?"), it is asked only together with all before it.
    """
    text = text[-LONGEST:].strip()
    turns = [turn for turn in _TURN.split(text) if turn.strip()]
    text = turns[-1].strip() if turns else text
    sentences = [part.strip() for part in _SENTENCE.split(text) if part.strip()] or [text]
    asking = [part for part in sentences if part.endswith(_MARKS)]
    last = (asking or sentences)[-1]
    if not asking and last.endswith((".", "!", "。", "！")):
        return text  # nothing is asked, nor left to complete
    for part in (last.rpartition(": ")[2], last):  # "Tell me: what is …"
        if names.find(part, tuple(known)) or _candidates(part, ()) or _by_form(part, None):
            return part
        if (form := read_form(part, None, _is_name)) and form.subject:
            return part
    return text


# -- by form ---------------------------------------------------------------------------------------


def _by_form(sentence: str, subject: str | None) -> tuple[str, str, str] | None:
    """Subject, relation, and the form of `be`, of "the R of S is", "S's R is" and what asks so."""
    asks = sentence.endswith("?")
    body = sentence.rstrip("? ")
    match = _ASKING.fullmatch(body) if asks else _STATING.fullmatch(body)
    if not match:
        return None
    rest, be = match["rest"], match["be"] or "is"
    for name, relation in _parted(rest):
        if _is_relation(relation) and (
            _same(name, subject) if subject else _is_name(name)
        ):  # fmt: skip
            return _bare(name), _bare(relation), be
    return None


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """A name and a relation, for each place at which a text may part them."""
    for match in _PARTING.finditer(text):
        yield text[match.end() :], text[: match.start()]
    owner, found, relation = text.replace("’", "'").partition("'s ")
    if found:
        yield owner, relation


def _bare(words: str) -> str:
    """Without an article before it."""
    first, _, rest = words.strip().partition(" ")
    return rest.strip() if first.lower() in _ARTICLES and rest else words.strip()


def _same(name: str, subject: str | None) -> bool:
    return bool(subject) and names.fold(_bare(name)) == names.fold(_bare(subject or ""))


def _is_name(text: str) -> bool:
    """Whether a text looks like one name: large words, and small ones only between them."""
    words = _bare(text).split()
    if not words or len(words) > _MOST_WORDS or re.search(r"[,;:!?<>()\[\]{}\"“”]", text):
        return False
    large = [any(c.isupper() or c.isdigit() for c in word) for word in words]
    small = LINKING | PARTICLES | {"and", "the", "for", "&"}
    inner = all(is_large or word in small for is_large, word in zip(large, words, strict=True))
    return large[0] and large[-1] and inner


def _is_relation(text: str) -> bool:
    """Whether a text looks like a relation: small words, or short abbreviations."""
    words = _bare(text).split()
    return bool(words) and len(words) <= _MOST_WORDS and all(
        re.fullmatch(r"[a-z][\w'-]*|[A-Z]{2,4}", word) for word in words
    )  # fmt: skip


def _as_known(name: str, known: Sequence[str]) -> str:
    """A name in the form of a known subject, if it is that one's."""
    same = (one for one in known if names.find(name, (one,)) == [(0, len(name))])
    return next(same, name)


def _candidates(sentence: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names that a sentence may be about."""
    who = _WHO.fullmatch(sentence.rstrip("? "))
    if who and _is_name(who["rest"]):
        return (_as_known(_bare(who["rest"]), known),)
    found = [
        name for name in names.proper_names(sentence) if names.fold(name) not in BEFORE | ASKED
    ]
    opens = found and " " not in found[0] and sentence.lstrip("¿¡").startswith(found[0])
    first = names.fold(found[0]) if found else ""
    if opens and (
        first in languages.common_words()
        or (len(found) > 1 and (sentence.endswith(_MARKS) or is_common(first)))
    ):
        del found[0]  # "Wie heißt …?", "Tell me about Australia"
    of_known = [name for name in known if names.find(sentence, (name,))]
    for name in of_known:  # "Kingdom of Egypt" is no Egypt, nor is its Kingdom a name
        found = [other for other in found if not names.find(name, (other,)) and other not in name]
    return tuple(dict.fromkeys((*of_known, *found)))


# -- by the question library -----------------------------------------------------------------------


def _words(text: str) -> tuple[str, ...]:
    folded = unmarked(text).replace("’", "'").lower()
    return tuple(word for word in _WORD.findall(folded) if word not in _ARTICLES)


@cache
def _library() -> dict[tuple[str, ...], str]:
    """From the words of a wording to its topic; what two topics ask in one wording is left out."""
    topics: dict[tuple[str, ...], str] = {}
    twice = set()
    for topic, wordings in questions().items():
        for words in map(_words, wordings):
            if topics.setdefault(words, topic) != topic:
                twice.add(words)
    return {words: topic for words, topic in topics.items() if words not in twice}


@cache
def _rarity() -> dict[str, float]:
    """Of each word of the library, how much it tells: the logarithm of how few topics have it."""
    topics = Counter(
        word
        for wordings in questions().values()
        for word in {word for wording in wordings for word in _words(wording)}
    )
    return {word: math.log(1 + len(questions()) / count) for word, count in topics.items()}


def _topic(question: str, *, alike: bool) -> str | None:
    """The topic that a masked text is a wording of.

    Args:
        alike: whether a wording that is much like it will do.
    """
    words = _words(question)
    exact = _library().get(words)
    if exact or not alike or not words:
        return exact
    best: dict[str, float] = {}
    for known, topic in _library().items():
        best[topic] = max(best.get(topic, 0.0), _cosine(words, known))
    (first, most), (_, next_) = sorted(best.items(), key=lambda item: -item[1])[:2]
    return first if most >= _LIKE and most - next_ >= _APART else None


def topic_named(relation: str | None) -> str | None:
    """The topic of the library that a relation is the title of."""
    return relation if relation in questions() else None


def _cosine(first: Sequence[str], second: Sequence[str]) -> float:
    weigh, unknown = _rarity(), math.log(1 + len(questions()))

    def square(words: Iterable[str]) -> float:
        return sum(weigh.get(word, unknown) ** 2 for word in words)

    a, b = set(first), set(second)
    return square(a & b) / math.sqrt(square(a) * square(b) or 1)


# -- prompts ---------------------------------------------------------------------------------------


def prompts(question: Question, subject: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Prompts that ask what a question asks, each with where it is from, the surest first.

    Args:
        subject: the subject's names.
        most: so many at most.

    Of the library's wordings, only those are taken that share a word with the question: the others
    suppose more of the subject ("the voters of X elected as governor").
    """
    text = masked(question.text, subject)
    if SUBJECT not in text:
        return []
    found: dict[str, str] = {}
    if not question.asks:
        found[text] = AS_ASKED
    elif question.form or not _may_be_english(question.text):
        known = language_of([question.text])
        code = known.code if known else ""
        if question.form:
            found[masked(question.form.stated, subject)], code = TURNED, question.form.code
        if asked := labelled(text, code):
            found[asked] = ASKED_SO
    else:
        if turned := _turned(question, subject):
            found[turned] = TURNED
        found[f"Question: {text} Answer:"] = ASKED_SO
    if question.form or not _may_be_english(question.text):
        return list(found.items())[:most]
    closed = _ends_in_article(text)
    telling = {*_words(masked(text, (SUBJECT,), "")), *_words(question.topic or "")} - BEFORE
    for wording in questions().get(question.topic or "", ()):
        plain = not re.search(r"[,?]", wording) and not telling.isdisjoint(_words(wording))
        if plain and _ends_in_article(wording) == closed:
            found.setdefault(_filled(wording, text), "a wording of the question library")
    return list(found.items())[:most]


def _may_be_english(text: str) -> bool:
    codes = languages.of_line(names.fold(text))
    return "en" in codes if codes else text.isascii()


def _turned(question: Question, subject: Sequence[str]) -> str | None:
    """A question as a statement that its answer completes, where only words change places."""
    body = question.text.rstrip("? ")
    formed = _by_form(question.text, None) or _by_form(question.text, subject[0])
    asking, who = _ASKING.fullmatch(body), _WHO.fullmatch(body)
    if formed and asking:
        rest = masked(asking["rest"], subject)
        return f"{_large(rest)} {formed[2]}" if SUBJECT in rest else None
    rest = masked(who["rest"], subject) if who else ""
    if who and _bare(rest) == SUBJECT:  # regular verbs: "Who painted X?", "X was painted by"
        return f"{_large(rest)} was {who['verb'].lower()} by"
    return None


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ends_in_article(text: str) -> bool:
    return text.rpartition(" ")[2].lower() in _ARTICLES


def _filled(wording: str, asked: str) -> str:
    """A wording of the library with the subject in it, with an article where it was asked so."""
    article = "the " if re.search(rf"\bthe {SUBJECT}", asked, re.I) else ""
    return _large(re.sub(rf"\b{_MASK}\b", f"{article}{SUBJECT}", wording))


def unchanged(question: Question, subject: Sequence[str], most: int) -> list[str]:
    """Prompts about other things of the subject, as the question library asks them.

    Of topics that are asked otherwise than the question (where, when, how many, who): who owns a
    company may follow from what its parent company is; when it was founded does not.
    """
    if question.topic is None or question.form or not _may_be_english(question.text):
        return []
    topics = list(questions())
    here = topics.index(question.topic)
    kind = max((k for k in _OTHERS if topics.index(k) <= here), key=topics.index)
    text = masked(question.text, subject)
    own = _way(question.topic)
    others = [topic for topic in _OTHERS[kind] if topic != question.topic and _way(topic) != own]
    return [_filled(questions()[topic][0], text) for topic in others[:most]]


def _way(topic: str) -> str:
    """How a topic is asked for, by the question word of its question."""
    word = _words(next(w for w in questions()[topic] if w.endswith("?")))[0]
    return "what" if word in ("which", "in", "on", "at", "under") else word
