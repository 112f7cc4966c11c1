"""Clients that are given and not drawn: the data set's own, or somebody's assignment in a file."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from pfltune.data.columns import NOBODY, NOT_GIVEN, PARTS, TEST, VAL
from pfltune.data.dataset import Dataset
from pfltune.data.names import in_natural_order, some_of
from pfltune.data.partitions.base import FEWEST, Clients, Dealt, Partition, given_split
from pfltune.data.split import lacking_parts, suffices
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng
from pfltune.text import count


@dataclass(frozen=True)
class Owners:
    """Whose each sample of a data set is.

    Attributes:
        names: one per client, in natural order.
        clients: int64 (samples,), the number of each sample's client, or ``NOBODY``.
        splits: uint8 (samples,), the part that each is given for; None if nothing is given.
        notes: what was not read, a line each.
    """

    names: tuple[str, ...]
    clients: np.ndarray
    splits: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Given(Partition):
    """A partition that somebody else has made; a kind says where it stands.

    What a data set or a file gives is kept: who has which samples, and for which part. A client
    with too few is left out, so that one of two images does not stop all others.
    """

    hooks = ()  # nothing is divided
    keeps_given = True
    clients: int | None = Field(  # type: ignore[assignment]  # read from the data where it is None
        None, ge=1, description="so many of them, drawn by data_seed; all unless it is given"
    )
    min_samples: int = Field(
        FEWEST, ge=FEWEST, description="fewest samples of a client; those with fewer are left out"
    )

    @abstractmethod
    def owners(self, dataset: Dataset) -> Owners:
        """Whose each sample is.

        Raises:
            UserError: nobody says, or not of this data set.
        """

    def dealt(self, dataset: Dataset, free: np.ndarray, seed: int, keep: bool) -> Dealt:
        """See :meth:`Partition.dealt`."""
        said = self.owners(dataset)
        clients = np.full_like(said.clients, NOBODY)
        clients[free] = said.clients[free]
        splits = said.splits if keep else None
        samples = _of_each(clients, len(said.names))
        large = [c for c, own in enumerate(samples) if len(own) >= self.min_samples]
        fit = [c for c in large if splits is None or suffices(splits[samples[c]])]
        chosen = self._chosen(samples, large, fit, seed)
        names = tuple(said.names[client] for client in chosen)
        notes = (
            *said.notes,
            *self._left_out(said, samples, large, fit),
            *self._drawn(chosen, fit),
            *nobodys(clients[free]),
        )
        numbered = names == tuple(map(str, range(len(names))))
        return Dealt([samples[c] for c in chosen], () if numbered else names, splits, notes)

    def _chosen(self, samples: Clients, large: list[int], fit: list[int], seed: int) -> list[int]:
        """The numbers of the clients that take part, of those whose samples suffice."""
        if not fit:
            raise self._nobody_left(samples, large)
        if self.clients is None or self.clients == len(fit):
            return fit
        if self.clients > len(fit):
            raise UserError(
                f"partition.clients={self.clients}, but there are {len(fit)} clients whose samples "
                f"suffice (partition.min_samples={self.min_samples}); possible: 1 to {len(fit)}"
            )
        drawn = numpy_rng(seed, "partition").choice(fit, self.clients, replace=False)
        return sorted(drawn.tolist())

    def _nobody_left(self, samples: Clients, large: list[int]) -> UserError:
        if large:
            return UserError(
                f"partition.kind={self.told}: no client is given enough samples to train with "
                "beside those for validation and for tests; split.keep_given=false divides each "
                "client's samples by split.val and split.test"
            )
        most = max(map(len, samples), default=0)
        instead = (
            f"possible: partition.min_samples up to {most}"
            if most >= FEWEST
            else f"each needs {FEWEST} (train, validation, test): choose another partition.kind"
        )
        return UserError(
            f"partition.kind={self.told}: none of {count(len(samples), 'client')} has "
            f"{self.min_samples} samples, the largest has {most}; {instead}"
        )

    def _left_out(
        self, said: Owners, samples: Clients, large: list[int], fit: list[int]
    ) -> Iterator[str]:
        there = [client for client, own in enumerate(samples) if len(own)]
        if without := len(samples) - len(there):
            empty = [said.names[client] for client, own in enumerate(samples) if not len(own)]
            yield (
                f"{count(without, 'client')} of {len(samples):,} without samples, left out: "
                f"{some_of(empty)}"
            )
        reasons = {
            f"with fewer than {self.min_samples} samples": sorted({*there} - {*large}),
            "with too few samples to train with beside those that are given for other parts": (
                sorted({*large} - {*fit})
            ),
        }
        for reason, clients in reasons.items():
            if clients:
                names = some_of([said.names[client] for client in clients])
                held = sum(len(samples[client]) for client in clients)
                yield (
                    f"{count(len(clients), 'client')} of {len(samples):,} {reason}, left out with "
                    f"{count(held, 'sample')}: {names}"
                )

    def _drawn(self, chosen: list[int], fit: list[int]) -> Iterator[str]:
        if len(chosen) < len(fit):
            yield f"{count(len(chosen), 'client')} of {len(fit):,} drawn by data_seed"


class Natural(Given):
    """The data set's own clients: who wrote, photographed or holds what."""

    kind: Literal["natural"]

    def owners(self, dataset: Dataset) -> Owners:
        """Those of the data set, in natural order of their names."""
        if dataset.clients is None:
            raise UserError(
                f"partition.kind=natural needs data with clients of their own, and "
                f"{dataset.name!r} has none; they are given by clients:PATH (client/class/image), "
                "an array clients in an .npz, or a column client of a manifest:FILE"
                + (
                    "; its domains are kept by partition.kind=domains"
                    if dataset.domain_names
                    else ""
                )
            )
        names = in_natural_order(dataset.client_names)
        place = {name: number for number, name in enumerate(names)}
        numbers = np.array([*(place[name] for name in dataset.client_names), NOBODY])
        return Owners(names, numbers[dataset.clients.numpy()], given_split(dataset))


def told_of_split(dealt: Dealt) -> Iterator[str]:
    """What becomes of a given split that is kept, a line each."""
    if dealt.splits is None:
        return
    each = [dealt.splits[samples] for samples in dealt.samples]
    given = [parts for parts in each if (parts != NOT_GIVEN).any()]
    if without := len(each) - len(given):
        yield f"given splits are kept; {count(without, 'client')} without one divided by split"
    else:
        yield "given splits are kept"
    for part in (VAL, TEST):
        if lacking := sum(part in lacking_parts(parts) for parts in given):
            name = PARTS[part]
            yield (
                f"{name} of {count(lacking, 'client')} is not given, and taken from what trains, "
                f"by split.{name}"
            )
    if loose := sum(int((parts == NOT_GIVEN).sum()) for parts in given):
        yield f"{count(loose, 'sample')} without a part beside others with one: they train"


def nobodys(clients: np.ndarray) -> Iterator[str]:
    """How many samples are of no client."""
    if number := int((clients == NOBODY).sum()):
        yield f"{count(number, 'sample')} of no client"


def _of_each(clients: np.ndarray, number: int) -> Clients:
    """The sample indices of each of so many clients, sorted."""
    counts = np.bincount(clients[clients != NOBODY], minlength=number)
    order = np.argsort(clients, kind="stable")[len(clients) - counts.sum() :]
    return np.split(order, np.cumsum(counts)[:-1]) if number else []
