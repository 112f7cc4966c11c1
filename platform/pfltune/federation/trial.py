"""One federated trial: rounds of sampling, local training, aggregation and evaluation."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pfltune.data.images import Images
from pfltune.data.split import ClientSplit
from pfltune.devices import moved
from pfltune.errors import Diverged, UserError, noted
from pfltune.federation.cohort import Cohort
from pfltune.federation.compute import Compute
from pfltune.federation.evaluation import Counts, Evaluation, Selection
from pfltune.federation.federation import Federation
from pfltune.federation.footprint import personal_parameters, sent_once
from pfltune.federation.hindrance import Hindrance
from pfltune.federation.local import LocalTrainer
from pfltune.federation.memory import peak_mb, reset_peak
from pfltune.federation.payload import MB, payload_bytes
from pfltune.federation.setup import set_up
from pfltune.federation.states import PersonalStates
from pfltune.federation.work import ClientWork
from pfltune.isolation import contained
from pfltune.method import Method, Tensors, Update
from pfltune.randomness import derive, numpy_rng


@dataclass
class Totals:
    """What was spent since the first round: bytes of payloads, local steps and seconds.

    ``seconds`` are those of local training and aggregation; ``cpu_seconds`` those that the process
    computed for them and for evaluations, on all its threads together.
    """

    up: int = 0
    down: int = 0
    evaluation_down: int = 0
    steps: int = 0
    adaptation_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class RoundReport:
    """What a round has to say.

    Attributes:
        round: number of the round, counted from 1.
        metrics: named figures; accuracies only in rounds that are evaluated.
    """

    round: int
    metrics: dict[str, float]


class FederatedTrial:
    """A method on a federation with one seed, advanced round by round.

    Everything random depends on (seed, purpose, round, client), so two trials with the same
    arguments give the same figures to the last bit, in whatever process they run and however often
    they are interrupted (on one kind of machine, with one number of threads).

    Args:
        method: the method with its hyperparameters.
        federation: clients, data and rules; without test indices no test accuracy is computed.
        seed: seed of initialisation, sampling and data order.
        compute: device, precision, clients at once; by default the CPU in float32, one by one.

    Attributes:
        round: the rounds that have run.
        server: the server's state.
        personal: the personal state of each client.
        trained: the clients that have trained, with the round in which each last did.
        totals: what was spent.
        selection: the best round so far.
        selected_server: the server's state in that round, kept for clients that are yet unseen.

    Raises:
        UserError: the method does not fit the backbone, or the protocol not the clients.
    """

    def __init__(
        self, method: Method, federation: Federation, seed: int, compute: Compute | None = None
    ) -> None:
        self.method = method
        self.federation = federation
        self.seed = seed
        self.compute = compute or Compute()
        self.device = torch.device(self.compute.device)
        self.round = 0
        self.trained: dict[int, int] = {}
        self.totals = Totals()
        self.selection = Selection()
        self.selected_server: Tensors = {}
        _check_sampling(federation)
        reset_peak(self.device)
        self.compute.prepare()
        with self._contained():
            self._set_up()

    def _set_up(self) -> None:
        federation = self.federation
        clients, data = len(federation.clients), federation.dataset
        model = federation.build_backbone(self.seed)
        setup = set_up(self.method, model, clients, self.seed, self.device)
        self.roles = setup.roles
        images = Images(
            data.images.to(self.device),
            data.labels.to(self.device),
            federation.backbone.image_size,
            federation.preprocessing,
        )
        self._trainer = LocalTrainer(
            setup.model, self.roles, images, federation.protocol, self.seed, self.compute
        )
        self._cohort = Cohort(setup.model, self.compute.cohort)
        self.server = setup.server
        self.personal = PersonalStates(
            setup.first_state, clients, self.device, self.compute.state_mb
        )

    @property
    def finished(self) -> bool:
        """Whether all rounds of the protocol have run."""
        return self.round >= self.federation.protocol.rounds

    @property
    def hindrances(self) -> list[Hindrance]:
        """Why clients that were to train at once did not; see :attr:`Compute.cohort`."""
        return self._cohort.hindrances

    def run(self) -> Iterator[RoundReport]:
        """The remaining rounds, one report each."""
        while not self.finished:
            yield self.step()

    def step(self) -> RoundReport:
        """One round: sample, send, train, collect, aggregate; evaluate where the protocol says.

        Raises:
            Diverged: a client's loss or tensors were not finite.
        """
        with self._contained(), torch.no_grad():
            return self._step()

    def _step(self) -> RoundReport:
        began, cpu_began = time.perf_counter(), time.process_time()
        self.round += 1
        before = Totals(**asdict(self.totals))
        losses: list[Tensor] = []
        magnitudes: list[Tensor] = []
        updates = self._train(self.sampled_clients(self.round), losses, magnitudes)
        with noted(f"aggregation, round {self.round}"):
            self.server = self.method.aggregate(self.server, updates)
        for _ in updates:  # a method may ignore uploads; the clients train all the same
            pass
        loss, magnitude = _brought_over([self._mean(losses), self._mean(magnitudes)])
        if not np.isfinite(loss):
            raise Diverged(f"the training loss was {loss} in round {self.round}")
        if not np.isfinite(magnitude):
            raise Diverged(f"a client's tensors were not finite after round {self.round}")
        seconds = time.perf_counter() - began
        self.totals.seconds += seconds
        metrics = self._spent(before) | {"train/loss": loss, "time/round_s": seconds}
        if self.federation.protocol.evaluates(self.round):
            metrics |= self._evaluate_round()
        if self.finished and self.federation.unseen:
            metrics |= self._meet_unseen()
        self.totals.cpu_seconds += time.process_time() - cpu_began
        metrics["time/cpu_s"] = self.totals.cpu_seconds
        return RoundReport(self.round, metrics)

    def sampled_clients(self, round_number: int) -> list[int]:
        """The clients that train in a round, the same for every method with this seed."""
        rng = numpy_rng(self.seed, "sampling", round_number)
        count = self.federation.protocol.sampled_clients
        return sorted(rng.choice(self.federation.seen, count, replace=False).tolist())

    def evaluate(self) -> Evaluation:
        """Accuracy of every seen client with the newest download and its own personal state."""
        with self._contained(), torch.no_grad():
            return self._evaluate(Totals())

    def footprint(self) -> dict[str, float]:
        """What travels, stays and is computed.

        Parameters by role, one-time broadcast in MB, and 10^9 floating-point operations with which
        a client classifies one image.
        """
        with self._contained(), torch.no_grad():
            down, personal = self.method.download(self.server, 0), self.personal[0]
            model = self.method.assemble(down, personal)
            stays = personal_parameters(self.method, self.roles, down, personal)
            sample = moved(self.federation.clients[0].train[:1], self.device)
            bare = (self.method, self.federation, self.seed, self._trainer.model, self.roles)
            return {
                "compute/gflops": self._trainer.forward_flops(model, sample) / 1e9,
                "params/shared": float(_size(down)),
                "params/personal": float(_size(stays)),
                "comm/setup_mb": payload_bytes(sent_once(*bare)) * len(self.personal) / MB,
            }

    def _contained(self) -> AbstractContextManager[None]:
        """Settings of the process are this trial's inside the block, and nobody else's after it."""
        seed = derive(self.seed, "process", self.round)
        return contained(type(self.method).__name__, self.compute.process(), seed)

    def _train(
        self, cohort: list[int], losses: list[Tensor], magnitudes: list[Tensor]
    ) -> Iterator[Update]:
        for clients in self._at_once(sorted(cohort)):  # a fixed order of summation
            works = [self._work(client) for client in clients]
            downs = {client: self.method.download(self.server, client) for client in clients}
            updates = self._cohort.run(works, partial(self._trained, downs))
            while updates:
                work, update = works.pop(0), updates.pop(0)
                stays = set(self.roles.personal) & set(update.upload)
                if stays:
                    raise RuntimeError(f"the method uploads personal tensors: {sorted(stays)}")
                self.personal[work.client] = update.personal
                self.trained[work.client] = self.round
                self.totals.down += payload_bytes(downs[work.client])
                self.totals.up += payload_bytes(update.upload)
                self.totals.steps += work.steps
                losses += work.losses
                magnitudes += _magnitude(update.upload) + _magnitude(update.personal)
                yield Update(update.upload, {}, update.weight, work.client)

    def _trained(self, downs: dict[int, Tensors], work: ClientWork) -> Update:
        with work.named():
            return self.method.train(work, downs[work.client], self.personal[work.client])

    def _at_once(self, clients: Sequence[int]) -> Iterator[Sequence[int]]:
        """The clients in cohorts, whose size may shrink on the way."""
        while clients:
            size = self._cohort.size
            yield clients[:size]
            clients = clients[size:]

    def _work(
        self, client: int, purpose: str = "training", number: int | None = None
    ) -> ClientWork:
        indices = moved(self.federation.clients[client].train, self.device)
        number = self.round if number is None else number
        return ClientWork(self._trainer, purpose, number, client, indices)

    def _evaluate_round(self) -> dict[str, float]:
        began = time.perf_counter()
        evaluation = self._evaluate(self.totals)
        self.selection = self.selection.better(self.round, evaluation)
        if self.federation.unseen and self.selection.round == self.round:
            self.selected_server = {name: t.clone() for name, t in self.server.items()}
        return evaluation.metrics() | {
            "val/best_accuracy": self.selection.accuracy,
            "time/evaluation_s": time.perf_counter() - began,
            "comm/evaluation_mb": self.totals.evaluation_down / MB,
            "train/adaptation_steps": float(self.totals.adaptation_steps),
        }

    def _evaluate(self, meter: Totals) -> Evaluation:
        found = []
        for clients in self._at_once(self.federation.seen):
            works = [self._work(client, "adaptation") for client in clients]
            models = self._cohort.run(
                works,
                lambda work: self._model(work, self.server, self.personal[work.client], meter),
            )
            found += [self._hits(c, m) for c, m in zip(clients, models, strict=True)]
        return self._together(self.federation.seen, found)

    def _meet_unseen(self) -> dict[str, float]:
        """Let every unseen client train its personal part, drop what it would upload, evaluate.

        All this on the server's state of the selected round, as the others' figures are.
        """
        found, server, number = [], self.selected_server, self.selection.round
        unseen = sorted(self.federation.unseen)
        for client in unseen:
            personal = self.personal[client]
            for time_ in range(self.federation.protocol.personalise_rounds):
                work = self._work(client, f"personalisation/{time_}", number)
                with work.named():
                    down = self.method.download(server, client)
                    personal = self.method.train(work, down, personal).personal
            work = self._work(client, "adaptation", number)
            found.append(self._hits(client, self._model(work, server, personal, Totals())))
        return {f"unseen/{n}": v for n, v in self._together(unseen, found).metrics().items()}

    def _model(
        self, work: ClientWork, server: Tensors, personal: Tensors, meter: Totals
    ) -> Tensors:
        """What the client predicts with, adapted to its training data where the method says so."""
        with work.named():
            down = self.method.download(server, work.client)
            meter.evaluation_down += payload_bytes(down)
            tensors = self.method.assemble(down, personal)
            phases = self.method.adapt()
            if phases:
                tensors = work.fit(tensors, phases)
                meter.adaptation_steps += work.steps
        return tensors

    def _hits(self, client: int, tensors: Tensors) -> Tensor:
        """Hits in each part that the trial was given, validation first, on the device."""
        parts = _parts(self.federation.clients[client])
        hits = self._trainer.correct(tensors, moved(torch.cat(parts), self.device))
        return torch.stack([piece.sum() for piece in hits.split([len(part) for part in parts])])

    def _together(self, clients: Sequence[int], hits: list[Tensor]) -> Evaluation:
        """Per-client hits as one evaluation, brought over from the device at once."""
        sizes = [[len(p) for p in _parts(self.federation.clients[client])] for client in clients]
        columns = zip(zip(*_brought_over(hits), strict=True), zip(*sizes, strict=True), strict=True)
        val, *test = (Counts(found, samples) for found, samples in columns)
        return Evaluation(tuple(clients), val, test[0] if test else None)

    def _mean(self, values: list[Tensor]) -> Tensor:
        """In float64, so that finite numbers have a finite mean; of nothing it is 0."""
        nothing = torch.zeros((), dtype=torch.float64, device=self.device)
        return torch.stack(values).double().mean() if values else nothing

    def _spent(self, before: Totals) -> dict[str, float]:
        now = self.totals
        return {
            "comm/up_mb": (now.up - before.up) / MB,
            "comm/down_mb": (now.down - before.down) / MB,
            "comm/total_mb": (now.up + now.down) / MB,
            "train/steps": float(now.steps),
            "time/total_s": now.seconds,
            "memory/peak_mb": peak_mb(self.device),
        }


def _check_sampling(federation: Federation) -> None:
    sampled, clients = federation.protocol.sampled_clients, len(federation.seen)
    if sampled > clients:
        raise UserError(
            f"{sampled} clients cannot be sampled of {clients}; possible: 1 to {clients}"
        )


def _parts(split: ClientSplit) -> list[Tensor]:
    """The samples on which a client is evaluated."""
    return [split.val] if split.test is None else [split.val, split.test]


def _brought_over(values: list[Tensor]) -> Any:
    """Numbers of one shape as lists; the only place at which the CPU waits for the device."""
    return torch.stack(values).tolist()


def _magnitude(tensors: Tensors) -> list[Tensor]:
    """The sum of the tensors' norms in a list, or nothing; not finite if one of them is not."""
    floats = [t for t in tensors.values() if t.is_floating_point()]
    return [torch.stack(torch._foreach_norm(floats)).sum()] if floats else []


def _size(tensors: Tensors) -> int:
    return sum(t.numel() for t in tensors.values())
