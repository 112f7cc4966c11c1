"""Partitions that skew the labels of clients."""

from typing import Literal

import numpy as np
from pydantic import Field

from pfltune.data.partitions.base import (
    MAX_DRAWS,
    Clients,
    Deal,
    Drawn,
    Partition,
    enough,
    in_order,
    owners_of,
)
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng

LOST = 2.0**-50
"""A share that may vanish beside 1 when shares are added up."""
UNLIKELY = 1e-6


class Dirichlet(Drawn):
    """Skewed labels: each class is divided by proportions drawn from Dirichlet(alpha, …, alpha).

    Small ``alpha`` gives each client few classes (Hsu et al. 2019, arXiv 1909.06335, with the usual
    minimum size).
    """

    kind: Literal["dirichlet"]

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        classes, rng = members(labels), numpy_rng(seed, "partition")
        check_room(self, classes, self.clients)
        dealt = self._until_enough(
            lambda: divide_classes(classes, self.clients, self.alpha, rng),
            len(labels),
            self.clients,
        )
        return in_order(dealt)


class Classes(Partition):
    """A number of classes per client, disjoint where there are enough (pFedPG, arXiv 2308.15367).

    It is drawn who has which. If there are fewer classes than clients × classes_per_client, every
    class belongs to equally many clients, give or take one, and they share its samples equally.
    """

    kind: Literal["classes"]
    classes_per_client: int = Field(ge=1)

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        classes, rng = members(labels), numpy_rng(seed, "partition")
        self._check(len(classes))
        holders = self._holders(len(classes), rng)
        parts: list[list[np.ndarray]] = [[] for _ in range(self.clients)]
        for its_members, clients in zip(classes, holders, strict=True):
            if len(its_members) < len(clients):
                raise UserError(
                    f"class {labels[its_members[0]]} has {len(its_members)} samples for the "
                    f"{len(clients)} clients that share it; lower partition.clients or "
                    "partition.classes_per_client"
                )
            pieces = np.array_split(rng.permutation(its_members), len(clients))
            for client, piece in zip(clients, pieces, strict=True):
                parts[client].append(piece)
        return in_order([np.concatenate(part) for part in parts])

    def _check(self, classes: int) -> None:
        fewest = -(-classes // self.clients)
        if not fewest <= self.classes_per_client <= classes:
            raise UserError(
                f"partition.classes_per_client={self.classes_per_client} is not possible: "
                f"{self.clients} clients must hold all of {classes} classes; "
                f"possible: {fewest} to {classes}"
            )

    def _holders(self, classes: int, rng: np.random.Generator) -> list[list[int]]:
        """The clients of each class: a client takes the least taken ones, in random order."""
        holders: list[list[int]] = [[] for _ in range(classes)]
        for client in range(self.clients):
            order = sorted(rng.permutation(classes), key=lambda label: len(holders[label]))
            for label in order[: self.classes_per_client]:
                holders[label].append(client)
        return holders


class Shards(Partition):
    """Shards of the samples sorted by label, dealt at random (McMahan 2017, arXiv 1602.05629)."""

    kind: Literal["shards"]
    shards_per_client: int = Field(2, ge=1, description="pieces of equal size")

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        shards = self.clients * self.shards_per_client
        if shards > len(labels):
            raise UserError(
                f"partition.shards_per_client={self.shards_per_client} for {self.clients} clients "
                f"makes {shards} shards of {len(labels)} samples; "
                f"possible: 1 to {len(labels) // self.clients}"
            )
        rng = numpy_rng(seed, "partition")
        order = rng.permutation(len(labels))
        pieces = np.array_split(order[np.argsort(labels[order], kind="stable")], shards)
        hands = rng.permutation(shards).reshape(self.clients, self.shards_per_client)
        return in_order([np.concatenate([pieces[shard] for shard in hand]) for hand in hands])


def members(labels: np.ndarray) -> list[np.ndarray]:
    """The sample indices of each class that there is, in order of the labels."""
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def check_room(partition: Drawn, classes: list[np.ndarray], clients: int, where: str = "") -> None:
    """Refuse classes that are too small to be divided, before 10,000 draws have shown it.

    Cut below, a class of n samples gives all clients but the last n - 1 of them at most, unless the
    last one's share is so small that it is lost in rounding.

    Raises:
        UserError: that none of the draws suffices is as good as certain.
    """
    from scipy.stats import beta, binom

    samples = sum(map(len, classes))
    enough(samples, clients, partition.min_samples, where)
    missing = (clients - 1) * partition.min_samples - (samples - len(classes))
    if missing <= 0:
        return
    lost = beta.cdf(LOST, partition.alpha, (clients - 1) * partition.alpha)
    if MAX_DRAWS * binom.sf(missing - 1, len(classes), lost) < UNLIKELY:
        raise UserError(
            f"no draw of partition.kind={partition.kind} with alpha={partition.alpha} gives each "
            f"of {clients} clients {partition.min_samples} samples{where}: {len(classes)} classes "
            f"with {samples} samples are too small to be divided; lower clients or min_samples, "
            "or choose partition.kind=iid or shards"
        )


def divide_classes(
    classes: list[np.ndarray], clients: int, alpha: float, rng: np.random.Generator
) -> Deal:
    """Each class divided by proportions drawn from Dirichlet(alpha, …, alpha).

    Args:
        classes: the sample indices of each class.
        clients: number of clients.
        alpha: concentration; smaller is more skewed.
        rng: of all classes.
    """
    order, owners = [], []
    for its_members in classes:
        order.append(rng.permutation(its_members))
        owners.append(owners_of(rng.dirichlet(np.full(clients, alpha)), len(its_members)))
    return np.concatenate(order), np.concatenate(owners)
