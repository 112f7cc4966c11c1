"""The clients of a trial at their work, some of them at once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch

from pfltune.federation.channel import Channel
from pfltune.federation.cohort import Cohort
from pfltune.federation.federation import Federation
from pfltune.federation.local import LocalTrainer
from pfltune.federation.meter import Totals
from pfltune.federation.work import ClientWork
from pfltune.method import Method, Tensors, Update

T = TypeVar("T")


class Trained(NamedTuple):
    """What local training began with and gave back."""

    down: Tensors
    update: Update


@dataclass(frozen=True)
class Crew:
    """Lets clients train and adapt as a method says.

    Attributes:
        method: the method.
        federation: whose clients these are.
        trainer: runs their phases.
        cohort: brings those together that work at once.
        device: where they compute.
    """

    method: Method
    federation: Federation
    trainer: LocalTrainer
    cohort: Cohort
    device: torch.device

    def train(
        self,
        clients: Sequence[int],
        round_number: int,
        server: Tensors,
        personal: Sequence[Tensors],
        channel: Channel,
    ) -> Iterator[tuple[ClientWork, Trained]]:
        """What each client's local training in a round gives back, as the clients end."""

        def trained(work: ClientWork) -> Trained:
            return self.trained(work, server, personal[work.client], channel)

        return self.at_work(clients, "training", round_number, trained)

    def trained(
        self, work: ClientWork, server: Tensors, personal: Tensors, channel: Channel
    ) -> Trained:
        """One client's local training, from its download on."""
        with work.named():
            sent = self.method.download(server, work.client)
            down = channel.to_train(sent, work.client, work.round)
            return Trained(down, self.method.train(work, down, personal))

    def model(
        self, work: ClientWork, server: Tensors, personal: Tensors, channel: Channel
    ) -> Tensors:
        """What a client predicts with, adapted to its training data where the method says so."""
        with work.named():
            sent = self.method.download(server, work.client)
            down = channel.to_evaluate(sent, work.client, work.round)
            tensors = self.method.assemble(down, personal)
            phases = self.method.adapt()
            return work.fit(tensors, phases) if phases else tensors

    def at_work(
        self,
        clients: Sequence[int],
        purpose: str,
        round_number: int,
        body: Callable[[ClientWork], T],
    ) -> Iterator[tuple[ClientWork, T]]:
        """The work of each client with what ``body`` made of it, in the order of ``clients``.

        They work in cohorts, whose size may shrink on the way; a result is dropped once it is
        taken.
        """
        while clients:
            size = self.cohort.size
            works = [self.work(client, purpose, round_number) for client in clients[:size]]
            results = self.cohort.run(works, body)
            while results:
                yield works.pop(0), results.pop(0)
            clients = clients[size:]

    def channel(self, totals: Totals, stays: Collection[str] = ()) -> Channel:
        """What payloads pass in one round, see :class:`Channel`."""
        return Channel(totals, stays, self.method.wraps(), self.trainer.seed)

    def work(self, client: int, purpose: str, round_number: int) -> ClientWork:
        """One client in one round, see :class:`ClientWork`."""
        split = self.federation.clients[client]
        classes = self.federation.dataset.classes
        return ClientWork(self.trainer, purpose, round_number, client, split, classes)
