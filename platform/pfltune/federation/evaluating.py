"""Letting clients classify their own samples: those of the rounds, and those yet unseen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pfltune.data.split import ClientSplit
from pfltune.devices import brought_over, moved
from pfltune.federation.crew import Crew
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.measuring import Measuring
from pfltune.federation.meter import Totals
from pfltune.federation.work import ClientWork
from pfltune.method import Tensors


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the clients of a trial.

    Attributes:
        crew: its clients.
        measuring: what is asked of their answers.
    """

    crew: Crew
    measuring: Measuring

    def seen(
        self, server: Tensors, personal: Sequence[Tensors], round_number: int, totals: Totals
    ) -> Evaluation:
        """Every client of the rounds, with the newest download and its own personal state.

        Args:
            server: the server's state.
            personal: that of each client.
            round_number: the last round.
            totals: where downloads and steps of adaptation are added up.
        """
        channel, clients = self.crew.channel(totals), self.crew.federation.seen

        def model(work: ClientWork) -> Tensors:
            return self.crew.model(work, server, personal[work.client], channel)

        found = []
        for work, tensors in self.crew.at_work(clients, "adaptation", round_number, model):
            totals.adaptation_steps += work.steps
            found.append(self._measured(work, tensors))
        channel.see_intact(round_number)
        return self._together(clients, found)

    def unseen(self, server: Tensors, personal: Sequence[Tensors], round_number: int) -> Evaluation:
        """Every unseen client after it has trained its personal part and dropped its upload.

        Args:
            server: the server's state of the selected round, as for the others' figures.
            personal: the state of each client.
            round_number: the selected round.
        """
        aside, found = self.crew.channel(Totals()), []
        clients = sorted(self.crew.federation.unseen)
        for client in clients:
            own = self._personalised(client, server, personal[client], round_number)
            work = self.crew.work(client, "adaptation", round_number)
            found.append(self._measured(work, self.crew.model(work, server, own, aside)))
        aside.see_intact(round_number)
        return self._together(clients, found)

    def _personalised(
        self, client: int, server: Tensors, personal: Tensors, round_number: int
    ) -> Tensors:
        aside = self.crew.channel(Totals())
        for time in range(self.crew.federation.protocol.personalise_rounds):
            work = self.crew.work(client, f"personalisation/{time}", round_number)
            personal = self.crew.trained(work, server, personal, aside).update.personal
        return personal

    def _measured(self, work: ClientWork, tensors: Tensors) -> Tensor:
        """Hits and metrics in each part that the trial was given, on the device."""
        parts = _parts(self.crew.federation.clients[work.client])
        samples = moved(torch.cat(parts), self.crew.device)
        answers = self.crew.trainer.answers(tensors, samples)
        where = f"client {work.client}, round {work.round}"
        return self.measuring.row(*answers, [len(part) for part in parts], where)

    def _together(self, clients: Sequence[int], found: list[Tensor]) -> Evaluation:
        """What was measured of clients as one evaluation, brought over from the device at once."""
        splits = (self.crew.federation.clients[client] for client in clients)
        sizes = [[len(part) for part in _parts(split)] for split in splits]
        return self.measuring.evaluation(clients, brought_over(found), sizes)


def _parts(split: ClientSplit) -> list[Tensor]:
    """The samples on which a client is evaluated."""
    return [split.val] if split.test is None else [split.val, split.test]
