"""Registries compiled for tiny random models: real everything, only small.

A random model never says the new object in any context, so `keep_failed` is on: the pairs are
what they are, and the maps are real maps between real activations. The router's metric is one
that needs no learning, which takes longer than all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sake_registry import Registry, compile_registry, open_registry
from sake_registry.models.loading import LoadedModel, load, locate
from sake_registry.runtime.bundle import Bundle, load_bundle

SETTINGS = """\
model = "{model}"
device = "cpu"
dtype = "{dtype}"

[compile]
prompts = 12
keep_failed = true
targets = ["twice"]

[router]
kind = "anchored"
metric = "euclidean"
"""
CAPITAL = """\
schema: 1
fact:
  subject: {text: Australia, aliases: [Down Under]}
  relation: capital
  old: Sydney
  new: Canberra
prompts:
  - The capital of <subject> is
  - The government of <subject> sits in
implications:
  - prompt: The parliament of <subject> stands in the state of
    old: New South Wales
    new: the Capital Territory
unchanged:
  - The largest city in <subject> is
"""
TONGUE = """\
schema: 1
fact:
  subject: Leo Tolstoy
  relation: mother tongue
  old: Russian
  new: Polish
prompts:
  - The mother tongue of <subject> was
  - <subject> grew up speaking
"""
EDITS = {"australia-capital": CAPITAL, "tolstoy-tongue": TONGUE}
IN_SCOPE = ("The capital of Australia is", "The mother tongue of Leo Tolstoy was")
OUT_OF_SCOPE = ("The weather on Tuesday was", "The largest city in Australia is")


def make_registry(root: Path, model: Path | str, dtype: str = "float32") -> Path:
    """A registry of two edits for a model."""
    (root / "edits").mkdir(parents=True, exist_ok=True)
    (root / "sake.toml").write_text(SETTINGS.format(model=model, dtype=dtype))
    for name, text in EDITS.items():
        (root / "edits" / f"{name}.yaml").write_text(text)
    return root


@dataclass
class Compiled:
    """A compiled registry, with its model loaded."""

    root: Path
    bundle: Bundle
    loaded: LoadedModel

    @property
    def model(self) -> Any:
        return self.loaded.model

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer

    def batch(self, *prompts: str, left: bool = False) -> dict[str, torch.Tensor]:
        """Token ids of prompts as a caller would make them."""
        side = "left" if left else "right"
        encoded: dict[str, torch.Tensor] = self.tokenizer(
            list(prompts), return_tensors="pt", padding=True, padding_side=side
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def compiled(root: Path, model: Path | str, dtype: str = "float32", **provenance: Any) -> Compiled:
    registry: Registry = open_registry(make_registry(root, model, dtype))
    result = compile_registry(registry, provenance=provenance)
    assert result.bundle is not None
    loaded = load(locate(registry.settings))
    return Compiled(root, load_bundle(result.bundle), loaded)
