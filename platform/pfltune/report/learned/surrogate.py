"""A model of the score over the knobs, and where it is best over all knobs but one or two."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pfltune.knobs import Value
from pfltune.report.dimensions import Dimension
from pfltune.report.learned.process import Process

NORMAL_95 = 1.96
KNOWN = 0.85
"""Where a prediction is no surer than this share of what it was before any trial, it says nothing.
"""
DRAWN = 128
"""Configurations drawn from the space, beside those that were tried, among which is the best."""
ALONG, ACROSS = 33, 17
"""Values of a knob in a slice and in a plane."""
AMONG = 64
"""Configurations among which is the best at each point of a plane."""


@dataclass(frozen=True)
class Slice:
    """The score over one knob at the last round, the other knobs at their best, in percent.

    Attributes:
        x: values of the knob, in its type, (points,).
        mean: what is predicted, (points,); NaN where the trials say nothing.
        low, high: its 95 % band, (points,).
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class PlaneGrid:
    """The score over two knobs at the last round, the other knobs at their best, in percent.

    Attributes:
        x: values of the first knob, in its type, (columns,).
        y: values of the second, (rows,).
        mean: what is predicted, (rows, columns); NaN where the trials say nothing.
    """

    x: np.ndarray
    y: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Surrogate:
    """Predicts the score of a configuration at the last round.

    The best over all other knobs is looked for among the configurations that were tried and some
    that are spread evenly over the space.

    Attributes:
        error: percentage points by which it errs on trials that it was not given.
        error_of_mean: the same of the mean over the trials that it was given.
        process: the Gaussian process.
        tried: places of the configurations that have a score, (trials, knobs).
    """

    error: float
    error_of_mean: float
    process: Process = field(repr=False)
    tried: np.ndarray = field(repr=False)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Those that it knows: that trials differ by."""
        return tuple(dimension.name for dimension in self.process.coding.dimensions)

    def slice(self, knob: str) -> Slice:
        """Over one knob."""
        values = self.points(knob, ALONG)
        best = self.profile(knob, values)
        mean, deviation = self.process.mean(best), self.process.deviation(best)
        mean = np.where(self._is_known(deviation), mean, np.nan)
        band = NORMAL_95 * deviation
        return Slice(np.array(values), mean, mean - band, mean + band)

    def plane(self, first: str, second: str) -> PlaneGrid:
        """Over two knobs."""
        x, y = self.points(first, ACROSS), self.points(second, ACROSS)
        among = self._likely()
        mean = [[self._best_at(among, {first: a, second: b}) for a in x] for b in y]
        return PlaneGrid(np.array(x), np.array(y), np.array(mean))

    def points(self, knob: str, most: int) -> tuple[Value, ...]:
        """Values that stand for all of a knob."""
        return self.dimension(knob).points(most)

    def dimension(self, knob: str) -> Dimension:
        """What is known of a knob."""
        return self.process.coding.dimensions[self.knobs.index(knob)]

    def profile(self, knob: str, values: Sequence[Value]) -> np.ndarray:
        """Places of the best configuration with each of the values, (values, knobs)."""
        among = self.candidates()
        return np.stack([self._best(self._held(among, {knob: value})) for value in values])

    def candidates(self) -> np.ndarray:
        """Places of configurations all over the space, (configurations, knobs)."""
        return np.concatenate([self.tried, self.process.coding.drawn(DRAWN)])

    def best(self) -> np.ndarray:
        """Places of the best of all, (knobs,)."""
        return self._best(self.candidates())

    def _likely(self) -> np.ndarray:
        """The best of the configurations all over the space."""
        among = self.candidates()
        return among[np.argsort(-self.process.mean(among), kind="stable")[:AMONG]]

    def _held(self, places: np.ndarray, values: dict[str, Value]) -> np.ndarray:
        for knob, value in values.items():
            places = self.process.coding.held(places, knob, value)
        return places

    def _best(self, among: np.ndarray) -> np.ndarray:
        return among[np.argmax(self.process.mean(among))]

    def _best_at(self, among: np.ndarray, values: dict[str, Value]) -> float:
        """The best prediction with these values; NaN where unknown, or if they exclude each other."""
        coding = self.process.coding
        best = self._best(self._held(among, values))[None]
        effective = coding.effective(best)[0]
        if any(np.isnan(effective[coding.number(knob)]) for knob in values):
            return float("nan")
        known = self._is_known(self.process.deviation(best))[0]
        return float(self.process.mean(best)[0]) if known else float("nan")

    def _is_known(self, deviation: np.ndarray) -> np.ndarray:
        return deviation < KNOWN * self.process.prior_deviation
