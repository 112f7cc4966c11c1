"""Letting clients classify their own samples: those of the rounds, and those yet unseen."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pfltune.data.split import ClientSplit
from pfltune.devices import moved, settle
from pfltune.federation.channel import Channel
from pfltune.federation.crew import Crew, Trained
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.health import Health
from pfltune.federation.measuring import Measuring, Row
from pfltune.federation.meter import Totals
from pfltune.federation.pooling import Answers, Pooled
from pfltune.federation.roles import Roles
from pfltune.federation.states import PersonalStates
from pfltune.federation.work import ClientWork
from pfltune.method import Method, Tensors

Hear = Callable[[int, Tensors], object]
"""Is told with what each client predicts."""


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
        clients = self.crew.federation.seen
        found = self.rows(clients, server, personal, round_number, totals)
        return self.together(clients, list(found.values()))

    def rows(
        self,
        clients: Sequence[int],
        server: Tensors,
        personal: Sequence[Tensors],
        round_number: int,
        totals: Totals,
    ) -> dict[int, Row]:
        """The same of some clients: what was measured of each."""
        channel = self.crew.channel(totals)
        model = self._downloaded(server, personal, channel)
        found = self._rows(clients, round_number, totals, model)
        channel.see_intact(f"round {round_number}")
        return found

    def each_model(
        self,
        clients: Sequence[int],
        server: Tensors,
        personal: Sequence[Tensors],
        round_number: int,
        hear: Hear,
    ) -> None:
        """With what some clients are evaluated after a round, one after the other.

        Args:
            clients: in the order in which they are evaluated.
            server: the server's state.
            personal: that of each client.
            round_number: the round, which the draws of an adaptation depend on.
            hear: told of each.
        """
        model = self._downloaded(server, personal, self.crew.channel(Totals()))
        for work, tensors in self.crew.at_work(clients, "adaptation", round_number, model):
            hear(work.client, tensors)

    def _downloaded(
        self, server: Tensors, personal: Sequence[Tensors], channel: Channel
    ) -> Callable[[ClientWork], Tensors]:
        def model(work: ClientWork) -> Tensors:
            return self.crew.model(work, server, personal[work.client], channel)

        return model

    def trained_rows(
        self,
        cohort: Sequence[tuple[ClientWork, Trained]],
        round_number: int,
        totals: Totals,
        hear: Hear | None = None,
    ) -> dict[int, Row]:
        """The same of clients that have just trained; they download nothing."""
        trained = {work.client: found for work, found in cohort}

        def model(work: ClientWork) -> Tensors:
            return self.crew.trained_model(work, trained[work.client])

        return self._rows(list(trained), round_number, totals, model, hear)

    def unseen(self, server: Tensors, personal: Sequence[Tensors], round_number: int) -> Evaluation:
        """Every unseen client after it has trained its personal part and dropped its upload.

        Args:
            server: the server's state of the selected round, as for the others' figures.
            personal: the state of each client.
            round_number: the selected round.

        Raises:
            Diverged: what one of them received, or made of it, is not finite.
        """
        found = []
        clients = sorted(self.crew.federation.unseen)
        for client in clients:
            aside = self.crew.channel(Totals())
            own = self._personalised(client, server, personal[client], round_number, aside)
            work = self.crew.work(client, "adaptation", round_number)
            model = self.crew.model(work, server, own, aside)
            aside.see_intact(f"unseen client {client}")
            found.append(self.measured(work, model))
        return self.together(clients, found)

    def of_nobody(self, server: Tensors) -> Pooled | None:
        """The model that the server would hand to anybody, on the test samples of all seen clients.

        None where every client is handed another one or a part of one, where the scenario names no
        metrics, and without test samples.

        Args:
            server: the server's state.
        """
        federation = self.crew.federation
        tests = [test for c in federation.seen if (test := federation.clients[c].test) is not None]
        if not (federation.metrics and tests):
            return None
        tensors = global_model(self.crew.method, self.crew.trainer.roles, server, federation.seen)
        if tensors is None:
            return None
        samples = moved(torch.cat(tests), self.crew.device)
        return self.measuring.pooled([Answers(*self.crew.trainer.answers(tensors, samples))])

    def _personalised(
        self, client: int, server: Tensors, personal: Tensors, round_number: int, aside: Channel
    ) -> Tensors:
        """The state of an unseen client after its training; who has diverged is not tested."""
        health = Health(self.crew.device)
        for number in range(self.crew.federation.protocol.personalise_rounds):
            work = self.crew.work(client, f"personalisation/{number}", round_number)
            _, update = self.crew.trained(work, server, personal, aside)
            health.add(work.losses, update)
            personal = update.personal
        aside.see_intact(f"unseen client {client}")
        health.mean_loss(f"the personalisation of unseen client {client}")
        return personal

    def measured(self, work: ClientWork, tensors: Tensors) -> Row:
        """Hits and metrics in each part that the trial was given, on the device."""
        parts = _parts(self.crew.federation.clients[work.client])
        samples = moved(torch.cat(parts), self.crew.device)
        answers = self.crew.trainer.answers(tensors, samples)
        where = f"client {work.client}, round {work.round}"
        return self.measuring.row(*answers, [len(part) for part in parts], where)

    def _rows(
        self,
        clients: Sequence[int],
        round_number: int,
        totals: Totals,
        model: Callable[[ClientWork], Tensors],
        hear: Hear | None = None,
    ) -> dict[int, Row]:
        found = {}
        for work, tensors in self.crew.at_work(clients, "adaptation", round_number, model):
            totals.adaptation_steps += work.steps
            found[work.client] = self.measured(work, tensors)
            if hear is not None:
                hear(work.client, tensors)
        return found

    def together(self, clients: Sequence[int], found: list[Row]) -> Evaluation:
        """What was measured of clients as one evaluation."""
        splits = (self.crew.federation.clients[client] for client in clients)
        sizes = [[len(part) for part in _parts(split)] for split in splits]
        return self.measuring.evaluation(clients, found, sizes)


@dataclass
class RoundEvaluation:
    """The evaluation of a round whose clients are tested right after their training.

    The others are tested before it, with the server's state that they have as yet.

    Attributes:
        evaluator: of the trial.
        round: its number.
        totals: where downloads and steps of adaptation are added up.
        rows: what was measured of each client.
        kept: where it is kept with what those who have trained are tested; None if nobody asks.
        before: the server's state that the others have.
        seconds: that it took so far.
    """

    evaluator: Evaluator
    round: int
    totals: Totals
    rows: dict[int, Row] = field(default_factory=dict)
    kept: PersonalStates | None = None
    before: Tensors = field(default_factory=dict)
    seconds: float = 0.0

    def others(self, sampled: Sequence[int], server: Tensors, personal: Sequence[Tensors]) -> None:
        """Test those who are not sampled."""
        self.before = server
        seen = self.evaluator.crew.federation.seen
        clients = [client for client in seen if client not in sampled]
        with self._timed():
            self.rows |= self.evaluator.rows(clients, server, personal, self.round, self.totals)

    def trained(self, cohort: Sequence[tuple[ClientWork, Trained]]) -> None:
        """Test some who have just trained."""
        hear = None if self.kept is None else self.kept.__setitem__
        with self._timed():
            self.rows |= self.evaluator.trained_rows(cohort, self.round, self.totals, hear)

    def ended(self) -> Evaluation:
        """All clients of the rounds together."""
        seen = self.evaluator.crew.federation.seen
        return self.evaluator.together(seen, [self.rows[client] for client in seen])

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds of the block, and none of what a GPU had to do before."""
        device = self.evaluator.crew.device
        settle(device)
        began = time.perf_counter()
        yield
        settle(device)
        self.seconds += time.perf_counter() - began


def global_model(
    method: Method, roles: Roles, server: Tensors, clients: Sequence[int]
) -> Tensors | None:
    """What every client is handed alike, if that is a whole model; else None.

    Args:
        method: which hands it out.
        roles: of the model's tensors.
        server: its state.
        clients: all of them.
    """
    names = (*roles.shared, *roles.personal)
    first, *others = (method.download(server, client) for client in clients)
    if not first.keys() >= set(names):
        return None
    for other in others:
        if any(other[n] is not first[n] and not torch.equal(other[n], first[n]) for n in names):
            return None
    return {name: first[name] for name in names}


def _parts(split: ClientSplit) -> list[Tensor]:
    """The samples on which a client is evaluated."""
    return [split.val] if split.test is None else [split.val, split.test]
