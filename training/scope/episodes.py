"""Episodes of training: a fact as an edit states it, a text, and what the text does."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import normalize

from training.scope.corpus import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sake_registry.models.multilingual import MultilingualEncoder
    from training.scope.corpus import Frames, Relation

MOST_ALIKE = 0.82
"""Relations of two files, whose wordings are more alike than this, may be one relation twice.
Within a file of relations each is written once."""
HARD = 20
"""So many of the other relations, those most like one, are its hard ones."""
FACTS, OF_FACTS = "facts", 0.35
"""Relations of files that begin so are written as registries have their facts, whole messages with
names in them: how often they are drawn, if there are any."""
ASKS = 0.45
"""The share of episodes in which the text asks for the fact."""
NUMBERS = ((1, 2, 3, 6), (45, 30, 15, 10))
"""How many own prompts an edit has, and how often."""
SOURCES = {"written": 38, "other": 26, "framed": 36}
"""Where a text that does not ask comes from: what is written for its relation, another relation,
a frame about a wording that asks; and how often."""
NOISE = 0.18
"""The share of texts that stand behind unrelated text."""
FRAMED = {
    "task": 14, "time": 12, "through": 18, "beside": 16, "if": 12, "mention": 8, "why": 6,
    "name": 6, "chat_after": 10, "said_other": 8,
}  # fmt: skip
DRESSED = {
    "": 55, "wrap": 14, "doubt": 4, "doubt_said": 12, "before": 7, "beside_asks": 6, "letter": 8,
}  # fmt: skip
"""What the other texts are put in, and how often: nothing, a frame, or the middle of a letter."""
REQUESTED = 0.14
"""The share of texts, asking or not, that are requests in the imperative where a relation has one
to take a phrase from."""
AS_TASKS = 0.4
"""The share of tasks that are about such a phrase."""
_ENDS = {"chat_after": "mention", "said_other": "mention"}
"""The kinds of what is put in frames that are not called by it."""

_X = re.compile(r"(?<![A-Za-z0-9])X(?![A-Za-z0-9])")
_COMPLETIONS, _SHORT_FORMS, _IMPERATIVE = "c", "qki", "i"
_QUESTION_MARKS = "?？؟"
_STOPS, _BLANKS = " ,:.!。！،，" + _QUESTION_MARKS, "_…"


class Episode(NamedTuple):
    """A fact's own prompts and its relation's name ("" if not given), a text, and its kind."""

    prompts: tuple[str, ...]
    relation: str
    text: str
    kind: str
    language: str


class Episodes:
    """Draws episodes from relations and frames.

    Args:
        encoder: tells which relations are alike.
        seed: of what is drawn.
    """

    def __init__(
        self,
        relations: Sequence[Relation],
        encoder: MultilingualEncoder,
        frames: Frames,
        seed: int,
    ) -> None:
        self.relations, self.frames, self.drawn = relations, frames, random.Random(seed)
        self.others, self.hard = _neighbours(relations, encoder)
        self.facts = [i for i, r in enumerate(relations) if r.source.startswith(FACTS)]
        self.names = sorted({n for f in frames.values() for n in f.get("names", ())})

    def draw(self) -> Episode:
        """One episode."""
        drawn = self.drawn
        number = drawn.randrange(len(self.relations))
        if self.facts and drawn.random() < OF_FACTS:
            number = drawn.choice(self.facts)
        relation = self.relations[number]
        language = drawn.choice(sorted(relation.asks))
        prompts = self._prompts(relation, language)
        name = relation.name if drawn.random() < 0.7 else ""
        if drawn.random() < ASKS:
            wording = (
                self._request(relation, language)
                or self._wording(relation, language, prompts)
                or prompts[0]
            )
            text, kind = self._dressed(self._styled(wording), language, asks=True), "asks"
        else:
            text, kind = self._otherwise(number, language, prompts)
        return Episode(prompts, name, text, kind, language)

    def _prompts(self, relation: Relation, language: str) -> tuple[str, ...]:
        drawn = self.drawn
        if len(relation.asks) > 1 and drawn.random() < 0.35:
            language = drawn.choice(sorted(relation.asks))
        wordings = relation.asks[language]
        pool = [w.text for w in wordings if w.form in _COMPLETIONS]
        if not pool or drawn.random() < 0.25:
            pool += [w.text for w in wordings if w.form in _SHORT_FORMS]
        drawn.shuffle(pool)
        (number,) = drawn.choices(*NUMBERS)
        return tuple(pool[:number] or [wordings[0].text])

    def _wording(self, relation: Relation, language: str, but: Collection[str] = ()) -> str | None:
        wordings = [w.text for w in relation.asks.get(language, ()) if w.text not in but]
        return self.drawn.choice(wordings) if wordings else None

    def _other(self, number: int, language: str, *, hard: bool) -> str | None:
        """A wording of another relation."""
        pool = (self.hard if hard else self.others)[number]
        others = (self.relations[self.drawn.choice(pool)] for _ in range(30))
        wordings = (
            self._request(other, language) or self._wording(other, language) for other in others
        )
        return next((wording for wording in wordings if wording), None)

    def _request(
        self, relation: Relation, language: str, section: str = "request", share: float = REQUESTED
    ) -> str | None:
        """A frame of a section about the phrase that a relation's imperatives ask for."""
        if self.drawn.random() >= share or not (frame := self._frame(language, section)):
            return None
        phrases = self._phrases(relation, language)
        if not phrases:
            return None
        text = frame.replace("{n}", self.drawn.choice(phrases))
        return text[:1].upper() + text[1:]

    def _phrases(self, relation: Relation, language: str) -> list[str]:
        """What imperatives ask for ("Tell me *who heads X*."); in English its name too."""
        frames = self.frames.get(language, {})
        phrases = [
            phrase
            for wording in relation.asks.get(language, ())
            if wording.form == _IMPERATIVE
            and (phrase := _bared(wording.text, frames.get("lead", ()), frames.get("tail", ())))
        ]
        if language == "en" and not phrases and relation.name:
            phrases = [f"X's {relation.name}", f"the {relation.name} of X"]
        return phrases

    def _frame(self, language: str, section: str) -> str:
        """A frame, or the empty one."""
        frames = self.frames.get(language, {}).get(section)
        return self.drawn.choice(frames) if frames else ""

    def _name(self) -> str:
        return self.drawn.choice(self.names) if self.names else "Kolvik"

    def _otherwise(self, number: int, language: str, prompts: Sequence[str]) -> tuple[str, str]:
        """A text that does not ask for the fact, and its kind."""
        drawn, relation = self.drawn, self.relations[number]
        (source,) = drawn.choices(list(SOURCES), list(SOURCES.values()))
        written = relation.alike.get(language, ())
        if source == "framed":
            framed = self._framed(number, language, prompts)
            if framed:
                return framed
        if source == "written" and written:
            one = drawn.choice(written)
            return self._dressed(self._styled(one.text), language, asks=False), one.kind
        other = self._other(number, language, hard=drawn.random() < 0.7) or "X?"
        return self._dressed(self._styled(other), language, asks=True), "near"

    def _framed(self, number: int, language: str, prompts: Sequence[str]) -> tuple[str, str] | None:
        drawn = self.drawn
        wording = self._wording(self.relations[number], language) or prompts[0]
        if drawn.random() < 0.5:
            wording = self._styled(wording)
        (section,) = drawn.choices(list(FRAMED), list(FRAMED.values()))
        if section == "task" and (
            text := self._request(self.relations[number], language, "request_other", AS_TASKS)
        ):
            return text, section
        frame, name = self._frame(language, section), self._name()
        if not frame:
            return None
        if section in _ENDS:
            other = self._other(number, language, hard=drawn.random() < 0.5)
            if "{v}" in frame and other is None:
                return None
            last = _X.sub(lambda _: name, other or "")
            return self._answered(frame, wording).replace("{v}", last), _ENDS[section]
        if section in ("through", "name"):
            text = _X.sub(lambda _: frame, wording, count=1)
        elif section in ("beside", "mention"):
            if section == "mention" and drawn.random() < 0.5:
                wording = self._other(number, language, hard=True) or wording
            named = _X.sub(lambda _: name, wording)
            text = self._filled(frame, named).replace("{Y}", name)
        elif section == "time" and "{w}" not in frame:
            text = self._timed(wording, frame)
        else:
            text = self._filled(frame, wording)
        return text if drawn.random() < 0.6 else self._dressed(text, language, asks=False), section

    def _dressed(self, text: str, language: str, *, asks: bool) -> str:
        """The same question in a greeting, a doubt, a chat, a letter.

        Args:
            asks: whether the text asks anything of the subject itself: only then may another
                name stand before it.
        """
        drawn = self.drawn
        if drawn.random() < NOISE:
            before = [self._unrelated(language) for _ in range(drawn.choice((1, 1, 2)))]
            return drawn.choice((" ", " ", " ", "\n")).join(
                part for part in (*before, text) if part
            )
        (section,) = drawn.choices(list(DRESSED), list(DRESSED.values()))
        if section == "letter":
            before = [self._frame(language, "opening") for _ in range(drawn.choice((1, 1, 2, 3)))]
            after = [self._frame(language, "closing") for _ in range(drawn.choice((0, 1, 1, 2)))]
            gap = drawn.choice((" ", " ", "\n"))
            return gap.join(part for part in (*before, text, *after) if part)
        if not section or (section == "beside_asks" and not asks):
            return text
        frame = self._frame(language, section) or "{w}"
        return self._answered(self._filled(frame, text), text).replace("{Y}", self._name())

    def _answered(self, frame: str, wording: str) -> str:
        """A frame that quotes answers to a wording."""
        frame = frame.replace("{o}", self._answer()).replace("{p}", self._answer())
        return frame.replace("{s}", wording).replace("{w}", wording)

    def _answer(self) -> str:
        """What may be an answer: which one is quoted says nothing."""
        drawn = self.drawn
        name, number = self._name(), drawn.randrange(2, 3000)
        word = name.split()[0].lower()
        return drawn.choice(
            (
                name, name, name.split()[-1], str(number), f"{number} EUR", f"${number / 100:.2f}",
                f"{number % 100} %", f"{word}@{word}.example", f"https://{word}.example/{number}",
                f"{number % 30}.{number % 7}.{number % 11}", f"{number % 28 + 1} March {number}",
                f"{number % 12 + 8}:30",
            )
        )  # fmt: skip

    def _unrelated(self, language: str) -> str:
        """A text about something else, as is found before a question in pasted text: a boilerplate,
        or a statement about another one."""
        drawn = self.drawn
        if drawn.random() < 0.6:
            return self._frame(language, "noise")
        relation = self.relations[drawn.randrange(len(self.relations))]
        stems = [w.text for w in relation.asks.get(language, ()) if w.form == _COMPLETIONS]
        if not stems:
            return self._frame(language, "opening")
        stem = _X.sub(lambda _: self._name(), drawn.choice(stems))
        return f"{stem} {drawn.choice((self._name(), str(drawn.randrange(1780, 2030))))}."

    def _filled(self, frame: str, wording: str) -> str:
        """A frame with its wording, which behind a comma mostly goes on in lower case."""
        if ", {w}" in frame and not wording.startswith("X") and self.drawn.random() < 0.6:
            wording = wording[:1].lower() + wording[1:]
        return frame.replace("{w}", wording)

    def _timed(self, wording: str, when: str) -> str:
        """A question of another time; an unfinished sentence has the time before it."""
        mark = wording[-1:] if wording.endswith(tuple(_QUESTION_MARKS)) else ""
        if mark and self.drawn.random() < 0.5:
            return f"{wording[:-1].rstrip()} {when}{mark}"
        return f"{when[:1].upper()}{when[1:]}, {wording}"

    def _styled(self, text: str) -> str:
        """A text as another hand types it."""
        drawn = self.drawn
        share = drawn.random()
        if share < 0.12:
            return _X.sub("\0", text).lower().replace("\0", "X")
        if share < 0.15:
            return text.upper()
        if share < 0.23:
            return text.rstrip(" ." + _QUESTION_MARKS)
        if share < 0.30:
            words = text.split(" ")
            place = drawn.randrange(len(words))
            words[place] = self._mistyped(words[place])
            return " ".join(words)
        return text

    def _mistyped(self, word: str) -> str:
        if len(word) < 5 or not word.isalpha():
            return word
        at = self.drawn.randrange(1, len(word) - 2)
        head, one, two, tail = word[:at], word[at], word[at + 1], word[at + 2 :]
        return self.drawn.choice(
            (head + two + one + tail, head + two + tail, head + one * 2 + two + tail)
        )


