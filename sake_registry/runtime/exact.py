"""Making a token certain: a small change of a row with which the output embedding says it.

A transport map brings a row to where the model says the new object, as a rule. Where it does not,
or not clearly, the row is moved on until the token has nearly all of the probability. The rows
for which it has are a convex set (the log-sum-exp of the other logits, less the token's, is a
convex function of the row), and each step goes to the nearest point of the half-space that the
set's own linearisation gives: Newton's method, which closes in from outside and takes few steps.

Logits are the output embedding's own: what a model does to them afterwards (a cap, a scale) leaves
the likeliest token what it is, and may leave it less than `SHARE`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

SHARE = 0.95
"""Of the probability, what a token gets that is made certain."""
RIVALS = 64
"""The likeliest other tokens: a step is away from these, and only they are asked whether they are
refused."""
_MOST_STEPS = 60
_ENOUGH = 1e-3
"""How much of a logit may be missing: rows in bfloat16 cannot be set finer."""


@dataclass(frozen=True)
class Aim:
    """What a row is to say: `token`, or where it is None the likeliest one that is not
    `refused`."""

    token: int | None = None
    refused: Callable[[int], bool] = lambda token: False


@torch.no_grad()
def certain(
    rows: Tensor,
    aims: Sequence[Aim],
    logits: Callable[[Tensor], Tensor],
    directions: Callable[[Tensor], Tensor],
    given: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Site rows, each moved by little so that its aim has `SHARE` of the probability.

    Where the aim is not one token, what is `refused` gets the rest, and other tokens keep theirs.

    Args:
        rows: (n, width), on the output embedding's device.
        aims: one for each row.
        logits: what the output embedding makes of rows (n, width), (n, vocabulary).
        directions: of token ids (k,), the output embedding's rows (k, width), float32.
        given: the logits of `rows`, where they are known.

    Returns:
        The rows (n, width) in the dtype of `rows`, and their logits (n, vocabulary); a row whose
        aim is certain already is as it was.
    """
    moved, odds = rows.to(torch.float32, copy=True), math.log(SHARE / (1 - SHARE))
    known = logits(rows) if given is None else given.clone()
    whole = torch.tensor([aim.token is not None for aim in aims], device=rows.device)
    left = torch.arange(len(rows), device=rows.device)
    for _ in range(_MOST_STEPS):
        of_row = known[left].float()
        near = of_row.topk(min(RIVALS + 1, of_row.shape[1])).indices
        tokens, rivals = _sides([aims[i] for i in left.tolist()], near)
        of_token = of_row.gather(1, tokens[:, None])[:, 0]
        against = of_row.gather(1, near).masked_fill(~rivals, float("-inf"))
        # Of a token, all others are rivals; which tokens an end refuses, is asked of the likeliest.
        every = of_row.scatter(1, tokens[:, None], float("-inf")).logsumexp(1)
        missing = torch.where(whole[left], every, against.logsumexp(1)) - of_token + odds
        short = missing > _ENOUGH
        left, near, tokens = left[short], near[short], tokens[short]
        if not len(left):
            break
        shares = against[short].softmax(1)
        distinct, places = torch.unique(near, return_inverse=True)
        rows_near = directions(distinct)[places]
        way = directions(tokens) - (shares[..., None] * rows_near).sum(1)
        moved[left] += (missing[short] / (way * way).sum(1))[:, None] * way
        known[left] = logits(moved[left].to(rows.dtype)).to(known.dtype)
    result = rows.clone()
    changed = (moved != rows.float()).any(1)
    result[changed] = moved[changed].to(rows.dtype)
    return result, known


def _sides(aims: Sequence[Aim], near: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row the token that is to win, (n,), and which of the likeliest are against it,
    (n, k)."""
    tokens, rivals = [], []
    for aim, likeliest in zip(aims, near.tolist(), strict=True):
        if aim.token is None:
            refused = [aim.refused(token) for token in likeliest]
            winner = likeliest[refused.index(False)] if False in refused else likeliest[0]
            against = refused if False in refused else [False] * len(refused)
        else:
            winner, against = aim.token, [token != aim.token for token in likeliest]
        tokens.append(winner)
        rivals.append(against)
    return torch.tensor(tokens, device=near.device), torch.tensor(rivals, device=near.device)
