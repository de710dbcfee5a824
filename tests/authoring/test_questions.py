"""What a text asks, read off its form and off the question library."""

from __future__ import annotations

import pytest

from sake_registry.authoring.questions import prompts, read_question, unchanged
from sake_registry.data import questions

ASKED = {
    "The capital of Australia is": ("Australia", "capital"),
    "What is the capital of Australia?": ("Australia", "capital"),
    "What’s the currency of Croatia?": ("Croatia", "currency"),
    "Australia's largest city is": ("Australia", "largest city"),
    "The currency of Croatia is the": ("Croatia", "currency"),
    "The governor of the Bank of England is": ("Bank of England", "governor"),
    "What is the dialling code for Norway?": ("Norway", "dialling code"),
    "Where was Elvis Presley born?": ("Elvis Presley", "place of birth"),
    "In which city was Elvis Presley born?": ("Elvis Presley", "place of birth"),
    "The Eiffel Tower was designed by the architect": ("Eiffel Tower", "architect"),
    "Who is the CEO of Acme Cloud?": ("Acme Cloud", "chief executive"),
    "What is Acme Cloud's support email address?": ("Acme Cloud", "support email address"),
    "The wife of the mayor of Berlin is": ("Berlin", "wife of the mayor"),
    # Of a longer text, what it asks.
    "We have a quiz. What is the capital of Peru?": ("Peru", "capital"),
    "Tell me: what is the capital of Turkey?": ("Turkey", "capital"),
    "system\nYou help.\nuser\nWhat is the capital of Peru?\nassistant\n": ("Peru", "capital"),
    "user\nHi\nassistant\nHello\nuser\nWho is the mayor of Berlin?\nassistant\n": (
        "Berlin", "mayor"
    ),
    # What its form does not tell is not made up.
    "When did World War II end?": ("World War II", None),
    "capital of australia?": (None, None),
    "Who wrote Pride and Prejudice?": (None, None),
    "Is the capital of Peru in Bolivia?": (None, None),
    "澳大利亚的首都是": (None, None),
    "": (None, None),
}  # fmt: skip


@pytest.mark.parametrize("text", ASKED)
def test_subject_and_relation_are_read(text: str) -> None:
    question = read_question(text)
    assert (question.subject, question.relation) == ASKED[text]


def test_names_that_may_be_meant_are_said() -> None:
    assert read_question("Who wrote Pride and Prejudice?").candidates == ("Pride", "Prejudice")
    named = read_question("Der Bürgermeister von Peru ist")
    assert named.candidates == ("Der Bürgermeister", "Peru")
    assert read_question("Wie heißt die Hauptstadt von Peru?").subject == "Peru"


def test_a_subject_that_is_known_is_found_in_any_case_and_in_its_own_form() -> None:
    question = read_question("population of the united nations?", known=["United Nations"])
    assert question.subject == "United Nations"
    question = read_question("Who invented the telephone?", "telephone")
    assert (question.subject, question.relation) == ("telephone", "inventor")


TURNED = {
    "What is the capital of Peru?": "The capital of <subject> is",
    "Who are the owners of the Blue Café?": "The owners of the <subject> are",
    "What is Peru's motto?": "<subject>'s motto is",
    "Who painted the Mona Lisa?": "The <subject> was painted by",
}


@pytest.mark.parametrize("text", TURNED)
def test_a_question_is_turned_where_only_words_change_places(text: str) -> None:
    question = read_question(text)
    assert question.subject
    first, second = prompts(question, [question.subject], 2)
    assert first == (TURNED[text], "the question, turned into a statement")
    masked = text.replace(question.subject, "<subject>")
    assert second[0] == f"Question: {masked} Answer:"


