"""Partitions of data sets with domains: every client's samples come from one of them."""

from typing import Literal

import numpy as np

from pfltune.data.dataset import Dataset
from pfltune.data.names import on_one_line
from pfltune.data.partitions.base import (
    FEWEST,
    Clients,
    Dealt,
    Drawn,
    Partition,
    enough,
    in_order,
)
from pfltune.data.partitions.labels import check_room, divide_classes, members
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng


class OfDomains(Partition):
    """A partition whose clients have one domain each; one that is too small is named."""

    within_domains = True

    def dealt(self, dataset: Dataset, free: np.ndarray, seed: int, keep: bool) -> Dealt:
        """See :meth:`Partition.dealt`."""
        if dataset.domains is not None:
            present, sizes = np.unique(dataset.domains.numpy()[free], return_counts=True)
            fewest, each = getattr(self, "min_samples", FEWEST), self.clients // len(present)
            for domain, size in zip(present, sizes, strict=True):
                where = f" of domain {on_one_line(dataset.domain_names[domain])}"
                enough(int(size), max(1, each), fewest, where)
        return super().dealt(dataset, free, seed, keep)


class Domains(OfDomains):
    """One domain per client; the clients of a domain have equal shares of it, shuffled.

    With as many clients as domains it is the usual feature shift (pFedPG, arXiv 2308.15367).
    """

    kind: Literal["domains"]

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        rng = numpy_rng(seed, "partition")
        own = members(one_domain_each(self, domains))
        each = self.clients // len(own)
        for domain, its_members in enumerate(own):
            enough(len(its_members), each, FEWEST, f" of domain {domain}")
        dealt = [
            part
            for its_members in own
            for part in np.array_split(rng.permutation(its_members), each)
        ]
        return in_order(dealt)


class DomainDirichlet(OfDomains, Drawn):
    """Equally many clients per domain; within it, labels as in ``dirichlet`` (arXiv 2308.09160).

    A domain is drawn again until each of its clients has enough; the others stay.
    """

    kind: Literal["domain-dirichlet"]

    def divide(self, labels: np.ndarray, domains: np.ndarray | None, seed: int) -> Clients:
        """See :meth:`Partition.divide`."""
        own = one_domain_each(self, domains)
        present = np.unique(own)
        return [
            part
            for domain in present
            for part in self._within(domain, own, labels, self.clients // len(present), seed)
        ]

    def _within(
        self, domain: int, domains: np.ndarray, labels: np.ndarray, clients: int, seed: int
    ) -> Clients:
        samples = np.flatnonzero(domains == domain)
        classes = [samples[its_members] for its_members in members(labels[samples])]
        check_room(self, classes, clients, f" of domain {domain}")
        rng = numpy_rng(seed, "partition", int(domain))
        dealt = self._until_enough(
            lambda: divide_classes(classes, clients, self.alpha, rng),
            len(samples),
            clients,
            f" of domain {domain}",
        )
        return in_order(dealt)


def one_domain_each(partition: Partition, domains: np.ndarray | None) -> np.ndarray:
    """The domains of the samples, if the clients can be dealt one each.

    Raises:
        UserError: there are none, or the number of clients is no multiple of theirs.
    """
    if domains is None:
        raise UserError(
            f"partition.kind={partition.kind} needs a data set with domains, this one has none; "
            "choose another partition.kind or data set"
        )
    count = len(np.unique(domains))
    if partition.clients % count:
        raise UserError(
            f"partition.clients={partition.clients} is no multiple of the {count} domains; "
            f"possible: {count}, {2 * count}, {3 * count}, …"
        )
    return domains
