"""Which search trial won, and which cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import TypeVar

from pfltune.ties import settled


@dataclass(frozen=True)
class Outcome:
    """How far a search trial came, and its score there; round 0 stands for a failed trial."""

    round: int = 0
    value: float = 0.0


Place = TypeVar("Place", int, tuple[int, int])
"""Where a trial is found: its index, or its study and index."""


def best_first(outcomes: Iterable[tuple[Place, Outcome]]) -> list[Place]:
    """The trials with the most rounds first, then those with the best score, then the lowest index.

    Rounds come first: a trial that was stopped early lost against its own generation. Failed trials
    are left out.
    """
    ran = [(-outcome.round, -outcome.value, index) for index, outcome in outcomes if outcome.round]
    return [index for _, _, index in sorted(ran)]


def best_index(outcomes: Iterable[tuple[Place, Outcome]]) -> Place | None:
    """The first of them; None if every trial failed."""
    return next(iter(best_first(outcomes)), None)


def best_place(scores: Sequence[Sequence[float]]) -> int | None:
    """Where the most scores are, then the highest mean of them, then the first; None without any.

    Numbers come first: a mean over fewer seeds, since others failed, is not one of the same seeds.
    """
    ran = [
        (len(each), settled(fsum(each) / len(each)), -place)
        for place, each in enumerate(scores)
        if each
    ]
    return -max(ran)[2] if ran else None
