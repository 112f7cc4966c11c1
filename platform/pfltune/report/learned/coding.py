"""Configurations as numbers: what a Gaussian process is given for the knobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from pfltune.knobs import Value
from pfltune.randomness import derive
from pfltune.report.dimensions import Dimension, Knobs

MIDDLE = 0.5
"""Where a number stands that a configuration does not have."""


def evenly(number: int, columns: int) -> np.ndarray:
    """Points spread evenly over a cube, the same each time, (number, columns)."""
    return qmc.Sobol(columns, rng=derive(0, "learned") % 2**32).random(number)


@dataclass(frozen=True)
class Coding:
    """Configurations as places, one column per knob, and as what is fitted, one or more per knob.

    A place is that of :meth:`Dimension.place`, and NaN where a configuration lacks the knob.

    Attributes:
        dimensions: the knobs that the trials differ by.
    """

    dimensions: tuple[Dimension, ...]

    @classmethod
    def of(cls, dimensions: Iterable[Dimension], tried: Sequence[Knobs]) -> "Coding":
        """Of those knobs that trials have different values of, or that only some have."""
        return cls(tuple(d for d in dimensions if len({knobs.get(d.name) for knobs in tried}) > 1))

    def number(self, knob: str) -> int:
        """The column of a knob's places."""
        return [dimension.name for dimension in self.dimensions].index(knob)

    def places(self, tried: Sequence[Knobs]) -> np.ndarray:
        """(configurations, knobs)."""
        found = [
            [d.place(knobs[d.name]) if d.name in knobs else np.nan for d in self.dimensions]
            for knobs in tried
        ]
        return np.array(found).reshape(len(tried), len(self.dimensions))

    def held(self, places: np.ndarray, knob: str, value: Value) -> np.ndarray:
        """The same with one knob at a value, and what it has an effect beside."""
        number, changed = self.number(knob), places.copy()
        dimension = self.dimensions[number]
        changed[:, number] = dimension.place(value)
        for other, wanted in dimension.when.items():
            changed = self.held(changed, other, wanted)
        return changed

    def drawn(self, number: int) -> np.ndarray:
        """That many configurations spread evenly over the space, the same each time."""
        return self.spread(evenly(number, len(self.dimensions)))

    def spread(self, shares: np.ndarray) -> np.ndarray:
        """Numbers from 0 to 1 as places."""
        return np.stack([_spread(d, s) for d, s in zip(self.dimensions, shares.T, strict=True)], 1)

    def effective(self, places: np.ndarray) -> np.ndarray:
        """The same without the places of knobs that have no effect beside the others."""
        kept = places.copy()
        for _ in self.dimensions:  # conditions may stand on conditions
            for number, dimension in enumerate(self.dimensions):
                for other, wanted in dimension.when.items():
                    place = self._of(other).place(wanted)
                    kept[kept[:, self.number(other)] != place, number] = np.nan
        return kept

    def columns(self, places: np.ndarray) -> np.ndarray:
        """What is fitted, (configurations, columns)."""
        kept = self.effective(places).T
        return np.concatenate(
            [_columns(d, place) for d, place in zip(self.dimensions, kept, strict=True)], 1
        )

    def _of(self, knob: str) -> Dimension:
        return self.dimensions[self.number(knob)]


def _spread(dimension: Dimension, shares: np.ndarray) -> np.ndarray:
    if not dimension.choices:
        return shares
    places = np.array([dimension.place(choice) for choice in dimension.choices])
    return places[np.minimum(shares * len(places), len(places) - 1).astype(int)]


def _columns(dimension: Dimension, places: np.ndarray) -> np.ndarray:
    """A number as it stands and whether there is one; of choices, whether it is this one."""
    if dimension.is_number:
        absent = np.isnan(places)
        filled = np.where(absent, MIDDLE, places)
        return np.stack([filled, absent] if dimension.optional else [filled], 1)
    several = range(len(dimension.choices)) if len(dimension.choices) > 2 else range(1)
    return np.stack([places == number for number in several], 1).astype(float)
