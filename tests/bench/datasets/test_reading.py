"""Every format as its authors publish it, and what is wrong with records that are not sound."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_bench.datasets.entries import slug, with_subject
from sake_bench.datasets.reading import read_data, read_resources
from sake_bench.datasets.records import Query, Record
from sake_registry.edits.schema import ID_PATTERN
from sake_registry.errors import InputError
from tests.bench.datasets.entries import (
    COUNTERFACT,
    KNOWEDIT,
    OFFICIAL,
    PARAPHRASES,
    QAEDIT,
    RESOURCES,
    ZSRE,
    axis,
    counterfact,
    query,
    write_data,
)


def only(path: Path, **options: Any) -> Record:
    """The one record of a file without problems."""
    data = read_data(path, **options)
    assert data.problems == ()
    (record,) = data.records
    return record


def asked(record: Record, axis: Any) -> list[Query]:
    return [test.query for test in record.of(axis)]


# -- CounterFact ---------------------------------------------------------------------------------


def test_a_counterfact_record(tmp_path: Path) -> None:
    path = write_data(tmp_path, COUNTERFACT)
    assert read_data(path).name == "counterfact"
    record = only(path)
    assert record.id == "cf-12-ase-holm"
    assert (record.subject, record.relation, record.new, record.old) == (
        "Åse Holm", "P103", "Welsh", "Danish",
    )  # fmt: skip
    assert record.prompt == "The mother tongue of <subject> is"
    own = "The mother tongue of Åse Holm is"
    assert asked(record, "acc") == [Query(own, (("Welsh",),))]
    assert asked(record, "gen") == [
        Query(prompt, (("Welsh",),)) for prompt in COUNTERFACT["paraphrase_prompts"]
    ]
    assert asked(record, "neighbourhood") == [
        Query(prompt, (("Danish",),)) for prompt in COUNTERFACT["neighborhood_prompts"]
    ]
    # Only the template's own fields are replaced; another brace is text.
    assert asked(record, "di") == [Query(f"{own} Welsh? No. {{Think}}: '{own}'", (("Welsh",),))]
    assert asked(record, "dii") == [Query(f"{own} Welsh? Surely Danish:", (("Welsh",),))]
    assert all(test.conditions == () and not test.on_edit for test in record.tests)


def test_without_doubt_templates_there_are_no_doubts(tmp_path: Path) -> None:
    record = only(write_data(tmp_path, COUNTERFACT, resources=False))
    assert record.of("di", "dii") == ()


def test_braces_in_a_name_stay(tmp_path: Path) -> None:
    entry = counterfact(subject="{target_new}", target_new={"str": "{prompt}"})
    record = only(write_data(tmp_path, entry))
    own = "The mother tongue of {target_new} is"
    assert asked(record, "dii")[0].prompt == f"{own} {{prompt}}? Surely Danish:"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (counterfact(prompt="The tongue is"), "requested_rewrite.prompt has no '{}'"),
        (counterfact(prompt="{} and {}"), "requested_rewrite.prompt has more than one '{}'"),
        (counterfact(subject=""), "requested_rewrite.subject: empty"),
        (counterfact(subject=None), "requested_rewrite.subject: text is expected, not null"),
        (counterfact(subject="a\ud800b"), "half a character (a lone surrogate)"),
        (counterfact(target_new="x"), "requested_rewrite.target_new: an object is expected"),
        (counterfact(target_new={"str": "danish "}), "target_new is target_true: 'danish'"),
        (counterfact(case_id=-1), "case_id: -1 is negative"),
        (COUNTERFACT | {"paraphrase_prompts": "x"}, "paraphrase_prompts: a list is expected"),
        (COUNTERFACT | {"paraphrase_prompts": ["x", 3]}, "paraphrase_prompts[1]: text is expected"),
        ({"case_id": 1, "requested_rewrite": {}}, "requested_rewrite.prompt: missing (and"),
        (counterfact(), "the id 'cf-12-ase-holm' is already record 0's"),
        ("x", "an object is expected, not text"),
        (None, "an object is expected, not null"),
        ({}, "case_id: missing (and 3 more); CounterFact has case_id, requested_rewrite as an"),
        (QAEDIT, "a record of QAEdit; CounterFact has case_id, "),
    ],
)
def test_a_malformed_record_is_a_problem_with_its_index_and_touches_no_other(
    tmp_path: Path, entry: Any, reason: str
) -> None:
    path = write_data(tmp_path, COUNTERFACT, entry, counterfact(case_id=13))
    data = read_data(path)
    assert [record.index for record in data.records] == [0, 2]
    (problem,) = data.problems
    assert problem.index == 1
    assert reason in problem.reason
    assert str(problem).startswith("record 1: ")


# -- RippleEdits ---------------------------------------------------------------------------------

OWN = "The name of the country of citizenship of Åse Holm is"


@pytest.mark.parametrize("resources", [True, False])
def test_an_official_rippleedits_record(tmp_path: Path, resources: bool) -> None:
    data = read_data(write_data(tmp_path, OFFICIAL, resources=resources))
    assert (data.name, data.problems, data.unanswerable) == ("rippleedits", (), 1)
    (record,) = data.records
    assert record.id == "ripple-0-ase-holm"
    assert (record.subject, record.relation) == ("Åse Holm", "COUNTRY_OF_CITIZENSHIP")
    assert (record.new, record.old) == ("Republic of Malta", "Kingdom of Denmark")
    assert record.prompt == "The name of the country of citizenship of <subject> is"
    assert record.new_aliases == ("Malta",)  # neither the old object, nor the empty one
    assert asked(record, "acc") == [Query(OWN, (("Republic of Malta", "Malta"),))]
    (rs,) = record.of("rs")
    assert rs.query.answers == (("female", "woman"),)
    assert rs.conditions == (rs.query,)
    (lg,) = record.of("lg")  # the one without an answer is left out
    assert (lg.query.names, lg.conditions) == (("Malta",), None)
    (sa,) = record.of("sa")
    assert (sa.on_edit, sa.conditions) == (True, ())
    assert (sa.alias, record.aliases) == ("Aase Holm", ("Aase Holm",))
    (ci,) = record.of("ci")
    assert ci.query.answers == (("euro", "EUR"), ("cent",))
    assert ci.second_relation == ("CURRENCY" if resources else None)  # found in the templates
    assert len(record.of("cii")) == len(record.of("forgetfulness")) == 1
    assert [t for t in record.tests if t.on_edit] == [sa]


def test_aliases_stand_where_the_subject_stands_and_every_second_one_is_listed(
    tmp_path: Path,
) -> None:
    entry = copy.deepcopy(OFFICIAL)
    names = ["Aase Holm", "AASE HOLM", "Bishop Holm", "åse holm", "Holm", "The Bishop"]
    prompts = [OWN.replace("Åse Holm", name) for name in names] + ["Åse Holm votes in"]
    answer = ("Republic of Malta",)
    entry["Subject_Aliasing"] = [axis(*(query(prompt, answer) for prompt in prompts))]
    record = only(write_data(tmp_path, entry))
    assert [t.alias for t in record.of("sa")] == [*names[:3], None, *names[4:], None]
    # Each once, whatever its case; the subject's own name is no other one.
    assert record.aliases == ("Aase Holm", "Bishop Holm", "Holm", "The Bishop")
    assert record.listed("none") == ()
    assert record.listed("half") == ("Aase Holm", "Holm")


def test_fields_that_say_it_outright_are_believed(tmp_path: Path) -> None:
    entry = copy.deepcopy(OFFICIAL)
    entry["edit"] |= {"fact_prompt": OWN, "subject": "Holm", "target_new": "Malta (island)"}
    entry["edit"]["original_fact"]["target"] = "Denmark proper"
    entry["llm_paraphrases_of_prompt"] = PARAPHRASES
    record = only(write_data(tmp_path, entry))
    assert (record.new, record.old) == ("Malta (island)", "Denmark proper")
    assert record.prompt == "The name of the country of citizenship of Åse <subject> is"
    assert record.paraphrases == tuple(filter(None, PARAPHRASES))
    entry["llm_paraphrases_of_prompt"] = None
    assert only(write_data(tmp_path, entry)).paraphrases == ()


@pytest.mark.parametrize(
    ("relation", "new", "old", "expected"),
    [
        # A subject with the words of its phrase in it, and one full stop of its own.
        ("FOLLOWS", "This is it follows Mr. Bo Jr..", "This is it follows Bo.",
         ("This is it", "<subject> follows", "Mr. Bo Jr.", "Bo")),
        ("FOLLOWS", "He follows follows Bo.", "He follows follows Al.",
         ("He follows", "<subject> follows", "Bo", "Al")),
        ("MOTHER", "The name of the mother of Duke Is of Is is Is Bo.",
         "The name of the mother of Duke Is of Is is Is Al.",
         ("Duke Is of Is", "The name of the mother of <subject> is", "Is Bo", "Is Al")),
        # No such relation in the templates: cut back to the last word that can come before it.
        ("WON", "The name of the prize Åse Holm, Lady of Ry won is Big Ben.",
         "The name of the prize Åse Holm, Lady of Ry won is Big Bang.",
         ("Åse Holm, Lady of Ry", "The name of the prize <subject> won is", "Big Ben", "Big Bang")),
        # The old fact names the subject in another way.
        ("MOTHER", "The name of the mother of Nis Bang is Bo.",
         "The name of the mother of Niels Bang is Al.",
         ("Nis Bang", "The name of the mother of <subject> is", "Bo", "Al")),
        # Without an old fact, the phrase alone tells.
        ("MOTHER", "The name of the mother of Åse Holm is Bo is Bo.", None,
         ("Åse Holm", "The name of the mother of <subject> is", "Bo is Bo", None)),
    ],
)  # fmt: skip
def test_subject_and_objects_are_recovered_from_the_statements(
    tmp_path: Path, relation: str, new: str, old: str | None, expected: tuple[str, ...]
) -> None:
    original = None if old is None else {"prompt": old}
    entry = {"edit": {"prompt": new, "relation": relation, "original_fact": original}}
    record = only(write_data(tmp_path, entry))
    assert (record.subject, record.prompt, record.new, record.old) == expected


def test_without_templates_the_statements_of_a_relation_show_its_phrase(tmp_path: Path) -> None:
    """Subjects that capitals do not tell are told by what the statements have in common."""
    subjects = ["2020 in Bo", "murder of Al Bo", "Bo sign scandal", "Åse Holm Jr."]
    statement = "The country which {} is tied to is {}."
    entries: list[dict[str, Any]] = [
        {"edit": {"prompt": statement.format(subject, "Mali"), "relation": "COUNTRY",
                  "original_fact": {"prompt": statement.format(subject, "Peru")}}}
        for subject in subjects
    ]  # fmt: skip
    data = read_data(write_data(tmp_path, *entries, {"edit": 3}, resources=False))
    assert [record.subject for record in data.records] == subjects
    assert {record.prompt for record in data.records} == {
        "The country which <subject> is tied to is"
    }
    assert {(record.new, record.old) for record in data.records} == {("Mali", "Peru")}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"prompt": "x", "relation": "R"}, "its object begins cannot be told"),
        ({"prompt": "He is a.", "relation": "R", "original_fact": {"prompt": "She is b."}},
         "its object begins cannot be told"),
        ({"prompt": "it is a.", "relation": "R", "original_fact": {"prompt": "it is b."}},
         "its subject cannot be told: 'it is'"),
        ({"prompt": "Bo is a", "relation": "R", "fact_prompt": "Al is", "subject": "Al"},
         "edit.prompt does not begin with the edit's prompt 'Al is'"),
        ({"prompt": "Bo is a", "relation": "R", "fact_prompt": "Bo is", "subject": "Al"},
         "edit.subject: 'Al' is not in the prompt 'Bo is'"),
        ({"prompt": "Bo is .", "relation": "R", "fact_prompt": "Bo is", "subject": "Bo"},
         "edit.prompt names no object"),
        ({"prompt": "Bo is a.", "relation": "R", "original_fact": {"prompt": "Bo is A."}},
         "the new object is the old one: 'a'"),
        ({"relation": "R"}, "edit.prompt: missing"),
        (3, "edit: an object is expected, not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_recovered_is_a_problem(tmp_path: Path, edit: Any, reason: str) -> None:
    data = read_data(write_data(tmp_path, {"edit": edit}), kind="rippleedits")
    (problem,) = data.problems
    assert reason in problem.reason
    entry = OFFICIAL | {"Compositionality_I": [{"test_queries": [{"prompt": "x"}]}]}
    (problem,) = read_data(write_data(tmp_path, entry)).problems
    assert problem.reason == "Compositionality_I[0].test_queries[0].answers: missing"


# -- zsRE, KnowEdit ------------------------------------------------------------------------------


def test_a_knowedit_record(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, KNOWEDIT))
    assert (data.name, data.problems, data.unanswerable) == ("knowedit", (), 1)
    (record,) = data.records
    assert record.id == "knowedit-0-ase-holm"
    assert record.prompt == "Which university did <subject> attend?"
    assert record.relation == "Which university did … attend?"
    assert (record.new, record.old) == ("Uppsala", "Aarhus")
    assert asked(record, "acc") == [Query("Which university did Åse Holm attend?", (("Uppsala",),))]
    assert asked(record, "gen") == [Query("Where did Åse Holm study?", (("Uppsala",),))]
    assert asked(record, "portability") == [
        Query("Åse Holm studied in which country?", (("Sweden",),))
    ]
    assert asked(record, "locality") == [Query("Åse Holm was born in", (("Ry",),))]


def test_a_zsre_record(tmp_path: Path) -> None:
    record = only(write_data(tmp_path, ZSRE))
    assert (record.new, record.old) == ("Uppsala", "Aarhus")
    assert asked(record, "gen") == [Query("Where did Åse Holm study?", (("Uppsala",),))]
    assert asked(record, "locality") == [
        Query("nq question: who wrote the song of the sea", (("Nis Bang",),))
    ]


def test_no_old_object_and_aliases(tmp_path: Path) -> None:
    assert only(write_data(tmp_path, KNOWEDIT | {"ground_truth": "<|endoftext|>"})).old is None
    assert only(write_data(tmp_path, KNOWEDIT | {"ground_truth": ["Lund", "Ry"]})).old == "Lund"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (KNOWEDIT | {"prompt": " "}, "prompt: missing"),
        (ZSRE | {"alt": ""}, "target_new: missing"),
        (KNOWEDIT | {"subject": "Nis"}, "subject: 'Nis' is not in the prompt"),
        (KNOWEDIT | {"ground_truth": "uppsala"}, "the new object is the old one: 'Uppsala'"),
        (KNOWEDIT | {"locality": {"A": [{}]}}, "locality.A[0].prompt: missing"),
        (KNOWEDIT | {"locality": {"A": [3]}}, "locality.A[0].an object is expected"),
    ],
)
def test_a_malformed_knowedit_record(tmp_path: Path, entry: Any, reason: str) -> None:
    (problem,) = read_data(write_data(tmp_path, entry)).problems
    assert reason in problem.reason


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [COUNTERFACT, OFFICIAL, KNOWEDIT, ZSRE])
def test_json_lines_and_a_byte_order_mark_are_read_alike(tmp_path: Path, entry: Any) -> None:
    array = read_data(write_data(tmp_path, entry))
    lines = tmp_path / "data.jsonl"
    lines.write_text(f"\ufeff{json.dumps(entry)}\n\n", encoding="utf-8")
    assert read_data(lines) == array
    lines.write_text(f"{json.dumps(entry)}\n{{oops\n")
    data = read_data(lines)
    assert data.records == array.records
    (problem,) = data.problems
    assert str(problem).startswith("record 1: not JSON: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"[{}, ", "not JSON"),
        (b"[]", "holds no records"),
        (b"3", "holds no records"),
        (b'["a", ["b"]]', "holds no records"),
        (b'[{"a": 1}]', "no record of a known data set"),
        (b'{"templates": []}', "no record of a known data set"),
        (b'["\xff"]', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_data(path)
    assert str(path) in caught.value.message


def test_no_file_and_no_such_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_data(tmp_path / "none.json")
    with pytest.raises(InputError, match="no data set 'counterfacts'") as caught:
        read_data(write_data(tmp_path, COUNTERFACT), kind="counterfacts")
    assert caught.value.hint == "did you mean 'counterfact'?"


def test_a_kind_can_be_forced(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, COUNTERFACT, OFFICIAL), kind="rippleedits")
    assert [record.index for record in data.records] == [1]
    (problem,) = data.problems
    assert str(problem).startswith("record 0: a record of CounterFact; RippleEdits has edit (")


def test_templates_are_those_of_all_records(tmp_path: Path) -> None:
    other = counterfact(case_id=13, prompt="{} speaks", subject="Bo")
    data = read_data(write_data(tmp_path, COUNTERFACT, other, counterfact(case_id=14)))
    assert data.templates == {"P103": ("The mother tongue of <subject> is", "<subject> speaks")}


# -- resources -----------------------------------------------------------------------------------


def test_resources_are_read_where_they_are(tmp_path: Path) -> None:
    found = read_resources(write_data(tmp_path, COUNTERFACT).parent)
    assert found.patterns == {
        "P103": (
            "The native language of <subject> is", "<subject>, a native speaker of",
        ),
        "P27": ("<subject> is a citizen of",),
    }  # fmt: skip
    assert found.phrases["FOLLOWS"] == "<subject> follows"
    assert found.properties["COUNTRY_OF_CITIZENSHIP"] == "P27"
    assert found.properties["NATIVE_LANGUAGE"] == "P103"  # "P03" in the authors' file
    assert "UNCLE" not in found.properties
    assert (
        found.two_hop["MOTHER", "MOTHER"]
        == RESOURCES["rippleedits_two_hop_templates.json"]["MOTHER-MOTHER"]
    )
    assert set(found.doubts) == {"di", "dii"}
    away = write_data(tmp_path / "away", COUNTERFACT, resources=False)
    assert read_data(away).resources.patterns == {}
    assert read_data(away, resources=tmp_path).resources == found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pararel_patterns.json", "["),
        ("pararel_patterns.json", '{"P1": [{}]}'),
        ("pararel_patterns.json", "[3]"),
        ("rippleedits_relation_templates.json", '{"A": {"phrase": "no subject"}}'),
        ("rippleedits_two_hop_templates.json", '{"A-B": 3}'),
        ("doubt_templates.json", "{}"),
        ("doubt_templates.json", '{"templates": [{"id": "SAKE_D1", "template": 3}]}'),
    ],
)
def test_a_malformed_resource_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="not in its known form") as caught:
        read_resources(tmp_path)
    assert name in caught.value.message


# -- text ----------------------------------------------------------------------------------------


@given(st.text())
def test_a_slug_is_part_of_an_id(text: str) -> None:
    assert ID_PATTERN.fullmatch(f"cf-{slug(text)}".rstrip("-"))
    assert len(slug(text)) <= 40
    assert not slug(text).endswith("-")


def test_slugs() -> None:
    assert slug("Saint-André-d'Allas") == "saint-andre-d-allas"
    assert slug("北京") == ""
    assert slug("2020 United States presidential election in Georgia") == (
        "2020-united-states-presidential-election"
    )


@pytest.mark.parametrize(
    ("text", "subject", "expected"),
    [
        ("Bo is Bo's", "Bo", "<subject> is <subject>'s"),
        ("The mayor of New Bo is", "Bo", "The mayor of New <subject> is"),  # a longer name
        ("who was åse holm", "Åse Holm", "who was <subject>"),
        ("Al is", "Bo", None),
    ],
)
def test_the_subject_is_put_in(text: str, subject: str, expected: str | None) -> None:
    assert with_subject(text, subject) == expected
