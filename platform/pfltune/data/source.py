"""What a data set is before it lies in the cache: chunks of samples, read one after another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Chunk:
    """Some samples.

    Attributes:
        images: uint8 (samples, channels, height, width).
        labels: whole numbers (samples,).
        domains: likewise, or None if the data set has no domains.
    """

    images: np.ndarray
    labels: np.ndarray
    domains: np.ndarray | None = None


@dataclass(frozen=True)
class Decoded:
    """A data set that is being read.

    Attributes:
        class_names: one per class.
        chunks: the samples in order; may be read once, and raises UserError where it cannot.
        domain_names: one per domain; empty if there are none.
        notes: what was done to the samples on the way and is not to be expected, a line each.
    """

    class_names: tuple[str, ...]
    chunks: Iterable[Chunk]
    domain_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Where the samples of a data set come from."""

    def identity(self) -> dict[str, Any]:
        """What the samples follow from, as JSON: equal only if the samples are.

        Raises:
            UserError: a source file cannot be read.
        """

    def notes(self) -> tuple[str, ...]:
        """What is there and is not read, a line each: no part of the samples nor of their key."""

    def decode(self) -> Decoded:
        """Begin to read.

        Raises:
            UserError: a source file is missing or not what it must be.
        """


def spans(rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut ``rows`` of ``row_bytes`` each into slices of some ``CHUNK_BYTES``."""
    step = max(1, CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
