"""Rows of one batch, each sampled in its own way."""

from __future__ import annotations

import torch

from sake_registry.serving.sampling import RowSampling, Sampling, sample

CPU = torch.device("cpu")
LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
NOBODYS = torch.zeros(1, 1, dtype=torch.long)


def drawn(how: Sampling, count: int, company: int = 0) -> list[int]:
    """Tokens of one row, which shares its batch with others."""
    others = [Sampling(1.0, 1.0, number) for number in range(company)]
    rows = RowSampling([*others, how], CPU)
    scores = LOGITS.repeat(company + 1, 1)
    return [int(rows(NOBODYS, scores)[-1].argmax()) for _ in range(count)]


def test_a_greedy_row_is_left_as_it_is_to_the_bit() -> None:
    scores = torch.stack((LOGITS, LOGITS.flip(0)))
    assert RowSampling([Sampling(0), Sampling(0)], CPU)(NOBODYS, scores) is scores
    mixed = RowSampling([Sampling(0), Sampling(1, 1, 3)], CPU)(NOBODYS, scores)
    assert torch.equal(mixed[0], LOGITS)
    assert torch.isfinite(mixed[1]).sum() == 1


def test_a_seed_gives_the_same_tokens_in_whatever_company() -> None:
    alone = drawn(Sampling(1, 1, 7), 50)
    assert drawn(Sampling(1, 1, 7), 50, company=5) == alone
    assert drawn(Sampling(1, 1, 8), 50) != alone
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
