"""The values of each knob within one standard error of the best."""

import numpy as np

from pfltune.report.dimensions import is_number
from pfltune.report.learned.found import KnobRange
from pfltune.report.learned.surrogate import ALONG, Surrogate

ERRORS = 1.0
"""Standard errors; a value that is truly as good as the best is within them in two of three
searches or more."""


def ranges_of(surrogate: Surrogate) -> tuple[KnobRange, ...]:
    """Of each knob, the best over all others, as the surrogate predicts the last round."""
    return tuple(_range(surrogate, knob) for knob in surrogate.knobs)


def _range(surrogate: Surrogate, knob: str) -> KnobRange:
    values = surrogate.points(knob, ALONG)
    places = surrogate.profile(knob, values)
    within = is_within(surrogate, places)
    kept = [value for value, one in zip(values, within, strict=True) if one]
    if surrogate.dimension(knob).choices:
        return KnobRange(knob, values=tuple(kept))
    numbers = list(filter(is_number, kept))
    return KnobRange(knob, low=min(numbers), high=max(numbers))


def is_within(surrogate: Surrogate, places: np.ndarray) -> np.ndarray:
    """Whether each configuration is predicted within one standard error below the best of them.

    The standard error is that of the difference.
    """
    process = surrogate.process
    mean, covariance = process.mean(places), process.covariance(places)
    best = int(np.argmax(mean))
    variance = covariance[best, best] + np.diag(covariance) - 2 * covariance[best]
    near = mean[best] - mean <= ERRORS * np.sqrt(variance.clip(min=0.0))
    return near & surrogate.is_known(places) | (np.arange(len(mean)) == best)
