"""The searched knobs as the record and the trials tell of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import numpy as np

from pfltune.knobs import Value

Knobs = Mapping[str, Value]
WIDE = 10
"""Numbers to choose from that span this factor stand on a logarithmic scale."""


@dataclass(frozen=True)
class Dimension:
    """A searched knob.

    Attributes:
        name: of the knob.
        low, high: the ends of its range, or the least and the greatest number to choose from.
        log: whether it stands on a logarithmic scale.
        whole: whether its values are whole numbers.
        choices: what there is to choose from; empty for a knob with a range.
        optional: whether some trials lack it.
        when: the values of other searched knobs beside which it has an effect.
    """

    name: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()
    optional: bool = False
    when: Knobs = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        """Whether its values have an order and distances."""
        return not math.isnan(self.low)

    def place(self, value: Value) -> float:
        """Where a value stands: from 0 to 1 within its range, or the number of its choice."""
        if not self.is_number:
            return float(self.choices.index(value))
        return float(_straight(float(value), self) - _straight(self.low, self)) / self._length

    def points(self, most: int) -> tuple[Value, ...]:
        """Values that stand for all: each choice, each whole number, or evenly spaced ones."""
        if self.choices:
            return self.choices
        if self.whole and self.high - self.low < most:
            return tuple(range(int(self.low), int(self.high) + 1))
        spaced = (np.geomspace if self.log else np.linspace)(self.low, self.high, most)
        if self.whole:
            return tuple(dict.fromkeys(round(value) for value in spaced))
        return tuple(spaced.tolist())

    @property
    def _length(self) -> float:
        return float(_straight(self.high, self) - _straight(self.low, self))


def dimensions_of(space: Mapping[str, Any], tried: Sequence[Knobs]) -> dict[str, Dimension]:
    """The searched knobs by name.

    Args:
        space: a method's part of the record's ``spaces``: under ``search`` the choices of each
            knob, or lowest and highest value and whether it is logarithmic.
        tried: the configurations of the trials. They tell what is a whole number, and beside which
            choice a knob occurs.
    """
    told = space.get("search", {})
    found = {name: _seen(name, each, tried) for name, each in told.items()}
    return {
        name: replace(each, when=_condition(each, found, tried)) for name, each in found.items()
    }


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is one; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_range(told: Sequence[Any]) -> bool:
    """Whether it is lowest and highest value and a scale, not choices."""
    return len(told) == 3 and all(map(is_number, told[:2])) and isinstance(told[2], bool)


def _seen(name: str, told: Sequence[Any], tried: Sequence[Knobs]) -> Dimension:
    """A knob without its condition."""
    values = [knobs[name] for knobs in tried if name in knobs]
    found = _ranged(name, told) if is_range(told) else _chosen(name, (*told, *values))
    whole = found.is_number and bool(values) and all(isinstance(value, int) for value in values)
    return replace(found, whole=whole, optional=len(values) < len(tried))


def _ranged(name: str, told: Sequence[Any]) -> Dimension:
    return Dimension(name, float(told[0]), float(told[1]), told[2])


def _chosen(name: str, choices: Sequence[Any]) -> Dimension:
    different = tuple(dict.fromkeys(choices))
    if not all(map(is_number, different)) or len(different) < 2:
        return Dimension(name, choices=different)
    low, high = float(min(different)), float(max(different))
    wide = low > 0 and high / low >= WIDE
    return Dimension(name, low, high, wide, choices=tuple(sorted(different)))


def _condition(knob: Dimension, among: Mapping[str, Dimension], tried: Sequence[Knobs]) -> Knobs:
    """The one choice beside which the trials have a knob; empty if they all have it."""
    have = [knob.name in knobs for knobs in tried]
    if not knob.optional or not any(have):
        return {}
    for other in (each for each in among.values() if each.name != knob.name):
        for choice in other.choices:
            if [knobs.get(other.name) == choice for knobs in tried] == have:
                return {other.name: choice}
    return {}


def _straight(value: float, dimension: Dimension) -> float:
    return math.log(value) if dimension.log else value
