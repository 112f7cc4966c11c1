"""What every partition has in common: its settings, its checks, and draws until clients suffice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from pfltune.data.dataset import Dataset
from pfltune.errors import UserError
from pfltune.plugins import Plugin, running

Clients = list[np.ndarray]
Deal = tuple[np.ndarray, np.ndarray]  # sample indices in some order, and who gets each
FEWEST = 3  # one sample each to train, to validate and to test with
MAX_DRAWS = 10_000
TRIED = 100
"""Draws after which it is asked whether more can help."""
HOPELESS = 40
"""Clients without enough, mean over draws, with which none of all draws is likely to suffice.

Who has much leaves less to the others, so that the chance of a draw in which nobody lacks any is at
most e to the minus this number.
"""


@dataclass(frozen=True)
class Dealt:
    """Who has which samples of a data set.

    Attributes:
        samples: the sample indices of each client.
        names: one per client; empty where they have none but their numbers.
        splits: uint8, the part that each sample of the data set is given for; None where nothing
            is given, or is not to be kept.
        notes: what a user should know of it, a line each.
    """

    samples: Clients
    names: tuple[str, ...] = ()
    splits: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Partition(Plugin):
    """How the samples of a data set are dealt to clients; a kind is a subclass."""

    noun = "partition"
    key = "kind"
    hooks: ClassVar[tuple[str, ...]] = ("divide",)
    within_domains: ClassVar[bool] = False
    """Whether every client's samples come from one domain."""
    keeps_given: ClassVar[bool] = False
    """Whether a given split is kept where the scenario does not say."""

    kind: str
    clients: int = Field(ge=1)

    def dealt(self, dataset: Dataset, free: np.ndarray, seed: int, keep: bool) -> Dealt:
        """The clients of a data set.

        Args:
            dataset: what is dealt.
            free: indices of its samples that a client may have, sorted.
            seed: the scenario's data seed.
            keep: whether each sample stays in the part that it is given for.

        Raises:
            UserError: as :meth:`deal`.
        """
        domains = None if dataset.domains is None else dataset.domains.numpy()[free]
        parts = self.deal(dataset.labels.numpy()[free], domains, seed)
        return Dealt([free[part] for part in parts], splits=given_split(dataset) if keep else None)

    def may_set_aside(self, dataset: Dataset) -> np.ndarray:
        """Which samples no client must have, so that a warm start may: bool (samples,)."""
        return np.ones(len(dataset.labels), dtype=bool)

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
        with running(self, seed):
            dealt = checked(self.divide(labels, domains, seed), self, len(labels))
        smallest = min(range(self.clients), key=lambda client: len(dealt[client]))
        if len(dealt[smallest]) < FEWEST:
            raise UserError(
                f"partition.kind={self.told} gives client {smallest} of {self.clients} only "
                f"{len(dealt[smallest])} of {len(labels)} samples, but each needs {FEWEST} "
                f"(train, validation, test); lower partition.clients"
            )
        return dealt

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """The sample indices of each client: whole numbers, each sample once.

        There are at least ``FEWEST`` samples for each client. Draws come from
        ``numpy.random.default_rng(seed)``, so that the same settings deal the same clients.

        Args:
            labels: int64 (samples,).
            domains: int64 (samples,), or None where the data set has none.
            seed: the scenario's data seed.
        """
        raise NotImplementedError

    @property
    def told(self) -> str:
        """Its kind as it is written, without folders."""
        return self.kind.rpartition("/")[2]

    def describe(self) -> str:
        """Kind and settings in one line."""
        settings = self.model_dump(exclude={"kind"}, exclude_none=True)
        return ", ".join([self.told, *(f"{name} {value}" for name, value in settings.items())])


def given_split(dataset: Dataset) -> np.ndarray | None:
    """The part that each sample is given for by the data set, uint8; None if nothing is given."""
    return None if dataset.splits is None else dataset.splits.numpy()


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

        Raises:
            UserError: there is none among many, or as good as certainly none.
        """
        enough(samples, clients, self.min_samples, where)
        lacking, draws = 0, 0
        while draws < MAX_DRAWS and (draws != TRIED or lacking < HOPELESS * draws):
            order, owners = draw()
            counts = np.bincount(owners, minlength=clients)
            if counts.min() >= self.min_samples:
                by_owner = order[np.argsort(owners, kind="stable")]
                return np.split(by_owner, np.cumsum(counts)[:-1])
            draws += 1
            lacking += int((counts < self.min_samples).sum())
        raise UserError(
            f"none of {draws} draws of partition.kind={self.kind} with alpha={self.alpha} "
            f"gives each of {clients} clients {self.min_samples} of {samples} samples{where}; "
            "lower clients or min_samples, or raise alpha"
        )


def checked(dealt: Sequence[np.ndarray], partition: Partition, samples: int) -> Clients:
    """What a partition dealt, if every sample goes to exactly one of its clients.

    Raises:
        UserError: it does not.
    """
    clients = [np.asarray(part, dtype=None if len(part) else np.int64) for part in dealt]
    if len(clients) != partition.clients:
        raise _misdealt(partition, f"{len(clients)} clients, not {partition.clients}")
    wrong = next((part for part in clients if part.ndim != 1 or part.dtype.kind not in "iu"), None)
    if wrong is not None:
        raise _misdealt(partition, f"{wrong.dtype} of shape {wrong.shape} to a client, not indices")
    every = np.concatenate(clients).astype(np.int64)
    if len(every) and not 0 <= every.min() <= every.max() < samples:
        outside = every.min() if every.min() < 0 else every.max()
        raise _misdealt(partition, f"sample {outside}; there are 0 to {samples - 1}")
    held = np.bincount(every, minlength=samples)
    if (held != 1).any():
        odd = int(np.flatnonzero(held != 1)[0])
        raise _misdealt(partition, f"sample {odd} to {held[odd]} clients; each belongs to one")
    return clients


def _misdealt(partition: Partition, what: str) -> UserError:
    return UserError(f"partition.kind={partition.told} deals {what}")


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
