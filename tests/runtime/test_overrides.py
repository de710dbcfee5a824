"""What production switched off: read strictly, and really off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sake_registry import Overrides, read_overrides
from sake_registry.errors import InputError
from tests import tiny_models, workshop

GREEDY = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}


def test_what_a_file_says(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    assert read_overrides(path) == Overrides({})
    path.write_text("{}")
    assert read_overrides(path) == Overrides({})
    path.write_text(json.dumps({"disabled": {"tolstoy-tongue": "ticket 7", "b": "é"}}))
    assert read_overrides(path).disabled == {"tolstoy-tongue": "ticket 7", "b": "é"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"disabled": {"a": "b",\n}}', "overrides.json:2:1: not JSON"),
        ("", "overrides.json:1:1: not JSON"),
        ("[]", "it is not an object"),
        ('{"disabled": ["a"]}', "disabled is not an object"),
        ('{"disabled": null}', "disabled is not an object"),
        ('{"disable": {}}', "unknown key 'disable'; did you mean 'disabled'?"),
        ('{"disabled": {}, "disabled": {"a": "b"}}', "'disabled' stands twice"),
        ('{"disabled": {"a": "b", "a": "c"}}', "'a' stands twice"),
        ('{"disabled": {"A b": "c"}}', "'A b' is not an id of an edit"),
        ('{"disabled": {"a": ""}}', "disabled.a: say why"),
        ('{"disabled": {"a": true}}', "disabled.a: say why"),
        ('{"disabled": {"a": NaN}}', "disabled.a: say why"),
        ("9" * 5000, "not JSON that can be read"),
        ("[" * 100_000, "not JSON that can be read"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "overrides.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_overrides(path)
    assert what in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint == 'its form: {"disabled": {"ID": "reason"}}'


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(InputError, match=r"overrides\.json: larger than 1048576 bytes"):
        read_overrides(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_overrides(tmp_path)
    (tmp_path / "o.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_overrides(tmp_path / "o.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> workshop.Compiled:
    folder = tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)


def test_a_disabled_edit_leaves_the_output_of_the_bare_model(
    made: workshop.Compiled, tmp_path: Path
) -> None:
    path = tmp_path / "overrides.json"
    path.write_text('{"disabled": {"australia-capital": "ticket 7", "not-in-it": "ticket 8"}}')
    batch = made.batch(*workshop.IN_SCOPE, left=True)
    asked = {**batch, **GREEDY, "return_dict_in_generate": True, "output_logits": True}
    bare = made.model.generate(**asked)
    with made.bundle.attach(made.model, made.tokenizer) as edited:
        everything = edited.generate(**batch, **GREEDY)
        assert [d.edit for d in everything.decisions] == ["australia-capital", "tolstoy-tongue"]
        assert read_overrides(path).apply(edited) == ("not-in-it",)
        assert edited.enabled == ("tolstoy-tongue",)
        one = edited.generate(**asked)
    assert [d.edit for d in one.decisions] == [None, "tolstoy-tongue"]
    assert one.decisions[0].reason == "disabled"
    for step, wanted in zip(one.output.logits, bare.logits, strict=True):
        assert torch.equal(step[0], wanted[0])
    assert not torch.equal(one.output.logits[0][1], bare.logits[0][1])
    assert torch.equal(one.sequences[0], bare.sequences[0])
    assert torch.equal(one.sequences[1], everything.sequences[1])


def test_an_empty_file_switches_nothing_off(made: workshop.Compiled) -> None:
    with made.bundle.attach(made.model, made.tokenizer) as edited:
        assert Overrides({}).apply(edited) == ()
        assert Overrides({"not-in-it": "why"}).apply(edited) == ("not-in-it",)
        assert edited.enabled == made.bundle.ids
