"""What every method of a comparison is given: clients, data, backbone, protocol."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from pfltune.backbones import Backbone
from pfltune.data.census import take_census
from pfltune.data.dataset import Dataset
from pfltune.data.images import Preprocessing
from pfltune.data.split import ClientSplit
from pfltune.federation.sampling import AnySampler, Sampling, Uniform
from pfltune.federation.trial_budget import Spending, TrialBudget
from pfltune.goal import Goal, goal_of
from pfltune.method import Tensors
from pfltune.metrics import Metric, measures
from pfltune.optimizers import Optimizer, Schedule
from pfltune.randomness import numpy_rng
from pfltune.ranking import Course
from pfltune.settings import Settings
from pfltune.text import count


class Rounds(Settings):
    """The rules of the rounds, the same for all methods."""

    rounds: int = Field(ge=1, description="communication rounds")
    budget: TrialBudget | None = Field(
        None,
        description="what a trial may spend, such as 200MB, 20000steps, 5PFLOP or 2h; then the "
        "rounds end only one that spends nothing of it",
    )
    sampled_clients: int = Field(ge=1, description="clients that train in each round")
    sampler: AnySampler = Field(Uniform(), description="which they are: uniform, or FILE.py:CLASS")
    local_epochs: int = Field(ge=1, description="passes over a client's training data per round")
    batch_size: int = Field(ge=1, description="samples per local step")
    optimizer: Optimizer = Field(Optimizer(), description="of local training")
    schedule: Schedule = Field(Schedule(), description="of its learning rate over rounds")
    evaluate_every: int = Field(1, ge=1, description="rounds between evaluations")
    evaluate: Literal["after_aggregation", "after_training"] = Field(
        "after_aggregation",
        description="all clients with the new aggregate; or those of the round right after their "
        "training, the others with what was there before the round",
    )
    metric: str = Field(
        "accuracy",
        description="what rounds are chosen and searches go by on validation data: accuracy, or a "
        "metric that pfltune has or the scenario names",
    )
    personalise_rounds: int = Field(
        1, ge=1, description="rounds in which an unseen client trains its personal part at the end"
    )

    def evaluates(self, round_number: int) -> bool:
        """Whether clients are evaluated after this round (counted from 1); the last one always."""
        is_last = round_number == self.rounds and self.budget is None
        return round_number % self.evaluate_every == 0 or is_last

    @property
    def told(self) -> str:
        """How long a trial is: ``15 rounds``, or ``200MB a trial``."""
        return self.told_rounds if self.budget is None else f"{self.budget} a trial"

    @property
    def told_rounds(self) -> str:
        """``15 rounds``."""
        return count(self.rounds, "round")

    def course(self, eta: int) -> Course:
        """What a trial runs through, where one of ``eta`` goes on at a rung."""
        return Course(self.rounds) if self.budget is None else Course(1.0, eta)

    @property
    def repeats(self) -> bool:
        """Whether a trial ends in the same round again, wherever it is trained."""
        return self.budget is None or self.budget.repeats

    def spent(self, round_number: int, spending: Spending) -> float:
        """What a trial has spent after a round, as a share of its budget; of its rounds without."""
        if self.budget is None or not spending.spent:
            return round_number / self.rounds
        return spending.spent / self.budget.amount

    def ahead(self, round_number: int, spending: Spending) -> float:
        """What it would have spent after another one: it is over where that is above 1."""
        if self.budget is None or not spending.spent:
            return (round_number + 1) / self.rounds
        return spending.ahead / self.budget.amount


@dataclass(frozen=True)
class Federation:
    """The data, clients, model and rules of a comparison, immutable and shared by its trials.

    Attributes:
        dataset: all samples.
        clients: the sample indices of each client.
        backbone: the architecture.
        weights: start weights for every method and seed; what they leave out is random per seed.
        protocol: rounds, sampling and local training.
        preprocessing: what happens to a batch of images.
        unseen: clients that never train with the others; see :attr:`Rounds.personalise_rounds`.
        metrics: what is computed beside accuracy, see :mod:`pfltune.metrics`.
    """

    dataset: Dataset
    clients: tuple[ClientSplit, ...]
    backbone: Backbone
    weights: Tensors | None
    protocol: Rounds
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    unseen: frozenset[int] = frozenset()
    metrics: tuple[Metric, ...] = ()

    @cached_property
    def goal(self) -> Goal:
        """What rounds are chosen and searches go by."""
        return goal_of(self.protocol.metric, measures(self.metrics))

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """The clients that train and are evaluated in the rounds."""
        return tuple(c for c in range(len(self.clients)) if c not in self.unseen)

    @cached_property
    def train_samples(self) -> dict[int, int]:
        """Numbers of training samples of the seen clients."""
        return {client: len(self.clients[client].train) for client in self.seen}

    def sampled_clients(self, round_number: int, seed: int) -> list[int]:
        """The clients that train in a round of a trial with this seed, whatever its method."""
        sampling = Sampling(
            round_number,
            self.seen,
            self.train_samples,
            self.protocol.sampled_clients,
            numpy_rng(seed, "sampling", round_number),
        )
        return self.protocol.sampler.sampled(sampling)

    @property
    def channels(self) -> int:
        """Colour channels that the model reads."""
        return self.preprocessing.channels(self.dataset.channels)

    def without_test(self) -> "Federation":
        """The same federation without test indices: a search trial cannot leak what it lacks."""
        return replace(self, clients=tuple(client.without_test() for client in self.clients))

    def partition_csv(self) -> str:
        """Who holds how much of what, see :meth:`Census.csv`."""
        return take_census(self.dataset, self.clients).csv()

    def build_backbone(self, seed: int) -> nn.Module:
        """The bare model at the start of a trial with this seed."""
        model = self.backbone.build(self.dataset.classes, self.channels, seed)
        if self.weights is not None:
            with torch.no_grad():
                model.load_state_dict({**model.state_dict(), **self.weights})
        return model
