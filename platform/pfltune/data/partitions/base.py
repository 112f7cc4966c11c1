"""What every partition has in common: its settings, its checks, and draws until clients suffice."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from pfltune.errors import UserError
from pfltune.settings import Settings

Clients = list[np.ndarray]
Deal = tuple[np.ndarray, np.ndarray]  # sample indices in some order, and who gets each
FEWEST = 3  # one sample each to train, to validate and to test with
MAX_DRAWS = 10_000


class Partition(Settings, ABC):
    """How the samples of a data set are dealt to clients; a kind is a subclass."""

    within_domains: ClassVar[bool] = False
    """Whether every client's samples come from one domain."""

    kind: str
    clients: int = Field(ge=1)

    def deal(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """The sample indices of each client; every sample goes to exactly one.

        Args:
            labels: int64 (samples,).
            domains: int64 (samples,), or None where the data set has none.
            seed: the scenario's data seed.

        Raises:
            UserError: there are too few samples, classes or domains, or no draw suffices.
        """
        enough(len(labels), self.clients, FEWEST)
        dealt = self._dealt(labels, domains, seed)
        smallest = min(range(self.clients), key=lambda client: len(dealt[client]))
        if len(dealt[smallest]) < FEWEST:
            raise UserError(
                f"partition.kind={self.kind} gives client {smallest} of {self.clients} only "
                f"{len(dealt[smallest])} of {len(labels)} samples, but each needs {FEWEST} "
                f"(train, validation, test); lower partition.clients"
            )
        return dealt

    @abstractmethod
    def _dealt(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """The clients of this kind; there are at least ``FEWEST`` samples for each."""

    def describe(self) -> str:
        """Kind and settings in one line."""
        settings = self.model_dump(exclude={"kind"})
        return ", ".join([self.kind, *(f"{name} {value}" for name, value in settings.items())])


class Drawn(Partition):
    """A partition by Dirichlet proportions, drawn again until every client has enough."""

    alpha: float = Field(gt=0, description="smaller is more skewed")
    min_samples: int = Field(10, ge=FEWEST, description="fewest samples of a client")

    def _until_enough(
        self, draw: Callable[[], Deal], samples: int, clients: int, where: str = ""
    ) -> Clients:
        """The first draw that gives each of ``clients`` at least ``min_samples`` of ``samples``.

        ``where`` tells in an error which samples these are. A client's indices have the order of
        the draw.
        """
        enough(samples, clients, self.min_samples, where)
        for _ in range(MAX_DRAWS):
            order, owners = draw()
            counts = np.bincount(owners, minlength=clients)
            if counts.min() >= self.min_samples:
                by_owner = order[np.argsort(owners, kind="stable")]
                return np.split(by_owner, np.cumsum(counts)[:-1])
        raise UserError(
            f"none of {MAX_DRAWS} draws of partition.kind={self.kind} with alpha={self.alpha} "
            f"gives each of {clients} clients {self.min_samples} of {samples} samples{where}; "
            "lower clients or min_samples, or raise alpha"
        )


def enough(samples: int, clients: int, each: int, where: str = "") -> None:
    """Refuse to deal to ``clients`` what does not give ``each`` so many samples.

    Raises:
        UserError: with what is possible.
    """
    if samples >= clients * each:
        return
    if samples < FEWEST:
        raise UserError(
            f"there are {samples} samples{where}, and a client needs {FEWEST} (train, validation, "
            "test); " + ("leave it out by data.domains" if where else "choose other data")
        )
    possible = [f"up to {samples // each} clients"] if samples >= each else []
    if samples >= clients * FEWEST:
        possible.append(f"min_samples up to {samples // clients}")
    raise UserError(
        f"{clients} clients cannot have {each} of {samples} samples{where} each; possible: "
        + (" or ".join(possible) or f"up to {samples // FEWEST} clients of {FEWEST}")
    )


def owners_of(shares: np.ndarray, samples: int) -> np.ndarray:
    """Who gets each of ``samples`` in a row: pieces by ``shares``, which add up to 1, cut below."""
    cuts = (np.cumsum(shares)[:-1] * samples).astype(int)
    return np.repeat(np.arange(len(shares)), np.diff(cuts, prepend=0, append=samples))


def in_order(clients: Clients) -> Clients:
    """The same with the indices of each client sorted."""
    return [np.sort(indices) for indices in clients]
