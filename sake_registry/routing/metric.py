"""How questions are compared: the space in which the router measures distances.

An embedder is made to tell texts apart by all that they are about. A router needs less: that
wordings of one question lie together, and those of different questions apart. The library of
common questions (`data.questions`) says what is one question, and `contrast` learns from it
the LDA projection (linear discriminant analysis) onto the directions that separate the topics.
The library also gives the background questions: a question belongs to an edit only if it lies
nearer to the edit's own than to what else may be asked of a subject.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn.functional import normalize

from sake_registry.data import questions
from sake_registry.names import fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sake_registry.models.embedder import Embed

MetricKind = Literal["contrast", "euclidean", "cosine", "mahalanobis"]

BACKGROUND_WEIGHT = 0.5
"""How much of the distance to the nearest background question is added to an edit's bound.

At 0 a wording far from all questions is refused; at 1 it fires wherever the edit is nearest."""
MISMATCH = 0.3
"""Added to the distance of two questions that end in different prepositions: "born in" asks for
a place and "born on" for a day, while a sentence embedding hardly sees the last word. So with
"When was X born" where an edit's topics ask where."""
PREPOSITIONS = ("as", "at", "by", "for", "from", "in", "on", "to", "with")
SHRINKAGE = 0.3
"""Share of the mean variance that is added to every direction's: a topic has eight wordings, too
few to know the directions in which wordings hardly vary."""
RANK = 100
"""Directions kept: what separates 256 topics lies in the first of them, the rest is wording."""
VOTES = 0.25
"""A topic is an edit's own if it is the nearest to so large a share of the edit's questions."""
ALIKE = 0.6
"""Or if the cosine of its name and the edit's relation is at least this, …"""
NO_LESS = 0.2
"""… and less than that of another topic by no more than this: "place of death" is at 0.62 from
"place of birth", but it is another topic's name."""
QUESTION_WORDS = ("when", "where", "who")
"""Words that begin a question and say what kind of thing it asks for."""
COMMON = 1 / 16
"""A word in the wordings of so many of the library's topics says nothing of what is asked."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A space for questions.

    Attributes:
        projection: (embedder's width e, p) float32, of `contrast` by LDA; (0, 0) is the identity.
        background: (rows, p) float32, points of the background questions; (0, p) if not used.
        topics: the topic of each row of the background; the rows of a topic are together.
        labels: (topics, e) float32, unit embeddings of the topics' names in the background's
            order, or none where a name tells nothing; needed to compile an edit, not to route.
    """

    kind: MetricKind
    projection: Tensor
    background: Tensor
    topics: tuple[str, ...] = ()
    labels: Tensor | None = None

    def points(self, rows: Tensor) -> Tensor:
        """Embeddings (n, e) in this space, (n, p)."""
        if self.projection.numel():
            rows = rows @ self.projection
        return normalize(rows, dim=1) if self.kind in ("contrast", "cosine") else rows

    @cached_property
    def topic_names(self) -> tuple[str, ...]:
        """Each topic of the background once."""
        return tuple(dict.fromkeys(self.topics))

    @cached_property
    def _topic_of_row(self) -> Tensor:
        number = {topic: i for i, topic in enumerate(self.topic_names)}
        return torch.tensor([number[topic] for topic in self.topics], dtype=torch.long)

    def topic_distances(self, points: Tensor) -> Tensor:
        """How far points (n, p) are from the nearest question of each topic, (n, topics)."""
        alike = torch.full((len(points), len(self.topic_names)), -1.0)
        rows = self._topic_of_row.expand(len(points), -1)
        alike.scatter_reduce_(1, rows, points @ self.background.T, "amax")
        return (2 - 2 * alike).clamp_min(0).sqrt()  # all are of unit length

    def own_topics(self, rows: Tensor, relation: Tensor) -> tuple[str, ...]:
        """The topics that ask what an edit asks: they are no background to it.

        Args:
            rows: embeddings (n, e) of the edit's own questions.
            relation: embedding (e,) of the relation's name.

        Raises:
            ValueError: the metric has a background, but not its topics' names.
        """
        if not self.topics:
            return ()
        if self.labels is None:
            raise ValueError("own topics are found with a metric as learned, not as loaded")
        topics = self.voted(self.points(rows)) if len(rows) else frozenset()
        if len(self.labels):
            alike = self.labels @ normalize(relation, dim=0)
            near = (alike >= ALIKE) & (alike >= alike.max() - NO_LESS)
            topics |= {self.topic_names[topic] for topic in near.nonzero()[:, 0].tolist()}
        return tuple(topic for topic in self.topic_names if topic in topics)

    def voted(self, points: Tensor) -> frozenset[str]:
        """The topics that are nearest to `VOTES` of some points (n, p), or more; none without a
        background."""
        if not self.topics:
            return frozenset()
        votes = Counter(self.topic_distances(points).argmin(1).tolist())
        least = VOTES * len(points)
        return frozenset(self.topic_names[topic] for topic, n in votes.items() if n >= least)


