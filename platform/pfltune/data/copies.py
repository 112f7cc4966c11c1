"""Images that are in a data set more than once, pixel for pixel."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pfltune.data.columns import TEST, TRAIN, VAL
from pfltune.data.dataset import Dataset

LEAKS = {"test in train": (TEST, TRAIN), "val in train": (VAL, TRAIN), "test in val": (TEST, VAL)}
"""Where a copy tells something that it must not: images of the first part in the second."""


@dataclass(frozen=True)
class Copies:
    """What there is of them.

    Attributes:
        images: how many have a copy.
        different: how many different ones these are.
        contradictory: how many have a copy in another class.
        shared: how many have a copy at another client.
        leaked: how many of a given part are in another one too, see :data:`LEAKS`.
    """

    images: int
    different: int
    contradictory: int
    shared: int
    leaked: dict[str, int]


def find_copies(dataset: Dataset) -> Copies:
    """Compare all images of a data set, as they are stored."""
    kinds = _kinds(dataset.images.numpy())
    counts = np.bincount(kinds)
    return Copies(
        images=int(counts[counts > 1].sum()),
        different=int((counts > 1).sum()),
        contradictory=_in_several(kinds, dataset.labels),
        shared=_in_several(kinds, dataset.clients),
        leaked=_leaked(kinds, dataset.splits),
    )


def _kinds(images: np.ndarray) -> np.ndarray:
    """A number for each image, the same for the same pixels."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(digest, len(first)) for digest in _digests(images)])


def _digests(images: np.ndarray) -> Iterator[bytes]:
    for image in images:
        yield hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _in_several(kinds: np.ndarray, groups: Tensor | None) -> int:
    """How many images are of a kind that more than one group has; what is of none is below 0."""
    if groups is None:
        return 0
    both = np.stack([kinds, groups.numpy()])[:, groups.numpy() >= 0]
    several = np.bincount(np.unique(both, axis=1)[0]) > 1
    return int(several[both[0]].sum())


def _leaked(kinds: np.ndarray, splits: Tensor | None) -> dict[str, int]:
    if splits is None:
        return {}
    given = splits.numpy()
    found = {
        name: int(np.isin(kinds[given == one], kinds[given == other]).sum())
        for name, (one, other) in LEAKS.items()
    }
    return {name: count for name, count in found.items() if count}
