"""What one client receives and returns in one round, without any training."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pfltune.federation.channel import Channel
from pfltune.federation.meter import Totals
from pfltune.federation.setup import set_up
from pfltune.isolation import contained, in_a_line
from pfltune.method import Loss, Method, Objective, Phase, Tensors


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


class NoWork:
    """Local work of no step at all, see :class:`pfltune.method.LocalWork`."""

    client = 0
    samples = 1

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        objective: Objective | None = None,
        anchor: Tensors | None = None,
    ) -> Tensors:
        """What it was given."""
        return dict(start)

    def batches(self) -> Iterator[Loss]:
        """No batch."""
        return iter(())

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
        channel = Channel(Totals())
        down = channel.to_train(method.download(setup.server, 0))
        up = channel.to_server(method.train(NoWork(), down, setup.first_state(0)).upload, 0)
        numbers = sum(t.numel() for t in up.values())
        return Traffic(numbers, channel.totals.down, channel.totals.up)
