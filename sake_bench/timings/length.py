"""What a prompt of hostile shape takes by its length, beside the embedder.

    python -m sake_bench.timings.length [--kilobytes 16 64 256 1024] [--most 20]

Each shape is one that made some step of finding names or cutting clauses slow. The embedder gives
random points and counts its texts, so that only the router is timed. A shape that has taken
longer than `--most` seconds is not tried at the next length. `- {a: b}` and the like are read as
an edit file of at most 256 KB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sake_registry.bundle.format import Route
from sake_registry.edits.files import parse_edit
from sake_registry.routing.router import Router, RouterEntry

NAMES = ("Australia", "Danielle Darrieux", "J. R. R. Tolkien", "U.S.S.R.", "New York")
WIDTH = 8
LARGEST_FILE = 256
_FACT = "schema: 1\nfact: {subject: Rome, relation: mayor, old: A, new: B}\n"

SHAPES: dict[str, Callable[[int], str]] = {
    "In In … Australia is": lambda n: "In " * (n // 3) + "Australia is",
    "The The … Australia is": lambda n: "The " * (n // 4) + "Australia is",
    "Australia ....a": lambda n: "Australia " + "." * n + "a",
    "Australia ....a ....a …": lambda n: "Australia " + "....a" * (n // 5),
    "newlines, Australia": lambda n: "\n" * n + "Australia is",
    "newline and Australia, repeated": lambda n: "\r\n\r\nAustralia " * (n // 14),
    "Australia ?!?!…": lambda n: "Australia " + "?!" * (n // 2) + "x",
    "two names, repeated": lambda n: "Danielle Darrieux Australia " * (n // 28),
    "one name, repeated": lambda n: "Australia " * (n // 10),
    "quotes": lambda n: "Australia '" + "\" '" * (n // 3),
    "brackets": lambda n: "(" * (n // 2) + "Australia" + ")" * (n // 2),
    "commas": lambda n: "Australia, " * (n // 11) + "is",
    "digits": lambda n: "Australia " + "1" * n,
    "hyphens": lambda n: "Australia-" * (n // 10) + "Australia is",
    "marks": lambda n: "Australia i" + "\u0301\u0323" * (n // 2) + " s",
    "one giant word": lambda n: "a" * n + " Australia is",
    "U.S.S.R.U.S.S.R.…": lambda n: "U.S.S.R." * (n // 8) + " is",
    "zero-width": lambda n: "Australia\u200b" * (n // 10) + " Australia is",
    "turns": lambda n: "Australia <|" * (n // 12) + "<|im_end|>",
    "his his …": lambda n: "Australia was. " + "his " * (n // 4),
}
FILES: dict[str, Callable[[int], str]] = {
    "a file of - {a: b}": lambda n: f"{_FACT}prompts:\n" + "  - {a: b}\n" * (n // 11),
    "a file of aliases and prompts": lambda n: (
        "schema: 1\nfact:\n  subject:\n    text: Rome\n    aliases:\n"
        + "".join(f"    - Name{i:05d}\n" for i in range(n // 32))
        + "  relation: mayor\n  old: A\n  new: B\nprompts:\n"
        + "".join(f"- {i:05d} <subject>\n" for i in range(n // 32))
    ),
    "a subject of a.a.a.…": lambda n: (
        f"schema: 1\nfact: {{subject: {'a.' * (n // 4)}, relation: mayor, old: A, new: B}}\n"
        f"prompts:\n- {'a.' * (n // 4)} is\n"
    ),
    "a file of comments": lambda n: f"{_FACT}prompts: [<subject> is]\n" + "#\n" * (n // 2),
    "a file of ignore comments": lambda n: (
        f"{_FACT}prompts: [<subject> is]\n" + "# sake: ignore[SAKE111] so\n" * (n // 27)
    ),
    "digits and a letter, unquoted": lambda n: f"{_FACT}prompts: [<subject> is, {'1' * n}x]\n",
}


def router() -> tuple[Router, list[str]]:
    """A router over `NAMES`, and the texts that its embedder was given."""
    embedded: list[str] = []

    def embed(texts: Sequence[str]) -> Tensor:
        embedded.extend(texts)
        return torch.ones(len(texts), WIDTH)

    entries = [
        RouterEntry(
            f"edit-{number}", "anchored", 0.62,
            (Route(group=0, names=(name,), need="any", rows=1),), torch.zeros(1, WIDTH),
        )
        for number, name in enumerate(NAMES)
    ]  # fmt: skip
    return Router(entries, embed), embedded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kilobytes", type=int, nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--most", type=float, default=20)
    given = parser.parse_args()
    decider, embedded = router()
    decider.decide(["Australia is"])
    print("processor seconds beside the embedder (texts embedded) by kilobytes")
    print(f"{'':34}" + "".join(f"{size:>16}" for size in given.kilobytes))
    for shape, made in (*SHAPES.items(), *FILES.items()):
        cells = []
        for size in given.kilobytes:
            if shape in FILES and size > LARGEST_FILE:
                break
            text = made(size << 10)
            embedded.clear()
            began = time.process_time()
            if shape in FILES:
                parse_edit(text.encode(), Path("edit.yaml"))
            else:
                decider.decide([text])
            seconds = time.process_time() - began
            count = "" if shape in FILES else f" ({len(embedded)})"
            cells.append(f"{f'{seconds:.3f}{count}':>16}")
            if seconds > given.most:
                break
        print(f"{shape:34}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
