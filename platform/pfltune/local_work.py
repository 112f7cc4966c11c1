"""What a method finds on a client and on the server: data of a step, phases, draws."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from pfltune.optimizers import Optimizer, Schedule
from pfltune.tensors import Tensors


class Outputs(NamedTuple):
    """What a model says to some images.

    Attributes:
        logits: float32 (images, classes).
        features: what the classification head reads, float32 (images, width).
        labels: what is right, int64 (images,).
    """

    logits: Tensor
    features: Tensor
    labels: Tensor


class Batch(Protocol):
    """The data of one local step, for objectives that need more than the mean loss.

    Where clients train side by side a batch may be filled up with images that do not count: only
    :meth:`mean` knows which. Nothing else may take a mean or sum over images.
    """

    @property
    def labels(self) -> Tensor:
        """What is right, int64 (images,)."""

    def outputs(self, tensors: Tensors) -> Outputs:
        """What the client's model says, a pure function of tensors.

        Args:
            tensors: some of the model's; what they leave out is as it is now.

        Raises:
            UserError: the model has no one head that reads features.
        """

    def mean(self, per_image: Tensor) -> Tensor:
        """The mean over the images of the batch of numbers (images,)."""


class Loss(Protocol):
    """Mean cross-entropy of the client's model on the data of one local step."""

    def __call__(self, tensors: Tensors, batch: int = 0) -> Tensor:
        """The loss with ``tensors``; what they leave out of the model is as it is now.

        Args:
            tensors: some of the model's tensors, by name.
            batch: which of the step's batches, see :attr:`Phase.batches`.
        """

    def batch(self, number: int = 0) -> Batch:
        """The data itself: logits, features, labels."""


Objective = Callable[[Loss, Tensors, Tensors], Tensor]


@dataclass(frozen=True)
class Phase:
    """A stretch of local training: which part moves, at which rate, for how long.

    Attributes:
        part: ``shared``, ``personal`` or ``all`` of what trains. Tensors that a method keeps beside
            the model's own, from :meth:`Method.init_client` on, count as personal.
        lr: learning rate, before the schedule's factor.
        epochs: passes over the client's training data; None stands for the scenario's.
        weight_decay: L2 coefficient; None stands for the optimizer's.
        steps: the phase ends after so many local steps; None for no such end.
        batches: batches drawn for each step, independently of each other.
        optimizer: None stands for the scenario's. Its state lives for this phase.
        schedule: of the rate over rounds; None stands for the scenario's.
        share: of the client's training samples that an epoch reads, drawn anew for each.
    """

    part: Literal["all", "shared", "personal"]
    lr: float
    epochs: int | None = None
    weight_decay: float | None = None
    steps: int | None = None
    batches: int = 1
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    share: float = 1.0


class LocalWork(Protocol):
    """What the engine offers a method on one client in one round.

    Each call begins anew with the same order of the same batches, so that two models which a client
    trains in one round meet the same data.

    Attributes:
        client: index of the client.
        round: number of the round, counted from 1.
        samples: number of its training samples.
        val_samples: number of its validation samples.
        class_counts: its training samples of each class, int64 (classes,), on the device.
        steps: local steps taken so far in this round; steps of every fit count.
        rate: factor of the scenario's schedule in this round, for rates that no phase has.
    """

    @property
    def client(self) -> int: ...  # noqa: D102
    @property
    def round(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def val_samples(self) -> int: ...  # noqa: D102
    @property
    def class_counts(self) -> Tensor: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def rate(self) -> float: ...  # noqa: D102

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        objective: Objective | None = None,
        context: Tensors | None = None,
    ) -> Tensors:
        """Train from ``start`` through ``phases``; returns new tensors under the same names.

        Args:
            start: tensors by name; those that are not the model's are for the objective.
            phases: what moves, at which rate, for how long.
            objective: what is minimised, see :meth:`Method.objective`; by default the loss.
            context: constants of this client that are handed to the objective; ``start`` if it is
                left out.
        """

    def batches(self, phase: Phase | None = None) -> Iterator[Loss]:
        """For training loops of one's own: the loss function of each local step.

        Args:
            phase: says how many steps there are and what they read; None stands for the scenario's
                local epochs. Its rate and its part are the loop's own affair.
        """

    def outputs(self, tensors: Tensors) -> Outputs:
        """What a model says to all of the client's training images, in their own order.

        In evaluation mode, without augmentation and without gradients.

        Args:
            tensors: the client's, all that the model's frozen ones leave open.
        """

    def generator(self) -> torch.Generator:
        """A CPU generator that is seeded for this client and round."""


class ServerWork(Protocol):
    """What the engine offers a method on the server in one round.

    Attributes:
        round: number of the round, counted from 1.
        clients: number of clients N that train in the rounds; the yet unseen are none of them.
    """

    @property
    def round(self) -> int: ...  # noqa: D102
    @property
    def clients(self) -> int: ...  # noqa: D102

    def generator(self) -> torch.Generator:
        """A CPU generator that is seeded for the server in this round."""