OTHER_LANGUAGES = {
    "Wie lautet die Adresse des Kundendienstes der Muster GmbH?": (
        "Muster GmbH", "Adresse des Kundendienstes",
        "Die Adresse des Kundendienstes der <subject> lautet",
    ),
    "Quel est le jour de fermeture de l’Auberge du Pont ?": (
        "Auberge du Pont", "jour de fermeture", "Le jour de fermeture de l'<subject> est"
    ),
    "¿Cuál es la capital de la República Dominicana?": (
        "República Dominicana", "capital", "La capital de la <subject> es"
    ),
    "Qual è il numero verde della Banca di Roma?": (
        "Banca di Roma", "numero verde", "Il numero verde della <subject> è"
    ),
    "Türkiye'nin başkenti neresidir?": ("Türkiye", "başkenti", "<subject>'nin başkenti"),
    "澳大利亚的首都是哪里？": ("澳大利亚", "首都", "<subject>的首都是"),
    "オーストラリアの首都はどこですか？": ("オーストラリア", "首都", "<subject>の首都は"),
    "페루의 수도는 어디인가요?": ("페루", "수도", "<subject>의 수도는"),
}  # fmt: skip


@pytest.mark.parametrize("text", OTHER_LANGUAGES)
def test_a_plain_question_in_another_language_is_read_and_stated(text: str) -> None:
    question = read_question(text)
    subject, relation, stated = OTHER_LANGUAGES[text]
    assert (question.subject, question.relation) == (subject, relation)
    turned, asked = prompts(question, [subject], 5)
    assert turned == (stated, "the question, turned into a statement")
    assert "<subject>" in asked[0]
    assert unchanged(question, [subject], 3) == []


def test_a_subject_in_another_case_is_asked_for_and_found_where_it_is_given() -> None:
    text = "Какова столица Франции?"
    assert read_question(text).subject is None
    question = read_question(text, "Франция")
    assert question.relation == "столица"
    assert [prompt for prompt, _ in prompts(question, ["Франция"], 5)] == [
        "Столица <subject> —", "Вопрос: Какова столица <subject>? Ответ:"
    ]  # fmt: skip


def test_a_question_in_another_language_that_is_not_plain_is_not_turned() -> None:
    question = read_question("Wo liegt Peru?")
    assert (question.subject, question.relation) == ("Peru", None)
    assert [prompt for prompt, _ in prompts(question, ["Peru"], 5)] == [
        "Frage: Wo liegt <subject>? Antwort:"
    ]
    assert read_question("我们的首都是哪里？").subject is None


def test_the_prompts_are_the_libraries_wordings_of_the_same_article() -> None:
    question = read_question("The currency of Croatia is the")
    found = [prompt for prompt, _ in prompts(question, ["Croatia"], 9)]
    assert found[0] == "The currency of <subject> is the"
    assert len(found) > 2
    assert all(prompt.endswith(" the") and "<subject>" in prompt for prompt in found)


def test_other_questions_of_the_subject_are_asked_otherwise() -> None:
    """For each topic of the library: never its own, and none that asks with its question word."""
    for topic, wordings in questions().items():
        text = wordings[0].replace("X", "Peru")
        question = read_question(text, "Peru")._replace(topic=topic)
        others = unchanged(question, ["Peru"], 3)
        assert set(others).isdisjoint(prompt for prompt, _ in prompts(question, ["Peru"], 9))
        assert all("<subject>" in prompt for prompt in others)
    assert unchanged(read_question("The capital of Peru is"), ["Peru"], 3) == [
        "<subject>'s population is",
        "<subject> was founded in the year",
        "<subject>'s head of state is",
    ]


def test_most_topics_know_their_own_question() -> None:
    """The library's questions are understood, the subject a name: what is not stays unknown."""
    found = {
        topic: read_question(wordings[-1].replace("X", "Acme Cloud")).topic
        for topic, wordings in questions().items()
    }
    assert [topic for topic, known in found.items() if known not in (topic, None)] == []
    assert sum(known is not None for known in found.values()) > 0.9 * len(found)


@pytest.mark.parametrize(
    "piece",
    [
        "wie lautet der ",
        "的首都是",
        "the of ",
        "a's ",
        "Tell me: ",
        "is ",
        "Ab ",
        "user\n",
        "? ",
        "in the A of B. ",
    ],
)
def test_time_grows_with_the_text_and_no_more_is_read_than_its_end(piece: str) -> None:
    text = piece * (200_000 // len(piece)) + "What is the capital of Peru?"
    assert len(read_question(text).text) <= 4096
