"""What is kept of a trial: how far it got, and how it went there."""

from dataclasses import dataclass
from typing import Literal

from pfltune.ranking import Standing
from pfltune.tracking.events import Selected


@dataclass(frozen=True)
class StoredRound:
    """One round of a trial.

    Attributes:
        round: its number, counted from 1.
        score: what a search maximises, as it was after this round.
        metrics: all figures of the round.
    """

    round: int
    score: float
    metrics: dict[str, float]

    @property
    def standing(self) -> Standing:
        """How the trial stood after it."""
        return Standing.of(self.round, self.score, self.metrics)


@dataclass(frozen=True)
class StoredTrial:
    """A trial as far as it was trained, wherever that was.

    It says what was reached, never what a search was told: that is for the bracket to decide.

    Attributes:
        rounds: all rounds from the first on.
        outcome: ``finished`` after its last round, ``reached`` if it may go on from there, or
            ``failed`` by its own fault, which would come again.
        failure: why it failed.
        selected: the round chosen on validation; None unless it finished.
    """

    rounds: tuple[StoredRound, ...]
    outcome: Literal["finished", "reached", "failed"]
    failure: str = ""
    selected: Selected | None = None

    @property
    def round(self) -> int:
        """How far it got; 0 for one that failed in its first round."""
        return self.rounds[-1].round if self.rounds else 0
