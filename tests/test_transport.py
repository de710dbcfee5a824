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

from sake_registry.transport import Solver, TransportMap, apply, fit, share_of_trace

REGS = (1e-6, 1e-4, 1e-2, 0.1, 1.0)
KAPPAS = (0.05, 0.2, 0.6, 1.0)


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


def covariance(rows: Tensor, reg: float) -> Tensor:
    centred = rows - rows.mean(0)
    return centred.T @ centred / len(rows) + reg * torch.eye(rows.shape[1], dtype=rows.dtype)


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("reg", [0.1, 1.0, 10.0])
def test_with_a_complement_the_source_is_regularised_by_so_much_more(
    kappa: float, reg: float
) -> None:
    """N(μs, Cs + reg/κ² I) → N(μt, Ct + reg I), by POT on the dense covariances."""
    source, target = samples(30, 20, 60, outliers=False)
    transport = fit(source, target, reg, complement=kappa)
    assert transport.residual <= 1e-9
    a, b = ot.gaussian.bures_wasserstein_mapping(
        source.mean(0), target.mean(0), covariance(source, reg / kappa**2), covariance(target, reg)
    )
    rows = samples(10, 2, 60, seed=3, outliers=False)[0]
    expected = rows @ a + b
    assert float((apply(transport, rows) - expected).norm() / expected.norm()) <= 1e-9
    single = apply(transport.to(torch.float32), rows.float()).double()
    assert float((single - expected).norm() / expected.norm()) <= 1e-5


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("reg", REGS)
def test_with_a_complement_and_outliers_the_covariance_still_arrives(
    kappa: float, reg: float
) -> None:
    source, target = samples(40, 30, 100)
    transport = fit(source, target, reg, complement=kappa)
    eye = torch.eye(100, dtype=torch.float64)
    a = kappa * eye + (transport.basis.T * (transport.scale - kappa)) @ transport.basis
    ct = covariance(target, reg)
    residual = torch.linalg.norm(a @ covariance(source, reg / kappa**2) @ a - ct)
    assert transport.residual <= 1e-9
    assert float(residual / torch.linalg.norm(ct)) <= 1e-9


def test_of_what_no_pair_has_shown_the_complement_is_kept() -> None:
    source, target = samples(20, 20, 100, outliers=False)
    transport = fit(source, target, 0.1, complement=0.3)
    span = torch.linalg.qr(torch.cat((source - source.mean(0), target - target.mean(0))).T).Q
    direction = torch.randn(100, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direction -= span @ (span.T @ direction)
    moved = apply(transport, source[:1] + direction) - apply(transport, source[:1])
    assert torch.allclose(moved, 0.3 * direction[None], atol=1e-9)


def test_a_complement_of_one_is_the_former_map_to_the_bit() -> None:
    source, target = samples(20, 30, 50)
    given, usual = fit(source, target, 0.5, complement=1.0), fit(source, target, 0.5)
    assert torch.equal(apply(given, source), apply(usual, source))
    still = fit(source, source, 0.5, complement=1.0)
    assert still.rank == 0
    for of_map, dtype in (
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float32, torch.bfloat16),
    ):
        rows = (source + 0.123).to(dtype)
        assert torch.equal(apply(still.to(of_map), rows), rows)


def test_a_complement_of_zero_gives_the_targets_mean() -> None:
    source, target = samples(20, 30, 50)
    transport = fit(source, target, 1.0, complement=0.0)
    assert (transport.rank, transport.residual) == (0, 1.0)
    moved = apply(transport, samples(10, 2, 50, seed=3)[0])
    assert torch.allclose(moved, target.mean(0).expand_as(moved), atol=1e-9)


@settings(max_examples=40)
@given(
    n=st.integers(2, 20),
    m=st.integers(2, 20),
    width=st.integers(2, 30),
    share=st.sampled_from((0.01, 0.1, 1.0)),
    kappa=st.sampled_from(KAPPAS),
    factor=st.sampled_from((0.25, 3.0, 100.0)),
    seed=st.integers(0, 10_000),
)
def test_a_share_of_the_trace_does_not_know_the_models_scale(
    n: int, m: int, width: int, share: float, kappa: float, factor: float, seed: int
) -> None:
    source, target = samples(n, m, width, seed, outliers=False)
    reg, scaled = share_of_trace(target, share), share_of_trace(factor * target, share)
    assert scaled == pytest.approx(factor**2 * reg, rel=1e-9)
    own = fit(source, target, reg, complement=kappa)
    large = fit(factor * source, factor * target, scaled, complement=kappa)
    rows = samples(5, 1, width, seed + 1, outliers=False)[0]
    expected = factor * apply(own, rows)
    assert float((apply(large, factor * rows) - expected).norm() / expected.norm()) <= 1e-7


def test_a_share_is_of_the_mean_variance_in_the_directions_there_are() -> None:
    rows = torch.zeros(4, 10)
    rows[:, 3] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    # Four rows span three directions at most; the variance in them is 1 in all.
    assert share_of_trace(rows, 0.3) == pytest.approx(0.1)
    alike = torch.full((4, 10), 7.0)
    reg = share_of_trace(alike, 0.3)
    assert 0 < reg < 1e-9
    assert apply(fit(rows, alike, reg), rows).isfinite().all()


def test_no_share_is_taken_of_rows_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="activations are not finite"):
        share_of_trace(torch.full((3, 4), torch.inf), 0.1)


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


@settings(max_examples=40)
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


@pytest.mark.parametrize("solver", ["pot", "uniform"])
def test_only_the_exact_solver_knows_a_complement(solver: Solver) -> None:
    source, target = samples(10, 10, 16)
    with pytest.raises(ValueError, match=f"'{solver}' knows no complement"):
        fit(source, target, 1.0, solver, 0.5)


@pytest.mark.parametrize("complement", [-0.1, 1.5])
def test_a_complement_is_a_share(complement: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        fit(*samples(10, 10, 16), 1.0, complement=complement)


def test_factors_that_do_not_fit_together_are_refused() -> None:
    good = fit(*samples(10, 10, 16), 1.0)
    with pytest.raises(ValueError, match="do not agree"):
        TransportMap(good.source_mean, good.target_mean[:-1], good.basis, good.scale, 0.0)
    with pytest.raises(ValueError, match="not finite"):
        TransportMap(good.source_mean, good.target_mean, good.basis, good.scale * torch.nan, 0.0)
