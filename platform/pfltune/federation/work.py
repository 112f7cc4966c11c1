"""What one client does in one round: fits on its data in a fixed order, with meters."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from types import FrameType

import torch
from torch import Tensor

from pfltune.data.split import ClientSplit
from pfltune.devices import moved
from pfltune.errors import noted
from pfltune.federation.local import LocalTrainer
from pfltune.federation.passes import epochs_of, samples_of
from pfltune.federation.step_loss import StepLoss
from pfltune.method import Batch, Loss, Objective, Outputs, Phase, Tensors
from pfltune.optimizers import Schedule
from pfltune.randomness import isolated, torch_rng

Draw = Callable[[Phase], Iterator[tuple[Tensor, ...]]]

Line = tuple[str, int]
"""A file and the number of a line in it."""


class ClientWork:
    """One client in one round, see :class:`pfltune.method.LocalWork`.

    Args:
        trainer: runs the phases.
        purpose: ``training`` or ``adaptation``; each has random draws of its own.
        round_number: the round, counted from 1.
        client: index of the client.
        split: its samples.
        classes: of the data set.

    Attributes:
        round: see above.
        losses: the objective's value in each step, scalars on the device.
        operations: floating-point operations so far, see :class:`Operations`.
        run: carries a fit out; a cohort puts itself here.
        loop: the line of a loop of the method's own over :meth:`batches`, once there was one.
    """

    def __init__(
        self,
        trainer: LocalTrainer,
        purpose: str,
        round_number: int,
        client: int,
        split: ClientSplit,
        classes: int,
    ) -> None:
        self._trainer = trainer
        self._purpose = purpose
        self.round = round_number
        self._split = split
        self._classes = classes
        self.client = client
        self.losses: list[Tensor] = []
        self.operations = 0
        self.run: Callable[[Fit], Tensors] = Fit.alone
        self.loop: Line | None = None

    @property
    def samples(self) -> int:
        """Number of the client's training samples."""
        return len(self._split.train)

    @property
    def val_samples(self) -> int:
        """Number of its validation samples."""
        return len(self._split.val)

    @cached_property
    def class_counts(self) -> Tensor:
        """Its training samples of each class, int64 (classes,)."""
        labels = self._trainer.images.labels[self.indices]
        counts = labels.new_zeros(self._classes)  # torch.bincount would wait for a GPU
        return counts.scatter_add_(0, labels, torch.ones_like(labels))

    @property
    def steps(self) -> int:
        """Local steps taken so far."""
        return len(self.losses)

    @property
    def rate(self) -> float:
        """See :attr:`pfltune.method.LocalWork.rate`."""
        return self.factor(self._trainer.protocol.schedule)

    def factor(self, schedule: Schedule) -> float:
        """What a schedule multiplies rates by; adaptation and personalisation begin anew, at 1."""
        if self._purpose != "training":
            return 1.0
        trainer = self._trainer
        return schedule.in_round(self.round, trainer.protocol.rounds, trainer.spent)

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        objective: Objective | None = None,
        context: Tensors | None = None,
    ) -> Tensors:
        """See :meth:`pfltune.method.LocalWork.fit`."""
        todo = (
            start,
            tuple(phases),
            objective or plain_loss,
            start if context is None else context,
        )
        return self.run(Fit(self._trainer, self, *todo))

    def batches(self, phase: Phase | None = None) -> Iterator[Loss]:
        """See :meth:`pfltune.method.LocalWork.batches`."""
        self.loop = _line_of(sys._getframe(1))  # whoever asks for the first step
        self._trainer.set_training(True)
        with self.isolated():
            for chosen in self.draw()(phase or Phase("all", lr=0.0)):
                loss = self._metered(self._trainer.loss_on(chosen, {}))
                with self._trainer.operations.of_loop(phase, len(chosen[0]), self.computed):
                    yield loss

    def outputs(self, tensors: Tensors) -> Outputs:
        """See :meth:`pfltune.method.LocalWork.outputs`."""
        self.computed(self.samples * self._trainer.forward_operations(tensors, self.indices))
        return self._trainer.outputs(tensors, self.indices)

    def computed(self, operations: int) -> None:
        """So many floating-point operations more."""
        self.operations += operations

    def generator(self) -> torch.Generator:
        """See :meth:`pfltune.method.LocalWork.generator`."""
        return torch_rng(self._trainer.seed, f"{self._purpose}/draws", self.round, self.client)

    def named(self) -> AbstractContextManager[None]:
        """What the block raises says whose round it was."""
        return noted(f"client {self.client}, round {self.round}")

    def isolated(self) -> AbstractContextManager[None]:
        """Inside the block torch's global generators are this client's in this round."""
        return isolated(self._trainer.seed, self._purpose, self.round, self.client)

    def draw(self) -> Draw:
        """Yields the sample indices of each step of a phase; the epochs of later phases go on."""
        epochs = count()
        return lambda phase: self._steps(phase, epochs)

    @cached_property
    def indices(self) -> Tensor:
        """Its training samples, on the device."""
        return moved(self._split.train, self._trainer.images.labels.device)

    def _metered(self, loss: StepLoss) -> Loss:
        """The same function; its first value is the step's."""
        return _Metered(loss, self.losses, self.steps)

    def _steps(self, phase: Phase, epochs: Iterator[int]) -> Iterator[tuple[Tensor, ...]]:
        passes = epochs_of(phase, self._trainer.protocol)
        samples, streams = samples_of(phase, self.samples), range(phase.batches)
        chosen = (
            step
            for epoch in islice(epochs, passes)
            for step in zip(*(self._epoch(epoch, s, samples) for s in streams), strict=True)
        )
        yield from islice(chosen, phase.steps)

    def _epoch(self, epoch: int, stream: int, samples: int) -> Iterable[Tensor]:
        """So many of the client's samples in a new order, in batches; each stream has its own."""
        key = (self.round, self.client, epoch, *([stream] if stream else []))
        rng = torch_rng(self._trainer.seed, f"{self._purpose}/order", *key)
        order = torch.randperm(self.samples, generator=rng)[:samples]
        shuffled = self.indices[moved(order, self.indices.device)]
        return shuffled.split(self._trainer.protocol.batch_size)


