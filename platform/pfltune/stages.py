"""What trials are for, and with it what they are given."""

from typing import Literal

Stage = Literal["search", "choose", "grid", "confirm"]
"""``search`` tries configurations, ``choose`` trains the best of them with fresh seeds before one
is chosen, ``grid`` trains every one of a grid: all these on validation data alone. ``confirm``
tests what has been chosen."""


def sees_test(stage: Stage) -> bool:
    """Whether the trials of a stage are given test indices; others cannot leak what they lack."""
    return stage == "confirm"
