"""The data sets of questions (QAEdit, MQuAKE, BMIKE-53) and the field set, in their own shapes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from sake_bench.datasets.importing import sample, to_edit, without_conflicts
from sake_bench.datasets.reading import read_data, read_sound
from sake_bench.datasets.records import Query, Test
from sake_registry.errors import InputError
from tests.bench.datasets.entries import (
    BMIKE,
    COUNTERFACT,
    FIELD,
    MQUAKE,
    QAEDIT,
    write_data,
)


def test_a_qaedit_record(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, QAEDIT))
    assert (data.name, data.problems) == ("qaedit", ())
    (record,) = data.records
    assert record.prompt == "Which university did <subject> attend?"
    assert (record.id, record.new, record.old) == ("qaedit-0-ase-holm", "Uppsala", None)
    assert record.tests == (
        Test("acc", Query("Which university did Åse Holm attend?", (("Uppsala",),))),
        Test("gen", Query("Where did Åse Holm study?", (("Uppsala",),))),
        Test("locality", Query("who wrote the song of the sea", (("Nis Bang",),))),
    )


def test_an_entry_of_mquake_is_a_record_for_each_of_its_edits(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, MQUAKE))
    assert (data.name, data.problems) == ("mquake", ())
    first, second = data.records
    assert (first.id, second.id) == ("mquake-4-ase-holm", "mquake-4-1-bo-lund")
    assert first.index == second.index == 0
    assert (second.prompt, second.new, second.old) == (
        "<subject> is a citizen of",
        "Malta",
        "Denmark",
    )
    assert [t.query.prompt for t in second.tests] == [
        "Bo Lund is a citizen of", "Bo Lund is a citizen of what?"
    ]  # fmt: skip
    assert [t.query for t in first.of("multi-hop")] == [
        Query(text, (("Valletta", "Il-Belt"),)) for text in MQUAKE["questions"]
    ]
    assert [t.query.prompt for t in first.of("locality")] == ["Malta's capital?"]  # untouched


def test_an_entry_of_several_edits_is_drawn_and_left_out_as_a_whole(tmp_path: Path) -> None:
    other = copy.deepcopy(MQUAKE) | {"case_id": 5}
    other["requested_rewrite"][1]["target_new"]["str"] = "Norway"
    last = copy.deepcopy(MQUAKE) | {"case_id": 6}
    data = read_data(write_data(tmp_path, MQUAKE, other, last))
    kept, conflicts = without_conflicts(data.records)
    assert {record.index for record in kept} == {0, 2}
    assert len(kept) == 4
    assert [str(c) for c in conflicts] == [
        "record 1: Bo Lund · P27 is 'Norway' here and 'Malta' in record 0"
    ]
    drawn = sample(kept, 1, seed=0)
    assert len(drawn) == 2
    assert len({record.index for record in drawn}) == 1


@pytest.mark.parametrize(("edited", "asked"), [("en", "de"), ("de", "en")])
def test_a_bmike_record_is_edited_in_one_language_and_asked_in_the_others(
    tmp_path: Path, edited: str, asked: str
) -> None:
    data = read_data(write_data(tmp_path, BMIKE), language=edited)
    assert (data.name, data.problems) == ("bmike", ())
    (record,) = data.records
    here, there = BMIKE[edited], BMIKE[asked]
    assert (record.subject, record.new) == (here["subject"], here["alt"])
    assert record.old == here.get("old")
    assert record.of("acc")[0].query == Query(here["src"], ((here["alt"],),))
    answers = ((here["alt"], there["alt"]),)
    assert record.of("reached") == (
        Test("reached", Query(there["src"], answers), kind=asked),
        Test("reached", Query(there["rephrase"], answers), kind=asked),
    )
    assert [(t.query.prompt, t.kind) for t in record.of("look-alike")] == [(there["loc"], asked)]
    (problem,) = read_data(write_data(tmp_path, BMIKE), language="fi").problems
    assert problem.reason == "not in 'fi', but in en, de"


def test_the_field_set(tmp_path: Path) -> None:
    file = tmp_path / "field.json"
    file.write_text(json.dumps(FIELD), encoding="utf-8")
    data = read_data(file)
    assert (data.name, data.problems, data.unanswerable) == ("field", (), 1)
    phone, hours = data.records
    assert (phone.id, phone.relation, phone.old) == ("field-holm-phone", "phone number", None)
    assert [(t.kind, t.query.prompt) for t in phone.of("reached")] == [
        ("completion", "To phone Holm & Co, dial"),
        ("question", "What is the number of Holm & Co?"),
        ("chat", "holm & co phone?"),
        ("two subjects", "Bo is not Holm & Co. Call Holm & Co at"),
    ]
    assert phone.of("reached")[2].messages == (
        ("system", "Be brief."), ("user", "holm & co phone?")
    )  # fmt: skip
    assert [(t.kind, t.query.prompt) for t in phone.of("look-alike")] == [
        ("completion", "Holm & Co was founded in"), ("unrelated", "Water boils at")
    ]  # fmt: skip
    assert [t.kind for t in hours.of("reached")] == ["de"]
    edit = to_edit(phone, data)
    assert [p.text for p in edit.prompts] == FIELD["edits"][0]["prompts"]


def test_another_shape_is_refused_in_a_line_that_says_which_was_expected(tmp_path: Path) -> None:
    path = write_data(tmp_path, MQUAKE, MQUAKE)
    with pytest.raises(InputError) as raised:
        read_sound(path, "counterfact", None, skip_bad=False)
    assert raised.value.message == (
        f"{path}: 2 of 2 records malformed: a record of MQuAKE; CounterFact has case_id, "
        "requested_rewrite as an object, paraphrase_prompts, neighborhood_prompts"
    )
    for kind in ("mquake", "bmike", "field", "qaedit"):
        (problem,) = read_data(write_data(tmp_path, COUNTERFACT), kind=kind).problems
        assert problem.reason.startswith("a record of CounterFact; ")
