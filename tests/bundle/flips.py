"""Flip bytes of a bundle, one at a time, and say what the reader makes of each.

A process of its own (`python -m tests.bundle.flips GOOD SCRATCH`, JSON pairs of offset and mask on
stdin): whatever HDF5 does on a damaged file, hanging and crashing included, is seen from outside.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sake_registry.errors import BundleFormatError
from tests.bundle.synthetic import values


def outcome(good: bytes, original: dict[str, Any], scratch: Path, offset: int, mask: int) -> str:
    """`refused` or `same`; anything else is what must not be."""
    damaged = bytearray(good)
    damaged[offset] ^= mask
    scratch.unlink(missing_ok=True)  # a file of its own each time: HDF5 knows files by inode
    scratch.write_bytes(damaged)
    try:
        return "same" if values(scratch) == original else "changed"
    except BundleFormatError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    path, scratch = map(Path, sys.argv[1:])
    good, original = path.read_bytes(), values(path)
    for offset, mask in json.load(sys.stdin):
        # What was begun and has no result is what crashed.
        sys.stdout.write(f"{offset}\t{mask}\t")
        sys.stdout.flush()
        sys.stdout.write(outcome(good, original, scratch, offset, mask).replace("\n", " ") + "\n")


if __name__ == "__main__":
    main()
