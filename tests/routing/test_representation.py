"""What of a prompt is compared: the last clause that names the subject, the name masked."""

from __future__ import annotations

import pytest

from sake_registry import names
from sake_registry.routing.representation import masked_clause

SUBJECT = ["Danielle Darrieux"]


@pytest.mark.parametrize(
    ("prompt", "clause"),
    [
        ("The mother tongue of Danielle Darrieux is", "The mother tongue of X is"),
        ("It rained. The mother tongue of Danielle Darrieux is", "The mother tongue of X is"),
        ("Danielle Darrieux's mother tongue is", "X's mother tongue is"),
        (
            "Danielle Darrieux was an actress. Danielle Darrieux, a native speaker of",
            "X, a native speaker of",
        ),
        ("Fact: the mother tongue of Danielle Darrieux is", "Fact: the mother tongue of X is"),
        # A doubting preamble and what follows do not hide the question.
        (
            "The mother tongue of Danielle Darrieux is English??? No, it can't be. It is clear "
            "that the answer to 'The mother tongue of Danielle Darrieux is' is something else. "
            "Rethink and give the correct answer:",
            "The mother tongue of X is",
        ),
        # A name alone asks nothing: what stands before it is read with it.
        ("Speakers of French: Maurice Genevoix. Danielle Darrieux:",
         "Speakers of French: Maurice Genevoix. X"),
        # A later question about somebody else is another question.
        ("The mother tongue of Danielle Darrieux is French. The capital of Italy is", None),
        ("Nobody is named here", None),
        # Initials in the name are no ends of sentences.
    ],
)  # fmt: skip
def test_the_clause_is_the_last_that_names_the_subject(prompt: str, clause: str | None) -> None:
    assert masked_clause(prompt, names.find(prompt, SUBJECT)) == clause


def test_initials_in_a_name_do_not_end_a_clause() -> None:
    prompt = "One fine day J. R. R. Tolkien wrote"
    assert masked_clause(prompt, names.find(prompt, ["J. R. R. Tolkien"])) == "One fine day X wrote"
