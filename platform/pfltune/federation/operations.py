"""Floating-point operations of local steps, by torch's own counter, once for each kind of step."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from types import CodeType
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pfltune.federation.federation import Federation
from pfltune.method import Loss, Method, Objective, Phase, Tensors
from pfltune.randomness import isolated

SIZES = (2, 3, 4)
"""Images in the batches that are counted; batch normalisation needs two."""

Sort = tuple[Phase, CodeType | Objective]
"""What steps have in common that compute the same on as many images."""
Counts = dict[Sort, tuple[int, ...]]
"""Operations of a step of each sort, on each of :data:`SIZES` images."""


class Steps(Protocol):
    """Makes what a local step descends, see :class:`pfltune.federation.local.LocalTrainer`."""

    def moving(self, phase: Phase, tensors: Tensors) -> list[str]:
        """The names that a phase trains."""

    def loss_on(self, batches: tuple[Tensor, ...], rest: Tensors) -> Loss:
        """The loss on some samples."""

    def set_training(self, training: bool) -> None:
        """Put the model into training or evaluation mode."""


class Operations:
    """Counts what local steps compute: forward passes, and backward ones through frozen parts too.

    A multiplication with an addition counts as two; only matrix products, convolutions and
    attention are counted, see :class:`torch.utils.flop_counter.FlopCounterMode`. A step is taken
    on :data:`SIZES` images for nothing but its count, from which that of any number of images
    follows: it is a polynomial of the second degree in them, of the first where no image is held
    against another.

    Args:
        steps: makes them.
        counted: what is known of steps like these, see :func:`counts_of`; grows.
    """

    def __init__(self, steps: Steps, counted: Counts | None = None) -> None:
        self._steps = steps
        self._counted: Counts = {} if counted is None else counted
        self._loops: dict[tuple[Phase | None, int], int] = {}

    def of_step(
        self,
        phase: Phase,
        objective: Objective,
        start: Tensors,
        context: Tensors,
        chosen: tuple[Tensor, ...],
    ) -> int:
        """Of a step of a fit on the samples ``chosen``."""
        sort = (phase, code_of(objective))
        if sort not in self._counted:
            self._counted[sort] = tuple(
                self._count(phase, objective, start, context, _sized(chosen, size))
                for size in SIZES
            )
        return interpolated(SIZES, self._counted[sort], len(chosen[0]))

    @contextmanager
    def of_loop(self, phase: Phase | None, size: int, add: Callable[[int], None]) -> Iterator[None]:
        """Adds what the block computes: a step on ``size`` images of a loop of the method's own.

        The first whole step of each size is counted as it is taken, and the others are taken to be
        alike. A loop may end where it is handed a step, which then is no measure of others.
        """
        known, counter = self._loops.get((phase, size)), FlopCounterMode(display=False)
        found = known
        try:
            with counter if known is None else nullcontext():
                yield
            found = self._loops[phase, size] = counter.get_total_flops() if known is None else known
        finally:
            add(counter.get_total_flops() if found is None else found)

    def _count(
        self,
        phase: Phase,
        objective: Objective,
        start: Tensors,
        context: Tensors,
        chosen: tuple[Tensor, ...],
    ) -> int:
        tensors = {name: value.detach().clone() for name, value in start.items()}
        moving = {n: tensors[n].requires_grad_() for n in self._steps.moving(phase, tensors)}
        self._steps.set_training(True)
        with isolated(0, "operations"), torch.enable_grad():
            loss = self._steps.loss_on(chosen, tensors)
            with FlopCounterMode(display=False) as counter:
                value = objective(loss, moving, context)
                torch.autograd.grad(value, list(moving.values()), materialize_grads=True)
        return counter.get_total_flops()


def counts_of(method: Method, federation: Federation) -> Counts:
    """Where all trials of this process keep the counts of one configuration on one model.

    Seeds and rounds change nothing of them.
    """
    rules = (federation.backbone, federation.preprocessing, federation.protocol)
    ground = (
        *(settings.model_dump_json() for settings in rules),
        *(federation.dataset.images.shape[1:], federation.dataset.classes),
        len(federation.clients),
    )
    try:
        return _shared_counts((type(method), method, type(federation.backbone), ground))
    except TypeError:  # a field of the method has no hash
        return {}


@lru_cache(maxsize=64)
def _shared_counts(_: Hashable) -> Counts:
    return {}


def code_of(objective: Objective) -> CodeType | Objective:
    """What an objective runs, the same for closures that are made anew for each client."""
    function = getattr(objective, "__func__", objective)
    return getattr(function, "__code__", function)


def interpolated(sizes: tuple[int, ...], counts: tuple[int, ...], size: int) -> int:
    """The value at ``size`` of the polynomial through all (size, count), after Lagrange."""
    total = 0
    common = 1
    for one in sizes:
        for other in sizes:
            common *= one - other if one != other else 1
    for one, count in zip(sizes, counts, strict=True):
        above, below = 1, 1
        for other in sizes:
            if other != one:
                above *= size - other
                below *= one - other
        total += count * above * (common // below)
    return total // common


def _sized(chosen: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """As many samples of each batch, some of them several times if need be."""
    return tuple(each[torch.arange(size, device=each.device) % len(each)] for each in chosen)
