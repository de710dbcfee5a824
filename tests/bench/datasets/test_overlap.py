"""When two prompts are one, and when they are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_bench.datasets.overlap import compiled, held_in, is_tested, meets, overlaps
from sake_bench.datasets.records import Query, Record, Test
from sake_registry.edits.schema import Edit

OWN = "The mother tongue of Åse Holm is"


@pytest.mark.parametrize(
    "test",
    [
        OWN,
        "the mother tongue of åse  holm is",
        "The mother tongue of Åse Holm is:",
        "The mother-tongue of Åse Holm is",
        "The lake froze that year. The mother tongue of Åse Holm is",
        "Category:Lakes of the north The mother tongue of Åse Holm is",
        "History\nThe mother tongue of Åse Holm is",
        "It is said that the mother tongue of Åse Holm is",
        "The mother tongue of A\u030ase Holm is",  # another form of the same letter
        "The\u00a0mother tongue of Åse\u200b Holm is",
    ],
)
def test_a_prompt_meets_itself_behind_any_lead_in(test: str) -> None:
    assert meets(OWN, test)
    assert meets(test, OWN)


@pytest.mark.parametrize(
    ("prompt", "test"),
    [
        (OWN, "The mother tongue of Nis Bang is"),
        (OWN, "The native language of Åse Holm is"),
        (OWN, "The mother tongue of Åse Holm is Danish, as is that of Nis Bang, who lives in"),
        (OWN, "The country of the mother tongue of Åse Holm is"),  # two hops
        ("Åse Holm is", "The aunt of Åse Holm is"),
        ("is", OWN),
        ("Holm is", OWN),
        ("Wikipedia owner", "The Wikipedia owner"),
        ("The gender of F. Murray Abraham is", "The aunt of F. Murray Abraham is"),
        ("The composer of Orville: New Days is", "The director of Orville: New Days is"),
        ("Where is Rome? It is in the country of", "Where is Oslo? It is in the country of"),
        ("", OWN),
        ("???", OWN),
    ],
)
def test_what_is_another_question_does_not_meet(prompt: str, test: str) -> None:
    assert not meets(prompt, test)
    assert not meets(test, prompt)


@pytest.mark.parametrize(
    ("prompt", "test"),
    [
        ("Wikipedia owner", "Oslo, 1999. Wikipedia owner"),
        ("Wikipedia owner", "An album was lost.\nWikipedia, owner:"),
        ("Soviet Union is followed by", "the Soviet Union is followed by"),
        ("Some say this. Åse Holm speaks", "The lake froze. Åse Holm speaks"),
        ("A. Bo is originally from", "It is drawn at  . A. Bo is originally from"),
        ("", " "),
    ],
)
def test_short_prompts_and_two_lead_ins(prompt: str, test: str) -> None:
    assert meets(prompt, test)
    assert meets(test, prompt)


WORDS = st.lists(
    st.text("abcdeåß", min_size=2, max_size=6).filter(lambda w: w not in ("of", "a")),
    min_size=3, max_size=8,
)  # fmt: skip
MARKS = st.sampled_from([" ", "  ", ", ", " - ", "\n", "\t", "; "])


@given(WORDS, WORDS, MARKS, MARKS, st.sampled_from(["", ".", " :", "?"]), st.booleans())
def test_lead_in_case_punctuation_and_space_never_make_another_prompt(
    words: list[str], before: list[str], gap: str, mark: str, end: str, upper: bool
) -> None:
    prompt = " ".join(words)
    other = gap.join([" ".join(before), mark.join(words)]) + end
    other = other.upper() if upper else other
    assert meets(prompt, other)
    assert meets(other, prompt)


@given(st.text(max_size=60), st.text(max_size=60))
def test_it_is_symmetric_and_total(a: str, b: str) -> None:
    assert meets(a, b) == meets(b, a)
    assert meets(a, a)


@given(WORDS, st.text("xyz", min_size=3, max_size=5))
def test_another_last_word_is_another_prompt(words: list[str], last: str) -> None:
    assert not meets(" ".join(words), " ".join([*words[:-1], last]))
    assert not meets(" ".join(words), " ".join([*words, last]))


def edit() -> Edit:
    return Edit.model_validate(
        {
            "schema": 1,
            "id": "holm",
            "fact": {
                "subject": {"text": "Åse Holm", "aliases": ["Aase"]},
                "relation": "mother tongue",
                "new": "Welsh",
            },
            "prompts": ["The mother tongue of <subject> is"],
            "holdout": ["<subject> speaks the language"],
            "implications": [{"prompt": "The flag where <subject> speaks shows a", "new": "x"}],
            "unchanged": ["<subject> was born in", "The mother tongue of Nis Bang is"],
        }
    )


def test_everything_that_is_compiled_is_compared_under_its_main_name() -> None:
    assert list(compiled(edit())) == [
        "The mother tongue of Åse Holm is",
        "The flag where Åse Holm speaks shows a",
        "Åse Holm was born in",
        "The mother tongue of Nis Bang is",
    ]
    tests = [
        "So. The mother tongue of Åse Holm is",
        "The flag where åse holm speaks shows a",
        "Åse Holm was born in",
        "Åse Holm speaks the language",  # holdout: never compiled
        "The mother tongue of Aase is",  # other names serve the router
    ]
    assert overlaps(edit(), [*tests, *tests]) == [
        ("The mother tongue of Åse Holm is", tests[0]),
        ("The flag where Åse Holm speaks shows a", tests[1]),
        ("Åse Holm was born in", tests[2]),
    ]
    assert overlaps(edit(), []) == []


@pytest.mark.parametrize(
    ("prompt", "met"),
    [
        ("Bergen 4 Bo, in", True),
        ("He lies. Bo, in", True),
        ("Category:Towns of the Bo in", False),
        ("The mayor of Bo, in", False),
        ("It was drawn at . Bo in", True),
        ("Bo is in", False),
    ],
)
def test_a_short_prompt_that_names_the_subject_is_not_there_by_chance(
    prompt: str, met: bool
) -> None:
    tests = (Test("acc", Query("Bo, in")), Test("gen", Query(prompt)))
    record = Record("x", 0, "Bo", "P17", "<subject>, in", "Mali", tests=tests)
    assert is_tested("Bo in", record) == met


def test_what_the_own_prompt_itself_meets_is_named() -> None:
    prompts = ("The tongue of J.R.R. Bang is", "The tongue of Johannes Bang is")
    tests = tuple(Test("sa", Query(prompt)) for prompt in prompts)
    own = Test("acc", Query("The tongue of J. R. R. Bang is"))
    record = Record(
        "x", 0, "J. R. R. Bang", "P103", "The tongue of <subject> is", "Welsh", tests=(own, *tests)
    )
    assert held_in(record) == (tests[0],)
