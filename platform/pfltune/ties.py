"""Equal figures that computers make unequal: what is a tie on paper is a tie here."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from math import isnan
from typing import overload

import numpy as np

DIGITS = 12
"""Accuracies are shares of some thousands of samples; means that differ, differ long before."""


@overload
def settled(value: float) -> float: ...
@overload
def settled(value: np.ndarray) -> np.ndarray: ...
def settled(value: float | np.ndarray) -> float | np.ndarray:
    """``value`` to compare by: (.3 + .3 + 0) / 3 and (.1 + .2 + .3) / 3 differ in their last bits.

    Rounding, unlike a tolerance, leaves an order: if a ties with b and b with c, a ties with c.
    """
    if isinstance(value, np.ndarray):
        return np.round(value, DIGITS)
    return round(float(value), DIGITS)


def best_first(score: float) -> tuple[bool, float]:
    """What scores are sorted by: the highest first, what has none last."""
    return isnan(score), -settled(score)


def exact_mean(accuracies: Iterable[float]) -> float:
    """The mean of shares, rounded once: .3, .3, 0 and .1, .2, .3 have the same.

    A float stands for the share of whole numbers next to it, of up to a million samples. Shares
    with one denominator are added first, since denominators multiply.
    """
    counted = Counter(accuracies)
    sums: Counter[int] = Counter()
    for accuracy, count in counted.items():
        share = Fraction(accuracy).limit_denominator(MOST_SAMPLES)
        sums[share.denominator] += share.numerator * count
    total = sum((Fraction(hits, samples) for samples, hits in sums.items()), Fraction(0))
    return float(total / counted.total())


MOST_SAMPLES = 1_000_000
"""Of one client, up to which its share of hits is known exactly from a float."""
