"""A model of the score over the knobs, and where it is best over all knobs but one or two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Predicts the score of a configuration at the last round.

    The best over all other knobs is looked for among the configurations that were tried and some
    that are spread evenly over the space.

    Attributes:
        error: percentage points by which it errs on trials that it was not given.
        error_of_mean: the same of the mean over the trials that it was given.
        process: the Gaussian process.
        without: what is fitted without each of some parts of the trials.
        tried: places of the configurations that have a score, (trials, knobs).
        failed: places of those that failed, (trials, knobs).
    """

    error: float
    error_of_mean: float
    process: Process = field(repr=False)
    without: tuple[Process, ...] = field(repr=False)
    tried: np.ndarray = field(repr=False)
    failed: np.ndarray = field(repr=False)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Those that it knows: that trials differ by."""
        return tuple(dimension.name for dimension in self.process.coding.dimensions)

    def slice(self, knob: str) -> Slice:
        """Over one knob."""
        values = self.points(knob, ALONG)
        with threadpool_limits(1):  # more would move the last bits
            best = self.profile(knob, values)
            mean = np.where(self.is_known(best), self.process.mean(best), np.nan)
            band = NORMAL_95 * self.process.deviation(best)
        return Slice(self._axis(knob, values), mean, mean - band, mean + band)

    def plane(self, first: str, second: str) -> PlaneGrid:
        """Over two knobs."""
        x, y = self.points(first, ACROSS), self.points(second, ACROSS)
        with threadpool_limits(1):
            among = self._likely()
            mean = [[self._best_at(among, {first: a, second: b}) for a in x] for b in y]
        return PlaneGrid(self._axis(first, x), self._axis(second, y), np.array(mean))

    def points(self, knob: str, most: int) -> tuple[Value, ...]:
        """Values that stand for all of a knob."""
        return self.dimension(knob).points(most)

    def dimension(self, knob: str) -> Dimension:
        """What is known of a knob."""
        return self.process.coding.dimensions[self.knobs.index(knob)]

    def profile(self, knob: str, values: Sequence[Value]) -> np.ndarray:
        """Places of the best configuration with each of the values, (values, knobs)."""
        held = (self._held(self.candidates, {knob: value}) for value in values)
        return np.stack([self._best(places) for places in held])

    @cached_property
    def candidates(self) -> np.ndarray:
        """Places of configurations all over what is known of the space, (configurations, knobs)."""
        drawn = self.process.coding.drawn(DRAWN)
        return np.concatenate([self.tried, drawn[self.is_known(drawn)]])

    def _axis(self, knob: str, values: Sequence[Value]) -> np.ndarray:
        return np.array(values, dtype=None if self.dimension(knob).is_number else object)

    def _likely(self) -> np.ndarray:
        """The best of the configurations all over the space."""
        ranked = np.argsort(-self.process.mean(self.candidates), kind="stable")
        return self.candidates[ranked[:AMONG]]

    def _held(self, places: np.ndarray, values: dict[str, Value]) -> np.ndarray:
        for knob, value in values.items():
            places = self.process.coding.held(places, knob, value)
        return places

    def _best(self, among: np.ndarray) -> np.ndarray:
        """The best of those that are known, or of all if none is."""
        known = self.is_known(among)
        among = among[known] if known.any() else among
        return among[np.argmax(self.process.mean(among))]

    def _best_at(self, among: np.ndarray, values: dict[str, Value]) -> float:
        """The best prediction with these values; NaN where there is none to be had."""
        coding = self.process.coding
        best = self._best(self._held(among, values))[None]
        effective = coding.effective(best)[0]
        if any(np.isnan(effective[coding.number(knob)]) for knob in values):
            return float("nan")
        return float(self.process.mean(best)[0]) if self.is_known(best)[0] else float("nan")

    def is_known(self, places: np.ndarray) -> np.ndarray:
        """Whether the trials say something of each configuration, (configurations,).

        They do not where the prediction is hardly surer than before any trial, nor where the
        nearest trial failed.
        """
        is_sure = self.process.deviation(places) < KNOWN * self.process.prior_deviation
        if not len(self.failed):
            return is_sure
        near, nearer = (self.process.likeness(places, t) for t in (self.tried, self.failed))
        return is_sure & (near >= nearer)