@dataclass(frozen=True)
class Fit:
    """One call of :meth:`pfltune.method.LocalWork.fit`, not yet carried out.

    Attributes:
        trainer, work: whose it is.
        start, phases, objective, context: its arguments, with the defaults filled in.
    """

    trainer: LocalTrainer
    work: ClientWork
    start: Tensors
    phases: tuple[Phase, ...]
    objective: Objective
    context: Tensors

    def draw(self) -> Draw:
        """The samples of each step, whose operations are counted as it is taken."""
        draw, operations = self.work.draw(), self.trainer.operations

        def counted(phase: Phase) -> Iterator[tuple[Tensor, ...]]:
            of_step = operations.of_steps(phase, self.objective, self.start, self.context)
            for chosen in draw(phase):
                self.work.computed(of_step(chosen))
                yield chosen

        return counted

    def foreseen(self) -> Tensors:
        """What it starts from; its steps are counted and none is taken."""
        draw = self.draw()
        for phase in self.phases:
            self.work.losses.extend(torch.zeros(()) for _ in draw(phase))
        return {name: value.detach().clone() for name, value in self.start.items()}

    def alone(self) -> Tensors:
        """Carry it out by itself."""
        work = self.work
        todo = (self.start, self.phases, self.draw(), self.objective, self.context)
        with work.named(), work.isolated(), torch.enable_grad():
            return self.trainer.fit(*todo, work.factor, work.losses.append, work.indices)


@dataclass(frozen=True)
class _Metered:
    """A step's loss, whose first value is the step's.

    Attributes:
        loss: the function.
        losses: where the value goes.
        before: how many there were.
    """

    loss: StepLoss
    losses: list[Tensor]
    before: int

    def __call__(self, tensors: Tensors, batch: int = 0) -> Tensor:
        return self.noted(self.loss(tensors, batch))

    def batch(self, number: int = 0) -> Batch:
        """The data itself, whose first mean is the step's too."""
        return _MeteredBatch(self.loss.batch(number), self.noted)

    def noted(self, value: Tensor) -> Tensor:
        """The value; the first one is the step's."""
        if len(self.losses) == self.before:
            self.losses.append(value.detach())
        return value


@dataclass(frozen=True)
class _MeteredBatch:
    """A step's batch, whose first mean is the step's loss.

    Attributes:
        of: the batch.
        noted: told of means.
    """

    of: Batch
    noted: Callable[[Tensor], Tensor]

    @property
    def labels(self) -> Tensor:
        return self.of.labels

    def outputs(self, tensors: Tensors) -> Outputs:
        """See :meth:`pfltune.method.Batch.outputs`."""
        return self.of.outputs(tensors)

    def mean(self, per_image: Tensor) -> Tensor:
        """See :meth:`pfltune.method.Batch.mean`."""
        return self.noted(self.of.mean(per_image))


@dataclass(frozen=True)
class ServerRound:
    """The server in one round, see :class:`pfltune.method.ServerWork`.

    Attributes:
        seed: of the trial.
        round: counted from 1.
        clients: that train in the rounds.
    """

    seed: int
    round: int
    clients: int

    def generator(self) -> torch.Generator:
        """See :meth:`pfltune.method.ServerWork.generator`."""
        return torch_rng(self.seed, "aggregation/draws", self.round)


def _line_of(frame: FrameType) -> Line:
    return frame.f_code.co_filename, frame.f_lineno


def plain_loss(loss: Loss, params: Tensors, _: Tensors) -> Tensor:
    """The default objective."""
    return loss(params)
