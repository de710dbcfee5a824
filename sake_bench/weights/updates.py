"""The closed forms of ROME and MEMIT: pure functions on matrices, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_RIDGE = 1e-9


def factor(covariance: Tensor) -> Tensor:
    """Cholesky factor of E[k kᵀ], (keys, keys) float64; see `solve`.

    A billionth of the mean variance is added to the diagonal: keys that never fire, or fewer
    tokens than keys, leave the matrix singular.

    Raises:
        ValueError: it is not square, or not positive.
    """
    if covariance.dim() != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"a covariance is square, not {tuple(covariance.shape)}")
    covariance = covariance.double()
    ridge = _RIDGE * covariance.diagonal().mean()
    lower: Tensor
    lower, info = torch.linalg.cholesky_ex(
        covariance + ridge * torch.eye(len(covariance), device=covariance.device)
    )
    if int(info):
        raise ValueError("a covariance must be positive")
    return lower


def solve(lower: Tensor, keys: Tensor) -> Tensor:
    """C⁻¹ K for the factor of C; K is (keys, n)."""
    solved: Tensor = torch.cholesky_solve(keys.double(), lower)
    return solved


def rome_update(lower: Tensor, mean: Tensor, key: Tensor, residual: Tensor) -> Tensor:
    """ROME's rank-one change Λ (C⁻¹k)ᵀ of W (Meng et al. 2022a, equation 2).

    Afterwards (W + Δ) key = W key + residual, and (W + Δ) k' = W k' for every k' with
    k'ᵀC⁻¹mean = 0. With `mean` = `key` it is the paper's equation.

    Args:
        lower: `factor` of the covariance.
        mean: k*, the mean key over several prefixes, (keys,): the direction of the change.
        key: where the new value must hold exactly, (keys,): its size.
        residual: v* - W key, (width,).

    Returns:
        Δ, (width, keys) float64.
    """
    direction = solve(lower, mean[:, None])[:, 0]
    return torch.outer(residual.double(), direction) / (direction @ key.double())


def memit_update(lower: Tensor, keys: Tensor, residuals: Tensor, weight: float) -> Tensor:
    """MEMIT's change R Kᵀ (λ C + K Kᵀ)⁻¹ of W (Meng et al. 2022b, equation 14).

    It minimises ‖(W + Δ) K - (W K + R)‖² + λ tr(Δ C Δᵀ). Written as
    R (I + Kᵀ P)⁻¹ Pᵀ with P = (λ C)⁻¹ K, which costs a system of the size of the batch only.

    Args:
        lower: `factor` of the covariance.
        keys: K, (keys, n), one column an edit.
        residuals: R, (width, n).
        weight: λ.

    Returns:
        Δ, (width, keys) float64.
    """
    keys, residuals = keys.double(), residuals.double()
    P = solve(lower, keys) / weight
    inner = torch.eye(keys.shape[1], dtype=keys.dtype, device=keys.device) + keys.T @ P
    update: Tensor = residuals @ torch.linalg.solve(inner, P.T)
    return update
