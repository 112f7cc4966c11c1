"""What a search learned: a model of the score, what is as good as the best, and what matters."""

from pfltune.report.learned.found import Equal, Importance, KnobRange, Learned, Tried
from pfltune.report.learned.surrogate import PlaneGrid, Slice, Surrogate
from pfltune.report.searching import Searching

__all__ = [
    "Equal",
    "Importance",
    "KnobRange",
    "Learned",
    "PlaneGrid",
    "Slice",
    "Surrogate",
    "Tried",
    "learned_of",
]


def learned_of(search: Searching) -> Learned:
    """All that is learned from a search."""
    return Learned(rounds=max((run.rounds for run in search.method.searched), default=0))
