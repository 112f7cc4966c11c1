"""Clients of different sizes."""

import numpy as np

from pfltune import Partition


class Growing(Partition):
    """Each client has one share more than the one before it; labels are alike."""

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> list[np.ndarray]:
        """Shares 1, 2, 3, … of the shuffled samples."""
        order = np.random.default_rng(seed).permutation(len(labels))
        shares = np.cumsum(np.arange(1, self.clients + 1))
        return np.split(order, (shares[:-1] * len(labels)) // shares[-1])
