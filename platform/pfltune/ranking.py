"""Which search trial won, and which cell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import TypeVar

from pfltune import figures
from pfltune.ties import exact_mean, settled


@dataclass(frozen=True)
class Standing:
    """What is known of a trial after a round.

    Attributes:
        round: its number, counted from 1.
        score: the best mean validation accuracy so far.
        ahead: what would be spent after one more round: a trial is at a rung as soon as this is
            above the rung, and over as soon as it is above the whole. Of a trial that is ended by
            its rounds, the number of the next one.
        mb: what its payloads have been so far, in MB; NaN where nobody says.
    """

    round: int
    score: float
    ahead: float
    mb: float = nan

    @classmethod
    def of(cls, round_number: int, score: float, metrics: Mapping[str, float]) -> "Standing":
        """That after a round with these figures."""
        mb = metrics.get(figures.TOTAL.name, nan)
        return cls(round_number, score, ahead=round_number + 1.0, mb=mb)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; round 0 stands for one that failed.

    Attributes:
        round: how far it came.
        value: its score there.
        mb: what its payloads were, in MB; NaN where nobody says.
        test: mean test accuracy in the round chosen on validation; NaN for a trial without test
            samples, or one that did not finish.
    """

    round: int = 0
    value: float = 0.0
    mb: float = nan
    test: float = nan

    @classmethod
    def of(cls, last: Standing, test: Sequence[float] = ()) -> "Outcome":
        """That of a trial that did not fail.

        Args:
            last: how it stood after its last round.
            test: accuracy of each client on its test samples in the chosen round.
        """
        return cls(last.round, last.score, last.mb, exact_mean(test) if test else nan)


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
