"""Facts stated before the prompt: what everybody tries first, as methods of their own.

Which facts, one of three decides: all of them as far as the context goes (`prompt-all`), those
nearest to the prompt (`retrieve`), or this project's router (`hybrid`). How they are stated is
the same for all three, and the same facts that the other methods edit with are stated. Of a chat,
they are (or come after) its system turn.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from contextlib import nullcontext
from typing import TYPE_CHECKING

from sake_bench.derived import in_chat
from sake_bench.methods import Response
from sake_bench.protocol import FACTS
from sake_bench.replies import Job
from sake_bench.scoring import plain_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from sake_bench.datasets.records import Message
    from sake_bench.methods import Question
    from sake_bench.protocol import Retrieval, Scope
    from sake_bench.replies import ReplyCache
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embed
    from sake_registry.runtime.bundle import Bundle

    Chooser = Callable[[Sequence[Question]], list[list[str]]]


def statement(edit: Edit) -> str:
    """An edit as a sentence: its own prompt, completed by the new object."""
    text = f"{edit.fill(edit.prompts[0].text)} {edit.new}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


class Stated:
    """The model with chosen facts stated before each prompt.

    Args:
        choose: of each question the ids of the edits whose facts are stated, the first first.
    """

    scopes: tuple[Scope, ...] = ("all-edits",)

    def __init__(
        self,
        name: str,
        edits: Mapping[str, Edit],
        how: Retrieval,
        cache: ReplyCache,
        choose: Chooser,
    ) -> None:
        self.name, self._how, self._cache, self._choose = name, how, cache, choose
        self._facts = {id_: statement(edit) for id_, edit in edits.items()}

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        chosen = self._choose(questions)
        jobs = [
            Job(self._prompt(question, ids), question.tokens)
            for question, ids in zip(questions, chosen, strict=True)
        ]
        # The batches of `base`: where nothing is stated, it is that very reply, to the bit.
        bare = [Job(question.prompt, question.tokens) for question in questions]
        self._cache.expect(len({*bare, *jobs}))
        replies = self._cache.replies(bare)
        replies |= self._cache.replies(job for job in jobs if job not in replies)
        return {
            "all-edits": [
                Response(replies[job], _meant(question, ids), not ids)
                for question, job, ids in zip(questions, jobs, chosen, strict=True)
            ]
        }

    def serving(self) -> AbstractContextManager[Callable[[Question], int]]:
        return nullcontext(
            lambda q: self._cache.answer(self._prompt(q, self._choose([q])[0]), q.tokens)
        )

    def _prompt(self, question: Question, ids: Sequence[str]) -> str:
        """A question's prompt with facts stated, as many as the context has room for."""
        if not ids:
            return question.prompt
        room = self._cache.context - question.tokens
        used = self._length(self._with(question, []))
        facts: list[str] = []
        for id_ in ids:
            used += self._length(self._facts[id_])
            if used > room:
                break
            facts.append(self._facts[id_])
        while facts:  # joined, they may be a few tokens more
            text = self._with(question, facts)
            if self._length(text) <= room:
                return text
            facts.pop()
        return question.prompt

    def _length(self, text: str) -> int:
        return len(self._cache.encode(text))

    def _with(self, question: Question, facts: Sequence[str]) -> str:
        stated = self._how.wording.replace(FACTS, " ".join(facts))
        if not question.messages:
            return f"{stated}\n{question.prompt}"
        told: list[Message] = list(question.messages)
        before = told.pop(0)[1] + "\n" if told[0][0] == "system" else ""
        text = in_chat(self._cache.loaded.tokenizer, [("system", before + stated), *told])
        assert text is not None  # it was asked in a chat
        return text


def _meant(question: Question, ids: Sequence[str]) -> str | None:
    """The edit that is said to have taken part: the one that is meant, if it is among them."""
    return question.edit if question.edit in ids else next(iter(ids), None)


# -- which facts -----------------------------------------------------------------------------------


def every(edits: Mapping[str, Edit]) -> Chooser:
    """All of them, in the order of their ids."""
    ids = sorted(edits)
    return lambda questions: [ids for _ in questions]


def routed(bundle: Bundle) -> Chooser:
    """The one that a bundle's router decides on, all edits loaded; or none."""

    def choose(questions: Sequence[Question]) -> list[list[str]]:
        decisions = bundle.route([question.prompt for question in questions])
        return [[decision.edit] if decision.edit else [] for decision in decisions]

    return choose


def nearest(edits: Mapping[str, Edit], k: int, embed: Embed) -> Chooser:
    """The k whose statements are nearest to what is asked, by the cosine of embeddings."""
    ids = sorted(edits)
    facts = _unit(embed([statement(edits[id_]) for id_ in ids]))

    def choose(questions: Sequence[Question]) -> list[list[str]]:
        asked = _unit(embed([_asked(question) for question in questions]))
        best = (asked @ facts.T).topk(min(k, len(ids)), dim=1).indices
        return [[ids[i] for i in row] for row in best.tolist()]

    return choose


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit


K1, B = 1.5, 0.75
"""BM25's usual constants (Robertson and Zaragoza 2009)."""


def lexical(edits: Mapping[str, Edit], k: int) -> Chooser:
    """The k whose statements score best by Okapi BM25; those without a common word never do."""
    ids = sorted(edits)
    counts = [Counter(plain_words(statement(edits[id_]))) for id_ in ids]
    mean = sum(count.total() for count in counts) / len(counts)
    holders: dict[str, list[int]] = defaultdict(list)
    for i, count in enumerate(counts):
        for word in count:
            holders[word].append(i)

    def best(text: str) -> list[str]:
        scores: dict[int, float] = defaultdict(float)
        for word in plain_words(text):
            having = holders.get(word, [])
            weight = math.log(1 + (len(ids) - len(having) + 0.5) / (len(having) + 0.5))
            for i in having:
                often, length = counts[i][word], counts[i].total() / mean
                scores[i] += weight * often * (K1 + 1) / (often + K1 * (1 - B + B * length))
        return [ids[i] for i in sorted(scores, key=lambda i: (-scores[i], i))[:k]]

    return lambda questions: [best(_asked(question)) for question in questions]


def _asked(question: Question) -> str:
    """What is asked: of a chat, its last turn."""
    return question.messages[-1][1] if question.messages else question.prompt
