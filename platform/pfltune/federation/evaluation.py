"""Accuracy of every client, and what is reported of it."""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Evaluation:
    """Top-1 accuracy of each client in [0, 1], in the order of their indices.

    Attributes:
        val: on the clients' validation samples.
        test: on their test samples; None where the trial was not given any.
    """

    val: tuple[float, ...]
    test: tuple[float, ...] | None

    def metrics(self) -> dict[str, float]:
        """Mean, standard deviation and worst decile over clients, for each part."""
        parts = {"val": self.val} | ({"test": self.test} if self.test is not None else {})
        return {
            f"{part}/{name}": value
            for part, accuracies in parts.items()
            for name, value in summary(accuracies).items()
        }


@dataclass(frozen=True)
class Selection:
    """The round with the best mean validation accuracy so far, the earliest among equals.

    Attributes:
        round: its number, counted from 1; 0 before the first evaluation.
        evaluation: the accuracies of all clients in that round.
    """

    round: int = 0
    evaluation: Evaluation = field(default_factory=lambda: Evaluation((0.0,), None))

    @property
    def accuracy(self) -> float:
        """Its mean validation accuracy over clients."""
        return float(np.mean(self.evaluation.val))

    def better(self, round_number: int, evaluation: Evaluation) -> "Selection":
        """This selection, or the new round if it is strictly better."""
        if self.round and np.mean(evaluation.val) <= self.accuracy:
            return self
        return Selection(round_number, evaluation)


def summary(accuracies: tuple[float, ...]) -> dict[str, float]:
    """Mean, standard deviation and worst decile of accuracies over clients.

    The standard deviation is the population's (all clients are there). The worst decile is
    the mean of the lowest tenth of the clients, rounded up to whole clients.
    """
    ordered = np.sort(np.asarray(accuracies, dtype=np.float64))
    return {
        "accuracy": float(ordered.mean()),
        "accuracy_std": float(ordered.std()),
        "accuracy_worst_decile": float(ordered[: math.ceil(len(ordered) / 10)].mean()),
    }
