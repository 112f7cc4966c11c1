"""What a data set is, as it was read: counts, range and copies."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pfltune.data.columns import NOT_GIVEN, PARTS
from pfltune.data.copies import Copies, find_copies
from pfltune.data.dataset import Dataset
from pfltune.data.original_sizes import OriginalSizes
from pfltune.data.source import spans


@dataclass(frozen=True)
class Range:
    """The values of all pixels, of 0 to 255.

    Attributes:
        low, high: the smallest and the largest.
        mean, std: over all.
        blank: how many images have one value only.
    """

    low: int
    high: int
    mean: float
    std: float
    blank: int


@dataclass(frozen=True)
class Group:
    """The samples of one class, client or domain.

    Attributes:
        name: of the class, the client or the domain.
        samples: how many there are.
        parts: how many are given for each part.
    """

    name: str
    samples: int
    parts: dict[str, int]


@dataclass(frozen=True)
class Survey:
    """A data set in numbers.

    Attributes:
        name: of the data set.
        shape: channels, height and width of an image.
        samples: how many images there are.
        parts: how many are given for each part, in the order of the parts; empty if none is given.
        sizes: of the images in their files.
        values: the range of pixels.
        classes, clients, domains: each with its samples; the latter two empty where there are none.
        copies: images that are there more than once.
        notes: what was done to the samples, and what was passed over.
    """

    name: str
    shape: tuple[int, int, int]
    samples: int
    parts: dict[str, int]
    sizes: OriginalSizes
    values: Range
    classes: tuple[Group, ...]
    clients: tuple[Group, ...]
    domains: tuple[Group, ...]
    copies: Copies
    notes: tuple[str, ...]


def survey(dataset: Dataset) -> Survey:
    """Count what is in a data set, and look at all its pixels."""
    channels, height, width = dataset.images.shape[1:]
    given = _given(dataset)
    whole = np.zeros(len(dataset.labels), np.int64)
    return Survey(
        name=dataset.name,
        shape=(channels, height, width),
        samples=len(dataset.labels),
        parts=_groups(whole, ("",), given)[0].parts,
        sizes=OriginalSizes.of(dataset),
        values=_range(dataset.images.numpy()),
        classes=_groups(dataset.labels.numpy(), dataset.class_names, given),
        clients=_groups_of(dataset.clients, dataset.client_names, given),
        domains=_groups_of(dataset.domains, dataset.domain_names, given),
        copies=find_copies(dataset),
        notes=dataset.notes,
    )


def _given(dataset: Dataset) -> dict[str, np.ndarray]:
    """Which samples are given for each part that any is given for."""
    if dataset.splits is None:
        return {}
    splits = dataset.splits.numpy()
    masks = {name: splits == part for part, name in enumerate(PARTS)}
    masks["not given"] = splits == NOT_GIVEN
    return {name: mask for name, mask in masks.items() if mask.any()}


def _groups_of(
    numbers: Tensor | None, names: tuple[str, ...], given: dict[str, np.ndarray]
) -> tuple[Group, ...]:
    return () if numbers is None else _groups(numbers.numpy(), names, given)


def _groups(
    numbers: np.ndarray, names: tuple[str, ...], given: dict[str, np.ndarray]
) -> tuple[Group, ...]:
    counts = _counted(numbers, len(names))
    parts = {part: _counted(numbers[mask], len(names)) for part, mask in given.items()}
    return tuple(
        Group(name, int(counts[at]), {part: int(count[at]) for part, count in parts.items()})
        for at, name in enumerate(names)
    )


def _counted(numbers: np.ndarray, kinds: int) -> np.ndarray:
    """How often each kind occurs; what is of none is below 0."""
    return np.bincount(numbers[numbers >= 0], minlength=kinds)


def _range(images: np.ndarray) -> Range:
    histogram = np.zeros(256, np.int64)
    blank = 0
    for some in _some(images):
        histogram += np.bincount(some.reshape(-1), minlength=256)
        flat = some.reshape(len(some), -1)
        blank += int((flat.min(1) == flat.max(1)).sum())
    values, total = np.arange(256), histogram.sum()
    mean = float((histogram * values).sum() / total)
    variance = float((histogram * (values - mean) ** 2).sum() / total)
    present = np.flatnonzero(histogram)
    return Range(int(present[0]), int(present[-1]), mean, variance**0.5, blank)


def _some(images: np.ndarray) -> Iterator[np.ndarray]:
    for span in spans(len(images), images[0].nbytes):
        yield images[span]
