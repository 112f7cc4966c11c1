"""A quadratic form's minimum over the weights that are not negative and add up to one."""

import torch
from torch import Tensor

ROUNDING, SMALL = 1e-12, 1e-9


def simplex_minimum(forms: Tensor) -> Tensor:
    """argmin αᵀPα over α ≥ 0, Σα = 1 for each P, exact up to rounding; (batch × K).

    The minimum of ½βᵀPβ − Σβ over β ≥ 0, divided by its sum, is the same: both have Pα ≥ αᵀPα with
    equality where α > 0. It is found with an active set (Lawson and Hanson, Solving Least Squares
    Problems, 1974, chapter 23): one index after another becomes positive, and who would turn
    negative by that returns to zero. That takes a few steps for each index; there are always as
    many, so that nothing has to wait for a GPU.

    Args:
        forms: each P symmetric and positive semidefinite, float64 (batch × K × K).
    """
    size = forms.shape[-1]
    scale = forms.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(torch.finfo(forms.dtype).tiny)
    unit = torch.eye(size, dtype=forms.dtype, device=forms.device)
    forms = forms / scale.view(-1, 1, 1) + ROUNDING * unit
    beta = torch.zeros_like(forms[:, 0])
    positive = torch.zeros_like(beta, dtype=torch.bool)
    for _ in range(4 * size + 4):
        beta, positive = _stepped(forms, unit, beta, positive)
    return beta / beta.sum(dim=1, keepdim=True)


def _stepped(forms: Tensor, unit: Tensor, beta: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """One step: towards the minimum over the positive indices, as far as none turns negative.

    Who is first to do so is positive no longer; if nobody is, the steepest of the others becomes
    positive.
    """
    inside = torch.where(positive.unsqueeze(1) & positive.unsqueeze(2), forms, unit)
    aim = torch.linalg.solve_ex(inside, positive.to(forms)).result
    short = positive & (aim <= 0)
    ways = torch.where(short, beta / (beta - aim), torch.inf)
    way = ways.amin(dim=1, keepdim=True)
    beta = beta + way.clamp_max(1.0) * (aim - beta)
    positive = positive & ~(short & (ways <= way))
    beta = torch.where(positive, beta, 0.0)
    slope = 1.0 - (forms @ beta.unsqueeze(2)).squeeze(2)
    slope = torch.where(positive, -torch.inf, slope)
    steepest = slope.amax(dim=1, keepdim=True)
    first = unit.bool()[slope.argmax(dim=1)]
    enters = first & (steepest > SMALL) & ~short.any(dim=1, keepdim=True)
    return beta, positive | enters
