"""constraints-hashed.txt: the pins of constraints.txt, each with its files' hashes."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

HASHES = re.compile(r"( \\\n {4}--hash=sha256:[0-9a-f]{64})+$", re.M)


def pins(text: str) -> set[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {(canonicalize_name(r.name), str(r.specifier)) for r in map(Requirement, lines)}


def test_every_pin_but_torch_s_has_its_hashes() -> None:
    hashed = (ROOT / "constraints-hashed.txt").read_text("utf-8")
    without, entries = HASHES.subn("", hashed)
    pinned = pins((ROOT / "constraints.txt").read_text("utf-8"))
    assert pins(without) == {pin for pin in pinned if pin[0] != "torch"}, "run: make lock"
    assert entries == len(pinned) - 1
