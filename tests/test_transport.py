"""Transport against its definition and against POT, on hard samples."""

from __future__ import annotations

import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sake_registry.transport import TransportMap, apply, fit

REGS = (1e-6, 1e-4, 1e-2, 0.1, 1.0)


def samples(
    n: int, m: int, width: int, seed: int = 0, outliers: bool = True
) -> tuple[Tensor, Tensor]:
    """Rows like activations: shifted, of unequal spread, two dimensions 80 times the others."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(n, width, generator=generator, dtype=torch.float64)
    target = 0.7 * torch.randn(m, width, generator=generator, dtype=torch.float64) + 0.5
    if outliers:
        source[:, [1, width // 2]] *= 80
        target[:, [1, width // 2]] *= 80
    return source, target


def dense_residual(a: Tensor, source: Tensor, target: Tensor, reg: float) -> float:
    """‖A Cs A − Ct‖ / ‖Ct‖ with dense covariances: the defining property, nothing shared."""

    def covariance(rows: Tensor) -> Tensor:
        centred = rows - rows.mean(0)
        return centred.T @ centred / len(rows) + reg * torch.eye(rows.shape[1], dtype=rows.dtype)

    cs, ct = covariance(source), covariance(target)
    return float(torch.linalg.norm(a @ cs @ a - ct) / torch.linalg.norm(ct))


def dense(transport: TransportMap) -> Tensor:
    eye = torch.eye(transport.width, dtype=torch.float64)
    return eye + (transport.basis.T * (transport.scale - 1)) @ transport.basis


def pot_matrix(source: Tensor, target: Tensor, reg: float) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes roots of rounding errors below zero
        a, _ = ot.gaussian.empirical_bures_wasserstein_mapping(source, target, reg=reg)
    return torch.as_tensor(a)


@pytest.mark.parametrize("reg", REGS)
@pytest.mark.parametrize(("n", "m", "width"), [(200, 100, 400), (60, 60, 576), (5, 40, 64)])
def test_lowrank_carries_the_source_covariance_into_the_target(
    n: int, m: int, width: int, reg: float
) -> None:
    source, target = samples(n, m, width)
    transport = fit(source, target, reg)
    assert transport.residual <= 1e-9
    # A dense check loses digits of its own; it must agree as far as it can see.
    residual = dense_residual(dense(transport), source, target, reg)
    assert residual <= 1e-9
    by_pot = dense_residual(pot_matrix(source, target, reg), source, target, reg)
    assert residual <= by_pot or not np.isfinite(by_pot) or residual <= 1e-12


@pytest.mark.parametrize("reg", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("outliers", [False, True])
def test_lowrank_is_what_pot_computes(reg: float, outliers: bool) -> None:
    source, target = samples(80, 50, 120, outliers=outliers)
    reference = ot.da.LinearTransport(reg=reg).fit(Xs=source.numpy(), Xt=target.numpy())
    fresh = samples(30, 2, 120, seed=5, outliers=outliers)[0]
    expected = torch.from_numpy(reference.transform(Xs=fresh.numpy()))
    found = apply(fit(source, target, reg), fresh)
    assert float((found - expected).norm() / expected.norm()) <= 1e-6


@pytest.mark.parametrize("reg", [0.1, 1.0])
def test_the_pot_solver_gives_the_same_map(reg: float) -> None:
    source, target = samples(40, 30, 100)
    by_pot, ours = fit(source, target, reg, "pot"), fit(source, target, reg)
    rows = samples(10, 2, 100, seed=3)[0]
    assert by_pot.rank <= 68
    difference = (apply(by_pot, rows) - apply(ours, rows)).norm() / apply(ours, rows).norm()
    assert float(difference) <= 1e-6


@pytest.mark.parametrize("reg", REGS)
def test_factors_in_float32_map_like_those_in_float64(reg: float) -> None:
    source, target = samples(200, 100, 400)
    transport = fit(source, target, reg)
    exact = apply(transport, source)
    single = apply(transport.to(torch.float32), source.float()).double()
    assert float((single - exact).norm() / exact.norm()) <= 1e-5


def test_outside_the_samples_the_map_is_a_shift() -> None:
    source, target = samples(20, 20, 100, outliers=False)
    transport = fit(source, target, 0.1)
    span = torch.linalg.qr(torch.cat((source - source.mean(0), target - target.mean(0))).T).Q
    direction = torch.randn(100, dtype=torch.float64)
    direction -= span @ (span.T @ direction)
    moved = apply(transport, source[:1] + direction) - apply(transport, source[:1])
    assert torch.allclose(moved, direction[None], atol=1e-9)


def test_uniform_is_the_mean_difference() -> None:
    source, target = samples(20, 30, 50)
    transport = fit(source, target, 1.0, "uniform")
    assert transport.rank == 0
    assert torch.allclose(apply(transport, source), source + target.mean(0) - source.mean(0))


def test_equal_distributions_leave_everything_where_it_is() -> None:
    source, _ = samples(30, 2, 60)
    transport = fit(source, source, 0.5)
    assert transport.rank == 0
    assert torch.equal(apply(transport, source), source)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 30),
    width=st.integers(2, 40),
    reg=st.sampled_from(REGS),
    seed=st.integers(0, 10_000),
)
def test_any_sample_gives_a_symmetric_positive_map_of_bounded_rank(
    n: int, m: int, width: int, reg: float, seed: int
) -> None:
    source, target = samples(n, m, width, seed)
    transport = fit(source, target, reg)
    assert transport.rank <= min(width, max(n + m - 2, 0))
    assert transport.residual <= 1e-9
    gram = transport.basis @ transport.basis.T
    assert torch.allclose(gram, torch.eye(transport.rank, dtype=torch.float64), atol=1e-9)
    # The mean of the source goes to the mean of the target.
    moved = apply(transport, source.mean(0, keepdim=True))
    assert torch.allclose(moved, target.mean(0, keepdim=True), atol=1e-9)
    # There and back again.
    back = fit(target, source, reg)
    there = apply(back, apply(transport, source))
    assert float((there - source).norm() / (1 + source.norm())) <= 1e-5


def test_rows_keep_their_dtype_and_leading_shape() -> None:
    transport = fit(*samples(10, 10, 16), 1.0).to(torch.float32)
    rows = torch.randn(2, 3, 16, dtype=torch.bfloat16)
    moved = apply(transport, rows)
    assert moved.dtype == torch.bfloat16
    assert moved.shape == (2, 3, 16)


@pytest.mark.parametrize(
    ("source", "target", "reg", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 5), 1.0, "do not agree"),
        (torch.zeros(0, 4), torch.zeros(3, 4), 1.0, "at least one row"),
        (torch.zeros(3, 4), torch.zeros(3, 4), 0.0, "above 0"),
        (torch.full((3, 4), float("nan")), torch.zeros(3, 4), 1.0, "not finite"),
    ],
)
def test_wrong_input_is_refused(source: Tensor, target: Tensor, reg: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(source, target, reg)


def test_factors_that_do_not_fit_together_are_refused() -> None:
    good = fit(*samples(10, 10, 16), 1.0)
    with pytest.raises(ValueError, match="do not agree"):
        TransportMap(good.source_mean, good.target_mean[:-1], good.basis, good.scale, 0.0)
    with pytest.raises(ValueError, match="not finite"):
        TransportMap(good.source_mean, good.target_mean, good.basis, good.scale * torch.nan, 0.0)
