"""Directions that a seed makes again: steps along them from losses alone, sums of many."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from pfltune.method import Loss, Tensors, normals


def direction(seed: int, like: Tensors) -> Iterator[tuple[str, Tensor]]:
    """z ~ N(0, I) of a seed, tensor by tensor, so that it is nowhere held as a whole.

    In the order of their names: a state that was stored may come back in another one.
    """
    names = sorted(like)
    yield from zip(names, normals((like[name] for name in names), seed), strict=True)


def shift(at: Tensors, seed: int, by: float | Tensor) -> None:
    """Move a point by ``by``·z, in place."""
    for name, z in direction(seed, at):
        at[name] += z.mul_(by)


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
    shapes = tuple((name, t.shape, t.dtype) for name, t in sorted(like.items()))
    return _summed(tuple(scalars.items()), shapes, next(iter(like.values())).device)


@lru_cache(maxsize=1)
def _summed(
    scalars: tuple[tuple[int, float], ...],
    shapes: tuple[tuple[str, torch.Size, torch.dtype], ...],
    device: torch.device,
) -> Tensors:
    total = {n: torch.zeros(shape, dtype=dtype, device=device) for n, shape, dtype in shapes}
    for seed, scalar in scalars:
        shift(total, seed, scalar)
    return total
