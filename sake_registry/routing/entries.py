"""From an edit's texts to its router entry: what is compared, as points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sake_registry import names
from sake_registry.bundle.format import Route
from sake_registry.names import SUBJECT
from sake_registry.routing.metric import content_stems, final_preposition
from sake_registry.routing.representation import MASK, VIEWED, masked_clause, view
from sake_registry.routing.router import COUNTER

MOST_READ = 24
"""Texts of a route that an entry of the detector keeps, …"""
READ_CHARACTERS = VIEWED
"""… and of each the last characters."""

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
    *,
    read: bool = False,
) -> tuple[tuple[Route, ...], list[str]]:
    """Routes of an `anchored` or `detector` entry, and the texts of their points in their order.

    Args:
        subject: the subject's names.
        groups: the written prompts of each group, `<subject>` not filled in.
        unchanged: the prompts that stay as they are, filled in.
        relation: its name, in words.
        read: whether the texts are kept, for the detector to read, in place of what is compared
            beside their points.
    """
    fact = " ".join((relation, *groups[0])) if groups else ""
    of_fact = content_stems(fact.replace(SUBJECT, " "))
    routes: list[Route] = []
    texts: list[str] = []

    def add(group: int, known: Sequence[str], need: Need, points: Sequence[str]) -> None:
        if points and read:
            points = list(dict.fromkeys(point[-READ_CHARACTERS:] for point in points))
            routes.append(
                Route(
                    group=group, names=tuple(known), need=need, rows=len(points),
                    texts=tuple(points),
                )
            )  # fmt: skip
            texts.extend(points)
        elif points:
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
            spans = names.find(text, subject, judged=read)
            clause = masked_clause(text, spans)
            if read and spans:
                clause = view(text, spans)
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
    places = [(text, names.find(text, subject, judged=read)) for text in unchanged]
    held = [view(*place) if read and place[1] else masked_clause(*place) for place in places]
    add(COUNTER, subject, "any", list(dict.fromkeys(text for text in held if text)))
    return tuple(routes), texts


def representative(routes: Sequence[Route], points: Tensor) -> tuple[tuple[Route, ...], Tensor]:
    """Routes of a `detector` entry with at most `MOST_READ` of their texts each, and their points:
    those furthest apart, since the detector reads but a few beside a prompt."""
    kept_routes, kept = [], []
    for route, rows in zip(
        routes, torch.split(points, [route.rows for route in routes]), strict=True
    ):
        chosen = [0]
        nearest = torch.full((len(rows),), torch.inf)
        while len(chosen) < min(MOST_READ, len(rows)):
            nearest = nearest.minimum((rows - rows[chosen[-1]]).norm(dim=1))
            chosen.append(int(nearest.argmax()))
        chosen = sorted(set(chosen))
        texts = tuple(route.texts[i] for i in chosen)
        kept_routes.append(route.model_copy(update={"rows": len(chosen), "texts": texts}))
        kept.append(rows[chosen])
    return tuple(kept_routes), torch.cat(kept) if kept else points


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
