"""What of a prompt is compared: the last clause that names the subject, the name masked.

Subjects pull a sentence's embedding together more than its question pushes it apart, so two
questions about one subject look alike, and one question about two subjects does not. The name
is therefore checked by itself (`names.find`), and only the question is compared.

Time grows with the text, and not faster: of a prompt, the last `LOOKED_AT` characters are looked
at, and of what may be its question at most `MOST_CLAUSES` texts of `LONGEST_CLAUSE` characters.
What is asked stands at the end, so what is nearest to it counts.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MASK = "X"
"""Stands for the subject. Measured against other masks in docs/decisions/0002-router.md."""

MIN_WORDS = 2
"""A clause of so few words, the name among them, is read with what stands before it."""

LOOKED_AT = 1 << 15
"""Characters of a prompt, from its end, that are looked at: some eight thousand tokens."""
LONGEST_CLAUSE = 2048
"""Characters of a clause, from its end: the embedder reads 256 tokens."""
MOST_CLAUSES = 8
"""Texts that may be the question of a prompt about one subject: the clause, and the sentences in
it that begin nearest to its end. Of 280,000 made-up ordinary texts, none has more than 5."""
_TO_CUT = 1024
"""Characters in which a clause's end is looked for, where a text is cut."""

# What ends a clause: sentence marks before a space, line ends, quotation marks, and the marks
# of turns in the usual chat templates ("Where was X born?<|im_end|>").
_TURN = r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>"
_TURNS = re.compile(_TURN)
_SYSTEM = frozenset(("system", "developer"))
_USERS = frozenset(("user", "human"))
_ANSWERING = frozenset(("assistant", "model"))
_SPEAKER = re.compile(
    rf"^({'|'.join(sorted(_SYSTEM | _USERS | _ANSWERING | {'tool'}))})[ \t]*\n", re.M
)
_NAME = "\ufffc"
"""Stands for the subject where `MASK` might be a word of the text."""
_OWNING = re.compile(r"(?<=[sxz])['’](?=[^\S\n]+\w)", re.I)
"""What may be the possessive of a name, or a quotation's end."""
_QUOTING = re.compile(r"(?<!\w)['‘]|(?<=\w)['’](?!\w)")
_END = re.compile(
    rf"(?<![.!?])[.!?]++(?=\s|$|{_TURN})|[;\n“”\"]|(?<!\w)['‘]|['’](?!\w)|(?<=\?)'|{_TURN}"
)
# Words that lead to what follows them: a name after one of them begins no sentence. Capitalised
# inside a clause they begin one, since they are part of no name ("Fact: The capital of X is").
_LEADING = frozenset(
    """
    a about after against also although although among an and any are as at be because been before
    between but by called did do does during each every for from had has have her his how if in
    into is its like my named near no nor not of on only onto or our over per since some than that
    the their then these this those though through to toward towards under until upon versus via
    vs was were what when where whether which while who whom whose why with within without your
    """.split()
)
_PRONOUNS = frozenset(
    "i he she it we you they him them us yes no so it's he's she's i'm i'll i've i'd".split()
)
# Who was named before: "Leo Tolstoy was a novelist. His mother tongue is". "It" only where it
# begins a clause: elsewhere it is as often the weather, or the answer ("keep it short").
_REFERS = re.compile(
    r"\b(?P<owner>his|her(?= \w)|their|its)\b|\b(?:he|she|him|her|they|them)\b"
    r"|^\s*it(?!['’]s)\b",
    re.I,
)
# What is said of an answer, not asked of something else: "Rethink, and give the correct answer:".
_ABOUT_ANSWERS = frozenset(
    """
    again answer answered answering answers apologise apologize believe brief briefly complete
    concise contradict contradicts correct correctly doubt exactly false know known mistake
    mistaken name please question really reason reconsider remember reply respond rethink right
    say sentence short shortly sorry sure think true truth understanding word words wrong yes
    """.split()
)
_NO_NAMES = _LEADING | _PRONOUNS
_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s+")


