"""Learning from losses alone: estimated gradients, their subspace, and Adam (ZOODiP's learner)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pfltune.method import Tensors, moved

BETAS = (0.9, 0.999)
EPSILON = 1e-3
"""As the public code of ZOODiP has it: estimates below it hardly move anything."""


def estimated_gradient(
    loss: Callable[[Tensor], Tensor],
    at: Tensor,
    base: Tensor,
    directions: int,
    mu: float,
    rng: torch.Generator,
) -> Tensor:
    """g = (1/n)·Σ [L(θ + μ·e_i) − L(θ)]/μ · e_i with e_i ~ N(0, I): n forward passes.

    Args:
        loss: L, evaluated without gradients.
        at: θ, of any shape.
        base: L(θ).
        directions: n.
        mu: size μ of the perturbation.
        rng: a CPU generator for the directions.
    """
    total = torch.zeros_like(at)
    for _ in range(directions):
        e = moved(torch.randn(at.shape, generator=rng), at.device).to(at.dtype)
        total += (loss(at + mu * e) - base) / mu * e
    return total / directions


def overlength(directions: int, dimensions: int) -> float:
    """√((D + n − 1) / n): about how much longer than the gradient its estimate is (n of D)."""
    return math.sqrt((dimensions + directions - 1) / directions)


def low_variance_directions(iterates: Tensor, nu: float) -> Tensor:
    """The principal components of the iterates that hold at most the share ν of their variance.

    Iterates are normalised first: each coordinate has mean 0 and variance 1. Leading components are
    kept until more than 1 − ν of the variance is explained; the others are what is returned.
    Directions in which the iterates do not differ at all are no components of theirs.

    Args:
        iterates: (τ, D), one a row.
        nu: ν in [0, 1].

    Returns:
        Orthonormal rows (r, D).
    """
    deviation = iterates.double() - iterates.double().mean(dim=0)
    spread = deviation.square().mean(dim=0).sqrt()
    normalised = deviation / torch.where(spread > 0, spread, 1.0)
    _, singular, components = torch.linalg.svd(normalised, full_matrices=False)
    variance = singular.square()
    real = singular > singular[0] * 1e-6
    explained = variance.cumsum(0) / variance.sum().clamp_min(torch.finfo(variance.dtype).tiny)
    leading = torch.cat([torch.tensor([True], device=real.device), explained[:-1] <= 1 - nu])
    return components[real & ~leading].to(iterates.dtype)


def without(gradient: Tensor, directions: Tensor) -> Tensor:
    """The gradient (D numbers in any shape) less its parts along orthonormal rows (r, D)."""
    flat = gradient.flatten()
    return (flat - (directions @ flat) @ directions).view_as(gradient)


def adam_start(like: Tensor) -> Tensors:
    """The state of Adam before its first step."""
    zeros = torch.zeros_like(like)
    return {"mean": zeros, "square": zeros, "steps": torch.zeros((), device=like.device)}


def adam_step(state: Tensors, gradient: Tensor) -> tuple[Tensor, Tensors]:
    """The direction to descend, to be scaled by the rate, and the next state (Kingma, Ba 2015)."""
    (b1, b2), steps = BETAS, state["steps"] + 1
    mean = b1 * state["mean"] + (1 - b1) * gradient
    square = b2 * state["square"] + (1 - b2) * gradient.square()
    first, second = (1 - b ** steps.double() for b in BETAS)
    direction = (mean / first) / ((square / second).sqrt() + EPSILON)
    return direction, {"mean": mean, "square": square, "steps": steps}


def learner_start(at: Tensor) -> Tensors:
    """The learner's state before its first step: Adam's, no iterates, nothing to project out."""
    nothing = at.new_zeros(0, at.numel())
    return {**adam_start(at), "iterates": nothing, "noise": nothing}


def descend(
    state: Tensors,
    at: Tensor,
    gradient: Tensor,
    directions: int,
    lr: float,
    history: int,
    nu: float,
) -> tuple[Tensor, Tensors]:
    """One step of Adam along the gradient, at its own length and without its noisy directions.

    Every ``history`` steps these are found anew from the iterates since the last time. The length
    matters, since Adam adds ε to it.

    Args:
        state: the learner's.
        at: the point θ, of any shape.
        gradient: an estimate of the gradient there.
        directions: number of directions n that it was estimated from.
        lr: Adam's rate.
        history: number of iterates τ that span the subspace.
        nu: share ν of their variance that is projected out.

    Returns:
        The next point and the next state.
    """
    noise = state["noise"]
    sized = gradient / overlength(directions, at.numel() - len(noise))
    direction, adam = adam_step(state, without(sized, noise))
    moved = at - lr * direction
    iterates = torch.cat([state["iterates"], moved.view(1, -1)])
    if len(iterates) == history:
        iterates, noise = iterates[:0], low_variance_directions(iterates, nu)
    return moved, {**adam, "iterates": iterates, "noise": noise}
