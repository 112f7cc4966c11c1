"""The best that a method's search has come to, by trial, as points of the method's run."""

import math
from collections import defaultdict
from dataclasses import dataclass, field

from mlflow.entities import Metric

from pfltune.figures import SEARCH_BEST
from pfltune.tracking.events import TrialEnded, TrialStarted


@dataclass
class _Search:
    """The ended trials of a method: by index their values and times, and how far they are told."""

    ended: dict[int, tuple[float, int]] = field(default_factory=dict)
    told: int = 0
    best: float = -math.inf
    time: int = 0

    def points(self) -> list[Metric]:
        """One for each trial that has ended like all before it."""
        made = []
        while self.told in self.ended:
            value, time = self.ended[self.told]
            self.best, self.time = max(self.best, value), max(self.time, time)
            if math.isfinite(self.best):
                made.append(Metric(SEARCH_BEST.name, self.best, self.time, self.told))
            self.told += 1
        return made


class BestSoFar:
    """Makes a point for each search trial of a first study, in the order of their numbers.

    A trial's point waits for all trials of lower numbers, so that no point depends on which of them
    ended first. Only trials that ran all rounds count: others are read after fewer.
    """

    def __init__(self) -> None:
        self._searches: defaultdict[str, _Search] = defaultdict(_Search)

    def ended(self, started: TrialStarted, score: float, end: TrialEnded) -> list[Metric]:
        """The points that the end of a trial makes known; none outside a search."""
        if started.stage != "search" or started.study:
            return []
        search = self._searches[started.method]
        counts = end.outcome == "finished" and math.isfinite(score)
        search.ended[started.index] = (score if counts else -math.inf, end.time)
        return search.points()
