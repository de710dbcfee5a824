"""Data that are text, as files: question library, name words, lead-ins, explanations.

A text file has sections: a line `[title]`, then one entry a line. Empty lines and lines that begin
with "#" are for the reader. An entry is text whatever it looks like ("NO", "1984").
"""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import Any

__all__ = ["explanations", "lead_ins", "probes", "questions", "sections"]


def read(file: str) -> str:
    """The text of a file of this package.

    Through `pkgutil`, of which the import takes a millisecond: that of `importlib.resources` takes
    fifteen, and every start of `sake check` would have them.
    """
    content = pkgutil.get_data(__name__, file)
    assert content is not None
    return content.decode()


@cache
def sections(file: str) -> dict[str, tuple[str, ...]]:
    """The entries of each section of a text file, in the file's order."""
    entries: dict[str, list[str]] = {}
    for line in read(file).splitlines():
        if line.startswith("["):
            entries[line[1:-1]] = current = []
        elif line and not line.startswith("#"):
            current.append(line)
    return {title: tuple(lines) for title, lines in entries.items()}


def questions() -> dict[str, tuple[str, ...]]:
    """Common questions by topic, the subject masked by the letter X."""
    return sections("questions.txt")


def lead_ins() -> tuple[str, ...]:
    """Neutral texts to stand before a prompt."""
    return sections("lead_ins.txt")["lead-ins"]


def probes() -> dict[str, tuple[str, ...]]:
    """Frames that a prompt of an edit is put in, to see what its router makes of them, by
    `language.section`: `{w}` is the prompt, `{S}` the subject, `{Y}` another name."""
    return {
        title: tuple(line.replace("\\n", "\n") for line in lines)
        for title, lines in sections("probes.txt").items()
    }


def explanations() -> dict[str, dict[str, Any]]:
    """What each code of a finding means, with its examples."""
    import yaml  # the routers and the names need none

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    value: dict[str, dict[str, Any]] = yaml.load(read("explanations.yaml"), loader)
    return value
