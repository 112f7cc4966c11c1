"""The clients of a trial at their work, some of them at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from pfltune.federation.channel import Channel
from pfltune.federation.cohort import Cohort
from pfltune.federation.federation import Federation
from pfltune.federation.local import LocalTrainer
from pfltune.federation.work import ClientWork
from pfltune.method import Method, Tensors, Update

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """A client that has trained in a round.

    Attributes:
        work: of its round.
        down: what it received.
        update: what it sends and keeps.
    """

    work: ClientWork
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
    ) -> Iterator[list[Trained]]:
        """The clients after their local training in a round, cohort after cohort."""

        def trained(work: ClientWork) -> Trained:
            return self.trained(work, server, personal[work.client], channel)

        for cohort in self._cohorts(clients, "training", round_number, trained):
            yield [found for _, found in cohort]

    def trained(
        self, work: ClientWork, server: Tensors, personal: Tensors, channel: Channel
    ) -> Trained:
        """One client's local training, from its download on."""
        with work.named():
            down = channel.to_train(self.method.download(server, work.client))
            return Trained(work, down, self.method.train(work, down, personal))

    def model(
        self, work: ClientWork, server: Tensors, personal: Tensors, channel: Channel
    ) -> Tensors:
        """What a client predicts with, adapted to its training data where the method says so."""
        with work.named():
            down = channel.to_evaluate(self.method.download(server, work.client))
            return self._adapted(work, self.method.assemble(down, personal))

    def trained_model(self, work: ClientWork, trained: Trained) -> Tensors:
        """The same of a client that has just trained; it receives nothing more.

        Args:
            work: of its evaluation.
            trained: after its training.
        """
        with work.named():
            return self._adapted(work, self.method.assemble_trained(trained.down, trained.update))

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

    def work(self, client: int, purpose: str, round_number: int) -> ClientWork:
        """One client in one round, see :class:`ClientWork`."""
        split = self.federation.clients[client]
        classes = self.federation.dataset.classes
        return ClientWork(self.trainer, purpose, round_number, client, split, classes)
