"""Which search trial won."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How far a search trial came, and its score there; round 0 stands for a failed trial."""

    round: int = 0
    value: float = 0.0


def best_index(outcomes: Iterable[tuple[int, Outcome]]) -> int | None:
    """The trial with the most rounds, then the best score, then the lowest index.

    Rounds come first: a trial that was stopped early lost against its own generation. None if every
    trial failed.
    """
    ran = [(outcome.round, outcome.value, -index) for index, outcome in outcomes if outcome.round]
    return -max(ran)[2] if ran else None
