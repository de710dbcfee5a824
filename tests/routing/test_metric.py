"""The space in which questions are compared: what it is by hand, and what it tells apart."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sake_registry import data
from sake_registry.models.embedder import Embedder
from sake_registry.routing import metric as metrics
from sake_registry.routing.metric import (
    Metric,
    content_stems,
    final_preposition,
    learn,
    question_word,
    question_words,
)

TOPICS = data.questions()
WIDTH = 24


def words(texts: Sequence[str]) -> Tensor:
    """Counts of words by their hash: a small embedder that tells most texts apart."""
    rows = torch.zeros(len(texts), WIDTH)
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % WIDTH] += 1
    return rows


def by_topic(rows: Tensor) -> Sequence[Tensor]:
    return torch.split(rows, [len(wordings) for wordings in TOPICS.values()])


def unavailable(texts: Sequence[str]) -> Tensor:
    raise AssertionError("nothing is to be embedded")


def test_euclidean_and_cosine_need_no_library() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert torch.equal(learn(unavailable, "euclidean").points(rows), rows)
    assert torch.equal(
        learn(unavailable, "cosine").points(rows), torch.tensor([[0.6, 0.8], [0, 1]])
    )


def test_mahalanobis_makes_wordings_of_one_question_vary_alike_in_every_direction() -> None:
    found = learn(words, "mahalanobis")
    rows = words([text for wordings in TOPICS.values() for text in wordings]).double()
    inside = torch.cat([part - part.mean(0) for part in by_topic(rows)])
    within = inside.T @ inside / len(rows)
    shrunk = within + metrics.SHRINKAGE * within.trace() / WIDTH * torch.eye(WIDTH)
    projection = found.projection.double()
    torch.testing.assert_close(
        projection.T @ shrunk @ projection, torch.eye(WIDTH, dtype=torch.float64),
        atol=1e-5, rtol=0,
    )  # fmt: skip
    assert found.background.shape == (0, WIDTH)
    assert found.topics == ()


def test_contrast_keeps_the_directions_that_part_the_topics_and_the_library() -> None:
    found = learn(words, "contrast")
    texts = [text for wordings in TOPICS.values() for text in wordings]
    assert found.projection.shape == (WIDTH, min(metrics.RANK, WIDTH))
    assert torch.equal(found.background, found.points(words(texts)))
    assert found.topic_names == tuple(TOPICS)
    assert [found.topics.count(topic) for topic in TOPICS] == [len(w) for w in TOPICS.values()]
    lengths = found.background.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(len(texts)))
    # The first direction parts the topics more than the last.
    rows = words(texts) @ found.projection
    means = torch.stack([part.mean(0) for part in by_topic(rows)])
    assert means.var(0)[0] > 2 * means.var(0)[-1]


@pytest.mark.parametrize("kind", ["contrast", "mahalanobis"])
def test_what_is_learned_is_the_same_each_time_to_the_bit(kind: metrics.MetricKind) -> None:
    first, second = learn(words, kind), learn(words, kind)
    assert torch.equal(first.projection, second.projection)
    assert torch.equal(first.background, second.background)


@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_an_embedder_that_tells_nothing_apart_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="choose the metric euclidean"):
        learn(lambda texts: torch.full((len(texts), 4), value), "contrast")


def unit(*degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


# Two topics on the unit circle, at 0 and 10 degrees and at 90.
CIRCLE = Metric("contrast", torch.eye(2), unit(0, 10, 90), ("east", "east", "north"), unit(0, 90))


def test_a_topic_is_as_far_as_its_nearest_question() -> None:
    distances = CIRCLE.topic_distances(unit(10, 70))
    expected = torch.cdist(unit(10, 70), unit(10, 90))
    torch.testing.assert_close(distances, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("own", "relation", "topics"),
    [
        ((5, 15), 180, ("east",)),  # nearest to all
        ((5, 15, 20, 85), 180, ("east", "north")),  # a quarter of the votes
        ((5, 15, 20, 30, 85), 180, ("east",)),
        ((), 80, ("north",)),  # by its name alone
        ((85,), 10, ("east", "north")),
        ((), 45, ("east", "north")),  # as near to one name as to the other
        ((), 40, ("east", "north")),
        ((), 37.5, ("east", "north")),
        ((), 36, ("east",)),  # cos 36° - cos 54° > 0.2
    ],
)
def test_own_topics_by_vote_and_by_name(
    own: tuple[float, ...], relation: float, topics: tuple[str, ...]
) -> None:
    (name,) = unit(relation)
    assert CIRCLE.own_topics(unit(*own), name) == topics


def test_own_topics_need_the_topics_names_and_a_background() -> None:
    with pytest.raises(ValueError, match="as learned"):
        replace(CIRCLE, labels=None).own_topics(unit(0), unit(0)[0])
    assert learn(unavailable, "euclidean").own_topics(unit(0), unit(0)[0]) == ()


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        ("X was born in", "in", ""),
        ("X, created by:", "by", ""),
        ("When was X born?", "", "when"),
        ("User: Who is X named after?", "", "who"),
        ("Where does X come from?", "from", "where"),
        ("The place where X was born is", "", ""),
        ("", "", ""),
        (" ?", "", ""),
    ],
)
def test_the_words_that_say_what_is_asked_for(text: str, last: str, first: str) -> None:
    assert (final_preposition(text), question_word(text)) == (last, first)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The gender of the mother of X is", {"gender", "mother"}),
        ("What is the name of the person who X was called by?", set()),
        ("X's Mothers", {"mother"}),
        ("X, whose mères", {"mer"}),
        ("X passes", {"pass"}),
    ],
)
def test_content_stems_are_of_words_that_few_questions_have(text: str, words: set[str]) -> None:
    assert content_stems(text) == words


def test_wordings_that_differ_in_endings_tell_the_same() -> None:
    for several in (("countries", "country"), ("married", "marries", "marry"), ("passes", "pass")):
        assert len({content_stems(word) for word in several}) == 1, several


def test_how_topics_ask() -> None:
    assert question_words(["place of birth", "place of death"]) == {"where"}
    assert question_words(["place of birth", "date of birth"]) == {"when", "where"}
    assert question_words(["mother tongue", "no topic of the library"]) == set()


# None of these wordings is in the library, as the test makes sure.
@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("The town of X's birth is", "place of birth"),
        ("X, who drew a last breath in the city of", "place of death"),
        ("As a child, X grew up speaking", "mother tongue"),
        ("The religion that X believes in is", "religion"),
        ("The seat of government of X is the city of", "capital"),
        ("X earns a living as a", "occupation"),
        ("The wedding was of X and", "spouse"),
    ],
)
def test_the_learnt_metric_knows_a_question_in_other_words(
    minilm: Embedder, contrast: Metric, text: str, topic: str
) -> None:
    assert text not in TOPICS[topic]
    distances = contrast.topic_distances(contrast.points(minilm.embed([text])))[0]
    assert contrast.topic_names[int(distances.argmin())] == topic


def test_the_learnt_metric_parts_what_the_embedder_does_not(
    minilm: Embedder, contrast: Metric
) -> None:
    """To the embedder "died in" is nearer to "born in" than other words for the same are."""
    rows = minilm.embed(["X was born in", "X died in", "X's cradle stood in"])
    assert (rows[0] - rows[1]).norm() < (rows[0] - rows[2]).norm()
    points = contrast.points(rows)
    assert (points[0] - points[1]).norm() > (points[0] - points[2]).norm()
