"""Which requests make a batch together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sake_registry.serving.asked import Asked, Prompt
from sake_registry.serving.batching import fitting
from sake_registry.serving.sampling import Sampling


def asked(prompts: list[int], tokens: int) -> Asked:
    """A request with prompts of these lengths."""
    return Asked(
        "id", tuple(Prompt((0,) * n, "") for n in prompts), (Sampling(),) * len(prompts), tokens,
        (), None, lambda event: None,
    )  # fmt: skip


REQUESTS = st.lists(
    st.builds(asked, st.lists(st.integers(1, 200), min_size=1, max_size=4), st.integers(1, 300)),
    max_size=30,
)


@given(REQUESTS, st.integers(1, 16))
def test_the_first_leads_and_at_most_half_of_a_batch_is_padding(
    waiting: list[Asked], rows: int
) -> None:
    batch = fitting(waiting, rows)
    assert batch[:1] == waiting[:1]
    assert batch == [one for one in waiting if one in batch]  # in their order
    count = sum(len(one.prompts) for one in batch)
    assert count <= rows or len(batch) == 1
    width = max((one.length for one in batch), default=0)
    assert width * count <= 2 * sum(one.length * len(one.prompts) for one in batch)


def test_alike_requests_go_together_and_few_with_a_long_one() -> None:
    short, long = [asked([5], 8) for _ in range(6)], asked([5], 500)
    assert fitting([*short[:3], long, *short[3:]], 16) == short
    assert fitting([long, *short], 16) == [long, short[0]]
    assert fitting(short, 4) == short[:4]
    assert fitting([], 4) == []