_SENTENCE = re.compile(r"(?<=[.!?。！？؟।])\s+|(?<=[。！？])(?=\S)|\n+")
VIEWED, NAMED = 1000, 300
"""Characters of a prompt that the detector reads, of which so many about the last name."""


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, at least one."""
    parts = [part.strip() for part in _SENTENCE.split(text)]
    return [part for part in parts if len(part) > MIN_WORDS] or [text]


def view(prompt: str, spans: Sequence[tuple[int, int]]) -> str:
    """A prompt as the detector reads it: the names masked, of a chat what was said in it, a line
    for each turn, and of a long prompt only what stands about the last name, and its end."""
    read = _about_name(said(_masked_names(prompt, spans, _NAME)[0]))
    return read.replace(_NAME, MASK).strip("\n")


def _masked_names(prompt: str, spans: Sequence[tuple[int, int]], by: str) -> tuple[str, int]:
    """A prompt with `by` in place of each name, and where the last one stands. "Mercedes' chief"
    is read as "X's chief": a mask has no ending by which the apostrophe was an owner's."""
    parts, place, last, length = [], 0, 0, 0
    for start, end in sorted(spans):
        before, mark, last = prompt[place:start], by, length + start - place
        place = end
        if _OWNING.match(prompt, end) and not _is_quoted(prompt, start):
            mark, place = f"{by}'s", end + 1
        parts += [before, mark]
        length = last + len(mark)
    return "".join((*parts, prompt[place:])), last


def _is_quoted(text: str, place: int) -> bool:
    """Whether a single quotation mark is open at a place, as far as stands shortly before it."""
    begin = max(place - NAMED, text.rfind("\n", 0, place) + 1)
    return sum(1 for _ in _QUOTING.finditer(text, begin, place)) % 2 == 1


def said(text: str) -> str:
    """A text without what a chat template writes around its turns: their marks, who takes them,
    and the system's, unless a name (`_NAME`) stands there alone.

    Marks may be gone, as where token ids were decoded: then a chat is known by its speakers, each
    in a line of its own, the last of them the one who answers a user.
    """
    lines = _TURNS.sub(_speaker_line, text)
    before, *rest = _SPEAKER.split(lines)
    speakers, parts = rest[::2], rest[1::2]
    if lines == text and not (_USERS.intersection(speakers) and speakers[-1] in _ANSWERING):
        return text
    turns = [part.strip("\n") for part in (before, *parts)]
    others = [
        turn for speaker, turn in zip(("", *speakers), turns, strict=True) if speaker not in _SYSTEM
    ]
    named_there_alone = _NAME in lines and not any(_NAME in turn for turn in others)
    return "\n".join(filter(str.strip, turns if named_there_alone else others))


def _speaker_line(mark: re.Match[str]) -> str:
    """What stands for a mark: a line for the speaker it names ("<|user|>"), or a line's end."""
    word = mark[0].strip("<|>")
    return f"\n{word}\n" if _SPEAKER.fullmatch(f"{word}\n") else "\n"


