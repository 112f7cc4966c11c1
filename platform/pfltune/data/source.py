"""What a data set is before it lies in the cache: chunks of samples, read one after another."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pfltune.data.columns import COLUMNS

CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Chunk:
    """Some samples. What one chunk of a data set says of its samples, all of them say.

    Attributes:
        images: uint8 (samples, channels, height, width).
        labels: whole numbers (samples,).
        domains: likewise, or None if the data set has no domains.
        clients: whose each sample is, likewise, -1 for nobody's; None if there are no clients.
        splits: uint8 (samples,), the part that each sample is given for: 0 train, 1 validation,
            2 test, 255 where nobody says; None if nothing is given.
        widths, heights: pixels of each sample in its own file, likewise; None where nothing was
            made of another size.
    """

    images: np.ndarray
    labels: np.ndarray
    domains: np.ndarray | None = None
    clients: np.ndarray | None = None
    splits: np.ndarray | None = None
    widths: np.ndarray | None = None
    heights: np.ndarray | None = None

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What is said of the samples, by name, see :mod:`pfltune.data.columns`."""
        found = {name: getattr(self, name) for name in COLUMNS}
        return {name: values for name, values in found.items() if values is not None}


@dataclass(frozen=True)
class Decoded:
    """A data set that is being read.

    Attributes:
        class_names: one per class.
        chunks: the samples in order; may be read once, and raises UserError where it cannot.
        domain_names: one per domain; empty if there are none.
        notes: what was done to the samples on the way and is not to be expected, a line each.
        client_names: one per client; empty if the data set has no clients of its own.
    """

    class_names: tuple[str, ...]
    chunks: Iterable[Chunk]
    domain_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    client_names: tuple[str, ...] = ()


def in_chunks(images: Iterable[np.ndarray], columns: Mapping[str, np.ndarray]) -> Iterator[Chunk]:
    """Chunks of images with what is said of all samples together.

    Args:
        images: some samples at a time, in their order.
        columns: of all samples, see :mod:`pfltune.data.columns`.
    """
    start = 0
    for some in images:
        span = slice(start, start + len(some))
        yield Chunk(some, **{name: values[span] for name, values in columns.items()})
        start = span.stop


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
