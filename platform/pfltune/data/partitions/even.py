"""Partitions that leave the labels of all clients alike."""

from typing import Literal

import numpy as np

from pfltune.data.partitions.base import Clients, Deal, Drawn, Partition, in_order, owners_of
from pfltune.randomness import numpy_rng


class IID(Partition):
    """Equal shares of a shuffled data set."""

    kind: Literal["iid"]

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        order = numpy_rng(seed, "partition").permutation(len(labels))
        return in_order(np.array_split(order, self.clients))


class Quantity(Drawn):
    """Skewed sizes: the shares of a shuffled data set are drawn from Dirichlet(alpha, …, alpha)."""

    kind: Literal["quantity"]

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        rng = numpy_rng(seed, "partition")
        order = rng.permutation(len(labels))

        def draw() -> Deal:
            shares = rng.dirichlet(np.full(self.clients, self.alpha))
            return order, owners_of(shares, len(labels))

        return in_order(self._until_enough(draw, len(labels), self.clients))
