"""One federated trial: rounds of sampling, local training, aggregation and evaluation."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from pfltune import figures
from pfltune.data.images import Images
from pfltune.devices import moved
from pfltune.errors import Overspent, UserError, noted
from pfltune.federation.channel import Channel
from pfltune.federation.cohort import Cohort
from pfltune.federation.compute import Compute
from pfltune.federation.crew import Crew
from pfltune.federation.evaluating import Evaluator, Hear
from pfltune.federation.evaluation import Evaluation, Selection
from pfltune.federation.federation import Federation
from pfltune.federation.footprint import personal_parameters, setup_mb
from pfltune.federation.health import Health
from pfltune.federation.hindrance import Hindrance
from pfltune.federation.local import LocalTrainer
from pfltune.federation.measuring import Measuring
from pfltune.federation.memory import peak_mb, reset_peak
from pfltune.federation.meter import Totals
from pfltune.federation.operations import counts_of
from pfltune.federation.own_figures import own_figures, own_numbers
from pfltune.federation.payload import MB
from pfltune.federation.pooling import Pooled
from pfltune.federation.round_evaluation import RoundEvaluation
from pfltune.federation.selected import Selected
from pfltune.federation.setup import check_optimizer, set_up
from pfltune.federation.states import PersonalStates, whole_state
from pfltune.federation.trial_budget import Spending
from pfltune.federation.work import Fit, ServerRound
from pfltune.isolation import contained
from pfltune.method import Method, Tensors, Update
from pfltune.randomness import derive


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
        keeps: whether the clients' models of the selected round are wanted in the end.

    Attributes:
        round: the rounds that have run.
        server: the server's state.
        personal: the personal state of each client.
        trained: the clients that have trained, with the round in which each last did.
        totals: what was spent.
        selection: the best round so far.
        spending: what was spent of the trial's budget, if it has one.
        selected_server: the server's state in that round, kept for clients that are yet unseen and
            where models are wanted.
        selected: what else of that round is kept where models are wanted.

    Raises:
        UserError: the method does not fit the backbone, or the protocol not the clients.
    """

    def __init__(
        self,
        method: Method,
        federation: Federation,
        seed: int,
        compute: Compute | None = None,
        keeps: bool = False,
    ) -> None:
        self.method = method
        self.federation = federation
        self.seed = seed
        self.compute = compute or Compute()
        self.keeps = keeps
        self.device = torch.device(self.compute.device)
        self.round = 0
        self.trained: dict[int, int] = {}
        self.totals = Totals()
        self.selection = Selection(goal=federation.goal)
        self.spending = Spending()
        self.selected_server: Tensors = {}
        self.selected: Selected | None = None
        _check_sampling(federation)
        reset_peak(self.device)
        self.compute.prepare()
        with self._contained():
            self._set_up()

    def _set_up(self) -> None:
        federation = self.federation
        clients, data = len(federation.clients), federation.dataset
        model = federation.build_backbone(self.seed)
        check_optimizer(self.method, federation.protocol.optimizer)
        setup = set_up(self.method, model, clients, self.seed, self.device)
        self.roles = setup.roles
        images = Images(
            data.images.to(self.device),
            data.labels.to(self.device),
            federation.backbone.image_size,
            federation.preprocessing,
        )
        self._trainer = LocalTrainer(
            setup.model,
            self.roles,
            images,
            federation.protocol,
            self.seed,
            self.compute,
            counts_of(self.method, federation, self.compute),
        )
        self._cohort = Cohort(setup.model, self.compute.cohort)
        self._crew = Crew(self.method, federation, self._trainer, self._cohort, self.device)
        self._evaluator = Evaluator(self._crew, Measuring(federation.metrics))
        self.server = setup.server
        self.personal = PersonalStates(
            setup.first_state, clients, self.device, self.compute.state_mb
        )

    @property
    def finished(self) -> bool:
        """Whether all rounds of the protocol have run, or no other one fits into the budget."""
        return self.federation.protocol.ahead(self.round, self.spending) > 1

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

        Of a trial with a budget the last round is evaluated too. One that passed the budget is
        neither evaluated nor chosen.

        Raises:
            Diverged: a client's loss or tensors were not finite.
            Overspent: no evaluated round fits into the budget.
        """
        with self._contained(), torch.no_grad():
            return self._step()

    def _step(self) -> RoundReport:
        began, cpu_began = time.perf_counter(), time.process_time()
        self._trainer.spent = self._spent()
        self.round += 1
        before, health = Totals(**asdict(self.totals)), Health(self.device)
        told: list[list[Tensor]] = []
        clients = sorted(self.sampled_clients(self.round))  # a fixed order of summation
        evaluation = self._begun_evaluation(clients)
        channel = self._crew.channel(self.totals, self.roles.personal)
        updates = self._updates(clients, channel, health, told, evaluation)
        with noted(f"aggregation, round {self.round}"):
            server_work = ServerRound(self.seed, self.round, len(self.federation.seen))
            self.server = self.method.aggregate(self.server, updates, server_work)
        for _ in updates:  # a method may ignore uploads; the clients train all the same
            pass
        channel.see_intact(f"round {self.round}")
        loss = health.mean_loss(f"round {self.round}")
        seconds = time.perf_counter() - began - (evaluation.seconds if evaluation else 0)
        self.totals.seconds += seconds
        metrics = self.totals.since(before) | {
            figures.PEAK.name: peak_mb(self.device),
            figures.LOSS.name: loss,
            figures.ROUND_SECONDS.name: seconds,
        }
        metrics |= own_figures(self.method, told)
        is_counted = self._account()
        is_evaluated = is_counted and (self._is_due(self.round) or self.finished)
        if is_evaluated:
            metrics |= self._evaluate_round(evaluation)
        metrics |= self._told_of_budget(is_evaluated)
        if self.finished and self.federation.unseen:
            metrics |= self._meet_unseen()
        self.totals.cpu_seconds += time.process_time() - cpu_began
        metrics[figures.CPU_SECONDS.name] = self.totals.cpu_seconds
        return RoundReport(self.round, metrics)

    def sampled_clients(self, round_number: int) -> list[int]:
        """The clients that train in a round, the same for every method with this seed."""
        return self.federation.sampled_clients(round_number, self.seed)

    def evaluate(self) -> Evaluation:
        """Accuracy of every seen client with the newest download and its own personal state."""
        with self._contained(), torch.no_grad():
            return self._evaluate(Totals())

    def of_nobody(self) -> Pooled | None:
        """What the server's model of the selected round does on all clients' test samples together.

        None where the method has no such model, or nobody asks, see
        :meth:`pfltune.federation.evaluating.Evaluator.of_nobody`.
        """
        if self.selection.evaluation.pooled is None:
            return None
        with self._contained(), torch.no_grad():
            return self._evaluator.of_nobody(self.selected_server)

    def each_model(self, hear: Hear) -> None:
        """With what each client was evaluated in the selected round, to the last bit.

        Args:
            hear: told of each seen client's tensors by name, one client after the other.

        Raises:
            RuntimeError: that round is not kept.
        """
        kept = self.selected
        if kept is None or kept.round != self.selection.round:
            raise RuntimeError("the selected round is not kept")
        told = (kept.personal, kept.round, hear)
        with self._contained(), torch.no_grad():
            if kept.models is None:
                self._evaluator.each_model(self.federation.seen, self.selected_server, *told)
                return
            sampled = kept.sampled
            others = [client for client in self.federation.seen if client not in sampled]
            self._evaluator.each_model(others, kept.before, *told)
            for client in sampled:
                hear(client, kept.models[client])

    def tested(
        self, clients: Sequence[int], models: Callable[[int], Tensors], round_number: int
    ) -> Evaluation:
        """How clients do on their own samples with models that are handed in.

        Args:
            clients: some of them.
            models: the tensors of each.
            round_number: said where something is not as it must be.
        """
        with self._contained(), torch.no_grad():
            found = []
            for client in clients:
                work = self._crew.work(client, "adaptation", round_number)
                tensors = {name: moved(t, self.device) for name, t in models(client).items()}
                found.append(self._evaluator.measured(work, tensors))
            return self._evaluator.together(clients, found)

    def met(self, server: Tensors, round_number: int) -> Evaluation:
        """How unseen clients do after they have trained their personal part.

        Args:
            server: the server's state that they hear of.
            round_number: the round of it.
        """
        with self._contained(), torch.no_grad():
            there = {name: moved(tensor, self.device) for name, tensor in server.items()}
            return self._evaluator.unseen(there, self.personal, round_number)

    def model_state(self) -> Tensors:
        """All tensors of the grafted model as they were made, of which those that are frozen stay.

        They are the model's own, and not to be changed.
        """
        return dict(self._trainer.model.state_dict())

    def no_states(self) -> PersonalStates:
        """States for the same clients, of which none has any."""
        return PersonalStates(_nothing, len(self.personal), self.device, self.compute.state_mb)

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
            return {
                figures.GFLOPS.name: self._trainer.forward_flops(model, sample) / 1e9,
                figures.SHARED.name: float(_size(down)),
                figures.PERSONAL.name: float(_size(stays)),
                figures.SETUP.name: setup_mb(self.method, self.federation, self.seed),
            }

    def foreseen(self, clients: Iterable[int]) -> dict[int, Totals]:
        """What each of some clients spends if it trains in the first round.

        Nothing is trained, but by a method whose loop is its own; of seconds nothing is known.
        """
        with self._contained(), torch.no_grad():
            return {client: self._foreseen(client) for client in clients}

    def _foreseen(self, client: int) -> Totals:
        totals, work = Totals(), self._crew.work(client, "training", 1)
        channel = self._crew.channel(totals, self.roles.personal)
        work.run = Fit.foreseen
        down, update = self._crew.trained(work, self.server, self.personal[client], channel)
        channel.to_server(update, down, self.personal.of_channel(client), client, 1)
        totals.steps, totals.operations = work.steps, work.operations
        return totals

    def _contained(self) -> AbstractContextManager[None]:
        """Settings of the process are this trial's inside the block, and nobody else's after it."""
        seed = derive(self.seed, "process", self.round)
        return contained(type(self.method).__name__, self.compute.process(), seed)

    def _updates(
        self,
        clients: list[int],
        channel: Channel,
        health: Health,
        told: list[list[Tensor]],
        evaluation: RoundEvaluation | None,
    ) -> Iterator[Update]:
        """What the server receives in this round, client by client; each keeps its own part."""
        states = (self.server, self.personal)
        for cohort in self._crew.train(clients, self.round, *states, channel):
            for work, trained in cohort:
                health.add(work.losses, trained.update)
            if evaluation is not None:
                channel.see_intact(f"round {self.round}")
                health.mean_loss(f"round {self.round}")  # who has diverged is not tested
                evaluation.trained(cohort)
            while cohort:
                work, (down, update) = cohort.pop(0)
                kept = self.personal.of_channel(work.client)
                with work.named():
                    received, kept = channel.to_server(update, down, kept, work.client, work.round)
                self.personal[work.client] = whole_state(update.personal, kept)
                self.trained[work.client] = self.round
                self.totals.steps += work.steps
                self.totals.operations += work.operations
                with work.named():
                    told.append(own_numbers(self.method, update, self.device))
                yield replace(update, upload=received, personal={}, client=work.client)

    def _begun_evaluation(self, sampled: list[int]) -> RoundEvaluation | None:
        """That of this round, where clients are tested before the server has heard of them."""
        protocol = self.federation.protocol
        may_be_last = protocol.budget is not None  # which shows when the round is over
        if protocol.evaluate != "after_training" or not (self._is_due(self.round) or may_be_last):
            return None
        found = RoundEvaluation(self._evaluator, self.round, self.totals)
        if self.keeps:
            found.kept = self.no_states()
        found.others(sampled, self.server, self.personal)
        return found

    def _is_due(self, number: int) -> bool:
        return self.federation.protocol.evaluates(number)

    def _spent(self) -> float | None:
        """The share of its budget that a trial with one has spent."""
        rules = self.federation.protocol
        return None if rules.budget is None else rules.spent(self.round, self.spending)

    def _account(self) -> bool:
        """Note what this round has spent; whether the budget holds it.

        Raises:
            Overspent: it does not, and no evaluated round was within it.
        """
        rules = self.federation.protocol
        if rules.budget is None:
            return True
        self.spending = self.spending.after(self.totals.of(rules.budget.kind))
        if rules.spent(self.round, self.spending) <= 1:
            return True
        if not self.selection.round:
            needed = rules.budget.told(self.spending.spent)
            raise Overspent(
                f"no evaluated round fits into the budget of {rules.budget}: "
                f"{needed} were spent after round {self.round}"
            )
        return False

    def _told_of_budget(self, is_evaluated: bool) -> dict[str, float]:
        """How much of its budget a trial has spent, if it has one, and what would be next."""
        spent = self._spent()
        if spent is None:
            return {}
        ahead = self.federation.protocol.ahead(self.round, self.spending)
        told = {figures.SPENT.name: spent}
        return told | ({figures.AHEAD.name: ahead} if is_evaluated or ahead > 1 else {})

    def _evaluate_round(self, begun: RoundEvaluation | None) -> dict[str, float]:
        began = time.perf_counter() - (begun.seconds if begun else 0)
        evaluation = begun.ended() if begun else self._evaluate(self.totals)
        self.selection = self.selection.better(self.round, evaluation)
        if self.selection.round == self.round:
            whole = self._evaluator.measuring.together(evaluation)
            self.selection = replace(self.selection, evaluation=whole)
            self._keep_selected(begun)
        return evaluation.metrics() | {
            **self._best(),
            figures.EVALUATION_SECONDS.name: time.perf_counter() - began,
            figures.EVALUATION.name: self.totals.evaluation_down / MB,
            figures.ADAPTATION_STEPS.name: float(self.totals.adaptation_steps),
        }

    def _best(self) -> dict[str, float]:
        """The best figure so far; nothing while no client has any."""
        goal = self.federation.goal
        found = self.selection.evaluation.figure(goal)
        return {} if math.isnan(found) else {goal.best.name: found}

    def _keep_selected(self, begun: RoundEvaluation | None) -> None:
        """Keep what of this round is wanted in the end."""
        if self.federation.unseen or self.keeps or self.selection.evaluation.pooled:
            self.selected_server = {name: t.clone() for name, t in self.server.items()}
        if self.keeps:
            before, models = (begun.before, begun.kept) if begun else ({}, None)
            states = (self.personal.as_now(), dict(self.trained), before, models)
            self.selected = Selected(self.round, *states)

    def _evaluate(self, totals: Totals) -> Evaluation:
        return self._evaluator.seen(self.server, self.personal, self.round, totals)

    def _meet_unseen(self) -> dict[str, float]:
        """How clients that were never trained with fare on the server's state that was selected."""
        states = (self.selected_server, self.personal)
        evaluation = self._evaluator.unseen(*states, self.selection.round)
        return {figures.unseen(name): value for name, value in evaluation.metrics().items()}


def _check_sampling(federation: Federation) -> None:
    sampled, clients = federation.protocol.sampled_clients, len(federation.seen)
    if sampled > clients:
        raise UserError(
            f"{sampled} clients cannot be sampled of {clients}; possible: 1 to {clients}"
        )


def _nothing(_client: int) -> Tensors:
    return {}


def _size(tensors: Tensors) -> int:
    return sum(t.numel() for t in tensors.values())
