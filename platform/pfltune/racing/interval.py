"""Where a centre can lie, by bets that hold whenever one stops."""

import math
from collections.abc import Sequence

from pfltune.racing.closed import THRESHOLD
from pfltune.racing.wealth import Wealth

STEPS = 60


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the centre that values are symmetric about.

    It holds all centres against which neither side, with half the money each, has won twice the
    threshold: a confidence sequence, so that it may be looked at after every seed. Fewer than six
    values cannot win so much.

    Args:
        values: one of each seed, in percentage points.

    Returns:
        Its ends; infinite where there are too few values.
    """
    return -_upper([-value for value in values]), _upper(values)


def _upper(values: Sequence[float]) -> float:
    """The lowest centre that is too high, by bisection."""
    if 2.0 ** len(values) <= 2 * THRESHOLD:
        return math.inf
    low, high = min(values), max(values) + 1.0
    while not _is_won([high - value for value in values]):
        high += high - low
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _is_won([middle - v for v in values]) else (middle, high)
    return high


def _is_won(differences: Sequence[float]) -> bool:
    wealth = Wealth()
    for difference in differences:
        wealth = wealth.after(difference)
    return wealth.value >= 2 * THRESHOLD