def question_word(text: str) -> str:
    """The one of `QUESTION_WORDS` that begins a text, a label apart ("User:"); else nothing."""
    first = text.rpartition(": ")[2].lstrip(" '\"(¿").split(maxsplit=1)[:1]
    return first[0].lower() if first and first[0].lower() in QUESTION_WORDS else ""


def final_preposition(text: str) -> str:
    """The last word of a question if it is one of `PREPOSITIONS`, else nothing."""
    last = text.rstrip(" ,.:?!'\")").rsplit(maxsplit=1)[-1:]
    return last[0].lower() if last and last[0].lower() in PREPOSITIONS else ""


def content_stems(text: str) -> frozenset[str]:
    """The stems of a question's content words: those that tell what it asks."""
    return _stems(text) - _common()


@cache
def _common() -> frozenset[str]:
    topics = questions().values()
    counts = Counter(stem for wordings in topics for stem in _stems(" ".join(wordings)))
    return frozenset(stem for stem, count in counts.items() if count >= COMMON * len(topics))


def _stems(text: str) -> frozenset[str]:
    """Words without the endings that English wordings of one question differ in."""
    words = re.findall(r"[^\W\d_]+", fold(text))
    return frozenset(re.sub(r"(?<=\w{3})(?:ing|i?e[sd]|(?<!s)s|e|y)$", "", word) for word in words)


def question_words(topics: Iterable[str]) -> frozenset[str]:
    """Which of `QUESTION_WORDS` the library's questions of some topics begin with."""
    wordings = (text for topic in topics for text in questions().get(topic, ()))
    return frozenset(map(question_word, wordings)) - {""}


def learn(embed: Embed, kind: MetricKind) -> Metric:
    """The metric of a kind for an embedder; `contrast` and `mahalanobis` embed the library.

    Raises:
        ValueError: the embedder tells no two of the library's questions apart.
    """
    if kind in ("euclidean", "cosine"):
        return Metric(kind, torch.empty(0, 0), torch.empty(0, 0))
    library = questions()
    topics = tuple(topic for topic, wordings in library.items() for _ in wordings)
    rows = embed([wording for wordings in library.values() for wording in wordings])
    number = {topic: i for i, topic in enumerate(library)}
    projection = _projection(
        rows.double(),
        torch.tensor([number[topic] for topic in topics]),
        rank=RANK if kind == "contrast" else None,
    )
    metric = Metric(kind, projection.float(), torch.empty(0, projection.shape[1]))
    if kind == "mahalanobis":
        return metric
    labels = normalize(embed(list(library)), dim=1)
    # In some spaces, a language model's states among them, any two names are that alike.
    if labels.mean(0).square().sum() >= ALIKE:  # the mean of all their cosines
        labels = labels[:0]
    return Metric(kind, metric.projection, metric.points(rows), topics, labels)


def _projection(rows: Tensor, topic: Tensor, rank: int | None) -> Tensor:
    """Whitening by the covariance within topics; with a rank, the LDA projection.

    Args:
        rows: (n, e) float64.
        topic: (n,) the number of each row's topic; none is left out.
        rank: how many directions to keep, those first that separate the topics most; all, and as
            they are, if None.

    Returns:
        A projection, (e, e) or (e, rank).
    """
    means = torch.stack([rows[topic == t].mean(0) for t in range(int(topic.max()) + 1)])
    inside = rows - means[topic]
    within = inside.T @ inside / len(rows)
    variance = within.trace() / len(within)
    if not 0 < variance < torch.inf:
        raise ValueError(
            "no metric can be learned: the embedder gives all wordings of a question one point, "
            "or none that is finite; choose the metric euclidean or cosine, or another embedder"
        )
    scales, axes = torch.linalg.eigh(within + SHRINKAGE * variance * torch.eye(len(within)))
    whitening: Tensor = (axes * scales.rsqrt()) @ axes.T
    if rank is None:
        return whitening
    between = (means - rows.mean(0)) @ whitening
    directions = torch.linalg.eigh(between.T @ between)[1].flip(1)[:, :rank]
    # An eigenvector has no sign of its own: the same library must give the same bytes.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    projection: Tensor = whitening @ (directions * largest.sign())
    return projection
