"""Distances beside the detector: how they move a probability, and what they bring."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import multilingual
from sake_registry.routing.detector import Judgement, load
from sake_registry.routing.entries import anchored_texts
from sake_registry.routing.metric import Metric, learn
from sake_registry.routing.nearness import Nearness, with_evidence
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.settings import MULTILINGUAL

DISTANCES = st.floats(0, 2)
PROMPTS = ("The mother tongue of <subject> is", "The first language of <subject> was")
AROUND = "The museum opens at nine and the guides speak English. The native language of {} is"


@given(DISTANCES, DISTANCES, DISTANCES, st.booleans(), st.booleans(), st.floats(0, 0.3))
def test_what_lies_nearer_to_the_edit_s_own_is_more_probable(
    own: float, whole: float, rival: float, otherwise: bool, around: bool, less: float
) -> None:
    there = Nearness(own, whole, rival, otherwise).evidence(around=around)
    nearer = Nearness(max(0, own - less), whole, rival, otherwise).evidence(around=around)
    assert nearer >= there
    assert Nearness(own, whole, rival + less, otherwise).evidence(around=around) >= there
    assert Nearness(own, whole, rival, False).evidence(around=around) >= there


@given(st.floats(0, 1), st.floats(-8, 8))
def test_a_probability_stays_one(probability: float, evidence: float) -> None:
    moved = with_evidence(probability, evidence)
    assert 0 < moved < 1
    odds = max(probability, 1e-6) / max(1 - probability, 1e-6)
    assert (moved > 0.5) == (evidence > -math.log(odds)) or math.isclose(moved, 0.5)


@given(st.floats(1e-5, 1 - 1e-5))
def test_without_evidence_a_probability_is_what_it_was(probability: float) -> None:
    assert with_evidence(probability, 0) == pytest.approx(probability, abs=1e-6)


@pytest.fixture(scope="module")
def routers() -> tuple[Router, Router]:
    """Of one edit, without distances and with them."""
    embed = multilingual(locate_embedder(MULTILINGUAL, local=True)).embed
    routes, texts = anchored_texts(["Victor Hugo"], [PROMPTS], [], read=True)
    entry = RouterEntry("hugo", "detector", 0.5, routes, embed(texts))
    return Router([entry], embed), Router([entry], embed, learn(embed, "contrast"))


def test_a_question_in_unrelated_text_is_more_probable_for_its_clause(
    routers: tuple[Router, Router],
) -> None:
    alone, beside = (router.decide(AROUND.format("Victor Hugo"))[0].distance for router in routers)
    assert alone is not None
    assert beside is not None
    assert beside < alone


def test_what_is_asked_of_other_edits_is_less_probable_for_its_distance(
    routers: tuple[Router, Router],
) -> None:
    texts = ["Victor Hugo was born in", "Victor Hugo died in", "Where did Victor Hugo work?"]
    alone, beside = ([d.distance for d in router.decide(texts)] for router in routers)
    assert all(b > a for a, b in zip(alone, beside, strict=True))


def test_an_own_prompt_is_certain_whatever_the_distances(routers: tuple[Router, Router]) -> None:
    for router in routers:
        assert router.decide("The mother tongue of Victor Hugo is")[0].distance == 0


def test_a_task_is_no_nearer_for_the_wording_that_it_holds() -> None:
    """Its evidence is that of a question which stands alone."""
    held = Nearness(own=0.1, whole=0.9, rival=0.9, ends_otherwise=False)
    alone = Nearness(own=0.1, whole=0.1, rival=0.9, ends_otherwise=False)
    assert held.evidence(around=False) == alone.evidence(around=True)
    assert held.evidence(around=True) > alone.evidence(around=True)


def test_what_is_learned_has_the_evidence_beside_it(routers: tuple[Router, Router]) -> None:
    """`held_against` gives what the router adds, so that nothing is learned twice."""
    _, beside = routers
    text = AROUND.format("Victor Hugo")
    ((edit, fact, read, evidence),) = beside.held_against(text)
    (judgement,) = load().judge([(fact, read)])
    assert (edit, isinstance(judgement, Judgement)) == ("hugo", True)
    (decision,) = beside.decide(text)
    assert decision.distance == pytest.approx(1 - with_evidence(judgement.asks, evidence), abs=1e-5)


def test_without_a_background_nothing_is_a_rival() -> None:
    """As a bundle may have it that somebody else wrote."""
    embed = multilingual(locate_embedder(MULTILINGUAL, local=True)).embed
    routes, texts = anchored_texts(["Victor Hugo"], [PROMPTS], [], read=True)
    entry = RouterEntry("hugo", "detector", 0.5, routes, embed(texts))
    learned = learn(embed, "contrast")
    bare = Metric("contrast", learned.projection, learned.background[:0])
    (decision,) = Router([entry], embed, bare).decide(AROUND.format("Victor Hugo"))
    assert decision.nearest == "hugo"
    assert 0 < (decision.distance or 0) < 1
