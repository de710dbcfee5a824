"""Decisions with a made-up embedder, whose distances can be worked by hand, and with the real."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sake_registry.bundle.format import Route
from sake_registry.models.embedder import Embedder
from sake_registry.routing.entries import anchored_texts, centre_texts, own_topics
from sake_registry.routing.metric import BACKGROUND_WEIGHT, MISMATCH, Metric, learn
from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import COUNTER, NOBODY, Decision, Router, RouterEntry

WORDS = ["mother", "tongue", "capital", "city", "largest", "of", "is", "X", "born", "speaks"]


def embed(texts: Sequence[str]) -> Tensor:
    """Counts of known words: texts differ by what they say, at distances of √k."""
    return torch.tensor(
        [[float(re.findall(r"\w+", text).count(word)) for word in WORDS] for text in texts]
    )


def entry(
    edit: str, subject: Sequence[str], prompts: Sequence[str], *, threshold: float = 1.1,
    unchanged: Sequence[str] = (), groups: Sequence[Sequence[str]] = (), **options: Any,
) -> RouterEntry:  # fmt: skip
    routes, texts = anchored_texts(subject, [prompts, *groups], unchanged)
    return RouterEntry(edit, "anchored", threshold, routes, embed(texts), **options)


TONGUE = entry("tongue", ["Leo Tolstoy", "Lev Tolstoy"], ["The mother tongue of <subject> is"])
CAPITAL = entry(
    "capital", ["Guinea"], ["The capital of <subject> is"], threshold=1.8,
    unchanged=["The largest city of Guinea is"],
)  # fmt: skip


def decide(prompt: str, *entries: RouterEntry, **options: object) -> tuple[str | None, str]:
    router = Router(entries or (TONGUE, CAPITAL), embed)
    (decision,) = router.decide([prompt], **options)  # type: ignore[arg-type]
    return decision.edit, decision.why


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The mother tongue of Leo Tolstoy is", ("tongue", "in scope")),
        ("By the way. The mother tongue of Lev Tolstoy is", ("tongue", "in scope")),
        ("The mother tongue of Victor Hugo is", (None, "no edit's subject is named")),
        ("Leo Tolstoy born born", (None, "another question")),
        ("The capital of Guinea is", ("capital", "in scope")),
        ("The capital of Papua New Guinea is", (None, "no edit's subject is named")),
        ("The capital of Guinea-Bissau is", (None, "no edit's subject is named")),
        # Within the threshold, but nearer to what the edit lists as unchanged.
        ("The largest city of Guinea is", (None, "nearer to what stays unchanged")),
        ("The mother tongue of Leo Tolstoy is Russian. The capital of Guinea is",
         ("capital", "in scope")),
    ],
)  # fmt: skip
def test_an_edit_fires_on_its_subject_and_its_question(
    prompt: str, expected: tuple[str | None, str]
) -> None:
    assert decide(prompt) == expected


def test_a_decision_carries_distance_threshold_and_the_nearest() -> None:
    router = Router([CAPITAL, TONGUE], embed)
    near, far, none = router.decide(
        ["capital of Guinea is city", "Guinea born born born", "Something else"]
    )
    assert (near.edit, near.distance, near.threshold) == ("capital", 1.0, 1.8)
    assert (far.edit, far.nearest) == (None, "capital")
    assert far.distance is not None
    assert far.distance > 1.8
    assert (none.nearest, none.distance) == (None, None)
    assert str(near) == "capital (1.00 ≤ 1.8; in scope)"


def test_the_nearest_of_several_edits_of_one_subject_fires() -> None:
    other = entry("born", ["Leo Tolstoy"], ["<subject> born"], threshold=3.0)
    wide = RouterEntry("tongue", "anchored", 3.0, TONGUE.routes, TONGUE.points)
    assert decide("Leo Tolstoy born", wide, other) == ("born", "in scope")
    assert decide("The mother tongue of Leo Tolstoy is", wide, other) == ("tongue", "in scope")


def test_disabled_and_expired_edits_say_so() -> None:
    dated = entry(
        "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
        valid_from=date(2026, 1, 1), valid_until=date(2026, 6, 30),
    )  # fmt: skip
    prompt = "The mother tongue of Leo Tolstoy is"

    def at(*day: int) -> tuple[str | None, str]:
        return decide(prompt, dated, now=datetime(*day, tzinfo=UTC))  # type: ignore[arg-type]

    assert at(2025, 12, 31, 23) == (None, "not valid before 2026-01-01")
    assert at(2026, 1, 1) == ("tongue", "in scope")
    assert at(2026, 6, 30, 23, 59) == ("tongue", "in scope")
    assert at(2026, 7, 1) == (None, "expired on 2026-06-30")
    assert decide(prompt, TONGUE, disabled={"tongue"}) == (None, "disabled")


def test_a_disabled_edit_gives_way_to_another_in_scope() -> None:
    second = entry("tongue-2", ["Leo Tolstoy"], ["The mother tongue of <subject> is X"])
    prompt = "The mother tongue of Leo Tolstoy is"
    assert decide(prompt, TONGUE, second) == ("tongue", "in scope")
    assert decide(prompt, TONGUE, second, disabled={"tongue"}) == ("tongue-2", "in scope")


def test_an_implication_leads_to_its_own_group() -> None:
    edit = entry(
        "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
        groups=[["<subject> born"], ["The author of Anna Karenina speaks"]],
    )  # fmt: skip
    router = Router([edit], embed)
    decisions = router.decide(
        ["The mother tongue of Leo Tolstoy is", "Leo Tolstoy born",
         "The author of Anna Karenina speaks", "The author of Madame Bovary speaks"]
    )  # fmt: skip
    assert [d.group for d in decisions] == [0, 1, 2, None]


def test_routes_tell_their_rows_apart() -> None:
    routes, texts = anchored_texts(
        ["Guinea"], [["The capital of <subject> is", "The capital of <subject> is"]],
        ["The largest city of Guinea is", "Something else"],
    )  # fmt: skip
    assert routes == (
        Route(group=0, names=("Guinea",), need="any", rows=1, ends=("",)),
        Route(group=COUNTER, names=("Guinea",), need="any", rows=1, ends=("",)),
    )
    assert texts == ["The capital of X is", "The largest city of X is"]


def test_the_papers_rule_takes_the_nearest_centre() -> None:
    def centre(edit: str, prompts: list[str], threshold: float) -> RouterEntry:
        routes, texts = centre_texts([prompts])
        points = torch.stack([embed(t).mean(0) for t in texts])
        return RouterEntry(edit, "centre", threshold, routes, points)

    tongue = centre("tongue", ["mother tongue of", "mother tongue is"], 1.0)
    capital = centre("capital", ["capital of"], 1.0)
    router = Router([tongue, capital], embed)
    decisions = router.decide(["mother tongue of", "capital of", "born born born"])
    assert [d.edit for d in decisions] == ["tongue", "capital", None]
    assert decisions[0].distance == pytest.approx(0.5**0.5)


def test_behind_a_disabled_centre_the_next_nearest_may_fire() -> None:
    entries = [
        RouterEntry(edit, "centre", 2.0, centre_texts([[text]])[0], embed([text]))
        for edit, text in (("near", "mother tongue"), ("far", "mother tongue of"))
    ]
    router = Router(entries, embed)
    assert router.decide(["mother tongue"])[0].edit == "near"
    assert router.decide(["mother tongue"], disabled={"near"})[0].edit == "far"
    assert router.decide(["mother tongue"], disabled={"near", "far"})[0].reason == "disabled"


@pytest.mark.parametrize(
    "prompt",
    ["The capital of Guinea/Conakry is", "capital—Guinea—is", "The capital of *Guinea* is",
     "The capital of <b>Guinea</b> is", "Conakry,Guinea: the capital of Guinea is"],
)  # fmt: skip
def test_a_name_is_found_next_to_any_punctuation(prompt: str) -> None:
    assert decide(prompt)[0] == "capital"


def test_a_distance_that_is_no_number_never_fires() -> None:
    router = Router([TONGUE], lambda texts: torch.full((len(texts), len(WORDS)), torch.nan))
    (decision,) = router.decide(["The mother tongue of Leo Tolstoy is"])
    assert decision.edit is None


def test_points_that_do_not_fit_the_routes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        route = Route(group=0, names=("A",), need="any", rows=3)
        RouterEntry("e", "anchored", 1.0, (route,), torch.zeros(2, 4))


@given(st.lists(st.sampled_from([
    "The mother tongue of Leo Tolstoy is", "The capital of Guinea is", "Leo Tolstoy born",
    "It is late", "The largest city of Guinea is",
]), min_size=1, max_size=8))  # fmt: skip
def test_a_decision_does_not_depend_on_its_batch_or_on_the_order_of_edits(
    prompts: list[str],
) -> None:
    together = Router([TONGUE, CAPITAL], embed).decide(prompts)
    other = Router([CAPITAL, TONGUE], embed)
    assert together == [other.decide([prompt])[0] for prompt in prompts]


# -- how a name may be written ------------------------------------------------------------------

JOSE = entry("jose", ["José Mourinho"], ["The mother tongue of <subject> is"])
RING = entry("ring", ["J. R. R. Tolkien"], ["The mother tongue of <subject> is"])
SHORT = entry("short", ["U.S."], ["The capital of <subject> is"])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The mother tongue of Jose Mourinho is", "jose"),
        ("The mother tongue of Jose\N{COMBINING ACUTE ACCENT} Mourinho is", "jose"),
        ("the mother tongue of jose mourinho is", "jose"),
        ("The mother tongue of JRR Tolkien is", "ring"),
        ("The mother tongue of J.R.R. Tolkien is", "ring"),
        ("The capital of U.S. is", "short"),
    ],
)
def test_names_in_other_case_accents_and_stops_lead_to_the_edit(prompt: str, expected: str) -> None:
    assert decide(prompt, JOSE, RING, SHORT)[0] == expected


def tongue(edit: str, *subject: str) -> RouterEntry:
    return entry(edit, subject, ["The mother tongue of <subject> is"])


def by_last_name(*entries: RouterEntry, last_names: bool = True) -> str | None:
    (decision,) = Router(entries, embed, last_names=last_names).decide(
        ["The mother tongue of Tolstoy is"]
    )
    return decision.edit


def test_a_last_name_stands_for_its_subject_alone() -> None:
    assert by_last_name(tongue("leo", "Leo Tolstoy")) == "leo"
    assert by_last_name(tongue("leo", "Leo Tolstoy"), tongue("hugo", "Victor Hugo")) == "leo"
    assert by_last_name(tongue("leo", "Leo Tolstoy", "Lev Tolstoy")) == "leo"
    assert by_last_name(tongue("leo", "Leo Tolstoy"), last_names=False) is None


@pytest.mark.parametrize("other", ["Sophia Tolstoy", "Tolstoy", "tolstoy Museum", "Tolstoy County"])
def test_a_last_name_that_another_name_has_stands_for_nobody(other: str) -> None:
    leo, another = tongue("leo", "Leo Tolstoy"), entry("other", [other], ["<subject> born born"])
    assert by_last_name(leo, another) is None


def test_a_last_name_in_an_implication_of_the_edit_itself_counts() -> None:
    leo = entry("leo", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
                groups=[["The husband of Sophia Tolstoy speaks"]])  # fmt: skip
    assert by_last_name(leo) is None


HEALTH = "World Health Organization"


@pytest.mark.parametrize("written", ["WHO", "W.H.O."])
def test_an_acronym_stands_for_its_subject_with_stops_and_without(written: str) -> None:
    (decision,) = Router([tongue("health", HEALTH)], embed).decide(
        [f"The mother tongue of {written} is"]
    )
    assert decision.edit == "health"


@pytest.mark.parametrize("other", ["WHO", "W.H.O.", "World Heritage Organization"])
def test_an_acronym_that_another_subject_has_stands_for_it_alone(other: str) -> None:
    another = entry("other", [other], ["<subject> born born"])
    router = Router([tongue("health", HEALTH), another], embed)
    for written in ("WHO", "W.H.O."):
        (decision,) = router.decide([f"The mother tongue of {written} is"])
        assert decision.edit is None


def test_two_edits_of_one_subject_share_its_last_name() -> None:
    born = entry("born", ["Lev Tolstoy", "Leo Tolstoy"], ["<subject> born born"])
    router = Router([tongue("leo", "Leo Tolstoy"), born], embed)
    found = router.decide(["The mother tongue of Tolstoy is", "Tolstoy born born"])
    assert [decision.edit for decision in found] == ["leo", "born"]


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("Princess Margaret, Countess of Snowdon", "Princess Margaret"),
        ("John Fitzgerald Kennedy", "John Kennedy"),
        ("John Fitzgerald Kennedy", "John F. Kennedy"),
        ("Robert Downey Jr.", "Robert Downey"),
        ("Barack Obama", "Barack Hussein Obama"),
        ("Jermaine O'Neal", "Jermaine L. O’Neal"),
        ("The Beatles", "the Beatles"),
        ("The Beatles", "Beatles"),
    ],
)
def test_another_form_of_a_name_stands_for_its_subject(subject: str, written: str) -> None:
    prompts = [f"The mother tongue of {written} is"]
    for setting, edit in ((True, "e"), (False, None)):
        (found,) = Router([tongue("e", subject)], embed, last_names=setting).decide(prompts)
        assert found.edit == edit


@pytest.mark.parametrize(
    ("one", "other", "written"),
    [
        ("John Fitzgerald Kennedy", "John Quincy Kennedy", "John Kennedy"),
        ("John Fitzgerald Kennedy", "John Francis Kennedy", "John F. Kennedy"),
        ("George Bush", "George W. Bush", "George Herbert Bush"),
        ("Princess Margaret, Countess of Snowdon", "Princess Margaret of Prussia",
         "Princess Margaret"),
        ("The Beatles", "Beatles Museum", "Beatles"),
    ],
)  # fmt: skip
def test_a_form_that_another_subject_may_have_stands_for_nobody(
    one: str, other: str, written: str
) -> None:
    prompts = [f"The mother tongue of {written} is"]
    (alone,) = Router([tongue("one", one)], embed).decide(prompts)
    (both,) = Router([tongue("one", one), tongue("other", other)], embed).decide(prompts)
    assert (alone.edit, both.edit) == ("one", None)


def test_the_points_of_an_edit_know_only_the_names_that_are_listed() -> None:
    routes, texts = anchored_texts(
        ["Barack Obama"], [["The mother tongue of <subject> is"]], ["Barack Hussein Obama is born"]
    )
    assert {name for route in routes for name in route.names} == {"Barack Obama"}
    assert texts == ["The mother tongue of X is"]


def test_an_implication_by_other_names_needs_them_in_full() -> None:
    edit = entry("leo", ["Leo Tolstoy"], ["The mother tongue of <subject> is"],
                 groups=[["The author of Anna Karenina speaks"]])  # fmt: skip
    (full, last) = Router([edit], embed).decide(
        ["The author of Anna Karenina speaks", "The author of Karenina speaks"]
    )
    assert (full.group, last.group) == (1, None)


# -- bounds ---------------------------------------------------------------------------------------


def test_implications_have_a_bound_of_their_own() -> None:
    def at(implied: float | None) -> list[Decision]:
        edit = entry(
            "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"], threshold=1.5,
            groups=[["The city of <subject> born"]], implied=implied,
        )  # fmt: skip
        return Router([edit], embed).decide(
            ["mother tongue of Leo Tolstoy", "city of Leo Tolstoy is born"]  # each at 1
        )

    fact, implied = at(None)
    assert (fact.group, fact.threshold, implied.group, implied.threshold) == (0, 1.5, 1, 1.5)
    fact, implied = at(0.9)
    assert (fact.group, fact.threshold) == (0, 1.5)
    assert (implied.group, implied.distance, implied.threshold) == (None, 1.0, 0.9)
    fact, implied = at(2.5)
    assert (fact.group, implied.group, implied.threshold) == (0, 1, 2.5)


def test_another_threshold_is_that_of_every_edit_and_leaves_the_router_as_it_was() -> None:
    asked = "capital of Guinea is city"
    router = Router([TONGUE, replace(CAPITAL, implied=0.1)], embed)
    (before,) = router.decide(asked)
    assert (before.edit, before.threshold) == ("capital", 1.8)
    for threshold in (0.5, 2.5):
        entries = [replace(e, threshold=threshold, implied=None) for e in router.entries.values()]
        for prompt in (asked, "The mother tongue of Leo Tolstoy is X", "Guinea born"):
            wanted = Router(entries, embed).decide(prompt)
            assert router.bounded(threshold).decide(prompt) == wanted
            assert wanted[0].threshold == threshold
    assert router.decide(asked) == [before]
    centred = Router(
        [
            RouterEntry(
                "c",
                "centre",
                1.0,
                (Route(group=0, names=(), need="any", rows=1),),
                embed(["capital"]),
            )
        ],
        embed,
    )
    assert [d.edit for d in centred.decide(["city"])] == [None]
    assert [d.edit for d in centred.bounded(2).decide(["city"])] == ["c"]


def test_of_edits_with_different_bounds_that_fires_whose_bound_is_taken_up_least() -> None:
    near = entry("near", ["Leo Tolstoy"], ["mother tongue of <subject>"], threshold=1.1)
    far = entry("far", ["Leo Tolstoy"], ["<subject> born is tongue mother"], threshold=3.0)
    prompt = "mother tongue of Leo Tolstoy is"  # 1 from `near`, √2 from `far`
    assert decide(prompt, near, far) == ("far", "in scope")
    assert decide(prompt, near, far, disabled={"far"}) == ("near", "in scope")


def test_without_bounds_the_nearest_group_is_found() -> None:
    edit = entry(
        "tongue", ["Leo Tolstoy"], ["The mother tongue of <subject> is"], threshold=torch.inf,
        groups=[["<subject> born"]],
    )  # fmt: skip
    found = Router([edit], embed).decide(["Leo Tolstoy born born", "tongue of Leo Tolstoy"])
    assert [decision.group for decision in found] == [1, 0]


def test_every_part_of_a_clause_is_compared_and_the_best_counts() -> None:
    prompt = "The city of capital largest, Leo Tolstoy born"
    edit = entry("born", ["Leo Tolstoy"], ["<subject> born"])
    (decision,) = Router([edit], embed).decide([prompt])
    assert (decision.edit, decision.distance) == ("born", 0.0)
    # Whichever of them is nearest to what stays unchanged holds its ground.
    held = entry("born", ["Leo Tolstoy"], ["<subject> born is"], unchanged=["Leo Tolstoy born"])
    assert decide(prompt, held) == (None, "nearer to what stays unchanged")


def test_last_words_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="last words"):
        route = Route(group=0, names=("A",), need="any", rows=2, ends=("in",))
        RouterEntry("e", "anchored", 1.0, (route,), torch.zeros(2, 4))


# -- the metric with a background, by hand ---------------------------------------------------------

# Texts as points of the unit circle; the library has two topics there.
ANGLES = {
    "X worked in": 0.0, "X worked on": 0.0, "X worked": 0.0, "X was employed in": 20.0,
    "X was": 60.0, "X rested": 90.0,
}  # fmt: skip


def circle(texts: Sequence[str]) -> Tensor:
    angle = torch.deg2rad(torch.tensor([ANGLES[text] for text in texts]))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


ROUND = Metric(
    "contrast", torch.eye(2), circle(["X worked", "X rested"]), ("work", "rest"),
    circle(["X worked", "X rested"]),
)  # fmt: skip


def chord(degrees: float) -> float:
    return float(2 * torch.sin(torch.deg2rad(torch.tensor(degrees / 2))))


def work(threshold: float, *prompts: str, topics: tuple[str, ...] = ("work",)) -> list[Decision]:
    routes, texts = anchored_texts(["Leo Tolstoy"], [["<subject> worked in"]], [])
    edit = RouterEntry("work", "anchored", threshold, routes, circle(texts), topics=topics)
    return Router([edit], circle, ROUND).decide([p.replace("X", "Leo Tolstoy") for p in prompts])


def test_the_bound_is_wider_the_further_other_questions_are() -> None:
    near, between, other = work(0.3, "X was employed in", "X was", "X rested")
    assert near.edit == "work"
    assert near.distance == pytest.approx(chord(20), abs=1e-5)
    assert near.threshold == pytest.approx(0.3 + BACKGROUND_WEIGHT * chord(70), abs=1e-5)
    assert between.edit is None
    assert between.distance == pytest.approx(chord(60), abs=1e-5)
    assert between.threshold == pytest.approx(0.3 + BACKGROUND_WEIGHT * chord(30), abs=1e-5)
    assert between.why == other.why == "another question (nearer to: rest)"


def test_an_edits_own_topics_are_no_background_to_it() -> None:
    (own,) = work(0.3, "X was employed in")
    (other,) = work(0.3, "X was employed in", topics=())
    assert other.threshold == pytest.approx(0.3 + BACKGROUND_WEIGHT * chord(20), abs=1e-5)
    assert own.threshold == pytest.approx(0.3 + BACKGROUND_WEIGHT * chord(70), abs=1e-5)
    (none,) = work(0.3, "X was employed in", topics=("work", "rest"))
    assert none.threshold == 0.3


def test_a_question_that_ends_in_another_preposition_is_further() -> None:
    same, other, neither = work(9, "X worked in", "X worked on", "X worked")
    assert same.distance == pytest.approx(0, abs=1e-6)
    assert other.distance == pytest.approx(MISMATCH, abs=1e-6)
    assert neither.distance == pytest.approx(0, abs=1e-6)


def test_an_implication_is_asked_with_a_word_of_its_fact() -> None:
    """ "X rested" is as near to "X was" as it is without links, and further with."""
    fact, implied = ["<subject>'s mother is"], ["The mother of <subject> was"]
    routes, _ = anchored_texts(["Leo Tolstoy"], [fact, implied], [], "parent")
    assert [route.links for route in routes] == [(), ("mother",)]

    def decided(*links: str) -> list[Decision]:
        route = Route(group=1, names=("Leo Tolstoy",), need="any", rows=1, links=links)
        edit = RouterEntry("e", "anchored", 9.0, (route,), circle(["X was"]))
        return Router([edit], circle, ROUND).decide(["Leo Tolstoy was", "Leo Tolstoy rested"])

    for linked, free in zip(decided("was", "mother"), decided(), strict=True):
        assert linked.distance == pytest.approx(free.distance + MISMATCH, abs=1e-6)
    (_, linked), (_, free) = decided("rest", "mother"), decided()
    assert linked.distance == pytest.approx(free.distance, abs=1e-6)


def test_words_that_the_relation_alone_has_are_links_and_common_ones_are_not() -> None:
    groups = [["<subject> is a"], ["What is the job of <subject>?", "<subject> works as"]]
    routes, _ = anchored_texts(["Leo Tolstoy"], groups, [], "the job of a person")
    assert [route.links for route in routes] == [(), ("job",)]


def test_entries_that_know_no_endings_are_compared_without() -> None:
    route = Route(group=0, names=("Leo Tolstoy",), need="any", rows=1)
    edit = RouterEntry("work", "anchored", 1.0, (route,), circle(["X worked in"]))
    (decision,) = Router([edit], circle, ROUND).decide(["Leo Tolstoy worked on"])
    assert decision.distance == pytest.approx(0, abs=1e-6)


def test_a_centre_keeps_to_euclidean_distances_under_any_metric() -> None:
    texts = ["mother tongue of", "born"]
    edit = RouterEntry("e", "centre", 1.2, centre_texts([[texts[0]]])[0], embed(texts[:1]))
    metric = Metric("contrast", torch.eye(len(WORDS)), torch.eye(len(WORDS))[:1], ("rest",))
    prompts = ["mother tongue", "born born"]
    assert Router([edit], embed, metric).decide(prompts) == Router([edit], embed).decide(prompts)


# -- with the real embedder and the library -------------------------------------------------------

DARRIEUX = "Danielle Darrieux"
FACTS = {
    "mother tongue": ("The mother tongue of <subject> is", "<subject> is a native speaker of",
                      "The native language of <subject> is", "<subject>, a native"),
    "place of birth": ("<subject> was born in", "<subject>'s birthplace is", "<subject>, born in",
                       "The city in which <subject> was born is"),
    "place of death": ("<subject> died in", "<subject>'s place of death was",
                       "<subject> passed away in", "<subject>, who died in"),
}  # fmt: skip


@pytest.fixture(scope="module")
def darrieux(minilm: Embedder, contrast: Metric) -> Router:
    entries = []
    for relation, stems in FACTS.items():
        routes, texts = anchored_texts([DARRIEUX], [stems], [])
        points = minilm.embed(texts)
        topics = own_topics(routes, points, relation, minilm.embed, contrast)
        assert relation in topics
        assert not {*FACTS} - {relation} & {*topics}
        entries.append(
            RouterEntry(relation.replace(" ", "-"), "anchored", 0.63, routes, points, topics=topics)
        )
    return Router(entries, minilm.embed, contrast)


@pytest.mark.parametrize(
    ("prompt", "edit"),
    [
        ("As a child, Danielle Darrieux grew up speaking", "mother-tongue"),
        ("What is Danielle Darrieux's mother tongue?", "mother-tongue"),
        ("Which language did Danielle Darrieux learn first?", "mother-tongue"),
        ("The birthplace of Danielle Darrieux is the town of", "place-of-birth"),
        ("It rained. The town of Danielle Darrieux's birth is", "place-of-birth"),
        ("Where was Danielle Darrieux born?", "place-of-birth"),
        ("Can you tell me where Danielle Darrieux was born?", "place-of-birth"),
        ("User: In which city was Danielle Darrieux born?\nAssistant:", "place-of-birth"),
        ("<|im_start|>user\nWhere was Danielle Darrieux born?<|im_end|>\n<|im_start|>assistant\n",
         "place-of-birth"),
        ("French film actresses Danielle Darrieux was born in", "place-of-birth"),
        ("Where did Danielle Darrieux die?", "place-of-death"),
        ("Danielle Darrieux drew a last breath in", "place-of-death"),
        ("Darrieux died in the town of", "place-of-death"),
        ("when was the premiere? danielle darrieux passed away in", "place-of-death"),
    ],
)  # fmt: skip
def test_a_question_in_other_words_finds_its_edit_among_the_subjects(
    darrieux: Router, prompt: str, edit: str
) -> None:
    (decision,) = darrieux.decide([prompt])
    assert decision.edit == edit, str(decision)


@pytest.mark.parametrize(
    ("prompt", "topic"),
    [
        ("Danielle Darrieux was born on", "date of birth"),
        ("When was Danielle Darrieux born?", "date of birth"),
        ("User: When was Danielle Darrieux born?\nAssistant:", "date of birth"),
        ("When did Danielle Darrieux die?", "date of death"),
        ("Danielle Darrieux is buried in", "place of burial"),
        ("Danielle Darrieux was married to", "spouse"),
        ("The occupation of Danielle Darrieux is", "occupation"),
        ("How old was Danielle Darrieux?", "age"),
    ],
)
def test_another_question_about_the_subject_is_left_alone_and_named(
    darrieux: Router, prompt: str, topic: str
) -> None:
    (decision,) = darrieux.decide([prompt])
    assert (decision.edit, decision.why) == (None, f"another question (nearer to: {topic})")


def test_what_is_asked_of_the_subject_itself_is_not_an_implication(
    minilm: Embedder, contrast: Metric
) -> None:
    groups = [["The mother of <subject> is"], ["The gender of the mother of <subject> is"]]
    routes, texts = anchored_texts([DARRIEUX], groups, [], "mother")
    points = minilm.embed(texts)
    topics = own_topics(routes, points, "mother", minilm.embed, contrast)
    edit = RouterEntry("mother", "anchored", 0.62, routes, points, topics=topics)
    router = Router([edit], minilm.embed, contrast)
    asked = [
        f"The sex of {DARRIEUX}'s mother is",
        f"The gender of {DARRIEUX} is",
        f"The mother of {DARRIEUX} is",
    ]
    assert [decision.group for decision in router.decide(asked)] == [1, None, 0]


def test_own_topics_are_those_of_each_group(minilm: Embedder, contrast: Metric) -> None:
    fact = FACTS["place of birth"] + FACTS["mother tongue"][:1]  # a fifth of the votes
    routes, texts = anchored_texts(
        [DARRIEUX], [fact, ["The religion of <subject> is"]], [f"{DARRIEUX} died in"]
    )
    points = minilm.embed(texts)
    topics = own_topics(routes, points, "place of birth", minilm.embed, contrast)
    assert topics == ("place of birth", "religion")
    cosine = learn(minilm.embed, "cosine")
    assert own_topics(routes, points, "place of birth", minilm.embed, cosine) == ()


# -- why -----------------------------------------------------------------------------------------


def test_a_reason_is_asked_by_its_kind_and_said_with_its_detail() -> None:
    wide = replace(TONGUE, valid_until=date(2026, 6, 30))
    router = Router([wide], embed)
    prompt = "The mother tongue of Leo Tolstoy is"
    (late,) = router.decide(prompt, now=datetime(2026, 7, 1, tzinfo=UTC))
    assert (late.reason, late.detail) == (Reason.EXPIRED, "2026-06-30")
    assert late.why == "expired on 2026-06-30"
    # As JSON a reason is what is said, and the detail is in it.
    value = late.model_dump(mode="json")
    assert list(value) == ["edit", "group", "nearest", "distance", "threshold", "reason"]
    assert value["reason"] == late.why
    (none,) = router.decide("The weather is")
    assert none == NOBODY
    assert none.reason == Reason.NOT_NAMED == "no edit's subject is named"


def test_one_string_is_one_prompt() -> None:
    router = Router([TONGUE, CAPITAL], embed)
    prompt = "The capital of Guinea is"
    assert router.decide(prompt) == router.decide([prompt])
    assert [decision.edit for decision in router.decide(prompt)] == ["capital"]
