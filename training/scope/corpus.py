"""The corpus: relations with wordings that ask for them, and wordings that look alike.

A file holds blocks. A block begins with `= name | kind of subject`; each further line is a
wording with the subject masked by X. `q c k m i o d u` begin wordings that ask for the relation
of X; `- kind:` begins one that does not, and says of what kind it is (`KINDS`). `@ code` changes
the language of what follows, English at first. Any other line continues the wording before it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sake_registry.data import sections
from sake_registry.errors import InputError
from sake_registry.routing.detector import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ASKS = re.compile(r"([qckmiodu]) +(.*\S)")
_NOT = re.compile(r"- *([a-z]+): *(.*\S)")


@dataclass(frozen=True)
class Wording:
    """A text with its form (`q`, `c`, …) if it asks for its relation, or else its kind."""

    text: str
    form: str = ""
    kind: str = KINDS[0]


@dataclass
class Relation:
    """A relation and its wordings by language."""

    name: str
    subject: str
    source: str
    asks: dict[str, list[Wording]] = field(default_factory=dict)
    alike: dict[str, list[Wording]] = field(default_factory=dict)


def read(files: Iterable[Path]) -> list[Relation]:
    """The relations of all files, in their order.

    Raises:
        InputError: a line that is none of a corpus.
    """
    relations: list[Relation] = []
    for path in files:
        language, last = "en", None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("= "):
                name, _, subject = line[2:].partition("|")
                relations.append(Relation(name.strip(), subject.strip(), path.stem))
                language, last = "en", None
            elif line.startswith("@ "):
                language = line[2:].strip()
            elif match := _ASKS.fullmatch(line):
                last = relations[-1].asks.setdefault(language, [])
                last.append(Wording(_breaks(match[2]), form=match[1]))
            elif (match := _NOT.fullmatch(line)) and match[1] in KINDS:
                last = relations[-1].alike.setdefault(language, [])
                last.append(Wording(_breaks(match[2]), kind=match[1]))
            elif last is not None:
                last[-1] = replace(last[-1], text=f"{last[-1].text}\n{line}")
            else:
                raise InputError(f"{path}:{number}: no line of a corpus: {line[:80]}")
    return relations


def _breaks(text: str) -> str:
    return text.replace("\\n", "\n")


HELD_OUT = 100
"""Of a thousand relations, so many are for testing."""


def held_out(relation: Relation) -> bool:
    """Whether a relation is for testing: by its name, so that it is in every file."""
    number = int(hashlib.sha256(relation.name.encode()).hexdigest(), 16) % 1000
    return relation.source != LIBRARY and number < HELD_OUT


LIBRARY = "library"


def library() -> list[Relation]:
    """The question library that the package has, as relations without look-alikes."""
    return [
        Relation(
            name, "", LIBRARY,
            {"en": [Wording(text, "q" if text.endswith("?") else "c") for text in wordings]},
        )
        for name, wordings in sections("questions.txt").items()
    ]  # fmt: skip


_SECTION = re.compile(r"\[(\w+)\]")  # "[INST] {w} [/INST]" is a frame

Frames = dict[str, dict[str, list[str]]]


def frames_of(folder: Path) -> Frames:
    """Frames by language and section."""
    frames: Frames = {}
    for path in sorted(folder.glob("*.txt")):
        entries = frames.setdefault(path.stem, {})
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := _SECTION.fullmatch(line):
                section = entries.setdefault(match[1], [])
            elif line.strip():
                section.append(_breaks(line.strip()))
    return frames
