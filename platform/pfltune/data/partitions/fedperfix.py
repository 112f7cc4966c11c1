"""The Dirichlet split of FedPerfix's public scripts: the same clients from the same seed."""

from typing import Literal

import numpy as np
from pydantic import Field

from pfltune.data.partitions.base import FEWEST, Clients, Deal, Drawn, owners_of
from pfltune.errors import UserError


class FedPerfixDirichlet(Drawn):
    """Skewed labels and bounded sizes: who has an equal share already gets no more (2308.09160).

    The public scripts draw from numpy's global generator, seeded with 1; ``data_seed`` is that
    seed. Their samples are training, then test images. ``min_samples`` is their batch size 64
    divided by their test share 0.25.
    """

    kind: Literal["dirichlet-fedperfix"]
    min_samples: int = Field(256, ge=FEWEST, description="fewest samples of a client")

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        if seed >= 2**32:
            raise UserError(
                f"data_seed={seed} is too large for partition.kind={self.kind}; "
                f"possible: 0 to {2**32 - 1}"
            )
        rng = np.random.RandomState(seed)
        classes = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        return self._until_enough(
            lambda: self._draw(classes, len(labels), rng), len(labels), self.clients
        )

    def _draw(self, classes: list[np.ndarray], samples: int, rng: np.random.RandomState) -> Deal:
        order, owners = [], []
        held = np.zeros(self.clients, dtype=int)
        for its_members in classes:
            shuffled = its_members.copy()
            rng.shuffle(shuffled)
            shares = rng.dirichlet(np.full(self.clients, self.alpha))
            shares *= held < samples / self.clients
            order.append(shuffled)
            owners.append(self._owners(shares, len(shuffled)))
            held += np.bincount(owners[-1], minlength=self.clients)
        return np.concatenate(order), np.concatenate(owners)

    def _owners(self, shares: np.ndarray, samples: int) -> np.ndarray:
        total = shares.sum()
        if total > 0:
            return owners_of(shares / total, samples)
        # A tiny alpha underflows to 0 / 0 in the scripts, and the last client gets the class.
        return np.full(samples, self.clients - 1)
