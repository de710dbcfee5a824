"""Numbers set in a TOML file: what it says afterwards, and that nothing else in it changes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sake_registry.errors import SettingsError
from sake_registry.tomltext import set_in_table

CASES = {
    "": "[router]\nthreshold = 0.5\n",
    'model = "a"': 'model = "a"\n\n[router]\nthreshold = 0.5\n',
    "[test]\nmin_prompts = 1.0\n": "[test]\nmin_prompts = 1.0\n\n[router]\nthreshold = 0.5\n",
    "[router]": "[router]\nthreshold = 0.5\n",
    "[router]  # how\nkind='centre'\n": "[router]  # how\nthreshold = 0.5\nkind='centre'\n",
    "[router]\nthreshold=6.75# as published\n": "[router]\nthreshold=0.5# as published\n",
    "[ router ]\n  threshold = 1 # a\n\n[test]\n": "[ router ]\n  threshold = 0.5 # a\n\n[test]\n",
    "[router]\r\nthreshold = 1\r\n": "[router]\r\nthreshold = 0.5\r\n",
    'model = "a"\r\n': 'model = "a"\r\n\r\n[router]\r\nthreshold = 0.5\r\n',
    "router.threshold = 1\n[test]\n": "router.threshold = 0.5\n[test]\n",
    "[other]\nthreshold = 1\n[router]\n": "[other]\nthreshold = 1\n[router]\nthreshold = 0.5\n",
    "# [router]\n": "# [router]\n\n[router]\nthreshold = 0.5\n",
    "[router]\nkind='centre'\n\n# floors\n[test]\n": (
        "[router]\nthreshold = 0.5\nkind='centre'\n\n# floors\n[test]\n"
    ),
    'router = {kind = "centre"}\n': 'router = {kind = "centre",threshold = 0.5}\n',
    'router.kind = "centre"\n[test]\n': 'router.kind = "centre"\nrouter.threshold = 0.5\n[test]\n',
    'model = """\n[router]\n"""\n': 'model = """\n[router]\n"""\n\n[router]\nthreshold = 0.5\n',
    "[router]\nthreshold = [\n  1,\n]\n": "[router]\nthreshold = 0.5\n",
    '["router"]\nthreshold = 1\n': '["router"]\nthreshold = 0.5\n',
    "[router.x]\ny = 1\n[c]\n": "[router]\nthreshold = 0.5\n\n[router.x]\ny = 1\n[c]\n",
}


@pytest.mark.parametrize("before", CASES, ids=repr)
def test_one_key_is_set_and_every_other_byte_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "sake.toml"
    path.write_bytes(before.encode())
    set_in_table(path, "router", {"threshold": 0.5})
    assert path.read_bytes().decode() == CASES[before]
    assert tomllib.loads(CASES[before])["router"]["threshold"] == 0.5


def test_several_keys_are_set_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "sake.toml"
    path.write_text("[router]\n# last\n")
    set_in_table(path, "router", {"threshold": 0.5, "implied_threshold": 0.25})
    assert path.read_text() == "[router]\nthreshold = 0.5\nimplied_threshold = 0.25\n# last\n"
    set_in_table(path, "router", {"threshold": 0.625, "implied_threshold": 0.75})
    assert path.read_text() == "[router]\nthreshold = 0.625\nimplied_threshold = 0.75\n# last\n"


@pytest.mark.parametrize(
    "text",
    [
        "router = 5\n",
        "[[router]]\nthreshold = 1\n",
        "[router\n",
        "[router]\nthreshold = 1\nthreshold = 2\n",
    ],
)
def test_what_cannot_be_set_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sake.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        set_in_table(path, "router", {"threshold": 0.5})
    assert raised.value.hint == "write it yourself, under [router]: threshold = 0.5"
    assert path.read_text() == text
