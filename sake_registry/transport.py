"""Linear optimal transport between two sets of activations (3.2.2), exactly and cheaply.

With n source and m target rows, weights 1/n and 1/m, and `reg` on both covariances,

    A = Cs^-½ (Cs^½ Ct Cs^½)^½ Cs^-½,   T(x) = μt + A (x − μs).

On the orthogonal complement of the centred samples both covariances are reg·I, so A is the
identity there, and exactly T(x) = x + (μt − μs) + P diag(λ − 1) Pᵀ (x − μs) with a rank of at
most n + m − 2. Everything happens in the span of the samples, in float64. Half-powers come from
singular values and the root from a polar factor, so that no covariance is ever squared: fits
stay finite and exact where the dense formula is lost to rounding (small `reg`, outlier
dimensions).

Pure functions on tensors; imports nothing of the package.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Solver = Literal["lowrank", "pot", "uniform"]
_IDENTITY = 1e-9
"""Directions whose λ differs from κ by less do nothing that float32 could show."""


@dataclass(frozen=True)
class TransportMap:
    """T(x) = μt + κ (x − μs) + Pᵀ-coordinates scaled: the factors of one fitted map.

    `source_mean` and `target_mean` have shape (width,), `basis` (rank, width) with orthonormal
    rows, `scale` (rank,) holds the λ; `complement` is κ, the scale of every other direction;
    `residual` is ‖A Cs A − Ct‖ / ‖Ct‖ (Frobenius, in the
    samples' span).
    """

    source_mean: Tensor
    target_mean: Tensor
    basis: Tensor
    scale: Tensor
    residual: float
    complement: float = 1.0

    def __post_init__(self) -> None:
        (width,) = self.source_mean.shape
        rank = len(self.scale)
        if self.target_mean.shape != (width,) or self.basis.shape != (rank, width):
            raise ValueError(
                f"factors do not agree: means {tuple(self.source_mean.shape)}, "
                f"{tuple(self.target_mean.shape)}, basis {tuple(self.basis.shape)}, rank {rank}"
            )
        parts = (self.source_mean, self.target_mean, self.basis, self.scale)
        if not all(bool(torch.isfinite(part).all()) for part in parts):
            raise ValueError("a factor is not finite")
        if bool((self.scale < 0).any()):
            raise ValueError("a transport map has no negative scale")
        if not 0 <= self.complement <= 1:
            raise ValueError(f"the complement's scale lies in 0 to 1, not {self.complement}")

    @property
    def rank(self) -> int:
        return len(self.scale)

    @property
    def width(self) -> int:
        return len(self.source_mean)

    def to(self, dtype: torch.dtype, device: torch.device | str | None = None) -> TransportMap:
        """The same map with its factors in another dtype, on another device."""
        names = ("source_mean", "target_mean", "basis", "scale")
        return replace(self, **{n: getattr(self, n).to(device=device, dtype=dtype) for n in names})


class Samples:
    """Source and target rows, checked and decomposed once for all the maps that are fitted to
    them.

    Args:
        source: (n, width) activations before the edit.
        target: (m, width) activations after it; n and m may differ.

    Raises:
        ValueError: shapes that do not agree, rows that are not finite, fewer than one row.
    """

    def __init__(self, source: Tensor, target: Tensor) -> None:
        if source.dim() != 2 or target.dim() != 2 or source.shape[1] != target.shape[1]:
            raise ValueError(f"rows do not agree: {tuple(source.shape)} and {tuple(target.shape)}")
        if not len(source) or not len(target):
            raise ValueError("a distribution needs at least one row")
        self._xs, self._xt = source.double().cpu(), target.double().cpu()
        if not (bool(torch.isfinite(self._xs).all()) and bool(torch.isfinite(self._xt).all())):
            raise ValueError("activations are not finite")
        self._ms, self._mt = self._xs.mean(0), self._xt.mean(0)
        s = (self._xs - self._ms) / len(self._xs) ** 0.5
        t = (self._xt - self._mt) / len(self._xt) ** 0.5
        self._q = torch.linalg.qr(torch.cat((s, t)).T).Q.T
        # Coordinates in the span lose nothing: it covers every row.
        self._s, self._t = _Spread(s @ self._q.T), _Spread(t @ self._q.T)

    def fit(self, reg: float, solver: Solver = "lowrank", complement: float = 1.0) -> TransportMap:
        """Fit the transport map from source rows to target rows.

        Args:
            reg: added to the diagonal of both covariances, in squared activation units, > 0.
                `share_of_trace` gives one that does not depend on the model's scale.
            solver: `lowrank` as derived above; `pot` the dense fit of POT (`ot.gaussian`), as a
                reference; `uniform` the mean difference alone (4.4.2), which is λ = 1.
            complement: κ, the share of what no pair has shown that is kept; for `lowrank` alone.

        Returns:
            The map, in float64 on the CPU.

        Raises:
            ValueError: a regularisation of 0, a complement that the solver does not know.
        """
        if not reg > 0:
            raise ValueError(f"reg must be above 0, not {reg}")
        if complement != 1 and solver != "lowrank":
            raise ValueError(f"the solver '{solver}' knows no complement but 1")
        source_reg = reg / complement**2 if complement else float("inf")
        if solver == "uniform" or not complement:
            basis, scale = self._q[:0], self._q.new_empty(0)
        elif solver == "pot":
            basis, scale = _pot(self._xs, self._xt, reg)
        elif solver == "lowrank":
            inside, scale = _lowrank(self._s, self._t, source_reg, reg, complement)
            basis = inside @ self._q
        else:
            raise ValueError(f"no solver '{solver}'")
        inside = basis @ self._q.T
        residual = _residual(self._s, self._t, source_reg, reg, inside, scale, complement)
        return TransportMap(self._ms, self._mt, basis, scale, residual, complement)


def fit(
    source: Tensor,
    target: Tensor,
    reg: float,
    solver: Solver = "lowrank",
    complement: float = 1.0,
) -> TransportMap:
    """One map of `Samples`.

    Raises:
        ValueError: as `Samples` and its `fit` do.
    """
    return Samples(source, target).fit(reg, solver, complement)


def share_of_trace(target: Tensor, share: float) -> float:
    """A regularisation that is a share of the targets' mean variance, whatever their scale.

    Args:
        target: (m, width) activations, m ≥ 2.
        share: of the mean eigenvalue of their covariance in the directions that they span.

    Returns:
        `reg` in squared activation units, > 0 also where all targets are one point.

    Raises:
        ValueError: rows that are not finite.
    """
    xt = target.double().cpu()
    if not bool(torch.isfinite(xt).all()):
        raise ValueError("activations are not finite")
    trace = float((xt - xt.mean(0)).pow(2).sum() / len(xt))
    scale = trace / max(1, min(len(xt) - 1, xt.shape[1]))
    return max(share * scale, 1e-12 * float(xt.pow(2).mean()), 1e-30)


def apply(transport: TransportMap, rows: Tensor) -> Tensor:
    """Map rows (…, width); computed in the factors' dtype, returned in the rows'."""
    x = rows.to(transport.basis.dtype)
    centred = x - transport.source_mean
    kept = transport.complement
    along = (centred @ transport.basis.T) * (transport.scale - kept)
    # Written as what is added, so that a map that moves nothing leaves a row as it is, to the bit.
    shift = (transport.target_mean - transport.source_mean) - (1 - kept) * centred
    return (x + shift + along @ transport.basis).to(rows.dtype)


class _Spread:
    """A centred sample, (rows, width), over the root of its rows: its covariance's powers."""

    def __init__(self, sample: Tensor) -> None:
        self.sample = sample

    @cached_property
    def _decomposed(self) -> tuple[Tensor, Tensor]:
        _, values, v = torch.linalg.svd(self.sample, full_matrices=True)
        return values, v

    def power(self, reg: float, power: float) -> Tensor:
        """(sampleᵀ sample + reg·I)^power, by the sample's singular values."""
        values, v = self._decomposed
        spectrum = torch.full((len(v),), reg, dtype=v.dtype)
        spectrum[: len(values)] += values**2
        return (v.T * spectrum**power) @ v

    def covariance(self, reg: float) -> Tensor:
        """sampleᵀ sample + reg·I."""
        return self.sample.T @ self.sample + reg * torch.eye(
            self.sample.shape[1], dtype=self.sample.dtype
        )


def _lowrank(
    s: _Spread, t: _Spread, source_reg: float, reg: float, complement: float
) -> tuple[Tensor, Tensor]:
    """Eigenvectors (as rows) and eigenvalues of A, where it is not κ times the identity."""
    # (Cs^½ Ct Cs^½)^½ = (MᵀM)^½ with M = Ct^½ Cs^½: the polar factor V Σ Vᵀ of M.
    _, sigma, v = torch.linalg.svd(t.power(reg, 0.5) @ s.power(source_reg, 0.5))
    # A = K Kᵀ with K = Cs^-½ V Σ^½, so that λ = singular values of K, squared.
    u, values, _ = torch.linalg.svd((s.power(source_reg, -0.5) @ v.T) * sigma**0.5)
    scale = values**2
    moving = (scale - complement).abs() > _IDENTITY
    return u.T[moving], scale[moving]


def _pot(xs: Tensor, xt: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    import ot

    a, _ = ot.gaussian.empirical_bures_wasserstein_mapping(xs, xt, reg=reg)
    a = (a + a.T) / 2
    scale, vectors = torch.linalg.eigh(a)
    # Behind the first n + m − 2 there is only rounding.
    kept = (scale - 1).abs().argsort(descending=True)[: len(xs) + len(xt) - 2]
    return vectors.T[kept].contiguous(), scale[kept].clamp(min=0)


def _residual(
    s: _Spread,
    t: _Spread,
    source_reg: float,
    reg: float,
    basis: Tensor,
    scale: Tensor,
    complement: float,
) -> float:
    """‖A Cs A − Ct‖ / ‖Ct‖ in the samples' span, where all arguments are given.

    What is left out, reg·I on the complement, is the same on both sides. Nothing is transported
    where κ = 0: the residual is 1 then.
    """
    if not complement:
        return 1.0
    cs, ct = s.covariance(source_reg), t.covariance(reg)
    a = (basis.T * (scale - complement)) @ basis
    a.diagonal().add_(complement)
    return float(torch.linalg.norm(a @ cs @ a - ct) / torch.linalg.norm(ct))
