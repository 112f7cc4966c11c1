"""A model of the score over the knobs, by a Gaussian process."""

from dataclasses import dataclass

import numpy as np


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

    Attributes:
        error: percentage points by which it errs on trials that it was not given.
        error_of_mean: the same of the mean over the trials that it was given.
    """

    error: float
    error_of_mean: float

    def slice(self, knob: str) -> Slice:
        """Over one knob."""
        raise NotImplementedError(knob)

    def plane(self, first: str, second: str) -> PlaneGrid:
        """Over two knobs."""
        raise NotImplementedError(first, second)
