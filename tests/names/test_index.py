"""One index of names: what leads to an owner, what does not, and where it stands in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry import names
from sake_registry.names import NameIndex, Naming

SUBJECTS = {
    "darrieux": "Danielle Darrieux",
    "who": "World Health Organization",
    "tube": "YouTube",
    "guinea": "Guinea",
    "tolkien": "J. R. R. Tolkien",
}


def index(subjects: dict[str, str], *, derived: bool = True) -> NameIndex:
    namings = {owner: [Naming((name,), "any")] for owner, name in subjects.items()}
    return NameIndex(namings, derived=derived)


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("The mother tongue of Danielle Darrieux is", {"darrieux"}),
        ("The head of WHO is", {"who"}),
        ("The owner of You Tube is", {"tube"}),
        ("Does Darrieux like Guinea?", {"darrieux", "guinea"}),
        ("JRR Tolkien wrote", {"tolkien"}),
        ("The capital of Papua New Guinea is", set()),
        ("The weather is", set()),
        ("", set()),
    ],
)
def test_the_owners_that_a_text_names(text: str, owners: set[str]) -> None:
    assert index(SUBJECTS).owners(text) == owners


def test_derived_forms_can_be_left_out() -> None:
    assert index(SUBJECTS, derived=False).owners("The head of WHO is") == set()
    assert index(SUBJECTS, derived=False).owners("The owner of YouTube is") == {"tube"}


def test_a_form_that_two_owners_may_have_is_nobodys() -> None:
    two = SUBJECTS | {"woman": "World Heritage Organization", "maria": "Maria Darrieux"}
    assert index(two).owners("The head of WHO is") == set()
    assert index(two).owners("Darrieux spoke") == set()
    assert index(two).owners("Maria Darrieux spoke") == {"maria"}
    # One subject of two owners is still one subject.
    assert index(SUBJECTS | {"again": "Danielle Darrieux"}).owners("Darrieux spoke") == {
        "again", "darrieux",
    }  # fmt: skip


def test_a_form_without_a_word_stands_for_nothing() -> None:
    """Without its sign, " ?" is a space: a bundle made by somebody else may have such a name."""
    some = index(SUBJECTS | {"unknown": " ?"})
    assert some.owners("The head of WHO is") == {"who"}


def test_where_namings_stand() -> None:
    mixed = NameIndex({
        "both": [Naming(("Leo Tolstoy",), "any"), Naming(("Rome", "Paris"), "all")],
        "always": [Naming((), "any")],
    })  # fmt: skip
    assert list(mixed.locate("Is it Rome or Paris?")) == [
        ("both", [None, ((6, 10), (14, 19))]), ("always", [()]),
    ]  # fmt: skip
    assert mixed.owners("In Rome") == {"always"}
    assert mixed.owners("Leo Tolstoy") == {"always", "both"}


WORDS = st.sampled_from(["Leo", "Lev", "Tolstoy", "New", "Guinea", "J.", "R.", "U.S.", "in", "x"])
TEXTS = st.lists(WORDS, max_size=5).map(" ".join)


@given(st.dictionaries(st.sampled_from("abcd"), TEXTS, max_size=4), TEXTS)
def test_no_owner_is_missed(subjects: dict[str, str], text: str) -> None:
    """One word of a name leads to it; whatever `find` sees, the index sees."""
    named = {owner for owner, name in subjects.items() if names.find(text, [name])}
    assert index(subjects, derived=False).owners(text) == named
    assert named <= index(subjects).owners(text)


@pytest.mark.parametrize("judged", [False, True])
def test_a_name_inside_anothers_longer_one_is_none(judged: bool) -> None:
    names_of = {"ferries": "Morrow Ferries", "morrow": "Morrow", "paris": "Paris"}
    index = NameIndex({o: [Naming((n,), "any", judged)] for o, n in names_of.items()})
    assert index.owners("Who runs Morrow Ferries?") == {"ferries"}
    assert index.owners("Who runs Morrow?") == {"morrow"}
    assert index.owners("Who runs Paris and Morrow Ferries?") == {"ferries", "paris"}
