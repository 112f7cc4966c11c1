"""Accuracy of every client, and what is reported of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from pfltune.federation.pooling import Answers, Pooled
from pfltune.figures import ACCURACY, STD, WORST, Better, Part, on
from pfltune.goal import ACCURACY as BY_ACCURACY
from pfltune.goal import Goal, mean_of
from pfltune.ties import exact_mean


@dataclass(frozen=True)
class Counts:
    """Correctly classified samples of each client, and all of them.

    Attributes:
        hits: whole numbers, one per client.
        samples: of which so many are hits; at least one.
    """

    hits: tuple[int, ...]
    samples: tuple[int, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Top-1 accuracy of each client in [0, 1]."""
        return tuple(h / n for h, n in zip(self.hits, self.samples, strict=True))

    @property
    def mean(self) -> float:
        """Of the accuracies: equal means are equal floats, whatever the clients' own are."""
        return exact_mean(self.accuracies)


@dataclass(frozen=True)
class Measured:
    """What a metric beside accuracy gave for each client; NaN where it says nothing.

    Attributes:
        name: of the metric.
        better: its direction.
        val: one value per client, on its validation samples.
        test: on its test samples; None where the trial was not given any.
    """

    name: str
    better: Better
    val: tuple[float, ...]
    test: tuple[float, ...] | None


@dataclass(frozen=True)
class Evaluation:
    """How each client classifies its own samples.

    Attributes:
        clients: their indices, in the order of the counts.
        on_val: on their validation samples.
        on_test: on their test samples; None where the trial was not given any.
        extras: what the scenario's metrics gave.
        answers: of each client to its test samples, on the device, where the scenario has metrics.
        pooled: what these are worth together; None where nobody asked yet.
    """

    clients: tuple[int, ...]
    on_val: Counts
    on_test: Counts | None
    extras: tuple[Measured, ...] = ()
    answers: tuple[Answers, ...] = field(default=(), repr=False, compare=False)
    pooled: Pooled | None = None

    @property
    def val(self) -> tuple[float, ...]:
        """Accuracy on validation samples, in the order of ``clients``."""
        return self.on_val.accuracies

    @property
    def test(self) -> tuple[float, ...] | None:
        """Accuracy on test samples."""
        return None if self.on_test is None else self.on_test.accuracies

    def figure(self, goal: Goal) -> float:
        """Mean over clients on validation samples; NaN where no client has a figure."""
        if goal.is_accuracy:
            return self.on_val.mean
        return mean_of(goal, next(each.val for each in self.extras if each.name == goal.name))

    def score(self, goal: Goal) -> float:
        """What it is worth; :attr:`Goal.nothing` where no client has a figure."""
        mean = self.figure(goal)
        return goal.nothing if math.isnan(mean) else goal.score(mean)

    def metrics(self) -> dict[str, float]:
        """Mean, standard deviation and worst decile over clients, for each part."""
        told = _named("val", summary(self.val))
        if self.test is not None:
            told |= _named("test", summary(self.test))
        for each in self.extras:
            told |= _named("val", over_clients(each.name, each.val, each.better))
            told |= _named("test", over_clients(each.name, each.test or (), each.better))
        return told


@dataclass(frozen=True)
class Selection:
    """The round with the best mean validation figure so far, the earliest among equals.

    Attributes:
        round: its number, counted from 1; 0 before the first evaluation.
        evaluation: of all clients in that round.
        goal: which figure that is.
    """

    round: int = 0
    evaluation: Evaluation = field(
        default_factory=lambda: Evaluation((0,), Counts((0,), (1,)), None)
    )
    goal: Goal = BY_ACCURACY

    @property
    def accuracy(self) -> float:
        """Its mean validation accuracy over clients."""
        return self.evaluation.on_val.mean

    @property
    def score(self) -> float:
        """What a search maximises."""
        return self.evaluation.score(self.goal) if self.round else self.goal.nothing

    def better(self, round_number: int, evaluation: Evaluation) -> "Selection":
        """This selection, or the new round if it is strictly better."""
        if self.round and evaluation.score(self.goal) <= self.score:
            return self
        return Selection(round_number, evaluation, self.goal)


def summary(accuracies: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and worst decile of accuracies, see :func:`over_clients`."""
    return over_clients(ACCURACY.name, accuracies, ACCURACY.better, exact_mean)


def over_clients(
    name: str,
    values: Iterable[float],
    better: Better,
    mean: Callable[[Sequence[float]], float] = fmean,
) -> dict[str, float]:
    """Mean, standard deviation and worst decile over the clients that have a value.

    The standard deviation is the population's (all clients are there). The worst decile is the mean
    of the worst tenth of the clients, rounded up to whole clients; without a direction there is
    none. Where no client has a value there is nothing at all.
    """
    ordered = sorted((v for v in values if not math.isnan(v)), reverse=better == "low")
    if not ordered:
        return {}
    worst = ordered[: math.ceil(len(ordered) / 10)]
    told = {name: mean(ordered), name + STD: float(np.std(ordered))}
    return told | ({name + WORST: mean(worst)} if better else {})


def _named(part: Part, told: dict[str, float]) -> dict[str, float]:
    return {on(part, name): value for name, value in told.items()}
