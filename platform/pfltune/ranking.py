"""Which search trial won, and which cell."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import TypeVar

from pfltune import figures
from pfltune.ties import settled


@dataclass(frozen=True)
class Standing:
    """What is known of a trial after a round.

    Attributes:
        round: its number, counted from 1.
        score: the best mean validation figure so far, as a score, see :mod:`pfltune.goal`.
        ahead: what would be spent after one more round: a trial is at a rung as soon as this is
            above the rung, and over as soon as it is above the whole. Of a trial that is ended by
            its rounds, the number of the next one. Of one with a budget, a share of that, and 0
            after a round without an evaluation, so that rungs are where it has just been evaluated.
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
        by_rounds = 0.0 if figures.SPENT.name in metrics else round_number + 1.0
        return cls(round_number, score, metrics.get(figures.AHEAD.name, by_rounds), mb)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; round 0 stands for one that failed.

    Attributes:
        round: how far it came.
        value: its score there.
        ahead: see :class:`Standing`; NaN of one that failed.
        mb: what its payloads were, in MB; NaN where nobody says.
        test: mean test score in the round chosen on validation; NaN for a trial without test
            samples, or one that did not finish.
    """

    round: int = 0
    value: float = 0.0
    ahead: float = nan
    mb: float = nan
    test: float = nan

    @classmethod
    def of(cls, last: Standing, test: float = nan) -> "Outcome":
        """That of a trial that did not fail.

        Args:
            last: how it stood after its last round.
            test: mean score of clients on their test samples in the chosen round.
        """
        return cls(last.round, last.score, last.ahead, last.mb, test)


@dataclass(frozen=True)
class Course:
    """What a trial runs through: rounds, or the rungs of a budget.

    Attributes:
        whole: where it is over, in what :attr:`Standing.ahead` is counted in: its rounds, or 1
            where it has a budget.
        eta: one of so many goes on at a rung, where it has a budget; None where rounds end it.
    """

    whole: float
    eta: int | None = None

    def is_over(self, outcome: Outcome) -> bool:
        """Whether a trial has come to its end."""
        if self.eta is None:
            return outcome.round == self.whole
        return outcome.ahead > self.whole

    def step(self, rung: float) -> int:
        """What :meth:`reached` gives of a trial that came to a rung and no further."""
        if self.eta is None:
            return int(rung)
        return DEEPEST - round(-math.log(rung, self.eta))

    def reached(self, outcome: Outcome) -> int:
        """How far a trial came, to be compared with others: its round, or how many rungs.

        Rungs of a budget are counted from far below the lowest that any generation has.
        """
        if self.eta is None:
            return outcome.round
        rungs = range(DEEPEST + 1)
        return DEEPEST - next((k for k in rungs if outcome.ahead > share(self.eta, k)), DEEPEST)


DEEPEST = 40
"""Rungs below the whole budget, more than any generation has."""
BY_ROUNDS = Course(nan)
"""That of trials which are told by their rounds, however many there are."""


def share(eta: int, level: int) -> float:
    """The rung of a budget that ``level`` others are above, the whole among them."""
    return float(eta) ** -level


Place = TypeVar("Place", int, tuple[int, int])
"""Where a trial is found: its index, or its study and index."""


def best_first(
    outcomes: Iterable[tuple[Place, Outcome]], course: Course = BY_ROUNDS
) -> list[Place]:
    """The trials that came furthest first, then those with the best score, then the lowest index.

    How far comes first: a trial that was stopped early lost against its own generation. Failed
    trials are left out.
    """
    ran = [(-course.reached(o), -o.value, index) for index, o in outcomes if o.round]
    return [index for _, _, index in sorted(ran)]


def best_index(
    outcomes: Iterable[tuple[Place, Outcome]], course: Course = BY_ROUNDS
) -> Place | None:
    """The first of them; None if every trial failed."""
    return next(iter(best_first(outcomes, course)), None)


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
