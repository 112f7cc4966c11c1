"""Dealing the samples of a data set to clients."""

from collections.abc import Callable

import numpy as np

from pfltune.errors import UserError

Clients = list[np.ndarray]
MAX_DRAWS = 10_000


def iid(labels: np.ndarray, clients: int, rng: np.random.Generator, **_: float) -> Clients:
    """Equal shares of a shuffled data set."""
    return [np.sort(part) for part in np.array_split(rng.permutation(len(labels)), clients)]


def dirichlet(
    labels: np.ndarray, clients: int, rng: np.random.Generator, *, alpha: float, min_samples: int
) -> Clients:
    """Skewed labels: each class is divided by proportions drawn from Dirichlet(alpha, …, alpha).

    Small ``alpha`` gives each client few classes. The draw is repeated until every client has at
    least ``min_samples`` (Hsu et al. 2019, arXiv 1909.06335, with the usual minimum size).
    """
    for _ in range(MAX_DRAWS):
        parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(clients, alpha))
            cuts = (np.cumsum(shares)[:-1] * len(members)).astype(int)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        dealt = [np.sort(np.concatenate(part)) for part in parts]
        if min(map(len, dealt)) >= min_samples:
            return dealt
    raise UserError(
        f"no Dirichlet partition with alpha={alpha} gives each of {clients} clients "
        f"{min_samples} of {len(labels)} samples; lower clients or min_samples, or raise alpha"
    )


PARTITIONS: dict[str, Callable[..., Clients]] = {"iid": iid, "dirichlet": dirichlet}
