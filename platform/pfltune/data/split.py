"""Each client's samples, divided once into train, validation and test."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pfltune.data.columns import NOT_GIVEN, TEST, TRAIN, VAL
from pfltune.errors import UserError


@dataclass(frozen=True)
class ClientSplit:
    """The sample indices of one client, int64 and sorted.

    Attributes:
        train, val: indices into the data set.
        test: likewise, or None where test data must not be seen.
        name: of the client, where it has one; the others are called by their number.
    """

    train: Tensor
    val: Tensor
    test: Tensor | None
    name: str = ""

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
    indices: np.ndarray,
    labels: np.ndarray,
    val: float,
    test: float,
    rng: np.random.Generator,
    given: np.ndarray | None = None,
    name: str = "",
) -> ClientSplit:
    """Divide one client's samples, stratified by class; the rest of ``val`` and ``test`` trains.

    What is given for validation or for tests is that. A part for which nothing is given is taken
    from what is left to train with, in the proportion that it has to the rest of the shares.

    Args:
        indices: the client's samples.
        labels: the labels of these samples, in the same order.
        val, test: shares in (0, 1); each part gets at least one sample.
        rng: the generator of this client.
        given: uint8, the parts that these samples are given for; None if nothing is given.
        name: of the client.

    Raises:
        UserError: there are too few samples.
    """
    parts = np.full(len(indices), NOT_GIVEN, np.uint8) if given is None else given
    trains = _trains(parts)
    shares = {TEST: test, VAL: val}
    lacking = lacking_parts(parts)
    if not suffices(parts):
        whose = f"client {name}" if name else "a client"
        train = f", {trains.sum()} of them to train with," if given is not None else ""
        raise UserError(
            f"{whose} with {len(indices)} samples{train} cannot be split into train, validation "
            "and test"
            + ("; split.keep_given=false divides all of them" if given is not None else "")
        )
    left = 1 - sum(share for part, share in shares.items() if part not in lacking)
    counts = _whole_numbers([shares[part] / left for part in lacking], int(trains.sum()))
    ordered = indices[trains][stratified_order(labels[trains], rng)]
    *taken, train_part = np.split(ordered, np.cumsum(counts, dtype=int))
    found = {part: indices[parts == part] for part in shares} | dict(
        zip(lacking, taken, strict=True)
    )
    val_part, test_part = found[VAL], found[TEST]
    return ClientSplit(_sorted(train_part), _sorted(val_part), _sorted(test_part), name)


def lacking_parts(given: np.ndarray) -> list[int]:
    """The parts other than train for which none of a client's samples is given."""
    return [part for part in (TEST, VAL) if not (given == part).any()]


def suffices(given: np.ndarray) -> bool:
    """Whether every part can have a sample of a client whose samples are given for these parts."""
    return int(_trains(given).sum()) > len(lacking_parts(given))


def _trains(given: np.ndarray) -> np.ndarray:
    """What is not given for another part can train."""
    return (given == TRAIN) | (given == NOT_GIVEN)


def _whole_numbers(shares: list[float], samples: int) -> list[int]:
    """So many ``samples`` for each share, one at least, so that one is left."""
    counts = [max(1, round(share * samples)) for share in shares]
    while sum(counts) >= samples:
        counts[counts.index(max(counts))] -= 1
    return counts


def _sorted(indices: np.ndarray) -> Tensor:
    return torch.from_numpy(np.sort(indices)).long()
