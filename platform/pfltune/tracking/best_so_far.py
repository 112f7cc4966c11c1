"""The best that a method's search has come to, by trial, as points of the method's run."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from mlflow.entities import Metric

from pfltune.goal import ACCURACY, Goal
from pfltune.ranking import Standing
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted

Fits = Callable[[Standing], bool]
"""Whether a trial that stands so sends no more than it may."""


def every(_: Standing) -> bool:
    """No trial can send too much."""
    return True


@dataclass
class _Search:
    """The ended trials of a method: by index their values and times, and how far they are told."""

    ended: dict[int, tuple[float, int]] = field(default_factory=dict)
    told: int = 0
    best: float = -math.inf
    time: int = 0

    def points(self, goal: Goal) -> list[Metric]:
        """One for each trial that has ended like all before it."""
        made = []
        while self.told in self.ended:
            value, time = self.ended[self.told]
            self.best, self.time = max(self.best, value), max(self.time, time)
            if math.isfinite(self.best):
                point = (goal.search_best.name, goal.score(self.best), self.time, self.told)
                made.append(Metric(*point))
            self.told += 1
        return made


class BestSoFar:
    """Makes a point for each search trial of a first study, in the order of their numbers.

    A trial's point waits for all trials of lower numbers, so that no point depends on which of them
    ended first. Only trials that ran all rounds and send no more than they may count: others are
    read after fewer, or are never chosen.

    Args:
        fits: whether a trial may be chosen, by how it stood at its end.
        goal: what the search goes by.
    """

    def __init__(self, fits: Fits = every, goal: Goal = ACCURACY) -> None:
        self._fits = fits
        self._goal = goal
        self._searches: defaultdict[str, _Search] = defaultdict(_Search)

    def ended(self, started: TrialStarted, last: RoundDone | None, end: TrialEnded) -> list[Metric]:
        """The points that the end of a trial makes known; none outside a search."""
        if started.stage != "search" or started.study:
            return []
        search = self._searches[started.method]
        search.ended[started.index] = (self._value(last, end), end.time)
        return search.points(self._goal)

    def _value(self, last: RoundDone | None, end: TrialEnded) -> float:
        """What a trial counts with: less than any other if it cannot be chosen."""
        if last is None or end.outcome != "finished" or not math.isfinite(last.score):
            return -math.inf
        if self._goal.is_nothing(last.score, last.metrics):
            return -math.inf
        fits = self._fits(Standing.of(last.round, last.score, last.metrics))
        return last.score if fits else -math.inf
