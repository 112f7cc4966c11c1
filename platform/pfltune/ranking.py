"""Which search trial won."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How far a search trial came, and its score there; round 0 stands for a failed trial."""

    round: int = 0
    value: float = 0.0


def best_first(outcomes: Iterable[tuple[int, Outcome]]) -> list[int]:
    """The trials with the most rounds first, then those with the best score, then the lowest index.

    Rounds come first: a trial that was stopped early lost against its own generation. Failed trials
    are left out.
    """
    ran = [(-outcome.round, -outcome.value, index) for index, outcome in outcomes if outcome.round]
    return [index for _, _, index in sorted(ran)]


def best_index(outcomes: Iterable[tuple[int, Outcome]]) -> int | None:
    """The first of them; None if every trial failed."""
    return next(iter(best_first(outcomes)), None)
