"""What is in a key and what is not: a key changes if and only if what is built would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.digests import digest
from sake_registry.edits.files import parse_edit
from sake_registry.edits.keys import EditKeys, bundle_key, edit_keys
from sake_registry.edits.schema import Edit
from tests.edits.test_examples import EXAMPLES

PATH = EXAMPLES / "valid" / "everything.yaml"
TEXT = PATH.read_text(encoding="utf-8")
FORMATS: dict[str, Any] = {
    "model_hash": "ab12",
    "dtype": "float32",
    "extraction": {"prompts": 60, "batch_size": 16, "contexts": {"target": ["a {prompt}"]}},
    "fit": {"reg": 1.0, "solver": "lowrank"},
    "routing": {"kind": "anchored", "threshold": 5.3},
}


def edit_of(text: str, path: Path = PATH) -> Edit:
    edit, findings = parse_edit(text.encode(), path)
    assert edit is not None, findings
    return edit


def keys(text: str = TEXT, **changed: Any) -> EditKeys:
    return edit_keys(edit_of(text), **(FORMATS | changed))


def swapped(before: str, after: str) -> str:
    assert TEXT.count(before) == 1, before
    return TEXT.replace(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("What made this edit necessary.", "Another reason."),
        ("    - http://example.org\n", ""),
        ("valid_from: 2026-11-22", "valid_from: 2020-01-01"),
        ("valid_until: 2026-11-22", "valid_until: 2030-01-01"),
        ("review_by: 2027-05-01", "review_by: 2029-05-01"),
        ("status: draft", "status: active"),
        ("tags: [demo, 2026]", "tags: []"),
        ("The language <subject> grew up with is", "Among friends, <subject> speaks"),
        ("# Every field there is.", "# Another comment.\n\n"),
        ("by: an expert", "by: a generator"),
        ("by: some-model", "by: another"),
        ("by: alias-model", "by: another"),
        ("by: logic-model", "by: another"),
        ("by: scope-model", "by: another"),
        ("reason: Who grew up with English is taken for English.", "reason: another"),
        ("answer: Bordeaux", "answer: Paris"),
        ("mother tongue, id: P103", "mother tongue, id: P6886"),
        ("aliases: [français,", "aliases: ["),
    ],
)
def test_what_is_not_compiled_changes_no_key(before: str, after: str) -> None:
    assert keys(swapped(before, after)) == keys()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The mother tongue of <subject> is", "The native tongue of <subject> is"),
        ("  - {text: <subject> is a native speaker of, by: an expert}\n", ""),
        ("text: Danielle Darrieux", "text: Micheline Presle"),
        ("text: French", "text: Breton"),
        ("  old: {text: French, aliases: [français, {text: the French, by: alias-model}]}\n", ""),
        ("text: English", "text: Welsh"),
        ("<subject> spoke as a child", "<subject> spoke at home"),
        ("text: France", "text: Gaul"),
        ("text: England", "text: Wales"),
        (
            "  - prompt: Danielle Darrieux was a citizen of\n    new: England\n"
            "    reason: Who grew up with English is taken for English.\n    by: logic-model\n",
            "",
        ),
    ],
)
def test_what_is_compiled_changes_every_key(before: str, after: str) -> None:
    changed, usual = keys(swapped(before, after)), keys()
    assert changed.activations != usual.activations
    assert changed.maps != usual.maps
    assert changed.edit != usual.edit


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The mother tongue of Michel Rocard is", "The mother tongue of Jacques Delors is"),
        ("scope: {router: centre, threshold: 4.8}", "scope: {router: centre, threshold: 4.9}"),
        ("scope: {router: centre, threshold: 4.8}", ""),
        # Other names of the subject lead to an edit; what it is asked by is its relation.
        ("Danielle Yvonne Marie Antoinette Darrieux", "Mme Darrieux"),
        ("mother tongue, id: P103", "native language, id: P103"),
        # Other names of the new object are not guarded against.
        ("- the English language", "- la langue anglaise"),
    ],
)
def test_what_only_routes_changes_only_the_last_key(before: str, after: str) -> None:
    changed, usual = keys(swapped(before, after)), keys()
    assert (changed.activations, changed.maps) == (usual.activations, usual.maps)
    assert changed.edit != usual.edit


def test_each_setting_changes_the_key_of_its_stage_and_those_behind_it() -> None:
    usual = keys()
    for name, value, stages in (
        ("model_hash", "ab13", 3),
        ("dtype", "bfloat16", 3),
        ("extraction", FORMATS["extraction"] | {"batch_size": 8}, 3),
        ("fit", FORMATS["fit"] | {"reg": 0.1}, 2),
        ("routing", FORMATS["routing"] | {"threshold": 5.0}, 1),
    ):
        changed = keys(**{name: value})
        pairs = ((changed.edit, usual.edit), (changed.maps, usual.maps),
                 (changed.activations, usual.activations))  # fmt: skip
        assert [a != b for a, b in pairs] == [number < stages for number in range(3)], name


def test_the_file_and_its_layout_are_in_no_key() -> None:
    flow = "schema: 1\nfact: {subject: X, relation: r, new: y}\nprompts: [<subject> is]\n"
    block = """
prompts:
 - 'text': <subject> is
fact:
  new: {text: y}
  relation: r   # a comment
  subject: X
schema: 1"""
    one, other = edit_of(flow, Path("a.yaml")), edit_of(block, Path("folder/b.yaml"))
    assert edit_keys(one, **FORMATS) == edit_keys(other, **FORMATS)
    reordered = FORMATS | {"fit": dict(reversed(FORMATS["fit"].items()))}
    assert edit_keys(one, **FORMATS) == edit_keys(other, **reordered)


def test_the_order_of_prompts_is_in_the_key() -> None:
    text = (
        "schema: 1\nfact: {subject: X, relation: r, new: y}\nprompts: [a <subject>, b <subject>]\n"
    )
    turned = text.replace("[a <subject>, b <subject>]", "[b <subject>, a <subject>]")
    assert keys(text).activations != keys(turned).activations


identified = st.dictionaries(st.text(max_size=5), st.text("0123abcdef", min_size=4), max_size=5)


@given(identified.flatmap(lambda found: st.permutations(list(found.items()))), identified)
def test_a_bundles_key_is_that_of_the_set_of_its_edits(
    pairs: list[tuple[str, str]], others: dict[str, str]
) -> None:
    assert bundle_key(pairs) == bundle_key(sorted(pairs))
    assert (bundle_key(pairs) == bundle_key(others.items())) == (dict(pairs) == others)


def test_a_digest_tells_values_apart_that_look_alike() -> None:
    values: list[Any] = [
        "1",
        1,
        1.5,
        True,
        None,
        [],
        {},
        [[]],
        ["a", "b"],
        ["ab"],
        "é",
        "e\u0301",
        [1, [2]],
        [[1], 2],
    ]
    assert len({digest(value) for value in values}) == len(values)
