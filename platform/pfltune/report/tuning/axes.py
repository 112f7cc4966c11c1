"""The axis of a knob: numbers on a scale, everything else as categories."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from pfltune.knobs import Value
from pfltune.report.canvas import MOST_TICKS, is_wide, scale
from pfltune.report.dimensions import is_number
from pfltune.report.tuning.words import shown

BESIDE = 0.18
"""How far to either side the points of one category are spread, categories being 1 apart."""


@dataclass(frozen=True)
class KnobAxis:
    """Where the values of a knob stand.

    Attributes:
        name: of the knob.
        values: all that it has, each once, in order.
        is_number: whether they stand on a scale; else side by side.
    """

    name: str
    values: tuple[Value, ...]
    is_number: bool

    @property
    def numbers(self) -> np.ndarray:
        """The values of a scale."""
        return np.array(self.values, dtype=np.float64)

    @property
    def is_log(self) -> bool:
        """Whether it is drawn logarithmically."""
        return self.is_number and is_wide(self.numbers)

    def place(self, value: Value) -> float:
        """Where a value stands."""
        return float(value) if self.is_number else float(self.values.index(value))

    def places(self, values: Sequence[Value]) -> np.ndarray:
        """Where points stand: on a scale where they are, of one category side by side."""
        found = np.array([self.place(value) for value in values], dtype=np.float64)
        if self.is_number:
            return found
        for place in set(found):
            alike = found == place
            spread = np.linspace(-BESIDE, BESIDE, alike.sum()) if alike.sum() > 1 else 0.0
            found[alike] = place + spread
        return found

    def share(self, value: Value) -> float:
        """Where it stands between the lowest, 0, and the highest, 1."""
        ends = np.array([self.place(self.values[0]), self.place(self.values[-1])])
        here = np.array(self.place(value))
        if self.is_log:
            ends, here = np.log(ends), np.log(here)
        return float((here - ends[0]) / (ends[1] - ends[0])) if ends[0] != ends[1] else 0.5

    def draw(self, axes: Any, way: Literal["x", "y"]) -> None:
        """Scale and ticks."""
        axis = axes.xaxis if way == "x" else axes.yaxis
        if self.is_number:
            scale(axes, way, self.numbers)
            if len(self.values) <= MOST_TICKS:
                axis.set_major_locator(FixedLocator(list(self.numbers)))
                axis.set_major_formatter("{x:.4g}")
                axis.set_minor_locator(NullLocator())
            return
        axis.set_ticks(range(len(self.values)), [shown(value) for value in self.values])
        axes.set(**{f"{way}lim": (-0.5, len(self.values) - 0.5)})


def axis_of(name: str, values: Iterable[Value]) -> KnobAxis | None:
    """The axis of some values of a knob; None for fewer than two different ones."""
    different = set(values)
    if len(different) < 2:
        return None
    numeric = all(map(is_number, different))
    ordered = sorted(different) if numeric else sorted(different, key=str)
    return KnobAxis(name, tuple(ordered), numeric)


def axes_of(names: Iterable[str], configurations: Iterable[Mapping[str, Value]]) -> list[KnobAxis]:
    """The axes of those knobs that have two different values or more."""
    every = list(configurations)
    found = (axis_of(name, [each[name] for each in every if name in each]) for name in names)
    return [axis for axis in found if axis is not None]
