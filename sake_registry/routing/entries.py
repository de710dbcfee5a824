"""From an edit's texts to its router entry: what is compared, as points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sake_registry import names
from sake_registry.bundle.format import Route
from sake_registry.names import SUBJECT
from sake_registry.routing.metric import content_stems, final_preposition
from sake_registry.routing.representation import MASK, masked_clause
from sake_registry.routing.router import COUNTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.models.embedder import Embed
    from sake_registry.names import Need
    from sake_registry.routing.metric import Metric


def anchored_texts(
    subject: Sequence[str],
    groups: Sequence[Sequence[str]],
    unchanged: Sequence[str],
    relation: str = "",
) -> tuple[tuple[Route, ...], list[str]]:
    """Routes of an `anchored` entry and the texts of their points, in the routes' order.

    Args:
        subject: the subject's names.
        groups: the written prompts of each group, `<subject>` not filled in.
        unchanged: the prompts that stay as they are, filled in.
        relation: its name, in words.
    """
    fact = " ".join((relation, *groups[0])) if groups else ""
    of_fact = content_stems(fact.replace(SUBJECT, " "))
    routes: list[Route] = []
    texts: list[str] = []

    def add(group: int, known: Sequence[str], need: Need, points: Sequence[str]) -> None:
        if points:
            ends = tuple(final_preposition(point) for point in points)
            links = content_stems(" ".join(points)).intersection(of_fact) if group > 0 else ()
            routes.append(
                Route(
                    group=group,
                    names=tuple(known),
                    need=need,
                    rows=len(points),
                    ends=ends,
                    links=tuple(sorted(links)),
                )
            )
            texts.extend(points)

    for number, stems in enumerate(groups):
        named, nameless = [], []
        for stem in stems:
            text = stem.replace(SUBJECT, subject[0])
            clause = masked_clause(text, names.find(text, subject))
            # A prompt may name the subject in a way that `find` does not take for the name.
            if clause is None and SUBJECT in stem:
                clause = stem.replace(SUBJECT, MASK)
            if clause is not None:
                named.append(clause)
            else:
                nameless.append(text)
        add(number, subject, "any", list(dict.fromkeys(named)))
        for text in dict.fromkeys(nameless):
            others = names.proper_names(text)
            clause = masked_clause(text, names.find(text, others)) if others else text
            add(number, others if clause is not None else (), "all", [clause or text])
    held = [masked_clause(text, names.find(text, subject)) for text in unchanged]
    add(COUNTER, subject, "any", list(dict.fromkeys(text for text in held if text)))
    return tuple(routes), texts


def own_topics(
    routes: Sequence[Route], points: Tensor, relation: str, embed: Embed, metric: Metric
) -> tuple[str, ...]:
    """The topics that ask what an `anchored` edit asks, in the metric's order.

    Args:
        routes: of the edit; what is unchanged has no say.
        points: embeddings of the routes' texts, (sum of rows, embedder's width).
        relation: its name, in words.
        embed: the embedder of the points.
        metric: as learned; () where it has no background.
    """
    if not metric.topics:
        return ()
    groups = torch.tensor([route.group for route in routes for _ in range(route.rows)])
    (name,) = embed([relation])
    topics: set[str] = set()
    # Each group votes for itself, or many prompts of the fact would drown an implication's few.
    for group in sorted({route.group for route in routes} - {COUNTER}):
        topics.update(metric.own_topics(points[groups == group], name))
    return tuple(topic for topic in metric.topic_names if topic in topics)


def centre_texts(groups: Sequence[Sequence[str]]) -> tuple[tuple[Route, ...], list[list[str]]]:
    """Routes of a `centre` entry, and the texts of which each point is the mean."""
    return (
        tuple(Route(group=number, names=(), need="any", rows=1) for number in range(len(groups))),
        [list(prompts) for prompts in groups],
    )
