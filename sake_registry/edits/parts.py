"""The parts of an edit in which a change is put in words. Light: `sake log --help` names them."""

from __future__ import annotations

from typing import Literal

Part = Literal["fact", "prompts", "scope", "metadata"]
PARTS: tuple[Part, ...] = ("fact", "prompts", "scope", "metadata")
"""`scope`: which prompts, and when: the router's settings, what stays unchanged, status, dates."""
