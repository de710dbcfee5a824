"""What of a prompt is compared: the last clause that names the subject, the name masked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry import names
from sake_registry.routing.representation import VIEWED, clauses, masked_clause, view

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
        # What the subject is called by is no name of somebody else.
        ("Where was Danielle Darrieux born?\nAnswer: She was born in", "Answer: X was born in"),
        ("<|im_start|>user\nWhere was Danielle Darrieux born?<|im_end|>\n<|im_start|>assistant\n",
         "Where was X born"),
        ("<s>[INST] Where was Danielle Darrieux born? [/INST]", "Where was X born"),
    ],
)  # fmt: skip
def test_the_clause_is_the_last_that_names_the_subject(prompt: str, clause: str | None) -> None:
    assert masked_clause(prompt, names.find(prompt, SUBJECT)) == clause


CHATS = {
    "ChatML": "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{asked}<|im_end|>\n"
    "<|im_start|>assistant\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{asked}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "Phi 3": "<|system|>\n{system}<|end|>\n<|user|>\n{asked}<|end|>\n<|assistant|>\n",
    "Gemma": "<start_of_turn>user\n{asked}<end_of_turn>\n<start_of_turn>model\n",
    "Mistral": "<s>[INST] {asked} [/INST]",
}


@pytest.mark.parametrize("template", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("length", [1, 200])
def test_of_a_chat_the_detector_reads_what_was_asked(template: str, length: int) -> None:
    system = "You are helpful, brief and polite. " * length
    asked = "Where was Danielle Darrieux born?"
    prompt = template.format(system=system, asked=asked)
    assert view(prompt, names.find(prompt, SUBJECT)).strip() == "Where was X born?"


def test_a_chat_is_known_by_its_speakers_where_its_marks_are_gone() -> None:
    asked = "Where was Danielle Darrieux born?"
    chat = f"system\nYou are helpful.\n\nuser\n{asked}\n\nassistant\n"
    assert view(chat, names.find(chat, SUBJECT)) == "Where was X born?"
    begun = f"user\n\n\n{asked}\nmodel\n\nShe was born in"
    assert view(begun, names.find(begun, SUBJECT)) == "Where was X born?\nShe was born in"
    # A word in a line of its own makes no chat.
    text = f"system\nYou are helpful.\n{asked}"
    assert view(text, names.find(text, SUBJECT)) == "system\nYou are helpful.\nWhere was X born?"


def test_earlier_turns_are_read_and_the_systems_where_the_name_stands_there_alone() -> None:
    chat = (
        "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
        "<|im_start|>assistant\nAn actress.<|im_end|>\n"
        "<|im_start|>user\nWhere was she born?<|im_end|>\n<|im_start|>assistant\n"
    )
    named_before = chat.format("Be brief.", "Who is Danielle Darrieux?")
    assert view(named_before, names.find(named_before, SUBJECT)) == (
        "Who is X?\nAn actress.\nWhere was she born?"
    )
    named_by_system = chat.format("This is about Danielle Darrieux.", "Who is she?")
    assert view(named_by_system, names.find(named_by_system, SUBJECT)) == (
        "This is about X.\nWho is she?\nAn actress.\nWhere was she born?"
    )


@given(st.text(max_size=2 * VIEWED))
def test_a_text_that_is_no_chat_is_read_as_it_stands(text: str) -> None:
    text = text.replace("<", "").replace("[", "").replace("\ufffc", "")
    read = view(text, [])
    assert read == text.strip("\n") if len(text) <= VIEWED else len(read) <= VIEWED + 1


@pytest.mark.parametrize(
    ("prompt", "clause", "read"),
    [
        ("Hermes' managing director is", "X's managing director is", "X's managing director is"),
        ("Who chairs Hermes’ board?", "Who chairs X's board", "Who chairs X's board?"),
        ("'It was Hermes' town', she said", None, "'It was X' town', she said"),
        ("The name 'Hermes' means", None, "The name 'X' means"),
        ("a vote for Hermes'\nThe board is", None, "a vote for X'\nThe board is"),
    ],
)
def test_the_apostrophe_of_an_owner_ends_no_clause(
    prompt: str, clause: str | None, read: str
) -> None:
    spans = names.find(prompt, ["Hermes"], judged=True)
    assert view(prompt, spans) == read
    if clause is not None:
        assert masked_clause(prompt, spans) == clause


def test_initials_in_a_name_do_not_end_a_clause() -> None:
    prompt = "One fine day J. R. R. Tolkien wrote"
    assert masked_clause(prompt, names.find(prompt, ["J. R. R. Tolkien"])) == "One fine day X wrote"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # One sentence is one clause, whatever stands in it.
        ("The mother tongue of Danielle Darrieux is", ["The mother tongue of X is"]),
        ("Which position does Danielle Darrieux play", ["Which position does X play"]),
        ("France's Danielle Darrieux was born in", ["France's X was born in"]),
        # A heading, or a sentence without its stop, before the name …
        ("Category:French actresses Danielle Darrieux was born in",
         ["Category:French actresses X was born in", "X was born in"]),
        ("The singer Danielle Darrieux was born in",
         ["The singer X was born in", "X was born in"]),
        ("the answer to question Danielle Darrieux was born in",
         ["the answer to question X was born in", "X was born in"]),
        # … or before the question.
        ("Fact: The mother tongue of Danielle Darrieux is",
         ["Fact: The mother tongue of X is", "The mother tongue of X is"]),
        ("Moths of North America In Danielle Darrieux's home, they speak",
         ["Moths of North America In X's home, they speak", "In X's home, they speak"]),
        ("User: Where was Danielle Darrieux born?\nAssistant:",
         ["User: Where was X born", "Where was X born"]),
        ("Q: Where was Danielle Darrieux born?\nA: Danielle Darrieux was born in",
         ["A: X was born in", "X was born in"]),
        # Few words are read with what stands before them, and by themselves; a name alone is not.
        ("They visit their homes. Danielle Darrieux, the",
         ["They visit their homes. X, the", "X, the"]),
        ("Speakers of French: Maurice Genevoix. Danielle Darrieux:",
         ["Speakers of French: Maurice Genevoix. X"]),
        ("Nobody is named here", []),
        ("The mother tongue of Danielle Darrieux is French. The capital of Italy is", []),
    ],
)  # fmt: skip
def test_parts_of_the_clause_that_may_be_sentences_follow_it(
    prompt: str, expected: list[str]
) -> None:
    spans = names.find(prompt, SUBJECT)
    found = clauses(prompt, spans)
    assert found == expected
    assert masked_clause(prompt, spans) == (expected[0] if expected else None)


def test_a_letter_that_looks_like_the_mask_is_not_taken_for_the_name() -> None:
    prompt = "Danielle Darrieux, unlike Malcolm X, was born in"
    assert clauses(prompt, names.find(prompt, SUBJECT)) == ["X, unlike Malcolm X, was born in"]


WORDS = ["It", "rained", "The", "of", "X", "in,", "“", "(", "?", ".", "\n", ":", "'s", "<|im_end|>",
         "Danielle Darrieux", "born", "France"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_every_clause_is_an_end_of_the_first_and_names_the_subject(prompt: str) -> None:
    found = clauses(prompt, names.find(prompt, SUBJECT))
    for clause in found:
        assert found[0].endswith(clause)
        assert "X" in clause
