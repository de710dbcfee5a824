"""Digests: of plain values, and of named arrays. Every key, identity and seal rests on these two.

Their bytes are a promise: another digest of the same values would be another key, and everything
would be built again. Imports nothing of the package.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Row = tuple[str, str, Sequence[int], bytes | memoryview]


def digest(value: Any, *, ensure_ascii: bool = False) -> str:
    """SHA-256 of plain values as compact JSON, hexadecimal: the same for equal ones, whatever
    their order in mappings.

    Args:
        ensure_ascii: letters beyond ASCII are escaped, as in the identity of a model.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=ensure_ascii, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def array_digest(rows: Iterable[Row], *, before: bytes = b"", after: bytes = b"") -> bytes:
    """SHA-256 of (name, element type, shape, bytes) rows, in the order in which they come.

    Args:
        before: what the digest begins with: of what part the arrays are.
        after: what it ends with: a note that belongs to them.
    """
    state = hashlib.sha256(before)
    for name, dtype, shape, data in rows:
        head = f"{name}|{dtype}|{list(shape)}|".encode()
        # The length in front keeps a name from reaching into the numbers.
        state.update(len(head).to_bytes(8, "little") + head)
        state.update(data)
    state.update(after)
    return state.digest()
