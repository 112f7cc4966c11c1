"""Local training and prediction of one client, over plain tensors."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pfltune.data.images import Images
from pfltune.federation.ground import Protocol
from pfltune.federation.roles import Roles, is_frozen
from pfltune.method import Loss, Objective, Phase, Tensors
from pfltune.randomness import isolated, torch_rng

EVALUATION_BATCH = 512


class LocalTrainer:
    """Runs a client's phases and predictions on one grafted model.

    The model supplies the architecture and the frozen weights; everything else is handed in.

    Args:
        model: the grafted model.
        roles: its division.
        images: the data on the model's device.
        protocol: batch size and local epochs.
        seed: the trial's seed; data order depends on (seed, round, client, epoch).
    """

    def __init__(
        self, model: nn.Module, roles: Roles, images: Images, protocol: Protocol, seed: int
    ) -> None:
        self.model = model
        self.roles = roles
        self.images = images
        self.protocol = protocol
        self.seed = seed
        self._training: bool | None = None

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        batches: Callable[[Phase], Iterator[tuple[Tensor, ...]]],
        objective: Objective,
        anchor: Tensors,
        on_step: Callable[[Tensor], None],
    ) -> Tensors:
        """Plain SGD from ``start`` through ``phases``; the arguments are left as they are.

        Args:
            start: shared and personal tensors by name.
            phases: what moves, at which rate, for how long.
            batches: yields the sample indices of each of a phase's steps, one tensor a batch.
            objective: what each step descends.
            anchor: handed to the objective.
            on_step: told the objective's value of each step, still on the device.
        """
        self.set_training(True)
        tensors = {name: value.detach().clone() for name, value in start.items()}
        for phase in phases:
            moving = {n: tensors[n].requires_grad_() for n in self._moving(phase, tensors)}
            leaves = list(moving.values())
            for chosen in batches(phase):
                value = objective(self.loss_on(chosen, tensors), moving, anchor)
                grads = torch.autograd.grad(value, leaves, materialize_grads=True)
                _sgd(leaves, grads, phase)
                on_step(value.detach())
            for tensor in leaves:
                tensor.requires_grad_(False)
        return tensors

    def loss_on(self, batches: tuple[Tensor, ...], rest: Tensors) -> Loss:
        """The mean cross-entropy on ``batches``, read and augmented once, as a function of tensors.

        Args:
            batches: the sample indices of each batch.
            rest: the tensors of the client that a caller leaves out.
        """
        data = [self.images.batch(chosen, training=True) for chosen in batches]

        def loss(tensors: Tensors, batch: int = 0) -> Tensor:
            x, y = data[batch]
            return F.cross_entropy(self._forward({**rest, **tensors}, x), y)

        return loss

    def correct(self, tensors: Tensors, indices: Tensor) -> Tensor:
        """Whether each of the samples ``indices`` is classified correctly, bool on the device."""
        self.set_training(False)
        hits = []
        with torch.inference_mode():
            for chosen in indices.split(EVALUATION_BATCH):
                x, y = self.images.batch(chosen)
                hits.append(self._forward(tensors, x).argmax(dim=1) == y)
        return torch.cat(hits)

    def set_training(self, training: bool) -> None:
        """Put the model into training or evaluation mode; frozen modules stay in the latter."""
        if self._training == training:
            return
        self._training = training
        self.model.train(training)
        for module in self.model.modules():
            if is_frozen(module):
                module.eval()

    def _forward(self, tensors: Tensors, x: Tensor) -> Tensor:
        # What a method keeps beside the model's own tensors is nothing to the model.
        known = {n: t for n, t in tensors.items() if n in self.roles.names}
        return functional_call(self.model, known, (x,))

    def _moving(self, phase: Phase, tensors: Tensors) -> list[str]:
        own = [n for n, t in tensors.items() if n not in self.roles.names and t.is_floating_point()]
        trained = self.roles.part(phase.part)
        return [n for n in trained if n in tensors] + (own if phase.part != "shared" else [])


class ClientWork:
    """One client in one round: its data in a fixed order, and meters of what was spent.

    Args:
        trainer: runs the phases.
        purpose: ``training`` or ``adaptation``; each has random draws of its own.
        round_number: the round, counted from 1.
        client: index of the client.
        indices: its training samples.

    Attributes:
        losses: the objective's value in each step, scalars on the device.
    """

    def __init__(
        self, trainer: LocalTrainer, purpose: str, round_number: int, client: int, indices: Tensor
    ) -> None:
        self._trainer = trainer
        self._purpose = purpose
        self._round = round_number
        self._indices = indices
        self.client = client
        self.losses: list[Tensor] = []

    @property
    def samples(self) -> int:
        """Number of the client's training samples."""
        return len(self._indices)

    @property
    def steps(self) -> int:
        """Local steps taken so far."""
        return len(self.losses)

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        objective: Objective | None = None,
        anchor: Tensors | None = None,
    ) -> Tensors:
        """See :meth:`pfltune.method.LocalWork.fit`."""
        epochs = count()
        with self._isolated(), torch.enable_grad():
            return self._trainer.fit(
                start,
                phases,
                lambda phase: self._batches(phase, epochs),
                objective or _plain_loss,
                start if anchor is None else anchor,
                self.losses.append,
            )

    def batches(self) -> Iterator[Loss]:
        """See :meth:`pfltune.method.LocalWork.batches`."""
        self._trainer.set_training(True)
        with self._isolated():
            for chosen in self._batches(Phase("all", lr=0.0), count()):
                yield self._metered(self._trainer.loss_on(chosen, {}))

    def generator(self) -> torch.Generator:
        """See :meth:`pfltune.method.LocalWork.generator`."""
        return torch_rng(self._trainer.seed, f"{self._purpose}/draws", self._round, self.client)

    def _isolated(self) -> AbstractContextManager[None]:
        return isolated(self._trainer.seed, self._purpose, self._round, self.client)

    def _metered(self, loss: Loss) -> Loss:
        """The same function; its first value is the step's."""
        before = self.steps

        def metered(tensors: Tensors, batch: int = 0) -> Tensor:
            value = loss(tensors, batch)
            if self.steps == before:
                self.losses.append(value.detach())
            return value

        return metered

    def _batches(self, phase: Phase, epochs: Iterator[int]) -> Iterator[tuple[Tensor, ...]]:
        protocol = self._trainer.protocol
        passes = protocol.local_epochs if phase.epochs is None else phase.epochs
        chosen = (
            step
            for epoch in islice(epochs, passes)
            for step in zip(*(self._epoch(epoch, s) for s in range(phase.batches)), strict=True)
        )
        yield from islice(chosen, phase.steps)

    def _epoch(self, epoch: int, stream: int) -> Iterable[Tensor]:
        """The client's samples in a new order, in batches; every stream has an order of its own."""
        key = (self._round, self.client, epoch, *([stream] if stream else []))
        rng = torch_rng(self._trainer.seed, f"{self._purpose}/order", *key)
        order = torch.randperm(self.samples, generator=rng)
        shuffled = self._indices[order.to(self._indices.device)]
        return shuffled.split(self._trainer.protocol.batch_size)


def _plain_loss(loss: Loss, params: Tensors, _: Tensors) -> Tensor:
    return loss(params)


def _sgd(moving: list[Tensor], grads: tuple[Tensor, ...], phase: Phase) -> None:
    with torch.no_grad():
        if phase.weight_decay:
            grads = torch._foreach_add(grads, moving, alpha=phase.weight_decay)
        torch._foreach_add_(moving, grads, alpha=-phase.lr)