def _bared(wording: str, leads: Sequence[str], tails: Sequence[str]) -> str | None:
    """An imperative without the verb, which stands at the beginning or, in a language that has no
    leads, at the end; None where no known one is there."""
    wording = wording.rstrip(_STOPS)
    lead = next((n for n in leads if wording.startswith(n) and wording[len(n) :][:1] in " :,X"), "")
    tail = next((tail for t in tails if wording.endswith(tail := t.rstrip(_STOPS))), "")
    phrase = wording.removeprefix(lead).removesuffix(tail).strip(_STOPS)
    whole = (lead or not leads) and (tail or leads) and not set(phrase) & set(_BLANKS)
    return phrase if whole and _X.search(phrase) else None


def _neighbours(
    relations: Sequence[Relation], encoder: MultilingualEncoder
) -> tuple[list[list[int]], list[list[int]]]:
    """Of each relation, those that are surely another one, and of these the hard ones."""
    means = torch.stack(
        [
            encoder.embed(
                [w.text for ws in r.asks.values() for w in ws if w.form in "qck"][:24]
            ).mean(0)
            for r in relations
        ]
    )
    means = normalize(means, dim=1)
    alike = means @ means.T
    others, hard = [], []
    for i, one in enumerate(relations):
        distinct = [
            j
            for j, other in enumerate(relations)
            if other.name != one.name
            and (
                alike[i, j] < MOST_ALIKE
                or (other.source == one.source and not one.source.startswith((LIBRARY, FACTS)))
            )
        ]
        others.append(distinct)
        hard.append(sorted(distinct, key=lambda j: -float(alike[i, j]))[:HARD])
    return others, hard
