"""Whether two trainings of one trial agree, and which of them says more."""

from collections.abc import Mapping
from typing import Literal

from pfltune.figures import repeats
from pfltune.trials.stored import StoredRound, StoredTrial

Answer = Literal["less", "more", "other"]


def held_against(new: StoredTrial, old: StoredTrial, exact: bool = True) -> Answer:
    """``more`` if the new one says all that the old one says, and more; ``other`` if they differ.

    Args:
        new, old: two trainings with the same specification.
        exact: whether their figures must be the same to the last bit.
    """
    if exact and not _agree(new, old):
        return "other"
    return "more" if _extent(new) > _extent(old) else "less"


def repeating(metrics: Mapping[str, float]) -> dict[str, str]:
    """The figures that two trainings share, each as a text that has all its bits."""
    return {n: repr(float(v)) for n, v in metrics.items() if repeats(n)}


def _agree(one: StoredTrial, two: StoredTrial) -> bool:
    """Whether both can be the beginning of the same training."""
    shorter, longer = sorted((one, two), key=_extent)
    if shorter.outcome != "reached" and _extent(shorter) != _extent(longer):
        return False  # it ended where the other one went on
    same_end = shorter.outcome == "reached" or shorter.selected == longer.selected
    rounds = zip(shorter.rounds, longer.rounds, strict=False)
    return same_end and all(_bits(here) == _bits(there) for here, there in rounds)


def _extent(trial: StoredTrial) -> tuple[int, bool, bool]:
    """Ascending with what is known: rounds, then an end behind them."""
    return (trial.round, trial.outcome == "failed", trial.outcome == "finished")


def _bits(done: StoredRound) -> tuple[int, str, dict[str, str]]:
    """What must be equal, as texts: NaN equals itself there, and every bit of a float counts."""
    return (done.round, repr(done.score), repeating(done.metrics))
