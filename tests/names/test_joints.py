"""How people vary a name that somebody judges: other joints, short words, initials, endings."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry import names
from sake_registry.names import NameIndex, Naming
from tests.routing.test_length import calls, limited

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["limited"]  # a fixture


def owners(text: str, *known: str, judged: bool = True, derived: bool = True) -> set[str]:
    namings = {name: [Naming((name,), "any", judged)] for name in known}
    return NameIndex(namings, derived=derived).owners(text)


@pytest.mark.parametrize(
    ("known", "text", "found"),
    [
        # Other joints, or none.
        ("Pinegate Wholesale", "delivery time pine gate wholesale", "pine gate wholesale"),
        ("NordHelix", "Is Nord-Helix open on Sunday?", "Nord-Helix"),
        ("Kobalt-Net", "dns primary kobaltnet", "kobaltnet"),
        ("Tessel CMS", "admin login name TesselCMS fresh install", "TesselCMS"),
        ("PedalPool Utrecht", "unlock price pedal-pool utrecht?", "pedal-pool utrecht"),
        ("Brightsea Energy", "Bright Sea energy nite tariff", "Bright Sea energy"),
        ("St Oswin's Church, Tarbeck", "st oswins church tarbeck service", None),
        ("The Cartographer's Wife", "who wrote the cartographers wife", "the cartographers wife"),
        ("Rent-a-Van Brookvale", "rent a van brookvale min age", "rent a van brookvale"),
        ("온새미가스", "온새미 가스 검침 며칠날 옴??", "온새미 가스"),
        # Numbers.
        ("Termosol T-90", "Price of the Termosol T90?", "Termosol T90"),
        ("T-90", "Who builds the T90?", "T90"),
        ("Lagoon Nine", "Lagoon 9 - which network?", "Lagoon 9"),
        ("Tessalia 9.2", "which format does Tessalia-9.2 read", "Tessalia-9.2"),
        # "&".
        ("Verge & Lantern", "verge n lantern deadline when", "verge n lantern"),
        ("Orsolo & Figli", "Orsolo e Figli classic boot leather?", "Orsolo e Figli"),
        ("Amaranth and Rue", "Amaranth+Rue (novel), written by?", "Amaranth+Rue"),
        ("Castor & Bloom", "return window Castor Bloom webshop", "Castor Bloom"),
        # Another order.
        ("Voxgarden Team plan", "How much is Voxgarden's Team plan?", "Voxgarden's Team plan"),
        ("Voxgarden Team plan", "the team plan of voxgarden costs", "team plan of voxgarden"),
        ("Ada Brandt's bakery", "When does the bakery of Ada Brandt open?", "bakery of Ada Brandt"),
        ("Tarif Pro Nuvéo", "Combien coûte Nuvéo, le tarif Pro ?", "Nuvéo, le tarif Pro"),
        # Short words, links and brackets.
        ("Larne Street Market", "larne st market stall fee per day?", "larne st market"),
        ("Mount Karavel", "Mt. Karavel - which range?", "Mt. Karavel"),
        ("University of Tessaly Bay", "univ of tessaly bay campus", "univ of tessaly bay"),
        ("Universidade do Vale do Sabugal", "universidade vale do sabugal prazo", None),
        ("Bramblecote Zoo", "Bramblecote (zoo) mascot?", "Bramblecote (zoo)"),
        # Endings in names of several words.
        (
            "Verkehrsbetriebe Lahnstedt",
            "Wer fährt bei den Verkehrsbetrieben Lahnstedt kostenlos?",
            "Verkehrsbetrieben Lahnstedt",
        ),
        (
            "Schronisko Na Turbaczyku",
            "Jakie są godziny ciszy nocnej w Schronisku Na Turbaczyku?",
            "Schronisku Na Turbaczyku",
        ),
        (
            "Kawiarnia Pod Sową",
            "Od której jest darmowa dostawa z Kawiarni Pod Sową?",
            "Kawiarni Pod Sową",
        ),
        (
            "Банк «Северная Двина»",
            "Какая комиссия у Банка «Северная Двина»?",
            "Банка «Северная Двина»",
        ),
        ("물결노트 2", "물결노트 2에서 집중 모드 단축키가 뭐예요?", "물결노트 2"),
        ("あおば図書館", "あおば図書館ってさ、何冊まで？", "あおば図書館"),
        ("Cordillera Sur", "cual era el slogan de la cordillera sur", "cordillera sur"),
        ("Orsenigo", "ke vernice mettono da orsenigo sullo scafo?? devo ritoccare", "orsenigo"),
    ],
)
def test_a_name_is_found_as_people_vary_it(known: str, text: str, found: str | None) -> None:
    spans = names.find(text, [known], judged=True)
    assert len(spans) == 1
    assert names.stands(text, [known], judged=True)
    assert found in (None, text[slice(*spans[0])])
    assert owners(text, known) == {known}


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Wexcombe Depot", "Where are the spare keys at Wexcombe kept?"),
        ("Wexcombe Depot", "spare keys wexcombe"),
        ("Brackenfold Insurance", "Spell out the e-mail for Brackenfold's claims people."),
        ("Osgood & Daughters", "what's the latest I can pop into Osgood's"),
        ("Larnstead Foods Ltd", "Expense claims at Larnstead are due by"),
        ("Hotel Larnstead", "What time is breakfast at Larnstead?"),
        ("Sklep Borowianka", "próg gratis wysyłka borowianka"),
    ],
)
def test_a_coined_name_is_found_without_what_it_names(known: str, text: str) -> None:
    assert owners(text, known) == {known}
    assert not owners(text, known, judged=False)


@pytest.mark.parametrize(
    ("known", "another", "text"),
    [
        ("Wexcombe Depot", "Wexcombe Bank", "Where are the spare keys at Wexcombe kept?"),
        ("Wexcombe Depot", "Wexcombe Bank", "spare keys wexcombe"),
        ("Brackenfold Insurance", "Brackenfold Bank", "the e-mail for Brackenfold's claims people"),
        ("Osgood & Daughters", "Osgood Bank", "what's the latest I can pop into Osgood's"),
        ("Larnstead Foods Ltd", "Larnstead Bank", "Expense claims at Larnstead are due by"),
    ],
)
def test_a_short_form_that_may_be_anothers_is_nobodys(known: str, another: str, text: str) -> None:
    assert owners(text, known) == {known}
    assert not owners(text, known, another)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Wexcombe Depot", "Who runs Wexcombe Bank?"),
        ("Wexcombe Depot", "Who lives in Upper Wexcombe?"),
        ("New Wexcombe", "How many people live in Wexcombe?"),
        ("Boston Bakery", "Who is the mayor of Boston?"),
        ("Tidewell Pro plan", "What does Tidewell cost?"),
        ("Solvane H2", "How long is the warranty of Solvane?"),
        ("Larnstead AD", "Who owns Larnstead?"),
        ("Blue Door Bakery", "Is the blue door locked?"),
    ],
)
def test_a_short_form_is_none_of_what_tells_names_apart(known: str, text: str) -> None:
    assert not owners(text, known)


def test_what_stands_in_quotation_marks_is_the_name_of_its_kind() -> None:
    for text in ("«Северянка», гл. технолог?", "Кто сейчас технолог «Северянки»?"):
        assert owners(text, "комбинат «Северянка»") == {"комбинат «Северянка»"}
        assert not owners(text, "комбинат «Северянка»", judged=False)
    two = ("комбинат «Северянка»", "магазин «Северянка»")
    assert not owners("«Северянка», гл. технолог?", *two), "neither is meant for sure"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Together", "Ask him to get her a drink"),
        ("Bluebottle", "Which blue bottle is the cheapest in Rome?"),
        ("Pinegate", "Under the pine. Gate 4 is closed"),
        ("Pinegate", "the Pine Gateway opens"),
        ("Pinegate", "an Alpine Gate"),
        ("Pinegate", "the Pine, Gate and Fence"),
        ("Termosol T-90", "Price of the Termosol T91?"),
        ("Termosol T-90", "Price of the Termosol T900?"),
        ("Halcyon 920", "Halcyon 9 20"),
        ("Tessalia 9.2", "which format does Tessalia 92 read"),
        ("Lagoon Nine", "Lagoon 90 - which network?"),
        ("Verge & Lantern", "Verge or Lantern?"),
        ("Grenfell Osei", "Did Grenfell and Osei meet?"),
        ("Voxgarden Team plan", "Does Voxgarden have a Solo plan? My team asks"),
        ("Voxgarden Team plan", "Which plan should a team at Voxgarden buy?"),
        ("Voxgarden plan", "the plan of Voxgarden"),
        ("Larne Street Market", "larne road market stall fee"),
        ("Mount Karavel", "Which range of the mount? Karavel knows"),
        ("Bramblecote Zoo", "Bramblecote (zoology) department"),
        ("Verkehrsbetriebe Lahnstedt", "Wer ist der Verkehrsbetriebsrat Lahnstedt?"),
        ("Schronisko Na Turbaczyku", "Jaki jest Schroniskowy Na Turbaczyku?"),
        ("Радио «Берег»", "На какой частоте Радио «Берег Детства»?"),
        ("물결노트 2", "물결노트 22에서 집중 모드"),
        ("おも", "そうおもっている"),
        ("Orsenigo", "ke vernice mette paolo orsenigo sullo scafo"),
    ],
)
def test_what_only_looks_like_a_name_is_none(known: str, text: str) -> None:
    assert not names.find(text, [known], judged=True)
    assert not names.stands(text, [known], judged=True)
    assert not owners(text, known, derived=False)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Pinegate", "Who runs Pine Gate?"),
        ("Tessel CMS", "Who makes TesselCMS-Pro and TesselCMS?"),
        ("Larne Street Market", "the Larne St Market"),
        ("Verge & Lantern", "Verge n Lantern"),
        ("Voxgarden Team plan", "Voxgarden's Team plan"),
    ],
)
def test_other_joints_are_for_who_judges(known: str, text: str) -> None:
    assert names.find(text, [known], judged=True)
    assert names.stands(text, [known], judged=True)
    assert not names.find(text, [known])
    assert not names.stands(text, [known])


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("Beatrix Okello", "constituency B. Okello MP"),
        ("Camille Baptiste-Oduya", "successor of C. Baptiste Oduya"),
        ("Olaf Brandvold", "Brandvold O., which league?"),
        ("Port of Calvessa", "Calvessa port operator"),
        ("Lake Tarvesi", "the Tarvesi lake, what country is it in"),
        ("Vauxmarin Castle", "Who built the Castle of Vauxmarin?"),
        ("Ludgrove Data Trust", "embargo new datasets Ludgrove Trust"),
        ("Harrowgate City Council", "harrowgate council parking permit"),
    ],
)
def test_a_form_that_is_judged_leads_to_its_owner(known: str, text: str) -> None:
    assert owners(text, known) == {known}
    assert not owners(text, known, judged=False)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (("Beatrix Okello", "Bruno Okello"), "B. Okello MP"),
        (("Beatrix Okello",), "C. Okello MP"),
        (("Ludgrove Data Trust", "Ludgrove Land Trust"), "the Ludgrove Trust"),
        (("Ludgrove Data Trust",), "the Ludgrove Land Trust"),
        (("Ludgrove Data Trust",), "the Data Trust"),
        (("Mercury Bay",), "the Bay"),
    ],
)
def test_a_form_that_may_be_anothers_is_nobodys(known: tuple[str, ...], text: str) -> None:
    assert not owners(text, *known)


def test_what_is_written_as_one_name_is_not_another_in_other_joints() -> None:
    assert owners("Who runs Pine Gate?", "Pine Gate", "Pinegate") == {"Pine Gate"}
    assert owners("Who runs Pinegate?", "Pine Gate", "Pinegate") == {"Pinegate"}
    assert owners("Who runs Pine-Gate?", "Pinegate Ltd", "Morrow") == {"Pinegate Ltd"}


WORDS = st.sampled_from(
    [
        "Pine",
        "gate",
        "Pinegate",
        "T",
        "90",
        "T-90",
        "&",
        "n",
        "and",
        "of",
        "St.",
        "Street",
        "(",
        "9",
    ]
)
TEXTS = st.lists(WORDS, max_size=5).flatmap(
    lambda words: st.sampled_from([" ".join(words), "-".join(words), "".join(words)])
)


@given(TEXTS, TEXTS)
def test_the_index_misses_no_name_that_is_judged(name: str, text: str) -> None:
    found = names.find(text, [name], judged=True)
    assert owners(text, name, derived=False) == ({name} if found else set())
    assert all(0 <= start < end <= len(text) for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


GROWING: dict[str, Callable[[int], str]] = {
    "halves": lambda n: "pine " * (n // 5),
    "halves joined": lambda n: "pine-" * (n // 5),
    "names apart": lambda n: "pine gate " * (n // 10),
    "one word": lambda n: "pinegate" * (n // 8),
    "joints": lambda n: "verge & " * (n // 8),
    "only joints": lambda n: "& " * (n // 2),
    "links": lambda n: "port of " * (n // 8),
    "numbers": lambda n: "9." * (n // 2),
    "numbers apart": lambda n: "9 " * (n // 2),
    "brackets": lambda n: "pine (" * (n // 6),
    "spaces": lambda n: "pine" + " " * n + "gate",
    "stops": lambda n: "t. " * (n // 3),
    "quotes": lambda n: "банк «" * (n // 6),
}


@pytest.mark.parametrize("shape", GROWING)
@pytest.mark.usefixtures("limited")
def test_time_grows_with_the_text(shape: str) -> None:
    known = ("Pinegate", "Verge & Lantern", "Port of Calvessa", "T-90", "Банк «Берег»", "Pine 9")
    index = NameIndex({name: [Naming((name,), "any", True)] for name in known})
    made = GROWING[shape]
    counts = [calls(partial(index.owners, made(n))) for n in (2048, 4096, 8192)]
    assert all(longer <= 2.3 * shorter + 500 for shorter, longer in pairwise(counts))
    names.find(made(1 << 16), known, judged=True)
