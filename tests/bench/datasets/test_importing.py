"""From records to edit files: what is compiled, what is held out, what is never written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_bench.datasets import importing
from sake_bench.datasets.importing import (
    implication_prompts,
    import_into,
    import_records,
    sample,
    to_edit,
    without_conflicts,
)
from sake_bench.datasets.overlap import compiled, held_in, meets, overlaps
from sake_bench.datasets.reading import read_data
from sake_bench.datasets.records import DataSet, Query, Record, Resources, Test
from sake_registry.edits.files import parse_edit, read_edit
from sake_registry.edits.registry import open_registry
from sake_registry.edits.schema import Edit
from sake_registry.edits.writing import write_edit
from sake_registry.errors import ConflictError, InputError, StorageError
from sake_registry.files import write_text
from tests.bench.datasets.entries import (
    COUNTERFACT,
    KNOWEDIT,
    OFFICIAL,
    PARAPHRASES,
    axis,
    counterfact,
    query,
    write_data,
)
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "data"


def imported(folder: Path, *entries: Any) -> list[Edit]:
    """The edits of the files that are written for these entries; none has an error."""
    data = read_data(write_data(folder, *entries))
    assert data.problems == ()
    result = import_records(data, data.records, folder / "edits")
    edits = [read_edit(path) for path in result.written]
    for record, edit in zip(result.kept, edits, strict=True):
        assert edit == to_edit(record, data).model_copy(update={"path": edit.path})
    return edits


def texts(prompts: Any) -> list[str]:
    return [prompt.text for prompt in prompts]


# -- one edit ------------------------------------------------------------------------------------


def test_an_edit_of_counterfact(tmp_path: Path) -> None:
    others = [
        counterfact(case_id=13, subject="Bo Ek", prompt="{}, speaker of"),
        counterfact(case_id=14, subject="Bo Al", prompt="The first language of {} is"),
        counterfact(case_id=15, subject="Bo Iv", prompt="{} speaks", relation_id="P1412"),
        counterfact(case_id=16, subject="Bo Ra", prompt="{} speaks an"),
        counterfact(case_id=17, subject="Bo Um", prompt="{}, who is no Welsh, speaks"),
    ]
    edit, *_ = imported(tmp_path, COUNTERFACT, *others)
    assert edit.id == "cf-12-ase-holm"
    assert edit.claim == "Åse Holm · native language: Danish → Welsh"
    assert edit.fact.relation.id == "P103"
    assert texts(edit.prompts) == [
        "The mother tongue of <subject> is",
        "The native language of <subject> is",  # ParaRel
        "<subject>, speaker of",  # another record of the same relation
        # Not: ", a native speaker of" and "The first language of" (tests), "speaks an" (Welsh),
        # "who is no Welsh" (names the object), "speaks" (another relation).
    ]
    assert texts(edit.holdout) == [
        "The lake froze that year. <subject>, a native speaker of",
        "Page 9. The first language of <subject> is",
    ]
    assert not edit.unchanged
    assert not edit.implications
    assert edit.tags == ("counterfact",)
    assert edit.provenance.reason is not None
    assert edit.provenance.reason.startswith("CounterFact, record 0")
    assert edit.provenance.sources == ("https://github.com/kmeng01/rome",)


def test_an_edit_of_rippleedits(tmp_path: Path) -> None:
    (edit,) = imported(tmp_path, OFFICIAL | {"llm_paraphrases_of_prompt": PARAPHRASES})
    assert edit.claim == (
        "Åse Holm · country of citizenship: Kingdom of Denmark → Republic of Malta"
    )
    assert edit.fact.new.all == ("Republic of Malta", "Malta")
    assert edit.fact.relation.id == "P27"
    assert texts(edit.prompts) == [
        "The name of the country of citizenship of <subject> is",
        "<subject> is a citizen of",  # ParaRel
        "<subject> holds the passport of",
        "The state that <subject> belongs to is called",
    ]
    assert edit.holdout == ()
    (implication,) = edit.implications
    assert implication.prompt == "The name of the currency in <subject>'s country of citizenship is"
    assert implication.new.all == ("euro", "EUR")  # the first answer
    assert implication.old is None


def test_an_edit_of_knowedit(tmp_path: Path) -> None:
    (edit,) = imported(tmp_path, KNOWEDIT)
    assert edit.claim == "Åse Holm · Which university did … attend?: Aarhus → Uppsala"
    assert texts(edit.prompts) == ["Which university did <subject> attend?"]
    assert texts(edit.holdout) == ["Where did <subject> study?"]


def test_a_paraphrase_test_that_names_no_subject_or_is_a_prompt_is_no_holdout(
    tmp_path: Path,
) -> None:
    prompts = [
        "So does she.",
        "The mother tongue of Åse Holm is:",
        "Åse Holm says in New Åse Holm,",
        "The harbour of New Åse Holm is",
    ]
    (edit,) = imported(tmp_path, COUNTERFACT | {"paraphrase_prompts": prompts})
    assert texts(edit.holdout) == [
        "<subject> says in New Åse Holm,",  # another one's name
        "The harbour of New <subject> is",
    ]


RELATIONS = st.sampled_from(["P103", "COUNTRY_OF_CITIZENSHIP", "Which …?"])
NAMES = st.text(min_size=1, max_size=12).filter(lambda t: "<" not in t and t.strip())
PROMPTS = st.text(max_size=30).map(lambda t: f"{t.replace('<', '')}<subject> is")


@given(NAMES, RELATIONS, PROMPTS, st.tuples(NAMES, NAMES), st.lists(PROMPTS, max_size=4),
       st.lists(st.text(max_size=30), max_size=4))  # fmt: skip
def test_what_is_written_is_what_is_read(
    subject: str,
    relation: str,
    prompt: str,
    objects: tuple[str, str],
    others: list[str],
    tests: list[str],
) -> None:
    """Whatever the texts are, the file says the same, or has an error that refuses it."""
    record = Record(
        "x-1", 0, subject, relation, prompt, objects[0], objects[1],
        tests=tuple(Test("gen", Query(text)) for text in tests), paraphrases=tuple(others),
    )  # fmt: skip
    data = DataSet("knowedit", (record,), (), {relation: tuple(others)}, Resources())
    edit = to_edit(record, data)
    read, findings = parse_edit(write_edit(edit).encode(), Path("x-1.yaml"))
    if read is not None:
        assert read.model_copy(update={"path": None}) == edit
    else:
        assert findings
    for text in compiled(edit):
        assert text == edit.fill(edit.prompts[0].text) or not any(meets(text, t) for t in tests)


# -- implications --------------------------------------------------------------------------------


def ripple(relation: str, *two_hop: tuple[str, str]) -> Record:
    """A record of a relation with these two-hop tests: prompt, second relation."""
    tests = tuple(
        Test("ci", Query(prompt, (("x", "y"),)), second_relation=second)
        for prompt, second in two_hop
    )
    return Record("x", 0, "Bo", relation, f"{relation} of <subject> is", "new", tests=tests)


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return read_data(write_data(tmp_path, OFFICIAL))


@pytest.mark.parametrize(
    ("relation", "second", "expected"),
    [
        ("COUNTRY_OF_CITIZENSHIP", "CAPITAL",
         "The name of the capital city of <subject>'s country of citizenship is"),
        # A template with one word for both hops, one of another form, and none at all.
        ("MOTHER", "MOTHER", "The name of the mother of <subject>'s mother is"),
        ("COUNTRY", "CAPITAL", "The name of the capital city of <subject>'s country is"),
        ("FOLLOWS", "CAPITAL", None),
        ("MOTHER", "CAPITAL", None),
    ],
)  # fmt: skip
def test_two_hops_in_the_possessive(
    data: DataSet, relation: str, second: str, expected: str | None
) -> None:
    edit = to_edit(ripple(relation, ("Something else", second)), data)
    assert [i.prompt for i in edit.implications] == ([expected] if expected else [])


def test_an_implication_is_never_a_test(data: DataSet) -> None:
    tested = "The capital. The name of the capital city of Bo's country of citizenship is"
    record = ripple("COUNTRY_OF_CITIZENSHIP", (tested, "CAPITAL"), ("x", "CURRENCY"))
    expected = "The name of the currency in {}'s country of citizenship is"
    assert [i.prompt for i in to_edit(record, data).implications] == [expected.format("<subject>")]
    assert implication_prompts(record, data) == (expected.format("Bo"),)


def test_implication_prompts_are_those_of_every_second_relation(data: DataSet) -> None:
    assert implication_prompts(ripple("COUNTRY_OF_CITIZENSHIP"), data) == (
        "The name of the currency in Bo's country of citizenship is",
        "The name of the capital city of Bo's country of citizenship is",
    )
    assert implication_prompts(ripple("FOLLOWS"), data) == ()
    assert implication_prompts(ripple("P103"), data) == ()


# -- several records -----------------------------------------------------------------------------


def test_records_that_contradict_each_other_are_reported(tmp_path: Path) -> None:
    entries = [
        COUNTERFACT,
        counterfact(case_id=1, target_new={"str": "Breton"}),
        counterfact(case_id=2, subject="åse  holm", target_new={"str": "Manx"}),
        counterfact(case_id=3),  # the same fact once more is none
        counterfact(case_id=4, relation_id="P1412", target_new={"str": "Breton"}),
    ]
    data = read_data(write_data(tmp_path, *entries))
    kept, conflicts = without_conflicts(data.records)
    assert [record.index for record in kept] == [0, 3, 4]
    assert [(c.record.index, c.kept.index) for c in conflicts] == [(1, 0), (2, 0)]
    assert str(conflicts[0]) == (
        "record 1: Åse Holm · P103 is 'Breton' here and 'Welsh' in record 0"
    )
    result = import_records(data, data.records, tmp_path / "edits")
    assert (result.kept, result.conflicts) == (kept, conflicts)
    assert [path.stem for path in result.written] == [record.id for record in kept]
    (tmp_path / "sake.toml").write_text("")
    assert open_registry(tmp_path).errors == ()


def test_an_alias_of_the_new_object_contradicts_nothing(tmp_path: Path) -> None:
    other = json.loads(json.dumps(OFFICIAL).replace("is Republic of Malta.", "is Malta."))
    kept, conflicts = without_conflicts(read_data(write_data(tmp_path, OFFICIAL, other)).records)
    assert (len(kept), conflicts) == (2, ())


def test_dropped_prompts_are_counted(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, COUNTERFACT))
    result = import_records(data, data.records, tmp_path / "edits")
    assert result.dropped == 1  # ", a native speaker of"


def test_nothing_is_written_where_one_id_is_taken(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, COUNTERFACT, counterfact(case_id=13, subject="Bo Ek")))
    folder = tmp_path / "edits"
    taken = folder / "below" / "cf-13-bo-ek.yaml"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    with pytest.raises(ConflictError, match=r"cf-13-bo-ek\.yaml is already there: nothing"):
        import_records(data, data.records, folder)
    assert list(folder.rglob("*.yaml")) == [taken]
    assert taken.read_text() == "mine"


def test_where_writing_fails_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_data(write_data(tmp_path, COUNTERFACT, counterfact(case_id=13, subject="Bo Ek")))
    write = write_text

    def full(path: Path, text: str) -> None:
        if path.stem == "cf-13-bo-ek":
            raise StorageError("disk full")
        write(path, text)

    monkeypatch.setattr(importing, "write_text", full)
    with pytest.raises(StorageError):
        import_into(tmp_path / "facts", data, data.records)
    assert list((tmp_path / "facts").rglob("*.*")) == []


def test_a_folder_becomes_a_registry_once_all_is_well(tmp_path: Path) -> None:
    root = tmp_path / "facts"
    data = read_data(write_data(tmp_path, COUNTERFACT))
    result = import_into(root, data, data.records)
    registry = open_registry(root)
    assert (registry.findings, len(registry.edits)) == ((), 1)
    (path,) = result.written
    assert path.parent == root / "edits"
    assert path.read_text("utf-8").startswith(
        "# yaml-language-server: $schema=../.sake/edit.schema.json\n"
    )
    with pytest.raises(ConflictError):
        import_into(root, data, data.records)
    # A registry keeps its settings, its folder of edits among them.
    settings = 'edits = "a/b"\n'
    (root / "sake.toml").write_text(settings)
    (path,) = import_into(root, data, data.records).written
    assert path.parent == root / "a" / "b"
    assert "$schema=../../.sake/" in path.read_text("utf-8")
    assert (root / "sake.toml").read_text() == settings


def test_a_failed_import_leaves_no_registry(tmp_path: Path) -> None:
    data = read_data(write_data(tmp_path, COUNTERFACT))
    root = tmp_path / "facts"
    (root / "edits").mkdir(parents=True)
    (root / "edits" / "cf-12-ase-holm.yaml").write_text("mine")
    with pytest.raises(ConflictError):
        import_into(root, data, data.records)
    assert [path.name for path in root.iterdir()] == ["edits"]


def test_no_registry_among_the_edits_of_another(tmp_path: Path, registry: Path) -> None:
    data = read_data(write_data(tmp_path / "data", COUNTERFACT))
    for inside in ("edits", "edits/deep/er"):
        with pytest.raises(InputError, match="lies among the edits"):
            import_into(registry / inside, data, data.records)
    import_into(registry / "beside", data, data.records)
    assert len(open_registry(registry).edits) == 1
    assert len(open_registry(registry / "beside").edits) == 1


@given(st.integers(0, 30), st.integers(0, 40) | st.none(), st.integers())
def test_a_sample_is_a_part_in_order(n: int, limit: int | None, seed: int) -> None:
    records = [Record(f"x-{i}", i, "s", "r", "p", "n") for i in range(n)]
    chosen = sample(records, limit, seed)
    assert len(chosen) == (n if limit is None else min(n, limit))
    assert [record.index for record in chosen] == sorted({record.index for record in chosen})
    assert chosen == sample(records, limit, seed)


def test_paraphrases_are_compared_with_every_name_of_both_objects(tmp_path: Path) -> None:
    entry = OFFICIAL | {
        "llm_paraphrases_of_prompt": [
            "In Malta, Åse Holm is a subject of",
            "By the laws of Denmark, Åse Holm is a subject of",
            "By law, Åse Holm is a subject of",
        ],
        "Subject_Aliasing": [
            axis(query("Aase Holm is from", ("Republic of Malta", "Malta", "by", "ML")))
        ],
    }
    (edit,) = imported(tmp_path, entry)
    assert edit.fact.new.all[1:] == ("Malta", "by", "ML")
    assert texts(edit.prompts)[2:] == ["By law, <subject> is a subject of"]


# -- the published samples -----------------------------------------------------------------------

Read = Callable[[str], DataSet]


@pytest.fixture(scope="module")
def published() -> Read:
    if not SHARED.is_dir():
        pytest.skip("the published samples are not on this machine")
    return lambda name: read_data(SHARED / name)


@pytest.mark.parametrize(
    ("name", "records", "conflicts", "own"),
    [("counterfact.json", 700, 3, 1), ("rippleedits_popular.json", 300, 1, 4)],
)
def test_of_the_published_samples_nothing_that_is_tested_is_compiled(
    tmp_path: Path, published: Read, name: str, records: int, conflicts: int, own: int
) -> None:
    data = published(name)
    assert (len(data.records), data.problems) == (records, ())
    result = import_records(data, data.records, tmp_path)
    assert len(result.conflicts) == conflicts
    assert len(result.kept) == records - conflicts
    known = 0
    for record, path in zip(result.kept, result.written, strict=True):
        edit = read_edit(path)
        mine = held_in(record)
        known += bool(mine)
        tests = [t.query.prompt for t in record.tests if t.axis != "acc" and t not in mine]
        assert overlaps(edit, tests) == []
        # The same, said anew: no test ends as a compiled prompt does.
        more = tuple(edit.fill(p.text).casefold() for p in edit.prompts[1:])
        assert not any(test.casefold().rstrip(" .:").endswith(more) for test in tests)
    assert known == own


def test_the_published_ripple_edits_without_their_added_fields_are_the_same(
    tmp_path: Path, published: Read
) -> None:
    entries = json.loads((SHARED / "rippleedits_popular.json").read_text("utf-8"))
    for entry in entries:
        for added in ("fact_prompt", "subject", "target_new"):
            del entry["edit"][added]
        del entry["edit"]["original_fact"]["target"]
        for test in entry["Compositionality_I"]:
            for item in test["test_queries"]:
                del item["second_relation"]
    path = tmp_path / "official.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    expected = published("rippleedits_popular.json").records
    for resources in (SHARED, tmp_path):  # with the relation templates, and without
        records = read_data(path, resources=resources).records
        assert [(r.subject, r.prompt, r.new, r.old) for r in records] == [
            (r.subject, r.prompt, r.new, r.old) for r in expected
        ]
