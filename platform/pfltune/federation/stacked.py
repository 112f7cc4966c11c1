"""The fits of several clients at once: tensors stacked along a leading axis, one forward pass."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor

from pfltune.devices import moved
from pfltune.federation.local import LocalTrainer
from pfltune.federation.step_loss import StepBatch, StepLoss
from pfltune.federation.work import Fit
from pfltune.method import Tensors
from pfltune.randomness import Interrupted

Step = tuple[Tensor, ...]
"""The sample indices of a client's batches in one step."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (clients, b, channels, size, size), labels and weights (clients, b)."""


def alike(a: Fit, b: Fit) -> bool:
    """Whether two clients ask for the same thing, each with tensors of its own."""
    return (
        a.phases == b.phases
        and a.objective == b.objective
        and shapes(a.start) == shapes(b.start)
        and shapes(a.context) == shapes(b.context)
    )


@torch.enable_grad()
def fit_together(fits: Sequence[Fit]) -> list[Tensors]:
    """What :meth:`Fit.alone` gives for each, up to rounding.

    Clients with fewer samples wait for the others at the end of a phase; a batch that is shorter
    than another client's is filled up with images that do not count.

    Args:
        fits: all :func:`alike`.
    """
    trainer, first = fits[0].trainer, fits[0]
    trainer.set_training(True)
    tensors = _stacked([fit.start for fit in fits])
    context = _stacked([fit.context for fit in fits])
    draws = [fit.draw() for fit in fits]
    readers = [Interrupted(fit.work.isolated) for fit in fits]
    for phase in first.phases:
        names = trainer.moving(phase, tensors)
        leaves = [tensors[name].requires_grad_() for name in names]
        objective = _objective_of(first, names)
        descent = trainer.descent(leaves, phase, first.work.factor)
        for step in zip_longest(*(draw(phase) for draw in draws)):
            values = torch.vmap(objective)(tensors, context, _read(trainer, step, readers))
            grads = torch.autograd.grad(values.sum(), leaves, materialize_grads=True)
            descent.step(grads, _busy(step, values.device))
            for fit, chosen, value in zip(fits, step, values.detach(), strict=True):
                if chosen is not None:
                    fit.work.losses.append(value)
        for leaf in leaves:
            leaf.requires_grad_(False)
    # Copies: a view would keep the tensors of the whole cohort in memory.
    return [{n: stack[k].clone() for n, stack in tensors.items()} for k in range(len(fits))]


def _objective_of(fit: Fit, moving: list[str]) -> Callable[..., Tensor]:
    """The objective of one client as a function that can be mapped over all of them."""

    def objective(rest: Tensors, context: Tensors, batches: list[Batch]) -> Tensor:
        loss = StepLoss([StepBatch(fit.trainer, rest, *batch) for batch in batches])
        return fit.objective(loss, {name: rest[name] for name in moving}, context)

    return objective


def _read(
    trainer: LocalTrainer, step: Sequence[Step | None], readers: Sequence[Interrupted]
) -> list[Batch]:
    """Each batch of the step for all clients; who has no step left is given another's images."""
    found: list[list[tuple[Tensor, Tensor]] | None] = []
    for chosen, reader in zip(step, readers, strict=True):
        with reader():
            found.append(
                None
                if chosen is None
                else [trainer.images.batch(indices, training=True) for indices in chosen]
            )
    another = next(pairs for pairs in found if pairs is not None)
    return [_filled([(own or another)[n] for own in found]) for n in range(len(another))]


def _filled(pairs: list[tuple[Tensor, Tensor]]) -> Batch:
    """Batches of one length, the longest; a sample's weight is its share in its client's mean."""
    longest = max(len(y) for _, y in pairs)
    shares = torch.zeros(len(pairs), longest)
    for row, (_, y) in zip(shares, pairs, strict=True):
        row[: len(y)] = 1 / len(y)
    x = torch.stack([_longer(x, longest) for x, _ in pairs])
    y = torch.stack([_longer(y, longest) for _, y in pairs])
    return x, y, moved(shares, y.device)


def _longer(values: Tensor, length: int) -> Tensor:
    """The first value repeated at the end until there are ``length``."""
    return torch.cat([values, values[:1].expand(length - len(values), *values.shape[1:])])


def _busy(step: Sequence[Step | None], device: torch.device) -> Tensor | None:
    """Which clients have a step; None for all of them."""
    if None not in step:
        return None
    return moved(torch.tensor([chosen is not None for chosen in step]), device)


def _stacked(states: Sequence[Tensors]) -> Tensors:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def shapes(tensors: Tensors) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """What must be equal for tensors of several clients to be stacked, by name."""
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}
