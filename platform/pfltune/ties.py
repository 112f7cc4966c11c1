"""Equal figures that computers make unequal: what is a tie on paper is a tie here."""

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
