"""Engines come by entry point; the built-in one is there without."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from sake_registry.errors import SetupError
from sake_registry.runtime import engines
from sake_registry.runtime.engines import GROUP, find_engine
from sake_registry.runtime.huggingface import Edited
from tests.workshop import Compiled


def test_the_built_in_engine_is_found_whatever_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_engine("huggingface") is Edited
    monkeypatch.setattr(engines, "entry_points", lambda group: ())
    assert find_engine("huggingface") is Edited


def test_an_installed_package_brings_an_engine(
    llama: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = (
        EntryPoint("mirror", "builtins:dict", GROUP),
        EntryPoint("gone", "no_such_package_at_all:Engine", GROUP),
        EntryPoint("odd", "sake_registry.runtime.huggingface:Nothing", GROUP),
    )
    monkeypatch.setattr(engines, "entry_points", lambda group: brought)
    assert find_engine("mirror") is dict
    for name in ("gone", "odd"):
        with pytest.raises(SetupError, match=f"the engine '{name}' .* cannot be loaded"):
            llama.bundle.attach(llama.model, llama.tokenizer, engine=name)


def test_an_engine_that_is_not_installed_is_an_error_of_the_setup(llama: Compiled) -> None:
    with pytest.raises(SetupError, match="no engine 'hugging-face' is installed") as caught:
        llama.bundle.attach(llama.model, llama.tokenizer, engine="hugging-face")
    assert caught.value.exit_code == 4
    assert caught.value.hint == "did you mean 'huggingface'?"
