"""Tests made from records: what they ask, and that nothing of it is compiled."""

from __future__ import annotations

import copy
import hashlib
from importlib.resources import files
from pathlib import Path

import pytest

from sake_bench.datasets.importing import to_edit
from sake_bench.datasets.overlap import overlaps
from sake_bench.datasets.reading import read_data
from sake_bench.datasets.records import DataSet
from sake_bench.derived import (
    OTHER_RELATIONS,
    in_chat,
    other_relations,
    questions,
    relations,
)
from sake_registry.data import questions as library
from sake_registry.edits.checks import plainly
from sake_registry.names import SUBJECT
from tests import tiny_models
from tests.bench.datasets.entries import OFFICIAL, counterfact, write_data

QUESTIONS, FAMILIES = relations()["questions"], relations()["families"]
KINDS = relations()["kinds"].values()
VAGUE = {plainly(template) for template in relations()["vague"]}
COUNTERFACT = """
    P17 P19 P20 P27 P30 P36 P37 P39 P101 P103 P106 P108 P127 P131 P136 P138 P140 P159 P176 P178
    P190 P264 P276 P364 P407 P413 P449 P463 P495 P641 P740 P937 P1303 P1412
    """.split()


def test_every_relation_has_two_questions_about_its_subject() -> None:
    assert sorted(QUESTIONS) == sorted(COUNTERFACT)
    for wordings in QUESTIONS.values():
        assert len(set(map(plainly, wordings))) == 2
        for text in wordings:
            assert text.count(SUBJECT) == 1
            assert text[0].isupper()
            assert text.endswith("?")


def test_no_question_is_one_that_the_router_knows() -> None:
    known = {plainly(text) for wordings in library().values() for text in wordings}
    asked = {plainly(t.replace(SUBJECT, "X")) for texts in QUESTIONS.values() for t in texts}
    assert asked & known == set()


def test_every_relation_suits_a_kind_of_subject() -> None:
    assert frozenset(COUNTERFACT) == frozenset[str]().union(*KINDS)
    assert frozenset[str]().union(*FAMILIES) <= frozenset(COUNTERFACT)


TEMPLATES = {
    "P19": ["{} was born in", "{} is originally from"],
    "P20": ["{} died in"],
    "P27": ["{} is a citizen of"],
    "P36": ["The capital of {} is"],
    "P39": ["{} holds the office of"],
    "P106": ["{} works as", "{}, the"],
    "P413": ["{}, the"],
    "P641": ["The sport of {} is", "{} was born in"],
    "P1412": ["{} writes in"],
}


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """A record of P103 ("Åse Holm") behind records of the templates."""
    texts = [(relation, text) for relation, found in TEMPLATES.items() for text in found]
    entries = [
        counterfact(case_id=20 + i, subject=f"Bo Bang{i}", relation_id=relation, prompt=text)
        for i, (relation, text) in enumerate(texts)
    ]
    return read_data(write_data(tmp_path, counterfact(), *entries))


def test_other_relations_are_of_the_subject_and_ask_something_else(data: DataSet) -> None:
    person = data.records[0]
    found = other_relations(person, data, to_edit(person, data), 0)
    prompts = {test.query.prompt for test in found}
    assert {test.axis for test in found} == {"other-relation"}
    assert len(prompts) == len(found) == OTHER_RELATIONS
    # Not what she speaks (P1412), no capital, and nothing that "Åse Holm, the" leaves open.
    assert prompts <= {
        "Åse Holm was born in", "Åse Holm died in", "Åse Holm is a citizen of",
        "Åse Holm holds the office of", "Åse Holm works as", "The sport of Åse Holm is",
    }  # fmt: skip
    assert overlaps(to_edit(person, data), prompts) == []


def test_the_draw_hangs_on_seed_and_record_alone(data: DataSet) -> None:
    edit = to_edit(data.records[0], data)
    drawn = [other_relations(data.records[0], data, edit, seed) for seed in range(6)]
    assert drawn == [other_relations(data.records[0], data, edit, seed) for seed in range(6)]
    assert len(set(drawn)) > 1


def test_what_is_asked_of_the_record_itself_is_not_drawn(data: DataSet) -> None:
    """A template of another relation that is a wording of the record's own, or a paraphrase."""
    born = next(r for r in data.records if r.relation == "P19")
    for seed in range(6):
        found = other_relations(born, data, to_edit(born, data), seed)
        assert f"{born.subject} was born in" not in {test.query.prompt for test in found}


def test_vague_templates_are_those_of_several_relations() -> None:
    assert plainly(f"{SUBJECT}, the") in VAGUE
    assert plainly(f"{SUBJECT} was born in") not in VAGUE


def test_questions_are_of_the_records_relation(data: DataSet, tmp_path: Path) -> None:
    person = data.records[0]
    found = questions(person, data, to_edit(person, data))
    assert [test.query.prompt for test in found] == [
        text.replace(SUBJECT, "Åse Holm") for text in QUESTIONS["P103"]
    ]
    assert {test.query.names for test in found} == {("Welsh",)}
    ripple = read_data(write_data(tmp_path / "ripple", OFFICIAL))
    (record,) = ripple.records
    assert [test.query.names for test in questions(record, ripple, to_edit(record, ripple))] == [
        record.new_names
    ] * 2
    assert other_relations(record, ripple, to_edit(record, ripple), 0) == ()
    nameless = read_data(write_data(tmp_path / "bare", OFFICIAL, resources=False))
    assert questions(nameless.records[0], nameless, to_edit(nameless.records[0], nameless)) == ()


def test_a_chat_is_the_models_own_template_with_one_beginning() -> None:
    words = copy.deepcopy(tiny_models.tokenizer())
    assert in_chat(words, [("user", "Who?")]) is None
    words.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    # This tokenizer puts nothing before a text: what the template begins with stays.
    assert in_chat(words, [("user", "Who?")]) == "<end>[user] Who?\n[assistant] "
    from tokenizers.processors import TemplateProcessing

    begin = ("<end>", words.bos_token_id)
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<end> $A", special_tokens=[begin]
    )
    told = in_chat(words, [("user", "Who?")])
    assert told == "[user] Who?\n[assistant] "
    assert list(words(told).input_ids).count(words.bos_token_id) == 1


DIGEST = "a25ebf417267b8c841b9e35ca3351dfa3c4d93c253f816505ab5dd6c735a4d4f"


def test_the_relations_and_their_wordings_are_those_that_the_results_are_of() -> None:
    """A change of them is a change of the benchmark: results are measured anew."""
    text = (files("sake_bench.datasets") / "derived.yaml").read_bytes()
    assert hashlib.sha256(text).hexdigest() == DIGEST
