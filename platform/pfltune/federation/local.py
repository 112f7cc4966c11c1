"""Local training and prediction of one client, over plain tensors."""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pfltune.data.images import Images
from pfltune.federation.ground import Protocol
from pfltune.federation.roles import Roles, is_frozen
from pfltune.method import Penalty, Phase, Tensors
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
        batches: Callable[[int], Iterator[Tensor]],
        penalty: Penalty | None,
        on_step: Callable[[Tensor], None],
    ) -> Tensors:
        """Plain SGD from ``start`` through ``phases``; the arguments are left as they are.

        Args:
            start: shared and personal tensors by name.
            phases: what moves, at which rate, for how long.
            batches: ``batches(epochs)`` yields the sample indices of each step.
            penalty: extra loss term, may return None.
            on_step: told the loss of each step, still on the device.
        """
        self._set_mode(training=True)
        tensors = {name: value.detach().clone() for name, value in start.items()}
        for phase in phases:
            names = [name for name in self.roles.part(phase.part) if name in tensors]
            moving = [tensors[name].requires_grad_() for name in names]
            epochs = self.protocol.local_epochs if phase.epochs is None else phase.epochs
            for chosen in batches(epochs):
                loss = self._loss(tensors, chosen)
                extra = penalty(tensors, start) if penalty else None
                total = loss if extra is None else loss + extra
                grads = torch.autograd.grad(total, moving, materialize_grads=True)
                _sgd(moving, grads, phase)
                on_step(loss.detach())
            for tensor in moving:
                tensor.requires_grad_(False)
        return tensors

    def correct(self, tensors: Tensors, indices: Tensor) -> Tensor:
        """Whether each of the samples ``indices`` is classified correctly, bool on the device."""
        self._set_mode(training=False)
        hits = []
        with torch.inference_mode():
            for chosen in indices.split(EVALUATION_BATCH):
                x, y = self.images.batch(chosen)
                hits.append(functional_call(self.model, tensors, (x,)).argmax(dim=1) == y)
        return torch.cat(hits)

    def _loss(self, tensors: Tensors, chosen: Tensor) -> Tensor:
        x, y = self.images.batch(chosen)
        return F.cross_entropy(functional_call(self.model, tensors, (x,)), y)

    def _set_mode(self, *, training: bool) -> None:
        if self._training == training:
            return
        self._training = training
        self.model.train(training)
        for module in self.model.modules():
            if is_frozen(module):
                module.eval()


class ClientWork:
    """One client in one round: its data in a fixed order, and meters of what was spent.

    Args:
        trainer: runs the phases.
        purpose: ``training`` or ``adaptation``; each has random draws of its own.
        round_number: the round, counted from 1.
        client: index of the client.
        indices: its training samples.

    Attributes:
        losses: loss of each step, scalars on the device.
    """

    def __init__(
        self, trainer: LocalTrainer, purpose: str, round_number: int, client: int, indices: Tensor
    ) -> None:
        self._trainer = trainer
        self._purpose = purpose
        self._round = round_number
        self._indices = indices
        self._epochs = 0
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
        self, start: Tensors, phases: Iterable[Phase], penalty: Penalty | None = None
    ) -> Tensors:
        """See :meth:`pfltune.method.LocalWork.fit`."""
        with (
            isolated(self._trainer.seed, self._purpose, self._round, self.client, self._epochs),
            torch.enable_grad(),
        ):
            return self._trainer.fit(start, phases, self._batches, penalty, self.losses.append)

    def _batches(self, epochs: int) -> Iterator[Tensor]:
        for _ in range(epochs):
            key = (self._round, self.client, self._epochs)
            rng = torch_rng(self._trainer.seed, f"{self._purpose}/order", *key)
            order = torch.randperm(self.samples, generator=rng)
            self._epochs += 1
            shuffled = self._indices[order.to(self._indices.device)]
            yield from shuffled.split(self._trainer.protocol.batch_size)


def _sgd(moving: list[Tensor], grads: tuple[Tensor, ...], phase: Phase) -> None:
    with torch.no_grad():
        if phase.weight_decay:
            grads = torch._foreach_add(grads, moving, alpha=phase.weight_decay)
        torch._foreach_add_(moving, grads, alpha=-phase.lr)
