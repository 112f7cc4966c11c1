"""Letting clients classify their own samples: those of the rounds, and those yet unseen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from pfltune.data.split import ClientSplit
from pfltune.devices import moved
from pfltune.federation.channel import Channel
from pfltune.federation.crew import Crew, Trained
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.health import Health
from pfltune.federation.measuring import Measuring, Row
from pfltune.federation.meter import Totals
from pfltune.federation.origin import Origin, apart, origin_of, places
from pfltune.federation.pooling import Answers, Pooled
from pfltune.federation.roles import Roles
from pfltune.federation.states import PersonalStates
from pfltune.federation.work import ClientWork
from pfltune.method import Method, Tensors

T = TypeVar("T")
Hear = Callable[[int, Tensors], object]
"""Is told with what each client predicts."""
Model = tuple[Tensors, Origin | None]
"""With what a client predicts, and whose tensors these are, where they are somebody's."""
TOGETHER = 32
"""So many batches of evaluation are answered before the answers are measured."""


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the clients of a trial.

    Those who predict with the server's tensors as they are share batches. Who predicts with its own
    is not evaluated again until these are others.

    Attributes:
        crew: its clients.
        measuring: what is asked of their answers.
        known: of clients who predicted with their own tensors, which these were and what was
            measured.
        origins: those in ``known``, each once.
    """

    crew: Crew
    measuring: Measuring
    known: dict[int, tuple[object, Origin, Row]] = field(default_factory=dict)
    origins: dict[Origin, Origin] = field(default_factory=dict)

    def seen(
        self, server: Tensors, personal: PersonalStates, round_number: int, totals: Totals
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
        personal: PersonalStates,
        round_number: int,
        totals: Totals,
    ) -> dict[int, Row]:
        """The same of some clients: what was measured of each."""
        channel, server = self.crew.channel(totals), apart(server)
        there = places(server)

        def model(work: ClientWork) -> Model:
            own = personal[work.client]
            found = self.crew.model(work, server, own, channel)
            return found, origin_of(found, there, own)

        found: dict[int, Row] = {}
        alike: dict[Origin, tuple[Tensors, list[ClientWork]]] = {}
        for work, (tensors, origin) in self._at_work(clients, round_number, totals, model):
            if origin is not None and origin.whose == "server":
                alike.setdefault(origin, (tensors, []))[1].append(work)
            elif origin is None or self.measuring.may_draw:
                found[work.client] = self.measured(work, tensors)
            else:
                mark = personal.mark(work.client)
                found[work.client] = self._of_own(work, tensors, mark, origin)
        for tensors, works in alike.values():
            found |= self._measured_together(works, tensors)
        channel.see_intact(f"round {round_number}")
        return {client: found[client] for client in clients}

    def _of_own(self, work: ClientWork, tensors: Tensors, mark: object, origin: Origin) -> Row:
        """What was measured of a client with tensors of its own, now or when it last had them."""
        before = self.known.get(work.client)
        if before is not None and before[0] is mark and before[1] == origin:
            return before[2]
        row = self.measured(work, tensors)
        self.known[work.client] = mark, self.origins.setdefault(origin, origin), row
        return row

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
        channel = self.crew.channel(Totals())

        def model(work: ClientWork) -> Tensors:
            return self.crew.model(work, server, personal[work.client], channel)

        for work, tensors in self.crew.at_work(clients, "adaptation", round_number, model):
            hear(work.client, tensors)

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

        found = {}
        for work, tensors in self._at_work(list(trained), round_number, totals, model):
            found[work.client] = self.measured(work, tensors)
            if hear is not None:
                hear(work.client, tensors)
        return found

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
        return self._measured_together([work], tensors)[work.client]

    def _measured_together(self, works: Sequence[ClientWork], tensors: Tensors) -> dict[int, Row]:
        """The same of clients that share one model, in batches across them."""
        trainer, clients = self.crew.trainer, self.crew.federation.clients
        parts = [_parts(clients[work.client]) for work in works]
        sizes = [sum(map(len, each)) for each in parts]
        found = {}
        for some in _stretches(sizes, TOGETHER * trainer.evaluation_batch):
            samples = torch.cat([part for each in parts[some] for part in each])
            answers = trainer.answers(tensors, moved(samples, self.crew.device))
            logits, labels = (said.split(sizes[some]) for said in answers)
            for work, x, y, of in zip(works[some], logits, labels, parts[some], strict=True):
                where = f"client {work.client}, round {work.round}"
                found[work.client] = self.measuring.row(x, y, [len(part) for part in of], where)
        return found

    def _at_work(
        self,
        clients: Sequence[int],
        round_number: int,
        totals: Totals,
        model: Callable[[ClientWork], T],
    ) -> Iterator[tuple[ClientWork, T]]:
        """Each client with what it predicts with; its steps of adaptation are counted."""
        for work, made in self.crew.at_work(clients, "adaptation", round_number, model):
            totals.adaptation_steps += work.steps
            yield work, made

    def together(self, clients: Sequence[int], found: list[Row]) -> Evaluation:
        """What was measured of clients as one evaluation."""
        splits = (self.crew.federation.clients[client] for client in clients)
        sizes = [[len(part) for part in _parts(split)] for split in splits]
        return self.measuring.evaluation(clients, found, sizes)


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


def _stretches(sizes: Sequence[int], room: int) -> Iterator[slice]:
    """Neighbours whose sizes add up to ``room`` at most, or one by itself."""
    begin = total = 0
    for number, size in enumerate(sizes):
        if number > begin and total + size > room:
            yield slice(begin, number)
            begin, total = number, 0
        total += size
    yield slice(begin, len(sizes))
