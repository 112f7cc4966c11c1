"""Gray levels of more than 8 bits, brought to 8 by the range that a data set uses."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

MOST = 2**16 - 1


@dataclass(frozen=True)
class Levels:
    """The smallest and the largest value of some images, whole numbers.

    Attributes:
        low: the smallest.
        high: the largest.
    """

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"

    def eight_bits(self, values: np.ndarray) -> np.ndarray:
        """``values`` as uint8: as they are if 8 bits hold them all, else from ``low`` to ``high``.

        What has 12 bits of 16 keeps 256 levels, where a division by 257 would leave 16.
        """
        if self.high <= 255:
            return values.astype(np.uint8)
        width = max(1, self.high - self.low)
        scaled = (values.astype(np.float64) - self.low) * (255 / width)
        return np.round(scaled).astype(np.uint8)

    def told(self) -> str:
        """What :meth:`eight_bits` does."""
        if self.high <= 255:
            return f"values {self}, which fit into 8 bits, kept as they are"
        return f"values {self}, the range of this data set, scaled to 0 to 255"


def levels_of(values: np.ndarray) -> Levels:
    """The range of an array of whole numbers.

    Raises:
        ValueError: a value is negative or needs more than 16 bits.
    """
    found = Levels(int(values.min()), int(values.max()))
    if found.low < 0 or found.high > MOST:
        raise ValueError(f"pixels run from {found}; save 8 or 16 bits, 0 to 255 or 0 to {MOST}")
    return found


def together(levels: Iterable[Levels]) -> Levels | None:
    """The range of all; None of none."""
    every = list(levels)
    if not every:
        return None
    return Levels(min(each.low for each in every), max(each.high for each in every))
