"""Floating-point operations of local steps, by torch's own counter, once for each kind of step."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from functools import lru_cache, partial
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.flops import FlopCounter
from pfltune.isolation import aside
from pfltune.method import Loss, Method, Objective, Phase, Tensors

ENOUGH = 3
"""Sizes of batch that are counted; those of any other follow."""
PLAIN = (bool, int, float, str)

Shapes = frozenset[tuple[str, torch.Size]]
"""Of tensors, by name."""
Sort = tuple[Phase, Hashable, Shapes, Shapes]
"""What steps have in common that compute the same on as many images: phase, code, and the shapes of
what they start from and of their context, in which an objective may look for what is there."""
Counts = dict[Sort, dict[int, int]]
"""Operations of a step of each sort, by the number of images."""


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

    See :class:`pfltune.federation.flops.FlopCounter`. Of the first :data:`ENOUGH` sizes of batch, a
    step is taken for nothing but its count, from which that of any number of images follows: it is
    a polynomial of the second degree in them, of the first where no image is held against another.

    Args:
        steps: makes them.
        counted: what is known of steps like these, see :func:`counts_of`; grows.
    """

    def __init__(self, steps: Steps, counted: Counts | None = None) -> None:
        self._steps = steps
        self._counted: Counts = {} if counted is None else counted
        self._loops: dict[tuple[Phase | None, int], int] = {}

    def of_steps(
        self, phase: Phase, objective: Objective, start: Tensors, context: Tensors
    ) -> Callable[[tuple[Tensor, ...]], int]:
        """Of a step of a fit, as a function of the samples of its batches."""
        sort = phase, code_of(objective), _shapes(start), _shapes(context)
        known = self._counted.setdefault(sort, {})

        def of_step(chosen: tuple[Tensor, ...]) -> int:
            size = len(chosen[0])
            if size not in known and len(known) < ENOUGH:
                known[size] = self._count(phase, objective, start, context, chosen)
            return known[size] if size in known else interpolated(known, size)

        return of_step

    @contextmanager
    def of_loop(self, phase: Phase | None, size: int, add: Callable[[int], None]) -> Iterator[None]:
        """Adds what the block computes: a step on ``size`` images of a loop of the method's own.

        The first whole step of each size is counted as it is taken, and the others are taken to be
        alike. A loop may end where it is handed a step, which then is no measure of others.
        """
        known, counter = self._loops.get((phase, size)), FlopCounter()
        found = known
        try:
            with counter if known is None else nullcontext():
                yield
            found = self._loops[phase, size] = counter.total if known is None else known
        finally:
            add(counter.total if found is None else found)

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
        with aside("operations"), torch.enable_grad():
            loss = self._steps.loss_on(chosen, tensors)
            with FlopCounter() as counter:
                value = objective(loss, moving, context)
                torch.autograd.grad(value, list(moving.values()), materialize_grads=True)
        return counter.total


def counts_of(method: Method, federation: Federation, compute: Compute) -> Counts:
    """Where all trials of this process keep the counts of one configuration on one model.

    Seeds and rounds change nothing of them; the precision does, since attention has other kernels.
    """
    rules = (federation.backbone, federation.preprocessing, federation.protocol)
    ground = (
        *(settings.model_dump_json() for settings in rules),
        *(federation.dataset.images.shape[1:], federation.dataset.classes),
        len(federation.clients),
        compute,
    )
    try:
        return _shared_counts((type(method), method, type(federation.backbone), ground))
    except TypeError:  # a field of the method has no hash
        return {}


@lru_cache(maxsize=64)
def _shared_counts(_: Hashable) -> Counts:
    return {}


def code_of(objective: Objective) -> Hashable:
    """What an objective runs, the same for closures that are made anew for each client.

    So are partial functions, but for plain values that they fill in.
    """
    function = getattr(objective, "__func__", objective)
    if isinstance(function, partial):
        filled = (*enumerate(function.args), *function.keywords.items())
        return code_of(function.func), frozenset(f for f in filled if isinstance(f[1], PLAIN))
    return getattr(function, "__code__", function)


def _shapes(tensors: Tensors) -> Shapes:
    return frozenset((name, tensor.shape) for name, tensor in tensors.items())


def interpolated(counts: Mapping[int, int], size: int) -> int:
    """The value at ``size`` of the polynomial through all of ``counts``, after Lagrange."""
    total = Fraction(0)
    for one, count in counts.items():
        others = counts.keys() - {one}
        total += count * prod((Fraction(size - other, one - other) for other in others), start=1)
    return round(total)
