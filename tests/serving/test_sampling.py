"""Each row is sampled in its own way."""

from __future__ import annotations

import torch

from sake_registry.serving.sampling import Sampler, Sampling, sample

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def drawn(how: Sampling, count: int) -> list[int]:
    """Tokens of one row."""
    sampler = Sampler(how)
    return [sampler.choose(LOGITS) for _ in range(count)]


def test_a_seed_gives_the_same_tokens_and_another_one_others() -> None:
    assert drawn(Sampling(1, 1, 7), 50) == drawn(Sampling(1, 1, 7), 50)
    assert drawn(Sampling(1, 1, 7), 50) != drawn(Sampling(1, 1, 8), 50)
    assert drawn(Sampling(1, 1), 50) != drawn(Sampling(1, 1), 50)


def test_the_nucleus_holds_the_likeliest_and_no_more_than_is_asked() -> None:
    assert set(drawn(Sampling(1, 0.01, 1), 200)) == {0}
    assert set(drawn(Sampling(1, 0.5, 1), 200)) == {0}
    assert set(drawn(Sampling(1, 0.75, 1), 300)) == {0, 1}
    assert set(drawn(Sampling(1, 1.0, 1), 500)) == {0, 1, 2, 3}


def test_frequencies_are_the_probabilities_at_a_temperature() -> None:
    generator = torch.Generator().manual_seed(0)
    for temperature in (0.5, 1.0, 2.0):
        how = Sampling(temperature)
        counts = torch.zeros(4)
        for _ in range(4000):
            counts[sample(LOGITS, how, generator)] += 1
        wanted = (LOGITS / temperature).softmax(0)
        # Five standard errors of a share of 4,000.
        assert (counts / 4000 - wanted).abs().max() < 5 * (0.25 / 4000) ** 0.5
