"""What one client receives and returns in one round, without any training."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pfltune import parts
from pfltune.errors import UserError
from pfltune.federation.channel import Channel
from pfltune.federation.meter import Totals
from pfltune.federation.payload import payload_bytes
from pfltune.federation.setup import set_up
from pfltune.isolation import contained, in_a_line
from pfltune.method import Batch, Loss, Method, Objective, Outputs, Phase, Tensors


@dataclass(frozen=True)
class Traffic:
    """One client's messages of one round.

    Attributes:
        up: numbers that are uploaded.
        down_bytes, up_bytes: the payloads serialised as safetensors.
    """

    up: int
    down_bytes: int
    up_bytes: int


class NoLoss:
    """A loss that is 0 everywhere, see :class:`pfltune.method.Loss`."""

    def __call__(self, tensors: Tensors, batch: int = 0) -> Tensor:
        """0, and so are its gradients."""
        return 0.0 * torch.stack([t.sum() for t in tensors.values() if t.is_floating_point()]).sum()

    def batch(self, number: int = 0) -> Batch:
        """There is none.

        Raises:
            UserError: it is asked for.
        """
        raise UserError("what a method sends cannot be worked out where its own loop asks for data")


class NoWork:
    """Local work that costs nothing on one image, see :class:`pfltune.method.LocalWork`.

    Args:
        model: the grafted model.
    """

    client = 0
    round = 1
    samples = 1
    val_samples = 1
    steps = 1
    rate = 1.0

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    @property
    def class_counts(self) -> Tensor:
        """One image of each class."""
        return torch.ones(self._model.get_parameter(parts.head(self._model)[0]).shape[0]).long()

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        objective: Objective | None = None,
        context: Tensors | None = None,
    ) -> Tensors:
        """What it was given."""
        return dict(start)

    def batches(self, phase: Phase | None = None) -> Iterator[Loss]:
        """One step, for what a method sends of each."""
        return iter((NoLoss(),))

    def outputs(self, tensors: Tensors) -> Outputs:
        """Of one image of the first class, all zero."""
        classes, width = self._model.get_parameter(parts.head(self._model)[0]).shape
        return Outputs(torch.zeros(1, classes), torch.zeros(1, width), torch.zeros(1).long())

    def generator(self) -> torch.Generator:
        """Any generator: nothing is drawn for a result."""
        return torch.Generator()


def traffic(method: Method, model: nn.Module) -> Traffic:
    """The messages of ``method`` on a bare backbone, which is grafted in place.

    Raises:
        UserError: the method does not fit the backbone.
    """
    cls = type(method)
    with contained(cls.__name__), in_a_line(cls.__name__, inspect.getfile(cls)), torch.no_grad():
        setup = set_up(method, model, clients=1, seed=0, device=torch.device("cpu"))
        channel = Channel(Totals(), wraps=method.wraps())
        down = channel.to_train(method.download(setup.server, 0), 0, 1)
        update = method.train(NoWork(setup.model), down, setup.first_state(0))
        up, _ = channel.sent(update, down, {}, 0, 1)
        return Traffic(sum(t.numel() for t in up.values()), channel.totals.down, payload_bytes(up))
