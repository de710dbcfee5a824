"""Names in running text: found whole, never inside another name."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sake_registry import names

GUINEA = ("Guinea",)
DARRIEUX = ("Danielle Darrieux", "Darrieux")


@pytest.mark.parametrize(
    ("text", "known", "masked"),
    [
        ("The capital of Guinea is", GUINEA, "The capital of _ is"),
        ("Guinea is", GUINEA, "_ is"),
        ("is in Guinea", GUINEA, "is in _"),
        ("Guinea's capital, Guinea’s flag", GUINEA, "_'s capital, _’s flag"),
        ("(Guinea) \"Guinea\", 'Guinea' “Guinea”: Guinea.", GUINEA, "(_) \"_\", '_' “_”: _."),
        ("from Mali to Guinea, then Guinea", GUINEA, "from Mali to _, then _"),
        ("He came to Rome. Guinea is", GUINEA, "He came to Rome. _ is"),
        ("Not Guinea but", GUINEA, "Not _ but"),
        ("In Guinea I saw", GUINEA, "In _ I saw"),
        ("France's Danielle Darrieux is", DARRIEUX, "France's _ is"),
        ("Mrs. Darrieux and Dr Darrieux, President Darrieux", DARRIEUX,
         "Mrs. _ and Dr _, President _"),
        ("Actress Danielle Darrieux was", DARRIEUX, "Actress _ was"),
        ("Danielle  Darrieux and Danielle\nDarrieux", DARRIEUX, "_ and _"),
        ("the telephones of a telephone", ("telephone",), "the telephones of a _"),
        ("the mobile telephone is", ("telephone",), "the mobile _ is"),
        ("C++ is, not C", ("C++",), "_ is, not C"),
        ("What is .NET?", (".NET",), "What is _?"),
        ("Кто такая Анна Каренина?", ("Анна Каренина",), "Кто такая _?"),
        ("Brontë wrote", ("Brontë",), "_ wrote"),
        ("a 747 flies", ("747",), "a _ flies"),
    ],
)  # fmt: skip
def test_a_whole_name_is_found_and_masked(text: str, known: tuple[str, ...], masked: str) -> None:
    assert names.mask(text, names.find(text, known), "_") == masked


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("The capital of Papua New Guinea is", GUINEA),
        ("The capital of Equatorial Guinea is", GUINEA),
        ("The capital of Guinea-Bissau is", GUINEA),
        ("The Anglo-Guinea line", GUINEA),
        ("The capital of Guinea Bissau is", GUINEA),
        ("The Guineas and the Guinean and guinea pigs", GUINEA),
        ("Guinea1 and _Guinea", GUINEA),
        ("Catherine Darrieux is", ("Darrieux",)),
        ("Darrieux Street is", ("Darrieux",)),
        ("O'Brien is", ("Brien",)),
        ("Danielle Darrieux's", ("Danielle",)),
        ("Danielle met Darrieux", ("Danielle Darrieux",)),
        ("Boeing 7475 and 17", ("747",)),
        ("Brontës", ("Brontë",)),
        ("Каренина Анна", ("Анна Каренина",)),
        ("", GUINEA),
        ("Guinea", ()),
    ],
)
def test_a_part_of_another_name_is_not_found(text: str, known: tuple[str, ...]) -> None:
    assert names.find(text, known) == []


def test_the_longest_name_wins_whatever_the_order() -> None:
    text = "Papua New Guinea borders no Guinea"
    for known in (("Guinea", "Papua New Guinea"), ("Papua New Guinea", "Guinea")):
        assert names.find(text, known) == [(0, 16), (28, 34)]


def test_a_long_text_with_many_names_is_searched_through() -> None:
    text = "Guinea and " * 20_000
    assert len(names.find(text, ["Guinea", "New Guinea"])) == 20_000
    assert names.find("a" * 100_000 + " " * 10_000 + "New Guinea", GUINEA) == []


word = st.text(st.sampled_from("abcxyzéß"), min_size=1, max_size=6)
name = st.lists(word.map(str.capitalize), min_size=1, max_size=3).map(" ".join)
# Between two names stand lower-case words, so that no name is a part of a longer one.
gap = st.lists(word, min_size=1, max_size=3).map(lambda found: f" {' '.join(found)} ")


@settings(max_examples=300, deadline=None)
@given(name, st.lists(gap, min_size=1, max_size=6))
def test_masking_removes_every_occurrence_and_nothing_else(known: str, gaps: list[str]) -> None:
    text = known.join(gaps)
    spans = names.find(text, [known])
    assert [text[start:end] for start, end in spans] == [known] * (len(gaps) - 1)
    masked = names.mask(text, spans, "<subject>")
    assert masked == "<subject>".join(gaps)
    assert names.find(masked, [known]) == []
    assert masked.replace("<subject>", known) == text


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.sampled_from("Aab. -'’1\n<"), max_size=30),
    st.lists(
        st.text(st.sampled_from("Aab-1 ."), min_size=1).map(str.strip).filter(bool), max_size=3
    ),
)
def test_what_is_found_is_a_name_as_a_whole_word_in_order_and_apart(
    text: str, known: list[str]
) -> None:
    spans = names.find(text, known)
    for start, end in spans:
        assert " ".join(text[start:end].split()) in {" ".join(n.split()) for n in known}
        assert not (text[start - 1 : start].isalnum() and text[start].isalnum()) or start == 0
        assert not (text[end : end + 1].isalnum() and text[end - 1].isalnum())
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


@settings(max_examples=200, deadline=None)
@given(word, word, word)
def test_a_name_is_never_found_inside_a_longer_word(before: str, inside: str, after: str) -> None:
    for known in (inside, inside.capitalize()):
        for text in (f"the {before}{known} is", f"the {known}{after} is", f"{before}-{known}"):
            assert names.find(text, [known]) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The wife of the mayor of Berlin is", ("Berlin",)),
        ("Leo Tolstoy met Victor Hugo, then Leo Tolstoy", ("Leo Tolstoy", "Victor Hugo")),
        ("the sky is", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_the_proper_names_of_a_text_are_guessed(text: str, found: tuple[str, ...]) -> None:
    assert names.proper_names(text) == found


spaced = st.text(st.sampled_from(list("aAbB- '’s.1\n\xa0  ")), max_size=14)


@settings(max_examples=2000, deadline=None)
@given(spaced, spaced.filter(bool))
def test_a_name_is_found_without_its_pattern_where_the_pattern_finds_it(
    text: str, name: str
) -> None:
    by_pattern = [match.span() for match in names._pattern(name).finditer(text)]
    assert list(names._spans(text, name)) == by_pattern
    assert not by_pattern or name in text or names._scattered(text, name)
