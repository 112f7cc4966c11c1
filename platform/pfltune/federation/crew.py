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
    ) -> Iterator[list[tuple[ClientWork, Trained]]]:
        """The clients of a round after their local training, cohort after cohort."""

        def trained(work: ClientWork) -> Trained:
            return self.trained(work, server, personal[work.client], channel)

        return self._cohorts(clients, "training", round_number, trained)

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
            return self._adapted(work, self.method.assemble(down, personal))

    def trained_model(self, work: ClientWork, trained: Trained) -> Tensors:
        """The same of a client that has just trained; it receives nothing more."""
        with work.named():
            return self._adapted(work, self.method.assemble_trained(*trained))

    def _adapted(self, work: ClientWork, tensors: Tensors) -> Tensors:
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

        A result is dropped once it is taken.
        """
        for cohort in self._cohorts(clients, purpose, round_number, body):
            while cohort:
                yield cohort.pop(0)

    def _cohorts(
        self,
        clients: Sequence[int],
        purpose: str,
        round_number: int,
        body: Callable[[ClientWork], T],
    ) -> Iterator[list[tuple[ClientWork, T]]]:
        """Those who work at once, cohort after cohort; the size may shrink on the way."""
        while clients:
            size = self.cohort.size
            works = [self.work(client, purpose, round_number) for client in clients[:size]]
            yield list(zip(works, self.cohort.run(works, body), strict=True))
            clients = clients[size:]

    def channel(self, totals: Totals, stays: Collection[str] = ()) -> Channel:
        """What payloads pass in one round, see :class:`Channel`."""
        return Channel(totals, stays, self.method.wraps(), self.trainer.seed)

    def work(self, client: int, purpose: str, round_number: int) -> ClientWork:
        """One client in one round, see :class:`ClientWork`."""
        split = self.federation.clients[client]
        classes = self.federation.dataset.classes
        return ClientWork(self.trainer, purpose, round_number, client, split, classes)
