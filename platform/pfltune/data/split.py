"""Each client's samples, divided once into train, validation and test."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pfltune.errors import UserError


@dataclass(frozen=True)
class ClientSplit:
    """The sample indices of one client, int64 and sorted.

    Attributes:
        train, val: indices into the data set.
        test: likewise, or None where test data must not be seen.
    """

    train: Tensor
    val: Tensor
    test: Tensor | None

    def without_test(self) -> "ClientSplit":
        """The same client as a search trial sees it."""
        return replace(self, test=None)


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of the samples in which every stretch holds the classes in about equal shares.

    The n samples of a class are spread evenly over (0, 1) at random offsets; sorting by that
    position interleaves the classes. Cutting the order anywhere gives stratified pieces.
    """
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(position, kind="stable")


def split_client(
    indices: np.ndarray, labels: np.ndarray, val: float, test: float, rng: np.random.Generator
) -> ClientSplit:
    """Divide one client's samples, stratified by class; the rest of ``val`` and ``test`` trains.

    Args:
        indices: the client's samples.
        labels: the labels of these samples, in the same order.
        val, test: shares in (0, 1); each part gets at least one sample.
        rng: the generator of this client.
    """
    counts = [max(1, round(share * len(indices))) for share in (test, val)]
    if len(indices) <= sum(counts):
        raise UserError(
            f"a client with {len(indices)} samples cannot be split into train, validation and test"
        )
    ordered = indices[stratified_order(labels, rng)]
    parts = np.split(ordered, np.cumsum(counts))
    test_part, val_part, train_part = (torch.from_numpy(np.sort(part)).long() for part in parts)
    return ClientSplit(train=train_part, val=val_part, test=test_part)
