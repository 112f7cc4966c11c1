"""From a data set to clients: what is set aside, who has the rest, and in which part it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import Field, model_validator

from pfltune.data.columns import TEST, VAL
from pfltune.data.dataset import Dataset
from pfltune.data.partitions.base import Dealt, Partition
from pfltune.data.partitions.given import Given, Natural, told_of_split
from pfltune.data.split import ClientSplit, split_client, stratified_order
from pfltune.errors import UserError
from pfltune.randomness import numpy_rng
from pfltune.settings import Settings
from pfltune.text import count


class Split(Settings):
    """Shares of each client's samples; the rest trains."""

    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    keep_given: bool | None = Field(
        None,
        description="whether samples stay in the part that the data or a file of clients gives "
        "them for; by default only with partition.kind=natural or file",
    )

    @model_validator(mode="after")
    def _leaves_training_data(self) -> "Split":
        if self.val + self.test >= 1:
            raise ValueError(f"val={self.val} and test={self.test} leave nothing to train on")
        return self


@dataclass(frozen=True)
class Dealing:
    """The samples of a data set, dealt once.

    Attributes:
        dataset: what is dealt.
        partition: who has what.
        split: each client's train, validation and test.
        share: of the samples, which are set aside for a warm start.
        seed: of all draws.
    """

    dataset: Dataset
    partition: Partition
    split: Split
    share: float
    seed: int

    @cached_property
    def aside(self) -> np.ndarray:
        """The samples that no client has, sorted.

        None of them is given for validation or tests, where such a split is kept, and none is a
        client's in a file.

        Raises:
            UserError: so many may not be set aside.
        """
        labels = self.dataset.labels.numpy()
        number = round(self.share * len(labels))
        if not number:
            return np.arange(0)
        order = stratified_order(labels, numpy_rng(self.seed, "reserve"))
        possible = order[self._may_set_aside()[order]]
        if len(possible) < number:
            raise UserError(
                f"warm_start.share={self.share} sets {number} of {len(labels)} samples aside, but "
                f"{len(possible)} are given neither for validation or tests nor by a file; lower "
                "it, or choose backbone.weights=random"
            )
        return np.sort(possible[:number])

    def _may_set_aside(self) -> np.ndarray:
        possible = self.partition.may_set_aside(self.dataset)
        if self._keeps and self.dataset.splits is not None:
            possible = possible & ~np.isin(self.dataset.splits.numpy(), (VAL, TEST))
        return possible

    @cached_property
    def dealt(self) -> Dealt:
        """Who has the rest.

        Raises:
            UserError: the data set does not suffice for the partition.
        """
        free = np.setdiff1d(np.arange(len(self.dataset.labels)), self.aside, assume_unique=True)
        return self.partition.dealt(self.dataset, free, self.seed, self._keeps)

    def clients(self) -> tuple[ClientSplit, ...]:
        """Every client's samples by part.

        Raises:
            UserError: those of one do not suffice.
        """
        labels, dealt = self.dataset.labels.numpy(), self.dealt
        return tuple(
            split_client(
                samples,
                labels[samples],
                self.split.val,
                self.split.test,
                numpy_rng(self.seed, "split", number),
                None if dealt.splits is None else dealt.splits[samples],
                dealt.names[number] if dealt.names else "",
            )
            for number, samples in enumerate(dealt.samples)
        )

    def notes(self) -> tuple[str, ...]:
        """What becomes of domains, clients and splits that are given, a line each."""
        return (
            *self._mixed(),
            *self._set_aside(),
            *self.dealt.notes,
            *told_of_split(self.dealt),
            *self._not_kept(),
        )

    def _mixed(self) -> Iterator[str]:
        if isinstance(self.partition, Given):
            return
        kind, dataset = f"partition.kind={self.partition.told}", self.dataset
        if dataset.domains is not None and not self.partition.within_domains:
            yield (
                f"{kind} deals the {len(dataset.domain_names)} domains together; to keep each "
                "client within one: domains, domain-dirichlet"
            )
        if dataset.clients is not None:
            yield (
                f"{kind} deals the {count(len(dataset.client_names), 'client')} of the data anew; "
                "to keep them: natural"
            )

    def _set_aside(self) -> Iterator[str]:
        kept = self._keeps and self.dataset.splits is not None
        if len(self.aside) and (kept or isinstance(self.partition, Natural)):
            whose = "none of them given for validation or tests" if kept else "of the clients' own"
            yield f"the warm start sets {count(len(self.aside), 'sample')} aside, {whose}"

    def _not_kept(self) -> Iterator[str]:
        if self.dataset.splits is not None and self.dealt.splits is None:
            yield (
                "the given split is not kept, each client's samples are divided by split; to keep "
                "it: split.keep_given=true"
            )

    @property
    def _keeps(self) -> bool:
        keep = self.split.keep_given
        return self.partition.keeps_given if keep is None else keep
