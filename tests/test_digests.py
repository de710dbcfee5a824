"""Digests are promises: their bytes are in every key, identity and bundle."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from sake_registry.digests import array_digest, digest


def test_the_digest_of_a_value_is_that_of_its_compact_json() -> None:
    value = {"b": [1, 2.5, None], "a": "Šubject"}
    text = '{"a":"Šubject","b":[1,2.5,null]}'
    assert digest(value) == hashlib.sha256(text.encode()).hexdigest()
    escaped = '{"a":"\\u0160ubject","b":[1,2.5,null]}'
    assert digest(value, ensure_ascii=True) == hashlib.sha256(escaped.encode()).hexdigest()


def test_the_digest_of_arrays_is_of_heads_with_their_lengths_and_of_bytes() -> None:
    head = b"maps|<f4|[2, 1]|"
    expected = hashlib.sha256(
        b"part" + len(head).to_bytes(8, "little") + head + b"12345678" + b"note"
    ).digest()
    rows = [("maps", "<f4", (2, 1), b"12345678")]
    assert array_digest(rows, before=b"part", after=b"note") == expected


@given(st.lists(st.tuples(st.text(), st.sampled_from("fu"), st.lists(st.integers()), st.binary())))
def test_other_arrays_have_another_digest(rows: list[tuple[str, str, list[int], bytes]]) -> None:
    for i, (name, dtype, shape, data) in enumerate(rows):
        for other in ((name + "|", dtype, shape, data), (name, dtype, [*shape, 1], data)):
            assert array_digest([*rows[:i], other, *rows[i + 1 :]]) != array_digest(rows)
