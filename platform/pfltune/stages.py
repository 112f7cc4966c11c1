"""What trials are for, and with it what they are given."""

from typing import Literal

Stage = Literal["search", "choose", "grid", "confirm", "control"]
"""``search`` tries configurations, ``choose`` trains the best of them with fresh seeds before one
is chosen, ``grid`` trains every one of a grid: all these on validation data alone. ``confirm``
tests what has been chosen, and ``control`` beside it what the search began with."""

KeepModels = Literal["none", "best", "all"]
"""Which confirmation trials' models are kept: of each method none, that of the trial with the best
validation score in its chosen round, or all."""


def trial_name(method: str, stage: Stage, index: int, study: int = 0) -> str:
    """The name of a trial, unique within its comparison.

    Args:
        method: short name.
        stage: what it is for.
        index: its number within method, study and stage.
        study: which of the method's independent searches it is of; the first is not named.
    """
    return f"{method}-{stage}-s{study}-{index}" if study else f"{method}-{stage}-{index}"


def sees_test(stage: Stage) -> bool:
    """Whether the trials of a stage are given test indices; others cannot leak what they lack."""
    return stage in ("confirm", "control")
