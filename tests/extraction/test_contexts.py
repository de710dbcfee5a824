"""Contexts: the table, what sake.toml adds, and what is refused."""

from __future__ import annotations

import pytest

from sake_registry.errors import SettingsError
from sake_registry.extraction.contexts import choose, fill
from sake_registry.settings import Settings


def test_the_published_context_is_the_second_target() -> None:
    found = choose(Settings())
    assert fill(found.target[1], prompt="X is", old="red", new="blue", fact="") == (
        "Do not mention 'red'. Repeat this sentence: 'X is blue'. X is"
    )


def test_forced_contexts_are_used_only_where_a_fit_may_ask_for_them() -> None:
    for sources, number in ((["auto"], 1), (["plain"], 0), (["forced"], 1)):
        found = choose(Settings.model_validate({"compile": {"sources": sources}}))
        assert (len(found.forced), len(found.implication_forced)) == (number, number), sources


def test_an_implication_may_be_forced_to_its_stated_answer() -> None:
    found = choose(Settings.model_validate({"compile": {"targets": ["imagine", "twice"]}}))
    assert len(found.implication_target) == 4
    assert found.implication_target[2:] == found.target


def test_without_an_old_object_its_contexts_are_left_out() -> None:
    found = choose(Settings())
    filled = [fill(t, prompt="X is", old=None, new="blue", fact="") for t in found.target]
    assert filled[0] == "X is blue. X is blue. X is"
    assert filled[1] is None


def test_braces_in_a_prompt_are_text() -> None:
    prompt = "In C, `int f() {new}` and {old} of X is"
    assert fill("{prompt} {new}. {prompt}", prompt=prompt, old="o", new="n", fact="") == (
        f"{prompt} n. {prompt}"
    )


def test_a_registry_adds_and_replaces_templates() -> None:
    settings = Settings.model_validate(
        {
            "compile": {"targets": ["mine", "twice"], "sources": ["plain", "forced"]},
            "contexts": {"target": {"mine": "{new}! {prompt}", "twice": "{prompt} {new} {prompt}"}},
        }
    )
    found = choose(settings)
    assert found.target == ("{new}! {prompt}", "{prompt} {new} {prompt}")
    assert len(found.forced) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compile": {"targets": ["repeet"]}}, "no target context 'repeet'"),
        ({"compile": {"sources": ["plain", "fored"]}}, "'fored' is not a kind of source"),
        ({"compile": {"sources": ["auto", "plain"]}}, "'auto' stands alone"),
        ({"contexts": {"target": {"bad": "{new}"}}}, "bad: it does not end in {prompt}"),
        ({"contexts": {"forced": {"bad": "{prompt} {new}"}}}, "bad: it does not end in {prompt}"),
        ({"contexts": {"target": {"bad": "{prompt}\n"}}}, "bad: it does not end in {prompt}"),
        ({"contexts": {"target": {"bad": "{prompt} {nwe}"}}}, "unknown {nwe}"),
    ],
)
def test_what_cannot_be_used_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("{", r"\{")):
        choose(Settings.model_validate(settings))
