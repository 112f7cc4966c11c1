"""Directions that a seed makes again: steps along them from losses alone, sums of many."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from pfltune.method import Loss, Tensors, normals

LARGE = 2**20
"""Numbers that are drawn at a time: small tensors together, and never the whole model."""


def runs(like: Tensors) -> dict[tuple[str, ...], int]:
    """The names in runs that are drawn together, with how many numbers each run has.

    Sorted: a state that was stored may come back in another order. A larger tensor stands alone.
    """
    found: list[list[str]] = []
    room = 0
    for name in sorted(like):
        if like[name].numel() > room:
            found.append([])
            room = LARGE
        found[-1].append(name)
        room -= like[name].numel()
    return {tuple(names): sum(like[n].numel() for n in names) for names in found}


def parted(flat: Tensor, names: tuple[str, ...], like: Tensors) -> Tensors:
    """The numbers of a run as the tensors that it stands for."""
    pieces = flat.split([like[name].numel() for name in names])
    return {name: piece.view_as(like[name]) for name, piece in zip(names, pieces, strict=True)}


def shift(at: Tensors, seed: int, by: float | Tensor) -> None:
    """Move a point by ``by``·z, in place, with z ~ N(0, I) of the seed."""
    like = next(iter(at.values()))
    drawn = runs(at)
    for names, z in zip(drawn, normals(drawn.values(), seed, like), strict=True):
        for name, piece in parted(z.mul_(by), names, at).items():
            at[name] += piece


def step(loss: Loss, at: Tensors, seed: int, mu: float, lr: float) -> Tensor:
    """Move a point θ by −lr·g·z, in place (MeZO, Malladi et al. 2023, arXiv 2305.17333).

    Returns:
        The slope g = [L(θ + μ·z) − L(θ − μ·z)] / 2μ, from two forward passes. For both the point
        itself is moved there, so that no second one is in memory.
    """
    shift(at, seed, mu)
    above = loss(at)
    shift(at, seed, -2 * mu)
    slope = (above - loss(at)) / (2 * mu)
    shift(at, seed, mu - lr * slope)
    return slope


def along(scalars: Mapping[int, float], like: Tensors) -> Tensors:
    """Σ a·z over pairs of a seed and its scalar a.

    All clients of a round ask for the same sum, so that the last one is kept. Not to be written to.
    """
    drawn, one = runs(like), next(iter(like.values()))
    sums = _summed(tuple(scalars.items()), tuple(drawn.values()), one.device, one.dtype)
    found: Tensors = {}
    for names, flat in zip(drawn, sums, strict=True):
        found |= parted(flat, names, like)
    return found


@lru_cache(maxsize=1)
def _summed(
    scalars: tuple[tuple[int, float], ...],
    sizes: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> list[Tensor]:
    total = [torch.zeros(size, device=device, dtype=dtype) for size in sizes]
    for seed, scalar in scalars:
        for run, z in zip(total, normals(sizes, seed, total[0]), strict=True):
            run += z.mul_(scalar)
    return total