def _about_name(text: str) -> str:
    """Of a long text what stands about the last name, and its end."""
    if len(text) <= VIEWED:
        return text
    named = text.rfind(_NAME) + 1 or len(text)
    if named > len(text) - VIEWED + NAMED // 2:
        return text[_from(text, len(text) - VIEWED) :]
    about = text[_from(text, named - NAMED // 2) : named + NAMED // 2]
    return f"{about}\n{text[_from(text, len(text) - VIEWED + NAMED) :]}"


def looked_at(prompt: str) -> str:
    """The end of a prompt, from the beginning of a clause, or else of a word: half of a longer
    name would be another name."""
    return prompt[_from(prompt, len(prompt) - LOOKED_AT) :]


def _from(text: str, start: int) -> int:
    """Where a text that is cut near `start` begins."""
    if start <= 0:
        return 0
    near = min(start + _TO_CUT, len(text))
    cut = _END.search(text, start, near) or _SPACE.search(text, start, near)
    return cut.end() if cut else start


def clauses(prompt: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What of a prompt may be its question, each name in it masked; none if it is another one.

    First stands the last clause with a name in it, then each part of it that may be a sentence
    of its own, at most `MOST_CLAUSES` in all, those nearest to the end: text is full of headings
    and of sentences that lack their stop ("Moths of North America X is located in"). Where the
    last clause refers back ("X was a novelist. His mother tongue is"), it is the question, the
    pronoun masked.

    A prompt asks of something else if a later clause names somebody else ("X's mother tongue is
    French. The capital of Italy is"), or if its last clause is not about answers ("… Water boils
    at a temperature of"): an earlier mention of the fact is no question.

    Args:
        prompt: any text.
        spans: the places of the names in it.
    """
    if not spans:
        return []
    text, last = _masked_names(prompt, spans, MASK)
    ends: list[int] = []
    following = None
    for match in _END.finditer(text):
        if match.start() >= last + len(MASK):
            following = match
            break
        ends.append(match.end())
    end = following.start() if following else len(text)
    if following:
        later = text[following.end() :]
        if _names_another(later):
            return []
        questions = [clause for clause in _END.split(later) if len(clause.split()) > MIN_WORDS]
        if questions:
            referring, count = _REFERS.subn(_masked, questions[-1])
            if count:
                place = re.search(rf"\b{MASK}\b", referring)
                assert place is not None
                return _questions(referring, 0, place.start(), len(referring))
            if _ABOUT_ANSWERS.isdisjoint(re.findall(r"\w+", questions[-1].lower())):
                return []
    # "Italy: IT. Finland: FI. X:" — a name alone asks nothing; what stands before it does.
    words = text[:end].rsplit(maxsplit=MIN_WORDS)
    latest = min(last, len(words[0]) - 1) if len(words) > MIN_WORDS else 0
    start = max((place for place in ends if place <= latest), default=0)
    return _questions(text, start, last, end)


def masked_clause(prompt: str, spans: Sequence[tuple[int, int]]) -> str | None:
    """The first of `clauses`; None if there is none."""
    return next(iter(clauses(prompt, spans)), None)


def _masked(pronoun: re.Match[str]) -> str:
    return f"{MASK}'s" if pronoun["owner"] else MASK


def _questions(text: str, start: int, last: int, end: int) -> list[str]:
    """A clause, and each part of it that may be a sentence of its own."""
    nearest = deque(_sentences(text, start, last, end), maxlen=MOST_CLAUSES - 1)
    longest = _from(text, end - LONGEST_CLAUSE) if end - start > LONGEST_CLAUSE else start
    begins = (max(begin, longest) for begin in (start, *nearest))
    return list(dict.fromkeys(text[begin:end].strip(" ,:") for begin in begins))


def _sentences(text: str, start: int, last: int, end: int) -> Iterator[int]:
    """Where a sentence may begin between the first word of a clause and its last name."""
    words = list(_WORD.finditer(text, start, end))
    for number, (before, word) in enumerate(pairwise(words), 1):
        if word.start() > last:
            return
        if word.end() <= last:
            if word[0][0].isupper() and word[0].strip("'\"").lower() in _LEADING:
                yield word.start()
            continue
        # The word of the name itself. "Category:Moths X is located in", but not "of X is".
        leads = before[0].strip("'\"()[]").lower()
        if leads in _LEADING or leads.endswith(("'s", "’s")):
            continue
        stopped = before[0][-1] in ").,:;?!…" or word[0].endswith(",")
        if not text[word.start() : last].strip("'\"([*_") and (
            len(words) - number > MIN_WORDS or (len(words) - number == MIN_WORDS and stopped)
        ):
            yield word.start()


def _names_another(text: str) -> bool:
    """Whether a name stands in a text: a capitalised word not at the beginning of a clause."""
    for clause in _END.split(text):
        for word in clause.split()[1:]:
            plain = word.strip("'\"()[],:").replace("’", "'").lower()
            if word[0].isupper() and word != MASK and plain not in _NO_NAMES:
                return True
    return False
