"""A quadratic form's minimum over the weights that are not negative and add up to one."""

import torch
from torch import Tensor

ROUNDING = 1e-12


def simplex_minimum(form: Tensor) -> Tensor:
    """argmin αᵀPα over α ≥ 0, Σα = 1, exact up to rounding.

    The minimum of ½βᵀPβ − Σβ over β ≥ 0, divided by its sum, is the same: both have Pα ≥ αᵀPα with
    equality where α > 0. It is found with an active set (Lawson and Hanson, Solving Least Squares
    Problems, 1974, chapter 23): one index after another becomes positive, and who would turn
    negative by that returns to zero.

    Args:
        form: P, symmetric and positive semidefinite (K × K).
    """
    form = form.double()
    scale = form.diagonal().mean().clamp_min(torch.finfo(form.dtype).tiny)
    form = form / scale + ROUNDING * torch.eye(len(form), dtype=form.dtype, device=form.device)
    beta = form.new_zeros(len(form))
    positive = torch.zeros_like(beta, dtype=torch.bool)
    for _ in range(10 * len(form)):  # in practice each index enters once or twice
        slope = torch.where(positive, -torch.inf, 1.0 - form @ beta)
        if slope.max() <= 1e-9:
            break
        positive[slope.argmax()] = True
        beta, positive = _settled(form, beta, positive)
    return beta / beta.sum()


def _settled(form: Tensor, beta: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The minimum over the positive indices, without those that would not be positive there."""
    while True:
        aim = torch.zeros_like(beta)
        inside = form[positive][:, positive]
        aim[positive] = torch.linalg.solve(inside, torch.ones_like(inside[0]))
        short = positive & (aim <= 0)
        if not short.any():
            return aim, positive
        ways = torch.where(short, beta / (beta - aim), torch.inf)
        beta = beta + ways.min() * (aim - beta)
        positive = positive & ~(short & (ways <= ways.min()))
        beta = torch.where(positive, beta, 0.0)
